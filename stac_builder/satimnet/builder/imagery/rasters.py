"""Rasters: image files in memory, opened by GDAL. `headers` stands on it, so it knows none."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from typing import TYPE_CHECKING

from satimnet.builder.errors import BadFileError

if TYPE_CHECKING:
    from rasterio import Env
    from rasterio.io import DatasetReader

CACHE = 2**26
"""Bytes of blocks that GDAL keeps; by default it is a twentieth of the machine's memory."""
DRIVERS = ["GTiff", "PNG", "JPEG"]
"""The only drivers of GDAL that are used: others would follow what a file points at."""


def own_files(cache: int = CACHE) -> Env:
    """What GDAL is told while it works on files in memory and in scratch folders.

    Keys of stores are not looked for. Else rasterio starts boto3 for each file, if that is there
    and the environment has keys, which takes twenty times as long as the file.

    Args:
        cache: How many bytes of blocks GDAL keeps.
    """
    from rasterio import Env
    from rasterio.session import DummySession

    return Env(DummySession(), GDAL_CACHEMAX=cache, GDAL_PAM_ENABLED="NO")


@contextmanager
def opened(data: bytes | mmap, label: str, cache: int = CACHE) -> Iterator[DatasetReader]:
    """An image file in memory, opened by GDAL.

    Args:
        data: The whole file.
        label: Its name in errors.
        cache: How many bytes of blocks GDAL keeps meanwhile.

    Raises:
        BadFileError: GDAL cannot read it, also of what is done with the image inside the block.
    """
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
    from rasterio.io import MemoryFile

    # Patches often have no place. For the whole process: catch_warnings() is not for threads.
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    try:
        with (
            own_files(cache),
            MemoryFile(data) as memory,
            memory.open(driver=DRIVERS) as image,
        ):
            yield image
    except (RasterioError, CRSError, CPLE_BaseError) as error:
        reason = " ".join(str(error).split())
        raise BadFileError(label, f"GDAL cannot read it ({reason:.200})") from error
