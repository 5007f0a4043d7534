"""Slow, obvious twins of the kernels: NumPy and float64, no tricks, to test against."""

from __future__ import annotations

import math

import numpy as np

# -- B-splines (rtreg.kernels.bspline) --------------------------------------------------------------------------------


def beta3(x):
    """The cubic B-spline itself."""
    x = np.abs(x)
    return np.where(x < 1, 2 / 3 - x**2 + x**3 / 2, np.where(x < 2, (2 - x) ** 3 / 6, 0.0))


def beta5(x):
    """The quintic B-spline, from its definition by truncated powers."""
    x = np.asarray(x, float)
    terms = [c * np.maximum(x + 3 - k, 0.0) ** 5 for k, c in enumerate((1, -6, 15, -20, 15, -6, 1))]
    return np.where(np.abs(x) < 3, sum(terms) / 120, 0.0)


def convolve(image, along_y, along_x, mirror):
    """A separable filter, a pixel at a time."""
    ny, nx = image.shape
    ry, rx = len(along_y) // 2, len(along_x) // 2
    padded = np.array(
        [
            [
                image[fold(y, ny), fold(x, nx)] if mirror or (0 <= y < ny and 0 <= x < nx) else 0.0
                for x in range(-rx, nx + rx)
            ]
            for y in range(-ry, ny + ry)
        ],
        float,
    )
    out = np.zeros((ny, nx))
    for j, v in enumerate(along_y):
        for i, u in enumerate(along_x):
            out += float(v) * float(u) * padded[2 * ry - j :][:ny, 2 * rx - i :][:, :nx]
    return out


def spline_matrix(n, mirror):
    """The matrix P of an axis of n pixels: pixels = P coefficients, mirrored about the outermost pixels or zero."""
    p = np.zeros((n, n))
    for i in range(n):
        for k in (i - 1, i, i + 1):
            weight = 2 / 3 if k == i else 1 / 6
            if 0 <= k < n:
                p[i, k] += weight
            elif mirror:
                p[i, fold(k, n)] += weight
    return p


def fold(i, n):
    """Index i mirrored into 0 .. n-1."""
    if n == 1:
        return 0
    i = abs(i) % (2 * n - 2)
    return 2 * n - 2 - i if i >= n else i


def prefilter(image, mirror):
    """Coefficients by solving P c = image; for zero beyond the border, on a patch wide enough to hold the tails."""
    image = np.asarray(image, float)
    pad = 0 if mirror else 30
    image = np.pad(image, pad)
    py, px = (spline_matrix(n, mirror) for n in image.shape)
    c = np.linalg.solve(py, np.linalg.solve(px, image.T).T)
    return c[pad : c.shape[0] - pad, pad : c.shape[1] - pad]


def sample(coefficients, dy, dx, fill):
    """The mirrored spline at (y + dy, x + dx), a pixel at a time."""
    ny, nx = coefficients.shape
    out = np.full((ny, nx), float(fill))
    for y in range(ny):
        for x in range(nx):
            v, u = y + dy, x + dx
            if 0 <= v <= ny - 1 and 0 <= u <= nx - 1:
                out[y, x] = sum(
                    beta3(v - j) * beta3(u - i) * coefficients[fold(j, ny), fold(i, nx)]
                    for j in range(int(np.floor(v)) - 1, int(np.floor(v)) + 3)
                    for i in range(int(np.floor(u)) - 1, int(np.floor(u)) + 3)
                )
    return out


def smooth(coefficients):
    """P c with zero beyond the border."""
    py, px = (spline_matrix(n, False) for n in coefficients.shape)
    return py @ np.asarray(coefficients, float) @ px.T


def gradients(coefficients):
    """d/dy and d/dx of the mirrored spline on the pixels."""
    c = np.asarray(coefficients, float)
    py, px = (spline_matrix(n, True) for n in c.shape)
    dy, dx = (slope_matrix(n) for n in c.shape)
    return dy @ c @ px.T, py @ c @ dx.T


def slope_matrix(n):
    """The matrix of the spline's derivative on the pixels, mirrored."""
    d = np.zeros((n, n))
    for i in range(n):
        d[i, fold(i + 1, n)] += 0.5
        d[i, fold(i - 1, n)] -= 0.5
    return d


# -- Gauss-Newton (rtreg.kernels.gauss_newton, prepare) ---------------------------------------------------------------


