"""What a seed draws: the same for ever, all orders equally likely, all parts alike."""

from collections import Counter
from itertools import chain

import numpy as np
import pytest

from satimnet.builder.errors import ArgumentError
from satimnet.training.data.order import (
    RUN,
    SHARDS_TOGETHER,
    Places,
    Purpose,
    batches_of,
    by_shards,
    even_folds,
    evenly_held_out,
    permutation,
    some_of,
)

STRATA = np.array([0, 1, 0, 2, 0, 1, 0, 1, 0, 2, 0, 0], np.int64)


@pytest.mark.parametrize(
    ("seed", "purpose", "part", "order"),
    [
        (0, Purpose.BATCHES, 0, [5, 1, 2, 3, 6, 4, 7, 0]),
        (0, Purpose.DRAWS, 0, [7, 4, 5, 1, 6, 2, 0, 3]),
        (2**40, Purpose.FOLDS, 3, [2, 3, 4, 0, 6, 5, 7, 1]),
    ],
)
def test_a_seed_draws_the_same_order_for_ever(seed, purpose, part, order):
    """Published results follow from these numbers: the code is wrong if this fails."""
    assert permutation(8, seed, purpose, part).tolist() == order


def test_purposes_keep_their_numbers():
    assert {one.name: one.value for one in Purpose} == {
        "DRAWS": 1,
        "FOLDS": 2,
        "HELD_OUT": 3,
        "BATCHES": 4,
        "SOME": 5,
        "PICTURES": 6,
        "SHARDS": 7,
        "WINDOWS": 11,
    }


def test_the_order_is_that_of_the_raw_keys_as_recipes_have_drawn_from_the_beginning():
    for count, *seed in [(0, 0, 1, 0), (1, 0, 1, 0), (1000, 7, 1, 3), (70_000, 123, 2, 9)]:
        keys = np.random.PCG64(seed).random_raw(count)
        expected = np.argsort(keys, kind="stable")
        np.testing.assert_array_equal(permutation(count, *seed), expected)


def test_of_equal_keys_the_lower_number_is_first(monkeypatch):
    class Repeating:
        def __init__(self, seed):
            self._keys = np.array([3, 1, 3, 1, 2] * 100, np.uint64)

        def random_raw(self, count):
            return self._keys[:count]

    monkeypatch.setattr(np.random, "PCG64", Repeating)
    order = permutation(500, 0, Purpose.BATCHES)
    np.testing.assert_array_equal(order, np.lexsort((np.arange(500), Repeating(0)._keys)))


def test_all_orders_are_equally_likely():
    orders = Counter(tuple(permutation(4, seed, Purpose.BATCHES)) for seed in range(2400))
    # chi-squared with 23 degrees of freedom is above 49.7 once in 1000
    assert len(orders) == 24
    assert sum((n - 100) ** 2 / 100 for n in orders.values()) < 49.7


def test_purposes_and_parts_draw_apart():
    drawn = [tuple(permutation(50, 0, purpose)) for purpose in Purpose]
    drawn += [tuple(permutation(50, 0, Purpose.FOLDS, part)) for part in range(1, 9)]
    assert len(set(drawn)) == len(drawn)


def test_some_are_drawn_in_ascending_order():
    some = some_of(100, 30, seed=4)
    assert some.tolist() == sorted(set(some.tolist()))
    assert some.tolist() == sorted(permutation(100, 4, Purpose.SOME)[:30].tolist())
    assert some_of(5, 9, seed=4).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ArgumentError, match="seed -1: must be 0 or more"):
        some_of(5, 2, seed=-1)


def test_the_same_fraction_of_each_stratum_is_held_out():
    held = evenly_held_out(STRATA, 0.5, seed=0)
    assert np.bincount(STRATA[held]).tolist() == [4, 2, 1]  # of 7, 3 and 2, rounded to even
    assert evenly_held_out(STRATA, 0.5, seed=0).tolist() == held.tolist()
    assert held.tolist() == [bool(int(c)) for c in "010010111101"]
    with pytest.raises(ArgumentError, match="fraction 1: must be between 0 and 1"):
        evenly_held_out(STRATA, 1, seed=0)


def test_folds_are_alike_in_size_and_strata():
    folds = even_folds(STRATA, 3, seed=0)
    assert folds.tolist() == [int(c) for c in "012102001212"]
    assert np.bincount(folds).tolist() == [4, 4, 4]
    for stratum in range(3):
        counts = np.bincount(folds[stratum == STRATA], minlength=3)
        assert counts.max() - counts.min() <= 1
    assert even_folds(STRATA, 3, seed=1).tolist() != folds.tolist()


