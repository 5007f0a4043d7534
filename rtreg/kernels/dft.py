"""A correlation anywhere between its samples, from its spectrum: no upsampled map, no interpolation."""

from __future__ import annotations

import numpy as np

from rtreg.kernels._jit import Array, jit


@jit
def phases(n: int, count: int, shift: float, out: Array) -> None:
    """``exp(2 pi i k shift / n)`` for the first `count` frequencies of an n-point transform, real and imaginary.

    Frequencies from n/2 up are negative; the one at n/2 itself, whose sign nobody knows, gets 0. `out` (3, count):
    cosine, sine, and ``2 pi k / n``.
    """
    for j in range(count):
        k = j if 2 * j < n else j - n
        w = 2.0 * np.pi * k / n
        known = 0.0 if 2 * j == n else 1.0
        out[0, j] = known * np.cos(w * shift)
        out[1, j] = known * np.sin(w * shift)
        out[2, j] = w


@jit
def correlation(cross: Array, along_y: Array, along_x: Array, out: Array) -> None:
    """``C(d) = sum_k Re(P_k exp(i k d))`` with its gradient and its second derivatives.

    Parameters
    ----------
    cross : (ny, count) complex64 or complex128
        The cross spectrum P.
    along_y, along_x : (3, ny), (3, count) float32 or float64
        From `phases`, at dy and dx; of the precision of `cross`.
    out : (6,) float64
        C, dC/dy, dC/dx, d2C/dy2, d2C/dydx, d2C/dx2; per px.
    """
    out[:] = 0.0
    cosine = along_x[0]
    sine = along_x[1]
    k = along_x[2]
    zero = k[0]  # 0 in the precision of the sums
    for y in range(cross.shape[0]):
        row = cross[y]
        r0 = i0 = r1 = i1 = r2 = i2 = zero
        for x in range(k.size):
            a = row[x].real
            b = row[x].imag
            re = a * cosine[x] - b * sine[x]
            im = a * sine[x] + b * cosine[x]
            r0 += re
            i0 += im
            r1 += k[x] * re
            i1 += k[x] * im
            r2 += k[x] * k[x] * re
            i2 += k[x] * k[x] * im
        c = np.float64(along_y[0, y])
        s = np.float64(along_y[1, y])
        q = np.float64(along_y[2, y])
        here = c * r0 - s * i0
        out[0] += here
        out[1] -= q * (c * i0 + s * r0)
        out[2] -= c * i1 + s * r1
        out[3] -= q * q * here
        out[4] -= q * (c * r1 - s * i1)
        out[5] -= c * r2 - s * i2