def project(frame, templates, order, dy, dx):
    """Inner products of sum_k I[k] beta(x + d - k) with the templates."""
    beta, reach = (beta3, 1) if order == 3 else (beta5, 2)
    j0, i0 = int(np.floor(dy)), int(np.floor(dx))
    rows, columns = range(j0 - reach, j0 + reach + 2), range(i0 - reach, i0 + reach + 2)
    along_y, along_x = [beta(dy - j) for j in rows], [beta(dx - i) for i in columns]
    out = np.zeros(len(templates))
    for y in range(frame.shape[0]):
        for x in range(frame.shape[1]):
            if templates[:, y, x].any():
                near = frame[np.ix_([y + j for j in rows], [x + i for i in columns])].astype(float)
                out += templates[:, y, x] * (along_y @ near @ along_x)
    return out


def residual(frame, coefficients, weights, scale, offset, dy, dx, stride):
    """Sums over the frame's pixels that all four taps of the reference reach."""
    ny, nx = frame.shape
    out = np.zeros(4)
    rows = [y for y in range(ny) if 1 <= np.floor(y - dy) < ny - 2 and 0 <= y + np.rint(-dy) < ny]
    for y in rows[::stride]:
        for x in range(nx):
            if not (1 <= np.floor(x - dx) < nx - 2 and 0 <= x + np.rint(-dx) < nx):
                continue
            j0, i0 = int(np.floor(y - dy)), int(np.floor(x - dx))
            model = sum(
                beta3(y - dy - j) * beta3(x - dx - i) * coefficients[j, i]
                for j in range(j0 - 1, j0 + 3)
                for i in range(i0 - 1, i0 + 3)
            )
            r = frame[y, x] - scale * model - offset
            w = weights[y + int(np.rint(-dy)), x + int(np.rint(-dx))]
            out += (w * r * r, w * r, w, w > 0)
    return out


def prepare(pixels, offset, dark, inverse_flat, mask, saturation):
    """The calibrated image with 0 in bad pixels, their flat indices, and the counts."""
    raw = pixels.astype(float)
    nan = ~np.isfinite(raw) & ~(raw >= saturation)
    saturated = raw >= saturation
    masked = mask if mask.size else np.zeros(raw.shape, bool)
    work = raw - offset
    if dark.size:
        work = work - dark
    if inverse_flat.size:
        work = work * inverse_flat
    bad = nan | saturated | masked
    work[bad] = 0.0
    return work, np.flatnonzero(bad), (bad.sum(), (nan & ~masked).sum(), (saturated & ~masked).sum())


# -- Search (rtreg.kernels.spectrum, peak) ----------------------------------------------------------------------------


def explained(reference, weights, frame, half_y, half_x):
    """Signed squared correlation coefficient of frame and reference over their common pixels, shift by shift."""
    ny, nx = reference.shape
    out = np.zeros((2 * half_y + 1, 2 * half_x + 1))
    for j in range(out.shape[0]):
        for i in range(out.shape[1]):
            dy, dx = j - half_y, i - half_x
            ry, rx = slice(max(0, -dy), ny - max(0, dy)), slice(max(0, -dx), nx - max(0, dx))
            fy, fx = slice(max(0, dy), ny + min(0, dy)), slice(max(0, dx), nx + min(0, dx))
            w, r, f = weights[ry, rx], reference[ry, rx], frame[fy, fx]
            if w.sum() <= 0:
                continue
            r, f = r - np.average(r, weights=w), f - np.average(f, weights=w)
            norm = (w * r * r).sum() * (w * f * f).sum()
            c = (w * r * f).sum()
            out[j, i] = np.sign(c) * c * c / norm if norm > 0 else 0.0
    return out


def rivals(values, radius_y, radius_x, most):
    """Local maxima above 0, the `most` highest, without those in the ellipse about a higher one."""
    ny, nx = values.shape
    maxima = []
    for j in range(ny):
        for i in range(nx):
            c = values[j, i]
            if c > 0 and c >= values[max(0, j - 1) : j + 2, max(0, i - 1) : i + 2].max():
                maxima.append((-c, j, i))
    kept = []
    for _, j, i in sorted(maxima)[:most]:
        if all(((j - b) / radius_y) ** 2 + ((i - a) / radius_x) ** 2 > 1 for b, a in kept):
            kept.append((j, i))
    return kept


# -- leftover (rtreg.kernels.leftover) -------------------------------------------------------------------------------


