"""The rows of bench/reliability.py that need one tracker and a camera that can do anything."""

from __future__ import annotations

import signal
import time
from typing import Any

import hostile
import msgspec
import numpy as np
import zmq
from processes import Service, until
from reliability_rig import MIB, MS, RATE, Heard, Measured, Rig, balanced, gap_ms, spread

from rtreg.io.recordings import Recording
from rtreg.records import State

__all__ = ["RATE"]
LARGEST = 2**64 - 1


def restart(rig: Rig) -> Measured:
    """Ten publishers, one after the other."""
    back, lost, kept = [], [], True
    for _ in range(10):
        (*_, before) = rig.hear(lambda heard: heard.locked)
        first = rig.camera.restart()
        epoch = rig.camera.publisher.epoch
        (*_, got) = rig.hear(lambda heard, epoch=epoch: heard.locked and heard.correction.result.epoch == epoch)
        back.append((got.at - first) / MS)
        lost.append(got.correction.result.seq)
        kept &= got.correction.result.reference.id == before.correction.result.reference.id
    return Measured("its first frame", spread(back), spread(lost, "frames"), kept and max(back) < 250)


def frozen(rig: Rig) -> Measured:
    """Five times silent until STALE, and on again."""
    detect, silence, back = [], [], []
    for _ in range(5):
        time.sleep(0.5)  # a stream again
        rig.camera.paused = True
        time.sleep(2 / RATE)
        rig.flush()
        said = rig.hear(lambda heard: heard.correction.result.state is State.STALE)
        detect.append((said[-1].at - rig.camera.sent_ns) / MS)
        silence.append(gap_ms(said))
        first = rig.camera.resume()
        (*_, got) = rig.hear(lambda heard: heard.locked)
        back.append((got.at - first) / MS)
    ok = max(detect) < 1000 + 200 and max(silence) < 200
    return Measured(f"STALE {spread(detect)}; longest silence {max(silence):.0f} ms", spread(back), "0", ok)


def numbers(rig: Rig) -> Measured:
    """A gap of 10, one of them late, 5 duplicates, and a wrap, against the accounts."""
    camera = rig.camera
    rig.hear(lambda heard: heard.locked)
    camera.paused = True
    time.sleep(0.1)
    before = rig.counts()
    with camera.lock:
        seq = camera.publisher.seq
        for number in (seq + 10, seq + 5, seq + 5, seq + 5, seq + 10, seq + 10, seq + 10):
            camera.publisher.seq = number
            camera.publisher.send(camera.picture())
            time.sleep(0.02)
    after = until(lambda: (c := rig.counts())["duplicate"] >= before["duplicate"] + 5 and c)
    exact = (after["lost"] - before["lost"], after["received"] - before["received"]) == (9, 2)
    camera.restart()
    with camera.lock:
        camera.publisher.seq = LARGEST - 5
    camera.resume()
    rig.hear(lambda heard: heard.locked and heard.correction.result.seq > 2**63)
    before = rig.counts()
    with camera.lock:
        camera.publisher.seq = LARGEST
        camera.publisher.send(camera.picture())
        camera.publisher.seq = 0
    wrapped = rig.hear(lambda heard: heard.locked and heard.correction.result.seq == 20)
    last = rig.counts()
    exact &= balanced(last) and last["duplicate"] == before["duplicate"] and last["lost"] - before["lost"] < 10
    return Measured(
        "the next frame", f"the next frame; wrap {gap_ms(wrapped):.0f} ms", "as many as made, exactly", exact
    )


