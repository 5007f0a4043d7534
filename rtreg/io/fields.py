"""What several regions say, as it travels in a correction under the key ``field``."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from rtreg.records import Covariance, Field, Part, Shift

Pair = tuple[float, float]
_UNKNOWN: Pair = (math.nan, math.nan)


class RegionBody(msgspec.Struct):
    """One region: px, px², and why it was left out."""

    shift: Pair
    cov: tuple[float, float, float]
    chi2: float = math.nan
    rejected: str = ""


class FieldBody(msgspec.Struct):
    """All regions, and the field's motion: rotation (rad) and magnification, each with its 1-sigma error."""

    regions: list[RegionBody]
    centre: Pair | None = None
    rotation: Pair = _UNKNOWN
    magnification: Pair = _UNKNOWN
    tension: float = math.nan
    scatter: float = math.nan


def pack_field(field: Field) -> dict[str, Any]:
    """The map of a field."""
    return {
        "regions": [
            {"shift": part.shift, "cov": _three(part.covariance), "chi2": part.chi2_dof, "rejected": part.rejected}
            for part in field.parts
        ],
        "centre": field.centre,
        "rotation": (field.rotation, field.rotation_sigma),
        "magnification": (field.magnification, field.magnification_sigma),
        "tension": field.tension,
        "scatter": field.scatter,
    }


def unpack_field(body: FieldBody) -> Field:
    """The field that `pack_field` was given, its types checked already."""
    return Field(
        parts=tuple(
            Part(
                shift=Shift(*region.shift),
                covariance=_square(region.cov),
                chi2_dof=region.chi2,
                rejected=region.rejected,
            )
            for region in body.regions
        ),
        centre=None if body.centre is None else Shift(*body.centre),
        rotation=body.rotation[0],
        rotation_sigma=body.rotation[1],
        magnification=body.magnification[0],
        magnification_sigma=body.magnification[1],
        tension=body.tension,
        scatter=body.scatter,
    )


def _three(covariance: Covariance) -> tuple[float, float, float]:
    (xx, xy), (_, yy) = covariance
    return xx, xy, yy


def _square(cov: tuple[float, float, float]) -> Covariance:
    xx, xy, yy = cov
    return ((xx, xy), (xy, yy))
