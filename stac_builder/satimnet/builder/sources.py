"""Sources: the files of a dataset as its publisher hands them out, never unpacked on disk.

A source is a folder, a ``.zip`` or a ``.tar(.gz)``; archives that lie inside a folder are looked
into as well. Archives are untrusted: names that would leave the archive, links and members beyond
`MAX_FILE_SIZE` are refused, and no more bytes are inflated than the archive announces.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, Self

from satimnet.builder.errors import BadFileError, SatimnetError, printable

if TYPE_CHECKING:
    from types import TracebackType

MAX_FILE_SIZE = 2**29
"""Bytes of the largest file taken from a source: no published scene comes near, bombs do."""

_ARCHIVE = re.compile(r"\.(zip|tar|tar\.gz|tgz)$", re.IGNORECASE)
_LONGEST = 500  # characters of a path in messages; archives may have 65,535
_DRIVE = re.compile(r"[A-Za-z]:")
# What zipfile and tarfile raise of damaged headers; the last of a version that zip will never have
_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error),
    *(ValueError, OverflowError, NotImplementedError),
)
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# name, size, modification time, checksum, kind, magic, prefix: IEEE Std 1003.1, pax, ustar
_TAR_HEADER = struct.Struct("100s24x12s12s8ss100x8s80x155s12x")
_SEEK_POINT_SPACING = 32 * 2**20  # a seek point holds 32 KiB: 0.1 % of the uncompressed archive


@dataclass(frozen=True, slots=True)
class Entry:
    """One regular file of a source, on disk or inside an archive."""

    path: str
    """Path inside the source, an archive being a folder of its name without the ending: what a
    dataset's layout is about. Escapes stand for what is not `printable`."""
    size: int
    """Bytes of the file itself (uncompressed)."""
    container: str
    """The file on disk that holds the bytes: the file itself, or its archive."""
    kind: Literal["file", "zip", "tar", "targz"]
    offset: int
    """Where the entry begins in its container: the zip's local header, the tar's data."""
    stored_size: int
    """Bytes it takes in its container (compressed, for zip)."""
    stamp: int
    """CRC-32 in zip, modification time elsewhere: changes when the file does."""
    method: int = 0
    """Compression method of a zip member (APPNOTE 4.4.5)."""
    member: str = ""
    """Path inside the archive."""

    @property
    def label(self) -> str:
        """How messages name the file: its path on disk, or ``archive.zip!member``."""
        text = self.container if self.kind == "file" else f"{self.container}!{self.member}"
        if len(text) > _LONGEST:
            text = f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 :]}"
        return printable(text)


