"""Who may reach our sockets: the table ``[security]``, and the `Guard` that sockets are made with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rtreg.io.keys import DEFAULT_NAME, Keyring

__all__ = ["LOCAL", "Credentials", "Guard", "Security", "Server"]

Server = Literal["camera", "tracker"]  # which process binds


@dataclass(frozen=True)
class Credentials:
    """Our own pair of keys, the public ones of the processes that bind, all in Z85; and who may connect to us."""

    public: str
    secret: str = field(repr=False)
    servers: Mapping[Server, str]
    keyring: Keyring


@dataclass(frozen=True)
class Guard:
    """What a socket asks of its peers.

    Without `credentials` it is not encrypted: then it may listen on this host only, but for what is not control,
    and `public`, where the configuration says so in words.
    """

    public: bool = False
    credentials: Credentials | None = None


LOCAL = Guard()


@dataclass(frozen=True)
class Security:
    """Encryption and authentication of every socket, by CURVE: see ``docs/security.md``.

    Parameters
    ----------
    curve : bool
        Encrypt, and let only those in that ``rtreg keys authorize`` has let in.
    folder : str, optional
        Of the keys; the default is ``$XDG_CONFIG_HOME/rtreg/keys``. Keys are never in a configuration.
    identity : str
        Name of the key that this host's processes have.
    camera : str
        Name of the key that the camera process has: `identity`'s when it runs on this host.
    tracker : str
        Name of the key that the tracker has: `identity`'s when it runs on this host.
    """

    curve: bool = False
    folder: str | None = None
    identity: str = DEFAULT_NAME
    camera: str = DEFAULT_NAME
    tracker: str = DEFAULT_NAME

    def guard(self, *, public: bool = False) -> Guard:
        """The guard that this describes; ConfigError if a key is missing or others could have read it."""
        if not self.curve:
            return Guard(public=public)
        keyring = Keyring(Path(self.folder).expanduser() if self.folder else None)
        own, secret = keyring.own(self.identity)
        servers: dict[Server, str] = {"camera": keyring.public(self.camera), "tracker": keyring.public(self.tracker)}
        return Guard(public=public, credentials=Credentials(own, secret, servers, keyring))
