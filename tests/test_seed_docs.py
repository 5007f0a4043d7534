"""The examples in the documentation of `image_registration`, as they stand, with rtreg in its place."""

import doctest
import importlib
import sys

import numpy as np
import pytest

import rtreg

pytest.importorskip("image_registration", reason="pip install image_registration")

# example -> the module whose function documents it
EXAMPLES = {
    "chi2_shift": "chi2_shifts",
    "chi2_shift_iterzoom": "chi2_shifts",
    "cross_correlation_shifts": "cross_correlation_shifts",
}


def run(function, monkeypatch):
    """The names that the example of `function` leaves behind, all its imports of the package being rtreg."""
    module = importlib.import_module(f"image_registration.{EXAMPLES[function]}")
    examples = doctest.DocTestParser().get_examples(getattr(module, function).__doc__)
    assert len(examples) >= 7
    monkeypatch.setitem(sys.modules, "image_registration", rtreg)
    names = {"np": np, "chi2_shift": rtreg.chi2_shift, "chi2_shift_iterzoom": rtreg.chi2_shift_iterzoom}
    np.random.seed(1)  # noqa: NPY002 - the examples draw from the global generator
    for example in examples:
        exec(compile(example.source, function, "exec"), names)
    assert names["image_registration"] is rtreg
    return names


def test_chi2_shift(monkeypatch):
    found = run("chi2_shift", monkeypatch)
    assert abs(found["dx"] - 5) < 4 * found["edx"] < 0.2
    assert abs(found["dy"] - 12) < 4 * found["edy"] < 0.2
    assert abs(found["dx2"] - 3.665) < 4 * found["edx2"] < 0.2
    assert abs(found["dy2"] + 4.25) < 4 * found["edy2"] < 0.2


def test_chi2_shift_iterzoom(monkeypatch):
    found = run("chi2_shift_iterzoom", monkeypatch)
    # white noise, moved by whole pixels: every pixel fits exactly
    assert (found["dx"], found["dy"]) == pytest.approx((5, 12), abs=1e-4)
    # between pixels, where four taps cannot follow white noise: as well as the error says
    assert abs(found["dx2"] - 3.665) < max(4 * found["edx2"], 0.05)
    assert abs(found["dy2"] + 4.25) < max(4 * found["edy2"], 0.05)


def test_cross_correlation_shifts(monkeypatch):
    found = run("cross_correlation_shifts", monkeypatch)  # it has an assert of its own: exact whole pixels
    assert (found["yoff"], found["xoff"]) == (2, 1)
    np.testing.assert_array_equal(found["im1_aligned_to_im2"], found["im2"])
