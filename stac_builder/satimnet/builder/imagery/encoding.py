"""Encoding: masks and large scenes as the bytes of image files. The same input, the same bytes.

Cloud-optimised GeoTIFFs (https://docs.ogc.org/is/21-026/21-026.html) are written by rio-cogeo.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from satimnet.builder.errors import BadFileError
from satimnet.builder.imagery.grids import Grid
from satimnet.builder.imagery.rasters import CACHE, opened, own_files

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rasterio.io import DatasetReader

    from satimnet.builder.imagery.headers import Data, Header

GEOTIFF_TYPE = "image/tiff; application=geotiff"
COG_TYPE = f"{GEOTIFF_TYPE}; profile=cloud-optimized"
Overviews = Literal["nearest", "average", "mode"]
"""How pixels become one of an overview."""

STRIP = 2048
"""Rows of a large image that are in memory at once."""
_BLOCK = 512
"""Rows and columns of a tile, as rio-cogeo's profiles have it."""
_IN_MEMORY = 2**27
"""Bytes of pixels up to which a COG is made in memory. It takes a third more of them there."""


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
    """An image as a cloud-optimised GeoTIFF: the same pixels and place, in tiles, with overviews.

    Ground control points and internal masks are left out, as no reader of satimnet uses them.

    Args:
        data: The image file.
        header: What it says of itself.
        label: Its name in errors.
        scratch: The folder in which the COG of a large image is made, a row of tiles at a time.
            Without one it is made in memory, whatever its size.

    Raises:
        BadFileError: GDAL cannot read the image.
    """
    with opened(data, label, _cache_for(header)) as image:
        room = scratch if header.size > _IN_MEMORY else None
        try:
            with _opaque(image, room) as (plain, options):
                return _cog(plain, "average", room, options)
        except ValueError as error:
            raise BadFileError(label, f"GDAL takes it for no image ({error})") from error


@contextmanager
def _opaque(
    image: DatasetReader, scratch: Path | None
) -> Iterator[tuple[DatasetReader, dict[str, Any]]]:
    """The image without what makes pixels transparent, and the options that mark it in a COG.

    rio-cogeo reads through a warper, which blanks transparent pixels, and moves all pixels where
    there are ground control points.
    """
    import rasterio
    from rasterio.enums import ColorInterp, MaskFlags
    from rasterio.windows import Window

    alpha = ColorInterp.alpha in image.colorinterp
    masked = any(MaskFlags.per_dataset in flags for flags in image.mask_flag_enums)
    if not (alpha or masked or image.gcps[0]):
        yield image, {}
        return
    profile = _scratch_profile(image.height, image.width, image.count, image.dtypes[0], scratch)
    profile["nodata"] = image.nodata
    if image.crs is not None:
        profile |= {"crs": image.crs, "transform": image.transform}
    with _passing_file(scratch) as path:
        with rasterio.open(path, "w", driver="GTiff", **profile) as plain:
            seen = [
                ColorInterp.undefined if colour is ColorInterp.alpha else colour
                for colour in image.colorinterp
            ]
            plain.colorinterp = seen
            if ColorInterp.palette in seen:
                plain.write_colormap(1, image.colormap(1))
            for top in range(0, image.height, _BLOCK):
                window = Window(0, top, image.width, min(_BLOCK, image.height - top))
                plain.write(image.read(window=window), window=window)
        with rasterio.open(path) as plain:
            yield plain, {"alpha": "YES"} if alpha else {}


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
    """A mask as PNG, GeoTIFF or COG with the classes' colours as palette.

    The pixels stay class values: palettes only colour them.

    Args:
        strips: The mask, (y, x), in strips from its top.
        header: The image's, whose size and place the mask has.
        classes: Rows of the class table.
        media_type: ``image/png``, `GEOTIFF_TYPE` for small ones, or `COG_TYPE`.
        scratch: As in `recode`.
    """
    palette = palette_of(classes)
    if media_type == "image/png":
        return _png(np.concatenate(list(strips)), palette)
    if media_type == GEOTIFF_TYPE:
        grid = Grid(header.shape, header.crs, header.transform)
        return encode_geotiff(np.concatenate(list(strips))[None], grid, palette, deflate=True)
    return _mask_cog(strips, header, palette, scratch)


