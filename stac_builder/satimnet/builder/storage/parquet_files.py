"""Parquet files by path or URL, open for reading."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from satimnet.builder.storage.remote_files import RemoteFile
from satimnet.builder.storage.stores import is_url

if TYPE_CHECKING:
    import pyarrow.parquet as pq


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
