"""Items that show the same, exactly or nearly, and what that means for training."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from satimnet.builder.quality.dataset_versions import Places
from satimnet.builder.quality.findings import NEAR_AGREEMENT, SAME_SHARE, Finding
from satimnet.builder.quality.pixel_statistics import SIDE
from satimnet.builder.quality.similarity import Similar, find_similar
from satimnet.builder.samples import SPLITS

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

Families = Collection[frozenset[str]]
"""Pairs of collections of which one was made from the other, and so shows the same."""


def find_duplicates(
    rows: pa.Table, copies: NDArray[np.uint8], families: Families, places: Places | None = None
) -> Iterator[Finding]:
    """Groups of duplicates, then groups of near-duplicates.

    Constant images are not compared: they say nothing.

    Args:
        rows: Results of all Items, columns as in
            `satimnet.builder.quality.measuring.result_schema`.
        copies: Their small copies, uint8 (image, y, x), in the same order.
        families: Pairs of collections that may show the same.
        places: Which Items are versions of each other, and so are left out.
    """
    labels = _Labels(rows, families)
    comparable = np.flatnonzero(rows["comparable"].to_numpy())
    codes = rows["pixels"].combine_chunks().dictionary_encode().indices.fill_null(-1).to_numpy()
    order = comparable[np.argsort(codes[comparable], kind="stable")]
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    for group in np.split(order, starts[1:]):
        if len(group) > 1 and not (places and places.all_same(group.tolist())):
            words = f"{len(group)} equal images"
            yield from labels.findings("duplicate", group.tolist(), words, same=True)
    first_of_each = np.sort(order[starts])
    similar = [
        pair
        for pair in find_similar(copies, first_of_each)
        if pair.agreement >= NEAR_AGREEMENT
        and not (places and places.same(pair.first, pair.second))
    ]
    for members, pairs in _groups(similar):
        same = all(pair.share >= SAME_SHARE for pair in pairs)
        yield from labels.findings("near-duplicate", members, _words(pairs), same=same)


class _Labels:
    """What to say of Items that show the same: it depends on splits, classes and collections."""

    def __init__(self, rows: pa.Table, families: Families) -> None:
        self._rows = rows.select(["collection", "split", "classes"])
        self._families = families

    def findings(
        self, kind: str, members: Sequence[int], words: str, *, same: bool
    ) -> Iterator[Finding]:
        """A finding for each way in which the group may mislead; without one, the group itself.

        ``same``: whether the images have so much in common that they should have the same label.
        """
        group = self._rows.take(members).to_pylist()
        names = {row["collection"] for row in group}
        if any(family <= names for family in self._families):
            return
        occurring = {row["split"] for row in group}
        splits = [split for split in SPLITS if split in occurring]
        # Class names mean something within a collection only.
        tags = {name: set[frozenset[str]]() for name in names}
        for row in group:
            if row["classes"] is not None:
                tags[row["collection"]].add(frozenset(row["classes"]))
        contradictory = [tag for tag in tags.values() if len(tag) > 1 and same]
        if len(names) > 1:
            words += f", of {', '.join(sorted(names))}"
        if len(splits) > 1:
            yield Finding(f"{kind}-across-splits", tuple(members), f"{words}: {', '.join(splits)}")
        if contradictory:
            said = " or ".join(sorted(", ".join(sorted(tag)) or "none" for tag in contradictory[0]))
            yield Finding(f"{kind}-with-other-labels", tuple(members), f"{words}: {said}")
        if len(splits) < 2 and not contradictory:
            yield Finding(kind, tuple(members), words)


def _groups(similar: Sequence[Similar]) -> Iterator[tuple[list[int], list[Similar]]]:
    """Connected pairs with the images that they connect, those with most in common first."""
    parent: dict[int, int] = {}

    def root(number: int) -> int:
        parent.setdefault(number, number)
        while parent[number] != number:
            parent[number] = number = parent[parent[number]]
        return number

    for pair in similar:
        first, second = sorted((root(pair.first), root(pair.second)))
        parent[second] = first
    groups: dict[int, list[Similar]] = {}
    for pair in similar:
        groups.setdefault(root(pair.first), []).append(pair)
    for pairs in sorted(groups.values(), key=lambda pairs: -max(pair.share for pair in pairs)):
        yield sorted({number for pair in pairs for number in (pair.first, pair.second)}), pairs


def _words(pairs: Sequence[Similar]) -> str:
    if len(pairs) > 1:
        shares = sorted(pair.share for pair in pairs)
        return f"{len(pairs)} pairs with {shares[0]:.0%} to {shares[-1]:.0%} in common"
    (pair,) = pairs
    if pair.shift == (0, 0):
        return f"the same picture, agreement {pair.agreement:.2f}"
    down, right = (abs(part) / SIDE for part in pair.shift)
    return (
        f"{pair.share:.0%} in common, shifted by {right:.0%} of the width and {down:.0%} of the "
        f"height, agreement {pair.agreement:.2f}"
    )
