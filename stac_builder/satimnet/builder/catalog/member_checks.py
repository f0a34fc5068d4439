"""The checks of members: ranges, the directories of shards, and checksums.

What the members of many Items need is read together: a store answers many ranges at a time, and
members that lie beside each other come in one.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import IO, Any, NamedTuple, cast

from satimnet.builder.catalog.items import SHA256
from satimnet.builder.errors import BadCatalogError, NotFoundError, SatimnetError
from satimnet.builder.storage import objects
from satimnet.builder.storage.digests import sha256_of
from satimnet.builder.storage.hrefs import is_url, is_web, open_regular
from satimnet.builder.storage.ranges import fetch, soon
from satimnet.builder.storage.remote_files import RemoteFile
from satimnet.builder.storage.stores import DeniedError

_MOST_ITEMS = 500
_MOST_BYTES = 64 * 1024 * 1024
"""Of the members that are read together; larger ones are read piece by piece."""
_DIRECTORIES = 8
"""Directories of shards that are kept; one of 65,000 members takes some 20 MB."""
_LONGEST_DIRECTORY = 2**26  # bytes; that of 65,000 members has some 10 MB
_LOCAL_HEADER = 30
"""Bytes of a zip's header before a member, without its name and extra field."""
_LONGEST_EXTRA = 2**16
# What zipfile raises of damaged bytes
_BROKEN = (
    *(zipfile.BadZipFile, EOFError, OSError, ValueError, OverflowError),
    *(NotImplementedError, RecursionError, LookupError),
)


class _Entry(NamedTuple):
    """A member as the directory of its shard has it."""

    header: int
    """First byte of its header."""
    size: int
    """Bytes in the shard."""
    stored: bool
    name_size: int


_Directory = dict[str, _Entry]


@dataclass(frozen=True, slots=True)
class _Asset:
    """An asset of an Item, where its file lies, and what it says of it."""

    path: str
    """Of the file that has the Item."""
    key: str
    content: dict[str, Any]
    place: str


@dataclass(frozen=True, slots=True)
class _Span:
    """The bytes of a member, which are in its shard."""

    place: str
    first: int
    size: int


class MemberChecks:
    """Checks the members of one Item after the other, those of several together.

    Args:
        resolve: The place of an href in a file; raises `SatimnetError` where it may not lead there.
        tell: Is called with the place of a file and a problem of it.
        checksums: Whether members are read and compared with their checksums.
    """

    def __init__(
        self,
        resolve: Callable[[str, str], str],
        tell: Callable[[str, str], None],
        *,
        checksums: bool,
    ) -> None:
        self.compared = 0
        """How many members were compared with their checksums."""
        self.elsewhere = 0
        """How many members lie at URLs; none was read."""
        self._resolve, self._tell, self._checksums = resolve, tell, checksums
        self._sizes: dict[str, int] = {}
        """Of files, in bytes; -1 of those that are not there."""
        self._directories: OrderedDict[str, _Directory | str] = OrderedDict()
        self._told_of: set[str] = set()
        self._waiting: list[_Asset | tuple[str, str]] = []
        """Assets, and problems that are to be told between theirs."""
        self._items = self._bytes = 0

    def add(self, path: str, item: dict[str, Any]) -> None:
        """Checks the members of the Item in a file, now or later."""
        for key, asset in item.get("assets", {}).items():
            if is_url(asset["href"]):
                self.elsewhere += len(asset.get("archive", ())) or 1
                continue
            try:
                place = self._resolve(asset["href"], path)
            except SatimnetError as error:
                self._waiting.append((path, f"asset {key}: {error}"))
                continue
            self._waiting.append(_Asset(path, key, asset, place))
            if self._checksums:
                self._bytes += sum(_length(member) for member in asset.get("archive", ()))
        self._items += 1
        if self._items >= _MOST_ITEMS or self._bytes >= _MOST_BYTES:
            self.finish()

    def finish(self) -> None:
        """Checks what is still to be checked."""
        waiting, self._waiting, self._items, self._bytes = self._waiting, [], 0, 0
        assets = [one for one in waiting if isinstance(one, _Asset)]
        self._measure(dict.fromkeys(one.place for one in assets))
        self._open(dict.fromkeys(one.place for one in assets if _is_zip(one)))
        digests = self._digests(assets) if self._checksums else {}
        for one in waiting:
            if isinstance(one, _Asset):
                self._check(one, digests)
            else:
                self._tell(*one)

    def _measure(self, places: dict[str, None]) -> None:
        new = [place for place in places if place not in self._sizes]
        far = {place: soon(_size_of, place) for place in new if is_url(place)}
        for place in new:
            self._sizes[place] = far[place].result() if place in far else _size_of(place)

    def _open(self, shards: dict[str, None]) -> None:
        """Reads the directories of shards, of the first few ahead."""
        new = [s for s in shards if s not in self._directories and self._sizes[s] >= 0]
        far: dict[str, Future[_Directory | str]] = {
            shard: soon(_directory, shard) for shard in new[:_DIRECTORIES] if is_url(shard)
        }
        for shard in new[:_DIRECTORIES]:
            self._keep(shard, far[shard].result() if shard in far else _directory(shard))

    def _directory_of(self, asset: _Asset) -> _Directory | None:
        """The directory of an asset's shard; None if it cannot be read, which is told once."""
        shard = asset.place
        if shard not in self._directories:
            self._keep(shard, _directory(shard))
        self._directories.move_to_end(shard)
        found = self._directories[shard]
        if isinstance(found, str):
            if shard not in self._told_of:
                self._told_of.add(shard)
                name = _name(shard)
                self._tell(asset.path, f"asset {asset.key}: no directory of {name} ({found})")
            return None
        return found

    def _keep(self, shard: str, directory: _Directory | str) -> None:
        self._directories[shard] = directory
        if len(self._directories) > 2 * _DIRECTORIES:
            self._directories.popitem(last=False)

    def _digests(self, assets: Sequence[_Asset]) -> dict[_Span, str]:
        """The SHA-256 of the members that have a checksum."""
        spans = dict.fromkeys(
            span
            for asset in assets
            for member in asset.content.get("archive", ())
            if "file:checksum" in member and (span := self._span(asset, member)) is not None
        )
        found: dict[_Span, str] = {}
        together: list[_Span] = []
        size = 0
        for span in spans:
            if span.size > _MOST_BYTES // 4:
                found[span] = sha256_of(span.place, span.first, span.size)[0]
                continue
            together.append(span)
            size += span.size
            if size >= _MOST_BYTES:
                found |= _hashed(together)
                together, size = [], 0
        return found | _hashed(together)

    def _span(self, asset: _Asset, member: dict[str, Any]) -> _Span | None:
        """Where a member lies; None if that is not in its shard, or not of its size."""
        first, last = (*member.get("range", ()), 0, -1)[:2]
        size = last - first + 1
        fits = 0 <= first <= last + 1 <= self._sizes[asset.place]
        if not fits or size != member.get("file:size", size):
            return None
        return _Span(asset.place, first, size)

    def _check(self, asset: _Asset, digests: dict[_Span, str]) -> None:
        size, key = self._sizes[asset.place], asset.key

        def tell(problem: str) -> None:
            self._tell(asset.path, f"asset {key}: {problem}")

        if size < 0:
            tell(f"no file {asset.content.get('href')}")
            return
        if asset.content.get("file:size", size) != size:
            tell(f"{_name(asset.place)} has {size} bytes, not the size given")
        for member in asset.content.get("archive", ()):
            span = self._span(asset, member)
            if span is None:
                tell(f"range of {member.get('href')} does not fit")
                continue
            if _is_zip(asset) and "range" in member:
                wrong = _misplaced(span, member, self._directory_of(asset))
                if wrong:
                    tell(f"{wrong} of {_name(asset.place)}")
            if span in digests and "file:checksum" in member:
                self.compared += 1
                if SHA256 + digests[span] != member["file:checksum"]:
                    tell(f"checksum of {member.get('href')} differs")


