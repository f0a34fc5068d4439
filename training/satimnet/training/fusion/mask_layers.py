"""Layers: rasters of classes that masks are cut from, such as maps of water or of settlements.

A layer is one raster, a VRT, or a folder of tiles, in any coordinate system. It is warped onto the
grid of a patch by nearest neighbour (GDAL's warper, as ``gdalwarp -r near``); only the pixels under
the patch are read.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.errors import BadFileError, NotFoundError, SatimnetError
from satimnet.builder.imagery.grids import Grid
from satimnet.training.fusion.recipes import MASK_VALUES, MaskLayer

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rasterio.io import DatasetReader

    Mask = NDArray[np.uint8]

_ENDINGS = (".tif", ".tiff")  # of tiles in a folder
_AROUND = 2  # pixels by which a tile may miss a patch and still be looked at


@dataclass(frozen=True)
class Layer:
    """A layer of a recipe with its files; it pickles."""

    spec: MaskLayer
    crs: str
    """WKT of the coordinate system, the same for all files."""
    files: tuple[str, ...]
    bounds: tuple[tuple[float, float, float, float], ...]
    """Left, bottom, right, top of each file, widened by a little."""
    stamp: int
    """Changes when the files do."""


def open_layer(spec: MaskLayer, path: Path) -> Layer:
    """The layer in a raster or VRT, or in the tiles of a folder and those below.

    Raises:
        NotFoundError: nothing is there.
        BadFileError: a file is no raster of whole numbers in one band with a coordinate system, the
            same in all files.
        SatimnetError: a file cannot be read.
    """
    if path.is_dir():
        tiles = [p for p in path.rglob("*") if p.suffix.lower() in _ENDINGS and p.is_file()]
        if not tiles:
            raise NotFoundError(f"{path}: no .tif in it; name the folder of {spec.name}'s tiles")
    elif path.is_file():
        tiles = [path]
    else:
        raise NotFoundError(f"{path}: nothing is there; name the raster or folder of {spec.name}")
    systems: dict[str, Path] = {}
    bounds, changes = [], []
    for tile in sorted(tiles):
        system, place = _looked_at(tile, spec.name)
        systems.setdefault(system, tile)
        bounds.append(place)
        changes.append((tile.stat().st_size, tile.stat().st_mtime_ns))
    if len(systems) > 1:
        one, other, *_ = systems.values()
        raise BadFileError(
            str(other),
            f"another coordinate system than {one}; make one raster or VRT of {spec.name}",
        )
    files = tuple(str(tile.absolute()) for tile in sorted(tiles))
    stamp = zlib.crc32(repr((files, changes, spec)).encode())
    return Layer(spec, next(iter(systems)), files, tuple(bounds), stamp)


def mask_on(grid: Grid, layers: Sequence[Layer], label: str) -> Mask | None:
    """The mask (y, x) that the layers make on a grid, in values of `MASK_CLASSES`.

    A pixel is what the first layer says that sees water or a building there. It is ``other`` if
    all layers say so, and ``no-observation`` where one of them says nothing. None if the layers say
    nothing about any pixel: the patch lies outside, or was never observed.

    Raises:
        BadFileError: of a layer with a value that the recipe does not know; ``label`` names the
            patch.
    """
    unknown, other = MASK_VALUES["no-observation"], MASK_VALUES["other"]
    mask = np.full(grid.shape, other, np.uint8)
    for layer in reversed(layers):  # so that the first one has the last word
        read = _cut(layer, grid, label)
        silent = read == unknown
        mask[silent & (mask == other)] = unknown
        decided = ~silent & (read != other)
        mask[decided] = read[decided]
    return mask if (mask != unknown).any() else None


def _cut(layer: Layer, grid: Grid, label: str) -> Mask:
    """The layer on the grid, in mask values; 0 where it has nothing."""
    result = np.zeros(grid.shape, np.uint8)
    if grid.crs is None:
        return result
    left = np.ones(grid.shape, np.bool_)
    for file in _files_under(layer, grid):
        values, inside = _warped(file, grid, layer.spec.name)
        seen = left & inside
        result[seen] = _translated(values[seen], layer.spec, label)
        left &= ~inside
        if not left.any():
            break
    return result


def _warped(file: str, grid: Grid, name: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """A file on the grid (y, x), and which pixels lie inside it and are not declared no data."""
    from rasterio.enums import Resampling
    from rasterio.errors import RasterioError
    from rasterio.transform import Affine
    from rasterio.vrt import WarpedVRT

    assert grid.transform is not None
    rows, columns = grid.shape
    place = {"crs": grid.crs, "transform": Affine(*grid.transform)}
    try:
        with (
            _opened(file, name) as raster,
            WarpedVRT(
                raster,
                **place,
                height=rows,
                width=columns,
                resampling=Resampling.nearest,
                add_alpha=True,
            ) as warped,
        ):
            values, alpha = warped.read()
    except RasterioError as error:
        raise _unreadable(file, name, error) from error
    return values, alpha != 0


def _translated(values: NDArray[Any], spec: MaskLayer, label: str) -> Mask:
    result = np.zeros(values.shape, np.uint8)
    known = np.zeros(values.shape, np.bool_)
    for value, meaning in spec.values.items():
        here = values == value
        result[here] = meaning
        known |= here
    if not known.all():
        odd = values[~known][0]
        raise BadFileError(
            label, f"the layer {spec.name} has the value {odd} there, which the recipe leaves open"
        )
    return result


def _files_under(layer: Layer, grid: Grid) -> list[str]:
    from rasterio.crs import CRS
    from rasterio.warp import transform_bounds

    if len(layer.files) == 1:
        return list(layer.files)
    assert grid.transform is not None
    a, b, c, d, e, f = grid.transform
    rows, columns = grid.shape
    xs = [c, c + a * columns, c + b * rows, c + a * columns + b * rows]
    ys = [f, f + d * columns, f + e * rows, f + d * columns + e * rows]
    box = (min(xs), min(ys), max(xs), max(ys))
    west, south, east, north = transform_bounds(
        CRS.from_user_input(grid.crs), CRS.from_wkt(layer.crs), *box
    )
    left, bottom, right, top = np.array(layer.bounds).T
    near = (left < east) & (right > west) & (bottom < north) & (top > south)
    return [layer.files[at] for at in np.flatnonzero(near)]


def _looked_at(path: Path, name: str) -> tuple[str, tuple[float, float, float, float]]:
    """The coordinate system of a file and the place that it covers."""
    with _opened(str(path), name) as raster:
        if raster.crs is None or raster.transform.is_identity:
            raise BadFileError(
                str(path),
                f"no coordinate system, so it is not known where {name} lies; "
                "set it with gdal_edit or rio edit-info",
            )
        if raster.count != 1 or np.dtype(raster.dtypes[0]).kind not in "iu":
            raise BadFileError(
                str(path),
                f"{raster.count} bands of {raster.dtypes[0]}; {name} must be one band of "
                "whole numbers",
            )
        around = _AROUND * max(map(abs, raster.res))
        left, bottom, right, top = raster.bounds
        place = (left - around, bottom - around, right + around, top + around)
        if not all(map(math.isfinite, place)):
            raise BadFileError(str(path), "its georeference leads to no place")
        return raster.crs.to_wkt(), place


def _opened(path: str, name: str) -> DatasetReader:
    import rasterio
    from rasterio.errors import RasterioError

    try:
        return rasterio.open(path)
    except RasterioError as error:
        raise _unreadable(path, name, error) from error


def _unreadable(path: str, name: str, error: Exception) -> SatimnetError:
    reason = " ".join(str(error).split())
    return SatimnetError(f"{path}: cannot be read ({reason:.200}); {name} must be whole")
