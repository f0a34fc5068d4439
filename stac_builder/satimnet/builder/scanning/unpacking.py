"""Unpacking: inflates archives that cannot be read in place, up to a limit.

Parts of files and compressed streams come in. Files in a folder of the build go out, or streams to
read forwards.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import lzma
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import IO, Literal, Protocol, cast

from satimnet.builder.errors import BadFileError, StorageError
from satimnet.builder.scanning.containers import Containers
from satimnet.builder.storage.atomic_files import writing

SEEK_POINT_SPACING = 32 * 2**20
"""Bytes between seek points of 32 KiB each: 0.1 % of the uncompressed archive."""

ENDLESS = 2**62
"""The size of a file whose size is not known."""

BLOCK = 2**20
"""Bytes that are read or inflated at a time, about."""

_MAX_UNPACKED = 2**30  # bytes unpacked from an archive, however small it is,
_MAX_RATIO = 1000  # and those for each byte of it; deflate has no larger ratio
_XZ_MEMORY = 2**28  # bytes; the strongest preset of xz needs 65 MiB

_UNPACKED = ".unpacked"

Form = Literal["zip", "tar", "gz", "bz2", "xz", "zst"]
"""What the first bytes of an archive say that it is."""


class Unpacking:
    """Where archives that cannot be read in place are unpacked to.

    Without ``folder``, that is a temporary one, which `close` removes. With ``listing_only``,
    compressed tars are read as streams, and their entries are ``packed``.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        listing_only: bool = False,
        containers: Containers | None = None,
    ) -> None:
        self.listing_only = listing_only or folder is None
        self.containers = Containers() if containers is None else containers
        self.kept = folder
        self._folder = folder

    def close(self) -> None:
        """Removes the temporary folder."""
        if self._folder is not None and self.kept is None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def unpacked(self, archive: str, state: object, chunks: Iterator[bytes]) -> Path:
        """The file with these bytes; made anew unless ``state`` is that of an earlier run.

        Raises:
            StorageError: there is no room for it.
        """
        if self._folder is None:
            self._folder = Path(mkdtemp(prefix="satimnet-"))
        path = self._folder / f"{_digest(repr((archive, state)))}{_UNPACKED}"
        if path.exists():
            return path
        written = 0
        try:
            with writing(path) as part, part.open("wb") as file:
                for chunk in chunks:
                    written += len(chunk)
                    file.write(chunk)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise StorageError(
                f"{archive}: unpacking it needs more than {written / 2**20:,.0f} MiB of room in "
                f"{self._folder}; make room, or unpack it elsewhere and give the folder"
            ) from error
        return path


def is_unpacked(container: str) -> bool:
    """Whether the container is what an archive was unpacked to."""
    return container.endswith(_UNPACKED)


class Limit:
    """How many more bytes may be unpacked from an archive and from those inside it."""

    def __init__(self, size: int) -> None:
        self._left = _MAX_UNPACKED + _MAX_RATIO * size

    def counted(self, chunks: Iterator[bytes], archive: str) -> Iterator[bytes]:
        """The pieces; refuses those beyond the limit."""
        for chunk in chunks:
            self.take(len(chunk), archive)
            yield chunk

    def take(self, size: int, archive: str) -> None:
        """Counts bytes, and raises `BadFileError` beyond the limit."""
        self._left -= size
        if self._left < 0:
            raise BadFileError(
                archive, "unpacks to more than any dataset does; get it from its publisher"
            )


def index_path(indexes: Path, container: str, stamp: int) -> Path:
    """Where the seek points of the ``.tar.gz`` with this stamp are kept."""
    return indexes / f"{_digest(f'{container} {stamp}')}.gzidx"


def listing_path(indexes: Path, *archive: object) -> Path:
    """Where the listing of a tar is kept, by all that it depends on."""
    return indexes / f"{_digest(repr(archive))}.listing"


def _digest(text: str) -> str:
    """A short name for a file that stands for the text."""
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:16]


# --- streams ------------------------------------------------------------------------------------


