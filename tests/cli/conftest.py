import socket

import pytest


@pytest.fixture
def unused_port():
    """A loopback port that nobody listens on."""
    with socket.socket() as reserve:
        reserve.bind(("127.0.0.1", 0))
        yield reserve.getsockname()[1]
