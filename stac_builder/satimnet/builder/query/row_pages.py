"""Rows of an ``items.parquet`` by the pages that they lie in, read as a small file in memory.

Arrow reads no less than a group, which has 10,000 rows and more, and DuckDB as much of a file with
many columns. Where the pages of all columns hold the same rows (`parquet_writing.ROWS_OF_PAGE`),
some pages of a group are a group as well: their bytes as they are, below a footer that says where
they lie now. Arrow reads that in a fifth of the time.

https://parquet.apache.org/docs/file-format/data-pages/
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from satimnet.builder.query.compact_thrift import fields_at, integer, list_of, number_at, text
from satimnet.builder.storage.hrefs import opened_regular

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from numpy.typing import NDArray

_MAGIC = b"PAR1"
_MOST = 64
"""Groups of a file of which it is known where their pages lie: 120 kB each of BigEarthNet's."""
_MOST_AT_ONCE = 64  # pages whose bytes are copied

# Numbers of the format, by Arrow's names:
# https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
_TYPES = {"BOOLEAN": 0, "INT32": 1, "INT64": 2, "INT96": 3, "FLOAT": 4, "DOUBLE": 5}
_TYPES |= {"BYTE_ARRAY": 6, "FIXED_LEN_BYTE_ARRAY": 7}
_ZSTD, _ZSTD_START = 6, b"\x28\xb5\x2f\xfd"  # what the builder packs pages with
_STRUCT, _TEXT, _INT = 12, 8, 5
_MOST_VALUES = 2**31 - 1
_HEADER = 2**14  # bytes of the header of a page, with its statistics
_PLAIN = 64  # more than a header without them has

