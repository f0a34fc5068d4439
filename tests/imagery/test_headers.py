"""Headers agree with what rasterio and Pillow say of the same files."""

import io

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio import Affine
from rasterio.io import MemoryFile

from satimnet.builder.errors import BadFileError
from satimnet.builder.imagery import headers
from satimnet.builder.imagery.headers import Pixels, read_header

RNG = np.random.default_rng(0)


def tiff(bands=3, dtype="uint16", size=(40, 48), **options) -> bytes:
    data = RNG.integers(0, 200, (bands, *size)).astype(dtype)
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", count=bands, height=size[0], width=size[1], dtype=dtype, **options
        ) as image:
            image.write(data)
        return bytes(memory.getbuffer())


GEO = {"crs": "EPSG:32633", "transform": Affine(10.005, 0, 5e5, 0, -9.98, 5e6)}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"interleave": "pixel"},
        {"interleave": "band"},
        {"bands": 1, "dtype": "uint8"},
        {"bands": 13, "interleave": "pixel", **GEO},
        {"dtype": "float32", **GEO},
        {"dtype": "int16", "ENDIANNESS": "BIG", **GEO},
        {"BIGTIFF": "YES", **GEO},
        {"compress": "deflate", "predictor": 2, **GEO},
        {"tiled": True, "blockxsize": 16, "blockysize": 16, **GEO},
        {"crs": "EPSG:4326", "transform": Affine(0.1, 0, 12, 0, -0.1, 50)},
        {"crs": "EPSG:3035", "transform": Affine(10, 2, 4e6, 1, -10, 3e6)},
        {"crs": "EPSG:32633", "transform": GEO["transform"], "GEOTIFF_VERSION": "1.1"},
    ],
    ids=str,
)
def test_tiff_headers_are_what_gdal_says(options):
    data = tiff(**options)
    header = read_header(data, "a.tif")
    with MemoryFile(data) as memory, memory.open() as image:
        assert header.shape == image.shape
        assert header.bands == image.count
        assert np.dtype(header.dtype).newbyteorder("=") == np.dtype(image.dtypes[0])
        assert header.crs == (f"EPSG:{image.crs.to_epsg()}" if image.crs else None)
        if image.crs:
            assert header.transform == pytest.approx(tuple(image.transform)[:6], rel=1e-12)
        pixels = image.read()
    compressed = "compress" in options or "tiled" in options
    assert (header.pixels is None) == compressed
    if header.pixels is not None:
        raw = np.frombuffer(
            data, header.dtype, int(np.prod(header.pixels.shape)), header.pixels.offset
        ).reshape(header.pixels.shape)
        axes = [header.pixels.order.index(axis) for axis in ("band", "y", "x")]
        np.testing.assert_array_equal(raw.transpose(axes), pixels)


def test_pixel_is_point_moves_the_grid_by_half_a_pixel():
    data = bytearray(tiff(**GEO))
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", count=1, height=8, width=8, dtype="uint8", **GEO) as image:
            image.write(np.zeros((1, 8, 8), "uint8"))
            image.update_tags(AREA_OR_POINT="Point")
        data = bytes(memory.getbuffer())
    with MemoryFile(data) as memory, memory.open() as image:
        assert image.tags()["AREA_OR_POINT"] == "Point"
        assert read_header(data, "a.tif").transform == pytest.approx(tuple(image.transform)[:6])


def test_a_user_defined_crs_is_wkt():
    crs = "+proj=laea +lat_0=11 +lon_0=7 +ellps=bessel"
    header = read_header(tiff(crs=crs, transform=GEO["transform"]), "a.tif")
    assert header.crs is not None
    assert header.crs.startswith("PROJCRS[")
    assert rasterio.crs.CRS.from_wkt(header.crs) == rasterio.crs.CRS.from_string(crs)
    assert header.transform == tuple(GEO["transform"])[:6]


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_headers(mode, progressive):
    stream = io.BytesIO()
    shape = (30, 50, 3) if mode == "RGB" else (30, 50)
    Image.fromarray(RNG.integers(0, 255, shape).astype("uint8")).save(
        stream, "JPEG", progressive=progressive, exif=b"Exif\0\0" + bytes(40)
    )
    header = read_header(stream.getvalue(), "a.jpg")
    assert (header.shape, header.bands, header.dtype) == ((30, 50), len(mode), "|u1")
    assert header.pixels is None


