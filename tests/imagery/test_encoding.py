"""COGs are written by rio-cogeo, and nothing of an image is lost on the way."""

from __future__ import annotations

import io

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile
from rio_cogeo.cogeo import cog_validate

from satimnet.builder.errors import BadFileError
from satimnet.builder.imagery import encoding
from satimnet.builder.imagery.encoding import COG_TYPE, encode_mask, recode, write_cog
from satimnet.builder.imagery.headers import Header, read_header

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

ROWS, COLUMNS = 700, 1300
UTM = {"crs": "EPSG:32633", "transform": Affine(0.5, 0, 5e5, 0, -0.5, 5e6)}
CLASSES = [
    {"name": "background", "value": 0},
    {"name": "building", "value": 1, "color_hint": "FF0000"},
    {"name": "road", "value": 2, "color_hint": "0000FF"},
]


def pixels_of(bands: int = 3, dtype: str = "uint8") -> np.ndarray:
    """Pixels (band, y, x) of all values that the type has."""
    kind, rng = np.dtype(dtype), np.random.default_rng(1)
    shape = (bands, ROWS, COLUMNS)
    if kind.kind == "f":
        made = rng.normal(size=shape).astype(kind)
        made[0, :3, :5] = (np.nan, np.inf, -np.inf, 0, -1)
        return made
    limits = np.iinfo(kind)
    return rng.integers(limits.min, limits.max, shape, kind, endpoint=True)


def tiff_of(pixels: np.ndarray, **profile) -> bytes:
    """The pixels as a GeoTIFF."""
    bands, rows, columns = pixels.shape
    profile |= {"count": bands, "height": rows, "width": columns, "dtype": pixels.dtype}
    points, masked = profile.pop("gcps", None), profile.pop("masked", False)
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", **profile) as image:
            image.write(pixels)
            if points:
                image.gcps = points
            if masked:
                image.write_mask(pixels[0] > 99)
        return bytes(memory.getbuffer())


def png_of(pixels: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.moveaxis(pixels, 0, 2).squeeze()).save(file, "PNG", **options)
    return file.getvalue()


def cog_of(data: bytes, tmp_path) -> tuple[bytes, np.ndarray, dict]:
    """The COG of an image file: its bytes, pixels and profile. It is a valid one."""
    path = tmp_path / "cog.tif"
    path.write_bytes(recode(data, read_header(data, "image"), "image", tmp_path))
    assert cog_validate(path, strict=True) == (True, [], [])
    with rasterio.open(path) as image:
        profile = dict(image.profile) | {"overviews": image.overviews(1)}
        profile["colours"] = [colour.name for colour in image.colorinterp]
        return path.read_bytes(), image.read(), profile


CORNERS = [
    GroundControlPoint(0, 0, 10, 50),
    GroundControlPoint(0, COLUMNS, 10.1, 50),
    GroundControlPoint(ROWS, 0, 10, 49.9),
]


@pytest.mark.parametrize(
    ("bands", "dtype", "profile"),
    [
        pytest.param(3, "uint8", {"photometric": "RGB", **UTM}, id="place"),
        pytest.param(3, "uint8", {"photometric": "RGB", "nodata": 0}, id="nodata"),
        pytest.param(
            3, "uint8", UTM | {"transform": Affine(0.4, 0.3, 5e5, 0.3, -0.4, 5e6)}, id="turned"
        ),
        pytest.param(
            3, "uint8", UTM | {"transform": Affine(0.5, 0, 5e5, 0, 0.5, 5e6)}, id="south up"
        ),
        pytest.param(4, "uint8", {"photometric": "RGB", "alpha": "YES"}, id="transparent"),
        pytest.param(3, "uint8", {"masked": True}, id="masked"),
        pytest.param(3, "uint8", {"gcps": (CORNERS, CRS.from_epsg(4326))}, id="control points"),
        pytest.param(8, "uint16", UTM, id="uint16"),
        pytest.param(1, "int16", {"nodata": -32768}, id="int16"),
        pytest.param(1, "float32", {"nodata": float("nan")}, id="float32"),
        pytest.param(1, "float64", {}, id="float64"),
        pytest.param(1, "int64", {}, id="int64"),
        pytest.param(1, "uint64", {}, id="uint64"),
    ],
)
def test_an_image_keeps_pixels_place_nodata_and_colours(
    bands, dtype, profile, tmp_path, monkeypatch
):
    expected = pixels_of(bands, dtype)
    data = tiff_of(expected, **profile)
    content, pixels, made = cog_of(data, tmp_path)
    np.testing.assert_array_equal(pixels, expected)
    with MemoryFile(data) as memory, memory.open() as image:
        assert [colour.name for colour in image.colorinterp] == made["colours"]
        for key in ("crs", "nodata", "dtype"):
            assert made[key] == image.profile[key] or made[key] != made[key], key
        if image.crs is not None:
            assert made["transform"] == image.transform
    assert (made["blockxsize"], made["compress"], made["overviews"]) == (512, "deflate", [2, 4])
    monkeypatch.setattr(encoding, "_IN_MEMORY", 0)  # made on disk, it is the same file
    assert cog_of(data, tmp_path)[0] == content
    assert [file.name for file in tmp_path.iterdir()] == ["cog.tif"]


