"""Keys on disk: closed to others, never overwritten, and a list that is heeded as it is now."""

from __future__ import annotations

import os

import pytest

from rtreg.errors import ConfigError
from rtreg.io.keys import Keyring, Peer, Role, default_folder
from rtreg.io.security import Security
from rtreg.io.sockets import new_pair


@pytest.fixture
def ring(tmp_path):
    made = Keyring(tmp_path / "keys")
    made.add("local", *new_pair())
    return made


def test_keys_are_closed_to_others(ring):
    assert ring.folder.stat().st_mode & 0o777 == 0o700
    ring.authorize("desk", new_pair()[0], Role.OBSERVE)
    files = sorted(ring.folder.iterdir())
    assert [path.name for path in files] == ["authorized", "local.public", "local.secret"]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_a_key_is_not_overwritten(ring):
    before = ring.own("local")
    with pytest.raises(ConfigError, match="exists"):
        ring.add("local", *new_pair())
    assert ring.own("local") == before


@pytest.mark.parametrize("name", ["", "../up", "a b", "ä", "x" * 41])
def test_a_name_that_is_no_file_name_is_refused(ring, name):
    for use in (lambda: ring.add(name, *new_pair()), lambda: ring.own(name), lambda: ring.public(name)):
        with pytest.raises(ConfigError, match="name"):
            use()


@pytest.mark.parametrize("what", ["local.secret", "local.public", "."])
def test_what_others_can_read_is_not_used(ring, what):
    (ring.folder / what).chmod(0o755)
    with pytest.raises(ConfigError, match="chmod"):
        ring.own("local")


def test_a_link_is_not_followed(ring, tmp_path):
    (tmp_path / "elsewhere").write_text((ring.folder / "local.secret").read_text())
    (ring.folder / "local.secret").unlink()
    (ring.folder / "local.secret").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="yours"):
        ring.own("local")


def test_a_file_that_is_no_key_is_named(ring):
    (ring.folder / "local.secret").write_text("hunter2\n")
    with pytest.raises(ConfigError, match=r"local\.secret: not a key"):
        ring.own("local")


def test_the_list_is_heeded_as_it_is_now(ring):
    key = new_pair()[0]
    assert ring.role(key) is Role.NONE
    ring.authorize("desk", key, Role.OBSERVE)
    assert ring.role(key) is Role.OBSERVE
    ring.authorize("desk", key, Role.CONTROL)
    assert ring.role(key) is Role.CONTROL
    assert ring.peers() == [Peer("desk", Role.CONTROL, key)]
    other = new_pair()[0]
    ring.authorize("desk", other, Role.CONTROL)
    assert (ring.role(key), ring.role(other)) == (Role.NONE, Role.CONTROL)
    (ring.folder / "authorized").unlink()
    assert ring.role(other) is Role.NONE


def test_a_list_that_others_can_write_lets_nobody_in(ring):
    key = new_pair()[0]
    ring.authorize("desk", key, Role.CONTROL)
    assert ring.role(key) is Role.CONTROL
    os.chmod(ring.folder / "authorized", 0o666)
    assert ring.role(key) is Role.NONE


@pytest.mark.parametrize(
    "line",
    ["", "desk", "desk root {key}", "desk control {key} more", "d/k control {key}", "desk control {key}x", "\0"],
)
def test_a_line_that_is_wrong_lets_nobody_in(ring, line):
    key, good = new_pair()[0], new_pair()[0]
    ring.authorize("good", good, Role.OBSERVE)
    with open(ring.folder / "authorized", "a") as file:
        file.write(line.format(key=key) + "\n")
    assert (ring.role(key), ring.role(good)) == (Role.NONE, Role.OBSERVE)


def test_an_own_key_cannot_be_given_to_another(ring):
    with pytest.raises(ConfigError, match="folder"):
        ring.authorize("local", new_pair()[0], Role.OBSERVE)
    with pytest.raises(ConfigError, match="Z85"):
        ring.authorize("desk", "short", Role.OBSERVE)


def test_public_keys_are_found_by_name(ring):
    key = new_pair()[0]
    ring.authorize("camhost", key, Role.NONE)
    assert ring.public("camhost") == key
    assert ring.public("local") == ring.own("local")[0]
    with pytest.raises(ConfigError, match="knows no 'nobody'"):
        ring.public("nobody")


def test_the_default_folder_is_that_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "rtreg" / "keys"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert default_folder().parts[-3:] == (".config", "rtreg", "keys")


def test_security_says_what_to_do_when_there_is_no_key(tmp_path):
    assert Security().guard().credentials is None
    with pytest.raises(ConfigError, match="rtreg keys new local"):
        Security(curve=True, folder=str(tmp_path)).guard()


def test_no_secret_is_shown(ring):
    guard = Security(curve=True, folder=str(ring.folder)).guard()
    assert ring.own("local")[1] == guard.credentials.secret
    assert guard.credentials.secret not in repr(guard)
