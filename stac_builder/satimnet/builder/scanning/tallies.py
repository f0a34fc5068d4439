"""Tallies: what a scan made of the files of its source, so that none is left out in silence.

The builder compares the files that a scan listed with those that it used, whatever the dataset.
BigEarthNet has 7.7 million files, so a tally keeps eight bytes of each.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator

from satimnet.builder.scanning.entries import Batch, Entry, is_data_ending

_KEPT = 100
"""Entries of each ending that are kept."""


class Tally:
    """The files listed and the files used, by hash of their path."""

    def __init__(self) -> None:
        self.passed: dict[str, str] = {}
        """What was not opened at all, by path on disk, and why."""
        self._listed = array("q")
        self._taken = array("q")
        self._complete = False
        self._kept: list[Entry] = []
        self._of_ending = Counter[str]()

    def counted(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The files, those that look like data noted at the first whole pass over them."""
        if self._complete:
            yield from batches
            return
        del self._listed[:], self._kept[:]
        self._of_ending.clear()
        for batch in batches:
            self._note(batch)
            yield batch
        self._complete = True

    def _note(self, batch: Batch) -> None:
        """Notes the files that look like data."""
        data = tuple(filter(is_data_ending, batch.endings))
        if not data:
            return
        all_data = len(data) == len(batch.endings)
        paths = batch.paths if all_data else [p for p in batch.paths if p.endswith(data)]
        self._listed.extend(map(hash, paths))
        if any(self._of_ending[ending] < _KEPT for ending in data):
            for entry in batch.made():
                ending = entry.path[entry.path.rfind(".") :]
                if ending in data and self._of_ending[ending] < _KEPT:
                    self._of_ending[ending] += 1
                    self._kept.append(entry)

    def take(self, entry: Entry) -> None:
        """Notes that a file is used."""
        self._taken.append(hash(entry.path))

    def take_all(self, entries: Iterable[object]) -> None:
        """Notes that those files are used that are entries, as of a sample."""
        self._taken.extend([hash(e.path) for e in entries if isinstance(e, Entry)])

    def left(self) -> set[int]:
        """Hashes of the paths that were listed, look like data and were not used."""
        import numpy as np

        # views, sorted where they are: copies would double the memory
        listed, taken = (np.asarray(a) for a in (self._listed, self._taken))
        taken.sort()
        if not len(taken):
            return set(listed.tolist())
        at = np.searchsorted(taken, listed).clip(max=len(taken) - 1)
        return set(listed[taken[at] != listed].tolist())

    def found(self, left: set[int]) -> list[Entry] | None:
        """The entries of these hashes, in the order of the listing; None if it does not know all.

        Most that is left over is of endings that few files have, so all need not be listed again.
        """
        found = [entry for entry in self._kept if hash(entry.path) in left]
        return found if {hash(entry.path) for entry in found} == left else None
