"""Strips: a scene row by row as networks take it, the next rows read while some are worked on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from satimnet.builder.imagery.scenes import Rows, Scene, reading
from satimnet.training.networks.models import MARGIN, PATCH

STRIP = 4 * PATCH
"""Rows of a strip: whole patches, and a quarter of a JPEG 2000 tile of Sentinel-2."""


@dataclass(frozen=True)
class Strip:
    """Rows `top` to before `bottom` of a scene, and what is needed around them.

    values: float32 (band, y, x) from the row `first` on, where unobserved pixels are the mean of
    the training set. valid: bool (y, x), of the strip's own rows.
    """

    scene: Scene
    top: int
    bottom: int
    first: int
    values: NDArray[np.float32]
    valid: NDArray[np.bool_]

    @cached_property
    def padded(self) -> NDArray[np.float32]:
        """Values with two more pixels on each side, mirrored at the edges of the scene."""
        rows, columns = self.scene.shape
        y = _mirrored(np.arange(self.top - MARGIN, self.bottom + MARGIN), rows) - self.first
        x = _mirrored(np.arange(-MARGIN, columns + MARGIN), columns)
        return np.take(self.values[:, y], x, axis=2)


def strips(scene: Scene, fill: Sequence[float], start: int = 0) -> Iterator[Strip]:
    """The strips from the row `start` on.

    fill: of each band, what pixels without an observation look like. Raises `BadFileError` when
    pixels cannot be read.
    """
    with ExitStack() as stack:
        rows = stack.enter_context(reading(scene))
        pool = stack.enter_context(ThreadPoolExecutor(1))
        ahead = pool.submit(_read, rows, fill, start)
        for top in range(start, scene.shape[0], STRIP):
            strip = ahead.result()
            if strip.bottom < scene.shape[0]:
                ahead = pool.submit(_read, rows, fill, top + STRIP)
            yield strip


def strip_at(scene: Scene, fill: Sequence[float], top: int) -> Strip:
    """The strip that begins at the row `top`; see `strips`."""
    with reading(scene) as rows:
        return _read(rows, fill, top)


def _read(rows: Rows, fill: Sequence[float], top: int) -> Strip:
    height = rows.scene.shape[0]
    bottom = min(top + STRIP, height)
    # patches of the last rows begin up to 63 rows above; pixels see two more on each side
    first = max(0, min(top, height - PATCH) - MARGIN)
    values, valid = rows.read(first, min(bottom + MARGIN, height))
    values[:, ~valid] = np.array(fill, np.float32)[:, None]
    return Strip(rows.scene, top, bottom, first, values, valid[top - first : bottom - first])


def _mirrored(positions: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Positions beyond the ends, mirrored at the first and the last one, as "reflect" pads."""
    return size - 1 - abs(size - 1 - abs(positions))
