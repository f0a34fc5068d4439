"""The batches of samples as a dataset for torch's DataLoader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Unpack

import torch
from torch.utils.data import IterableDataset, get_worker_info

from satimnet.builder.storage.parallel import end_with_parent
from satimnet.training.data.array_types import Numbers
from satimnet.training.data.batch_options import DEFAULTS, BatchOptions
from satimnet.training.data.batches import Batch, Plan, read
from satimnet.training.data.order import batches_of
from satimnet.training.data.sample_table import SampleTable
from satimnet.training.data.versioned_pickles import VersionedPickle


class BatchDataset(VersionedPickle, IterableDataset[Batch]):
    """The batches of samples, on the CPU, for ``DataLoader(dataset, batch_size=None)``.

    They are those of `Samples.to_batches` with the same options. Of n workers of the DataLoader
    each reads every n-th batch in its one thread, so all workers together give each batch once. It
    pickles, so workers may be started in any way; for a catalog on the web or in an object store
    they must be started with ``multiprocessing_context="spawn"``, as a forked process cannot read
    there.

    Args:
        samples: The samples.
        batch_size: Samples in a batch.
        **options: As those of `Samples.to_batches`, but device, threads and scheduler.

    Raises:
        SatimnetError: As `Samples.to_batches`.
    """

    def __init__(
        self, samples: SampleTable, batch_size: int, **options: Unpack[BatchOptions]
    ) -> None:
        self._plan = Plan.of(samples, options)
        self._count, self._batch_size = self._plan.count, batch_size
        self._options = DEFAULTS | options
        self._epoch = 0
        len(self)  # numbers that make no sense are refused now

    def set_epoch(self, epoch: int) -> None:
        """Shuffles, and draws windows, as `to_batches` does by the seed `seed + epoch`.

        That is from the next iteration on.
        """
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._parts())

    def __iter__(self) -> Iterator[Batch]:
        parts, device = self._parts(), torch.device("cpu")
        plan = self._plan.at(self._options["seed"] + self._epoch)
        worker = get_worker_info()
        if worker is None:
            return read(plan, parts, device, threads=1, scheduler="direct")
        end_with_parent()  # torch's own watch looks every five seconds
        own = parts[worker.id :: worker.num_workers]
        return read(plan, own, device, threads=0, scheduler="direct")

    def _parts(self) -> list[Numbers]:
        seed = self._options["seed"] + self._epoch
        options = self._options | {"seed": seed}
        return batches_of(self._count, self._batch_size, options, self._plan.places)
