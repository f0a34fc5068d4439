"""Sources: the files of a dataset as its publisher hands them out, read where they lie.

A source is a folder or an archive; archives that lie inside a folder or an archive are looked into
as well (see `satimnet.builder.scanning.archives`). Only regular files are opened. Sources are
untrusted: files beyond a limit are refused, and no more bytes are inflated than the archive
announces.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from satimnet.builder.errors import BadFileError, NotFoundError, StorageError, printable
from satimnet.builder.scanning.archives import archive_entries, zip_data_offset
from satimnet.builder.scanning.entries import (
    Entry,
    archive_folder,
    is_archive,
    is_junk,
    layout_path,
)
from satimnet.builder.scanning.tallies import Tally
from satimnet.builder.scanning.unpacking import SEEK_POINT_SPACING, Unpacking, index_path
from satimnet.builder.storage.hrefs import open_regular

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["MAX_FILE_SIZE", "Entry", "Reader", "Source"]

MAX_FILE_SIZE = 2**29
"""Bytes of the largest file taken from a source by default; bombs are larger."""
_MAX_CALL = 2**30  # bytes asked for at once: Linux gives at most 2,147,479,552, without an error

_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Source:
    r"""What the publisher handed out: folders and archives, with a place for what is unpacked.

    Example:
        >>> import tempfile
        >>> from stactools.eurosat.miniature import write_miniature
        >>> source = Source(tuple(write_miniature(Path(tempfile.mkdtemp()), 1, bands=False)))
        >>> first = next(source.entries())
        >>> first.path
        'EuroSAT/2750/AnnualCrop/AnnualCrop_1.jpg'
        >>> source.read(first)[:2]  # as every JPEG begins
        b'\xff\xd8'
    """

    paths: tuple[Path, ...]
    indexes: Path | None = None
    """Folder for the seek points of ``.tar.gz`` archives, and for what has to be unpacked to be
    read, so that other processes find it. Without it, files in a ``.tar.zst`` (``.bz2``, ``.xz``)
    and in compressed archives inside others are listed, but cannot be read."""
    tally: Tally | None = field(default=None, compare=False)
    """Keeps account of the files that a scan lists and uses."""

    def entries(self) -> Iterator[Entry]:
        """All regular files, archives looked into, in a stable order.

        What operating systems leave behind (``__MACOSX``, ``Thumbs.db`` …) is not among them.

        Raises:
            NotFoundError: the source is missing.
            BadFileError: it is a broken or an unsafe archive, or no file at all.
            StorageError: it cannot be read, or there is no room to unpack it.
        """
        entries = self._entries(listing_only=False)
        return entries if self.tally is None else self.tally.counted(entries)

    def names(self) -> Iterator[str]:
        """The paths of `entries`; compressed tars are not unpacked for them."""
        return (entry.path for entry in self._entries(listing_only=True))

    def reader(self) -> Reader:
        """A `Reader` of this source's entries."""
        return Reader(self.indexes, self.take)

    def read(self, entry: Entry) -> bytes:
        """The bytes of one file; for many, keep a `reader`. Raises as `Reader.read` does."""
        with self.reader() as reader:
            return reader.read(entry)

    def take(self, entry: Entry) -> None:
        """Says that a file is accounted for, so that the build does not name it as passed over.

        Files that are read, and those of samples and problems, need not be said.
        """
        if self.tally is not None:
            self.tally.take(entry)

    def _entries(self, *, listing_only: bool) -> Iterator[Entry]:
        """As `entries`; with ``listing_only``, compressed tars are not unpacked."""
        unpacking = Unpacking(self.indexes, listing_only=listing_only)
        try:
            for path in self.paths:
                for entry in self._entries_of(path, unpacking):
                    if not is_junk(entry.path):
                        yield entry
        finally:
            unpacking.close()

    def _entries_of(self, path: Path, unpacking: Unpacking) -> Iterator[Entry]:
        """The files of one of the paths."""
        if path.is_dir():
            yield from self._folder_entries(path, unpacking)
        elif not path.exists():
            raise NotFoundError(f"{path}: no such file or folder; give a dataset's source")
        elif not path.is_file():
            raise BadFileError(str(path), "neither a file nor a folder; give a dataset's source")
        elif is_archive(layout_path(path.name)):
            yield from archive_entries(path, archive_folder(path.name), unpacking)
        else:  # one file alone: the folders above it may say what it is
            yield _file_entry(str(path), path.absolute().as_posix(), path.stat())

    def _folder_entries(self, top: Path, unpacking: Unpacking) -> Iterator[Entry]:
        """The files in a folder, those of archives in it as well."""
        root = top.resolve()

        def walk(folder: str, prefix: str) -> Iterator[Entry]:
            """The files below a folder, whose paths begin with ``prefix``."""
            try:
                with os.scandir(folder) as listed:
                    found = sorted(listed, key=lambda entry: entry.name)
            except OSError as error:
                raise StorageError(f"{folder}: {error.strerror}; make it readable") from error
            for entry in found:
                if is_junk(entry.name):
                    continue
                if entry.is_symlink():
                    target = Path(os.path.realpath(entry.path))  # a loop leads to itself
                    # a link must not bring in what lies outside the source, nor a folder twice
                    if not target.is_relative_to(root):
                        self._pass(entry.path, "a link out of the source; put in what it leads to")
                        continue
                    if target.is_dir():
                        continue
                if entry.is_dir():
                    yield from walk(entry.path, f"{prefix}{entry.name}/")
                elif not entry.is_file():
                    # a pipe would be waited for, a device has no end
                    self._pass(entry.path, "neither a file nor a folder")
                elif is_archive(layout_path(entry.name)):
                    path = prefix + archive_folder(entry.name)
                    yield from archive_entries(Path(entry.path), path, unpacking)
                else:
                    yield _file_entry(entry.path, prefix + entry.name, entry.stat())

        yield from walk(str(top), "")

    def _pass(self, path: str, reason: str) -> None:
        """Notes a file that is not opened, and why."""
        if self.tally is not None:
            self.tally.passed[path] = reason


