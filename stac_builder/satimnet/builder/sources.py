"""Sources: the files of a dataset as its publisher hands them out, read where they lie.

A source is a folder or an archive; archives that lie inside a folder or an archive are looked into
as well (see `satimnet.builder.scanning.archives`). It lies on this machine, in an object store,
where a prefix is a folder, or on a web server, where it must be an archive. Only regular files are
opened. Sources are untrusted: files beyond a limit are refused, and no more bytes are inflated than
the archive announces.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self, cast
from urllib.parse import unquote, urlsplit

from deflate import DeflateError, crc32, deflate_decompress

from satimnet.builder.errors import (
    ArgumentError,
    BadFileError,
    NotFoundError,
    StorageError,
    printable,
)
from satimnet.builder.scanning.archives import (
    ZIP_HEADER,
    archive_batches,
    zip_data_offset,
)
from satimnet.builder.scanning.containers import Containers, own_errors, require_same, stamp_of
from satimnet.builder.scanning.entries import (
    Batch,
    Entry,
    archive_folder,
    is_archive,
    is_junk,
    layout_path,
)
from satimnet.builder.scanning.gzip_streams import opened_gzip
from satimnet.builder.scanning.prefixes import in_order_of_folders
from satimnet.builder.scanning.reading_ahead import Ahead, can_be_ahead, span
from satimnet.builder.scanning.seek_points import seek_points
from satimnet.builder.scanning.tallies import Tally
from satimnet.builder.scanning.unpacking import Unpacking, index_path, is_unpacked
from satimnet.builder.storage.hrefs import is_url, is_web, opened_regular, readable
from satimnet.builder.storage.objects import Object, files_below, look
from satimnet.builder.storage.ranges import look_at_parts
from satimnet.builder.storage.stores import SizeError, address_of, shown

if TYPE_CHECKING:
    from types import TracebackType

    from satimnet.builder.storage.remote_files import SteadyFile

__all__ = ["MAX_FILE_SIZE", "MAX_SCENE_SIZE", "Entry", "Reader", "Source"]

MAX_FILE_SIZE = 2**29
"""Bytes of the largest file taken from a source by default; bombs are larger."""
MAX_SCENE_SIZE = 2**32
"""Bytes of pixels that an image may have by default: 37,000 pixels a side of RGB."""
_READ_AT_ONCE = 2**20
_MAX_CALL = 2**30  # bytes asked for at once: Linux gives at most 2,147,479,552, without an error

_MOST_DEFLATED = 1032  # times that deflate makes anything smaller
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

    paths: tuple[Path | str, ...]
    """Paths, and texts that are URLs."""
    indexes: Path | None = None
    """Folder for the seek points of ``.tar.gz`` archives, and for what has to be unpacked to be
    read, so that other processes find it. Without it, files in a ``.tar.zst`` (``.bz2``, ``.xz``)
    and in compressed archives inside others are listed, but cannot be read."""
    tally: Tally | None = field(default=None, compare=False)
    """Keeps account of the files that a scan lists and uses."""
    containers: Containers = field(default_factory=Containers, compare=False, repr=False)
    """The archives of stores that are open."""

    def entries(self) -> Iterator[Entry]:
        """All regular files, archives looked into, in a stable order.

        What operating systems leave behind (``__MACOSX``, ``Thumbs.db`` …) is not among them.

        Raises:
            NotFoundError: the source is missing.
            BadFileError: it is a broken or an unsafe archive, or no file at all.
            StorageError: it cannot be read, or there is no room to unpack it.
        """
        return chain.from_iterable(batch.made() for batch in self.batches())

    def batches(self) -> Iterator[Batch]:
        """The files of `entries`, many at a time: where paths tell enough, in half the time."""
        batches = self._batches(listing_only=False)
        return batches if self.tally is None else self.tally.counted(batches)

    def names(self) -> Iterator[str]:
        """The paths of `entries`; compressed tars are not unpacked for them."""
        return chain.from_iterable(batch.paths for batch in self._batches(listing_only=True))

    def reader(self, largest: int = MAX_FILE_SIZE) -> Reader:
        """A `Reader` of this source's entries, of ``largest`` bytes at most."""
        return Reader(self.indexes, self.take, largest, self.containers)

    def read(self, entry: Entry, largest: int = MAX_FILE_SIZE) -> bytes:
        """The bytes of one file; for many, keep a `reader`. Raises as `Reader.read` does."""
        with self.reader(largest) as reader:
            return reader.read(entry)

    def take(self, entry: Entry) -> None:
        """Says that a file is accounted for, so that the build does not name it as passed over.

        Files that are read, and those of samples and problems, need not be said.
        """
        if self.tally is not None:
            self.tally.take(entry)

    def _batches(self, *, listing_only: bool) -> Iterator[Batch]:
        """As `batches`; with ``listing_only``, compressed tars are not unpacked."""
        unpacking = Unpacking(self.indexes, listing_only=listing_only, containers=self.containers)
        try:
            for path in self.paths:
                for batch in self._batches_of(path, unpacking):
                    if batch.may_have_junk:
                        yield Batch.of(*(e for e in batch.made() if not is_junk(e.path)))
                    else:
                        yield batch
        finally:
            unpacking.close()

    def _batches_of(self, path: Path | str, unpacking: Unpacking) -> Iterator[Batch]:
        """The files of one of the paths."""
        if isinstance(path, str):
            yield from _batches_of_url(path, unpacking)
        elif path.is_dir():
            yield from self._folder_batches(path, unpacking)
        elif not path.exists():
            raise NotFoundError(f"{path}: no such file or folder; give a dataset's source")
        elif not path.is_file():
            raise BadFileError(str(path), "neither a file nor a folder; give a dataset's source")
        elif is_archive(layout_path(path.name)):
            yield from archive_batches(str(path), archive_folder(path.name), unpacking)
        else:  # one file alone: the folders above it may say what it is
            yield Batch.of(_file_entry(str(path), path.absolute().as_posix(), path.stat()))

    def _folder_batches(self, top: Path, unpacking: Unpacking) -> Iterator[Batch]:
        """The files in a folder, those of archives in it as well."""
        root = top.resolve()

        def walk(folder: str, prefix: str) -> Iterator[Batch]:
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
                    yield from archive_batches(entry.path, path, unpacking)
                else:
                    yield Batch.of(_file_entry(entry.path, prefix + entry.name, entry.stat()))

        yield from walk(str(top), "")

    def _pass(self, path: str, reason: str) -> None:
        """Notes a file that is not opened, and why."""
        if self.tally is not None:
            self.tally.passed[path] = reason


