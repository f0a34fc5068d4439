"""Image files decoded as a whole, each in the way that takes the least time."""

from __future__ import annotations

import io
from math import prod
from sys import maxsize
from typing import Any

import numpy as np

from satimnet.builder.errors import BadFileError
from satimnet.builder.imagery.encoding import read_pixels
from satimnet.builder.imagery.headers import MAX_IMAGE_SIZE, read_header

Image = Any
"""NDArray of axis order (band, y, x)."""

_PILLOWS = (b"\xff\xd8", b"\x89P")  # of JPEG and PNG: five times as fast as GDAL on patches
_MOST_OF_PILLOW = 2**26  # pixels; of more it warns, or refuses what the header's check let through


def decode(data: bytes, label: str) -> Image | None:
    """The pixels of an image file, (band, y, x) in the file's data type; indices of a palette.

    Pixels that lie uncompressed in the file are a view of ``data``. A sound file with more than
    `MAX_IMAGE_SIZE` bytes of pixels gives None.

    Raises:
        BadFileError: the bytes are no readable image.
    """
    header = read_header(data, label, maxsize)
    if header.size > MAX_IMAGE_SIZE:
        return None
    if header.pixels is not None:
        place = header.pixels
        raw = np.ndarray(place.shape, header.dtype, data, place.offset)
        return raw.transpose([place.order.index(axis) for axis in ("band", "y", "x")])
    if data[:2] in _PILLOWS and prod(header.shape) <= _MOST_OF_PILLOW:
        return _by_pillow(data, label)
    return read_pixels(data, label)


def _by_pillow(data: bytes, label: str) -> Image:
    from PIL import Image as Pillow

    try:
        with Pillow.open(io.BytesIO(data), formats=["JPEG", "PNG"]) as file:
            pixels = np.asarray(file)
    except Exception as error:  # OSError, SyntaxError, ValueError, struct.error, DecompressionBomb…
        reason = " ".join(str(error).split())
        raise BadFileError(label, f"it cannot be decoded ({reason:.200})") from error
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