class Reader:
    """Reads entries by their known place, keeping the containers open; one per thread.

    A file is in memory as a whole; while it is inflated out of a zip, what was stored is as well.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "label.txt")
        >>> _ = path.write_text("1 2 3")
        >>> with Reader() as reader:
        ...     [reader.read(entry) for entry in Source((path,)).entries()]
        [b'1 2 3']
    """

    def __init__(
        self,
        indexes: Path | None = None,
        noted: Callable[[Entry], None] | None = None,
        largest: int = MAX_FILE_SIZE,
    ) -> None:
        """A reader that has opened nothing yet.

        Args:
            indexes: as `Source.indexes`.
            noted: is called with every entry that is read.
            largest: bytes that an entry may have.
        """
        self._indexes = indexes
        self._noted = noted
        self._largest = largest
        self._descriptors: dict[str, int] = {}
        self._streams: dict[str, IO[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes every container."""
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        for stream in self._streams.values():
            stream.close()
        self._descriptors.clear()
        self._streams.clear()

    def read(self, entry: Entry) -> bytes:
        """The whole content of an entry.

        Raises:
            BadFileError: it cannot be read whole, or is not what its archive announces.
        """
        if self._noted is not None:
            self._noted(entry)
        try:
            data = self._read(entry)
        except OSError as error:
            raise BadFileError(entry.label, error.strerror or str(error)) from error
        if len(data) != entry.size:
            raise BadFileError(entry.label, f"{len(data)} of {entry.size} bytes; truncated")
        return data

    def _read(self, entry: Entry) -> bytes:
        """The bytes of an entry, unchecked but for the limit and what a zip knows."""
        if (size := max(entry.size, entry.stored_size)) > self._largest:
            raise BadFileError(
                entry.label,
                f"{size} bytes, over the limit {self._largest}; for images, max_scene_size sets it",
            )
        if entry.kind == "file":
            descriptor = _opened(entry.container)
            try:
                return _read_at(descriptor, entry.size, 0)
            finally:
                os.close(descriptor)
        if entry.kind == "zip":
            return self._read_zip(entry)
        if entry.kind == "packed":
            raise BadFileError(entry.label, "cannot be read inside its archive; unpack that first")
        if entry.kind == "tar":
            return _read_at(self._descriptor(entry.container), entry.size, entry.offset)
        stream = self._stream(entry.container)
        stream.seek(entry.offset)
        return stream.read(entry.size)

    def _read_zip(self, entry: Entry) -> bytes:
        """The bytes of a zip member, whose checksum is right."""
        descriptor = self._descriptor(entry.container)
        start = zip_data_offset(descriptor, entry.offset)
        if start is None:
            raise BadFileError(entry.label, "no member where the archive's directory points")
        data = _read_at(descriptor, entry.stored_size, start)
        if entry.method not in _ZIP_METHODS:
            raise BadFileError(entry.label, f"zip compression method {entry.method}; use deflate")
        if entry.method == zipfile.ZIP_DEFLATED:
            try:
                data = zlib.decompressobj(-15).decompress(data, entry.size + 1)
            except zlib.error as error:
                raise BadFileError(entry.label, f"damaged in the archive ({error})") from error
        if zlib.crc32(data) != entry.stamp:
            raise BadFileError(entry.label, "damaged in the archive (CRC-32 differs)")
        return data

    def _descriptor(self, container: str) -> int:
        """The descriptor of a container; it stays open."""
        if container not in self._descriptors:
            self._descriptors[container] = _opened(container)
        return self._descriptors[container]

    def _stream(self, container: str) -> IO[bytes]:
        """The content of a ``.tar.gz``, which seeks by its index; it stays open."""
        from indexed_gzip import IndexedGzipFile

        if container not in self._streams:
            index = index_path(self._indexes, container) if self._indexes else None
            self._streams[container] = IndexedGzipFile(
                container,
                spacing=SEEK_POINT_SPACING,
                index_file=str(index) if index and index.exists() else None,
            )
        return self._streams[container]


def _read_at(descriptor: int, size: int, first: int) -> bytes:
    """So many bytes of a file from its byte ``first``; fewer where it ends before."""
    if size <= _MAX_CALL:
        return os.pread(descriptor, size, first)
    with open(descriptor, "rb", closefd=False) as file:  # reads on until it has all
        file.seek(first)
        return file.read(size)


def _file_entry(file: str, path: str, stat: os.stat_result) -> Entry:
    """The entry of a file on disk."""
    path = layout_path(printable(path))
    return Entry(path, stat.st_size, file, "file", 0, stat.st_size, stat.st_mtime_ns)


def _opened(path: str) -> int:
    """The descriptor of a regular file: what the scan found may be a pipe by now."""
    with open_regular(path) as file:
        return os.dup(file.fileno())