@dataclass(frozen=True)
class Source:
    """What the publisher handed out: folders and archives, with a place for archive indexes."""

    paths: tuple[Path, ...]
    indexes: Path | None = None
    """Folder that keeps seek points of ``.tar.gz`` archives for the readers of other processes."""

    def entries(self) -> Iterator[Entry]:
        """All regular files, archives looked into, in a stable order.

        Raises:
            SatimnetError: the source is missing, unreadable, a broken or an unsafe archive.
        """
        for path in self.paths:
            if path.is_dir():
                yield from self._folder_entries(path)
            elif not path.exists():
                raise SatimnetError(f"{path}: no such file or folder; give a dataset's source")
            elif _ARCHIVE.search(path.name):
                yield from self._archive_entries(path, "")
            else:  # one file alone: the folders above it may say what it is
                yield _file_entry(str(path), path.absolute().as_posix(), path.stat())

    def reader(self) -> Reader:
        """A `Reader` of this source's entries."""
        return Reader(self.indexes)

    def read(self, entry: Entry) -> bytes:
        """The bytes of one file; for many, keep a `reader`. Raises as `Reader.read` does."""
        with self.reader() as reader:
            return reader.read(entry)

    def _folder_entries(self, top: Path) -> Iterator[Entry]:
        root = top.resolve()

        def walk(folder: str, prefix: str) -> Iterator[Entry]:
            try:
                with os.scandir(folder) as listed:
                    found = sorted(listed, key=lambda entry: entry.name)
            except OSError as error:
                raise SatimnetError(f"{folder}: {error.strerror}; make it readable") from error
            for entry in found:
                if entry.is_symlink():
                    target = Path(os.path.realpath(entry.path))  # a loop leads to itself
                    # a link must not bring in what lies outside the source, nor a folder twice
                    if target.is_dir() or not target.is_relative_to(root):
                        continue
                if entry.is_dir():
                    yield from walk(entry.path, f"{prefix}{entry.name}/")
                elif _ARCHIVE.search(entry.name):
                    yield from self._archive_entries(Path(entry.path), prefix)
                elif entry.is_file():
                    yield _file_entry(entry.path, prefix + entry.name, entry.stat())

        yield from walk(str(top), "")

    def _archive_entries(self, archive: Path, prefix: str) -> Iterator[Entry]:
        prefix += _ARCHIVE.sub("/", archive.name)
        try:
            if archive.suffix.lower() == ".zip":
                stat = archive.stat()
                yield from _zip_entries(archive, prefix, (stat.st_size, stat.st_mtime_ns))
            elif archive.suffix.lower() == ".tar":
                with tarfile.open(archive, "r:") as tar:
                    yield from _tar_entries(archive, prefix, tar, "tar")
            else:
                yield from self._targz_entries(archive, prefix)
        except _BROKEN as error:
            raise SatimnetError(
                f"{archive}: not a whole archive ({error}); download it again"
            ) from error
        except OSError as error:
            raise SatimnetError(f"{archive}: {error.strerror or error}") from error

    def _targz_entries(self, archive: Path, prefix: str) -> Iterator[Entry]:
        from indexed_gzip import IndexedGzipFile, ZranError

        try:
            with IndexedGzipFile(str(archive), spacing=_SEEK_POINT_SPACING) as stream:
                with tarfile.open(fileobj=stream, mode="r:") as tar:
                    yield from _tar_entries(archive, prefix, tar, "targz")
                if self.indexes is not None:
                    stream.build_full_index()
                    self.indexes.mkdir(parents=True, exist_ok=True)
                    stream.export_index(str(_index_path(self.indexes, str(archive))))
        except ZranError as error:
            raise SatimnetError(
                f"{archive}: not a whole archive ({error}); download it again"
            ) from error


class Reader:
    """Reads entries by their known place, keeping the containers open; one per thread."""

    def __init__(self, indexes: Path | None = None) -> None:
        self._indexes = indexes
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
        """Close every container."""
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
        try:
            data = self._read(entry)
        except OSError as error:
            raise BadFileError(entry.label, error.strerror or str(error)) from error
        if len(data) != entry.size:
            raise BadFileError(entry.label, f"{len(data)} of {entry.size} bytes; truncated")
        return data

    def _read(self, entry: Entry) -> bytes:
        if (size := max(entry.size, entry.stored_size)) > MAX_FILE_SIZE:
            raise BadFileError(entry.label, f"{size} bytes, over the limit {MAX_FILE_SIZE}")
        if entry.kind == "file":
            descriptor = os.open(entry.container, os.O_RDONLY)
            try:
                return os.read(descriptor, entry.size)
            finally:
                os.close(descriptor)
        if entry.kind == "zip":
            return self._read_zip(entry)
        if entry.kind == "tar":
            return os.pread(self._descriptor(entry.container), entry.size, entry.offset)
        stream = self._stream(entry.container)
        stream.seek(entry.offset)
        return stream.read(entry.size)

    def _read_zip(self, entry: Entry) -> bytes:
        # The local header repeats the name but may carry another extra field than the central
        # directory does, so only its own length fields tell where the data begins (APPNOTE 4.3.7).
        descriptor = self._descriptor(entry.container)
        header = os.pread(descriptor, 30, entry.offset)
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise BadFileError(entry.label, "no member where the archive's directory points")
        name_length, extra_length = struct.unpack_from("<HH", header, 26)
        start = entry.offset + 30 + name_length + extra_length
        data = os.pread(descriptor, entry.stored_size, start)
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
        if container not in self._descriptors:
            self._descriptors[container] = os.open(container, os.O_RDONLY)
        return self._descriptors[container]

    def _stream(self, container: str) -> IO[bytes]:
        from indexed_gzip import IndexedGzipFile

        if container not in self._streams:
            index = _index_path(self._indexes, container) if self._indexes else None
            self._streams[container] = IndexedGzipFile(
                container,
                spacing=_SEEK_POINT_SPACING,
                index_file=str(index) if index and index.exists() else None,
            )
        return self._streams[container]


