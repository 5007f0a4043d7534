"""Endpoints before they reach a socket: which may be bound, where ipc paths live, who holds one already."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import re
import stat
import tempfile
from pathlib import Path

from rtreg.errors import ConfigError

__all__ = ["check_bindable", "hold", "owner", "resolve", "runtime_folder", "shared"]

IPC_PATH_BYTES = 107  # sun_path of Linux, less its final zero


def resolve(endpoint: str) -> str:
    """`endpoint` as libzmq takes it: ``ipc://name`` becomes a path in ``$XDG_RUNTIME_DIR/rtreg/``.

    So does ``shm://name``: frames in shared memory are announced there.

    Raises
    ------
    ConfigError
        neither ``tcp://host:port`` nor ``ipc://name``, or a path that is too long for a socket.
    """
    scheme, separator, rest = endpoint.partition("://")
    if scheme == "shm" and rest and "/" not in rest:
        scheme, rest = "ipc", f"{rest}.shm"
    if scheme == "ipc" and separator and rest:
        path = rest if "/" in rest else str(runtime_folder() / rest)
        if len(os.fsencode(path)) > IPC_PATH_BYTES:
            raise ConfigError(f"endpoint {endpoint}: the path is longer than {IPC_PATH_BYTES} bytes; shorten it")
        return f"ipc://{path}"
    if scheme == "tcp" and _is_port(rest.rpartition(":")[2]) and rest.rpartition(":")[0]:
        return endpoint
    raise ConfigError(
        f"endpoint {endpoint!r}: write tcp://127.0.0.1:5600, ipc://name, ipc:///a/path or, for frames, shm://name"
    )


def shared(endpoint: str) -> str | None:
    """Name of an endpoint in shared memory; None for one of another kind."""
    return endpoint.removeprefix("shm://") if endpoint.startswith("shm://") else None


def _is_port(text: str) -> bool:
    return text == "*" or (text.isascii() and text.isdigit() and 0 < int(text) <= 65535)


def check_bindable(endpoint: str, *, allow_public: bool) -> None:
    """Refuse to listen beyond this host, unless with CURVE or if the config says so in words.

    Raises
    ------
    ConfigError
        a tcp endpoint that is not on the loopback interface.
    """
    host = endpoint.partition("://")[2].rpartition(":")[0]
    if endpoint.startswith("ipc://") or allow_public or _is_loopback(host):
        return
    raise ConfigError(
        f"endpoint {endpoint} would listen beyond this host, to anyone; use tcp://127.0.0.1:... or ipc://..., "
        "or encrypt: security.curve = true; if it must be open to anyone, write endpoints.allow_public = true "
        "(never honoured for control and device)"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def runtime_folder() -> Path:
    """The folder of our ipc sockets, 0700 and ours."""
    parent = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(parent) / "rtreg" if parent else Path(tempfile.gettempdir()) / f"rtreg-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ConfigError(f"{folder} must be a folder of yours with mode 0700; remove it or set XDG_RUNTIME_DIR")
    return folder


def hold(endpoint: str) -> int:
    """Lock an endpoint (already resolved) that is about to be bound; the lock's file descriptor, or -1 without one.

    A second bind on one ipc path silently succeeds and takes the new subscribers, so that libzmq cannot be asked. With
    tcp it can: there the lock only says who it is that has the port, see `owner`.

    Raises
    ------
    ConfigError
        another process holds an ipc path (the message names its pid), or its folder is not there.
    """
    path, is_ipc = _lock_path(endpoint), endpoint.startswith("ipc://")
    if path is None:
        return -1
    try:
        held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        if not is_ipc:
            return -1
        raise ConfigError(f"endpoint {endpoint}: {error.strerror}: {path}") from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        if not is_ipc:
            return -1
        raise ConfigError(
            f"endpoint {endpoint} is in use by process {owner(endpoint) or 'unknown'}; "
            "stop it or choose another endpoint"
        ) from None
    os.ftruncate(held, 0)
    os.pwrite(held, str(os.getpid()).encode("ascii"), 0)
    return held


def owner(endpoint: str) -> int | None:
    """Pid of the rtreg process that has bound an endpoint (already resolved); None if none of ours has."""
    path = _lock_path(endpoint)
    try:
        found = os.open(path or "", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(found, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(found, 20, 0)
        return int(text) if text.isdigit() else None
    finally:
        os.close(found)
    return None


def _lock_path(endpoint: str) -> str | None:
    """Where the lock of an endpoint is: beside an ipc path; of a tcp port, unless yet to be chosen, in our folder."""
    scheme, _, rest = endpoint.partition("://")
    if scheme == "ipc":
        return f"{rest}.lock"
    if rest.endswith(":*"):
        return None
    try:
        return str(runtime_folder() / f"tcp-{re.sub(r'[^A-Za-z0-9.]', '-', rest)}.lock")
    except (ConfigError, OSError):
        return None
