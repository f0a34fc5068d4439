"""What a seed draws: the same for ever, all orders equally likely, all parts alike."""

from collections import Counter
from itertools import chain

import numpy as np
import pytest

from satimnet.builder.errors import ArgumentError
from satimnet.training.data.order import (
    Purpose,
    batches_of,
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
