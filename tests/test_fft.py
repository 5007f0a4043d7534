"""FFTW plans against NumPy's transforms, their cache, and the wisdom on disk."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import tempfile
import threading
import weakref

import numpy as np
import pyfftw
import pytest

from rtreg import fft

SHAPES = [(1, 1), (1, 7), (8, 1), (8, 8), (9, 8), (8, 9), (15, 21)]


@pytest.fixture
def nothing_known(tmp_path, monkeypatch):
    """No plan, no wisdom in the planner, none on disk; the folder for it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fft, "_wisdom_read", False)
    monkeypatch.setattr(fft, "_cache", fft._Cache())
    known = pyfftw.export_wisdom()
    pyfftw.forget_wisdom()
    yield tmp_path / "cache" / "rtreg"
    pyfftw.forget_wisdom()
    pyfftw.import_wisdom(known)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-13)])
def test_a_plan_transforms_and_back(shape, dtype, tolerance):
    image = np.random.default_rng(1).random(shape).astype(dtype)
    plan = fft.FFTPlan(shape, dtype)
    assert not plan.real.any()
    assert not plan.spectrum.any()
    plan.real[...] = image
    spectrum = plan.forward()
    assert spectrum is plan.spectrum
    assert spectrum.dtype == np.result_type(dtype, np.complex64)
    np.testing.assert_allclose(spectrum, np.fft.rfft2(image), atol=tolerance * image.size, rtol=0)
    np.testing.assert_array_equal(plan.real, image)
    back = plan.inverse()
    assert back is plan.real
    np.testing.assert_allclose(back, image, atol=tolerance, rtol=0)


def test_buffers_are_aligned_for_vector_instructions():
    plan = fft.FFTPlan((5, 6))
    assert pyfftw.is_byte_aligned(plan.real)
    assert pyfftw.is_byte_aligned(plan.spectrum)


@pytest.mark.parametrize(
    ("shape", "dtype", "threads"), [((4,), "f4", 1), ((0, 4), "f4", 1), ((4, 4), "i4", 1), ((4, 4), "f4", 0)]
)
def test_a_plan_that_cannot_be_is_refused(shape, dtype, threads):
    with pytest.raises(ValueError, match=r"FFT plan|thread"):
        fft.FFTPlan(shape, dtype, threads=threads)


def test_the_same_call_in_one_thread_gives_the_same_plan():
    assert fft.plan((8, 10)) is fft.plan((8, np.int64(10)), "float32")
    assert fft.plan((8, 10)) is not fft.plan((8, 10), np.float64)


def test_threads_do_not_share_buffers():
    """Each writes its own number, waits for all others to have written theirs, and only then transforms."""
    everyone = threading.Barrier(4)
    sums = {}

    def work(number):
        plan = fft.plan((16, 16))
        plan.real[...] = number
        everyone.wait(10)
        sums[number] = float(plan.forward()[0, 0].real)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sums == {number: 256.0 * number for number in range(4)}


def test_threads_may_plan_at_the_same_time(nothing_known):
    """The planner is not thread-safe, so without the lock this crashes, or leaves plans of the wrong shape."""
    everyone = threading.Barrier(4)
    wrong = []

    def work(number):
        everyone.wait(10)
        for n in range(3, 9):
            image = np.full((n + number, n), 1.0, np.float32)
            if abs(fft.rfftn(image)[0, 0] - image.size) > 1e-3:
                wrong.append((number, n))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


def test_the_cache_is_bounded_and_lets_go(monkeypatch):
    monkeypatch.setattr(fft, "_cache", fft._Cache())
    monkeypatch.setattr(fft, "MOST_PLANS", 2)
    first, second = weakref.ref(fft.plan((4, 4))), weakref.ref(fft.plan((4, 5)))
    fft.plan((4, 4))  # now the second is the least recently used
    fft.plan((4, 6))
    gc.collect()
    assert second() is None
    assert first() is fft.plan((4, 4))


def test_a_plan_beyond_the_cache_is_the_callers_alone(monkeypatch):
    monkeypatch.setattr(fft, "_cache", fft._Cache())
    small = fft.plan((4, 4))
    monkeypatch.setattr(fft, "MOST_BYTES", small.facts.nbytes)
    assert fft.plan((64, 64)) is not fft.plan((64, 64))
    assert fft.plan((4, 4)) is small  # and throws nothing else out


def test_cached_plans_say_what_they_are(monkeypatch):
    monkeypatch.setattr(fft, "_cache", fft._Cache())
    plan = fft.plan((6, 11), np.float64, effort="estimate")
    fft.fftn(np.zeros((3, 2, 5), np.float32), threads=2)
    facts = fft.cached_plans()
    assert fft.PlanFacts("real", (6, 11), "float64", 1, "estimate", 6 * 11 * 8 + 6 * 6 * 16) in facts
    assert fft.PlanFacts("fftn", (3, 2, 5), "float32", 2, "measure", 2 * 30 * 8) in facts
    assert "(6, 11) float64" in repr(plan)


