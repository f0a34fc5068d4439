"""Tallies: what a scan made of the files of its source, so that none is left out in silence.

The builder compares the files that a scan listed with those that it used, whatever the dataset.
BigEarthNet has 7.7 million files, so a tally keeps eight bytes of each.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from satimnet.builder.scanning.entries import Entry, is_data_ending

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
        self._of_ending: dict[str, int] = {}

    def counted(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        """The entries, those that look like data noted at the first whole pass over them."""
        if self._complete:
            yield from entries
            return
        del self._listed[:], self._kept[:]
        self._of_ending.clear()
        note = self._listed.append
        for entry in entries:
            path = entry.path
            ending = path[path.rfind(".") :]
            if is_data_ending(ending):
                note(hash(path))
                if (number := self._of_ending.get(ending, 0)) < _KEPT:
                    self._of_ending[ending] = number + 1
                    self._kept.append(entry)
            yield entry
        self._complete = True

    def take(self, entry: Entry) -> None:
        """Notes that a file is used."""
        self._taken.append(hash(entry.path))

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
