"""Archives: what lies in zips and tars, listed without unpacking them where that can be.

A file is what its first bytes say, whatever its name ends with. A member that is an archive is
looked into as well. Zips and plain tars are read where they are stored, at their place in the outer
file; a ``.tar.gz`` on disk through an index of seek points. What cannot be read at a place (a
``.tar.bz2``, ``.tar.xz`` or ``.tar.zst``, a compressed archive in another one) is unpacked once
into a folder of the build.

Archives are untrusted: names that would leave the archive and links are refused, headers have a
limit, and so has what is unpacked.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import lzma
import os
import re
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from tempfile import mkdtemp
from typing import IO, Literal, Protocol, cast

from satimnet.builder.errors import SatimnetError, printable
from satimnet.builder.scanning.entries import (
    Entry,
    archive_folder,
    is_archive,
    is_junk,
    layout_path,
    shortened,
)
from satimnet.builder.storage.atomic_files import writing
from satimnet.builder.storage.hrefs import open_regular

SEEK_POINT_SPACING = 32 * 2**20
"""Bytes between seek points of 32 KiB each: 0.1 % of the uncompressed archive."""

_DEEPEST = 3  # archives inside each other
_MAX_HEADERS = 2**18  # bytes of one tar member's headers; names and pax records have a few hundred
_MAX_DIRECTORY = 2**26  # bytes of the directory of a zip in another archive
_MAX_UNPACKED = 2**30  # bytes unpacked from an archive, however small it is,
_MAX_RATIO = 1000  # and those for each byte of it; deflate has no larger ratio
_BLOCK = 2**20
_XZ_MEMORY = 2**28  # bytes; the strongest preset of xz needs 65 MiB
_DRIVE = re.compile(r"[A-Za-z]:")

Form = Literal["zip", "tar", "gz", "bz2", "xz", "zst"]
_MAGIC: dict[bytes, Form] = {
    b"PK\3\4": "zip",
    b"PK\5\6": "zip",
    b"\x1f\x8b": "gz",
    b"BZh": "bz2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zst",
}
_FOREIGN_MAGIC = {b"7z\xbc\xaf\x27\x1c": "7-Zip", b"Rar!": "RAR"}

# What zipfile, tarfile and decompressors raise of damaged bytes; NotImplementedError is for a
# version that zip will never have
_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError),
    *(ValueError, OverflowError, NotImplementedError, RecursionError),
)
# name, size, modification time, checksum, kind, magic, prefix: IEEE Std 1003.1, pax, ustar
_TAR_HEADER = struct.Struct("100s24x12s12s8ss100x8s80x155s12x")
_ENDLESS = 2**62


@dataclass(frozen=True, slots=True)
class _Archive:
    """Where an archive lies."""

    name: str
    """How messages name it."""
    prefix: str
    """The folder that it counts as."""
    container: str
    start: int
    size: int
    depth: int = 1

    @property
    def origin(self) -> str:
        """What entries say of the archive; nothing if their container says it."""
        return "" if self.name == self.container else self.name


class Unpacking:
    """Where archives that cannot be read in place are unpacked to.

    Without ``folder``, that is a temporary one, which `close` removes. With ``listing_only``,
    compressed tars are read as streams, and their entries are ``packed``.
    """

    def __init__(self, folder: Path | None, *, listing_only: bool = False) -> None:
        self.listing_only = listing_only or folder is None
        self.kept = folder
        self._folder = folder

    def close(self) -> None:
        """Remove the temporary folder."""
        if self._folder is not None and self.kept is None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def unpacked(self, archive: str, state: object, chunks: Iterator[bytes]) -> Path:
        """The file with these bytes; made anew unless ``state`` is that of an earlier run.

        Raises:
            SatimnetError: there is no room for it.
        """
        if self._folder is None:
            self._folder = Path(mkdtemp(prefix="satimnet-"))
        path = self._folder / f"{_digest(repr((archive, state)))}.unpacked"
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
            raise SatimnetError(
                f"{archive}: unpacking it needs more than {written / 2**20:,.0f} MiB of room in "
                f"{self._folder}; make room, or unpack it elsewhere and give the folder"
            ) from error
        return path


class _Limit:
    """How many bytes may yet be unpacked from an archive, and from those inside it."""

    def __init__(self, size: int) -> None:
        self._left = _MAX_UNPACKED + _MAX_RATIO * size

    def counted(self, chunks: Iterator[bytes], archive: str) -> Iterator[bytes]:
        """The pieces, as far as the limit."""
        for chunk in chunks:
            self.take(len(chunk), archive)
            yield chunk

    def take(self, size: int, archive: str) -> None:
        """Refuses what is beyond the limit."""
        self._left -= size
        if self._left < 0:
            raise SatimnetError(
                f"{archive}: unpacks to more than any dataset does; get it from its publisher"
            )


def archive_entries(file: Path, prefix: str, unpacking: Unpacking) -> Iterator[Entry]:
    """The files in an archive on disk, those of archives inside it as well, in a stable order.

    Raises:
        SatimnetError: it cannot be read, is broken or unsafe.
    """
    try:
        size = file.stat().st_size
    except OSError as error:
        raise SatimnetError(f"{file}: {error.strerror}") from error
    archive = _Archive(str(file), prefix, str(file), 0, size)
    yield from _entries(archive, unpacking, _Limit(size))


def index_path(indexes: Path, container: str) -> Path:
    """Where the seek points of a ``.tar.gz`` are kept."""
    return indexes / f"{_digest(container)}.gzidx"


def zip_data_offset(descriptor: int, offset: int) -> int | None:
    """Where the data of a zip member begins, whose local header is at ``offset``; None without one.

    The local header repeats the name but may carry another extra field than the central directory
    does, so only its own length fields tell (APPNOTE 4.3.7).
    """
    header = os.pread(descriptor, 30, offset)
    if len(header) < 30 or header[:4] != b"PK\3\4":
        return None
    name_length, extra_length = struct.unpack_from("<HH", header, 26)
    return int(offset + 30 + name_length + extra_length)


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:16]


# --- one archive --------------------------------------------------------------------------------


def _entries(archive: _Archive, unpacking: Unpacking, limit: _Limit) -> Iterator[Entry]:
    try:
        with open_regular(archive.container) as file:
            yield from _listed(archive, file, unpacking, limit)
    except _BROKEN as error:
        raise SatimnetError(
            f"{archive.name}: not a whole archive ({error}); download it again"
        ) from error
    except OSError as error:
        # indexed_gzip, bz2 and Arrow raise it of damaged bytes, without a number
        broken = f"not a whole archive ({error}); download it again"
        raise SatimnetError(f"{archive.name}: {error.strerror or broken}") from error


def _listed(
    archive: _Archive, file: IO[bytes], unpacking: Unpacking, limit: _Limit
) -> Iterator[Entry]:
    window = _Window(file, archive.start, archive.size)
    form = _form(archive.name, window.read(tarfile.BLOCKSIZE))
    inside = partial(_inside, archive, unpacking, limit)
    if form == "zip":
        stat = os.fstat(file.fileno())
        for entry in _zip_entries(archive, (stat.st_size, stat.st_mtime_ns)):
            yield from inside(entry, file)
    elif form == "tar":
        for entry in _tar_entries(archive, file, "tar"):
            yield from inside(entry, file)
    elif form == "gz" and archive.depth == 1:
        from indexed_gzip import IndexedGzipFile

        with IndexedGzipFile(archive.container, spacing=SEEK_POINT_SPACING) as stream:
            for entry in _tar_entries(archive, stream, "targz"):
                yield from inside(entry, stream)
            if unpacking.kept is not None:
                stream.build_full_index()
                with writing(index_path(unpacking.kept, archive.container)) as part:
                    stream.export_index(str(part))
    else:
        window.seek(0)
        chunks = limit.counted(_inflate(form, window), archive.name)
        if unpacking.listing_only:
            inflated = cast(IO[bytes], _Inflated(chunks))
            for entry in _tar_entries(archive, inflated, "packed"):
                yield from inside(entry, inflated)
            return
        state = archive.start, archive.size, os.fstat(file.fileno()).st_mtime_ns
        path = unpacking.unpacked(archive.name, state, chunks)
        tar = replace(archive, container=str(path), start=0, size=path.stat().st_size)
        with path.open("rb") as unpacked:
            for entry in _tar_entries(tar, unpacked, "tar"):
                yield from inside(entry, unpacked)


def _form(name: str, head: bytes) -> Form:
    for magic, form in _MAGIC.items():
        if head.startswith(magic):
            return form
    for magic, kind in _FOREIGN_MAGIC.items():
        if head.startswith(magic):
            raise SatimnetError(f"{name}: is a {kind} archive; unpack it and give the folder")
    return "zip" if name.lower().endswith(".zip") and head[257:262] != b"ustar" else "tar"


def _inside(
    archive: _Archive, unpacking: Unpacking, limit: _Limit, entry: Entry, stream: IO[bytes]
) -> Iterator[Entry]:
    """The entry, or the files inside it if it is an archive; ``stream`` holds its bytes."""
    if not is_archive(entry.path) or archive.depth == _DEEPEST or is_junk(entry.path):
        yield entry
        return
    start: int | None = entry.offset
    if entry.kind == "zip":
        start = zip_data_offset(stream.fileno(), entry.offset)
        if start is None:
            raise SatimnetError(f"{entry.label}: no member where the archive's directory points")
    within = _Archive(
        entry.label,
        archive_folder(entry.path),
        entry.container,
        start or 0,
        entry.size,
        archive.depth + 1,
    )
    if entry.kind == "tar" or (entry.kind == "zip" and entry.method == zipfile.ZIP_STORED):
        limit.take(entry.size, entry.label)  # members may overlap, which makes many of one
        yield from _entries(within, unpacking, limit)
        return
    packed = _Window(stream, within.start, entry.stored_size)
    chunks = iter(partial(packed.read, _BLOCK), b"")
    if entry.kind == "zip":
        if entry.method != zipfile.ZIP_DEFLATED:
            raise SatimnetError(
                f"{entry.label}: zip compression method {entry.method}; unpack it first"
            )
        chunks = _inflate_member(packed)
    state = entry.stamp, entry.size, os.stat(entry.container).st_mtime_ns
    path = unpacking.unpacked(within.name, state, limit.counted(chunks, within.name))
    unpacked = replace(within, container=str(path), start=0, size=path.stat().st_size)
    for found in _entries(unpacked, unpacking, limit):
        yield found if unpacking.kept else replace(found, kind="packed")


# --- zip ----------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def _zip_entries(archive: _Archive, state: tuple[int, int]) -> tuple[Entry, ...]:
    """Members of the zip; kept, as it is first looked into and then scanned.

    ``state`` is size and modification time of its container.
    """
    most = _MAX_DIRECTORY if archive.depth > 1 else _ENDLESS
    with open_regular(archive.container) as file:
        window = _Window(file, archive.start, archive.size, most)
        with zipfile.ZipFile(cast(IO[bytes], window)) as opened:
            members = opened.infolist()
    entries = []
    for member in members:
        _refuse_unsafe(archive.name, member.orig_filename)
        mode = member.external_attr >> 16
        if member.is_dir() or (mode & 0o170000) == 0o120000:  # links are no data
            continue
        if member.flag_bits & 1:
            name = printable(shortened(member.filename))
            raise SatimnetError(f"{archive.name}: {name} is encrypted; give it decrypted")
        entries.append(
            Entry(
                layout_path(printable(archive.prefix + member.filename)),
                member.file_size,
                archive.container,
                "zip",
                archive.start + member.header_offset,
                member.compress_size,
                member.CRC,
                member.compress_type,
                member.filename,
                archive.origin,
            )
        )
    return tuple(entries)


# --- tar ----------------------------------------------------------------------------------------


def _tar_entries(
    archive: _Archive, stream: IO[bytes], kind: Literal["tar", "targz", "packed"]
) -> Iterator[Entry]:
    start, size = (archive.start, archive.size) if kind == "tar" else (0, _ENDLESS)
    window = _Window(stream, start, size, _MAX_HEADERS)
    prefix, container, origin = archive.prefix, archive.container, archive.origin
    end = 0
    with tarfile.open(fileobj=cast(IO[bytes], window), mode="r:") as tar:
        for member in tar_members(tar, window):
            name = member.name
            _refuse_unsafe(archive.name, name)
            if member.size < 0:  # reading so many bytes would be reading all
                raise ValueError(f"{member.size} bytes")
            end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            if not member.isreg() or member.issparse():
                continue  # links and devices are no data
            name = name.removeprefix("./")
            yield Entry(
                layout_path(printable(prefix + name)),
                member.size,
                container,
                kind,
                start + member.offset_data,
                member.size,
                int(member.mtime),
                0,
                name,
                origin,
            )
    # tarfile takes any end for the end; a whole archive has a block of zeros there (POSIX pax).
    if end:
        window.renew()
        window.seek(end)
        if window.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise SatimnetError(f"{archive.name}: not a whole archive (no end); download it again")


def tar_members(tar: tarfile.TarFile, window: _Window) -> Iterator[tarfile.TarInfo]:
    """The members of a tar, as tarfile reads them but faster; ``window`` is its file."""
    member = tar.next()
    while member is not None:
        # Those of BigEarthNet's 7.7 million files would take 8 GB; typeshed does not know them.
        tar.members.clear()  # type: ignore[attr-defined]
        yield member
        member = _plain_tar_member(tar, window)
        if member is None:
            window.renew()
            member = tar.next()


def _plain_tar_member(tar: tarfile.TarFile, window: _Window) -> tarfile.TarInfo | None:
    """The next member, after the first one, if it is a file whose header says all (POSIX ustar).

    It is what tarfile makes of it, in a fraction of the time. None where anything is unusual,
    which is left to tarfile.
    """
    if tar.pax_headers:  # those of the archive hold for what follows
        return None
    start = tar.offset
    header = window.block(start)
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
    # Sums of bytes, as the lower halves of Adler-32 (RFC 1950); those of 256 bytes do not overflow.
    halves = (zlib.adler32(header[:256]) & 0xFFFF) + (zlib.adler32(header[256:]) & 0xFFFF) - 2
    if size < 0 or halves - sum(header[148:156]) + 8 * ord(" ") != expected:
        return None
    path = b"/".join((prefix, name)) if prefix else name
    member = tarfile.TarInfo(path.decode(tar.encoding or "utf-8", tar.errors or "strict"))
    member.size, member.mtime = size, mtime
    member.offset, member.offset_data = start, start + tarfile.BLOCKSIZE
    tar.offset = member.offset_data + -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    return member


def _refuse_unsafe(archive: str, name: str) -> None:
    # the first test is quick, and true of almost every name
    if ".." in name or "\\" in name or name[:1] in ("", "/") or "\0" in name or name[1:2] == ":":
        parts = name.replace("\\", "/").split("/")
        if ".." in parts or parts[0] == "" or _DRIVE.match(name) or "\0" in name:
            raise SatimnetError(
                f"{archive}: member {name[:250]!r} would leave the archive; "
                "get it from its publisher"
            )


# --- streams ------------------------------------------------------------------------------------


class _Window:
    """A part of a file as a file of its own, of which no more is read than a header may have."""

    closed = False

    def __init__(self, file: IO[bytes], start: int, size: int, most: int = _ENDLESS) -> None:
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


class _Inflated:
    """A compressed stream that is read forwards, and a little back: enough for the headers."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = b""
        self._start = 0  # of the buffer
        self._at = 0

    def seek(self, at: int) -> None:
        """Goes to a place."""
        self._at = at

    def read(self, size: int) -> bytes:
        """So many bytes; fewer at the end."""
        while self._start + len(self._buffer) < self._at + size:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            old = min(len(self._buffer), max(0, self._at - 2 * tarfile.BLOCKSIZE - self._start))
            self._buffer = self._buffer[old:] + chunk
            self._start += old
        begin = self._at - self._start
        if begin < 0:
            raise ValueError("a place that was passed")
        data = self._buffer[begin : begin + size]
        self._at += len(data)
        return data


def _inflate(form: Form, packed: _Window) -> Iterator[bytes]:
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
            yield from iter(partial(stream.read, _BLOCK), b"")
    else:
        import pyarrow as pa

        with pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd") as stream:
            yield from iter(partial(stream.read, _BLOCK), b"")


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
    data = file.read(_BLOCK)
    while data := data.lstrip(b"\0") or file.read(_BLOCK).lstrip(b"\0"):
        decompressor = new()
        while not decompressor.eof:
            if not data and decompressor.needs_input:
                data = file.read(_BLOCK)
                if not data:
                    raise EOFError("its end is missing")
            if found := decompressor.decompress(data, _BLOCK):
                yield found
            data = b""
        data = decompressor.unused_data


def _inflate_member(packed: _Window) -> Iterator[bytes]:
    """The content of a deflated zip member."""
    inflater = zlib.decompressobj(-15)
    data = packed.read(_BLOCK)
    while data and not inflater.eof:
        if found := inflater.decompress(data, _BLOCK):
            yield found
        data = inflater.unconsumed_tail or packed.read(_BLOCK)
    if not inflater.eof:
        yield inflater.flush()
