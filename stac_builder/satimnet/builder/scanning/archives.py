"""Archives: the files in zips and tars, listed without unpacking where possible.

A file is what its first bytes say, whatever its name ends with. A member that is an archive is
looked into as well. Zips and plain tars are read where they are stored, at their place in the outer
file; a ``.tar.gz`` through an index of seek points. What cannot be read at a place (a
``.tar.bz2``, ``.tar.xz`` or ``.tar.zst``, a compressed archive in another one) is unpacked once
into a folder of the build.

Archives are untrusted: names that would leave the archive and links are refused, headers have a
limit, and so has what is unpacked.
"""

from __future__ import annotations

import lzma
import re
import struct
import tarfile
import threading
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import IO, Literal, cast

from satimnet.builder.errors import BadFileError, SatimnetError, StorageError, printable
from satimnet.builder.scanning.containers import own_errors, stamp_of, state_of
from satimnet.builder.scanning.entries import (
    Batch,
    Entry,
    archive_folder,
    is_archive,
    is_junk,
    layout_path,
    shortened,
)
from satimnet.builder.scanning.gzip_streams import Forwards, opened_gzip, write_seek_points
from satimnet.builder.scanning.tar_headers import PlainFiles, tar_members
from satimnet.builder.scanning.tar_listings import kept
from satimnet.builder.scanning.unpacking import (
    BLOCK,
    ENDLESS,
    Form,
    Inflated,
    Limit,
    Unpacking,
    Window,
    index_path,
    inflate,
    inflate_member,
    listing_path,
)
from satimnet.builder.storage.hrefs import is_url, open_regular
from satimnet.builder.storage.stores import shown

ZIP_HEADER = 30
"""Bytes of a local header of a zip whose length does not depend on anything."""
_DEEPEST = 3  # archives inside each other
_MAX_HEADERS = 2**18  # bytes of one tar member's headers; names and pax records have a few hundred
_MAX_DIRECTORY = 2**26  # bytes of the directory of a zip in another archive
_MAX_REMOTE_DIRECTORY = 2**31  # and in a store; BigEarthNet's 7.7 million files have 1.4 GB
_DRIVE = re.compile(r"[A-Za-z]:")
# What names have that may lead out of the archive, or begin with: almost no name
_SUSPICIOUS = ("..", "\\", ":")
_SUSPICIOUS_FIRST = frozenset(("", "/", ".", "\0"))
_COMMON = (".tif", ".jpg", ".png", ".json")  # endings that `layout_path` leaves
_new_entry = partial(tuple.__new__, Entry)  # faster than a call with all fields
_InTar = Literal["tar", "targz", "packed"]
"""How the files of a tar are read."""

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
    stamp: int | None = None
    """That of its container, if it is in a store."""

    @property
    def origin(self) -> str:
        """What entries say of the archive; nothing if their container says it."""
        return "" if self.name == shown(self.container) else self.name


def archive_batches(place: str | Path, prefix: str, unpacking: Unpacking) -> Iterator[Batch]:
    """The files in an archive, those of archives inside it as well, in a stable order.

    Args:
        place: path or URL of the archive.
        prefix: the folder that it counts as, with a slash.
        unpacking: where what cannot be read in place goes.

    Raises:
        NotFoundError: nothing is there, in a store.
        BadFileError: it is broken or unsafe.
        StorageError: it cannot be read, or there is no room to unpack it.
    """
    place = str(place)
    name = shown(place)
    with _one_line_errors(name), unpacking.containers.listed(place) as file:
        size, stamp = state_of(file)
        archive = _Archive(name, prefix, place, 0, size, stamp=stamp if is_url(place) else None)
        yield from _listed(archive, file, unpacking, Limit(size))


def zip_data_offset(header: bytes, offset: int) -> int | None:
    """Where the data of a zip member begins, whose local header is at ``offset``; None without one.

    The local header repeats the name but may carry another extra field than the central directory
    does, so only its own length fields tell (APPNOTE 4.3.7).

    Args:
        header: its first `ZIP_HEADER` bytes.
        offset: where they are.
    """
    if len(header) < ZIP_HEADER or header[:4] != b"PK\3\4":
        return None
    name_length, extra_length = struct.unpack_from("<HH", header, 26)
    return int(offset + ZIP_HEADER + name_length + extra_length)