def leftover(frame, model, weights, dy, dx, level):
    """Products of neighbouring residuals over sigma, and sums of w, w v, w v^2, where frame and reference overlap."""
    ny, nx = frame.shape
    common = [(y, x) for y in range(ny) for x in range(nx) if 0 <= y - dy < ny and 0 <= x - dx < nx]
    w = {(y, x): float(weights[y - dy, x - dx]) for y, x in common}
    rest = {p: math.sqrt(w[p]) * (float(frame[p]) - float(model[p])) for p in common}
    rest = {p: 0.0 if math.isnan(r) else r for p, r in rest.items()}
    products = sum(r * (rest.get((y + 1, x), 0.0) + rest.get((y, x + 1), 0.0)) for (y, x), r in rest.items())
    values = {p: float(frame[p]) - level for p in common}
    return np.array([products, *(sum(w[p] * values[p] ** k for p in common) for k in (0, 1, 2))])


# -- evidence (rtreg.kernels.evidence) -------------------------------------------------------------------------------


def blur(image):
    """(1 2 1) / 4 along both axes, mirrored about the edge of the border's pixels."""
    p = np.pad(np.asarray(image, np.float64), 1, mode="symmetric")
    p = (p[:-2] + 2 * p[1:-1] + p[2:]) / 4
    return (p[:, :-2] + 2 * p[:, 1:-1] + p[:, 2:]) / 4


def move_linear(image, dy, dx):
    """Moved by less than a pixel, linear between pixels; at the border it goes on as it ends."""
    p = np.pad(np.asarray(image, np.float64), 1, mode="edge")
    ny, nx = image.shape
    out = np.zeros((ny, nx))
    for y in range(ny):
        for x in range(nx):
            for ky, wy in ((0, 1 - abs(dy)), (-1 if dy > 0 else 1, abs(dy))):
                for kx, wx in ((0, 1 - abs(dx)), (-1 if dx > 0 else 1, abs(dx))):
                    out[y, x] += wy * wx * p[y + ky + 1, x + kx + 1]
    return out


