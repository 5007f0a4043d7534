"""Images of one scene with any WCS, so that the truth is known on the sky."""

import math

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

CENTRE = (150.0, 40.0)  # RA, dec of the scene, degrees


def make_header(kind="cd", *, scale=1e-3, angle=0.0, shape=(64, 64), crval=CENTRE, crpix=None, parity=-1, ctype="TAN"):
    """A header (RA, dec) with the linear part as CD, PC or CDELT + CROTA2; `angle` in degrees."""
    ny, nx = shape
    header = fits.Header()
    header["NAXIS"], header["NAXIS1"], header["NAXIS2"] = 2, nx, ny
    header["CTYPE1"], header["CTYPE2"] = f"RA---{ctype}", f"DEC--{ctype}"
    header["CUNIT1"] = header["CUNIT2"] = "deg"
    header["CRVAL1"], header["CRVAL2"] = crval
    header["CRPIX1"], header["CRPIX2"] = crpix or ((nx + 1) / 2, (ny + 1) / 2)
    header["RADESYS"] = "ICRS"
    matrix = scale_matrix(scale, angle, parity)
    cdelt = parity * scale, scale
    if kind == "cd":
        for (i, j), value in np.ndenumerate(matrix):
            header[f"CD{i + 1}_{j + 1}"] = value
        return header
    header["CDELT1"], header["CDELT2"] = cdelt
    if kind == "pc":
        for (i, j), value in np.ndenumerate(matrix):
            header[f"PC{i + 1}_{j + 1}"] = value / cdelt[i]
    elif kind == "crota":
        header["CROTA2"] = angle
    else:
        assert kind == "cdelt"
        assert angle == 0
    return header


def scale_matrix(scale=1e-3, angle=0.0, parity=-1):
    """What CDELT and CROTA2 mean (Calabretta & Greisen 2002, eq. 189)."""
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return np.array([[c, -s], [s, c]]) @ np.diag([parity * scale, scale])


_STARS = np.random.default_rng(8).uniform(-0.024, 0.024, (14, 2))


def sky_image(header, *, offset=(0.0, 0.0), noise=0.5, seed=1, flux=300.0, width=2e-3):
    """Stars (Gaussian, sigma `width` degrees) on the tangent plane at CENTRE, moved by `offset` (east, north) there."""
    ny, nx = header["NAXIS2"], header["NAXIS1"]
    y, x = np.mgrid[:ny, :nx]
    ra, dec = np.radians(WCS(header, naxis=2).all_pix2world(x.ravel(), y.ravel(), 0))
    ra0, dec0 = np.radians(CENTRE)
    depth = np.sin(dec0) * np.sin(dec) + np.cos(dec0) * np.cos(dec) * np.cos(ra - ra0)
    east = np.degrees(np.cos(dec) * np.sin(ra - ra0) / depth) - offset[0]
    north = np.degrees((np.cos(dec0) * np.sin(dec) - np.sin(dec0) * np.cos(dec) * np.cos(ra - ra0)) / depth) - offset[1]
    image = np.zeros(ny * nx)
    for number, (star_east, star_north) in enumerate(_STARS):
        distance = (east - star_east) ** 2 + (north - star_north) ** 2
        image += flux * (0.4 + number / 14) * np.exp(-distance / (2 * width**2))
    return image.reshape(ny, nx) + np.random.default_rng(seed).normal(0, noise, (ny, nx))


def make_hdu(header, **options):
    return fits.PrimaryHDU(sky_image(header, **options), header)


def shifted_pair(header, dx, dy, **options):
    """Two images with the same header, the second's content (dx, dy) px further on."""
    moved = header.copy()
    moved["CRPIX1"] += dx
    moved["CRPIX2"] += dy
    second = fits.PrimaryHDU(sky_image(moved, **{"seed": 2, **options}), header)
    return make_hdu(header, **options), second
