"""A finder as data: what it starts measures the same however often it was started, and wherever it was sent."""

import pickle

import numpy as np
import pytest

from rtreg.batch.finder import Finder
from rtreg.estimators.registrar import Registrar
from rtreg.noise import NoiseModel
from rtreg.records import Shift
from rtreg.simulate import Scene


@pytest.mark.parametrize("noise", [NoiseModel(gain=1.0, read_noise=5.0), None], ids=["noise known", "noise unknown"])
def test_nothing_is_left_from_frames_measured_before(noise):
    scene, rng = Scene("stars", (48, 40), seed=2, peak=3000.0), np.random.default_rng(1)
    frames = [rng.poisson(scene.render(Shift(*rng.normal(0.0, 2.0, 2)))).astype(np.uint16) for _ in range(4)]
    finder = Finder(rng.poisson(scene.render(Shift(0.0, 0.0))).astype(float), noise=noise)
    first = [finder.start()(frame) for frame in frames]
    again = list(map(finder.start(), frames))
    sent = pickle.loads(pickle.dumps(finder))
    assert again == list(map(sent.start(), frames))
    assert again[0] == first[0]
    assert again == list(map(Registrar(finder.reference, noise=noise).measure, frames))
    assert list(map(finder.start(), frames)) == again
    assert sent.digest() == finder.digest()
