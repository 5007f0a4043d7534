"""The picture of a recording, and the spectrum in it."""

import numpy as np
import pytest
from scipy.signal import welch

from rtreg.cli import main
from rtreg.errors import RecordingError
from rtreg.io import wire
from rtreg.io.corrections import columns_of
from rtreg.io.recordings import RecordingWriter
from rtreg.io.wire import Correction
from rtreg.plot import draw, power_spectrum
from rtreg.records import Command, Delivery, Estimate, ReferenceInfo, Result, Shift, State, Verdict

RATE = 200.0
T0 = 1_700_000_000_000_000_000


def corrections(count, *, truth=True, states=(State.LOCKED,)):
    rng = np.random.default_rng(4)
    for k in range(count):
        state = states[k * len(states) // count]
        moved = Shift(np.sin(k / 9) + rng.normal(0, 0.01), rng.normal(0, 0.01))
        ok = state is State.LOCKED
        result = Result(
            stream="cam", epoch=1, seq=k, t_ns=T0 + round(k * 1e9 / RATE), state=state,
            estimate=Estimate(shift=moved, covariance=((1e-4, 0.0), (0.0, 1e-4)), chi2_dof=1.0) if ok else Estimate(),
            verdict=Verdict.OK if ok else Verdict.DARK, command=Command(), reference=ReferenceInfo(id=1),
        )  # fmt: skip
        begin = 10**12 + round(k * 1e9 / RATE)
        delivery = Delivery(
            sent=begin, recv=begin + 10**5, out=begin + 10**5 + int(rng.integers(10**5, 10**6)),
            truth=Shift(0.0, 0.0) if truth else None,
        )  # fmt: skip
        yield Correction(result, delivery)


def drawn(axes):
    """The curves of a panel, by label."""
    return {line.get_label(): line.get_ydata() for line in axes.lines}


@pytest.mark.parametrize("size", [16, 100, 1500, 1501])
def test_the_spectrum_is_that_of_scipy(size):
    values = np.random.default_rng(1).normal(size=size)
    frequencies, density = power_spectrum(np.arange(size) / RATE, values)
    segment = min(size, 1024)
    expected = welch(values, RATE, nperseg=segment, noverlap=segment - segment // 2, detrend="constant")
    np.testing.assert_allclose(frequencies, expected[0])
    np.testing.assert_allclose(density, expected[1], atol=1e-12)


def test_the_spectrum_leaves_gaps_out():
    t_s, values = np.arange(600) / RATE, np.random.default_rng(1).normal(size=600)
    values[200] = np.nan
    t_s[400:] += 1.0
    frequencies, density = power_spectrum(t_s, values)
    # pieces of 200, 199 and 200 samples, of which the first and the last can be used whole
    expected = [welch(values[at : at + 200], RATE, nperseg=200, detrend="constant")[1] for at in (0, 400)]
    np.testing.assert_allclose(density, np.mean(expected, axis=0))
    assert len(frequencies) == 101


@pytest.mark.parametrize(
    ("t_s", "values"),
    [(np.arange(9.0), np.ones(9)), (np.arange(40.0), np.full(40, np.nan)), (np.zeros(40), np.ones(40))],
    ids=["few", "nan", "no time passes"],
)
def test_no_spectrum_of_nothing(t_s, values):
    frequencies, density = power_spectrum(t_s, values)
    assert len(frequencies) == len(density) == 0


def test_what_is_drawn():
    columns = columns_of(corrections(400, states=(State.ACQUIRING, State.LOCKED, State.LOST, State.LOCKED)))
    shift, sigma, residual, spectrum, latency = draw(columns).axes
    x, y = drawn(shift).values()
    np.testing.assert_array_equal(x, columns["dx"])
    np.testing.assert_array_equal(y, columns["dy"])
    np.testing.assert_array_equal(drawn(sigma)["x"], columns["sigma_x"])
    np.testing.assert_array_equal(drawn(residual)["x"], columns["dx"] - np.nanmedian(columns["dx"]))  # the truth is 0
    bands = {band.get_label() for band in shift.collections}
    assert bands == {"_ACQUIRING", "_LOCKED", "_LOST"}
    np.testing.assert_allclose(drawn(spectrum)["y"], power_spectrum((columns["t_ns"] - T0) / 1e9, columns["dy"])[1][1:])
    assert [text.get_text()[:8] for text in latency.get_legend().get_texts()] == ["received", "camera t"]


def test_without_truth_or_times_it_draws_what_there_is():
    columns = columns_of(corrections(12, truth=False))
    for name in ("sent", "recv", "out"):
        columns[name][:] = 0
    _, _, residual, spectrum, latency = draw(columns).axes
    np.testing.assert_array_equal(residual.lines[0].get_ydata(), columns["chi2_dof"])
    assert [axes.texts[0].get_text() for axes in (spectrum, latency)] == ["too few frames in a row", "no stage times"]


def test_corrections_between_frames_count_once():
    columns = columns_of([entry for entry in corrections(100) for _ in range(3)])
    _, _, _, spectrum, latency = draw(columns).axes
    assert len(drawn(spectrum)["x"]) == 50
    assert latency.patches[0].get_xy()[:, 1].max() <= 100


def test_nothing_to_draw():
    with pytest.raises(RecordingError, match="no corrections"):
        draw(columns_of([]))


@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_the_command(tmp_path, suffix):
    with RecordingWriter(tmp_path / "a.mcap") as writer:
        for k, entry in enumerate(corrections(100)):
            writer.add(wire.pack_correction(*entry), T0 + k * 10**9)
    out = tmp_path / f"a.{suffix}"
    more = [str(out)] if suffix == "pdf" else []  # PNG by default, beside the recording
    assert main(["plot", str(tmp_path / "a.mcap"), *more, "--from", "10", "--to", "90"]) == 0
    assert out.read_bytes()[:4] == {"png": b"\x89PNG", "pdf": b"%PDF"}[suffix]


def test_what_the_command_says_when_it_cannot(tmp_path, capsys):
    with RecordingWriter(tmp_path / "a.mcap") as writer:
        writer.add(wire.pack_correction(*next(corrections(1))), 1)
    for words, said in (
        (["a.mcap", "a.xls"], "a.xls cannot be written: a plot ends in .png, .pdf, .svg"),
        (["a.mcap", "--from", "5"], "no corrections to draw"),
        (["none.mcap"], "no such file"),
    ):
        given = [str(tmp_path / word) if "." in word else word for word in words]
        assert main(["plot", *given]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.mcap"]
