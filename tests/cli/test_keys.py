"""``rtreg keys``: made, shown, let in; and errors in one line."""

import pytest

from rtreg.cli import main


@pytest.fixture
def keys(tmp_path, capsys):
    """``rtreg keys ...`` on a folder of its own; returns (exit code, stdout, stderr)."""

    def run(*words):
        code = main(["keys", "--folder", str(tmp_path / "keys"), *words])
        return code, *capsys.readouterr()

    return run


def test_a_key_is_made_shown_and_let_in(keys):
    assert "rtreg keys new" in keys("show")[1]
    code, made, _ = keys("new")
    assert code == 0
    public = made.split()[1]
    assert len(public) == 40
    assert not public.startswith("-")
    assert keys("authorize", "desk", "k" * 40, "--role", "control") == (0, "desk: control\n", "")
    lines = [line.split() for line in keys("show")[1].splitlines()]
    assert lines == [["local", "own", public], ["desk", "control", "k" * 40]]


def test_secrets_are_not_shown(keys, tmp_path):
    said = keys("new")[1] + keys("show")[1]
    assert (tmp_path / "keys" / "local.secret").read_text().strip() not in said


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["new", "a/b"], "'a/b'"),
        (["authorize", "desk", "short"], "'short'"),
        (["authorize", "desk", "k" * 40, "--role", "root"], "'root'"),
        (["authorize", "local", "k" * 40], "'local'"),
    ],
)
def test_what_cannot_be_is_one_line(keys, words, named):
    keys("new")
    code, out, err = keys(*words)
    assert (code, out) == (2, "")
    assert named in err
    assert err.count("\n") == 1


def test_a_key_is_not_made_twice(keys):
    keys("new")
    code, _, err = keys("new")
    assert code == 2
    assert "exists" in err
