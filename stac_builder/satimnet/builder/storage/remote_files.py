"""Files in stores as Python's file objects, for libraries that want one: zipfile, pyarrow, DuckDB.

Reads are few and large: the end of the file, where zips and parquet files keep their directories,
comes as a whole; what is read piece by piece comes in blocks, which are kept for a while.
"""

from __future__ import annotations

import io
import threading
from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict, deque
from copy import copy
from typing import TYPE_CHECKING, Any, Self

from satimnet.builder.errors import SatimnetError
from satimnet.builder.storage.objects import Object, look, read, size_of
from satimnet.builder.storage.ranges import begin, look_at_parts
from satimnet.builder.storage.stores import SCHEMES, ChangedError, shown

if TYPE_CHECKING:
    from concurrent.futures import Future
    from datetime import datetime

    from fsspec import AbstractFileSystem

TAIL = 192 * 1024
"""Bytes at the end that come with the first request for any of them: the footer of an index of 77
columns and ten row groups has 141 kB."""
BLOCK = 256 * 1024
"""Bytes that are read where fewer are wanted."""
_KEPT = 64
"""Blocks of a file that are kept."""
_FIRST = 64 * 1024
"""Bytes of the first request for a large file, and of those that hop through it."""
_LONGEST = 8 * 1024 * 1024
"""Bytes of a request where reading goes forwards."""
_NEAR = 256 * 1024
"""Bytes that reading may leave out and still go forwards: less than a second request costs."""
_LARGE = 4 * 1024 * 1024
"""Bytes that are not kept when they are read together; indexed_gzip reads one MiB at a time."""
_ROOM = 72 * 1024 * 1024
"""Bytes of a large file that are kept: twice what lies between two seek points of a ``.tar.gz``, as
what reads labels is one behind what lists it."""


class RemoteFile(io.RawIOBase):
    """A file in a store, open for reading. Each thread opens its own, or a `copy` of one.

    Args:
        place: its URL.

    Raises:
        NotFoundError: nothing is there.
        StorageError: it cannot be read.
    """

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place
        self._content = _Content(place)
        self._at = 0

    @property
    def size(self) -> int:
        """In bytes."""
        return self._content.size

    def copy(self) -> Self:
        """The same file from its beginning; both share what was read of it."""
        other = copy(self)
        other._at = 0
        return other

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Where the next read begins, in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves to where the next read is to begin; returns that."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Reads into the buffer; returns how many bytes, 0 at the end of the file."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        """All that is left."""
        return self.read(-1)

    def read(self, size: int | None = -1) -> bytes:
        """So many bytes, or all that are left; fewer only at the end of the file."""
        left = max(0, self.size - self._at)
        size = left if size is None or size < 0 else min(size, left)
        data = self._content.range(self._at, size)
        self._at += len(data)
        return data


class FailingFile(RemoteFile):
    """A file that keeps the errors of its reading, for a library that makes texts of them.

    Args:
        place: its URL.
        errors: what they are added to.
    """

    def __init__(self, place: str, errors: deque[SatimnetError]) -> None:
        super().__init__(place)
        self._errors = errors

    def read(self, size: int | None = -1) -> bytes:
        """As `RemoteFile.read`."""
        try:
            return super().read(size)
        except SatimnetError as error:
            self._errors.append(error)
            raise


class _Content:
    """What was read of a file; threads may share it."""

    def __init__(self, place: str) -> None:
        self.size = size_of(place)
        self._place = place
        self._tail_from = max(0, self.size - TAIL)
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        """By their number; -1 is the tail."""
        self._lock = threading.Lock()

    def range(self, first: int, size: int) -> bytes:
        """Bytes that are there."""
        if size == 0:
            return b""
        if first >= self._tail_from:
            at = first - self._tail_from
            return self._block(-1)[at : at + size]
        if size >= BLOCK:
            return read(self._place, first, size)
        start, end = first // BLOCK, (first + size - 1) // BLOCK
        data = b"".join(self._block(k) for k in range(start, end + 1))
        at = first - start * BLOCK
        return data[at : at + size]

    def _block(self, number: int) -> bytes:
        with self._lock:
            if number in self._blocks:
                self._blocks.move_to_end(number)
                return self._blocks[number]
        first = self._tail_from if number < 0 else number * BLOCK
        block = read(self._place, first, self.size - first if number < 0 else self._length(first))
        with self._lock:
            self._blocks[number] = block
            if len(self._blocks) > _KEPT:
                self._blocks.popitem(last=False)
        return block

    def _length(self, first: int) -> int:
        return min(BLOCK, self.size - first)


class SteadyFile(RemoteFile):
    """A large file in a store, such as an archive, that must stay the same while it is read.

    What is read forwards comes in requests that grow, and one of them ahead; where reading hops
    over much, as from header to header of a tar, they stay small.

    Args:
        place: its URL.

    Raises:
        NotFoundError: nothing is there.
        StorageError: it cannot be read, or changed since it was opened.
    """

    def __init__(self, place: str) -> None:
        io.RawIOBase.__init__(self)
        self.place = place
        self._content: _Content = _SteadyContent(place)
        self._at = 0
        self.failure: SatimnetError | None = None
        """The last error of reading, for whoever uses a library that makes another one of it."""

    def read(self, size: int | None = -1) -> bytes:
        """As `RemoteFile.read`."""
        try:
            return super().read(size)
        except SatimnetError as error:
            self.failure = error
            raise

    @property
    def about(self) -> Object:
        """What the store says of it."""
        assert isinstance(self._content, _SteadyContent)
        return self._content.about


