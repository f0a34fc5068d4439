"""Scenes: whole images to be mapped or compared, read row by row as reflectances times 10,000."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from satimnet.builder.errors import ArgumentError, BadFileError
from satimnet.builder.imagery.grids import on_earth
from satimnet.builder.imagery.sentinel_safe import is_product, open_product
from satimnet.builder.storage.assets import tell_gdal
from satimnet.builder.storage.gdal_paths import gdal_place, store_scheme
from satimnet.builder.storage.hrefs import is_url, public, readable
from satimnet.builder.storage.objects import look

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

QUANTIFICATION = 10_000
"""Stored values of a reflectance of 1, in Sentinel-2's images and in the training sets."""
_CACHE = 256 * 1024**2
"""Bytes of decoded blocks that GDAL keeps: more than a row of a tile's JPEG 2000 blocks."""
_BAND = re.compile(r"(?:^|[^A-Za-z0-9])B0?(\d{1,2}A?)(?![A-Za-z0-9])", re.IGNORECASE)


@dataclass(frozen=True)
class StoredBand:
    """One band of a scene: where it is stored, and how its values become reflectances.

    Reflectance times 10,000 is `scale * stored + offset`. nodata: the stored value of pixels
    without an observation; None if the file names none.
    """

    path: str
    index: int
    nodata: float | None
    scale: float = 1
    offset: float = 0


@dataclass(frozen=True)
class Scene:
    """Bands on one grid.

    href: the raster, or the metadata of the product, if it is a file or on the web. shape: rows
    and columns. crs: as EPSG:<code>, else as WKT. transform: six numbers in the order of affine.
    sensed: RFC 3339, None if unknown. level: L1C or L2A, None if unknown.
    """

    id: str
    href: str | None
    bands: tuple[StoredBand, ...]
    shape: tuple[int, int]
    crs: str
    transform: tuple[float, ...]
    sensed: str | None = None
    level: str | None = None

    @property
    def stamp(self) -> str:
        """What tells this scene from another of the same name, or from itself before a change.

        Of a virtual raster that is also what it is made of, of one in an archive the archive.
        """
        files: set[Path] = set()
        known = []
        for path in sorted({band.path for band in self.bands}):
            if store_scheme(path) is not None:
                _, about = look(path, 0, 1)
                known.append((path, about.size, about.stamp))
                continue
            with _opened(path) as image:
                files.update(map(_on_disk, image.files))
        stats = [(path, os.stat(path)) for path in sorted(files) if path.is_file()]
        known += [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats]
        return repr((self.bands, known))


def _on_disk(name: str) -> Path:
    """The file that holds what GDAL calls so: the archive of ``/vsizip/a.zip/b.tif``."""
    path = Path(re.sub(r"^(/vsi(?!mem)[a-z]+/)+", "", name).strip("{}"))
    return next((p for p in (path, *path.parents) if p.is_file()), path)


def open_scene(
    path: str,
    bands: Sequence[str],
    *,
    order: Sequence[str] | None = None,
    offset: float = 0,
) -> Scene:
    """Finds these bands in a scene: a SAFE folder of Sentinel-2, or any raster that GDAL reads.

    A raster's bands are named by their descriptions (`B4` and `B04_10m` are B04) or by `order`.
    Its own scale and offset, if it has them, make reflectances of its values; otherwise these are
    reflectances times 10,000 as they are, after `offset` is added. Of SAFE folders the metadata
    says all this.

    Raises `SatimnetError` when it has not all the bands, or they have no place or not the same.
    """
    readable(path)
    if not is_url(path) and is_product(Path(path)):
        if order is not None or offset:
            raise ArgumentError(
                f"{path}: the metadata names bands and offsets; give neither", "bands", "offset"
            )
        return _of_product(Path(path), bands)
    with _opened(path) as image:
        names = _names(path, image, order)
        stored = []
        for index in _indices(path, names, bands):
            scale, shift = image.scales[index], image.offsets[index]
            nodata = image.nodatavals[index]
            if (scale, shift) == (1, 0):
                stored.append(StoredBand(path, index + 1, nodata, 1, offset))
            elif offset:
                raise ArgumentError(
                    f"{path}: has a scale and offset of its own; map it without offset", "offset"
                )
            else:
                factor = QUANTIFICATION
                stored.append(StoredBand(path, index + 1, nodata, scale * factor, shift * factor))
        shape, crs, transform = _grid(path, image)
    name = public(path, path)  # without what may be secret in its URL
    href = name if is_url(path) or Path(path).is_file() else None
    return Scene(Path(name).stem, href, tuple(stored), shape, crs, transform)


def band_names(path: str, order: Sequence[str] | None = None) -> list[str]:
    """Names of the bands that a scene has, as `open_scene` takes them.

    Those of a raster are in its order, and empty for a band without a name.

    Raises `SatimnetError` when it cannot be read, or names no band and `order` does not either.
    """
    readable(path)
    if not is_url(path) and is_product(Path(path)):
        if order is not None:
            raise ArgumentError(f"{path}: the metadata names bands; do not give bands", "bands")
        return sorted(open_product(Path(path)).images)
    with _opened(path) as image:
        return _names(path, image, order)


@contextmanager
def reading(scene: Scene) -> Iterator[Rows]:
    """The open scene, for reading rows."""
    import rasterio

    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=_CACHE, GDAL_NUM_THREADS="ALL_CPUS"))
        images = {band.path: stack.enter_context(_opened(band.path)) for band in scene.bands}
        yield Rows(scene, [images[band.path] for band in scene.bands])


