"""Thumbnails: a small PNG of an Item's image, drawn when it is asked for."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.errors import SatimnetError
from satimnet.builder.imagery.asset_rasters import opened_asset
from satimnet.builder.overview.previews import true_colour

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

_SIDE = 256
"""Pixels of the longer side."""
_LARGEST = 60_000_000
"""Pixels that are decoded for a thumbnail at most."""
_GAMMA = 0.75  # as in overviews


def has_picture(item: Mapping[str, Any]) -> bool:
    """Whether an Item has an image."""
    assets = item.get("assets", {}).values()
    return any(a.get("bands") and "mask" not in a.get("roles", ()) for a in assets)


def thumbnail(item: Mapping[str, Any], collection: Mapping[str, Any]) -> bytes | None:
    """A PNG of the whole image in true colour, or of its only band; None if it cannot be read.

    Values that are not 8 bits wide are stretched: each band starts at its 2nd percentile, and the
    widest range up to a 98th percentile is used for all bands, so that colours keep their hue.

    Args:
        item: an Item whose hrefs are absolute.
        collection: the Item's Collection.
    """
    import rasterio
    from PIL import Image
    from rasterio.enums import Resampling
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    bands = true_colour(item["assets"], collection.get("item_assets", {}))
    parts = []
    # For the whole process: catch_warnings() is not for several threads.
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_PAM_ENABLED="NO"):
        try:
            for key, group in groupby(bands, key=lambda band: band[0]):
                with opened_asset(item["assets"][key], key) as image:
                    scale = _SIDE / max(image.width, image.height)
                    if image.width * image.height > _LARGEST * _step(image, scale) ** 2:
                        return None
                    size = [max(1, round(length * scale)) for length in image.shape]
                    method = Resampling.average if scale < 1 else Resampling.nearest
                    numbers = [number for _, number in group]
                    shape = (len(numbers), *size)
                    parts.append(image.read(numbers, out_shape=shape, resampling=method))
        except (RasterioError, SatimnetError, OSError):
            return None
    if not parts or len({part.shape[1:] for part in parts}) > 1:
        return None
    values = np.concatenate(parts)
    if values.dtype != np.uint8:
        measured = np.nan_to_num(values.astype(np.float32))
        low, high = np.percentile(measured, (2, 98), axis=(1, 2))[:, :, None, None]
        span = max(float((high - low).max()), 1e-6)
        stretched = ((measured - low) / span).clip(0, 1) ** _GAMMA
        values = (stretched * 255).astype(np.uint8)
    colours = np.moveaxis(np.broadcast_to(values, (3, *values.shape[1:])), 0, 2)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(colours)).save(file, "PNG")
    return file.getvalue()


def _step(image: DatasetReader, scale: float) -> int:
    """How many times wider the image is than the overview that the thumbnail is drawn from."""
    # the overviews of a JPEG are made of the whole image
    steps = image.overviews(1) if image.driver == "GTiff" else []
    return max((step for step in steps if step * scale <= 1), default=1)
