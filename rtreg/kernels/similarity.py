"""Shifts of several places as one motion of the field: translation, rotation and scale by weighted least squares."""

from __future__ import annotations

import numpy as np

from rtreg.kernels._jit import Array, jit

SINGULAR = 1e-9  # of its diagonal: what is left of a pivot that nothing determines


@jit
def fit(
    levers: Array, shifts: Array, covariances: Array, use: Array, free: bool, values: Array, errors: Array
) -> float:
    """Fit ``shift = t + lever (a, b)`` to the shifts of several regions; the chi² that is left, NaN where singular.

    The lever of a point q is ``[[q_x, -q_y], [q_y, q_x]]``: with magnification m and rotation r the point moves by
    ``m R(r) q - q + t`` for ``a = m cos r - 1`` and ``b = m sin r``, without approximation.

    Parameters
    ----------
    levers : (n, 2, 2) float64
        What each region's shift (x, y) becomes by a (first column) and b, px.
    shifts : (n, 2) float64
        (x, y), px.
    covariances : (n, 3) float64
        (xx, xy, yy) of each shift, px².
    use : (n,) bool
    free : bool
        Whether a and b are fitted. If not, they are held at the values and errors given.
    values : (4,) float64
        t_x, t_y, a, b; t always, a and b if `free`, are replaced.
    errors : (4, 4) float64
        Their covariance; if not `free`, that of a and b is read and its part in t's taken into account.
    """
    count = 4 if free else 2
    normal = np.zeros((4, 4))
    right = np.zeros(4)
    row_x = np.zeros(4)
    row_y = np.zeros(4)
    row_x[0] = 1.0
    row_y[1] = 1.0
    for k in range(levers.shape[0]):
        if not use[k]:
            continue
        wxx, wxy, wyy = _inverse(covariances[k])
        row_x[2:] = levers[k, 0]
        row_y[2:] = levers[k, 1]
        dx = shifts[k, 0]
        dy = shifts[k, 1]
        if not free:
            dx -= row_x[2] * values[2] + row_x[3] * values[3]
            dy -= row_y[2] * values[2] + row_y[3] * values[3]
        for i in range(4):
            ax = wxx * row_x[i] + wxy * row_y[i]
            ay = wxy * row_x[i] + wyy * row_y[i]
            right[i] += ax * dx + ay * dy
            for j in range(4):
                normal[i, j] += ax * row_x[j] + ay * row_y[j]
    inverse = np.zeros((4, 4))
    if not _invert(normal, count, inverse):
        return np.nan
    for i in range(count):
        values[i] = 0.0
        for j in range(count):
            values[i] += inverse[i, j] * right[j]
    if free:
        errors[:, :] = inverse
    else:
        _carry(inverse, normal, errors)
    return _left(levers, shifts, covariances, use, values)


@jit
def _left(levers: Array, shifts: Array, covariances: Array, use: Array, values: Array) -> float:
    chi2 = 0.0
    for k in range(levers.shape[0]):
        if use[k]:
            wxx, wxy, wyy = _inverse(covariances[k])
            rx = shifts[k, 0] - values[0] - levers[k, 0, 0] * values[2] - levers[k, 0, 1] * values[3]
            ry = shifts[k, 1] - values[1] - levers[k, 1, 0] * values[2] - levers[k, 1, 1] * values[3]
            chi2 += wxx * rx * rx + 2.0 * wxy * rx * ry + wyy * ry * ry
    return chi2


@jit
def _inverse(covariance: Array) -> tuple[float, float, float]:
    xx, xy, yy = covariance[0], covariance[1], covariance[2]
    det = xx * yy - xy * xy
    return yy / det, -xy / det, xx / det


@jit
def _carry(inverse: Array, normal: Array, errors: Array) -> None:
    """The covariance of t, with what a and b, held, bring to it: ``t = ... - inverse normal_(t, ab) (a, b)``."""
    slope = np.zeros((2, 2))
    for i in range(2):
        for j in range(2):
            for k in range(2):
                slope[i, j] -= inverse[i, k] * normal[k, 2 + j]
    for i in range(2):
        for j in range(2):
            errors[i, 2 + j] = 0.0
            for k in range(2):
                errors[i, 2 + j] += slope[i, k] * errors[2 + k, 2 + j]
    for i in range(2):
        for j in range(2):
            errors[2 + j, i] = errors[i, 2 + j]
            errors[i, j] = inverse[i, j]
            for k in range(2):
                errors[i, j] += errors[i, 2 + k] * slope[j, k]


@jit
def _invert(matrix: Array, n: int, out: Array) -> bool:
    """The inverse of the first n x n of a symmetric positive matrix, by elimination; False when it has none."""
    work = matrix.copy()
    out[:, :] = 0.0
    for i in range(n):
        out[i, i] = 1.0
    for i in range(n):
        pivot = work[i, i]
        if not pivot > SINGULAR * matrix[i, i]:
            return False
        for j in range(n):
            work[i, j] /= pivot
            out[i, j] /= pivot
        for k in range(n):
            if k != i:
                factor = work[k, i]
                for j in range(n):
                    work[k, j] -= factor * work[i, j]
                    out[k, j] -= factor * out[i, j]
    return True
