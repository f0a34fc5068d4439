"""Reading ahead: the files of a store that will be wanted next, many requests at a time.

Near members of an archive come in one request. What waits to be used is bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from satimnet.builder.scanning.entries import Entry
from satimnet.builder.storage.hrefs import is_url
from satimnet.builder.storage.objects import Object, look
from satimnet.builder.storage.ranges import begin, plan

MOST = 64 * 2**20
"""Bytes that are on their way or wait to be used."""
_BATCH = 8 * 2**20  # bytes whose requests are planned together
_LARGE = MOST // 4  # bytes of a file that is not read ahead; it comes in parts, side by side
_SLACK = 256  # bytes of the extra field of a zip's local header; only the header itself tells

_Key = tuple[str, int]


@dataclass(slots=True)
class _Batch:
    """Files whose requests were planned together."""

    number: int
    size: int
    places: dict[_Key, tuple[Future[tuple[bytes, Object]], int, int]] = field(default_factory=dict)
    """The request in which each is, and first byte and length there."""


class Ahead:
    """Files that are read before they are asked for, in the order in which they will be."""

    def __init__(self, expected: Iterable[Entry]) -> None:
        """Begins to read.

        Args:
            expected: the files that will be asked for; others are passed over.
        """
        self._expected: Iterator[Entry] = filter(can_be_ahead, expected)
        self._next: Entry | None = next(self._expected, None)
        self._batches: deque[_Batch] = deque()
        self._number = 0
        self._fill()

    def take(self, entry: Entry) -> tuple[bytes, Object] | None:
        """The file as it lies in its container, maybe with some bytes that follow; None if it was
        not read ahead."""
        key = entry.container, entry.offset
        batch = next((batch for batch in self._batches if key in batch.places), None)
        if batch is None:  # files were left out; what was read of them need not wait
            if self._batches:
                self._batches.popleft()
            self._fill()
            return None
        while self._batches[0].number < batch.number - 1:
            self._batches.popleft()
        future, first, size = batch.places.pop(key)
        if not batch.places:
            self._batches.remove(batch)
        self._fill()
        data, about = future.result()
        return data[first : first + size], about

    def close(self) -> None:
        """Forgets what was not asked for."""
        self._next = None
        for batch in self._batches:
            for future, _, _ in batch.places.values():
                future.cancel()
        self._batches.clear()

    def _fill(self) -> None:
        while self._next is not None:
            room = MOST - sum(batch.size for batch in self._batches)
            if self._batches and room < _BATCH + _LARGE:
                return
            entries: dict[_Key, Entry] = {}
            size = 0
            while self._next is not None and size < _BATCH:
                entry = self._next
                entries[entry.container, entry.offset] = entry
                size += span(entry)
                self._next = next(self._expected, None)
            self._batches.append(self._begun(entries))

    def _begun(self, entries: dict[_Key, Entry]) -> _Batch:
        """The batch of these files, whose requests have begun."""
        keys, sizes = list(entries), [span(entry) for entry in entries.values()]
        requests = plan([href for href, _ in keys], [first for _, first in keys], sizes)
        batch = _Batch(self._number, sum(request.size for request in requests))
        self._number += 1
        for request in requests:
            future = begin(look, request.href, request.first, request.size)
            for k in request.ranges:
                batch.places[keys[k]] = future, keys[k][1] - request.first, sizes[k]
        return batch


def can_be_ahead(entry: Entry) -> bool:
    """Whether a file is one that is read ahead."""
    return (
        entry.kind in ("file", "zip", "tar")
        and 0 < entry.stored_size <= _LARGE
        and is_url(entry.container)
    )


def span(entry: Entry) -> int:
    """Bytes from the place of a file in its container to its end, or some more."""
    if entry.kind != "zip":
        return entry.stored_size
    name = entry.member
    length = len(name) if name.isascii() else len(name.encode("utf-8", "surrogateescape"))
    return 30 + length + _SLACK + entry.stored_size
