"""The camera process: a feed out to the wire at a rate, and the moves of what it can move in."""

from __future__ import annotations

import time

from rtreg import build
from rtreg.errors import DeviceError
from rtreg.io.actuators import obey
from rtreg.io.config import Config
from rtreg.io.feeds import Feed
from rtreg.io.realtime import Stop, quiet
from rtreg.io.sockets import DeviceServer, FramePublisher
from rtreg.services.journal import Journal

LONGEST_WAIT_NS = 100_000_000  # a stop is noticed at least this often
MOST_ANSWERS = 16  # of those that wait when a frame is due: a flood of requests must not keep it from coming
SLEEP_NS = 1_200_000  # the last stretch before a deadline is slept: polling knows only whole milliseconds


class Pacer:
    """Absolute deadlines: lateness does not add up, and missed ones are counted, not made up for in a burst."""

    def __init__(self, rate_hz: float, now_ns: int) -> None:
        self._period = round(1e9 / rate_hz) if rate_hz else 0
        self.deadline = now_ns
        self.missed = 0

    def advance(self, now_ns: int) -> None:
        """Go on to the next deadline that has not been missed by a whole period."""
        if not self._period:
            self.deadline = now_ns
            return
        self.deadline += self._period
        late = max(0, now_ns - self.deadline) // self._period
        self.missed += late
        self.deadline += late * self._period


def answer(feed: Feed, device: DeviceServer, timeout_ms: int = 0) -> bool:
    """Answer one request if there is one within `timeout_ms`; whether there was."""
    request = device.poll(timeout_ms)
    if request is None:
        return False
    try:
        device.reply(request, obey(feed, request.body, time.monotonic_ns()))
    except DeviceError as error:
        device.refuse(request, str(error))
    return True


def wait(deadline_ns: int, feed: Feed, device: DeviceServer, stop: Stop) -> None:
    """Wait for the deadline, answering requests meanwhile; then those that came last, for the frame to come."""
    while not stop and (left := deadline_ns - time.monotonic_ns()) > 0:
        if left > SLEEP_NS:
            answer(feed, device, max(1, (min(left, LONGEST_WAIT_NS) - SLEEP_NS // 4) // 1_000_000))
        else:
            time.sleep(left / 1e9)
    answers = 0
    while answers < MOST_ANSWERS and not stop and answer(feed, device):
        answers += 1


def run(feed: Feed, frames: FramePublisher, device: DeviceServer, rate_hz: float, stop: Stop) -> Pacer:
    """Publish until the feed ends or a stop is asked for."""
    pacer = Pacer(rate_hz, time.monotonic_ns())
    while not stop:
        wait(pacer.deadline, feed, device, stop)
        frame = feed.next_frame()
        if frame is None:
            break
        frames.send(frame)
        pacer.advance(time.monotonic_ns())
    return pacer


def main(config: Config) -> int:
    """Run the camera of `config` until it ends, or until SIGINT or SIGTERM."""
    stop, journal, ends = Stop().listen(), Journal("camera"), config.endpoints
    with stop.at_once():
        options, guard = build.camera_options(config), build.guard(config)
        feed = build.feed(config)
    try:
        with (
            FramePublisher(ends.frames, config.stream, guard=guard) as frames,
            DeviceServer(ends.device, guard=guard) as device,
        ):
            quiet()
            journal.say(f"ready: {feed.describe()}, {frames.endpoint}, moves at {device.endpoint}")
            pacer = run(feed, frames, device, options.rate_hz, stop)
            journal.say(f"done: {frames.seq} frames, {pacer.missed} deadlines missed")
    finally:
        feed.close()
    return 0
