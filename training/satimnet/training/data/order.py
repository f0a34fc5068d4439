"""All that is random about samples: their order, what is held out, their folds.

The same seed gives the same result on every machine and with every version of NumPy. NumPy promises
the stream of a bit generator such as PCG64, but not what its `Generator` makes of it (NEP 19). So
everything here is made of one thing, `permutation`, and that of raw numbers of PCG64:

1. PCG64 is seeded with the three numbers seed, purpose and part (NumPy's ``SeedSequence``).
2. Sample k has the k-th raw 64-bit number as its key.
3. The samples are sorted by their keys; of equal keys the lower sample is first.

All orders are equally likely, but for equal keys, which a million samples have once in 40 million
seeds. Different purposes have streams that have nothing to do with each other.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from satimnet.builder.arguments import at_least, require_fraction
from satimnet.builder.errors import ArgumentError
from satimnet.training.data.array_types import Numbers
from satimnet.training.data.batch_options import DEFAULTS, OrderOptions

SHARDS_TOGETHER = 16
"""Shards of a window at most: its samples are mixed before the next one begins."""
RUN = 8
"""Samples that stay together, as they lie next to each other in a shard: one request reads them.
This and the number above are part of every published result, as those of `Purpose` are."""


class Places(NamedTuple):
    """Where samples lie: the number of the shard of each, and the first byte there."""

    shard: Numbers
    start: Numbers


class Purpose(IntEnum):
    """What a seed is used for. The numbers are part of every published result: none may change."""

    DRAWS = 1  # of a recipe
    FOLDS = 2
    HELD_OUT = 3
    BATCHES = 4
    SOME = 5
    PICTURES = 6
    SHARDS = 7
    WINDOWS = 11


def permutation(count: int, seed: int, purpose: Purpose, part: int = 0) -> Numbers:
    """A permutation of the numbers 0 to `count` - 1; the module says how it is drawn.

    Args:
        count: How many numbers.
        seed: 0 or more.
        purpose: What the permutation is for.
        part: Which of several permutations of that purpose, from 0.

    Returns:
        The numbers, int64 (count).

    Example:
        >>> permutation(8, 0, Purpose.BATCHES).tolist()
        [5, 1, 2, 3, 6, 4, 7, 0]
    """
    keys = np.random.PCG64([seed, int(purpose), part]).random_raw(count)
    order = np.argsort(keys)
    ordered = keys[order]
    if (ordered[1:] == ordered[:-1]).any():
        order = np.argsort(keys, kind="stable")  # three times slower, and hardly ever needed
    return np.asarray(order, np.int64)


def some_of(count: int, number: int, seed: int) -> Numbers:
    """Draws `number` of `count` samples, all selections equally likely.

    Args:
        count: How many samples there are.
        number: How many are wanted; all, if there are fewer.
        seed: 0 or more.

    Returns:
        Which samples these are, int64, ascending.
    """
    at_least(0, number=number, seed=seed)
    return np.sort(permutation(count, seed, Purpose.SOME)[:number])


def evenly_held_out(strata: Numbers, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Draws samples to hold out, the same fraction of each stratum.

    Args:
        strata: The group of each sample, int64 (sample), from 0.
        fraction: How much of each group, above 0 and below 1; counts are rounded.
        seed: 0 or more.

    Returns:
        Whether a sample is held out, bool (sample).

    Raises:
        ArgumentError: The fraction or the seed cannot be.
    """
    require_fraction(fraction, seed)
    held = np.zeros(len(strata), np.bool_)
    for stratum in np.unique(strata).tolist():
        members = np.flatnonzero(strata == stratum)
        drawn = members[permutation(len(members), seed, Purpose.HELD_OUT, stratum)]
        held[drawn[: round(len(members) * fraction)]] = True
    return held


def even_folds(strata: Numbers, folds: int, seed: int) -> Numbers:
    """Deals samples into folds, so that each has the same share of every stratum.

    Args:
        strata: The group of each sample, int64 (sample), from 0.
        folds: How many folds.
        seed: 0 or more.

    Returns:
        The fold of each sample, int64 (sample), from 0. Folds differ by at most one sample, in all
        and of each group. The same groups, in the same order, give the same folds.
    """
    result = np.empty(len(strata), np.int64)
    dealt = 0
    for stratum in np.unique(strata).tolist():
        members = np.flatnonzero(strata == stratum)
        members = members[permutation(len(members), seed, Purpose.FOLDS, stratum)]
        result[members] = (dealt + np.arange(len(members))) % folds
        dealt += len(members)
    return result


