"""A straight line through variances: how the noise of a detector grows with its signal."""

from __future__ import annotations

import numpy as np

from rtreg.kernels._jit import Array, jit

LEAST = 1e-3  # of the mean variance: keeps weights finite where the line reaches zero


@jit
def fit_variance(counts: Array, squares: Array, signals: Array, rounds: int, out: Array) -> None:
    """``v = p + q signal`` with p and q at least 0, through mean squares, with weights ``counts / v²``.

    Parameters
    ----------
    counts, squares, signals : (bins,) float64
        Number of pixels in a bin, at least one, their mean square and mean signal.
    rounds : int
        Fits; each takes its weights from the one before.
    out : (3,) float64
        p, q, and the 1-sigma error of q if the noise did not grow at all.
    """
    n = 0.0
    total = 0.0
    middle = 0.0
    for k in range(counts.size):
        n += counts[k]
        total += counts[k] * squares[k]
        middle += counts[k] * signals[k]
    total /= n
    middle /= n
    spread = 0.0
    for k in range(counts.size):
        spread += counts[k] * (signals[k] - middle) ** 2
    p = total
    q = 0.0
    for _ in range(rounds):
        s = sx = sxx = sy = sxy = 0.0
        for k in range(counts.size):
            v = max(p + q * signals[k], LEAST * total + 1e-30)
            w = counts[k] / (v * v)
            s += w
            sx += w * signals[k]
            sxx += w * signals[k] * signals[k]
            sy += w * squares[k]
            sxy += w * signals[k] * squares[k]
        det = s * sxx - sx * sx
        if det > 0.0:
            p = (sxx * sy - sx * sxy) / det
            q = (s * sxy - sx * sy) / det
        else:
            p = total
            q = 0.0
        if q < 0.0:
            p = sy / s
            q = 0.0
        elif p < 0.0:
            p = 0.0
            q = sxy / sxx
    out[0] = p
    out[1] = q
    out[2] = total * np.sqrt(2.0 / spread)