@dataclass(frozen=True)
class Rows:
    """Rows of an open scene; not for several threads at once."""

    scene: Scene
    images: list[DatasetReader]

    def read(self, first: int, last: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Values float32 (band, y, x) of rows `first` to before `last`, and where they are.

        Values are reflectances times 10,000, none below 0 (as Sentinel-2 had it before offsets
        came up); where any band has no observation the second array, bool (y, x), is False.
        """
        from rasterio.windows import Window

        window = Window(0, first, self.scene.shape[1], last - first)
        return self._read(window, (last - first, self.scene.shape[1]))

    def overview(self, longest: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The same of the whole scene, made at most `longest` pixels wide or high."""
        from rasterio.windows import Window

        rows, columns = self.scene.shape
        step = max(1, max(rows, columns) / longest)
        shape = (max(1, round(rows / step)), max(1, round(columns / step)))
        return self._read(Window(0, 0, columns, rows), shape)

    def _read(
        self, window: object, shape: tuple[int, int]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        from rasterio.errors import RasterioError

        values = np.empty((len(self.images), *shape), np.float32)
        valid = np.ones(shape, np.bool_)
        nothing = np.ones(shape, np.bool_)
        for out, band, image in zip(values, self.scene.bands, self.images, strict=True):
            try:
                stored = image.read(band.index, window=window, out_shape=shape)
            except RasterioError as error:
                reason = " ".join(str(error).split())
                raise BadFileError(band.path, f"its pixels cannot be read ({reason})") from error
            if band.nodata is None:
                nothing &= stored == 0
            elif not np.isnan(band.nodata):
                valid &= stored != band.nodata
            if stored.dtype.kind == "f":
                valid &= np.isfinite(stored)
            np.multiply(stored, np.float32(band.scale), out=out)
            out += np.float32(band.offset)
        if all(band.nodata is None for band in self.scene.bands):
            valid &= ~nothing
        np.maximum(values, 0, out=values)
        return values, valid


def _of_product(path: Path, bands: Sequence[str]) -> Scene:
    product = open_product(path)
    missing = [band for band in bands if band not in product.images]
    if missing:
        raise _lacking(str(path), missing, sorted(product.images))
    factor = QUANTIFICATION / product.quantification
    stored, grids = [], []
    for band in bands:
        file = str(product.images[band])
        stored.append(StoredBand(file, 1, 0, factor, factor * product.offsets.get(band, 0)))
        with _opened(file) as image:
            grids.append(_grid(file, image))
    for band, grid in zip(bands, grids, strict=True):
        if grid != grids[0]:
            raise BadFileError(
                str(product.images[band]),
                f"not on the grid of {bands[0]}; bring the bands onto one grid, by "
                "gdalbuildvrt -resolution highest -separate",
            )
    name = product.metadata.parent.name.removesuffix(".SAFE")
    return Scene(
        id=name,
        href=str(product.metadata),
        bands=tuple(stored),
        shape=grids[0][0],
        crs=grids[0][1],
        transform=grids[0][2],
        sensed=product.sensed,
        level=product.level,
    )


@contextmanager
def _opened(path: str) -> Iterator[DatasetReader]:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # `_grid` tells it
            image = rasterio.open(_for_gdal(path))
    except (RasterioError, OSError) as error:
        reason = " ".join(str(error).split())
        raise BadFileError(path, f"no image that GDAL can read ({reason})") from error
    with image:
        yield image


def _for_gdal(path: str) -> str:
    """The path as GDAL takes it; what is neither a place in a store nor a URL it takes as it is."""
    if store_scheme(path) is None:
        return path
    tell_gdal()
    return gdal_place(path)


def _names(path: str, image: DatasetReader, order: Sequence[str] | None) -> list[str]:
    if order is not None:
        if len(order) != image.count:
            raise ArgumentError(
                f"{path}: there are {image.count} bands, and bands has {len(order)} names", "bands"
            )
        return list(order)
    if not any(image.descriptions):
        raise ArgumentError(
            f"{path}: its {image.count} bands have no names; give bands, such as "
            "B02, B03, B04, B08",
            "bands",
        )
    return [_name(description or "") for description in image.descriptions]


def _name(description: str) -> str:
    """`B04` of `B4`, `B04_10m` or `B4, central wavelength 665 nm`; other descriptions as is."""
    match = _BAND.search(description)
    return f"B{match[1].upper():0>2}" if match is not None else description


def _indices(path: str, names: Sequence[str], bands: Sequence[str]) -> list[int]:
    missing = [band for band in bands if band not in names]
    if missing:
        raise _lacking(path, missing, names)
    twice = [band for band in bands if names.count(band) > 1]
    if twice:
        raise ArgumentError(
            f"{path}: several bands are called {twice[0]}; name them by bands", "bands"
        )
    return [names.index(band) for band in bands]


def _lacking(path: str, missing: Sequence[str], names: Sequence[str]) -> BadFileError:
    there = ", ".join(name or "one without a name" for name in names) or "none"
    return BadFileError(path, f"has not the bands {', '.join(missing)}; it has {there}")


def _grid(path: str, image: DatasetReader) -> tuple[tuple[int, int], str, tuple[float, ...]]:
    """Shape, coordinate reference system and transform of an image that has a place."""
    if image.crs is None:
        raise BadFileError(path, "no coordinate reference system, so it has no place")
    code = image.crs.to_epsg()
    crs = image.crs.to_wkt() if code is None else f"EPSG:{code}"
    transform = tuple(image.transform)[:6]
    if not on_earth(crs, transform, image.shape):
        raise BadFileError(path, f"its coordinates ({crs:.40}) lie nowhere on Earth")
    return image.shape, crs, transform
