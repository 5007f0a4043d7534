"""A shift finder to be questioned."""

import pytest


@pytest.fixture
def finder():
    """A shift finder that answers what it is told to, and remembers what it was asked."""

    def answer(im1, im2, err=None, return_error=True, **kwargs):
        answer.calls.append({"im1": im1, "im2": im2, "err": err, "return_error": return_error, **kwargs})
        return answer.answer

    answer.calls, answer.answer = [], (2.0, -1.0, 0.3, 0.1)
    return answer
