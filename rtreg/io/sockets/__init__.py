"""The sockets: one thin class a role. The only user of zmq.

Mutable state is a socket and the lock on its endpoint; none of it may be shared between threads.
"""

from rtreg.io.sockets.base import last_words
from rtreg.io.sockets.curve import new_pair
from rtreg.io.sockets.frames import FramePublisher, FrameSubscriber
from rtreg.io.sockets.requests import ControlClient, ControlServer, DeviceClient, DeviceServer, Request
from rtreg.io.sockets.results import (
    CorrectionSubscriber,
    EventSubscriber,
    Relay,
    ResultPublisher,
    StatusPublisher,
    StatusSubscriber,
    Tap,
)

__all__ = [
    "ControlClient",
    "ControlServer",
    "CorrectionSubscriber",
    "DeviceClient",
    "DeviceServer",
    "EventSubscriber",
    "FramePublisher",
    "FrameSubscriber",
    "Relay",
    "Request",
    "ResultPublisher",
    "StatusPublisher",
    "StatusSubscriber",
    "Tap",
    "last_words",
    "new_pair",
]