@pytest.mark.parametrize("shape", [(7,), (8,), (5, 6), (6, 5), (3, 4, 5)])
@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16", ">f4", "i2", "u1", "?"])
def test_functions_are_numpys(shape, dtype):
    data = (100 * np.random.default_rng(2).random(shape)).astype(dtype)
    single = np.dtype(dtype).newbyteorder("=") in (np.float32, np.complex64)
    tolerance = {"atol": 1e-3 if single else 1e-10, "rtol": 0}
    for ours, theirs in ((fft.fftn, np.fft.fftn), (fft.ifftn, np.fft.ifftn)):
        answer = ours(data)
        assert answer.dtype == (np.complex64 if single else np.complex128)
        np.testing.assert_allclose(answer, theirs(data), **tolerance)
    if np.dtype(dtype).kind != "c":
        half = fft.rfftn(data)
        np.testing.assert_allclose(half, np.fft.rfftn(data), **tolerance)
        np.testing.assert_allclose(fft.irfftn(half, shape), data, **tolerance)


def test_functions_leave_their_input_and_earlier_answers_alone():
    data = np.random.default_rng(3).random((6, 6))
    data.flags.writeable = False
    first = fft.fftn(data[::2, ::-1])
    kept = first.copy()
    fft.fftn(np.ones((3, 6)))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0)])
def test_nothing_cannot_be_transformed(shape):
    with pytest.raises(ValueError, match="cannot transform"):
        fft.fftn(np.zeros(shape))


@pytest.mark.parametrize(("n", "quick"), [(1, 1), (13, 13), (17, 18), (101, 104), (1025, 1029)])
def test_next_fast_len(n, quick):
    assert fft.next_fast_len(n) == quick


def test_wisdom_is_kept_and_used_again(nothing_known, monkeypatch):
    assert not fft.load_wisdom()
    fft.FFTPlan((24, 20))
    (kept,) = nothing_known.iterdir()
    assert kept == fft.wisdom_path()
    pyfftw.forget_wisdom()
    assert fft.load_wisdom()
    monkeypatch.setattr(fft, "save_wisdom", lambda: pytest.fail("planned again"))
    fft.FFTPlan((24, 20))


def test_wisdom_of_other_processes_is_not_lost(nothing_known, monkeypatch):
    fft.FFTPlan((24, 20))
    pyfftw.forget_wisdom()  # as if that had been another process,
    fft.FFTPlan((20, 24))  # and this one had read the file before it wrote
    pyfftw.forget_wisdom()
    assert fft.load_wisdom()
    monkeypatch.setattr(fft, "save_wisdom", lambda: pytest.fail("planned again"))
    fft.FFTPlan((24, 20))
    fft.FFTPlan((20, 24))


def test_wisdom_has_a_file_a_host_and_version(nothing_known, monkeypatch):
    monkeypatch.setattr("platform.node", lambda: "tower/4 west")
    assert fft.wisdom_path() == nothing_known / f"fftw-{pyfftw.fftw_version}-tower_4_west.wisdom.json"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"double": 1}', '{"double": "no", "single": "no", "long double": "no"}']
)
def test_corrupt_wisdom_is_ignored_with_a_warning_and_replaced(nothing_known, caplog, text):
    nothing_known.mkdir(parents=True)
    fft.wisdom_path().write_text(text)
    with caplog.at_level(logging.WARNING, "rtreg.fft"):
        fft.FFTPlan((24, 20))
    assert "ignoring FFTW wisdom" in caplog.text
    assert fft.load_wisdom()


def test_no_place_for_wisdom_is_no_trouble(nothing_known, tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert fft.wisdom_path().parent.parent == tmp_path  # the folder for temporary files
    monkeypatch.setattr(tempfile, "tempdir", str(blocked))
    assert not fft.save_wisdom()
    assert fft.FFTPlan((24, 20)).forward().shape == (24, 11)


def test_pyfftw_loads_with_the_first_plan():
    code = "import sys, rtreg.fft, rtreg.fft_tools; assert not {'pyfftw', 'numba', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_wisdom_entries_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(fft, "wisdom_path", lambda: tmp_path / "wisdom.json")
    assert fft.wisdom_entries() == 0
    fft.plan((12, 18))
    assert fft.save_wisdom()
    assert fft.wisdom_entries() > 0
    (tmp_path / "wisdom.json").write_text("garbage")
    assert fft.wisdom_entries() == 0
