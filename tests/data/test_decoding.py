"""Decoding image files: every library that is used, against pixels that are known."""

import io

import numpy as np
import planted
import pytest
import rasterio
from mini_catalog import jpeg, palette_png, tiff
from PIL import Image

from satimnet.builder.errors import SatimnetError
from satimnet.training.data.decoding import decode


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 2**8, (40, 30, 3), np.uint8)


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("bands", [None, 3])
def test_jpeg_as_pillow_decodes_it(pixels, bands):
    data = jpeg(pixels)
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(decode(data, bands), np.asarray(image))
    np.testing.assert_array_equal(decode(memoryview(data), bands), decode(data, bands))


def test_grey_jpeg_has_one_band_unless_colours_are_wanted():
    data = jpeg(np.full((40, 30), 100, np.uint8))
    assert decode(data).shape == decode(data, 1).shape == (40, 30, 1)
    assert decode(data, 3).shape == (40, 30, 3)


@pytest.mark.parametrize("size", [30, 300])  # below and above the size at which GDAL takes over
@pytest.mark.parametrize("kind", ["rgb", "grey", "palette", "16 bit"])
def test_png(size, kind):
    generator = np.random.default_rng(0)
    if kind == "rgb":
        pixels = generator.integers(0, 2**8, (size, size + 1, 3), np.uint8)
    elif kind == "16 bit":
        pixels = generator.integers(0, 2**16, (size, size + 1), np.uint16)
    else:
        pixels = generator.integers(0, 4, (size, size + 1), np.uint8)
    data = palette_png(pixels) if kind == "palette" else png(pixels)
    found = decode(data)
    assert found.dtype == pixels.dtype
    np.testing.assert_array_equal(found, pixels.reshape(size, size + 1, -1))


@pytest.mark.parametrize("options", [
    {"compress": "deflate", "predictor": 2},
    {"compress": "lzw", "interleave": "band"},
    {"compress": "zstd", "tiled": True, "blockxsize": 16, "blockysize": 16},
    {},
])  # fmt: skip
@pytest.mark.parametrize("shape", [(40, 30, 13), (13, 30, 13), (40, 30, 1), (30, 13, 1)])
def test_tiff(options, shape):
    pixels = np.random.default_rng(0).integers(0, 2**16, shape, np.uint16)
    for bands in (None, shape[2]):
        np.testing.assert_array_equal(decode(tiff(pixels, **options), bands), pixels)


def test_the_palette_of_a_tiff_is_no_colour_and_overviews_are_not_read():
    values = np.random.default_rng(0).integers(0, 4, (600, 700), np.uint8)
    with rasterio.MemoryFile() as file:
        profile = {"height": 600, "width": 700, "count": 1, "dtype": "uint8"}
        with file.open(driver="GTiff", compress="deflate", **profile) as image:
            image.write(values, 1)
            image.write_colormap(1, {k: (60 * k, 0, 0, 255) for k in range(4)})
            image.build_overviews([2, 4])
        data = file.read()
    np.testing.assert_array_equal(decode(data, 1)[..., 0], values)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8nothing", b"II*\0" + bytes(100), b"hello"])
def test_what_is_no_image_is_a_user_error(data):
    with pytest.raises(SatimnetError, match="cannot be decoded"):
        decode(data, 3)


def test_an_image_too_large_to_be_decoded_whole_is_not_called_damaged():
    with pytest.raises(SatimnetError, match="too large to be decoded whole") as refused:
        decode(planted.large_png(), 3)
    assert "build it again" not in str(refused.value)
