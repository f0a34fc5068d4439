"""Chip files: pixels of chips, cut out of their scene when a shard is packed.

Of a tiled scene only the tiles under a chip are decoded. PNG and JPEG, which cannot be read in
parts, are decoded once for the chips of a scene that follow each other: each thread keeps the last
scenes that it read.
"""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from sys import maxsize
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.catalog.items import matches
from satimnet.builder.chipping.chip_grid import Window
from satimnet.builder.errors import BadFileError
from satimnet.builder.imagery.encoding import encode_geotiff, palette_of, read_pixels
from satimnet.builder.imagery.grids import Grid
from satimnet.builder.imagery.headers import MAX_IMAGE_SIZE, read_header
from satimnet.builder.imagery.rasters import CACHE
from satimnet.builder.storage.assets import gdal_path, read_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OVERHEAD = 2048  # bytes of a GeoTIFF that are no pixels, about
_KEPT = 2  # scenes that a thread keeps: an image and its mask
_TIFF = "image/tiff"


@dataclass(frozen=True)
class Scene:
    """A file of a catalog, of which chips are cut."""

    label: str
    asset: dict[str, Any]
    """What `satimnet.builder.storage.assets.read_bytes` needs of the asset."""
    type: str
    """Media type."""
    shape: tuple[int, int]
    """Rows and columns."""
    bands: int
    dtype: str
    """NumPy's name of the data type."""
    checksum: str
    """What the catalog says of the file's content; empty where it says nothing."""

    def read(self, window: Window) -> NDArray[Any]:
        """The pixels of a window (band, y, x); 0 where it goes on beyond the scene.

        Raises:
            BadFileError: the file cannot be read, or is not what the catalog says.
        """
        left, top, width, height = window
        rows, columns = (
            min(height, self.shape[0] - top),
            min(width, self.shape[1] - left),
        )
        found = _opened(self).read(Window(left, top, columns, rows))
        if found.shape != (self.bands, rows, columns) or found.dtype != np.dtype(self.dtype):
            raise BadFileError(self.label, f"{found.dtype} {found.shape}: not as the catalog says")
        if (rows, columns) == (height, width):
            return found
        out = np.zeros((self.bands, height, width), found.dtype)
        out[:, :rows, :columns] = found
        return out


class _Decoded:
    """A scene that is in memory as a whole."""

    def __init__(self, scene: Scene) -> None:
        data = read_bytes(scene.asset)
        if not matches(data, scene.checksum):
            raise BadFileError(
                scene.label, "it is not the file that the catalog describes; validate the catalog"
            )
        header = read_header(data, scene.label, maxsize)
        if header.size > MAX_IMAGE_SIZE:
            reason = f"{header.size:,} bytes of pixels, too large to be decoded whole"
            raise BadFileError(scene.label, reason)
        self._pixels = read_pixels(data, scene.label)

    def read(self, window: Window) -> NDArray[Any]:
        left, top, width, height = window
        return self._pixels[:, top : top + height, left : left + width]

    def close(self) -> None:
        pass


class _Tiled:
    """A TIFF of which tiles are read where they lie."""

    def __init__(self, scene: Scene) -> None:
        import warnings

        import rasterio
        from rasterio.errors import NotGeoreferencedWarning

        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # as in `rasters.opened`
        row = 512 * scene.shape[1] * scene.bands * np.dtype(scene.dtype).itemsize
        self._settings = {
            "GDAL_CACHEMAX": max(CACHE, 3 * row),  # chips of a row lie across two rows of tiles
            "GDAL_PAM_ENABLED": "NO",
            "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        }
        with rasterio.Env(**self._settings):
            self._file = rasterio.open(gdal_path(scene.asset), driver="GTiff")
        block = max(prod(shape) for shape in self._file.block_shapes)
        if block * self._file.count * np.dtype(scene.dtype).itemsize > MAX_IMAGE_SIZE:
            raise BadFileError(scene.label, "enormous tiles or strips; build the catalog again")
        if self._file.shape != scene.shape or self._file.count != scene.bands:
            raise BadFileError(scene.label, "not of the size or the bands that the catalog says")

    def read(self, window: Window) -> NDArray[Any]:
        import rasterio
        from rasterio.windows import Window as Part

        with rasterio.Env(**self._settings):
            pixels: NDArray[Any] = self._file.read(window=Part(*window))
        return pixels

    def close(self) -> None:
        self._file.close()


_kept: dict[int, OrderedDict[str, _Decoded | _Tiled]] = {}
"""By thread, the scenes that it keeps open."""


def _opened(scene: Scene) -> _Decoded | _Tiled:
    """The scene, open. Raises `BadFileError`."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    scenes = _kept.setdefault(threading.get_ident(), OrderedDict())
    key = repr(scene)
    if key in scenes:
        scenes.move_to_end(key)
        return scenes[key]
    while len(scenes) >= _KEPT:
        scenes.popitem(last=False)[1].close()
    try:
        tiled = scene.type.startswith(_TIFF)
        scenes[key] = _Tiled(scene) if tiled else _Decoded(scene)
    except (RasterioError, CPLE_BaseError) as error:
        reason = " ".join(str(error).split())
        raise BadFileError(scene.label, f"GDAL cannot read it ({reason:.200})") from error
    return scenes[key]


def forget_scenes() -> None:
    """Closes the scenes that threads keep; none may be reading."""
    while _kept:
        _, scenes = _kept.popitem()
        for scene in scenes.values():
            scene.close()


@dataclass(frozen=True)
class Chip:
    """The pixels of a chip: of the image, or class values of the mask."""

    scene: Scene
    window: Window
    grid: Grid
    classes: tuple[Mapping[str, Any], ...] | None = None
    """The class table of a mask."""
    deflate: bool = False

    @property
    def label(self) -> str:
        """How messages name it."""
        return f"{self.scene.label} at {self.window.left}, {self.window.top}"

    @property
    def size(self) -> int:
        """Bytes, about."""
        pixels = self.window.width * self.window.height * self.scene.bands
        return pixels * np.dtype(self.scene.dtype).itemsize + _OVERHEAD

    @cached_property
    def stamp(self) -> int:
        """Changes when the scene does, or what is cut of it."""
        return zlib.crc32(repr(self).encode())

    def read(self) -> bytes:
        """The GeoTIFF. Raises `BadFileError`."""
        from rasterio._err import CPLE_BaseError
        from rasterio.errors import RasterioError

        try:
            pixels = self.scene.read(self.window)
        except (RasterioError, CPLE_BaseError) as error:
            reason = " ".join(str(error).split())
            raise BadFileError(self.label, f"GDAL cannot read it ({reason:.200})") from error
        palette = None if self.classes is None else palette_of(self.classes)
        rgb = palette is None and pixels.shape[0] == 3 and pixels.dtype == np.uint8
        return encode_geotiff(pixels, self.grid, palette, rgb=rgb, deflate=self.deflate)