def source_place(given: str | os.PathLike[str]) -> Path | str:
    """The path of this machine, or the URL as a text without a slash at its end.

    Raises:
        SatimnetError: it is a URL that cannot be read, or no place at all.

    Example:
        >>> source_place("s3://bucket/eurosat/")
        's3://bucket/eurosat'
    """
    text = os.fspath(given)
    if is_url(text):
        url = readable(text)
        return url if is_web(url) else url.rstrip("/")
    if isinstance(given, Path) and is_url(text.replace(":/", "://", 1)):
        raise ArgumentError(
            f"{shown(text.replace(':/', '://', 1))}: a URL is no path; give it as a text", "sources"
        )
    readable(text)
    return Path(text)


def _batches_of_url(url: str, unpacking: Unpacking) -> Iterator[Batch]:
    """The files in an archive, or below a prefix of a store."""
    name = unquote(urlsplit(url).path) if is_web(url) else address_of(url).key
    name = name.rpartition("/")[2]
    if is_archive(layout_path(name)):
        try:
            yield from archive_batches(url, archive_folder(printable(name)), unpacking)
            return
        except NotFoundError:
            if is_web(url):
                raise
    elif is_web(url):
        raise StorageError(
            f"{shown(url)}: a web server cannot be listed; give the URL of an archive (.zip, .tar, "
            ".tar.gz)"
        )
    some = False
    for batch in _prefix_batches(url, unpacking):
        some = True
        yield batch
    if some:
        return
    address = address_of(url)
    try:  # one file alone, as on disk
        _, about = look(url, 0, 1) if address.key else (b"", None)
    except NotFoundError:
        about = None
    if about is None:
        raise NotFoundError(f"{shown(url)}: no such file or folder; give a dataset's source")
    yield Batch.of(_object_entry(about, f"/{address.key}"))


def _prefix_batches(url: str, unpacking: Unpacking) -> Iterator[Batch]:
    """The files below a prefix of a store, those of archives there as well."""
    top = f"{url}/"
    for path, found in in_order_of_folders(files_below(url), top):
        folder, slash, name = path.rpartition("/")
        if is_junk(name):
            continue
        if is_archive(layout_path(name)):
            prefix = printable(f"{folder}{slash}") + archive_folder(name)
            yield from archive_batches(found.place, prefix, unpacking)
        else:
            yield Batch.of(_object_entry(found, path))


