"""Frames in shared memory: what is read is what was written, or is known not to be; segments come and go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from rtreg.errors import ConfigError, WireError
from rtreg.io import shm
from rtreg.io.sockets import FramePublisher, FrameSubscriber, Tap
from rtreg.io.wire import topic
from rtreg.records import Frame

NAME = f"t{os.getpid()}"
ENDPOINT = f"shm://{NAME}"

pytestmark = pytest.mark.skipif(not shm.FOLDER.is_dir(), reason="shared memory is a folder on Linux alone")


@pytest.fixture(autouse=True)
def runtime_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "rtreg").mkdir(mode=0o700)
    yield
    assert not segments()


def segments(name=NAME):
    return sorted(shm.FOLDER.glob(f"rtreg-{os.getuid()}-{name}-*"))


@pytest.fixture
def ring():
    made = shm.Ring(NAME)
    yield made
    made.close()


def pattern(k, shape=(8, 8)):
    return np.full(shape, k, np.uint16)


def put(ring, array):
    return ring.put(array.reshape(-1).view(np.uint8).data)


def reason(reader, ticket):
    with pytest.raises(WireError) as caught:
        reader.get(ticket, (7, 8))
    assert caught.value.identity == (7, 8)
    return caught.value.reason


def test_what_is_put_is_got_by_any_number_of_readers_any_number_of_times(ring):
    readers = [shm.Reader(), shm.Reader()]
    tickets = [put(ring, pattern(k)) for k in range(shm.SLOTS)]
    for reader in readers:
        for k, ticket in list(enumerate(tickets)) * 2:
            np.testing.assert_array_equal(np.frombuffer(reader.get(ticket), np.uint16), k)


def test_a_lapped_slot_is_known_to_be(ring):
    reader, first = shm.Reader(), put(ring, pattern(1))
    kept = reader.get(first)
    for k in range(shm.SLOTS):
        put(ring, pattern(k))
    assert reason(reader, first) == "overwritten"
    np.testing.assert_array_equal(np.frombuffer(kept, np.uint16), 1)  # a copy: the writer does not reach it


def test_a_slot_that_is_being_written_is_not_read(ring):
    reader, ticket = shm.Reader(), put(ring, pattern(1))
    reader.get(ticket)
    ring._words[0] += 1  # as the writer does before it writes
    assert reason(reader, ticket) == "overwritten"


def test_a_write_in_the_middle_of_a_read_is_noticed(ring):
    reader, ticket = shm.Reader(), put(ring, pattern(1))
    reader.get(ticket)

    class Meanwhile:
        """The reader's map, with a writer that is faster."""

        def __len__(self):
            return len(ring._map)

        def __getitem__(self, part):
            for _ in range(shm.SLOTS):
                put(ring, pattern(2))
            return ring._map[part]

    reader._map = Meanwhile()
    assert reason(reader, ticket) == "overwritten"


def test_larger_frames_get_a_new_segment_and_the_old_one_goes(ring):
    reader, small = shm.Reader(), put(ring, pattern(1))
    reader.get(small)
    (before,) = segments()
    large = put(ring, pattern(2, (300, 300)))
    (after,) = segments()
    assert before != after
    np.testing.assert_array_equal(np.frombuffer(reader.get(large), np.uint16), 2)
    assert reason(reader, small) == "ticket"  # it may not have been read, and it is gone


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t[:8] + (99).to_bytes(8, "little") + t[16:],
        lambda t: t[:24] + (1 << 60).to_bytes(8, "little") + t[32:],
        lambda t: t[:32] + (1 << 60).to_bytes(8, "little") + t[40:],
        lambda t: t[:40] + b"../../etc/passwd".ljust(64, b"\0"),
        lambda t: t[:40] + b"rtreg-../../etc/passwd".ljust(64, b"\0"),
        lambda t: t[:40] + b"rtreg-0-nobody-0000000000000000".ljust(64, b"\0"),
    ],
)
def test_tickets_from_outside_are_not_believed(ring, change):
    ticket = put(ring, pattern(1))
    assert reason(shm.Reader(), change(ticket)) == "ticket"


def test_what_is_no_ticket_is_the_pixels_themselves():
    for pixels in (b"", b"abc", bytes(104)):
        assert shm.Reader().get(pixels) == pixels


def test_a_segment_that_is_not_ours_or_not_a_file_is_not_read(ring):
    ticket = put(ring, pattern(1))
    (real,) = segments()
    link = shm.FOLDER / f"rtreg-{os.getuid()}-{NAME}-link"
    link.symlink_to(real)
    try:
        assert reason(shm.Reader(), ticket[:40] + link.name.encode().ljust(64, b"\0")) == "ticket"
    finally:
        link.unlink()


