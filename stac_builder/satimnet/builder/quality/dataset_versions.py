"""Items of the same place in two versions of a dataset: they show the same, and are no leak."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from satimnet.builder.quality.findings import Finding

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_MOST_VERSIONS = 8  # that follow each other


class Places:
    """Which Items are versions of each other, by ``satimnet:predecessor``."""

    def __init__(self, rows: pa.Table) -> None:
        """The places of Items.

        Args:
            rows: Results of all Items, columns as in
                `satimnet.builder.quality.measuring.result_schema`.
        """
        self._collections = rows["collection"].to_pylist()
        numbers = np.arange(len(rows))
        before = rows["predecessor"].to_pylist()
        if wanted := set(before) - {None}:
            names = zip(self._collections, rows["id"].to_pylist(), strict=True)
            known = {name: at for at, name in enumerate(map("/".join, names)) if name in wanted}
            for at, name in enumerate(before):
                numbers[at] = known.get(name, at)
            for _ in range(_MOST_VERSIONS):  # foreign catalogs may have circles
                numbers = numbers[numbers]
        self.numbers: NDArray[np.int64] = numbers
        """Of each row the number of the row of its first version."""

    def same(self, one: int, other: int) -> bool:
        """Whether two rows are versions of each other."""
        return bool(
            self.numbers[one] == self.numbers[other]
            and self._collections[one] != self._collections[other]
        )

    def all_same(self, rows: list[int]) -> bool:
        """Whether rows are versions of each other, no two of them of the same collection."""
        collections = {self._collections[row] for row in rows}
        return len(collections) == len(rows) and len({*self.numbers[rows].tolist()}) == 1


def find_versions(rows: pa.Table, places: Places) -> Iterator[Finding]:
    """A finding for each two collections and splits that the versions of a place are in.

    Args:
        rows: Results of all Items.
        places: Their places.
    """
    later = np.flatnonzero(places.numbers != np.arange(len(rows)))
    collections = rows["collection"].to_pylist()
    splits = rows["split"].to_pylist()
    found: dict[tuple[str, str, str, str], list[int]] = {}
    for at, first in zip(later.tolist(), places.numbers[later].tolist(), strict=True):
        if places.same(at, first):
            parts = [(collections[row], splits[row] or "no split") for row in (first, at)]
            found.setdefault((*parts[0], *parts[1]), []).extend((first, at))
    for (one, split, other, other_split), pairs in sorted(found.items()):
        count = len(pairs) // 2
        words = f"{count:,} place{'' if count == 1 else 's'}: {one} in {split}, "
        yield Finding("two-versions", tuple(pairs), f"{words}{other} in {other_split}")
