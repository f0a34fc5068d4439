"""Encodings: masks and large scenes as the bytes of image files. The same input, the same bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.rasters import opened

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rasterio.io import DatasetReader

    from satimnet.builder.headers import Header

COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"

_COG = {
    "driver": "COG",
    "compress": "DEFLATE",
    "predictor": "YES",
    "blocksize": 512,
    "bigtiff": "IF_SAFER",
}


def read_pixels(data: bytes, label: str) -> NDArray[Any]:
    """The pixels of an image file, (band, y, x).

    Raises:
        BadFileError: GDAL cannot read it.
    """
    with opened(data, label) as image:
        pixels: NDArray[Any] = image.read()
    return pixels


def recode(data: bytes, label: str) -> bytes:
    """An image as cloud-optimised GeoTIFF: the same pixels and place, in tiles, with overviews.

    https://docs.ogc.org/is/21-026/21-026.html. Raises `BadFileError` if GDAL cannot read it.
    """
    with opened(data, label) as image:
        return _cog(image, "AVERAGE")


def encode_mask(
    mask: NDArray[np.uint8], header: Header, classes: Sequence[Mapping[str, Any]], media_type: str
) -> bytes:
    """A mask (y, x) as PNG or COG with the classes' colours as palette.

    The pixels stay class values: palettes only colour them. ``header`` is the image's, whose place
    a COG takes.
    """
    palette = palette_of(classes)
    return _png(mask, palette) if media_type == "image/png" else _mask_cog(mask, header, palette)


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
    mask: NDArray[np.uint8], header: Header, palette: Mapping[int, tuple[int, int, int]]
) -> bytes:
    from affine import Affine
    from rasterio.io import MemoryFile

    rows, columns = mask.shape
    place: dict[str, Any] = {}
    if header.crs is not None and header.transform is not None:
        place = {"crs": header.crs, "transform": Affine(*header.transform)}
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", height=rows, width=columns, count=1, dtype="uint8", **place
        ) as image:
            image.write(mask, 1)
            image.write_colormap(1, dict(palette))
        with memory.open() as image:
            return _cog(image, "NEAREST")


def _cog(image: DatasetReader, overviews: str) -> bytes:
    from rasterio.io import MemoryFile
    from rasterio.shutil import copy

    with MemoryFile() as memory:
        copy(image, memory.name, overview_resampling=overviews, **_COG)
        return bytes(memory.getbuffer())
