"""CURVE keys on disk, and the list of who may do what. No sockets here; the keys are made in `rtreg.io.sockets.curve`.

A keyring is a folder, 0700, of files, 0600: ``NAME.secret`` and ``NAME.public``, a key in Z85 each, and the list
``authorized``, one ``NAME ROLE KEY`` a line. A change of the list is noticed when it is next asked: no restart.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from rtreg.errors import ConfigError
from rtreg.io.atomic import replacing

__all__ = ["DEFAULT_NAME", "Keyring", "Peer", "Role", "default_folder"]

DEFAULT_NAME: Final = "local"
LARGEST_LIST: Final = 2**20  # bytes; some ten thousand peers
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,40}\Z")
_KEY: Final = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}\Z")  # Z85 of 32 bytes


class Role(StrEnum):
    """What a peer may do."""

    NONE = "none"  # known by name, to connect to; may not connect to us
    OBSERVE = "observe"  # subscribe, ask for the status
    CONTROL = "control"  # give orders and moves, too


class Peer(NamedTuple):
    """One line of the list."""

    name: str
    role: Role
    key: str


def default_folder() -> Path:
    """Where keys are unless the configuration says otherwise: ``$XDG_CONFIG_HOME/rtreg/keys``."""
    parent = os.environ.get("XDG_CONFIG_HOME")
    return (Path(parent) if parent else Path.home() / ".config") / "rtreg" / "keys"


class Keyring:
    """The keys of a folder.

    The mutable state is the list as last read, with what its file looked like then; `role` may be asked from any
    thread.

    Parameters
    ----------
    folder : Path, optional
        The default is `default_folder`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] = ()
        self._roles: dict[str, Role] = {}

    def __repr__(self) -> str:
        return f"<Keyring {self.folder}>"

    # -- own keys ----------------------------------------------------------------------------------------------------

    def add(self, name: str, public: str, secret: str) -> None:
        """Keep a new pair of keys; ConfigError if the name is taken, since its old key may be trusted elsewhere."""
        self._check_name(name)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._check_folder()
        for kind, key in (("secret", secret), ("public", public)):
            path = self.folder / f"{name}.{kind}"
            try:
                made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            except FileExistsError:
                raise ConfigError(f"{path} exists; choose another name, or remove it if nobody trusts it") from None
            with open(made, "w", encoding="ascii") as file:
                file.write(f"{key}\n")

    def names(self) -> list[str]:
        """Of the pairs of keys in the folder."""
        return sorted(path.stem for path in self.folder.glob("*.secret"))

    def own(self, name: str) -> tuple[str, str]:
        """Public and secret key, Z85, of one of ours.

        Raises
        ------
        ConfigError
            There is no such pair, or others could have read it.
        """
        self._check_name(name)
        if not (self.folder / f"{name}.secret").exists():
            raise ConfigError(f"{self.folder} has no key {name!r}; make it: rtreg keys new {name}")
        self._check_folder()
        return self._read_key(f"{name}.public"), self._read_key(f"{name}.secret")

    def public(self, name: str) -> str:
        """The public key, Z85, of one of ours or of a peer; ConfigError if neither has that name."""
        self._check_name(name)
        if (self.folder / f"{name}.public").exists():
            self._check_folder()
            return self._read_key(f"{name}.public")
        for peer in self.peers():
            if peer.name == name:
                return peer.key
        raise ConfigError(f"{self.folder} knows no {name!r}; add its key: rtreg keys authorize {name} KEY --role none")

    def _read_key(self, file: str) -> str:
        path = self.folder / file
        _check_private(path, path.lstat())
        key = path.read_text("ascii", "replace").strip()
        if not _KEY.match(key):
            raise ConfigError(f"{path}: not a key in Z85 (40 characters)")
        return key

    def _check_folder(self) -> None:
        _check_private(self.folder, self.folder.lstat(), is_folder=True)

    @staticmethod
    def _check_name(name: str) -> None:
        if not _NAME.match(name):
            raise ConfigError(f"name {name!r}: use 1 to 40 ASCII letters, digits, '-' and '_'")

    # -- others ------------------------------------------------------------------------------------------------------

    @property
    def _list(self) -> Path:
        return self.folder / "authorized"

    def peers(self) -> list[Peer]:
        """The list; a line that is none of it is passed over, so that nobody is let in by mistake."""
        try:
            found = self._list.lstat()
        except FileNotFoundError:
            return []
        self._check_folder()
        _check_private(self._list, found)
        if found.st_size > LARGEST_LIST:
            raise ConfigError(f"{self._list}: {found.st_size} bytes; at most {LARGEST_LIST}")
        lines = self._list.read_text("ascii", "replace").splitlines()
        return [peer for line in lines if (peer := _peer(line)) is not None]

    def authorize(self, name: str, key: str, role: Role) -> None:
        """Enter a peer, or change its key or its role."""
        self._check_name(name)
        if not _KEY.match(key):
            raise ConfigError(f"key {key!r}: not a public key in Z85 (40 characters); see rtreg keys show")
        if name in self.names():
            raise ConfigError(f"{name!r} is a key of this folder, which may do everything; choose another name")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        peers = [peer for peer in self.peers() if name != peer.name and key != peer.key]
        text = "".join(f"{peer.name} {peer.role} {peer.key}\n" for peer in (*peers, Peer(name, role, key)))
        with replacing(self._list) as path, open(path, "w", encoding="ascii", opener=_private) as file:
            file.write(text)

    def role(self, key: str) -> Role:
        """What the holder of a public key (Z85) may do, by the list as it is now; never raises: NONE in doubt."""
        with self._lock:
            try:
                self._reread()
            except (OSError, ConfigError):
                self._seen, self._roles = (), {}
            return self._roles.get(key, Role.NONE)

    def _reread(self) -> None:
        """Read the list again if its file is another than before."""
        now: tuple[int, ...] = ()
        if self._list.exists():
            found = self._list.stat()
            now = (found.st_mtime_ns, found.st_ino, found.st_size, found.st_mode)
        if now != self._seen:
            self._roles = {peer.key: peer.role for peer in self.peers()}
            self._seen = now


def _peer(line: str) -> Peer | None:
    words = line.split()
    if len(words) != 3 or not _NAME.match(words[0]) or words[1] not in list(Role) or not _KEY.match(words[2]):
        return None
    return Peer(words[0], Role(words[1]), words[2])


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _check_private(path: Path, found: os.stat_result, *, is_folder: bool = False) -> None:
    """Refuse what others can read or write, or what is not what it should be."""
    is_kind, mode = (stat.S_ISDIR, 0o700) if is_folder else (stat.S_ISREG, 0o600)
    if not is_kind(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ConfigError(f"{path} must be yours and closed to others; run: chmod {mode:o} {path}")
