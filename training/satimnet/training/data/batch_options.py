"""The options of batches: their names, types and defaults, which stand nowhere else.

Functions take them as ``**options: Unpack[BatchOptions]``, so that editors and type checkers
complete and check them, and hand them on as one mapping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from satimnet.training.data.array_types import Dtype, Images, Labels, Objects, Resample, WindowsBy

Shuffle = bool | Literal["shards"]
"""Whether samples are shuffled, all orders equally likely or in windows of shards."""


class OrderOptions(TypedDict, total=False):
    """Which samples a process reads, and in which order. `Samples.to_batches` says what each is."""

    shuffle: Shuffle
    seed: int
    drop_last: bool
    rank: int
    world_size: int


class BatchOptions(OrderOptions, total=False):
    """What batches hold, and in which order. `Samples.to_batches` says what each is."""

    bands: Sequence[str] | None
    images: Images | None
    resample: Resample | None
    grid: tuple[int, int] | None
    mask: str | None
    labels: Labels | None
    scale: float | Mapping[str, float] | None
    dtype: Dtype
    size: tuple[int, int] | None
    objects: Objects | None
    window: int | tuple[int, int] | None
    windows: WindowsBy
    windows_per_image: int | None
    snap: bool


class ReadingOptions(BatchOptions, total=False):
    """The options of batches, and how they are read. `Samples.to_batches` says what each is."""

    device: str
    threads: int | None
    scheduler: str


DEFAULTS: ReadingOptions = {
    "bands": None,
    "images": None,
    "resample": None,
    "grid": None,
    "mask": None,
    "labels": "auto",
    "shuffle": False,
    "seed": 0,
    "drop_last": False,
    "scale": None,
    "dtype": "float32",
    "size": None,
    "objects": None,
    "window": None,
    "windows": "random",
    "windows_per_image": None,
    "snap": True,
    "rank": 0,
    "world_size": 1,
    "device": "cpu",
    "threads": None,
    "scheduler": "threads",
}
"""What stands where an option is not given."""