class Window:
    """A part of a file as a file of its own, of which no more is read than a header may have."""

    closed = False

    def __init__(self, file: IO[bytes], start: int, size: int, most: int = ENDLESS) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._at = 0
        self._most = self._left = most

    def renew(self) -> None:
        """What was read so far no longer counts."""
        self._left = self._most

    def block(self, at: int) -> bytes:
        """A block of a tar."""
        if at + tarfile.BLOCKSIZE > self._size:
            return b""
        self._file.seek(self._start + at)
        return self._file.read(tarfile.BLOCKSIZE)

    def read(self, size: int = -1) -> bytes:
        """So many bytes, or all; fewer at the end."""
        rest = max(0, self._size - self._at)
        size = rest if size < 0 else min(size, rest)
        self._left -= size
        if self._left < 0:
            raise ValueError(f"a header of more than {self._most} bytes")
        self._file.seek(self._start + self._at)
        data = self._file.read(size)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Goes to a place of the part."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("a place before the beginning")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """The place in the part."""
        return self._at

    def seekable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Leaves the file open."""


class Inflated:
    """A compressed stream that is read forwards, and a little back: enough for small files whose
    headers were read together."""

    BACK = 8 * 2**20
    """Bytes before the latest place that can be read again, besides a header."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = bytearray()
        self._start = 0  # of the buffer
        self._at = 0

    def seek(self, at: int) -> None:
        """Goes to a place."""
        self._at = at

    def passed(self, at: int) -> bool:
        """Whether a place cannot be read any more."""
        return at < self._start

    def read(self, size: int) -> bytes:
        """So many bytes; fewer at the end."""
        while self._start + len(self._buffer) < self._at + size:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            old = self._at - self.BACK - 2 * tarfile.BLOCKSIZE - self._start
            if old > self.BACK:  # rarely, as what stays is moved
                old = min(old, len(self._buffer))
                del self._buffer[:old]
                self._start += old
            self._buffer += chunk
        begin = self._at - self._start
        if begin < 0:
            raise ValueError("a place that was passed")
        data = bytes(memoryview(self._buffer)[begin : begin + size])
        self._at += len(data)
        return data


def inflate(form: Form, packed: Window) -> Iterator[bytes]:
    """The content of a compressed file, in pieces that are never empty.

    Raises:
        EOFError, LZMAError, OSError: it is damaged.
    """
    file = cast(IO[bytes], packed)
    if form == "bz2":
        yield from _inflate_streams(file, bz2.BZ2Decompressor)
    elif form == "xz":
        yield from _inflate_streams(file, partial(lzma.LZMADecompressor, memlimit=_XZ_MEMORY))
    elif form == "gz":
        with gzip.GzipFile(fileobj=file) as stream:
            yield from iter(partial(stream.read, BLOCK), b"")
    else:
        import pyarrow as pa

        with pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd") as stream:
            yield from iter(partial(stream.read, BLOCK), b"")


class _Decompressor(Protocol):
    """What bz2 and lzma have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def _inflate_streams(file: IO[bytes], new: Callable[[], _Decompressor]) -> Iterator[bytes]:
    """The streams of a file, one after the other; zeros may stand between and after them."""
    data = file.read(BLOCK)
    while data := data.lstrip(b"\0") or file.read(BLOCK).lstrip(b"\0"):
        decompressor = new()
        while not decompressor.eof:
            if not data and decompressor.needs_input:
                data = file.read(BLOCK)
                if not data:
                    raise EOFError("its end is missing")
            if found := decompressor.decompress(data, BLOCK):
                yield found
            data = b""
        data = decompressor.unused_data


def inflate_member(packed: Window) -> Iterator[bytes]:
    """The content of a deflated zip member."""
    inflater = zlib.decompressobj(-15)
    data = packed.read(BLOCK)
    while data and not inflater.eof:
        if found := inflater.decompress(data, BLOCK):
            yield found
        data = inflater.unconsumed_tail or packed.read(BLOCK)
    if not inflater.eof:
        yield inflater.flush()
