"""An engine put away and taken out again goes on as if nothing had been."""

from __future__ import annotations

import math

import numpy as np
import pytest
from rig import Loop, engine, spoiled
from scenes import NOISE, clean, make, noisy

from rtreg.errors import FrameError
from rtreg.estimators.registrar import Registrar
from rtreg.io import checkpoint
from rtreg.live.bookkeeper import Bookkeeper
from rtreg.live.controller import Controller
from rtreg.live.metrics import Ledger
from rtreg.live.policy import ReferencePolicy
from rtreg.live.quality import QualityGate
from rtreg.records import Order, Reception, Shift, Tick
from rtreg.simulate import Motion

# what the next frame writes before it reads, or what only says how the last one went
SCRATCH = {
    "Registrar": {"_exposure", "_searched_with"},
    "Tracker": {"_scratch", "_model", "_sums", "_state", "_lost", "fit"},
    "Cut": {"image", "bad", "column", "rest", "_room"},
    "Searcher": {"_frame", "_frame_spectrum", "_squared", "_maps", "_explained", "_vertex", "_table", "_plan", "peak"},
    "Jury": {"_heights", "_places", "_frame", "_moved", "_lines", "_sums", "_left", "_vertex", "_found"},
    "Group": {"_scratch"},
    "RollingMean": {"_scratch", "_coefficients"},
    "WindowMean": {"_scratch", "_coefficients"},
    "Job": {"_pieces"},
    "Engine": {"_make", "_last"},
    "Reference": {"_make", "_fresh", "_noise", "_policy"},
    "Successor": {"_make"},
    "Anchor": {"_make"},
}


POLICIES = [
    ReferencePolicy(frames=4, batch=4, anchor_every=12),
    ReferencePolicy(policy="exponential", frames=4, batch=3, memory=9),
    ReferencePolicy(policy="window", frames=4, batch=3, memory=9, anchor_every=6),
    ReferencePolicy(policy="mean", frames=4),
    ReferencePolicy(policy="fixed"),
]


def differences(a, b, path="engine"):
    """Where two objects differ, attribute by attribute; NaN equals NaN."""
    if type(a) is not type(b) and not {type(a), type(b)} <= {int, float}:
        yield f"{path}: {type(a).__name__} and {type(b).__name__}"
    elif isinstance(a, np.ndarray):
        if a.shape != b.shape or a.tobytes() != b.tobytes():
            yield f"{path}: arrays differ"
    elif isinstance(a, dict):
        if a.keys() != b.keys():
            yield f"{path}: keys {a.keys() ^ b.keys()}"
        for key in a.keys() & b.keys():
            yield from differences(a[key], b[key], f"{path}.{key}")
    elif isinstance(a, (list, tuple)):
        if len(a) != len(b):
            yield f"{path}: {len(a)} and {len(b)} long"
        for index, (one, other) in enumerate(zip(a, b, strict=False)):
            yield from differences(one, other, f"{path}[{index}]")
    elif type(a).__module__.startswith("rtreg.") and not hasattr(a, "name"):
        scratch = SCRATCH.get(type(a).__name__, set())
        names = [*vars(a)] if hasattr(a, "__dict__") else [*type(a).__slots__]
        for name in set(names) - scratch:
            yield from differences(getattr(a, name), getattr(b, name), f"{path}.{name}")
    elif isinstance(a, float) and math.isnan(a) and math.isnan(b):
        pass
    elif a != b:
        yield f"{path}: {a!r} and {b!r}"


def restored(original, **options):
    """A new engine with the state of `original`, by way of bytes."""
    other = engine(**options)
    other.restore(checkpoint.unpack(checkpoint.pack(original.snapshot())))
    return other


def go_on_alike(one, other, frames):
    for frame in frames:
        assert_same(one.process(frame), other.process(frame))
        one.learn()
        other.learn()