def _hashed(spans: Sequence[_Span]) -> dict[_Span, str]:
    data = fetch([s.place for s in spans], [s.first for s in spans], [s.size for s in spans])
    return {s: hashlib.sha256(d).hexdigest() for s, d in zip(spans, data, strict=True)}


def _length(member: dict[str, Any]) -> int:
    """Bytes of a member, by what its Item says."""
    first, last = (*member.get("range", ()), 0, -1)[:2]
    return int(min(max(0, last - first + 1), _MOST_BYTES // 4))


def _size_of(place: str) -> int:
    """Bytes of a file; -1 if it is not there."""
    try:
        return objects.size_of(place)
    except (NotFoundError, DeniedError):
        return -1
    except SatimnetError:
        if is_url(place):  # its host does not answer
            raise
        return -1  # a folder, a pipe, or a name that is too long


def _name(place: str) -> str:
    """The last part of a place."""
    return (place.partition("?")[0] if is_web(place) else place).rpartition("/")[2]


# --- directories of shards ------------------------------------------------------------------------


def _is_zip(asset: _Asset) -> bool:
    return bool(asset.content.get("archive")) and _name(asset.place).lower().endswith(".zip")


class _Bounded:
    """A file for zipfile, which may say of its directory that it is as long as a disk."""

    def __init__(self, file: IO[bytes] | RemoteFile) -> None:
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable
        self._read = file.read

    def read(self, size: int = -1) -> bytes:
        """So many bytes, or all that are left. Raises `ValueError` if no directory is so long."""
        if size > _LONGEST_DIRECTORY:
            raise ValueError(f"{size:,} bytes are too many for it")
        return self._read(_LONGEST_DIRECTORY if size < 0 else size)


def _encoding(info: zipfile.ZipInfo) -> str:
    return "utf-8" if info.flag_bits & 0x800 else "cp437"


def _directory(shard: str) -> _Directory | str:
    """The central directory of a shard, by the names of members; a text says why it has none."""
    try:
        with (
            RemoteFile(shard) if is_url(shard) else open_regular(shard) as file,
            zipfile.ZipFile(cast(IO[bytes], _Bounded(file))) as opened,
        ):
            return {
                info.filename: _Entry(
                    info.header_offset,
                    info.compress_size,
                    info.compress_type == zipfile.ZIP_STORED,
                    len(info.orig_filename.encode(_encoding(info), "replace")),
                )
                for info in opened.infolist()
            }
    except (NotFoundError, DeniedError, BadCatalogError) as error:
        return str(error)
    except SatimnetError:
        raise  # its host does not answer
    except _BROKEN as error:
        return str(error) or type(error).__name__


def _misplaced(span: _Span, member: dict[str, Any], directory: _Directory | None) -> str | None:
    """What is wrong with a member by the directory of its shard."""
    if directory is None:
        return None
    name = str(member.get("href"))
    entry = directory.get(name)
    if entry is None:
        return f"{name} is not in the directory"
    extra = span.first - entry.header - _LOCAL_HEADER - entry.name_size
    if not entry.stored:
        return f"{name} is compressed, by the directory"
    if entry.size != span.size or not 0 <= extra <= _LONGEST_EXTRA:
        return f"{name} lies elsewhere, by the directory"
    return None
