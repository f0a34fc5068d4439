"""Batches for those who train with torch's DataLoader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import IterableDataset, get_worker_info

from satimnet.builder.storage.parallel import end_with_parent
from satimnet.training.data.array_types import Labels, Numbers
from satimnet.training.data.batches import Batch, Plan, read
from satimnet.training.data.order import batches_of
from satimnet.training.data.sample_table import SampleTable


class BatchDataset(IterableDataset[Batch]):
    """The batches of samples, on the CPU, for ``DataLoader(dataset, batch_size=None)``.

    They are those of `satimnet.training.data.batches.to_batches` with the same arguments. Each
    worker of the DataLoader reads every so-manyth of them in its one thread, so all workers
    together give each batch once. Raises `SatimnetError` as `to_batches` does.
    """

    def __init__(
        self,
        samples: SampleTable,
        batch_size: int,
        *,
        bands: Sequence[str] | None = None,
        mask: str | None = None,
        labels: Labels | None = "auto",
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        scale: float | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self._plan = Plan.of(samples, bands, mask, labels, scale)
        self._count, self._batch_size = len(samples), batch_size
        self._shuffle, self._seed, self._drop_last = shuffle, seed, drop_last
        self._rank, self._world_size = rank, world_size
        self._epoch = 0
        len(self)  # numbers that make no sense are refused now

    def set_epoch(self, epoch: int) -> None:
        """Shuffle as `to_batches` does with the seed `seed + epoch`, from the next iteration on."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._parts())

    def __iter__(self) -> Iterator[Batch]:
        parts, device = self._parts(), torch.device("cpu")
        worker = get_worker_info()
        if worker is None:
            return read(self._plan, parts, device, threads=1)
        end_with_parent()  # torch's own watch looks every five seconds
        return read(self._plan, parts[worker.id :: worker.num_workers], device, threads=0)

    def _parts(self) -> list[Numbers]:
        return batches_of(
            self._count,
            self._batch_size,
            shuffle=self._shuffle,
            seed=self._seed + self._epoch,
            drop_last=self._drop_last,
            rank=self._rank,
            world_size=self._world_size,
        )