class _SteadyContent(_Content):
    """What was read of a large file, in pieces of any size; threads may share it."""

    def __init__(self, place: str) -> None:
        head, self.about = look(place, 0, _FIRST)
        self.size = self.about.size
        self._place = place
        self._tail_from = max(0, self.size - TAIL)
        self._pieces: dict[int, bytes] = {}
        """By their first byte, oldest first."""
        self._starts: list[int] = []
        """The first bytes of the pieces, sorted."""
        self._kept = 0
        self._end = 0
        """Where the last piece ends that was read on the way forwards."""
        self._step = _FIRST
        self._ahead: tuple[int, int, Future[tuple[bytes, Object]]] | None = None
        self._lock = threading.Lock()
        if head:
            self._keep(0, head)
            self._end = len(head)

    def range(self, first: int, size: int) -> bytes:
        """Bytes that are there."""
        end, parts = first + size, []
        with self._lock:
            while first < end:
                start, piece = self._piece(first, end)
                parts.append(piece[first - start : end - start])
                first += len(parts[-1])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _piece(self, at: int, end: int) -> tuple[int, bytes]:
        """A piece in which the byte ``at`` is, and where it begins; bytes up to ``end`` follow."""
        number = bisect_right(self._starts, at)
        if number:
            start = self._starts[number - 1]
            if at < start + len(self._pieces[start]):
                return start, self._pieces[start]
        if at >= self._tail_from:
            return self._keep(self._tail_from, self._fetched(self._tail_from, self.size))
        if end - at >= _LARGE:  # the content of a member, which nobody reads twice
            following = self._starts[number] if number < len(self._starts) else end
            return at, self._fetched(at, min(end, following))
        return self._keep(*self._forwards(at, end))

    def _forwards(self, at: int, end: int) -> tuple[int, bytes]:
        """The next piece, larger each time where reading goes on near the last one."""
        on = 0 <= at - self._end <= _NEAR
        if self._ahead is not None:
            first, size, future = self._ahead
            self._ahead = None
            if first <= at < first + size:
                data = self._checked(first, size, *future.result())
                self._end = first + size
                self._look_ahead()
                return first, data
        self._step = min(2 * self._step, _LONGEST) if on else _FIRST
        size = min(max(self._step, end - at), self.size - at)
        data = self._fetched(at, at + size)
        self._end = at + size
        if self._step == _LONGEST:
            self._look_ahead()
        return at, data

    def _look_ahead(self) -> None:
        size = min(_LONGEST, self.size - self._end)
        if size > 0:
            self._ahead = self._end, size, begin(look, self._place, self._end, size)

    def _fetched(self, first: int, end: int) -> bytes:
        return self._checked(first, end - first, *look_at_parts(self._place, first, end - first))

    def _checked(self, first: int, size: int, data: bytes, about: Object) -> bytes:
        if about.stamp != self.about.stamp or len(data) != size:
            raise ChangedError(f"{shown(self._place)}: changed while it was read; start again")
        return data

    def _keep(self, start: int, data: bytes) -> tuple[int, bytes]:
        if start not in self._pieces:
            insort(self._starts, start)
        else:
            self._kept -= len(self._pieces.pop(start))
        self._pieces[start] = data
        self._kept += len(data)
        while self._kept > _ROOM and len(self._pieces) > 1:
            oldest = next(iter(self._pieces))
            self._kept -= len(self._pieces.pop(oldest))
            del self._starts[bisect_left(self._starts, oldest)]
        return start, data


def files_by_ranges() -> AbstractFileSystem:
    """A file system for DuckDB, which would have to download an extension to read from stores.

    DuckDB opens a file several times in a query; here all that share what was read. A path is never
    a pattern. Its ``errors`` are the last that it raised: DuckDB makes texts of them.
    """
    from datetime import UTC, datetime, timedelta

    from fsspec import AbstractFileSystem

    long_ago = datetime.now(UTC) - timedelta(days=1)  # DuckDB does not cache what is fresh

    class FilesByRanges(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
        protocol = SCHEMES
        cachable = False

        def __init__(self) -> None:
            super().__init__()
            self.errors: deque[SatimnetError] = deque(maxlen=100)
            self._known: dict[str, RemoteFile] = {}
            self._lock = threading.Lock()

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return path

        def _file(self, place: str) -> RemoteFile:
            try:
                with self._lock:
                    if place not in self._known:
                        self._known[place] = FailingFile(place, self.errors)
                    return self._known[place]
            except SatimnetError as error:
                self.errors.append(error)
                raise

        def open(self, path: str, *_: Any, **__: Any) -> RemoteFile:
            return self._file(path).copy()

        def info(self, path: str, **_: Any) -> dict[str, Any]:
            return {"name": path, "size": self._file(path).size, "type": "file"}

        def exists(self, path: str, **_: Any) -> bool:
            try:
                self._file(path)
            except FileNotFoundError:
                return False
            return True

        def glob(self, path: str, **_: Any) -> list[str]:
            return [path]

        def modified(self, path: str) -> datetime:
            return long_ago  # and not changed since: an index is a catalog at one moment

    return FilesByRanges()