# --- one archive --------------------------------------------------------------------------------


def _batches(archive: _Archive, unpacking: Unpacking, limit: Limit) -> Iterator[Batch]:
    """The files in an archive, wherever it lies."""
    with _one_line_errors(archive.name):
        if is_url(archive.container):  # with what was read of it on the way to here
            file = cast(IO[bytes], unpacking.containers.file(archive.container))
        else:
            file = open_regular(archive.container)
        with file:
            yield from _listed(archive, file, unpacking, limit)


@contextmanager
def _one_line_errors(name: str) -> Iterator[None]:
    """Raises what comes of damaged bytes as `BadFileError`, else `StorageError`."""
    try:
        yield
    except SatimnetError:
        raise
    except _BROKEN as error:
        raise BadFileError(name, f"not a whole archive ({error}); download it again") from error
    except OSError as error:
        # indexed_gzip, bz2 and Arrow raise it of damaged bytes, without a number
        if error.strerror is None:
            reason = f"not a whole archive ({error}); download it again"
            raise BadFileError(name, reason) from error
        raise StorageError(f"{name}: {error.strerror}") from error


def _listed(
    archive: _Archive, file: IO[bytes], unpacking: Unpacking, limit: Limit
) -> Iterator[Batch]:
    """The files in an archive whose container is open."""
    window = Window(file, archive.start, archive.size)
    form = _form(archive.name, window.read(tarfile.BLOCKSIZE))
    inside = partial(_inside, archive, unpacking, limit)
    if form == "zip":
        yield from inside([Batch.of(*_zip_entries(archive, file))], file)
    elif form == "tar":
        files = _kept(archive, file, unpacking, _tar_files(archive, file, "tar"))
        yield from inside(_tar_batches(archive, "tar", files), file)
    elif form == "gz" and archive.depth == 1:
        with own_errors(file):
            seeking = partial(
                opened_gzip, archive.container, file, _seek_points(archive, file, unpacking)
            )
            window.seek(0)
            chunks = limit.counted(inflate(form, window), archive.name)
            with Forwards(chunks, seeking) as forwards:
                stream = cast(IO[bytes], forwards)
                files = _kept(archive, file, unpacking, _gzip_files(archive, stream, unpacking))
                yield from inside(_tar_batches(archive, "targz", files), stream)
    else:
        window.seek(0)
        chunks = limit.counted(inflate(form, window), archive.name)
        if unpacking.listing_only:
            inflated = cast(IO[bytes], Inflated(chunks))
            files = _tar_files(archive, inflated, "packed")
            yield from inside(_tar_batches(archive, "packed", files), inflated)
            return
        state = archive.start, archive.size, state_of(file)[1]
        path = unpacking.unpacked(archive.name, state, chunks)
        tar = replace(archive, container=str(path), start=0, size=path.stat().st_size, stamp=None)
        with path.open("rb") as unpacked:
            files = _kept(tar, unpacked, unpacking, _tar_files(tar, unpacked, "tar"))
            yield from inside(_tar_batches(tar, "tar", files), unpacked)


def _form(name: str, head: bytes) -> Form:
    """What kind of archive begins with these bytes."""
    for magic, form in _MAGIC.items():
        if head.startswith(magic):
            return form
    for magic, kind in _FOREIGN_MAGIC.items():
        if head.startswith(magic):
            raise BadFileError(name, f"is a {kind} archive; unpack it and give the folder")
    return "zip" if name.lower().endswith(".zip") and head[257:262] != b"ustar" else "tar"


def _inside(
    archive: _Archive,
    unpacking: Unpacking,
    limit: Limit,
    batches: Iterable[Batch],
    stream: IO[bytes],
) -> Iterator[Batch]:
    """The files, and those inside of them that are archives; ``stream`` holds their bytes."""
    deep = archive.depth == _DEEPEST
    for batch in batches:
        if deep or not batch.may_have_archives:
            yield batch
            continue
        for entry in batch.made():
            if not is_archive(entry.path) or is_junk(entry.path):
                yield Batch.of(entry)
            else:
                yield from _inside_one(archive, unpacking, limit, entry, stream)


