"""``python -m benchmarks.ordering CATALOG``: what each order of the samples means for a batch.

For each order: how many classes a batch has, how many requests fetch it from a store, and how many
bytes those read for each byte that is wanted. Nothing is fetched: the requests are those that the
reader would plan, so a catalog on this machine tells the same as one in a store.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from statistics import mean
from typing import Literal, NamedTuple

import numpy as np

from satimnet.builder.storage.ranges import plan
from satimnet.training import open_samples
from satimnet.training.data.array_types import Numbers
from satimnet.training.data.layouts import Layout, locate
from satimnet.training.data.order import batches_of

_ORDERS: dict[str, Literal["shards"] | bool] = {
    "`shuffle=True`": True,
    '`shuffle="shards"`': "shards",
    "in order": False,
}


class _Batch(NamedTuple):
    classes: int
    requests: int
    read: int
    """Bytes."""
    wanted: int


def main() -> None:
    """Prints a row of a table for each order."""
    parser = argparse.ArgumentParser("python -m benchmarks.ordering", description=__doc__)
    parser.add_argument("catalog")
    parser.add_argument("--collection", default="eurosat", metavar="NAME")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N")
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    arguments = parser.parse_args()
    samples = open_samples(arguments.catalog).search(collections=[arguments.collection])
    layout, labels = locate(samples, None), np.array(samples.labels)
    print(f"{len(samples):,} samples in {len(layout.shards)} shards")
    for name, shuffle in _ORDERS.items():
        batches = [
            _seen(layout, labels, rows)
            for seed in range(arguments.seeds if shuffle else 1)
            for rows in batches_of(
                len(samples),
                arguments.batch_size,
                {"shuffle": shuffle, "seed": seed, "drop_last": True},
                layout.places,
            )
        ]
        read = sum(batch.read for batch in batches) / sum(batch.wanted for batch in batches)
        classes = _told([batch.classes for batch in batches])
        requests = _told([batch.requests for batch in batches])
        print(f"| {name} | {classes} | {requests} | {read:.2f} |")


def _seen(layout: Layout, labels: Numbers, rows: Numbers) -> _Batch:
    """What one batch has and costs."""
    shard, start, size = (
        part[rows].ravel().tolist() for part in (layout.shard, layout.start, layout.size)
    )
    requests = plan([layout.shards[k] for k in shard], start, size)
    read = sum(request.size for request in requests)
    return _Batch(len(np.unique(labels[rows])), len(requests), read, sum(size))


def _told(counts: Sequence[int]) -> str:
    return f"{mean(counts):.2f} ({min(counts)} to {max(counts)})"


if __name__ == "__main__":
    main()