def _file_entry(file: str, path: str, stat: os.stat_result) -> Entry:
    return Entry(printable(path), stat.st_size, file, "file", 0, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=2)
def _zip_entries(archive: Path, prefix: str, state: tuple[int, int]) -> tuple[Entry, ...]:
    """Members of the archive; kept, as it is first looked into and then scanned.

    ``state`` is its size and modification time.
    """
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
    entries = []
    for member in members:
        _refuse_unsafe(archive, member.orig_filename)
        mode = member.external_attr >> 16
        if member.is_dir() or (mode & 0o170000) == 0o120000:  # links are no data
            continue
        if member.flag_bits & 1:
            raise SatimnetError(
                f"{archive}: {member.filename[:_LONGEST]} is encrypted; give it decrypted"
            )
        entries.append(
            Entry(
                printable(prefix + member.filename),
                member.file_size,
                str(archive),
                "zip",
                member.header_offset,
                member.compress_size,
                member.CRC,
                member.compress_type,
                member.filename,
            )
        )
    return tuple(entries)


def _tar_entries(
    archive: Path, prefix: str, tar: tarfile.TarFile, kind: Literal["tar", "targz"]
) -> Iterator[Entry]:
    end = 0
    for member in _tar_members(tar):
        _refuse_unsafe(archive, member.name)
        if member.size < 0:  # reading so many bytes would be reading all
            raise ValueError(f"{member.size} bytes")
        end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        if not member.isreg() or member.issparse():
            continue  # links and devices are no data
        name = member.name.removeprefix("./")
        yield Entry(
            printable(prefix + name),
            member.size,
            str(archive),
            kind,
            member.offset_data,
            member.size,
            int(member.mtime),
            member=name,
        )
    # tarfile takes any end for the end; a whole archive has a block of zeros there (POSIX pax).
    stream = tar.fileobj
    if stream is not None and end:
        stream.seek(end)
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise SatimnetError(f"{archive}: not a whole archive (no end); download it again")


def _tar_members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    member = tar.next()
    while member is not None:
        # Those of BigEarthNet's 7.7 million files would take 8 GB; typeshed does not know them.
        tar.members.clear()  # type: ignore[attr-defined]
        yield member
        member = _plain_tar_member(tar) or tar.next()


def _plain_tar_member(tar: tarfile.TarFile) -> tarfile.TarInfo | None:
    """The next member, after the first one, if it is a file whose header says all (POSIX ustar).

    It is what tarfile makes of it, in a fraction of the time. None where anything is unusual,
    which is left to tarfile.
    """
    stream, start = tar.fileobj, tar.offset
    if stream is None or tar.pax_headers:  # those of the archive hold for what follows
        return None
    stream.seek(start)
    header = stream.read(tarfile.BLOCKSIZE)
    if len(header) < tarfile.BLOCKSIZE:
        return None
    fields = [field.partition(b"\0")[0] for field in _TAR_HEADER.unpack(header)]
    name, length, time, checksum, kind, magic, prefix = fields
    if kind != tarfile.REGTYPE or not magic.startswith(b"ustar"):
        return None
    try:
        size, mtime, expected = int(length, 8), int(time, 8), int(checksum, 8)
    except ValueError:  # numbers too large for digits
        return None
    if size < 0 or sum(header) - sum(header[148:156]) + 8 * ord(" ") != expected:
        return None
    path = b"/".join((prefix, name)) if prefix else name
    member = tarfile.TarInfo(path.decode(tar.encoding or "utf-8", tar.errors or "strict"))
    member.size, member.mtime = size, mtime
    member.offset, member.offset_data = start, start + tarfile.BLOCKSIZE
    tar.offset = member.offset_data + -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    return member


def _refuse_unsafe(archive: Path, name: str) -> None:
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or parts[0] == "" or _DRIVE.match(name) or "\0" in name:
        raise SatimnetError(
            f"{archive}: member {name[:_LONGEST]!r} would leave the archive; "
            "get it from its publisher"
        )


def _index_path(indexes: Path, container: str) -> Path:
    return indexes / f"{hashlib.sha256(os.fsencode(container)).hexdigest()[:16]}.gzidx"
