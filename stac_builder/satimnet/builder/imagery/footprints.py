"""Footprints: where on Earth the pixels of a grid lie, as GeoJSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from satimnet.builder.imagery.grids import is_geographic, lonlat_of
from satimnet.builder.imagery.lonlat import Box, area_of, over_pole, unrolled

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CORNERS = np.array([(0, 0), (0, 1), (1, 1), (1, 0), (0, 0)])  # (column, row): anticlockwise
_DIGITS = 7  # of degrees: a centimetre
_STEPS = 32
"""Points along an edge that is not straight in longitude and latitude."""
_WIDE = 5.0
_POLAR = 75.0
"""Degrees of longitude and of latitude up to which edges are taken for straight: they bend by at
most a hundredth of their length (an eighth of the width, in radians, times the sine of the
latitude)."""
_INSIDE = 1e-10
"""Fraction of the size by which points lie inside of the edge: a corner on a pole has no longitude,
but a point beside it has."""
_OUTLINE = _INSIDE + (1 - 2 * _INSIDE) * np.concatenate(
    (np.linspace(_CORNERS[:-1], _CORNERS[1:], _STEPS, False, axis=1).reshape(-1, 2), _CORNERS[:1])
)


class Georeferenced(Protocol):
    """What has a place: a grid, the header of an image, or a scene."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns."""

    @property
    def crs(self) -> str | None:
        """``EPSG:<code>`` or WKT; None without a place."""

    @property
    def transform(self) -> tuple[float, ...] | None:
        """Affine coefficients a, b, c, d, e, f."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """A place on Earth."""

    geometry: dict[str, Any]
    """A Polygon, or a MultiPolygon where 180 degrees cut it."""
    bbox: Box


def footprints_of(grids: Sequence[Georeferenced | None]) -> list[Footprint | None]:
    """The footprints of grids whose corners have a place, to 1e-7 degrees; None of the others.

    The outline goes through the corners; where edges bend in longitude and latitude, as they do
    near a pole, through points between them, too.
    """
    return footprints_from(*corners_of(grids))


def footprints_from(
    corners: NDArray[np.float64], others: Mapping[int, Footprint]
) -> list[Footprint | None]:
    """As `footprints_of`, of what `corners_of` gives."""
    found: list[Footprint | None] = [None] * len(corners)
    simple = np.flatnonzero(~np.isnan(corners[:, 0, 0]))
    boxes = boxes_of(corners[simple]).tolist()
    for at, ring, box in zip(simple.tolist(), corners[simple].tolist(), boxes, strict=True):
        found[at] = Footprint({"type": "Polygon", "coordinates": [ring]}, box)
    for at, footprint in others.items():
        found[at] = footprint
    return found


def corners_of(
    grids: Sequence[Georeferenced | None],
) -> tuple[NDArray[np.float64], dict[int, Footprint]]:
    """The footprints as `footprints_of` has them, those of four corners in one array.

    Returns:
        Longitude and latitude of the corners, (grid, corner, 2), NaN without a place or with
        another outline than four corners; and the footprints of the latter by number of the grid.
    """
    found = np.full((len(grids), len(_CORNERS), 2), np.nan)
    others: dict[int, Footprint] = {}
    by_crs: dict[str, list[int]] = {}
    for at, grid in enumerate(grids):
        if grid is not None and grid.crs is not None:
            by_crs.setdefault(grid.crs, []).append(at)
    for crs, indices in by_crs.items():
        chosen = [grid for at in indices if (grid := grids[at]) is not None]
        transforms = np.array([grid.transform for grid in chosen])
        shapes = np.array([grid.shape for grid in chosen])
        lon, lat = _rings(crs, transforms, shapes, _CORNERS)
        simple = (abs(lon).max(1) <= 180) & ~_bends(lon, lat)
        found[indices] = np.stack((lon, lat), axis=-1).round(_DIGITS)
        for odd in np.flatnonzero(~simple).tolist():
            found[indices[odd]] = np.nan
            others[indices[odd]] = _footprint(crs, transforms[odd], shapes[odd])
    return found, others


def boxes_of(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """West, south, east and north of corners as `corners_of` gives them, (grid, 4)."""
    return np.concatenate((corners.min(1), corners.max(1)), axis=1)


def _rings(
    crs: str, transforms: NDArray[Any], shapes: NDArray[Any], points: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitudes and latitudes (grid, point) of points given as fractions (column, row)."""
    a, b, c, d, e, f = transforms.T[:, :, None]
    rows, columns = shapes.T[:, :, None]
    column, row = points[:, 0] * columns, points[:, 1] * rows
    return lonlat_of(crs, a * column + b * row + c, d * column + e * row + f)


def _bends(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether edges between these points may be far from straight in longitude and latitude."""
    return np.asarray((np.ptp(lon, -1) > _WIDE) | (abs(lat).max(-1) > _POLAR))


def _footprint(crs: str, transform: Sequence[float], shape: Sequence[int]) -> Footprint:
    """The footprint of one grid, wherever it lies."""
    (lon,), (lat,) = _rings(crs, np.array([transform]), np.array([shape]), _OUTLINE)
    known = np.isfinite(lon) & np.isfinite(lat)  # edges may leave what a projection can show
    ring = unrolled(lon[known], lat[known].clip(-90, 90))
    around = round((ring[-1, 0] - ring[0, 0]) / 360)  # a pole, eastwards or westwards
    a, b, _, d, e, _ = transform
    if around:
        # Seen from above, a ring around the north pole goes eastwards if it is anticlockwise.
        ring = over_pole(ring, 90 if (around > 0) == (a * e < b * d) else -90)
    elif is_geographic(crs) or not _bends(*ring.T):
        ring = ring[(np.arange(len(lon)) % _STEPS == 0)[known]]
    geometry, bbox = area_of([ring], _DIGITS)
    return Footprint(geometry, bbox)