def _inside_one(
    archive: _Archive, unpacking: Unpacking, limit: Limit, entry: Entry, stream: IO[bytes]
) -> Iterator[Batch]:
    """The files inside an archive that is an entry of another."""
    start: int | None = entry.offset
    if entry.kind == "zip":
        stream.seek(entry.offset)
        start = zip_data_offset(stream.read(ZIP_HEADER), entry.offset)
        if start is None:
            raise BadFileError(entry.label, "no member where the archive's directory points")
    within = _Archive(
        entry.label,
        archive_folder(entry.path),
        entry.container,
        start or 0,
        entry.size,
        archive.depth + 1,
        archive.stamp,
    )
    if entry.kind == "tar" or (entry.kind == "zip" and entry.method == zipfile.ZIP_STORED):
        limit.take(entry.size, entry.label)  # members may overlap, which makes many of one
        yield from _batches(within, unpacking, limit)
        return
    packed = Window(stream, within.start, entry.stored_size)
    chunks = iter(partial(packed.read, BLOCK), b"")
    if entry.kind == "zip":
        if entry.method != zipfile.ZIP_DEFLATED:
            raise BadFileError(
                entry.label, f"zip compression method {entry.method}; unpack it first"
            )
        chunks = inflate_member(packed)
    outer = entry.stamp if is_url(entry.container) else stamp_of(entry.container)
    state = entry.stamp, entry.size, outer
    path = unpacking.unpacked(within.name, state, limit.counted(chunks, within.name))
    size = path.stat().st_size
    unpacked = replace(within, container=str(path), start=0, size=size, stamp=None)
    for batch in _batches(unpacked, unpacking, limit):
        if unpacking.kept:
            yield batch
        else:
            yield Batch.of(*(found._replace(kind="packed") for found in batch.made()))


# --- zip ----------------------------------------------------------------------------------------


_known_zips: OrderedDict[tuple[_Archive, tuple[int, int]], tuple[Entry, ...]] = OrderedDict()
_MOST_KNOWN = 2
_known_lock = threading.Lock()


def _zip_entries(archive: _Archive, file: IO[bytes]) -> tuple[Entry, ...]:
    """Members of the zip, whose container is open; kept, as it is first looked into and then
    scanned."""
    key = archive, state_of(file)
    found = _known_zips.get(key)
    if found is None:
        found = _read_directory(archive, file)
    with _known_lock:
        _known_zips[key] = found
        _known_zips.move_to_end(key)
        if len(_known_zips) > _MOST_KNOWN:
            _known_zips.popitem(last=False)
    return found


def _read_directory(archive: _Archive, file: IO[bytes]) -> tuple[Entry, ...]:
    """Members of the zip, by its directory."""
    most = _MAX_DIRECTORY if archive.depth > 1 else ENDLESS
    if is_url(archive.container):  # a server may say of any file that it is endless
        most = min(most, _MAX_REMOTE_DIRECTORY)
    window = Window(file, archive.start, archive.size, most)
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
            raise BadFileError(archive.name, f"{name} is encrypted; give it decrypted")
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


def _gzip_files(archive: _Archive, stream: IO[bytes], unpacking: Unpacking) -> Iterator[PlainFiles]:
    """The files in a ``.tar.gz``; its seek points are kept when all were listed."""
    yield from _tar_files(archive, stream, "targz")
    if unpacking.kept is not None and archive.stamp is None:
        path = index_path(unpacking.kept, archive.container, stamp_of(archive.container))
        write_seek_points(archive.container, None, path)


def _seek_points(archive: _Archive, file: IO[bytes], unpacking: Unpacking) -> Path | None:
    """The seek points of a ``.tar.gz`` in a store, made before it is listed, in one pass: what
    reads labels meanwhile would have to begin at its beginning each time."""
    if archive.stamp is None or unpacking.kept is None:
        return None
    path = index_path(unpacking.kept, archive.container, archive.stamp)
    if path.exists():
        return path
    if unpacking.listing_only:
        return None
    write_seek_points(archive.container, file, path)
    return path


