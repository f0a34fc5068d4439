"""Window plans: which parts of large images batches hold, drawn by seed or on a grid.

Random windows are snapped to the tiles of their image by default: each lies on as few tiles as its
size allows, one instead of four where it is not larger than a tile, which is a quarter of the work.
Windows are drawn from raw numbers of PCG64, as all that is random (see `order`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from satimnet.builder.chipping.chip_grid import windows as grid_windows
from satimnet.builder.errors import ArgumentError, BadCatalogError
from satimnet.training.data.array_types import Numbers, WindowsBy
from satimnet.training.data.image_sizes import image_sizes
from satimnet.training.data.order import Purpose
from satimnet.training.data.sample_table import SampleTable
from satimnet.training.data.versioned_pickles import VersionedPickle

_LARGEST = 2**14


def window_size(window: int | tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of a window.

    Raises:
        ArgumentError: They cannot be.
    """
    size = (window, window) if isinstance(window, int) else window
    if not all(1 <= side <= _LARGEST for side in size):
        raise ArgumentError(f"window {size[0]} x {size[1]}: from 1 to {_LARGEST:,}", "window")
    return size


@dataclass(frozen=True)
class WindowPlan(VersionedPickle):
    """The windows of some samples.

    Attributes:
        rows: Which sample each window is of, int64 (window).
        shapes: Rows and columns of its image, int64 (window, 2).
        size: Rows and columns of a window.
        tile: Rows and columns of the tiles to snap to; None: windows lie anywhere.
        fixed: Of windows on a grid, top and left, int64 (window, 2); None: they are drawn.
    """

    rows: Numbers
    shapes: Numbers
    size: tuple[int, int]
    tile: tuple[int, int] | None
    fixed: Numbers | None

    @classmethod
    def of(
        cls,
        samples: SampleTable,
        key: str,
        size: tuple[int, int],
        by: WindowsBy,
        number: int | None,
        tile: tuple[int, int] | None,
    ) -> WindowPlan:
        """The plan for samples.

        Args:
            samples: The samples.
            key: The image asset.
            size: Rows and columns of a window.
            by: Whether windows are drawn or lie on a grid.
            number: How many are drawn of each image; None: as many as lie in it side by side.
            tile: Rows and columns of the tiles to snap to; None: not to snap.

        Raises:
            ArgumentError: There is no such way, or the number cannot be.
            BadCatalogError: The catalog does not say how large an image is.
        """
        if by not in ("random", "grid"):
            raise ArgumentError(f'windows {by}: there are "random" and "grid"', "windows")
        if number is not None and (number < 1 or by == "grid"):
            raise ArgumentError(
                f"windows_per_image {number}: must be 1 or more, and is for random windows",
                "windows_per_image",
            )
        shapes = image_sizes(samples.table, key)
        if (shapes == 0).any():
            raise BadCatalogError(
                f"{samples.table['parquet'][0].as_py()}: the size of an image is not said; build "
                "the catalog again"
            )
        if by == "grid":
            grids = [list(grid_windows((y, x), size)) for y, x in shapes.tolist()]
            counts = np.array(list(map(len, grids)), np.int64)
            fixed = np.array([(w.top, w.left) for grid in grids for w in grid], np.int64)
        else:
            most = np.maximum(shapes // np.array(size), 1).prod(axis=1)
            counts = most if number is None else np.full(len(shapes), number, np.int64)
            fixed = None
        rows = np.repeat(np.arange(len(shapes)), counts)
        return cls(rows, shapes[rows], size, tile, fixed)

    def __len__(self) -> int:
        return len(self.rows)

    def corners(self, seed: int) -> Numbers:
        """Top and left of each window, int64 (window, 2); the same seed draws the same."""
        if self.fixed is not None:
            return self.fixed
        raw = np.random.PCG64([seed, int(Purpose.WINDOWS)]).random_raw(4 * len(self))
        drawn = (raw >> np.uint64(1)).astype(np.int64).reshape(len(self), 2, 2)
        last = np.maximum(self.shapes - np.array(self.size), 0)  # the last place of a window
        if self.tile is None:
            return np.asarray(drawn[:, :, 0] % (last + 1))
        tile, size = np.array(self.tile), np.array(self.size)
        first = drawn[:, :, 0] % (last // tile + 1) * tile
        # a window moves so far on the same tiles, and in its image
        room = np.minimum(-(-size // tile) * tile - size, last - first)
        return np.asarray(first + drawn[:, :, 1] % (room + 1))