_NUMBER = rb"[\x80-\xff]{0,4}[\x00-\x7f]"
_PLAIN_HEADER = re.compile(
    rb"\x15\x00\x15" + _NUMBER + rb"\x15(" + _NUMBER + rb")\x2c\x15(" + _NUMBER + rb")"
    rb"\x15.\x15\x06\x15\x06(?:\x1c\x00)?\x00\x00",
    re.DOTALL,
)
"""The header of a page of data without statistics; it is read in a tenth of the time."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """What the footers of a file's small files have in common."""

    before: bytes
    """Its version and columns."""
    after: bytes
    """What comes after the groups."""
    flat: tuple[bool, ...]
    """Whether a column has one value in each row."""
    paths: tuple[str, ...]
    """Columns by their names, those in structs and lists with dots."""

    @classmethod
    def of(cls, file: pq.ParquetFile) -> _Frame | None:
        """Those of an open file; None where Arrow would write its columns in another way."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(sink, file.schema_arrow.remove_metadata()):
            pass
        empty = sink.getvalue()
        if not pq.read_schema(pa.BufferReader(empty)).equals(file.schema_arrow):
            return None
        columns = pq.ParquetFile(pa.BufferReader(empty)).schema
        if not columns.equals(file.schema):
            return None
        data = empty.to_pybytes()
        start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
        _, ends, end = fields_at(data, start)
        known = [columns.column(at) for at in range(len(columns))]
        return cls(
            data[start : ends[2]],
            data[ends[4] : end],
            tuple(column.max_repetition_level == 0 for column in known),
            tuple(column.path for column in known),
        )


@dataclass(frozen=True, slots=True)
class _GroupPages:
    """Where the pages of a group lie."""

    places: NDArray[np.int64]
    """Of each column where its pages of data begin, and the last one ends."""
    dictionaries: NDArray[np.int64]
    """Of each column where its dictionary begins, and where it ends: the same without one."""
    values: NDArray[np.int64]
    """How many values each page has."""
    heads: tuple[bytes, ...]
    """What the small file says of each column, up to the number of values."""


def few_pages(groups: Sequence[int], rows_of_page: int, numbers: NDArray[np.int64]) -> bool:
    """Whether these rows lie in so few pages that reading whole groups takes longer.

    Args:
        groups: rows of each group of the file.
        rows_of_page: rows of each page but the last one of a group.
        numbers: row numbers in the file.
    """
    hit = len(np.flatnonzero(np.bincount(numbers // rows_of_page, minlength=1)))
    touched = np.bincount(np.searchsorted(np.cumsum(groups), numbers, side="right"), minlength=1)
    whole = sum(groups[group] for group in np.flatnonzero(touched).tolist())
    return 0 < hit <= _MOST_AT_ONCE and 2 * hit * rows_of_page <= whole


class RowPages:
    """The pages of a file that stays as it is; safe to share among threads.

    Args:
        rows_of_page: rows of each page but the last one of a group.
        groups: rows of each group.
        frame: what small files have in common.
    """

    def __init__(self, rows_of_page: int, groups: Sequence[int], frame: _Frame) -> None:
        self._rows = rows_of_page
        self._groups = tuple(groups)
        self._ends = np.cumsum(groups)
        self._frame = frame
        self._known: dict[int, _GroupPages | None] = {}

    @classmethod
    def of(cls, file: pq.ParquetFile, rows_of_page: int) -> RowPages | None:
        """Those of an open file, whose pages are said to have so many rows."""
        frame = _Frame.of(file)
        if frame is None:
            return None
        footer = file.metadata
        groups = [footer.row_group(at).num_rows for at in range(footer.num_row_groups)]
        return cls(rows_of_page, groups, frame)

    def learn(self, place: str, file: pq.ParquetFile, numbers: NDArray[np.int64]) -> None:
        """Looks where the pages of the groups of these rows lie, of an open file at a path."""
        with _opened(place) as data:
            unknown = self.unknown(numbers)
            is_sound = _is_sound(file, unknown)
            for group in unknown:
                if len(self._known) >= _MOST:
                    self._known.clear()
                said = file.metadata.row_group(group)
                pages = _pages_of(data, said, self._frame, self._rows) if is_sound else None
                self._known[group] = pages

    def unknown(self, numbers: NDArray[np.int64]) -> list[int]:
        """The groups of these rows of which it is not known where their pages lie."""
        return [group for group in self._touched(numbers) if group not in self._known]

    def rows(
        self, place: str, numbers: NDArray[np.int64], leaves: Sequence[str]
    ) -> tuple[pa.Table, NDArray[np.int64]] | None:
        """The rows, as `parquet_rows.rows_at` gives them; None if their pages are of other rows.

        Args:
            place: path of the file.
            numbers: row numbers in the file, counted from 0, int64 of shape (row,), in any order.
                It must be known where the pages of their groups lie.
            leaves: columns, or fields of columns with dots, that are read.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        known = {group: self._known.get(group) for group in self._touched(numbers)}
        if not known:
            return None
        groups = np.searchsorted(self._ends, numbers, side="right")
        chosen = self._chosen(leaves)
        small = _SmallFile(self._frame)
        at = np.empty(len(numbers), np.int64)
        done = 0
        with _opened(place) as data:
            for group, pages in known.items():
                if pages is None:
                    return None
                here = groups == group
                own = numbers[here] - (self._ends[group] - self._groups[group])
                hit = np.flatnonzero(np.bincount(own // self._rows))
                counts = np.minimum(self._rows, self._groups[group] - hit * self._rows)
                firsts = np.cumsum(counts) - counts
                page = np.searchsorted(hit, own // self._rows)
                at[here] = done + firsts[page] + own % self._rows
                done += int(counts.sum())
                small.add(data, pages, hit, int(counts.sum()), chosen)
        with pq.ParquetFile(pa.BufferReader(small.bytes())) as file:
            table = file.read(list(leaves), use_threads=False)
        if len(table) != done:
            return None
        return table.take(as_arrow(at)), np.arange(len(numbers))

    def _touched(self, numbers: NDArray[np.int64]) -> list[int]:
        groups = np.searchsorted(self._ends, numbers, side="right")
        return np.flatnonzero(np.bincount(groups, minlength=1)).tolist()

    def _chosen(self, leaves: Sequence[str]) -> list[int]:
        """The numbers of the columns that are these leaves or lie in them."""
        exact, within = set(leaves), tuple(f"{leaf}." for leaf in leaves)
        return [
            at
            for at, path in enumerate(self._frame.paths)
            if path in exact or path.startswith(within)
        ]


class _SmallFile:
    """A Parquet file of pages of another."""

    def __init__(self, frame: _Frame) -> None:
        self._frame = frame
        self._parts = [_MAGIC]
        self._size = len(_MAGIC)
        self._groups: list[bytes] = []
        self._rows = 0

    def add(
        self,
        data: _Bytes,
        pages: _GroupPages,
        hit: NDArray[np.int64],
        rows: int,
        chosen: Sequence[int],
    ) -> None:
        """Adds a group of those of its pages that were ``hit``, with the ``chosen`` columns.

        The other columns are said to be empty.
        """
        runs = np.split(hit, np.flatnonzero(np.diff(hit) > 1) + 1)
        ends = np.array([(run[0], run[-1] + 1) for run in runs])
        starts, stops = (pages.places[:, ends[:, at]].tolist() for at in (0, 1))
        dictionaries = pages.dictionaries.tolist()
        values = pages.values[:, hit].sum(axis=1).tolist()
        start = self._size
        columns = [head + _EMPTY for head in pages.heads]
        for at in chosen:
            place = self._size
            first, end = dictionaries[at]
            self._take(data, first, end)
            dictionary = integer(place) if end > first else None
            at_data = self._size
            for one, other in zip(starts[at], stops[at], strict=True):
                self._take(data, one, other)
            columns[at] = pages.heads[at] + _column_end(
                values[at], self._size - place, at_data, dictionary
            )
        size = integer(self._size - start)
        self._groups.append(
            # columns, bytes, rows
            b"\x19"
            + list_of(_STRUCT, len(columns))
            + b"".join(columns)
            + b"\x16"
            + size
            + b"\x16"
            + integer(rows)
            + b"\x00"
        )
        self._rows += rows

    def _take(self, data: _Bytes, first: int, end: int) -> None:
        if end > first:
            self._parts.append(data.all(first, end - first))
            self._size += end - first

    def bytes(self) -> bytes:
        """The file."""
        footer = b"".join(
            (
                self._frame.before,
                b"\x16",
                integer(self._rows),
                b"\x19",
                list_of(_STRUCT, len(self._groups)),
                *self._groups,
                self._frame.after,
            )
        )
        return b"".join((*self._parts, footer, len(footer).to_bytes(4, "little"), _MAGIC))


def _column_end(values: int, size: int, place: int, dictionary: bytes | None) -> bytes:
    """What the small file says of a column, from the number of values on."""
    sizes = integer(size)
    return b"".join(
        (
            b"\x16",
            integer(values),
            b"\x16",
            sizes,  # uncompressed, which nobody asks for
            b"\x16",
            sizes,
            b"\x26",  # a field further
            integer(place),
            b"" if dictionary is None else b"\x26" + dictionary,
            b"\x00\x00",
        )
    )


_EMPTY = _column_end(0, 0, len(_MAGIC), None)


def as_arrow(numbers: NDArray[np.int64]) -> pa.Array:
    """The numbers, not copied; ``pyarrow.array`` would import pandas, which takes longer."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(numbers)])


class _Bytes:
    """The bytes of an open file. It is not mapped, as a file that is cut short meanwhile would end
    the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def some(self, at: int, most: int) -> bytes:
        """So many bytes from a place on; fewer at the end."""
        return os.pread(self._descriptor, most, at)

    def all(self, at: int, size: int) -> bytes:
        """So many bytes from a place on.

        Raises:
            ValueError: there are fewer.
        """
        found = self.some(at, size)
        if len(found) != size:
            raise ValueError("the file ends too early")
        return found


@contextmanager
def _opened(place: str) -> Iterator[_Bytes]:
    descriptor = opened_regular(place)
    try:
        yield _Bytes(descriptor)
    finally:
        os.close(descriptor)


# --- where pages lie ------------------------------------------------------------------------------


class _ReachedError(Exception):
    """Arrow found no fault in the footer, and asked for bytes of the file."""


class _NoBytes:
    """A file that cannot be read, and is said to be large enough for any footer."""

    closed = False

    def read(self, _size: int = -1) -> bytes:
        raise _ReachedError

    def seek(self, at: int, _whence: int = 0) -> int:
        return at

    def tell(self) -> int:
        return 2**40

    def close(self) -> None:
        """There is nothing to close."""


def _is_sound(file: pq.ParquetFile, groups: Sequence[int]) -> bool:
    """Whether Arrow makes out what is said of the columns of these groups.

    Its readers raise an error where it does not; but asked for a column's metadata, it ends the
    process. So a reader is asked first, which comes as far as the bytes. For the same reason
    nothing asks for `compression`, which readers look at later.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    nothing = pa.PythonFile(_NoBytes(), "r")
    try:
        reader = pq.ParquetFile(nothing, metadata=file.metadata, pre_buffer=True)
        reader.read_row_groups(list(groups), use_threads=False)
    except _ReachedError:
        return True
    except (OSError, ValueError, pa.ArrowException):
        return False
    return False


def _pages_of(
    data: _Bytes, group: pq.RowGroupMetaData, frame: _Frame, rows_of_page: int
) -> _GroupPages | None:
    """Where the pages of a group lie; None if they have other numbers of rows, or are strange.

    How many rows the values in lists belong to no header says; there must be as many pages.
    """
    count = -(-group.num_rows // rows_of_page)
    places, dictionaries, values, heads = [], [], [], []
    for at, flat in enumerate(frame.flat):
        column = group.column(at)
        first = column.data_page_offset
        if column.has_dictionary_page:
            first = min(first, column.dictionary_page_offset)
        try:
            found = _column_pages(data, first, column.total_compressed_size, count)
        except (ValueError, IndexError, RecursionError):  # bytes that are no pages
            return None
        if found is None or len(found.values) != count:
            return None
        if flat and found.values[:-1] != [rows_of_page] * (count - 1):
            return None
        places.append(found.places)
        dictionaries.append(found.dictionary)
        values.append(found.values)
        heads.append(_head(column))
    return _GroupPages(
        np.array(places, np.int64),
        np.array(dictionaries, np.int64),
        np.array(values, np.int64),
        tuple(heads),
    )


@dataclass(frozen=True, slots=True)
class _ColumnPages:
    places: list[int]
    dictionary: tuple[int, int]
    values: list[int]


def _column_pages(data: _Bytes, at: int, size: int, most: int) -> _ColumnPages | None:
    """The pages of a column of a group, which begin there and have so many bytes in all; None if
    they are strange, or more than ``most``.

    Raises:
        ValueError: there are no such pages.
        IndexError: a header has no end.
    """
    end = at + size
    places: list[int] = []
    values: list[int] = []
    dictionary = (0, 0)
    if not 0 < at <= end <= data.size:
        return None
    while at < end:
        start = at
        is_data, packed, count, at = _header_at(data, at)
        if data.some(at, len(_ZSTD_START)) != _ZSTD_START:
            return None
        at += packed
        if at > end or len(places) > most:
            return None
        if is_data:
            places.append(start)
            values.append(count)
        elif places or dictionary[1]:
            return None
        else:
            dictionary = (start, at)
    return _ColumnPages([*places, end], dictionary, values)


def _header_at(data: _Bytes, at: int) -> tuple[bool, int, int, int]:
    """Whether a page has data or a dictionary, its bytes and values, and where they begin."""
    plain = _PLAIN_HEADER.match(data.some(at, _PLAIN))
    if plain is not None:
        # integers as they are written, and never negative
        packed, count = (number_at(part, 0)[0] >> 1 for part in plain.groups())
        return True, packed, min(count, _MOST_VALUES), at + plain.end()
    fields, _, end = fields_at(data.some(at, _HEADER), 0)
    match fields:
        case {1: 0, 3: int(packed), 5: {1: int(count)}} if packed >= 0 and count >= 0:
            return True, packed, min(count, _MOST_VALUES), at + end
        case {1: 2, 3: int(packed)} if packed >= 0:
            return False, packed, 0, at + end
    raise ValueError("no page, or one of version 2, which these files do not have")


def _head(column: pq.ColumnChunkMetaData) -> bytes:
    """What the small file says of a column, up to the number of values.

    Encodings are those that each page says, and of the path Arrow asks nothing.
    """
    return b"".join(
        (
            b"\x26\x00\x1c",  # where the chunk's own description lies: nowhere; and that
            b"\x15",
            integer(_TYPES[column.physical_type]),
            b"\x19",
            list_of(_INT, 0),
            b"\x19",
            list_of(_TEXT, 1),
            text(column.path_in_schema.encode()),
            b"\x15",
            integer(_ZSTD),
        )
    )
