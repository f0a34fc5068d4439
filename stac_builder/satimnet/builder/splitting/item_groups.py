"""Groups of Items that must be of one split: those of a block, a scene, a time or a property.

Then what shows the same is joined: footprints that overlap, Items derived from the same one, and
what quality control found to be the same picture. Groups that have any of these in common become
one (union-find), so that no picture and no ground is in two splits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from satimnet.builder.quality.findings import OVERLAP_SHARE
from satimnet.builder.splitting.item_facts import ItemFacts

if TYPE_CHECKING:
    from numpy.typing import NDArray

By = Literal["block", "scene", "time", "group"]

_METRES = 111_195.0
"""Of a degree of latitude, on a sphere of 6,371 km."""
_DAY = 86_400.0
_BATCH = 1_000  # footprints that are looked up at a time
_MOST_PAIRS = 2_000_000  # that are kept before groups are joined


def first_groups(facts: ItemFacts, by: By, size: float, days: float) -> NDArray[np.int64]:
    """A number for each Item, the same for those of a group; int64 (item).

    An Item of which it is not known (it has no place, no time, no such property) is a group of its
    own.

    Args:
        facts: of the Items.
        by: what makes a group.
        size: of blocks, in metres along a side.
        days: of times, how many make a group.
    """
    import pyarrow.compute as pc

    if by == "block":
        return _numbered(_blocks(facts.centres, size))
    if by == "time":
        return _numbered(np.floor(facts.seconds / (days * _DAY)))
    if by == "scene":  # what a satellite took at one moment, whatever tiles it was cut into
        return _numbered(facts.seconds, facts.homes)
    codes = facts.values.combine_chunks().dictionary_encode().indices
    return _numbered(pc.fill_null(codes.cast("float64"), np.nan).to_numpy())


def _blocks(centres: NDArray[np.float64], size: float) -> NDArray[np.float64]:
    """The number of the block that each place lies in: rows of latitude, cut into equal lengths."""
    lon, lat = centres.T
    row = np.floor((lat + 90) * _METRES / size)
    middle = np.clip((row + 0.5) * size / _METRES - 90, -90, 90)
    around = 360 * _METRES * np.cos(np.radians(middle))
    column = np.floor((lon + 180) / 360 * np.maximum(around / size, 1))
    return np.asarray(row * 2.0**26 + column)  # both are below 2 ** 26 down to a metre


def _numbered(
    values: NDArray[np.float64], homes: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Numbers from 0 of equal values (of the same home); each NaN has one of its own."""
    known = np.flatnonzero(~np.isnan(values))
    groups = np.empty(len(values), np.int64)
    columns = values[known, None]
    if homes is not None:
        columns = np.column_stack([columns, homes[known]])
    _, numbers = np.unique(columns, axis=0, return_inverse=True)
    groups[known] = numbers.ravel()
    unknown = np.isnan(values)
    groups[unknown] = np.arange(unknown.sum()) + (int(numbers.max()) + 1 if len(known) else 0)
    return groups


class Together:
    """Groups of Items that are joined until each has all that must stay with it.

    Attributes:
        groups: the number of the group of each Item, from 0 without gaps; int64 (item).
    """

    def __init__(self, groups: NDArray[np.int64]) -> None:
        self.groups = groups

    def join(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> int:
        """Joins the groups of pairs of Items; returns by how many there are fewer groups now."""
        pairs = np.column_stack([self.groups[one], self.groups[other]])
        pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
        if not len(pairs):
            return 0
        count = int(self.groups.max()) + 1
        parent = list(range(count))

        def root(number: int) -> int:
            while parent[number] != number:
                parent[number] = number = parent[parent[number]]
            return number

        for first, second in pairs.tolist():
            low, high = sorted((root(first), root(second)))
            parent[high] = low
        roots = np.fromiter(map(root, range(count)), np.int64, count)
        names, numbers = np.unique(roots, return_inverse=True)
        self.groups = numbers.ravel()[self.groups]
        return count - len(names)

    def join_all(self, sets: Iterable[Sequence[int]]) -> int:
        """Joins the groups of the Items of each set, as `join`."""
        pairs = [(one[0], other) for one in sets for other in one[1:]]
        if not pairs:
            return 0
        first, second = np.array(pairs, np.int64).T
        return self.join(first, second)

    def join_equal(self, numbers: NDArray[np.int64]) -> int:
        """Joins the groups of Items with the same number, as `join`; -1 is none."""
        known = np.flatnonzero(numbers >= 0)
        order = known[np.argsort(numbers[known], kind="stable")]
        same = np.flatnonzero(np.diff(numbers[order]) == 0)
        return self.join(order[same], order[same + 1])


def join_overlapping(together: Together, facts: ItemFacts) -> int:
    """Joins groups with footprints that overlap by as much as quality control minds.

    Returns:
        By how many there are fewer groups.
    """
    import shapely

    coded = facts.outlines.combine_chunks().dictionary_encode()
    codes = np.asarray(coded.indices.fill_null(-1), np.int64)
    fewer = together.join_equal(codes)  # one place at many times: compared once
    if len(coded.dictionary) < 2:
        return fewer
    first_of = np.full(len(coded.dictionary), -1, np.int64)
    first_of[codes[codes >= 0][::-1]] = np.flatnonzero(codes >= 0)[::-1]
    outlines = shapely.from_wkb(
        coded.dictionary.to_numpy(zero_copy_only=False), on_invalid="ignore"
    )
    usable = np.array(~shapely.is_missing(outlines) & ~shapely.is_empty(outlines))
    outlines, items = outlines[usable], first_of[usable]
    found: list[NDArray[np.int64]] = []
    for one, other in _overlapping(outlines, together.groups[items]):
        found.append(np.stack([items[one], items[other]]))
        if sum(pairs.shape[1] for pairs in found) > _MOST_PAIRS:
            fewer += together.join(*np.concatenate(found, axis=1))
            found.clear()
    return fewer + (together.join(*np.concatenate(found, axis=1)) if found else 0)


def _overlapping(
    outlines: NDArray[np.object_], groups: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs of outlines of different groups that overlap, many at a time.

    Most neighbours only touch; boxes say so at a fraction of the cost.
    """
    import shapely

    areas = shapely.area(outlines)
    bounds = shapely.bounds(outlines)
    tree = shapely.STRtree(outlines)
    for start in range(0, len(outlines), _BATCH):
        one, other = tree.query(outlines[start : start + _BATCH])
        one = one + start
        wanted = (one < other) & (groups[one] != groups[other])
        one, other = one[wanted], other[wanted]
        least = OVERLAP_SHARE * np.maximum(np.minimum(areas[one], areas[other]), 1e-300)
        low = np.maximum(bounds[one, :2], bounds[other, :2])
        high = np.minimum(bounds[one, 2:], bounds[other, 2:])
        may = np.prod(np.maximum(high - low, 0), axis=1) >= least
        one, other, least = one[may], other[may], least[may]
        common = shapely.area(shapely.intersection(outlines[one], outlines[other]))
        large = common >= least
        if large.any():
            yield one[large], other[large]
