"""Who reads which samples, in which order: the same for the same seed, on every machine."""

from __future__ import annotations

import numpy as np

from satimnet.builder.arguments import at_least
from satimnet.builder.errors import SatimnetError
from satimnet.training.data.array_types import Numbers


def batches_of(
    count: int,
    batch_size: int,
    *,
    shuffle: bool = False,
    seed: int = 0,
    drop_last: bool = False,
    rank: int = 0,
    world_size: int = 1,
) -> list[Numbers]:
    """Divide samples 0 to `count` - 1 into batches: arrays of which samples.

    shuffle: in an order drawn uniformly from all orders by `seed`. rank, world_size: only the share
    of one of so many; shares are disjoint and of equal size, so up to world_size - 1 samples, the
    last of the order, are in none. drop_last: leave out a last batch that is not full. Raises
    `SatimnetError` when the numbers make no sense, or the share is empty.
    """
    at_least(1, batch_size=batch_size)
    at_least(0, seed=seed)
    if not 0 <= rank < world_size:
        raise SatimnetError(f"rank {rank} of {world_size}: must be from 0 to world_size - 1")
    if count < world_size:
        raise SatimnetError(f"{count} samples cannot be shared by {world_size}")
    order = np.arange(count)
    if shuffle:
        order = np.random.default_rng(seed).permutation(order)
    order = order[: count - count % world_size][rank::world_size]
    end = len(order) - len(order) % batch_size if drop_last else len(order)
    return [order[at : min(at + batch_size, end)] for at in range(0, end, batch_size)]
