"""Groups are dealt out by their shares, each part with its share of every class."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from satimnet.builder.errors import ArgumentError
from satimnet.builder.splitting.balanced_parts import Counts, count_kinds, deal


def counts_of(table: np.ndarray) -> Counts:
    """Counts of groups of which row g has so many Items of each kind."""
    groups = np.repeat(np.arange(len(table)), table.sum(1))
    kinds = np.concatenate([np.repeat(np.arange(table.shape[1]), row) for row in table])
    return count_kinds(groups, np.arange(len(groups)), kinds)


def cost(table: np.ndarray, parts: np.ndarray, shares: np.ndarray) -> float:
    """The squared relative errors of all parts and kinds, by the shares of the parts."""
    have = np.stack([table[parts == at].sum(0) for at in range(len(shares))])
    wanted = shares[:, None] * table.sum(0)
    return float((((have - wanted) / wanted) ** 2 * shares[:, None]).sum())


def test_kinds_are_counted() -> None:
    counts = count_kinds(np.array([0, 0, 1]), np.array([0, 1, 1, 2, 2]), np.array([2, 2, 0, 1, 2]))
    assert [list(map(list, counts.of(group))) for group in (0, 1)] == [
        [[0, 2], [1, 2]],
        [[1, 2], [1, 1]],
    ]
    assert counts.sizes.tolist() == [2, 1]


@pytest.mark.parametrize("seed", range(5))
def test_it_is_about_as_even_as_the_best_of_all_divisions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 12, (9, 3)) + np.array([1, 0, 0])
    shares = np.array([0.6, 0.4])
    parts = deal(counts_of(table), shares, seed)
    every = [np.array(one) for one in product((0, 1), repeat=len(table))]
    costs = sorted(cost(table, one, shares) for one in every)
    assert cost(table, parts, shares) <= costs[len(costs) // 50]  # among the best 2 %


def test_single_items_are_dealt_out_exactly() -> None:
    kinds = np.repeat(np.arange(4), (1000, 200, 60, 20))
    counts = count_kinds(np.arange(len(kinds)), np.arange(len(kinds)), kinds)
    parts = deal(counts, np.array([0.7, 0.15, 0.15]), 0)
    found = np.array([[np.sum((kinds == k) & (parts == p)) for p in range(3)] for k in range(4)])
    assert found.tolist() == [[700, 150, 150], [140, 30, 30], [42, 9, 9], [14, 3, 3]]


def test_the_seed_decides_which() -> None:
    table = np.random.default_rng(0).integers(1, 9, (200, 2))
    shares = np.array([0.5, 0.5])
    one, same, other = (deal(counts_of(table), shares, seed) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("sizes", [[1000, 1, 1], [5, 5, 5], [100, 1, 1, 1, 1, 1]])
def test_no_part_is_empty(sizes: list[int]) -> None:
    parts = deal(counts_of(np.array(sizes)[:, None]), np.array([0.7, 0.15, 0.15]), 0)
    assert set(parts.tolist()) == {0, 1, 2}


def test_too_few_groups() -> None:
    with pytest.raises(ArgumentError, match="all Items hang together in 2 groups, too few for 3"):
        deal(counts_of(np.array([[4], [4]])), np.array([0.7, 0.15, 0.15]), 0)