def encode_geotiff(
    pixels: NDArray[Any],
    grid: Grid,
    palette: Mapping[int, tuple[int, int, int]] | None = None,
    *,
    rgb: bool = False,
    deflate: bool = False,
) -> bytes:
    """Pixels (band, y, x) as a GeoTIFF of one strip, pixel-interleaved.

    Args:
        pixels: The pixels.
        grid: Where they lie, and their number of rows and columns.
        palette: Colours of the values of a mask.
        rgb: Whether the bands are said to be red, green and blue.
        deflate: Whether they are compressed. As they are, a batch is read without decoding.
    """
    from rasterio.io import MemoryFile
    from rasterio.transform import Affine

    bands, rows, columns = pixels.shape
    options: dict[str, Any] = {}
    if grid.crs is not None and grid.transform is not None:
        options = {"crs": grid.crs, "transform": Affine(*grid.transform)}
    if palette is None:
        options["photometric"] = "rgb" if rgb else "minisblack"
    if deflate:
        options |= {"compress": "deflate", "predictor": 3 if pixels.dtype.kind == "f" else 2}
    with own_files(), MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            height=rows,
            width=columns,
            count=bands,
            dtype=pixels.dtype,
            interleave="pixel",
            blockysize=rows,
            **options,
        ) as image:
            image.write(pixels)
            if palette is not None:
                image.write_colormap(1, dict(palette))
        return bytes(memory.getbuffer())


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
    from rasterio.windows import Window

    rows, columns = header.shape
    room = scratch if rows * columns > _IN_MEMORY else None
    profile = _scratch_profile(rows, columns, 1, "uint8", room)
    if header.crs is not None and header.transform is not None:
        profile |= {"crs": header.crs, "transform": Affine(*header.transform)}
    with own_files(), _passing_file(room) as path:
        with rasterio.open(path, "w", driver="GTiff", **profile) as image:
            image.write_colormap(1, dict(palette))
            top = 0
            for strip in strips:
                image.write(strip, 1, window=Window(0, top, columns, len(strip)))
                top += len(strip)
        with rasterio.open(path) as image:
            return _cog(image, "nearest", room, {})


def _scratch_profile(
    rows: int, columns: int, bands: int, dtype: str, scratch: Path | None
) -> dict[str, Any]:
    """How a passing file is written: as it is in memory, compressed on disk."""
    profile: dict[str, Any] = {"height": rows, "width": columns, "count": bands, "dtype": dtype}
    if scratch is not None:
        profile |= {"compress": "DEFLATE", "zlevel": 1, "bigtiff": "IF_SAFER"}
        profile |= {"tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK}
    return profile


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


def _cog(
    image: DatasetReader, overviews: Overviews, scratch: Path | None, options: Mapping[str, Any]
) -> Data:
    from rasterio.io import MemoryFile

    predictor = 3 if np.dtype(image.dtypes[0]).kind == "f" else 2
    options = {"predictor": predictor, **options}
    if scratch is None:
        with MemoryFile() as memory:
            write_cog(image, memory.name, overviews, in_memory=True, options=options)
            return bytes(memory.getbuffer())
    with TemporaryDirectory(dir=scratch) as folder:
        path = Path(folder, "cog.tif")
        write_cog(image, path, overviews, in_memory=False, options=options)
        with path.open("rb") as file:
            return mmap(file.fileno(), 0, access=ACCESS_READ)  # which outlives the file's name


def write_cog(
    image: DatasetReader,
    path: str | Path,
    overviews: Overviews,
    *,
    in_memory: bool,
    options: Mapping[str, Any],
) -> None:
    """Writes an image as a cloud-optimised GeoTIFF, in tiles of 512 x 512, deflated.

    Place, nodata value and colour table are the image's. The image must have no alpha band, no
    internal mask and no ground control points. The same image gives the same bytes.

    Args:
        image: An open image.
        path: Where the COG is written.
        overviews: How pixels become one of an overview. There are overviews until both sides have
            at most 512 pixels.
        in_memory: Whether the pixels lie in memory on the way, uncompressed, or in a file in the
            folder of ``path``.
        options: More options of GDAL's GTiff driver.

    Raises:
        RasterioError: The image cannot be read, or the COG not be written.
    """
    from rasterio.shutil import copy
    from rio_cogeo.cogeo import cog_translate
    from rio_cogeo.profiles import cog_profiles

    profile = {**cog_profiles["deflate"], "bigtiff": "IF_SAFER", **options}
    if np.dtype(image.dtypes[0]) in (np.int64, np.uint64):
        # the warper, which rio-cogeo reads through, rounds them to 53 bits
        fixed = {"driver": "COG", "compress": "DEFLATE", "blocksize": _BLOCK, "predictor": "YES"}
        copy(image, path, overview_resampling=overviews.upper(), bigtiff="IF_SAFER", **fixed)
        return
    level = 0
    while max(image.shape) >> level > _BLOCK:
        level += 1
    cog_translate(
        image,
        path,
        profile,
        overview_level=level,
        overview_resampling=overviews,
        in_memory=in_memory,
        quiet=True,
    )