def jpeg() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((16, 16, 3), "uint8")).save(stream, "JPEG")
    return stream.getvalue()


@pytest.mark.parametrize("make", [tiff, jpeg])
def test_every_truncation_is_a_bad_file(make):
    data = make()
    for length in [*range(0, min(700, len(data) - 1), 7), len(data) * 2 // 3, len(data) - 1]:
        with pytest.raises(BadFileError, match=r"^x: "):
            read_header(data[:length], "x")


@pytest.mark.parametrize("make", [tiff, jpeg])
def test_damage_is_never_anything_but_a_bad_file(make):
    """Whatever bytes come, the answer is a header or a BadFileError: archives are untrusted."""
    data = make()
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(3000):
        damaged = bytearray(data)
        for at in rng.integers(0, min(len(data), 400), 4):
            damaged[at] = rng.integers(256)
        try:
            read_header(bytes(damaged), "x")
        except BadFileError:
            refused += 1
    assert refused > 100


def said_of(data: bytes) -> object:
    """The header, or what is wrong with the file."""
    try:
        return read_header(data, "a")
    except BadFileError as error:
        return str(error)


@pytest.mark.parametrize(
    "make",
    [
        jpeg,
        lambda: tiff(**GEO),
        lambda: tiff(**GEO, ENDIANNESS="BIG", BIGTIFF="YES"),
        lambda: tiff(tiled=True, blockxsize=16, blockysize=16, **GEO),
        lambda: tiff(crs="EPSG:3035", transform=Affine(10, 2, 4e6, 1, -10, 3e6)),
    ],
)
def test_what_was_learnt_of_one_file_is_said_of_no_other(make):
    whole = make()
    rng = np.random.default_rng(1)
    differ = 0
    for _ in range(600):
        changed = bytearray(whole[: rng.integers(len(whole) // 2, len(whole) + 1)])
        for at in rng.integers(0, min(len(changed), 800), 2):
            changed[at] = rng.integers(256)
        for known in (headers._layouts, headers._starts):
            known.clear()
        alone = said_of(bytes(changed))
        first = said_of(whole)
        assert said_of(bytes(changed)) == alone  # after the whole file, and then as a known one
        assert said_of(bytes(changed)) == alone
        assert said_of(whole) == first
        differ += alone != first
    assert differ > 50


def test_files_that_differ_in_their_place_alone_share_a_layout():
    headers._layouts.clear()
    zones = [tiff(crs=f"EPSG:326{z}", transform=GEO["transform"]) for z in (32, 33)]
    assert [read_header(data, "a").crs for data in zones] == ["EPSG:32632", "EPSG:32633"]
    assert len(headers._layouts) == 1


def test_what_is_neither_is_named():
    with pytest.raises(BadFileError, match=r"a\.gif: neither TIFF, PNG nor JPEG"):
        read_header(b"GIF89a", "a.gif")


@pytest.mark.real
def test_real_headers_are_what_gdal_says(real):
    files = sorted(real.glob("ds/**/*.tif"))
    assert len(files) == 90
    for file in files:
        header = read_header(file.read_bytes(), str(file))
        with rasterio.open(file) as image:
            assert header.crs == f"EPSG:{image.crs.to_epsg()}"
            assert header.transform == tuple(image.transform)[:6]
        assert header.pixels == Pixels(748, (64, 64, 13), ("y", "x", "band"))


def test_a_file_far_larger_than_its_pixels_is_damaged():
    data = tiff()
    assert read_header(data + bytes(2**20), "a.tif").shape == (40, 48)
    with pytest.raises(BadFileError, match="bytes for 11520 bytes of pixels"):
        read_header(data + bytes(2**25), "a.tif")