def assert_same(a, b):
    assert repr(a) == repr(b)  # NaN is not equal to itself, its repr is; repr of a float is exact


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.policy)
@pytest.mark.parametrize("known", [True, False], ids=["noise known", "noise measured"])
def test_restored_engine_gives_the_same_results_at_every_stage(policy, known):
    loop = Loop(engine(reference=policy), motion=Motion(seed=4), seed=2)

    def expose():
        frame = loop.expose()
        if known:
            return frame
        return type(frame)(pixels=frame.pixels, epoch=1, seq=frame.seq, recv_mono_ns=frame.recv_mono_ns)

    for _ in range(30):  # collecting, aligning, ready, rolling, anchored
        other = restored(loop.engine, reference=policy)
        assert not list(differences(loop.engine, other))
        assert checkpoint.pack(loop.engine.snapshot()) == checkpoint.pack(other.snapshot())
        go_on_alike(loop.engine, other, [expose() for _ in range(3)])
    assert loop.engine.status()["state"] == "LOCKED"


def test_restored_engine_cuts_its_tiles_for_a_drift_from_where_the_first_one_was():
    loop = Loop(engine(), kind="star", shape=(128, 128), motion=Motion(drift=(12.0, 3.0), seed=4))
    loop.settle()
    loop.run(30)
    halfway = 0
    for _ in range(40):
        tracker = loop.engine._reference.registrar._tracker
        assert not tracker._cut.whole
        halfway += tracker._ahead is not None
        other = restored(loop.engine)
        assert not list(differences(loop.engine, other))
        go_on_alike(loop.engine, other, [loop.expose() for _ in range(3)])
    assert halfway > 2


def test_restored_engine_is_paused_lost_retuned_and_dithered_like_the_first():
    loop = Loop(engine(controller=Controller(gain=0.3, limit=9.0)), motion=Motion(seed=4))
    loop.settle()
    for order in (
        Order(do="retune", args={"gain": 0.7, "max_jump": 3.0, "limit": None}),
        Order(do="dither", args={"dx": 0.5, "dy": -1.0}),
        Order(do="start_from", args={"position": [1.0, 2.0]}),
        Order(do="close"),
    ):
        loop.engine.handle(order)
    loop.run(3)
    blank = spoiled(loop.expose(), np.zeros((64, 64), "<u2"))
    loop.give(blank)  # unlocks
    other = restored(loop.engine, controller=Controller(gain=0.3, limit=9.0))
    assert not list(differences(loop.engine, other))
    assert other.status()["controller"]["gain"] == 0.7
    go_on_alike(loop.engine, other, [loop.expose() for _ in range(6)])
    for order in (Order(do="pause"), Order(do="resume")):
        loop.engine.handle(order)
        other = restored(loop.engine, controller=Controller(gain=0.3, limit=9.0))
        later = Tick(mono_ns=loop.seq * loop.period + 5_000_000_000)
        assert_same(loop.engine.tick(later), other.tick(later))


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.policy)
def test_restored_engine_goes_on_with_the_next_reference(policy):
    options = {"reference": policy, "new_field_after": 0.01}
    loop, other_field = Loop(engine(**options)), Loop(None, kind="cells")
    loop.settle()
    loop.run(5)
    loop.camera = other_field.camera
    ids = set()
    for _ in range(12):  # unknown, begun, aligned, proven, taken over
        other = restored(loop.engine, **options)
        assert not list(differences(loop.engine, other))
        go_on_alike(loop.engine, other, [loop.expose() for _ in range(3)])
        ids.add(loop.engine.status()["reference"]["id"])
    assert ids == {1, 2}


def test_engine_that_has_seen_nothing_is_restored():
    assert not list(differences(engine(), restored(engine())))


def test_other_configuration_keeps_its_own_numbers():
    loop = Loop(engine(controller=Controller(gain=0.3)), motion=Motion(seed=4))
    loop.settle()
    assert restored(loop.engine, controller=Controller(gain=0.9)).status()["controller"]["gain"] == 0.9
    assert restored(loop.engine, gate=QualityGate(max_jump=2.0))._gate.max_jump == 2.0


def test_images_of_another_size_are_refused():
    loop = Loop(engine(), motion=Motion(seed=4))
    loop.settle()
    state = checkpoint.unpack(checkpoint.pack(loop.engine.snapshot()))
    state["reference"]["registrar"]["good"] = np.ones((3, 3), bool)
    with pytest.raises(FrameError, match=r"\(3, 3\)"):
        engine().restore(state)


