"""The common stretch: measured values of all images of a collection as grey values, alike.

Side by side on a wall, images that are each stretched by themselves mislead: dark water looks like
bright land. Knows arrays, no files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DARK, _BRIGHT, _BRIGHTEST = 2, 98, 90  # percentiles, as in satimnet.builder.imagery.colours
_LEAST = 1.5
GAMMA = 0.65


@dataclass(frozen=True)
class Stretch:
    """What is black and what is white, in each of the bands that are shown."""

    black: tuple[float, ...]
    white: tuple[float, ...]

    def applied(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """Grey values (y, x, band) of values (band, y, x), whatever the number of bands."""
        black, white = (np.array(x, np.float32)[:, None, None] for x in (self.black, self.white))
        values = (np.nan_to_num(image.astype(np.float32)) - black) / (white - black)
        grey = values.clip(0, 1) ** np.float32(GAMMA) * np.float32(255)
        return np.moveaxis(np.rint(grey).astype(np.uint8), 0, 2)


def stretch_of(images: Sequence[NDArray[Any]]) -> Stretch | None:
    """The stretch for a collection, by some of its images (band, y, x); None if nothing is seen.

    Each band goes from what is dark in all images to what is bright in nearly all; bands are at
    least so wide that a collection of forest alone stays dark.
    """
    seen = []
    for image in images:
        pixels = image.reshape(len(image), -1).astype(np.float64)
        pixels = pixels[:, np.isfinite(pixels).all(axis=0)]
        if pixels.size:
            seen.append(pixels)
    if not seen:
        return None
    dark = np.percentile(np.concatenate(seen, axis=1), _DARK, axis=1)
    brights = [np.percentile(pixels, _BRIGHT, axis=1) for pixels in seen]
    bright = np.percentile(brights, _BRIGHTEST, axis=0)
    if len(dark) > 1:
        middles = np.median([np.median(pixels, axis=1) for pixels in seen], axis=0)
        bright = np.maximum(bright, dark + _LEAST * middles.max())
    bright = np.where(bright > dark, bright, dark + 1)
    return Stretch(tuple(dark.tolist()), tuple(bright.tolist()))
