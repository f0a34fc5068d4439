"""Rasters: image files in memory, opened by GDAL."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from sys import maxsize
from typing import TYPE_CHECKING, Any

from satimnet.builder.errors import BadFileError
from satimnet.builder.imagery.headers import MAX_IMAGE_SIZE, require_possible
from satimnet.builder.storage.assets import gdal_path
from satimnet.builder.storage.checked_offsets import span_of

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from satimnet.builder.imagery.headers import Data

CACHE = 2**26
"""Bytes of blocks that GDAL keeps; by default it is a twentieth of the machine's memory."""
_DRIVERS = ["GTiff", "PNG", "JPEG"]  # no others: GDAL's would follow what a file points at


@contextmanager
def opened(data: Data, label: str, cache: int = CACHE) -> Iterator[DatasetReader]:
    """An image file in memory, opened by GDAL; ``label`` names it in errors.

    ``cache`` is how many bytes of blocks GDAL keeps meanwhile.

    Raises:
        BadFileError: GDAL cannot read it, also of what is done with the image inside the block.
    """
    from rasterio import Env
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
    from rasterio.io import MemoryFile

    # Patches often have no place. For the whole process: catch_warnings() is not for threads.
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    try:
        with (
            Env(GDAL_CACHEMAX=cache, GDAL_PAM_ENABLED="NO"),
            MemoryFile(data) as memory,
            memory.open(driver=_DRIVERS) as image,
        ):
            yield image
    except (RasterioError, CRSError, CPLE_BaseError) as error:
        reason = " ".join(str(error).split())
        raise BadFileError(label, f"GDAL cannot read it ({reason:.200})") from error


@contextmanager
def opened_asset(asset: dict[str, Any], label: str) -> Iterator[DatasetReader]:
    """The image of an asset, opened by GDAL where it lies; nothing is read but its header.

    Raises:
        SatimnetError: its place cannot be.
        BadFileError: it announces what its bytes cannot hold, or blocks that fill the memory.
        RasterioError: GDAL cannot read it, or it is of another format than TIFF, PNG and JPEG.
    """
    import numpy as np
    from rasterio.io import DatasetReader  # rasterio.open takes one driver only

    with DatasetReader(gdal_path(asset), driver=_DRIVERS) as image:
        pixel = sum(np.dtype(dtype).itemsize for dtype in image.dtypes)
        if "archive" in asset:
            length = span_of(asset["archive"][0], label)[1]
            require_possible(image.width * image.height * pixel, length, label, maxsize)
        if any(prod(shape) * pixel > MAX_IMAGE_SIZE for shape in image.block_shapes):
            raise BadFileError(label, "enormous blocks; damaged")
        yield image