def _object_entry(found: Object, path: str) -> Entry:
    """The entry of a file in a store."""
    path = layout_path(printable(path))
    return Entry(path, found.size, found.place, "file", 0, found.size, found.stamp)


class Reader:
    """Reads entries by their known place, keeping the containers open; one per thread.

    A file is in memory as a whole; while it is inflated out of a zip, what was stored is as well.
    Of files in stores, those that are expected are read ahead.

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
        containers: Containers | None = None,
    ) -> None:
        """A reader that has opened nothing yet.

        Args:
            indexes: as `Source.indexes`.
            noted: is called with every entry that is read.
            largest: bytes that an entry may have.
            containers: the archives of stores that are open.
        """
        self._indexes = indexes
        self._noted = noted
        self._largest = largest
        self._containers = Containers() if containers is None else containers
        self._ahead: Ahead | None = None
        self._stamps: dict[str, int] = {}
        self._descriptors: dict[str, int] = {}
        self._streams: dict[str, tuple[IO[bytes], SteadyFile | None]] = {}

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
        for stream, _ in self._streams.values():
            stream.close()
        if self._ahead is not None:
            self._ahead.close()
        self._descriptors.clear()
        self._streams.clear()

    def expect(self, entries: Iterable[Entry]) -> None:
        """Says which files will be read, in about this order: those of stores are read ahead."""
        wanted = (entry for entry in entries if entry.stored_size <= self._largest)
        self._ahead = Ahead(wanted)

    def read(self, entry: Entry) -> bytes:
        """The whole content of an entry.

        Raises:
            BadFileError: it cannot be read whole, or is not what its archive announces.
            StorageError: a store cannot be read, or the file there changed since it was scanned.
        """
        if self._noted is not None:
            self._noted(entry)
        try:
            data = self._read(entry)
        except SizeError as error:
            raise StorageError(
                f"{entry.label}: changed since it was scanned; build again"
            ) from error
        except StorageError:  # of a store, which is no fault of this one file
            raise
        except NotFoundError as error:
            raise StorageError(f"{entry.label}: is gone since the scan; build again") from error
        except FileNotFoundError as error:
            if not is_unpacked(entry.container):
                raise BadFileError(entry.label, error.strerror or str(error)) from error
            raise StorageError(
                f"{entry.where}: was unpacked where the build was started, and this worker does "
                "not see it; unpack it yourself and give the folder"
            ) from error
        except OSError as error:
            raise BadFileError(entry.label, error.strerror or str(error)) from error
        if len(data) != entry.size:
            raise BadFileError(entry.label, f"{len(data)} of {entry.size} bytes; truncated")
        return data

    def _read(self, entry: Entry) -> bytes:
        """The bytes of an entry, unchecked but for the limit and what a zip knows."""
        if entry.size > self._largest or entry.stored_size > self._largest:
            size = max(entry.size, entry.stored_size)
            raise BadFileError(
                entry.label,
                f"{size} bytes, over the limit {self._largest}; for images, max_scene_size sets it",
            )
        kind, container = entry.kind, entry.container
        if is_url(container) and kind in ("file", "zip", "tar"):
            return self._read_remote(entry)
        if kind == "zip":
            return self._read_zip(entry)
        if kind == "file":
            descriptor = opened_regular(container)
            try:
                return _read_at(descriptor, entry.size, 0)
            finally:
                os.close(descriptor)
        if kind == "packed":
            raise BadFileError(entry.label, "cannot be read inside its archive; unpack that first")
        if kind == "tar":
            return _read_at(self._descriptor(container), entry.size, entry.offset)
        stream, file = self._stream(entry)
        with own_errors(file):
            stream.seek(entry.offset)
            return stream.read(entry.size)

    def _read_remote(self, entry: Entry) -> bytes:
        """The bytes of a file that lies in a store, or in a zip or tar there."""
        if entry.stored_size == 0 and entry.kind != "zip":
            return b""
        known = self._ahead.take(entry) if self._ahead and can_be_ahead(entry) else None
        if known is not None:
            data, about = known
            # the checksums of a zip tell if it is another one, but would blame its publisher
            same = self._stamps.setdefault(entry.container, about.stamp)
            require_same(entry.container, same if entry.kind == "zip" else entry.stamp, about.stamp)
            if entry.kind != "zip":
                return data
            start = zip_data_offset(data[:ZIP_HEADER], 0)
            if start is not None and start + entry.stored_size <= len(data):
                return _inflated(entry, data[start : start + entry.stored_size])
        if entry.kind == "file":
            data, about = look_at_parts(entry.container, 0, entry.stored_size)
            require_same(entry.container, entry.stamp, about.stamp)
            return data
        file = self._containers.file(entry.container)
        if entry.kind == "zip":
            file.seek(entry.offset)
            return self._zip_content(entry, file.read(ZIP_HEADER), partial(_read_part, file))
        require_same(entry.container, entry.stamp, file.about.stamp)
        return _read_part(file, entry.size, entry.offset)

    def _read_zip(self, entry: Entry) -> bytes:
        """The bytes of a zip member, whose checksum is right."""
        descriptor = self._descriptor(entry.container)
        if entry.stored_size <= _READ_AT_ONCE:  # with the header before it, in one call
            found = os.pread(descriptor, span(entry), entry.offset)
            start = zip_data_offset(found, 0)
            if start is not None and start + entry.stored_size <= len(found):
                return _inflated(entry, found[start : start + entry.stored_size])
        header = os.pread(descriptor, ZIP_HEADER, entry.offset)
        return self._zip_content(entry, header, partial(_read_at, descriptor))

    def _zip_content(self, entry: Entry, header: bytes, read: Callable[[int, int], bytes]) -> bytes:
        """The bytes of a zip member, by its local header."""
        start = zip_data_offset(header, entry.offset)
        if start is None:
            raise BadFileError(entry.label, "no member where the archive's directory points")
        return _inflated(entry, read(entry.stored_size, start))

    def _descriptor(self, container: str) -> int:
        """The descriptor of a container; it stays open."""
        if container not in self._descriptors:
            self._descriptors[container] = opened_regular(container)
        return self._descriptors[container]

    def _stream(self, entry: Entry) -> tuple[IO[bytes], SteadyFile | None]:
        """The content of a ``.tar.gz``, which seeks by its index, and its file, if that is in a
        store; both stay open."""
        container = entry.container
        if container not in self._streams:
            remote = is_url(container)
            file = self._containers.file(container) if remote else None
            if file is not None:
                require_same(container, entry.stamp, file.about.stamp)
            stamp = entry.stamp if remote else stamp_of(container)
            index = index_path(self._indexes, container, stamp) if self._indexes else None
            if index is None or not index.exists():
                # many files are to be read here, by a worker that does not see the index
                index = None if self._ahead is None else seek_points(container, stamp)
            stream = opened_gzip(container, cast(IO[bytes], file), index)
            self._streams[container] = stream, file
        return self._streams[container]


def _inflated(entry: Entry, data: bytes) -> bytes:
    """The content of a zip member, of what is stored of it; its checksum is right."""
    if entry.method not in _ZIP_METHODS:
        raise BadFileError(entry.label, f"zip compression method {entry.method}; use deflate")
    if entry.method == zipfile.ZIP_DEFLATED:
        data = _undeflated(entry, data)
    if crc32(data) != entry.stamp:
        raise BadFileError(entry.label, "damaged in the archive (CRC-32 differs)")
    return data


def _undeflated(entry: Entry, data: bytes) -> bytes:
    """What a deflated zip member holds, of the size that the archive announces, or about."""
    if entry.size <= _MOST_DEFLATED * len(data):  # else the room for it would be made for nothing
        try:
            return bytes(deflate_decompress(data, entry.size))
        except DeflateError:
            pass  # libdeflate does not say what is wrong
    try:
        return zlib.decompressobj(-15).decompress(data, entry.size + 1)
    except zlib.error as error:
        raise BadFileError(entry.label, f"damaged in the archive ({error})") from error


def _read_at(descriptor: int, size: int, first: int) -> bytes:
    """So many bytes of a file from its byte ``first``; fewer where it ends before."""
    if size <= _MAX_CALL:
        return os.pread(descriptor, size, first)
    with open(descriptor, "rb", closefd=False) as file:  # reads on until it has all
        file.seek(first)
        return file.read(size)


def _read_part(file: SteadyFile, size: int, first: int) -> bytes:
    """So many bytes of a file in a store from its byte ``first``; fewer where it ends before."""
    file.seek(first)
    return file.read(size)


def _file_entry(file: str, path: str, stat: os.stat_result) -> Entry:
    """The entry of a file on disk."""
    path = layout_path(printable(path))
    return Entry(path, stat.st_size, file, "file", 0, stat.st_size, stat.st_mtime_ns)
