"""Decoded images, and what a report keeps of them: statistics, a digest, a small copy."""

from __future__ import annotations

import hashlib
import io
from math import prod
from sys import maxsize
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.errors import BadFileError
from satimnet.builder.imagery.encoding import read_pixels
from satimnet.builder.imagery.headers import MAX_IMAGE_SIZE, read_header

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 64
"""Pixels a side of the small copy of an image that others are compared with."""

STATISTICS = ("minimum", "maximum", "mean", "stddev", "p02", "p50", "p98", "saturated")
"""What `band_statistics` gives."""

_PILLOWS = (b"\xff\xd8", b"\x89P")  # of JPEG and PNG: five times as fast as GDAL on patches
_MOST_OF_PILLOW = 2**26  # pixels; of more it warns, or refuses what the header's check let through
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green, blue: ITU-R BT.601
_SPREAD = 32  # grey values of a small copy that a standard deviation becomes

Image = Any
"""NDArray of axis order (band, y, x)."""


def decode(data: bytes, label: str) -> Image | None:
    """The pixels of an image file, (band, y, x) in the file's data type; of palettes, indices.

    Pixels that lie uncompressed in the file are a view of ``data``. None of a sound file of over
    `MAX_IMAGE_SIZE` bytes of pixels.

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


def band_statistics(band: NDArray[Any]) -> dict[str, float]:
    """Minimum, maximum, mean, standard deviation, the percentiles 2, 50 and 98 of a band (y, x),
    and which share of its pixels is saturated: at the largest value of an integer data type.

    NaN is left out; all are NaN if nothing else is there.
    """
    # radix sort of narrow integers: 4 us for 64 x 64, and everything else is then at hand
    ordered = np.sort(band, axis=None, kind="stable" if band.dtype.itemsize < 3 else None)
    saturated = 0.0
    if band.dtype.kind == "f":
        ordered = ordered[: np.searchsorted(ordered, np.nan)]
    else:
        top = np.iinfo(band.dtype).max
        saturated = 1 - np.searchsorted(ordered, top) / ordered.size
    if ordered.size == 0:
        return dict.fromkeys(STATISTICS, float("nan")) | {"saturated": 0.0}
    last = ordered.size - 1
    values = ordered.astype(np.float64)
    mean = float(values.mean())
    values -= mean
    return {
        "minimum": float(ordered[0]),
        "maximum": float(ordered[-1]),
        "mean": mean,
        "stddev": float(np.dot(values, values) / values.size) ** 0.5,
        **{f"p{q:02d}": float(ordered[round(q / 100 * last)]) for q in (2, 50, 98)},
        "saturated": float(saturated),
    }


def empty_share(image: Image) -> float:
    """Which share of the pixels is 0 in all bands, or NaN in all."""
    with np.errstate(invalid="ignore"):
        empty = ~np.any(image, axis=0)
    if image.dtype.kind == "f":
        empty |= np.isnan(image).all(axis=0)
    return int(np.count_nonzero(empty)) / int(empty.size)


def digest(image: Image) -> str:
    """A hash of shape, data type and values, whatever file they come from."""
    content = hashlib.blake2b(f"{image.shape} {image.dtype.str[1:]}".encode(), digest_size=16)
    content.update(np.ascontiguousarray(image).data)
    return content.hexdigest()


def small_copy(image: Image) -> NDArray[np.uint8]:
    """The image's brightness on `SIDE` x `SIDE` pixels, uint8: mean 128, standard deviation 32.

    Coding, brightness, contrast and size are thereby no longer seen. A constant image is 128.
    """
    from PIL import Image as Pillow

    step = max(1, min(image.shape[1:]) // (4 * SIDE))  # of scenes a part of the rows will do
    part = np.nan_to_num(image[:, ::step, ::step].astype(np.float32))
    grey = np.tensordot(_LUMINANCE, part, 1) if len(part) == 3 else part[0]
    if grey.shape != (SIDE, SIDE):
        scaled = Pillow.fromarray(np.ascontiguousarray(grey))
        grey = np.asarray(scaled.resize((SIDE, SIDE), Pillow.Resampling.BOX))
    spread = grey.std()
    if spread < 1e-6:
        return np.full((SIDE, SIDE), 128, np.uint8)
    copied = (grey - grey.mean()) * (_SPREAD / spread) + 128
    small: NDArray[np.uint8] = copied.round().clip(0, 255).astype(np.uint8)
    return small