def tile_sums(reference, weights, frame, mean, dy, dx, size):
    """Sums of w, w R, w I, w R I, w R² and w I² over the common pixels of each tile of the reference."""
    ny, nx = reference.shape
    out = np.zeros((6, -(-ny // size), -(-nx // size)))
    for y in range(ny):
        for x in range(nx):
            if 0 <= y + dy < ny and 0 <= x + dx < nx:
                w, r, i = float(weights[y, x]), float(reference[y, x]), float(frame[y + dy, x + dx]) - mean
                out[:, y // size, x // size] += w, w * r, w * i, w * r * i, w * r * r, w * i * i
    return out


def gain(sums, own, least, kept, faint, richest, cap):
    """Gain by fields of 2 x 2 tiles, what they promised, the gain of all, and a; see `kernels.evidence.gain`."""
    m, r1, i1, ri, rr, ii = sums
    n = m.sum()
    r, i = r1.sum() / n, i1.sum() / n
    c, g, q = ri - r * i1 - i * r1 + r * i * m, rr - 2 * r * r1 + r * r * m, ii - 2 * i * i1 + i * i * m
    a = c.sum() / g.sum()
    left = ((q - 2 * a * c + a * a * g) / m)[m > 0]
    noise = max(np.median(left), least * a * a * g.sum() / n) / kept
    expected = a * a * (g - own * m) / noise
    found = 2 * a * c / noise - expected
    fields = [np.pad(v, 1) for v in (found, expected)]
    found, expected = (v[:-1, :-1] + v[:-1, 1:] + v[1:, :-1] + v[1:, 1:] for v in fields)
    seen = expected > max(faint, richest * expected.max())
    whole, promised = found.sum() / 4, np.minimum(expected[seen], cap).sum() / 4
    if promised < cap:
        return min(cap, whole), min(cap, expected.sum() / 4), whole, a
    return np.clip(found[seen], -cap, cap).sum() / 4, promised, whole, a


# -- rendering (rtreg.kernels.render) --------------------------------------------------------------------------------


def texture(phases, my, mx, taps_y, taps_x, shape):
    """Every sample of a twice oversampled torus, one tap after the other."""
    _, _, wy, wx = phases.shape
    fine = np.zeros((2 * wy, 2 * wx))
    for p in (0, 1):
        for q in (0, 1):
            fine[p::2, q::2] = phases[p, q]
    out = np.zeros(shape)
    for y in range(shape[0]):
        for x in range(shape[1]):
            for i in range(6):
                for j in range(6):
                    sample = fine[(2 * y + my + i) % (2 * wy), (2 * x + mx + j) % (2 * wx)]
                    out[y, x] += float(taps_y[i]) * float(taps_x[j]) * sample
    return out


def fourier_sum(spectrum, world, shape, dx, dy):
    """A band-limited torus, moved by (dx, dy), as the sum of its waves at every pixel of the view (ny, nx)."""
    wy, wx = world
    ky = np.fft.fftfreq(wy)
    kx = np.fft.rfftfreq(wx)
    weight = np.where((kx == 0) | (kx == 0.5), 1.0, 2.0)  # a half plane stands for both
    waves_y = np.exp(2j * np.pi * np.outer(np.arange(shape[0]) - dy, ky))
    waves_x = np.exp(2j * np.pi * np.outer(np.arange(shape[1]) - dx, kx))
    return np.real(waves_y @ (spectrum * weight) @ waves_x.T) / (wy * wx)


def stars(ys, xs, peaks, sigma, shape):
    """Gaussians over the whole image."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    out = np.zeros(shape)
    for y0, x0, peak in zip(ys, xs, peaks, strict=True):
        out += peak * np.exp(-((y - y0) ** 2 + (x - x0) ** 2) / (2 * sigma**2))
    return out


def expose(electrons, throughput, dark, normals, read_noise, gain, offset, low, high):
    """Pixels of a detector for which photons arrive exactly, in ADU, rounded."""
    level = electrons.astype(float) * throughput + dark + read_noise * normals
    return np.clip(np.floor(level / gain + offset + 0.5), low, high)


# -- Fourier tools (rtreg.fft_tools, rtreg.kernels.bessel) ------------------------------------------------------------


def j1_over_x(x):
    """Poisson's integral for J1, over x."""
    theta = (np.arange(8000) + 0.5) * np.pi / 8000
    return np.array([np.mean(np.cos(v * np.cos(theta)) * np.sin(theta) ** 2) for v in np.ravel(x)])


def beyond(image, y, x, boundary, fill):
    """Pixel (y, x) of an image that goes on beyond its edges."""
    size = np.array(image.shape)
    at = np.array([y, x])
    if boundary == "fill" and not (0 <= y < size[0] and 0 <= x < size[1]):
        return fill
    if boundary == "reflect":  # the pixel at the edge twice
        at = np.where(at % (2 * size) < size, at % (2 * size), 2 * size - 1 - at % (2 * size))
    at = at % size if boundary == "wrap" else np.clip(at, 0, size - 1)
    return image[tuple(at)]


def correlate(first, second, boundary, fill=0.0):
    """Sum of first(x - d) second(x), d counted from the middle; pixel n // 2 of each image is its middle."""
    (n, m), (p, q) = first.shape, second.shape
    out = np.zeros((max(n, p), max(m, q)))
    second = second[::-1, ::-1]
    for j in range(out.shape[0]):
        for i in range(out.shape[1]):
            y, x = j - out.shape[0] // 2 + n // 2, i - out.shape[1] // 2 + m // 2
            for b in range(p):
                for a in range(q):
                    out[j, i] += second[b, a] * beyond(first, y - b + p // 2, x - a + q // 2, boundary, fill)
    return out


def fourier_value(data, position):
    """A periodic band-limited array of any number of axes at one position: the sum of all its waves."""
    coefficients = np.fft.ifftn(data)
    total = 0
    for k in np.ndindex(data.shape):
        angle = sum(np.fft.fftfreq(n)[i] * x for n, i, x in zip(data.shape, k, position, strict=True))
        total += coefficients[k] * np.exp(-2j * np.pi * angle)
    return total


# -- Structure (rtreg.kernels.box) ------------------------------------------------------------------------------------


def gradient_energy(image, variance, good):
    """Half differences of the neighbours, a missing one replaced by the pixel itself, squared, over the variance."""
    padded = np.pad(np.asarray(image, float), 1, mode="edge")
    gy = 0.5 * (padded[2:, 1:-1] - padded[:-2, 1:-1])
    gx = 0.5 * (padded[1:-1, 2:] - padded[1:-1, :-2])
    return np.where(good, (gy**2 + gx**2) / variance, 0.0)


def shrink(image, variance):
    """Local mean by (1 2 1) / 4 along both axes of the mirrored image, and of the rest what is more than noise."""
    padded = np.pad(np.asarray(image, float), 1, mode="reflect")
    rows = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
    local = 0.25 * rows[:, :-2] + 0.5 * rows[:, 1:-1] + 0.25 * rows[:, 2:]
    detail = image - local
    return local + np.maximum(0.0, 1.0 - 4.0 * variance / np.maximum(detail**2, 1e-30)) * detail


def neighbour_products(a, b):
    """Mean product of each pixel of `a`, less its mean, with its right and lower ones in `b`, less its."""
    da, db = a - np.nanmean(a, dtype=float), b - np.nanmean(b, dtype=float)
    return 0.5 * (np.nanmean(da[:, 1:] * db[:, :-1]) + np.nanmean(da[1:] * db[:-1]))


def merged(total, count, frames, weight, memory, least, mean, seen):
    """A batch into a running mean, each pixel with its own number of frames: the mean, that number, what is known."""
    seen = np.minimum(seen * (1.0 - weight * (1.0 - count / frames)) + count, memory)
    mean = np.where(count > 0, mean + (total - count * mean) / np.maximum(seen, 1e-30), mean)
    return mean, seen, np.where(seen >= least, mean, np.nan)


def box_sum(image, reach):
    """Sums over boxes, a pixel at a time."""
    ny, nx = image.shape
    out = np.zeros((ny, nx))
    for y in range(ny):
        for x in range(nx):
            out[y, x] = image[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1].sum()
    return out


# -- One pair of images (rtreg.kernels.chi2) --------------------------------------------------------------------------


def spline_value(coefficients, y, x):
    """A spline at (y, x) from its coefficients, all of them, none beyond the border."""
    j, i = np.indices(coefficients.shape)
    return float(np.sum(coefficients * beta3(j - y) * beta3(i - x)))


def spline_slopes(coefficients, y, x, h=1e-4):
    """Its derivatives (d/dy, d/dx), by differences."""
    up, down = spline_value(coefficients, y + h, x), spline_value(coefficients, y - h, x)
    right, left = spline_value(coefficients, y, x + h), spline_value(coefficients, y, x - h)
    return (up - down) / (2 * h), (right - left) / (2 * h)


def pair_moments(
    reference, jy, jx, weights, coefficients, pad, fy, fx, margin, scale, offset, floor, slope, stride
):  # fmt: skip
    """The sums of `chi2.moments`, a pixel at a time."""
    ny, nx = weights.shape
    edge = margin + 2 - pad
    rows = range(max(0, edge, 2 - jy), min(ny, ny - edge, reference.shape[0] - 2 - jy), stride)
    columns = range(max(0, edge, 2 - jx), min(nx, nx - edge, reference.shape[1] - 2 - jx))
    products, extra = np.zeros((4, 5)), np.zeros(10)
    for y in rows:
        for x in columns:
            v, u = y + jy, x + jx
            r = reference
            value = spline_value(coefficients, y + pad + fy, x + pad + fx)
            iy, ix = spline_slopes(coefficients, y + pad + fy, x + pad + fx)
            w = weights[y, x] / (1 + slope * (r[v, u] - floor))
            residual = value - scale * r[v, u] - offset
            dy = (8 * (r[v + 1, u] - r[v - 1, u]) - (r[v + 2, u] - r[v - 2, u])) / 12
            dx = (8 * (r[v, u + 1] - r[v, u - 1]) - (r[v, u + 2] - r[v, u - 2])) / 12
            wide = r[v, u] + r[v - 1, u] + r[v + 1, u] + r[v, u - 1] + r[v, u + 1]
            products += w * np.outer([wide, 1, dy, dx], [r[v, u], 1, iy, ix, residual])
            extra[:6] += w * np.array([dy * dy, dy * dx, dx * dx, wide * wide, wide * dy, wide * dx])
            extra[6:] += w * wide, w * r[v, u] * residual, w * residual**2, w > 0
    return np.concatenate([products.ravel(), extra])


def correlation_at(reference, frame, dy, dx):
    """``sum R(p) I(p + d)`` of periodic images without their means, the frame moved by its waves, none at n/2."""
    spectrum = np.fft.fft2(frame - frame.mean())
    ky, kx = np.meshgrid(np.fft.fftfreq(frame.shape[0]), np.fft.fftfreq(frame.shape[1]), indexing="ij")
    spectrum[(ky == -0.5) | (kx == -0.5)] = 0.0
    moved = np.fft.ifft2(spectrum * np.exp(2j * np.pi * (ky * dy + kx * dx))).real
    return float(np.sum(reference * moved))


# -- The windowed centroid (rtreg.kernels.centroid) -------------------------------------------------------------------


def star_moments(patch, cy, cx, width, quiet, slope, ref_b, a, b):
    """The fourteen sums of `centroid.moments`, a formula each."""
    y, x = np.mgrid[: patch.shape[0], : patch.shape[1]]
    v, u, i = y - cy, x - cx, patch.astype(float) - b
    g = np.exp(-0.5 * (u**2 + v**2) / width**2)
    w = 1 / np.maximum(quiet + slope * (a * g + b - ref_b), 0.1 * quiet)
    terms = [1, i, g, g * g, g * i, g * u, g * u * i, g * g * u, g * g * u * u]
    terms += [g * v, g * v * i, g * g * v, g * g * v * v, g * g * u * v]
    return np.array([np.sum(w * term) for term in terms])


def star_misfit(patch, model, scale, offset, ref_b, quiet, slope, share):
    """chi²/dof of a window against the reference's own star (noise-free values `model`)."""
    expected = scale * model + offset
    variance = quiet + slope * (expected - ref_b) + scale**2 * share * (quiet + slope * (model - ref_b))
    w = 1 / np.maximum(variance, 0.1 * quiet)
    r = patch - expected
    return (np.sum(w * r * r) - np.sum(w * r) ** 2 / np.sum(w)) / (patch.size - 4)


# -- The field's motion (rtreg.kernels.similarity) --------------------------------------------------------------------


def similarity(levers, shifts, covariances):
    """Values (t_x, t_y, a, b), their covariance and chi² by generalised least squares on stacked matrices."""
    n = len(levers)
    design, weight = np.zeros((2 * n, 4)), np.zeros((2 * n, 2 * n))
    for k, (xx, xy, yy) in enumerate(covariances):
        design[2 * k : 2 * k + 2] = np.hstack([np.eye(2), levers[k]])
        weight[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] = np.linalg.inv([[xx, xy], [xy, yy]])
    covariance = np.linalg.inv(design.T @ weight @ design)
    values = covariance @ design.T @ weight @ np.ravel(shifts)
    left = np.ravel(shifts) - design @ values
    return values, covariance, left @ weight @ left


# -- Noise against signal (rtreg.kernels.line) ------------------------------------------------------------------------


def variance_line(counts, squares, signals, rounds):
    """Least squares with weights counts / v², v from the round before; the bound that is violated holds exactly."""
    p, q = np.average(squares, weights=counts), 0.0
    for _ in range(rounds):
        weights = counts / np.maximum(p + q * signals, 1e-3 * np.average(squares, weights=counts)) ** 2
        q, p = np.polyfit(signals, squares, 1, w=np.sqrt(weights))
        if q < 0:
            p, q = np.average(squares, weights=weights), 0.0
        elif p < 0:
            p, q = 0.0, np.sum(weights * signals * squares) / np.sum(weights * signals**2)
    return p, q


# -- bad pixels (rtreg.kernels.inpaint) -------------------------------------------------------------------------------


def autocorrelation(h):
    """Of a small square filter: (2 n - 1, 2 n - 1), symmetric and positive definite."""
    n = len(h)
    padded = np.pad(h, n - 1)
    return np.array([[np.sum(h * padded[j : j + n, i : i + n]) for i in range(2 * n - 1)] for j in range(2 * n - 1)])


def inpaint(image, bad, kernel):
    """The values of the bad pixels (flat indices) at which the filtered image vanishes there, by solving for them."""
    ny, nx = image.shape
    r = len(kernel) // 2
    equations, right = np.zeros((len(bad), len(bad))), np.zeros(len(bad))
    for row, p in enumerate(bad):
        for j in range(-r, r + 1):
            for i in range(-r, r + 1):
                q = np.clip(p // nx + j, 0, ny - 1) * nx + np.clip(p % nx + i, 0, nx - 1)
                if q in bad:
                    equations[row, list(bad).index(q)] += kernel[j + r, i + r]
                else:
                    right[row] -= kernel[j + r, i + r] * image.flat[q]
    out = image.astype(float)
    out.flat[bad] = np.linalg.solve(equations, right)
    return out