def _kept(
    archive: _Archive, file: IO[bytes], unpacking: Unpacking, files: Iterator[PlainFiles]
) -> Iterator[PlainFiles]:
    """The files of a tar, all of whose headers are read only once; ``file`` is its container."""
    if unpacking.kept is None:
        return files
    return kept(listing_path(unpacking.kept, archive, state_of(file)), files)


def _tar_files(archive: _Archive, stream: IO[bytes], kind: _InTar) -> Iterator[PlainFiles]:
    """The files in a tar; ``stream`` is its container, or its content."""
    start, size = (archive.start, archive.size) if kind == "tar" else (0, ENDLESS)
    window = Window(stream, start, size, _MAX_HEADERS)
    end = 0
    with tarfile.open(fileobj=cast(IO[bytes], window), mode="r:") as tar:
        for found in tar_members(tar, window, forward=kind != "tar"):
            if isinstance(found, PlainFiles):
                end = found.end
                yield _safe(archive.name, found)
                continue
            _refuse_unsafe(archive.name, found.name)
            if found.size < 0:  # reading so many bytes would be reading all
                raise ValueError(f"{found.size} bytes")
            end = found.offset_data + -(-found.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            if not found.isreg() or found.issparse():
                continue  # links and devices are no data
            name, mtime = found.name, int(found.mtime)
            one = PlainFiles([name], [found.size], [found.offset_data], [mtime], end)
            yield _safe(archive.name, one)
    # tarfile takes any end for the end; a whole archive has a block of zeros there (POSIX pax).
    if end:
        window.renew()
        window.seek(end)
        if window.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise BadFileError(archive.name, "not a whole archive (no end); download it again")


def _safe(archive: str, found: PlainFiles) -> PlainFiles:
    """The files, none of whose names leaves the archive."""
    text = "\0".join(found.names)
    first = {name[:1] for name in found.names}
    if first.isdisjoint(_SUSPICIOUS_FIRST) and not any(sign in text for sign in _SUSPICIOUS):
        return found
    for name in found.names:
        _refuse_unsafe(archive, name)
    return replace(found, names=[name.removeprefix("./") for name in found.names])


def _tar_batches(archive: _Archive, kind: _InTar, listed: Iterable[PlainFiles]) -> Iterator[Batch]:
    """The files of a tar, as those of a source."""
    prefix = archive.prefix
    for found in listed:
        paths = [prefix + name for name in found.names]
        if not "".join(paths).isprintable():
            paths = list(map(printable, paths))
        paths = [path if path.endswith(_COMMON) else layout_path(path) for path in paths]
        yield Batch(paths, partial(_made_entries, archive, kind, found, paths))


def _made_entries(
    archive: _Archive, kind: _InTar, found: PlainFiles, paths: Sequence[str]
) -> Iterable[Entry]:
    """The entries of files of a tar."""
    sizes, offsets = found.sizes, found.offsets
    if kind == "tar" and archive.start:
        offsets = [archive.start + offset for offset in offsets]
    stamps = found.mtimes if archive.stamp is None else repeat(archive.stamp)
    fields = zip(
        *(paths, sizes, repeat(archive.container), repeat(kind), offsets, sizes, stamps),
        *(repeat(0), found.names, repeat(archive.origin)),
    )
    return map(_new_entry, fields)


def _refuse_unsafe(archive: str, name: str) -> None:
    """Raises `BadFileError` for a name that would leave the archive."""
    # the first test is quick, and true of almost every name
    if ".." in name or "\\" in name or name[:1] in ("", "/") or "\0" in name or name[1:2] == ":":
        parts = name.replace("\\", "/").split("/")
        if ".." in parts or parts[0] == "" or _DRIVE.match(name) or "\0" in name:
            raise BadFileError(
                archive,
                f"member {name[:250]!r} would leave the archive; get it from its publisher",
            )
