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


_CORNERS = np.array([(0, 0, 1, 1), (0, 1, 1, 0)])  # columns, rows
_KEPT = 256  # transformers; a source may name any number of systems
_ROUNDING = 1e-6  # degrees by which the edge of the world may be missed


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
    columns, rows = _CORNERS * [[shape[1]], [shape[0]]]
    try:
        lon, lat = lonlat_of(crs, a * columns + b * rows + c, d * columns + e * rows + f)
    except ValueError:
        return False
    return bool((abs(lon) <= 360 + _ROUNDING).all() and (abs(lat) <= 90 + _ROUNDING).all())
