"""Colours: measured values as the eye would see them, and classes so that they are told apart.

Overviews, maps and pictures of predictions have theirs from here. Knows arrays, no files.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""A picture of axis order (y, x, band), red, green and blue."""

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

_RGB = (("red", "B04"), ("green", "B03"), ("blue", "B02"))
_DARK, _BRIGHT = 2, 98
"""Percentiles of an image's values that stand for its darkest and its brightest objects."""
_BRIGHTEST = 90
"""Percentile of the images: brighter ones, of snow or clouds, do not darken all others."""
_HAZE = 1.6
"""What is darkest in an image may be so much brighter than in the others by haze alone."""
_LEAST = 1.5
"""Black and white are at least so far apart, in middle values: forest alone stays dark."""
_GAMMA = 0.65
"""Brightens the shadows of measured values, which are linear in light as pictures are not."""


def true_colour_names(names: Sequence[str]) -> list[str]:
    """Those of the band names that are red, green and blue, in this order; empty if one lacks."""
    found = [next((name for name in pair if name in names), None) for pair in _RGB]
    return [] if None in found else [name for name in found if name is not None]


def natural(
    images: Sequence[NDArray[Any]], seen: Sequence[NDArray[np.bool_]] | None = None
) -> list[Picture]:
    """Pictures of measured values.

    All images are stretched alike, each band by itself, from what is dark in all of them to what
    is bright in nearly all, so that the same colour means the same in each. Haze, which is blue, is
    taken away: an image's own darkest objects become black (P. S. Chavez, 1988,
    doi.org/10.1016/0034-4257(88)90019-3) unless they are much brighter than elsewhere.

    Args:
        images: Values (band, y, x), of one band or of red, green and blue.
        seen: Where each image has values at all, bool (y, x); None is wherever they are finite.
    """
    masks = [np.isfinite(x).all(axis=0) for x in images] if seen is None else seen
    pixels = [image[:, mask] for image, mask in zip(images, masks, strict=True)]
    some = [values for values in pixels if values.size]
    if not some:
        return [plain(np.zeros(image.shape)) for image in images]
    dark = np.percentile(np.concatenate(some, axis=1), _DARK, axis=1)
    ranks = [np.percentile(x, (_DARK, 50, _BRIGHT), axis=1) for x in some]
    darks, middles, brights = np.swapaxes(ranks, 0, 1)
    bright = np.percentile(brights, _BRIGHTEST, axis=0)
    if len(dark) > 1:  # what is dark in nature, a single band does not say
        bright = np.maximum(bright, dark + _LEAST * np.median(middles, axis=0).max())
    found, owns = [], iter(darks)
    for image, values in zip(images, pixels, strict=True):
        own = next(owns) if values.size else dark
        black = (own if (own < _HAZE * dark).all() else dark)[:, None, None]
        spread = np.maximum(bright[:, None, None] - black, 1e-6)
        found.append(plain((np.nan_to_num(image) - black).clip(0) / spread))
    return found


def plain(image: NDArray[Any]) -> Picture:
    """A picture of grey values (band, y, x): uint8 as they are, others from 0 (black) to 1."""
    if image.dtype != np.uint8:
        image = (image.clip(0, 1) ** _GAMMA * 255).astype(np.uint8)
    return np.moveaxis(np.broadcast_to(image, (3, *image.shape[1:])), 0, 2).copy()


def class_colours(hints: Sequence[str | None]) -> list[Colour]:
    """The colours of classes: those of the table, else hues at equal distances.

    Args:
        hints: Six hexadecimal digits of each class, None where the table has none.
    """
    found: list[Colour] = []
    for k, hint in enumerate(hints):
        parts = colorsys.hsv_to_rgb(k / len(hints), 0.65, 0.85)
        found.append(rgb(hint) if hint else rgb(bytes(round(255 * c) for c in parts).hex()))
    return found


def rgb(hint: str) -> Colour:
    """The colour of six hexadecimal digits."""
    red, green, blue = bytes.fromhex(hint)
    return red, green, blue


def unlike(colours: Sequence[Colour]) -> Colour:
    """A colour for what is none of the classes: the farthest from theirs of black, white, …"""
    candidates = [(0, 0, 0), (255, 255, 255), (255, 0, 255), (255, 255, 0), (0, 255, 255)]
    taken = np.array(colours or [(128, 128, 128)])

    def distance(colour: Colour) -> float:
        return float(np.abs(taken - colour).sum(axis=1).min())

    return max(candidates, key=distance)
