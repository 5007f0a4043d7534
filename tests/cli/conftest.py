import socket

import pytest


@pytest.fixture
def unused_port():
    """A loopback port that nobody listens on."""
    with socket.socket() as reserve:
        reserve.bind(("127.0.0.1", 0))
        yield reserve.getsockname()[1]


@pytest.fixture
def free_overrides():
    """``--set`` arguments that put every endpoint on a port that the system will choose."""
    names = ("frames", "corrections", "control", "status", "device")
    return [word for name in names for word in ("--set", f"endpoints.{name}=tcp://127.0.0.1:*")]
