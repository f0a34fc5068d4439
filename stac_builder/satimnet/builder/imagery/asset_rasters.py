"""Asset rasters: the image of an asset, opened by GDAL where it lies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from sys import maxsize
from typing import TYPE_CHECKING, Any

from satimnet.builder.errors import BadFileError
from satimnet.builder.imagery.headers import MAX_IMAGE_SIZE, require_possible
from satimnet.builder.imagery.rasters import DRIVERS
from satimnet.builder.storage.assets import gdal_path
from satimnet.builder.storage.checked_offsets import span_of

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


@contextmanager
def opened_asset(asset: dict[str, Any], label: str) -> Iterator[DatasetReader]:
    """The image of an asset, opened by GDAL where it lies; nothing is read but its header.

    Args:
        asset: An asset as the index gives it, a member of a shard or a file.
        label: Its name in errors.

    Raises:
        SatimnetError: it lies where no asset can lie.
        BadFileError: it announces what its bytes cannot hold, or blocks that fill the memory.
        RasterioError: GDAL cannot read it, or it is of another format than TIFF, PNG and JPEG.
    """
    import numpy as np
    from rasterio.io import DatasetReader  # rasterio.open takes one driver only

    with DatasetReader(gdal_path(asset), driver=DRIVERS) as image:
        pixel = sum(np.dtype(dtype).itemsize for dtype in image.dtypes)
        if "archive" in asset:
            length = span_of(asset["archive"][0], label)[1]
            require_possible(image.width * image.height * pixel, length, label, maxsize)
        if any(prod(shape) * pixel > MAX_IMAGE_SIZE for shape in image.block_shapes):
            raise BadFileError(label, "enormous blocks; damaged")
        yield image