def test_batches_are_slices_of_one_order():
    order = permutation(10, 3, Purpose.BATCHES)
    assert [part.tolist() for part in batches_of(10, 4, {"shuffle": True, "seed": 3})] == [
        order[:4].tolist(),
        order[4:8].tolist(),
        order[8:].tolist(),
    ]
    shared = [
        batches_of(10, 2, {"shuffle": True, "seed": 3, "rank": rank, "world_size": 3})
        for rank in range(3)
    ]
    drawn = chain.from_iterable(np.concatenate(parts).tolist() for parts in shared)
    assert sorted(drawn) == sorted(order[:9].tolist())


# by shards


def lying(counts, seed=0):
    """Samples that lie in shards of so many, in any order."""
    generator = np.random.default_rng(seed)
    shard = np.repeat(np.arange(len(counts)), counts)
    start = np.concatenate([100 * np.arange(count) for count in counts])
    mixed = generator.permutation(len(shard))
    return Places(shard[mixed], start[mixed])


def runs_of(places, order):
    """The samples of each run of neighbours, as they follow each other in the order."""
    shard, start = places.shard[order], places.start[order]
    cuts = 1 + np.flatnonzero((np.diff(shard) != 0) | (np.diff(start) != 100))
    return np.split(order, cuts)


@pytest.mark.parametrize("counts", [[1], [8], [3, 1, 40], [100] * 20, [7, 9, 64, 65] * 9])
def test_by_shards_each_sample_comes_once(counts):
    places = lying(counts)
    for seed in range(3):
        order = by_shards(places, seed)
        assert sorted(order.tolist()) == list(range(sum(counts)))
        assert by_shards(places, seed).tolist() == order.tolist()


def test_a_seed_draws_the_same_order_by_shards_for_ever():
    """Published results follow from these numbers: the code is wrong if this fails."""
    places = Places(np.repeat([0, 1, 2], [10, 3, 9]), np.r_[0:10, 0:3, 0:9] * 100)
    order = [13, 14, 15, 10, 0, 1, 11, 12, 16, 17, 18, 19, 20, 21, 2, 3, 4, 5, 6, 7, 8, 9]
    assert by_shards(places, 0).tolist() == order


def test_windows_of_shards_follow_each_other():
    places, seen = lying([50] * 40), set()
    for seed in range(3):
        shards = places.shard[by_shards(places, seed)]
        windows = [set(part.tolist()) for part in np.split(shards, [14 * 50, 27 * 50])]
        assert [len(window) for window in windows] == [14, 13, 13]
        assert max(map(len, windows)) <= SHARDS_TOGETHER
        assert not windows[0] & windows[1]
        assert not windows[2] & (windows[0] | windows[1])
        for at in (0, 14 * 50, 27 * 50):  # mixed from the beginning
            assert len(set(shards[at : at + 104].tolist())) > 10
        seen.add(tuple(shards.tolist()))
    assert len(seen) == 3


def test_neighbours_stay_together_and_are_others_for_another_seed():
    places = lying([400] * 5)
    pairs = []
    for seed in range(4):
        runs = runs_of(places, by_shards(places, seed))
        sizes = Counter(map(len, runs))
        assert sizes[RUN] > 0.9 * len(runs)
        pairs.append({tuple(run[:2]) for run in runs if len(run) == RUN})
    assert len(set.union(*pairs)) > 2 * len(pairs[0])


def test_a_batch_meets_as_many_shards_as_it_has_runs():
    places = lying([400] * 10)
    parts = batches_of(4000, 64, {"shuffle": "shards", "drop_last": True}, places)
    met = [len(set(places.shard[part].tolist())) for part in parts]
    assert np.mean(met) > 7  # 8 runs; drawn without a plan they would meet 5.7 of 10 shards
    assert max(len(runs_of(places, part)) for part in parts) <= 8 + 10


def test_by_shards_processes_share_whole_runs():
    places = lying([100] * 8)
    whole = by_shards(places, 3)
    options = {"shuffle": "shards", "seed": 3, "world_size": 3}
    shares = [
        np.concatenate(batches_of(800, 32, options | {"rank": rank}, places)) for rank in range(3)
    ]
    assert [len(share) for share in shares] == [266] * 3
    assert sorted(np.concatenate(shares).tolist()) == sorted(whole[:798].tolist())
    for share in shares:
        assert len(runs_of(places, share)) < 266 / RUN * 2.5