def by_shards(places: Places, seed: int) -> Numbers:
    """Shuffles samples so that few requests read a batch.

    The shards are put in a drawn order and cut into as few windows of at most `SHARDS_TOGETHER` as
    there can be, all of about as many shards. The samples of a shard are cut into runs of `RUN`
    neighbours, of which the first has a drawn length, so that other samples are neighbours each
    time. The runs of a shard are put in a drawn order and spread evenly over the whole window, with
    a drawn offset: as many shards as possible meet in a batch.

    Args:
        places: Where the samples lie.
        seed: 0 or more.

    Returns:
        All samples in their order, int64 (sample).

    Example:
        >>> shard, start = np.repeat([0, 1], 16), np.tile(np.arange(16), 2)
        >>> by_shards(Places(shard, start), 0).tolist()[:12]
        [17, 18, 19, 20, 21, 22, 23, 24, 10, 11, 12, 13]
    """
    inside = np.lexsort((places.start, places.shard))
    shards, first, counts = np.unique(places.shard[inside], return_index=True, return_counts=True)
    windows = -(-len(shards) // SHARDS_TOGETHER)
    window = _drawn_places(len(shards), seed, 0) * windows // len(shards)
    lead = 1 + _drawn_places(len(shards), seed, 1) % RUN
    # runs, shard by shard
    runs = 1 + -(-np.maximum(counts - lead, 0) // RUN)
    shard = np.repeat(np.arange(len(shards)), runs)
    number = np.arange(len(shard)) - np.repeat(np.cumsum(runs) - runs, runs)
    begin = np.where(number, lead[shard] + (number - 1) * RUN, 0)
    end = np.minimum(lead[shard] + number * RUN, counts[shard])
    # where in its window a run comes, from 0 to 1
    turn = np.empty(len(shard), np.int64)
    turn[np.lexsort((_drawn_places(len(shard), seed, 2), shard))] = number
    offset = (_drawn_places(len(shard), seed, 3) + 0.5) / len(shard)
    order = np.lexsort(((turn + offset) / runs[shard], window[shard]))
    # the samples of the runs
    begin, size = (first[shard] + begin)[order], (end - begin)[order]
    within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
    return np.asarray(inside[np.repeat(begin, size) + within], np.int64)


def _drawn_places(count: int, seed: int, part: int) -> Numbers:
    """The place of each of the numbers below `count` in a drawn order."""
    places = np.empty(count, np.int64)
    places[permutation(count, seed, Purpose.SHARDS, part)] = np.arange(count)
    return places


def batches_of(
    count: int, batch_size: int, options: OrderOptions, places: Places | None = None
) -> list[Numbers]:
    """Divides the samples 0 to `count` - 1 into batches.

    Args:
        count: How many samples there are.
        batch_size: Samples in a batch, 1 or more.
        options: The order and the share of a process; see `Samples.to_batches`.
        places: Where the samples lie, for ``shuffle="shards"``.

    Returns:
        Which samples each batch has, int64.

    Raises:
        ArgumentError: A number cannot be, or the share of a process is empty.
    """
    chosen = DEFAULTS | options
    seed, rank, world_size = chosen["seed"], chosen["rank"], chosen["world_size"]
    at_least(1, batch_size=batch_size)
    at_least(0, seed=seed)
    if not 0 <= rank < world_size:
        raise ArgumentError(
            f"rank {rank} of {world_size}: must be from 0 to world_size - 1", "rank", "world_size"
        )
    if count < world_size:
        raise ArgumentError(f"{count} samples cannot be shared by {world_size}", "world_size")
    order = np.arange(count)
    together = 1
    if chosen["shuffle"] == "shards":
        assert places is not None
        order, together = by_shards(places, seed), RUN
    elif chosen["shuffle"]:
        order = permutation(count, seed, Purpose.BATCHES)
    order = _share(order, rank, world_size, together)
    end = len(order) - len(order) % batch_size if chosen["drop_last"] else len(order)
    return [order[at : min(at + batch_size, end)] for at in range(0, end, batch_size)]


def _share(order: Numbers, rank: int, world_size: int, together: int) -> Numbers:
    """What one of several processes reads: every so many samples, or so many runs of samples."""
    each = len(order) // world_size
    whole = each - each % together
    runs = order[: whole * world_size].reshape(-1, world_size, together)[:, rank]
    return np.concatenate(
        [runs.ravel(), order[whole * world_size : each * world_size][rank::world_size]]
    )
