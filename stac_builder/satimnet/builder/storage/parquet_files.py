"""Parquet files by path or URL, open for reading, and their footers."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from satimnet.builder.storage.remote_files import RemoteFile
from satimnet.builder.storage.stores import is_url

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_MOST = 16 * 2**20
"""Bytes of footers, as they lie in files, that are kept: 22 files of BigEarthNet's columns.

In memory they take seven times as much.
"""


class Footers:
    """Footers of files that do not change, for as long as they are small; threads may share it.

    Those used last are kept, as many as have at most ``most`` bytes in their files.

    Example:
        >>> Footers().get("items.parquet") is None
        True
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._lock = threading.Lock()  # while one is looked up, never while one is read
        self._known: OrderedDict[str, pq.FileMetaData] = OrderedDict()
        self._bytes = 0

    def get(self, place: str) -> pq.FileMetaData | None:
        """The footer of the file there, if it is kept."""
        with self._lock:
            if place in self._known:
                self._known.move_to_end(place)
            return self._known.get(place)

    def keep(self, place: str, footer: pq.FileMetaData) -> None:
        """Keeps a footer, in place of those that were not used for longest."""
        with self._lock:
            if place not in self._known:
                self._known[place] = footer
                self._bytes += footer.serialized_size
            while self._bytes > self._most:
                self._bytes -= self._known.popitem(last=False)[1].serialized_size


@contextmanager
def parquet_file(place: str) -> Iterator[pq.ParquetFile]:
    """The parquet at a path or URL; of one in a store only what is asked for is read.

    Raises:
        SatimnetError: it cannot be read from where it is.
        OSError: it is no parquet, or cannot be read from this machine.
    """
    import pyarrow.parquet as pq

    if is_url(place):
        with RemoteFile(place) as file, pq.ParquetFile(file, pre_buffer=True) as far:
            yield far
    else:
        with pq.ParquetFile(place) as near:
            yield near
