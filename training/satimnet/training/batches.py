"""Samples as torch batches, at a large part of the speed of copying the same numbers in memory."""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from satimnet.builder.errors import SatimnetError

from .devices import pick_device
from .pixels import Array, Layout, Numbers, Reader, locate

if TYPE_CHECKING:
    from .samples import Samples


class Batch(NamedTuple):
    """Some samples.

    images: float32 (sample, band, y, x), on the device; in memory the bands of a pixel stay
    together where the files have them so (`torch.channels_last`). labels: int64 (sample), indices
    into `Samples.classes`, on the device. indices: int64 (sample), which of the samples these are.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor


def to_batches(
    samples: Samples,
    batch_size: int,
    *,
    bands: Sequence[str] | None = None,
    shuffle: bool = False,
    seed: int = 0,
    drop_last: bool = False,
    scale: float | None = None,
    device: str = "cpu",
    threads: int | None = None,
) -> Iterator[Batch]:
    """Yield every sample once, in batches of `batch_size`.

    bands: names, in the order wanted; without it all bands of the asset that all samples have.
    shuffle: in an order drawn uniformly from all orders by `seed`, the same for the same seed.
    drop_last: leave out a last batch that is not full. scale: images are the stored values times
    this; without it the stored values (EuroSAT's 13 bands: 0.0001 gives reflectance). threads:
    that many read and decode, one batch ahead; 0 reads in the caller's thread when asked; None is
    one for each processor, at most 4.

    A batch belongs to the caller: its memory is used again only after the last tensor over it
    is gone. Raises `SatimnetError`, before the first batch, when the samples have no such images.
    """
    if batch_size < 1:
        raise SatimnetError(f"batch size {batch_size}: must be at least 1")
    where = pick_device(device)
    layout, labels = locate(samples, bands), torch.from_numpy(samples.labels)
    order = np.arange(len(samples))
    if shuffle:
        order = np.random.default_rng(seed).permutation(order)
    end = len(order) - len(order) % batch_size if drop_last else len(order)
    parts = [order[at : min(at + batch_size, end)] for at in range(0, end, batch_size)]
    if threads is None:
        threads = min(4, os.cpu_count() or 1)
    return _batches(layout, labels, parts, scale, where, threads)


def _batches(
    layout: Layout,
    labels: Tensor,
    parts: list[Numbers],
    scale: float | None,
    device: torch.device,
    threads: int,
) -> Iterator[Batch]:
    buffers = _Buffers(pinned=device.type == "cuda")
    with Reader(layout) as reader, ThreadPoolExecutor(max(1, threads)) as pool:

        def start(rows: Numbers) -> tuple[Array, list[Future[None]]]:
            out = buffers.take(layout.buffer_shape(len(rows)))
            cuts = np.array_split(np.arange(len(rows)), max(1, threads))
            if not threads:
                reader.read(rows, out, scale)
                return out, []
            return out, [
                pool.submit(reader.read, rows[cut], out[cut[0] : cut[-1] + 1], scale)
                for cut in cuts
                if len(cut)
            ]

        ahead: deque[tuple[Array, list[Future[None]]]] = deque()
        try:
            for k, rows in enumerate(parts):
                for following in parts[k + len(ahead) : k + (2 if threads else 1)]:
                    ahead.append(start(following))
                out, futures = ahead.popleft()
                for future in futures:
                    future.result()
                indices = torch.from_numpy(rows)
                yield Batch(
                    torch.from_numpy(out).permute(layout.public_axes).to(device, non_blocking=True),
                    labels[indices].to(device, non_blocking=True),
                    indices,
                )
                del out
        finally:
            pool.shutdown(cancel_futures=True)


class _Buffers:
    """Memory for batches that is used again, since fresh memory costs more than the reading.

    A buffer is lent as a view. torch holds the view as long as any tensor lies over it; when it
    dies, the buffer is free again. Pinned memory is recycled by torch itself, which also knows
    when a copy to the device has ended.
    """

    def __init__(self, *, pinned: bool) -> None:
        self._pinned = pinned
        self._free: list[Array] = []

    def take(self, shape: tuple[int, ...]) -> Array:
        if self._pinned:
            pinned: Array = torch.empty(shape, pin_memory=True).numpy()
            return pinned
        fitting = [k for k, buffer in enumerate(self._free) if buffer.shape == shape]
        buffer = self._free.pop(fitting[0]) if fitting else np.empty(shape, np.float32)
        view = buffer[:]
        weakref.finalize(view, self._free.append, buffer).atexit = False
        return view