def test_accounts_are_put_away_with_the_engine():
    books = Bookkeeper(engine(), stream="cam", host="here", max_age_ms=1e3, valid_for_ms=1.0)
    loop = Loop(books.engine, motion=Motion(seed=4))
    for index in range(40):
        frame = loop.expose()
        if index % 3:
            books.process(books.admit(Reception(frame, [], []), frame.recv_mono_ns, 0))
            books.engine.learn()
    books.obey(Order(do="open"))
    other = Bookkeeper(engine(), stream="cam", host="here", max_age_ms=1e3, valid_for_ms=1.0)
    other.restore(checkpoint.unpack(checkpoint.pack(books.snapshot())))
    assert other.ledger.counts() == books.ledger.counts()
    assert other.events == books.events
    assert_same(other.farewell(3), books.farewell(3))
    frame = loop.expose()
    for one in (books, other):
        assert one.admit(Reception(frame, [], []), frame.recv_mono_ns, 0) is frame
        assert one.ledger.lost == books.ledger.lost > 0


def test_ledger_comes_back_with_every_span():
    ledger = Ledger()
    for epoch in range(6):
        for seq in (3, 4, 9, 5000 + epoch, 9):
            ledger.record(epoch, seq, "held", "OPEN")
    ledger.refuse(None, "header")
    other = Ledger()
    other.restore(checkpoint.unpack(checkpoint.pack(ledger.snapshot())))
    assert other.counts() == ledger.counts()
    for seq in (3, 9, 10, 5005):
        assert other.knows(5, seq) == ledger.knows(5, seq)


def test_a_registrar_that_is_still_learning_the_noise_goes_on_learning_alike():
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:48, :48]
    scene = 200 * np.exp(-((x - 20.3) ** 2 + (y - 26.1) ** 2) / 12) + 30
    one = Registrar(rng.poisson(scene).astype(float))
    one.measure(rng.poisson(scene).astype(float))
    assert one._noise_map.learning
    other = Registrar(np.random.default_rng(2).normal(size=(48, 48)))
    other.restore(checkpoint.unpack(checkpoint.pack(one.snapshot())))
    assert not list(differences(one, other))
    for _ in range(20):
        frame = rng.poisson(scene).astype(float)
        assert_same(one.measure(frame), other.measure(frame))
    assert not one._noise_map.learning
    one._unlock("test")
    other._unlock("test")
    frame = rng.poisson(np.roll(scene, 9, 1)).astype(float)
    assert_same(one.measure(frame), other.measure(frame))


def test_a_registrar_whose_templates_are_half_done_goes_on_alike():
    scene, rng = make("granulation", (400, 400), peak=4000.0), np.random.default_rng(1)

    def fresh():
        return Registrar(clean(scene), noise=NOISE, reference_frames=math.inf)

    one, pieces = fresh(), 0
    assert one.measure(noisy(scene, Shift(0.3, 0.2), rng)).ok
    frame = noisy(scene, Shift(0.35, 0.25), rng)
    while True:
        other = fresh()
        other.restore(checkpoint.unpack(checkpoint.pack(one.snapshot())))
        assert not list(differences(one, other))
        third = fresh()
        third.restore(one.snapshot())
        while third.keep_up():
            pass
        assert_same(other.measure(frame), third.measure(frame))
        if not one.keep_up():
            break
        pieces += 1
    assert pieces > 3


def test_a_registrar_whose_image_has_gone_past_its_edge_goes_on_alike():
    scene, rng = make("granulation", (64, 64), peak=4000.0), np.random.default_rng(1)
    mask = np.ones((64, 64), bool)
    mask[:14] = False

    def fresh():
        return Registrar(clean(scene), noise=NOISE, reference_frames=math.inf, mask=mask)

    one, other = fresh(), fresh()
    assert not one.measure(noisy(scene, Shift(0.0, -10.5), rng), guess=Shift(0.0, -6.5)).ok
    other.restore(checkpoint.unpack(checkpoint.pack(one.snapshot())))
    assert not list(differences(one, other))
    frame = noisy(scene, Shift(0.0, -6.4), rng)
    assert_same(one.measure(frame, guess=Shift(0.0, -6.5)), other.measure(frame, guess=Shift(0.0, -6.5)))
