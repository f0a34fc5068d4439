"""Dealing out: groups of Items into parts of given shares, each with its share of every class.

A greedy one: the largest groups come first, and each goes to the part in which it brings the counts
of its classes closest to what they should be. Then groups move, and change places with others,
where that is better still.
Groups that are alike (most are single Items of one class) are dealt out together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from satimnet.builder.errors import ArgumentError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PURPOSE = 7
"""Of the seed, beside those of `satimnet.training.data.order`: another stream than theirs."""
_MOST_MOVED = 20_000  # groups that are looked at again in a round
_MOST_SWAPPED = 600  # groups of which any two may change places
_MOST_COMPARED = 100_000_000  # numbers that are looked at for that in a round
_ROUNDS = 4
_LEAST = 1e-12  # by which the cost must fall


@dataclass(frozen=True, slots=True)
class Counts:
    """How many Items of each kind (a class, a collection) the groups have, without the zeros."""

    starts: NDArray[np.int64]
    """Where the entries of each group begin, and where the last one's end."""
    kinds: NDArray[np.int64]
    numbers: NDArray[np.float64]
    sizes: NDArray[np.int64]
    """Items of each group."""

    def of(self, group: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The kinds and numbers of a group."""
        at = slice(self.starts[group], self.starts[group + 1])
        return self.kinds[at], self.numbers[at]


def count_kinds(
    groups: NDArray[np.int64], items: NDArray[np.int64], kinds: NDArray[np.int64]
) -> Counts:
    """Counts the kinds of Items in each group.

    Args:
        groups: the group of each Item, from 0 without gaps; (item).
        items: numbers of Items, once for each kind that they are of.
        kinds: which kind that is, from 0.
    """
    count, most = int(groups.max()) + 1, int(kinds.max()) + 1
    pairs, numbers = np.unique(groups[items] * most + kinds, return_counts=True)
    owners, found = np.divmod(pairs, most)
    starts = np.searchsorted(owners, np.arange(count + 1))
    return Counts(starts, found, numbers.astype(np.float64), np.bincount(groups, minlength=count))


def deal(counts: Counts, shares: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """The part of each group, int64 (group).

    Args:
        counts: what the groups have.
        shares: of the parts, which sum up to 1.
        seed: of the order among groups of a size.

    Raises:
        ArgumentError: there are fewer groups than parts.
    """
    groups = len(counts.sizes)
    if groups < len(shares):
        raise ArgumentError(
            f"all Items hang together in {groups} group{'' if groups == 1 else 's'}, too few for "
            f"{len(shares)} parts; group by something smaller"
        )
    keys = np.random.PCG64([seed, _PURPOSE]).random_raw(groups)
    dealing = _Dealing(counts, shares)
    parts = np.full(groups, -1, np.int64)
    for alike in _alike(counts, keys):
        dealing.deal(alike, parts)
    dealing.fill_empty(parts)
    order = np.argsort(keys, kind="stable")[:_MOST_MOVED]
    for _ in range(_ROUNDS):
        if not dealing.improve(order, parts) + dealing.swap(order, parts):
            break
    return parts


def _alike(counts: Counts, keys: NDArray[np.uint64]) -> list[NDArray[np.int64]]:
    """Groups with the same counts, in random order; the largest come first."""
    found: dict[bytes, list[int]] = {}
    for group in np.argsort(keys, kind="stable").tolist():
        kinds, numbers = counts.of(group)
        found.setdefault(kinds.tobytes() + numbers.tobytes(), []).append(group)
    sets = [np.array(one, np.int64) for one in found.values()]
    # About the same size is enough: so the seed has a say among blocks, too.
    return sorted(sets, key=lambda one: -int(counts.sizes[one[0]]).bit_length())


class _Dealing:
    """What the parts have so far."""

    def __init__(self, counts: Counts, shares: NDArray[np.float64]) -> None:
        totals = np.bincount(counts.kinds, counts.numbers)
        self._counts = counts
        self._wanted = shares[:, None] * totals
        self._have = np.zeros_like(self._wanted)
        # The cost: for each part and kind the squared relative error, times the share of the part.
        self._weight = 1 / np.maximum(shares[:, None] * totals**2, 1e-300)

    def _cost_of(self, kinds: NDArray[np.int64], added: NDArray[np.float64]) -> NDArray[np.float64]:
        """By how much the cost of each part changes if it gets so much more of these kinds."""
        missing = self._have[:, kinds] - self._wanted[:, kinds]
        return np.asarray((added * (2 * missing + added) * self._weight[:, kinds]).sum(1))

    def _give(self, part: int, kinds: NDArray[np.int64], added: NDArray[np.float64]) -> None:
        self._have[part, kinds] += added

    def deal(self, alike: NDArray[np.int64], parts: NDArray[np.int64]) -> None:
        """Deals out groups with the same counts: many at first, the last ones one by one."""
        kinds, numbers = self._counts.of(int(alike[0]))
        done = 0
        while done < len(alike):
            step = max(1, (len(alike) - done) // (8 * len(self._wanted)))
            part = int(np.argmin(self._cost_of(kinds, step * numbers)))
            parts[alike[done : done + step]] = part
            self._give(part, kinds, step * numbers)
            done += step

    def fill_empty(self, parts: NDArray[np.int64]) -> None:
        """Gives each part that has no group the smallest of a part that has several."""
        for part in range(len(self._wanted)):
            used = np.bincount(parts, minlength=len(self._wanted))
            if used[part] == 0:
                spare = np.flatnonzero(used[parts] > 1)
                self._move(int(spare[np.argmin(self._counts.sizes[spare])]), part, parts)

    def _move(self, group: int, part: int, parts: NDArray[np.int64]) -> None:
        kinds, numbers = self._counts.of(group)
        self._give(int(parts[group]), kinds, -numbers)
        self._give(part, kinds, numbers)
        parts[group] = part

    def improve(self, order: NDArray[np.int64], parts: NDArray[np.int64]) -> int:
        """Moves each of the groups once, if that lowers the cost; returns how many moved."""
        moved = 0
        left = np.bincount(parts, minlength=len(self._wanted))
        for group in order.tolist():
            before = int(parts[group])
            if left[before] == 1:
                continue
            kinds, numbers = self._counts.of(group)
            change = self._cost_of(kinds, numbers)
            change += self._cost_of(kinds, -numbers)[before]
            change[before] = 0
            part = int(np.argmin(change))
            if change[part] < -_LEAST:
                self._move(group, part, parts)
                left[before] -= 1
                left[part] += 1
                moved += 1
        return moved

    def swap(self, order: NDArray[np.int64], parts: NDArray[np.int64]) -> int:
        """Swaps each of the first groups with that which lowers the cost most; returns how many."""
        most = int((_MOST_COMPARED / self._wanted.shape[1]) ** 0.5)
        chosen = order[: min(_MOST_SWAPPED, most)]
        table = np.zeros((len(chosen), self._wanted.shape[1]))
        for at, group in enumerate(chosen.tolist()):
            kinds, numbers = self._counts.of(group)
            table[at, kinds] = numbers
        swapped = 0
        for at, group in enumerate(chosen.tolist()):
            own, others = int(parts[group]), parts[chosen]
            gained = table - table[at]
            missing = self._have - self._wanted
            here = gained * (2 * missing[own] + gained) @ self._weight[own]
            there = (gained * (gained - 2 * missing[others]) * self._weight[others]).sum(1)
            change = np.where(others == own, 0, here + there)
            best = int(np.argmin(change))
            if change[best] < -_LEAST:
                other = int(chosen[best])
                part = int(parts[other])
                self._move(group, part, parts)
                self._move(other, own, parts)
                swapped += 1
        return swapped
