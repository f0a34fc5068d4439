"""Patches: the files of a fused sample, made out of its source's files when a shard is packed.

Images are uncompressed GeoTIFFs with the bands of a pixel together, so that a batch of them is read
without decoding. The same source, the same bytes.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from sys import maxsize
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.catalog.items import matches
from satimnet.builder.errors import BadFileError
from satimnet.builder.imagery.encoding import encode_geotiff, palette_of
from satimnet.builder.imagery.grids import Grid
from satimnet.builder.imagery.headers import MAX_IMAGE_SIZE, Header, read_header
from satimnet.builder.imagery.rasters import opened
from satimnet.builder.storage.assets import read_bytes
from satimnet.training.fusion.mask_layers import Layer, mask_on
from satimnet.training.fusion.recipes import MASK_CLASSES

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OVERHEAD = 2048  # bytes of a GeoTIFF that are no pixels, about


@dataclass(frozen=True)
class Part:
    """One file of a sample, and the bands that are taken from it."""

    asset: dict[str, Any]
    """What `satimnet.builder.storage.assets.read_bytes` needs of the asset."""
    positions: tuple[int, ...]
    """Of the bands in the file, from 0."""
    places: tuple[int, ...]
    """Of the same bands in the patch."""
    checksum: str
    """What the catalog says of the file's content; empty where it says nothing."""


@dataclass(frozen=True)
class Image:
    """A patch of chosen bands in a chosen size; made by GDAL where the size differs.

    Where a file has that size already, its pixels are taken as they are. Else each band is
    resampled from its own grid by GDAL's RasterIO, as by ``gdal_translate -outsize``.
    """

    label: str
    parts: tuple[Part, ...]
    grid: Grid
    dtype: str
    """NumPy's name of the data type."""
    resampling: str

    @property
    def size(self) -> int:
        """Bytes, about."""
        bands = sum(len(part.places) for part in self.parts)
        rows, columns = self.grid.shape
        return rows * columns * bands * np.dtype(self.dtype).itemsize + _OVERHEAD

    @cached_property
    def stamp(self) -> int:
        """Changes when the sources or what is made of them do."""
        unnamed = [part.asset["href"] for part in self.parts if not part.checksum]
        stats = [os.stat(href) for href in unnamed if os.path.isfile(href)]
        known = [(stat.st_size, stat.st_mtime_ns) for stat in stats]
        return zlib.crc32(repr((self, known)).encode())

    def read(self) -> bytes:
        """The GeoTIFF. Raises `BadFileError`."""
        bands = sum(len(part.places) for part in self.parts)
        pixels = np.empty((bands, *self.grid.shape), self.dtype)
        for part in self.parts:
            data = read_bytes(part.asset)
            if not matches(data, part.checksum):
                reason = (
                    f"{part.asset['href']}: it is not the file that the catalog describes; "
                    "see satimnet validate --checksums"
                )
                raise BadFileError(self.label, reason)
            header = read_header(data, self.label, maxsize)
            if header.size > MAX_IMAGE_SIZE:
                reason = f"{header.size:,} bytes of pixels, too large to be decoded whole"
                raise BadFileError(self.label, reason)
            if np.dtype(header.dtype).newbyteorder("=") != pixels.dtype:
                raise BadFileError(self.label, f"pixels of {header.dtype}, not {self.dtype}")
            if max(part.positions) >= header.bands:
                raise BadFileError(self.label, f"{header.bands} bands, its collection says more")
            places = list(part.places)
            pixels[places] = _read(data, header, part.positions, self)
        if pixels.dtype.kind == "f" and np.isnan(pixels).any():
            raise BadFileError(self.label, f"{int(np.isnan(pixels).sum())} of its pixels are NaN")
        return encode_geotiff(pixels, self.grid)


@dataclass(frozen=True)
class Mask:
    """The mask of a patch, in values of `MASK_CLASSES`: cut from layers, or one value all over."""

    label: str
    grid: Grid
    layers: tuple[Layer, ...]
    fill: int | None = None

    @property
    def size(self) -> int:
        """Bytes, about."""
        return self.grid.shape[0] * self.grid.shape[1] + _OVERHEAD

    @cached_property
    def stamp(self) -> int:
        """Changes when the layers do."""
        stamps = [layer.stamp for layer in self.layers]
        return zlib.crc32(repr((self.grid, stamps, self.fill)).encode())

    def read(self) -> bytes:
        """The GeoTIFF. Raises `BadFileError`, of kind ``incomplete`` outside the layers."""
        if self.fill is not None:
            mask = np.full(self.grid.shape, self.fill, np.uint8)
        else:
            found = mask_on(self.grid, self.layers, self.label)
            if found is None:
                names = " and ".join(layer.spec.name for layer in self.layers)
                nowhere = "" if self.grid.crs else ", as its place is not known"
                reason = f"no mask: {names} has nothing there{nowhere}"
                raise BadFileError(self.label, reason, "incomplete")
            mask = found
        return encode_geotiff(mask[None], self.grid, palette_of(MASK_CLASSES))


def _read(data: bytes, header: Header, bands: Sequence[int], image: Image) -> NDArray[Any]:
    """Bands of a file (band, y, x) in the size of the patch."""
    from rasterio.enums import Resampling

    chosen = list(bands)
    if header.shape == image.grid.shape and header.pixels is not None:
        shape, order = header.pixels.shape, header.pixels.order
        stored = np.ndarray(shape, header.dtype, data, header.pixels.offset)
        axes = [order.index(axis) for axis in ("band", "y", "x")]
        return stored.transpose(axes)[chosen]
    with opened(data, image.label) as file:
        pixels: NDArray[Any] = file.read(
            [band + 1 for band in chosen],
            out_shape=(len(chosen), *image.grid.shape),
            resampling=Resampling[image.resampling],
        )
    return pixels
