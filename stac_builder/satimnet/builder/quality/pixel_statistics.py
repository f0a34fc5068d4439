"""What a report keeps of decoded images: statistics, a digest, a small copy."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.imagery.whole_images import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 64
"""Pixels a side of the small copy of an image, by which images are compared."""

STATISTICS = ("minimum", "maximum", "mean", "stddev", "p02", "p50", "p98", "saturated")
"""The keys of `band_statistics`."""

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green, blue: ITU-R BT.601
_SPREAD = 32  # grey values of a small copy that a standard deviation becomes


def band_statistics(band: NDArray[Any]) -> dict[str, float]:
    """What `STATISTICS` names, of a band (y, x).

    ``p02`` is the 2nd percentile; ``saturated`` the share of pixels with the largest value of an
    integer data type. NaN does not count; without other pixels all values are NaN.
    """
    # A radix sort of narrow integers takes 4 us for 64 x 64, and makes all else easy.
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
    """The share of pixels that are 0 in all bands, or NaN in all."""
    with np.errstate(invalid="ignore"):
        empty = ~np.any(image, axis=0)
    if image.dtype.kind == "f":
        empty |= np.isnan(image).all(axis=0)
    return int(np.count_nonzero(empty)) / int(empty.size)


def digest(image: Image) -> str:
    """A hash of shape, data type and values, not of the file that holds them."""
    content = hashlib.blake2b(f"{image.shape} {image.dtype.str[1:]}".encode(), digest_size=16)
    content.update(np.ascontiguousarray(image).data)
    return content.hexdigest()


def small_copy(image: Image) -> NDArray[np.uint8]:
    """The image's brightness on `SIDE` x `SIDE` pixels, uint8: mean 128, standard deviation 32.

    So coding, brightness, contrast and size make no difference. A constant image is 128.
    """
    from PIL import Image as Pillow

    step = max(1, min(image.shape[1:]) // (4 * SIDE))  # a part of the rows is enough for scenes
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