def slow_us(rig: Rig) -> Measured:
    """The tracker stopped for a second, five times."""
    back, late = [], []
    before = rig.counts()
    for _ in range(5):
        rig.hear(lambda heard: heard.locked)
        rig.tracker.process.send_signal(signal.SIGSTOP)
        time.sleep(1.0)
        rig.flush()
        on = time.monotonic_ns()
        rig.tracker.process.send_signal(signal.SIGCONT)
        said = rig.hear(lambda heard, on=on: heard.locked and heard.correction.delivery.sent > on)
        back.append((said[-1].at - on) / MS)
        good = [h.correction.delivery for h in said if h.locked and h.correction.delivery.valid_until > h.at]
        late += [(delivery.out - delivery.sent) / MS for delivery in good if delivery.sent]
    after = rig.counts()
    dropped = (_unused(after) - _unused(before)) / 5
    detect = f"at once; oldest frame acted on {max(late):.0f} ms"
    lost = f"{dropped:.0f} in a second of stop, all counted"
    return Measured(detect, spread(back), lost, max(late) <= 400 and balanced(after))


def slow_them(rig: Rig) -> Measured:
    """A peer that never reads, ten seconds long, and every correction to the other."""
    with zmq.Context.instance().socket(zmq.SUB) as deaf:
        deaf.linger, deaf.rcvhwm = 0, 1
        deaf.connect(rig.ends.corrections)
        deaf.subscribe(b"")
        end = time.monotonic() + 10
        said = rig.hear(lambda _: time.monotonic() > end)
    missing = _missing(said)
    return Measured(
        "-", f"longest silence {gap_ms(said):.0f} ms", f"{missing} of {len(said)} corrections", missing == 0
    )


def malformed(rig: Rig) -> Measured:
    """A hundred of each kind between frames."""
    camera, before, kinds, said = rig.camera, rig.counts(), 0, []
    bad_epoch = 77
    for round_ in range(100):
        with camera.lock:
            for parts, _, _ in (messages := hostile.bad_frames("cam", bad_epoch, 4 * round_)):
                camera.publisher._socket.send_multipart(parts)
                time.sleep(0.001)
        kinds = len(messages)
        said += rig.hear(lambda heard: heard.locked)
    after = until(lambda: rig.counts())
    refused = sum(
        after[table].get(reason, 0) - before[table].get(reason, 0)
        for table in ("rejected", "unattributable")
        for reason in ("header", "parts", "version", "size", "dtype", "too_large")
    )
    fine = balanced(after) and refused >= 0.95 * kinds * 100 and rig.tracker.process.poll() is None
    return Measured(
        f"at once: {refused} of {kinds * 100} counted by reason",
        f"longest silence {gap_ms(said):.0f} ms",
        "0",
        fine,
    )


def shape(rig: Rig) -> Measured:
    """To another shape and dtype, never seen before on this tracker, and back."""
    back, silence = [], []
    for kind in (((48, 80), "float32"), ((64, 64), "uint16")):
        (*_, before) = rig.hear(lambda heard: heard.locked)
        old = before.correction.result.reference.id
        rig.camera.look_at(*kind)
        began = time.monotonic_ns()
        said = rig.hear(lambda heard, old=old: heard.locked and heard.correction.result.reference.id > old, 240)
        back.append((said[-1].at - began) / MS)
        silence.append(gap_ms(said))
    detect = f"5 frames; longest silence {max(silence):.0f} ms"
    return Measured(detect, f"new {back[0]:.0f} ms, known {back[1]:.0f} ms", "until warm", max(silence) < 500)


def pictures(rig: Rig) -> Measured:
    """Fifty frames without a picture; uint16 knows neither NaN nor Inf: the test has those."""
    held, back = 0, []
    for value in (0, 500, 65535) * 17:
        with rig.camera.lock:
            image = rig.camera.picture()
            pixels = np.full(image.pixels.shape, value, image.pixels.dtype)
            pixels.flags.writeable = False
            seq = rig.camera.publisher.seq
            rig.camera.publisher.send(msgspec.structs.replace(image, pixels=pixels))
        said = rig.hear(lambda heard, seq=seq: heard.locked and heard.correction.result.seq > seq)
        held += any(h.correction.result.seq == seq and h.correction.result.verdict for h in said)
        back.append(said[-1].correction.result.seq - seq)
    members = rig.ask("status")["reference"]["frames"]
    found = f"that frame; {held} of 51 held with a reason"
    return Measured(found, f"{np.median(back):.0f} frame", "0", held > 25 and bool(members))


