"""Whether a grid has a place on Earth: what is known without PROJ is what PROJ says."""

import math

import numpy as np
import pytest

from satimnet.builder.imagery import grids
from satimnet.builder.imagery.grids import lonlat_of, on_earth

ZONES = [first + zone for first in (32600, 32700) for zone in (1, 31, 32, 60)]


@pytest.mark.parametrize("crs", ["EPSG:4326", *(f"EPSG:{code}" for code in ZONES)])
def test_coordinates_within_the_safe_ranges_have_a_place(crs):
    left, right, bottom, top = grids._SAFE_RANGES[crs]
    x, y = np.meshgrid(np.linspace(left, right, 121), np.linspace(bottom, top, 241))
    lon, lat = lonlat_of(crs, x.ravel(), y.ravel())
    assert (abs(lon) <= 360).all()
    assert (abs(lat) <= 90).all()


@pytest.mark.parametrize(
    ("crs", "transform", "expected"),
    [
        ("EPSG:32633", (10.0, 0.0, 399960.0, 0.0, -10.0, 5300040.0), True),
        ("EPSG:32633", (10.0, 0.0, 2.5e6, 0.0, -10.0, 5300040.0), True),  # by PROJ
        ("EPSG:32633", (10.0, 0.0, 1e9, 0.0, -10.0, 5300040.0), False),
        ("EPSG:32633", (10.0, 0.0, math.nan, 0.0, -10.0, 5300040.0), False),
        ("EPSG:32633", (0.0, 0.0, 399960.0, 0.0, -10.0, 5300040.0), False),
        ("EPSG:32661", (10.0, 0.0, 2e6, 0.0, -10.0, 2e6), True),  # polar, no zone
        ("EPSG:4326", (0.01, 0.0, 359.0, 0.0, -0.01, 50.0), True),
        ("EPSG:4326", (0.01, 0.0, 399960.0, 0.0, -0.01, 5300040.0), False),
        ("EPSG:4326", (0.01, 0.0, 10.0, 0.0, 0.01, 89.5), False),
        ("EPSG:3035", (10.0, 0.0, 4321000.0, 0.0, -10.0, 3210000.0), True),
        ("EPSG:3035", (10.0, 0.0, 1e12, 0.0, -10.0, 3210000.0), False),
        ("EPSG:1", (10.0, 0.0, 0.0, 0.0, -10.0, 0.0), False),
        ("EPSG:32633", None, False),
    ],
)
def test_grids_on_earth(crs, transform, expected):
    assert on_earth(crs, transform, (100, 100)) is expected


def test_a_turned_grid_counts_by_its_corners():
    """Turned by 45 degrees, and pushed over the edge of the world by its rows alone."""
    assert on_earth("EPSG:4326", (0.1, 0.1, 0.0, 0.1, -0.1, 0.0), (100, 100))
    assert not on_earth("EPSG:4326", (0.1, 0.1, 0.0, 0.1, -0.1, 0.0), (100, 1000))
