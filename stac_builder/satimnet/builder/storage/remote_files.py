"""Files in stores as Python's file objects, for libraries that want one: zipfile, pyarrow, DuckDB.

Reads are few and large: the end of the file, where zips and parquet files keep their directories,
comes with the size in one request; what is read piece by piece comes in blocks.
"""

from __future__ import annotations

import io
from collections import OrderedDict

from satimnet.builder.storage.objects import read, read_end

TAIL = 192 * 1024
"""Bytes at the end that come with the first request: the footer of an index of 77 columns and ten
row groups has 141 kB."""
_BLOCK = 256 * 1024
_KEPT = 64
"""Blocks that are kept."""


class RemoteFile(io.RawIOBase):
    """A file in a store, open for reading. Not to be shared by threads.

    Args:
        place: its URL.
        tail: bytes at its end that are read at once.

    Raises:
        NotFoundError: nothing is there.
        StorageError: it cannot be read.
    """

    def __init__(self, place: str, *, tail: int = TAIL) -> None:
        super().__init__()
        self.place = place
        self._tail, self.size = read_end(place, tail)
        self._tail_from = self.size - len(self._tail)
        self._at = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

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
        data = self._range(self._at, size)
        self._at += len(data)
        return data

    def _range(self, first: int, size: int) -> bytes:
        if size == 0:
            return b""
        if first >= self._tail_from:
            at = first - self._tail_from
            return self._tail[at : at + size]
        if size >= _BLOCK:
            return read(self.place, first, size)
        start, end = first // _BLOCK, (first + size - 1) // _BLOCK
        data = b"".join(self._block(k) for k in range(start, end + 1))
        at = first - start * _BLOCK
        return data[at : at + size]

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        first = number * _BLOCK
        block = read(self.place, first, min(_BLOCK, self.size - first))
        self._blocks[number] = block
        if len(self._blocks) > _KEPT:
            self._blocks.popitem(last=False)
        return block
