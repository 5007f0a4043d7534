"""Frames out and in."""

from __future__ import annotations

import os
import time
from typing import Final

import msgspec
import zmq

from rtreg.errors import ConfigError, WireError
from rtreg.io import shm, wire
from rtreg.io.address import shared
from rtreg.io.realtime import host_id
from rtreg.io.security import LOCAL, Guard
from rtreg.io.sockets.base import DRAIN, MARGIN, Socket, buffers, refusal
from rtreg.records import Frame, Reception, Refusal

__all__ = ["FramePublisher", "FrameSubscriber"]

DEFAULT_FRAME_BYTES: Final = 64 * 2**20


class FramePublisher(Socket):
    """Frames out. Adds to each what identifies it: stream, epoch, seq, hand-over time and host.

    The epoch is random and new with each publisher, so that a restart is not taken for a gap. At ``shm://name`` the
    pixels go through shared memory, and a ticket for them through the socket.
    """

    server = "camera"
    _ring: shm.Ring | None = None

    def __init__(self, endpoint: str, stream: str, *, guard: Guard = LOCAL) -> None:
        self.stream = wire.stream_name(stream)
        self.epoch = int.from_bytes(os.urandom(8), "little") >> 1
        self.seq = 0
        self._host = host_id()
        super().__init__(zmq.PUB, endpoint, bind=True, guard=guard)
        name = shared(endpoint)
        try:
            self._ring = None if name is None else shm.Ring(name)  # after the bind: now nobody else writes there
        except ConfigError:
            self.close()
            raise

    def close(self) -> None:
        """Close; what is still to be sent has 200 ms."""
        super().close()
        if self._ring is not None:
            self._ring.close()

    def send(self, frame: Frame) -> None:
        """Publish `frame`; its pixels must not be written to afterwards, from 64 KiB up they are not copied."""
        stamped = msgspec.structs.replace(
            frame,
            stream=self.stream,
            epoch=self.epoch,
            seq=self.seq,
            mono_ns=time.monotonic_ns(),
            host=self._host,
        )
        parts = wire.pack_frame(stamped)
        if self._ring is not None:
            parts[2] = self._ring.put(memoryview(parts[2]))
        self._socket.send_multipart(parts, copy=False)
        self.seq += 1


class FrameSubscriber(Socket):
    """Frames in. `newest` (live): the queue is drained and the newest frame wins; else every frame comes, in order.

    Measured with 15 ms of work on 100 frames a second: without draining a frame is 2.7 s old after 8 s, with it 6 ms.
    """

    server = "camera"

    def __init__(
        self,
        endpoint: str,
        stream: str,
        *,
        newest: bool = True,
        max_bytes: int = DEFAULT_FRAME_BYTES,
        guard: Guard = LOCAL,
    ) -> None:
        self._newest, self._max_bytes = newest, max_bytes
        self._fetch = None if shared(endpoint) is None else shm.Reader().get
        super().__init__(
            zmq.SUB,
            endpoint,
            bind=False,
            guard=guard,
            RCVHWM=8 if newest else 1000,
            MAXMSGSIZE=max(4 * max_bytes, max_bytes + MARGIN),
            SUBSCRIBE=wire.topic("f", wire.stream_name(stream)),
        )

    def receive(self, timeout_ms: int) -> Reception | None:
        """What came, or None if nothing did within `timeout_ms`; never raises for what is on the wire."""
        parts = self._receive(timeout_ms)
        if parts is None:
            return None
        newest: Frame | None = None
        skipped: list[Frame] = []
        refused: list[Refusal] = []
        for seen in range(1, DRAIN + 1):
            received = time.monotonic_ns()
            try:
                frame = wire.unpack_frame(buffers(parts), received, max_bytes=self._max_bytes, fetch=self._fetch)
            except WireError as error:
                refused.append(refusal(error, parts))
            else:
                if newest is not None:
                    skipped.append(newest)
                newest = frame
            if seen == DRAIN or not (self._newest and self._waiting()):
                break
            parts = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
        return Reception(newest, skipped, refused)

    def _waiting(self) -> bool:
        """Whether a message is there: cheaper to ask than to catch an exception, and mostly there is none."""
        return bool(int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)
