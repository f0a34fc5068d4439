"""Grids: where the pixels of an image lie on Earth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pyproj import Transformer


_KEPT = 256  # transformers; a source may name any number of systems
_KNOWN_CORNERS = 4096  # answers; images of a place, such as bands of a patch, follow each other
_ROUNDING = 1e-6  # degrees by which the edge of the world may be missed

_Ranges = tuple[float, float, float, float]
"""Least and largest x, least and largest y."""
# Within these every coordinate has a place, so nobody needs to be asked. The zones' own ranges are
# smaller; PROJ goes on for 16,000 km to both sides of the meridian, and has no limit along it.
_LONLAT_RANGES: _Ranges = (-180.0, 180.0, -90.0, 90.0)
_UTM_RANGES: _Ranges = (-1e6, 2e6, -1e7, 2e7)
_SAFE_RANGES = {"EPSG:4326": _LONLAT_RANGES} | {
    f"EPSG:{first + zone}": _UTM_RANGES for first in (32600, 32700) for zone in range(1, 61)
}


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the pixels of an image lie."""

    shape: tuple[int, int]
    """Rows, columns."""
    crs: str | None
    """``EPSG:<code>`` or WKT2; None where the place is not known."""
    transform: tuple[float, ...] | None
    """Affine coefficients a, b, c, d, e, f: x = a * column + b * row + c, y = d * column + …"""

    def resized(self, shape: tuple[int, int]) -> Grid:
        """The same place in other pixels."""
        if self.transform is None:
            return Grid(shape, self.crs, None)
        down, across = (old / new for old, new in zip(self.shape, shape, strict=True))
        a, b, c, d, e, f = self.transform
        return Grid(shape, self.crs, (a * across, b * down, c, d * across, e * down, f))


@lru_cache(_KEPT)
def _to_lonlat(crs: str) -> Transformer:
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    try:
        known = CRS.from_user_input(crs)
        if known.is_geographic or known.is_projected:  # not heights, nor metres from the centre
            return Transformer.from_crs(known, "EPSG:4326", always_xy=True)
    except ProjError:
        pass
    raise ValueError(f"no usable coordinate reference system: {crs:.40}")


def lonlat_of(
    crs: str, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitudes and latitudes (degrees, WGS 84) of coordinates in ``crs``; infinite where none.

    Raises:
        ValueError: PROJ does not know the coordinate reference system, or it is not one of places.
    """
    lon, lat = _to_lonlat(crs).transform(x, y)
    return lon, lat


@lru_cache(_KEPT)
def is_geographic(crs: str) -> bool:
    """Whether coordinates in ``crs`` are longitudes and latitudes."""
    from pyproj import CRS

    return bool(CRS.from_user_input(crs).is_geographic)


def on_earth(crs: str, transform: Sequence[float] | None, shape: tuple[int, int]) -> bool:
    """Whether a grid of that many rows and columns has pixels, and its corners a place.

    Longitudes may count from 0 to 360 degrees, or go on beyond 180.
    """
    if transform is None:
        return False
    a, b, c, d, e, f = transform
    if not all(map(isfinite, transform)) or a * e == b * d:
        return False
    rows, columns = shape
    across, down = (a * columns, d * columns), (b * rows, e * rows)
    x = (c, c + down[0], c + across[0] + down[0], c + across[0])
    y = (f, f + down[1], f + across[1] + down[1], f + across[1])
    safe = _SAFE_RANGES.get(crs)
    if safe is not None:
        left, right, bottom, top = safe
        if left <= min(x) and max(x) <= right and bottom <= min(y) and max(y) <= top:
            return True
    return _are_places(crs, x, y)


@lru_cache(_KNOWN_CORNERS)
def _are_places(crs: str, x: tuple[float, ...], y: tuple[float, ...]) -> bool:
    """Whether all of these coordinates have a place."""
    try:
        lon, lat = lonlat_of(crs, np.array(x), np.array(y))
    except ValueError:
        return False
    return bool((abs(lon) <= 360 + _ROUNDING).all() and (abs(lat) <= 90 + _ROUNDING).all())