@pytest.mark.parametrize(
    ("bands", "options"),
    [(3, {"transparency": (1, 2, 3)}), (1, {"transparency": 7}), (4, {}), (1, {})],
)
def test_transparent_pngs_keep_their_pixels(bands, options, tmp_path):
    expected = pixels_of(bands)
    if bands == 4:
        expected[3, :300] = 0
    np.testing.assert_array_equal(cog_of(png_of(expected, **options), tmp_path)[1], expected)


@pytest.mark.parametrize(("written", "read"), [(b"-9\0", None), (b".5\0", 0.5)])
def test_nodata_values_that_no_pixel_can_have_do_no_harm(written, read, tmp_path):
    expected = pixels_of()
    _, pixels, made = cog_of(tiff_of(expected, nodata=77).replace(b"77\0", written), tmp_path)
    np.testing.assert_array_equal(pixels, expected)
    assert made["nodata"] == read


def test_long_images_have_overviews_until_both_sides_fit_a_tile(tmp_path):
    pixels = pixels_of()[:, :100]
    assert cog_of(tiff_of(pixels), tmp_path)[2]["overviews"] == [2, 4]
    assert cog_of(tiff_of(pixels[:, :, :512]), tmp_path)[2]["overviews"] == []


@pytest.mark.parametrize(
    "overviews",
    ["average", *(pytest.param(o, marks=pytest.mark.slow) for o in ("nearest", "mode"))],
)
def test_the_bytes_do_not_depend_on_the_threads(overviews, tmp_path):
    made = set()
    with MemoryFile(tiff_of(pixels_of() // 50, **UTM)) as memory, memory.open() as image:
        for threads in ("1", "7", "ALL_CPUS"):
            for number in range(2):
                path = tmp_path / f"{threads}-{number}.tif"
                options = {"num_threads": threads}
                with rasterio.Env(GDAL_NUM_THREADS=threads):
                    write_cog(image, path, overviews, in_memory=bool(number), options=options)
                made.add(path.read_bytes())
    assert len(made) == 1


def test_the_mode_is_the_most_frequent_value(tmp_path):
    values = np.random.default_rng(3).integers(0, 3, (1, 600, 1000), np.uint8)
    path = tmp_path / "map.tif"
    with MemoryFile(tiff_of(values)) as memory, memory.open() as image:
        write_cog(image, path, "mode", in_memory=False, options={})
    with rasterio.open(path, overview_level=0) as overview:
        small = overview.read(1)
    fours = values[0].reshape(300, 2, 500, 2).swapaxes(1, 2).reshape(300, 500, 4)
    counts = np.stack([(fours == value).sum(axis=2) for value in range(3)])
    chosen = np.take_along_axis(counts, small[None].astype(int), axis=0)
    np.testing.assert_array_equal(chosen[0], counts.max(axis=0))


def test_a_broken_image_is_named(tmp_path):
    data = png_of(pixels_of())
    header = read_header(data, "image.png")
    broken = data[: len(data) // 2] + bytes(100) + data[len(data) // 2 + 100 :]
    with pytest.raises(BadFileError, match=r"image\.png: GDAL cannot read it"):
        recode(broken, header, "image.png", tmp_path)


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_mask_keeps_its_values_and_colours_in_overviews_too(in_memory, tmp_path, monkeypatch):
    if not in_memory:
        monkeypatch.setattr(encoding, "_IN_MEMORY", 0)
    mask = np.random.default_rng(2).choice(np.array([0, 2], np.uint8), (ROWS, COLUMNS))
    header = Header(mask.shape, 3, "|u1", crs=UTM["crs"], transform=tuple(UTM["transform"])[:6])
    strips = (mask[top : top + 256] for top in range(0, ROWS, 256))
    path = tmp_path / "mask.tif"
    path.write_bytes(encode_mask(strips, header, CLASSES, COG_TYPE, tmp_path))
    assert cog_validate(path, strict=True) == (True, [], [])
    with rasterio.open(path) as image:
        np.testing.assert_array_equal(image.read(1), mask)
        assert image.colorinterp == (ColorInterp.palette,)
        assert image.colormap(1)[2] == (0, 0, 255, 255)
        assert (image.crs, image.transform) == (UTM["crs"], UTM["transform"])
        assert image.overviews(1) == [2, 4]
    for level in (0, 1):
        with rasterio.open(path, overview_level=level) as overview:
            assert set(np.unique(overview.read(1))) == {0, 2}  # an average would have 1
