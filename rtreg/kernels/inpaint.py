"""Bad pixels of an image as its good ones foretell them, for an image that a point-spread function has smoothed."""

from __future__ import annotations

from rtreg.kernels._jit import Array, jit


@jit
def inpaint(image: Array, bad: Array, n_bad: int, kernel: Array, rounds: int) -> None:
    """Make ``sum_u kernel(u) image(p + u)`` vanish at each bad pixel p, by rounds of Gauss and Seidel.

    Parameters
    ----------
    image : (ny, nx) float32
        With a first guess at the bad pixels; changed there alone.
    bad : (>= n_bad,) int32
        Their flat indices.
    kernel : (2 r + 1, 2 r + 1) float32
        Symmetric and positive definite, large for what cannot be in the image. Past the border the image goes on as its
        outermost pixels.
    rounds : int
    """
    ny, nx = image.shape
    r = kernel.shape[0] // 2
    middle = kernel[r, r]
    for _ in range(rounds):
        for k in range(n_bad):
            y = bad[k] // nx
            x = bad[k] % nx
            s = 0.0
            for j in range(-r, r + 1):
                v = min(max(y + j, 0), ny - 1)
                for i in range(-r, r + 1):
                    u = min(max(x + i, 0), nx - 1)
                    s += kernel[j + r, i + r] * image[v, u]
            image[y, x] -= s / middle


@jit
def spread(values: Array, where: Array, response: Array, out: Array) -> None:
    """Add to `out` (ny, nx) float32 what single pixels do to those about them.

    Parameters
    ----------
    values, where : (n,) float32, (n,) int32
        What is at these flat indices.
    response : (2 r + 1,) float32
        Of the pixels about one of 1, along either axis.
    """
    ny, nx = out.shape
    r = response.size // 2
    for k in range(where.size):
        y = where[k] // nx
        x = where[k] % nx
        first = max(0, x - r)
        last = min(nx, x + r + 1)
        along = response[first - x + r :]
        for j in range(max(-r, -y), min(r + 1, ny - y)):
            weight = values[k] * response[j + r]
            row = out[y + j, first:last]
            for i in range(row.size):
                row[i] += weight * along[i]