def clock(rig: Rig) -> Measured:
    """Two hours forth and back, ten times, by the frames' UTC label."""
    before = rig.counts()
    worst = 0.0
    for by in (-7200, 7200) * 10:
        with rig.camera.lock:
            stepped = time.time_ns() + by * 10**9
            rig.camera.publisher.send(msgspec.structs.replace(rig.camera.picture(), t_ns=stepped))
        said = rig.hear(lambda heard: heard.locked)
        worst = max(worst, gap_ms(said))
    after = rig.counts()
    return Measured("nothing to detect", "-", "0", after["rejected"] == before["rejected"])


def hostile_peers(rig: Rig) -> Measured:
    """Both at once on the corrections, the status and the control ends."""
    pid, junk, bombs, said = rig.tracker.process.pid, hostile.Junk(), [], []
    before = peak = hostile.memory(pid)
    try:
        for round_ in range(20):
            junk.connect((rig.ends.corrections, rig.ends.status, rig.ends.control)[round_ % 3], 100)
            bombs += hostile.subscription_bomb(rig.ends.corrections, 1, 20_000)
            end = time.monotonic() + 0.3
            said += rig.hear(lambda _, end=end: time.monotonic() > end)
            peak = max(peak, hostile.memory(pid))
        end = time.monotonic() + 3
        said += rig.hear(lambda _: time.monotonic() > end)
        peak = max(peak, hostile.memory(pid))
    finally:
        junk.close()
        for bomb in bombs:
            bomb.close(0)
    grown = (peak - before) / MIB
    missing = _missing(said)
    silence = f"longest silence {gap_ms(said):.0f} ms; memory +{grown:.0f} MiB at most"
    return Measured("-", silence, f"{missing} of {len(said)} corrections", missing == 0 and grown < 64)


def recording(rig: Rig) -> Measured:
    """A recorder killed after four seconds."""
    path = rig.logs / "killed.mcap"
    recorder = Service("record", "simulated", rig.settings, rig.logs / "recorder.log", str(path))
    recorder.wait_ready()
    first = rig.camera.publisher.seq
    time.sleep(4.0)
    recorder.process.kill()
    recorder.process.wait()
    seen = rig.camera.publisher.seq - first
    with Recording(path) as got:
        kept = sum(1 for _ in got.frames("cam"))
    return Measured("-", f"{kept} of about {seen} frames read", f"{max(0, seen - kept)}", kept > 0.8 * seen)


def stop(rig: Rig) -> Measured:
    """The last row of this tracker, and another one for the other signal."""
    took, codes, said = [], [], []
    for number in (signal.SIGTERM, signal.SIGINT):
        rig.hear(lambda heard: heard.locked)
        began = time.monotonic_ns()
        rig.tracker.process.send_signal(number)
        said += rig.hear(lambda heard: heard.correction.result.state is State.STOPPING)[-1:]
        codes.append(rig.tracker.process.wait(20))
        took.append((time.monotonic_ns() - began) / MS)
        rig.tracker = Service("track", "simulated", rig.settings, rig.logs / f"tracker{number}.log").wait_ready()
    rig.hear(lambda heard: heard.locked)
    return Measured("at once", f"gone after {spread(took)}", "-", codes == [0, 0] and max(took) < 1000)


def _unused(counts: dict[str, Any]) -> int:
    """Frames that were not looked at: lost, skipped for a newer one, rejected."""
    return int(counts["lost"] + counts["skipped"] + sum(counts["rejected"].values()))


def _missing(said: list[Heard]) -> int:
    """How many corrections did not come: each answers an event, and events are numbered."""
    events = [heard.correction.delivery.event for heard in said]
    return events[-1] - events[0] + 1 - len(events)