def test_a_name_that_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="letters, digits"):
        shm.Ring("a b")


def frames_of(subscriber, publisher, image):
    """The next frame, sent until it comes: a subscriber that has just connected misses the first ones."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        publisher.send(Frame(pixels=image))
        got = subscriber.receive(50)
        if got is not None:
            return got
    raise AssertionError("nothing came")


@pytest.mark.parametrize("shape", [(8, 9), (300, 200)])
def test_the_subscriber_gets_frames_as_over_any_other_socket(shape):
    image = np.arange(shape[0] * shape[1], dtype=np.uint16).reshape(shape)
    with FramePublisher(ENDPOINT, "cam") as publisher, FrameSubscriber(ENDPOINT, "cam") as subscriber:
        got = frames_of(subscriber, publisher, image)
        np.testing.assert_array_equal(got.frame.pixels, image)
        assert not got.frame.pixels.flags.writeable
        assert got.frame.epoch == publisher.epoch
        assert not got.refused
        with pytest.raises(ConfigError, match="in use by process"):
            FramePublisher(ENDPOINT, "cam")
        assert segments()


def test_frames_that_were_overwritten_while_they_waited_are_counted_with_their_numbers():
    with (
        FramePublisher(ENDPOINT, "cam") as publisher,
        FrameSubscriber(ENDPOINT, "cam", newest=False) as subscriber,
    ):
        frames_of(subscriber, publisher, pattern(0))
        while subscriber.receive(100) is not None:
            pass
        first = publisher.seq
        for k in range(shm.SLOTS + 3):
            publisher.send(Frame(pixels=pattern(k)))
            time.sleep(0.01)  # the publisher's own queue is short
        got = [subscriber.receive(10000) for _ in range(shm.SLOTS + 3)]
        lost = [refusal.error for reception in got for refusal in reception.refused]
        assert [error.reason for error in lost] == ["overwritten"] * 3
        assert [error.identity for error in lost] == [(publisher.epoch, first + k) for k in range(3)]
        kept = [reception.frame for reception in got if reception.frame is not None]
        assert [int(frame.pixels[0, 0]) for frame in kept] == list(range(3, shm.SLOTS + 3))


def test_a_tap_has_the_pixels_in_the_message():
    image = np.arange(72, dtype=np.uint16).reshape(8, 9)
    with (
        FramePublisher(ENDPOINT, "cam") as publisher,
        Tap([("camera", ENDPOINT)], [topic("f", "cam")], max_bytes=1 << 20) as tap,
    ):
        parts = frames_of(tap, publisher, image)
        assert bytes(parts[2]) == image.tobytes()


READER = """
import sys
from rtreg.io.sockets import FrameSubscriber
with FrameSubscriber(sys.argv[1], "cam") as frames:
    print("ready", flush=True)
    while (got := frames.receive(20000)) is None or got.frame is None:
        pass
    print(int(got.frame.pixels.sum()), flush=True)
"""
WRITER = """
import sys, time
import numpy as np
from rtreg.io.sockets import FramePublisher
from rtreg.records import Frame
with FramePublisher(sys.argv[1], "cam") as frames:
    while True:
        frames.send(Frame(pixels=np.ones((64, 64), np.uint16)))
        print("sent", flush=True)
        time.sleep(0.01)
"""


def test_a_reader_that_leaves_takes_nothing_with_it():
    """Before Python 3.13 the standard library's shared memory would be gone after the first reader's exit."""
    with FramePublisher(ENDPOINT, "cam") as publisher:
        for _ in range(2):
            with subprocess.Popen(
                [sys.executable, "-c", READER, ENDPOINT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as reader:
                assert reader.stdout.readline() == "ready\n"
                deadline = time.monotonic() + 20
                while reader.poll() is None and time.monotonic() < deadline:
                    publisher.send(Frame(pixels=np.ones((64, 64), np.uint16)))
                    time.sleep(0.01)
                out, err = reader.communicate(timeout=10)
                assert (out, err) == ("4096\n", "")
            assert len(segments()) == 1


def test_what_a_killed_writer_left_is_cleared_away_by_the_next():
    writer = subprocess.Popen([sys.executable, "-c", WRITER, ENDPOINT], stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout.readline() == "sent\n"
        assert len(segments()) == 1
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait(10)
        writer.stdout.close()
    left = segments()
    with FramePublisher(ENDPOINT, "cam") as publisher:
        publisher.send(Frame(pixels=pattern(1)))
        assert len(segments()) == 1
        assert segments() != left
