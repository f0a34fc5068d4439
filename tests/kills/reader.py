"""A reader that asks a catalog again and again while others write it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from threading import Event, Thread
from typing import Self

from satimnet.builder.query.index import Index
from satimnet.builder.query.search import search

Ids = frozenset[str]


class Reader:
    """Asks in a thread, as a context manager; ``wrong`` has what failed, ``asked`` counts.

    Without a catalog it asks nothing.
    """

    def __init__(self, catalog: Path | str | None, allowed: Mapping[str, Collection[Ids]]) -> None:
        self.wrong: list[str] = []
        self.asked = 0
        self._catalog, self._allowed = catalog, allowed
        self._end = Event()
        self._thread = Thread(target=self._read)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _read(self) -> None:
        while self._catalog is not None and not self._end.wait(0.1):
            self.asked += 1
            try:
                found = contents(self._catalog)
            except Exception as error:  # whatever it is: a reader has met it
                self.wrong.append(f"{type(error).__name__}: {error}")
                continue
            for name, ids in self._allowed.items():
                if found.get(name, frozenset()) not in ids:
                    self.wrong.append(f"{name}: neither the old nor the new Items")


def contents(catalog: Path | str) -> dict[str, Ids]:
    """The ids of the Items of each collection, as a search finds them."""
    index = Index(catalog)
    names = list(index.collections)
    return {
        name: frozenset(item["id"] for item in search(index, collections=[name])) for name in names
    }
