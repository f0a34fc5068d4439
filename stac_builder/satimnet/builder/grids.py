"""Grids: from pixels to places."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pyproj import Transformer


@cache
def _to_lonlat(crs: str) -> Transformer:
    from pyproj import Transformer

    return Transformer.from_crs(crs, "EPSG:4326", always_xy=True)


def lonlat_of(
    crs: str, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitudes and latitudes (degrees, WGS 84) of coordinates in ``crs``; infinite where none."""
    lon, lat = _to_lonlat(crs).transform(x, y)
    return lon, lat
