"""Encodings: masks and large scenes as the bytes of image files. The same input, the same bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.imagery.rasters import CACHE, opened

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rasterio.io import DatasetReader

    from satimnet.builder.imagery.headers import Data, Header

COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"

STRIP = 2048
"""Rows of a large image that are in memory at once."""
_BLOCK = 512
_COG = {
    "driver": "COG",
    "compress": "DEFLATE",
    "predictor": "YES",
    "blocksize": _BLOCK,
    "bigtiff": "IF_SAFER",
}


def read_pixels(data: Data, label: str) -> NDArray[Any]:
    """The pixels of an image file, (band, y, x).

    Raises:
        BadFileError: GDAL cannot read it.
    """
    with opened(data, label) as image:
        pixels: NDArray[Any] = image.read()
    return pixels


def read_strips(data: Data, header: Header, label: str) -> Iterator[NDArray[Any]]:
    """The pixels of a large image file from its top, (band, y, x), `STRIP` rows at a time.

    Raises:
        BadFileError: GDAL cannot read it.
    """
    from rasterio.windows import Window

    rows, columns = header.shape
    with opened(data, label, _cache_for(header)) as image:
        for top in range(0, rows, STRIP):
            yield image.read(window=Window(0, top, columns, min(STRIP, rows - top)))


def recode(data: Data, header: Header, label: str, scratch: Path | None = None) -> Data:
    """An image as cloud-optimised GeoTIFF: the same pixels and place, in tiles, with overviews.

    It is read a row of tiles at a time. In the folder ``scratch`` it is made if it may be too
    large for the memory. https://docs.ogc.org/is/21-026/21-026.html. Raises `BadFileError` if GDAL
    cannot read it.
    """
    with opened(data, label, _cache_for(header)) as image:
        return _cog(image, "AVERAGE", scratch)


def _cache_for(header: Header) -> int:
    """Bytes that hold two rows of tiles: with fewer, PNG and JPEG are read from the top for each
    tile."""
    tiles = 2 * _BLOCK * header.shape[1] * header.bands * int(header.dtype[2:])
    return max(CACHE, tiles)


def encode_mask(
    strips: Iterable[NDArray[np.uint8]],
    header: Header,
    classes: Sequence[Mapping[str, Any]],
    media_type: str,
    scratch: Path | None = None,
) -> Data:
    """A mask (y, x) as PNG or COG with the classes' colours as palette.

    It comes in strips from its top. The pixels stay class values: palettes only colour them.
    ``header`` is the image's, whose place a COG takes; ``scratch`` as in `recode`.
    """
    palette = palette_of(classes)
    if media_type == "image/png":
        return _png(np.concatenate(list(strips)), palette)
    return _mask_cog(strips, header, palette, scratch)


def palette_of(classes: Sequence[Mapping[str, Any]]) -> dict[int, tuple[int, int, int]]:
    """Class values to red, green, blue; black for those without ``color_hint``."""
    colours = {row["value"]: bytes.fromhex(row.get("color_hint", "000000")) for row in classes}
    return {value: (c[0], c[1], c[2]) for value, c in colours.items()}


def _png(mask: NDArray[np.uint8], palette: Mapping[int, tuple[int, int, int]]) -> bytes:
    from PIL import Image

    rows, columns = mask.shape
    image = Image.frombytes("P", (columns, rows), mask.tobytes())
    image.putpalette([part for v in range(max(palette) + 1) for part in palette.get(v, (0, 0, 0))])
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _mask_cog(
    strips: Iterable[NDArray[np.uint8]],
    header: Header,
    palette: Mapping[int, tuple[int, int, int]],
    scratch: Path | None,
) -> Data:
    import rasterio
    from affine import Affine
    from rasterio import Env
    from rasterio.windows import Window

    rows, columns = header.shape
    profile: dict[str, Any] = {"height": rows, "width": columns, "count": 1, "dtype": "uint8"}
    if header.crs is not None and header.transform is not None:
        profile |= {"crs": header.crs, "transform": Affine(*header.transform)}
    if scratch is not None:
        profile |= {"compress": "DEFLATE", "zlevel": 1, "bigtiff": "IF_SAFER"}
        profile |= {"tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK}
    with Env(GDAL_CACHEMAX=CACHE, GDAL_PAM_ENABLED="NO"), _passing_file(scratch) as path:
        with rasterio.open(path, "w", driver="GTiff", **profile) as image:
            image.write_colormap(1, dict(palette))
            top = 0
            for strip in strips:
                image.write(strip, 1, window=Window(0, top, columns, len(strip)))
                top += len(strip)
        with rasterio.open(path) as image:
            return _cog(image, "NEAREST", scratch)


@contextmanager
def _passing_file(folder: Path | None) -> Iterator[str]:
    """The path of a file to be written, gone afterwards; without a folder it is in memory."""
    from rasterio.io import MemoryFile

    if folder is None:
        with MemoryFile() as memory:
            yield memory.name
    else:
        with TemporaryDirectory(dir=folder) as room:
            yield f"{room}/passing.tif"


def _cog(image: DatasetReader, overviews: str, scratch: Path | None) -> Data:
    from rasterio.io import MemoryFile
    from rasterio.shutil import copy

    if scratch is None:
        with MemoryFile() as memory:
            copy(image, memory.name, overview_resampling=overviews, **_COG)
            return bytes(memory.getbuffer())
    with TemporaryDirectory(dir=scratch) as folder:
        path = Path(folder, "cog.tif")
        copy(image, path, overview_resampling=overviews, **_COG)
        with path.open("rb") as file:
            return mmap(file.fileno(), 0, access=ACCESS_READ)  # which outlives the file's name
