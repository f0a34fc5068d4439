"""Strips of a scene: each is what the whole scene, mirrored at its edges, has there."""

import numpy as np
import pytest
import rasterio

from satimnet.builder.imagery.scenes import open_scene
from satimnet.training.maps.strips import STRIP, strips
from satimnet.training.networks.models import MARGIN

BANDS = ("B02", "B03")
FILL = (900.5, 1000.25)


@pytest.mark.parametrize(
    ("rows", "columns"), [(2 * STRIP + 19, 70), (STRIP, 64), (STRIP + 1, 65), (64, 64)]
)
def test_strips_are_parts_of_the_mirrored_scene(tmp_path, rows, columns):
    """To the value, at all four edges and where two strips meet: no two pixels are alike."""
    image = 1 + np.arange(2 * rows * columns).reshape(2, rows, columns) % 65_000
    image[:, :9, :7] = 0  # nobody saw this corner
    profile = {"height": rows, "width": columns, "count": 2, "dtype": "uint16"}
    place = rasterio.Affine(10, 0, 600_000, 0, -10, 5_000_040)
    path = tmp_path / "scene.tif"
    with rasterio.open(path, "w", "GTiff", crs="EPSG:32632", transform=place, **profile) as file:
        file.write(image.astype(np.uint16))
        for band, name in enumerate(BANDS, 1):
            file.set_band_description(band, name)
    valid = image.any(axis=0)
    filled = np.where(valid, image.astype(np.float32), np.array(FILL, np.float32)[:, None, None])
    whole = np.pad(filled, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)), mode="reflect")

    for start in range(0, rows, STRIP):
        found = list(strips(open_scene(str(path), BANDS), FILL, start))
        assert [strip.top for strip in found] == list(range(start, rows, STRIP))
        assert found[-1].bottom == rows
        for strip in found:
            expected = whole[:, strip.top : strip.bottom + 2 * MARGIN]
            np.testing.assert_array_equal(strip.padded, expected)
            np.testing.assert_array_equal(strip.valid, valid[strip.top : strip.bottom])
