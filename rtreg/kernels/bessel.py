"""The Bessel function J1, for the Airy pattern."""

from __future__ import annotations

import numpy as np

from rtreg.kernels._jit import Array, jit

MARGIN = 30  # orders above the argument: J there is below 1e-16 of the largest
HUGE = 1e200


@jit
def j1_over_x(x: Array, out: Array) -> None:
    """``out = J1(x) / x``, and its limit 1/2 at 0; all 1-D float64.

    Miller's backward recurrence ``J[n-1] = 2n/x J[n] - J[n+1]``, from an order where J has died out, scaled by
    ``J0 + 2 (J2 + J4 + ...) = 1`` (Abramowitz and Stegun 9.12): good to rounding for every x.
    """
    for i in range(x.size):
        v = np.float64(abs(x[i]))
        if v < 1e-8:
            out[i] = 0.5
            continue
        # the orders fall off beyond x as a cube root does
        top = 2 * ((int(v + 8.0 * v ** (1.0 / 3.0)) + MARGIN) // 2)
        above = 0.0  # J[n+1]
        here = 1e-200  # J[n], n even
        total = 0.0
        for n in range(top, 0, -2):
            total += 2.0 * here
            odd = 2.0 * n / v * here - above
            above = here
            here = odd  # J[n-1]
            first = here
            even = 2.0 * (n - 1) / v * here - above
            above = here
            here = even  # J[n-2]
            if abs(here) > HUGE:
                here /= HUGE
                above /= HUGE
                total /= HUGE
                first /= HUGE
        out[i] = first / (total + here) / v
