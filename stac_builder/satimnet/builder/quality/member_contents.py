"""What the members of an Item hold: read from shards, compared with checksums, decoded."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from satimnet.builder.catalog.items import matches
from satimnet.builder.errors import BadFileError, NotFoundError
from satimnet.builder.imagery.whole_images import Image, decode
from satimnet.builder.quality.findings import Said
from satimnet.builder.quality.label_checks import Labelled, read_objects
from satimnet.builder.storage.checked_offsets import span_of
from satimnet.builder.storage.hrefs import is_url
from satimnet.builder.storage.objects import size_of
from satimnet.builder.storage.ranges import fetch, soon
from satimnet.builder.storage.stores import DeniedError

if TYPE_CHECKING:
    from satimnet.builder.catalog.items import Item

_LARGEST = 2**31 - 2**12  # bytes of a member; Linux reads no more at once
_MOST_OPEN = 64
_TOGETHER = 64 * 1024 * 1024
"""Bytes of members in stores that are read together."""
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # or a pipe would be waited for


_Span = tuple[str, int, int]
"""A place, a first byte and a number of bytes."""


class Shards:
    """The shards that are open for reading; a context manager that closes them."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}
        self._sizes: dict[str, int] = {}
        """Of shards in stores, in bytes; -1 of those that are not there."""
        self._ahead: dict[_Span, memoryview] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def read(self, href: str, span: tuple[int, int], label: str) -> bytes:
        """The bytes of a member.

        Args:
            href: Path or URL of the shard.
            span: First byte and number of bytes.
            label: What errors call the member.

        Raises:
            BadFileError: the shard cannot be read there.
            StorageError: the host of the shard does not answer.
        """
        first, size = span
        if size > _LARGEST:
            raise BadFileError(label, f"{size:,} bytes are too many to be read into memory")
        if is_url(href):
            return self._read_far((href, first, size), label)
        try:
            if href not in self._open:
                if len(self._open) == _MOST_OPEN:
                    os.close(self._open.pop(next(iter(self._open))))
                self._open[href] = os.open(href, _READ)
            data = os.pread(self._open[href], size, first)
        except OSError as error:
            raise BadFileError(label, f"its shard cannot be read ({error.strerror})") from error
        if len(data) < size:
            raise BadFileError(label, _ends_early(size - len(data)))
        return data

    def ahead(self, items: Iterable[Item]) -> Iterator[Item]:
        """The Items one by one; what they have in stores is read before, of many together."""
        waiting: list[Item] = []
        spans: dict[_Span, None] = {}
        for item in items:
            own = dict.fromkeys(_spans_in_stores(item))
            if waiting and sum(size for *_, size in (*spans, *own)) > _TOGETHER:
                self._fetch(spans)
                yield from waiting
                waiting, spans = [], {}
            waiting.append(item)
            spans |= own
        self._fetch(spans)
        yield from waiting
        self._ahead = {}

    def _fetch(self, spans: Iterable[_Span]) -> None:
        """Reads the bytes of those spans that are there; forgets all others."""
        self._ahead = {}
        new = dict.fromkeys(href for href, *_ in spans if href not in self._sizes)
        for href, size in [(href, soon(_size_of, href)) for href in new]:
            self._sizes[href] = size.result()
        there = [(h, first, n) for h, first, n in spans if first + n <= self._sizes[h]]
        hrefs, starts, sizes = zip(*there, strict=True) if there else ((), (), ())
        self._ahead = dict(zip(there, fetch(hrefs, starts, sizes), strict=True))

    def _read_far(self, span: _Span, label: str) -> bytes:
        if span not in self._ahead:
            self._fetch([span])
        href, first, size = span
        if self._sizes[href] < 0:
            reason = os.strerror(errno.ENOENT)
            raise BadFileError(label, f"its shard cannot be read ({reason})")
        if span not in self._ahead:
            raise BadFileError(label, _ends_early(min(size, first + size - self._sizes[href])))
        return bytes(self._ahead[span])


def _spans_in_stores(item: Item) -> Iterator[_Span]:
    """Where the members of an Item lie that are not on this machine."""
    for asset in item["assets"].values():
        for entry in asset.get("archive", ()) if is_url(asset["href"]) else ():
            with suppress(BadFileError):  # is told when the member is read
                first, size = span_of(entry, "")
                if size <= _LARGEST:
                    yield asset["href"], first, size


def _size_of(href: str) -> int:
    """Bytes of a shard; -1 if it is not there."""
    try:
        return size_of(href)
    except (NotFoundError, DeniedError):  # many hosts say the latter of what is not there
        return -1


def _ends_early(missing: int) -> str:
    return f"its shard ends {missing:,} bytes too early"


@dataclass
class Content:
    """What the members of an Item hold."""

    images: dict[str, Image] = field(default_factory=dict)
    """Images by key of the asset, (band, y, x)."""
    masks: dict[str, Image] = field(default_factory=dict)
    """Label rasters by key of the asset, (band, y, x)."""
    objects: list[Labelled] | None = None
    members: int = 0
    """How many members could be read."""
    size: int = 0
    """How many bytes these have."""
    said: list[Said] = field(default_factory=list)
    """What is wrong with the files themselves."""


def read_content(item: Item, shards: Shards) -> Content:
    """Reads and decodes all members of an Item, whose hrefs must be paths or URLs."""
    content = Content()
    for key, asset in item["assets"].items():
        for entry in asset.get("archive", ()):
            label = str(entry.get("href"))
            try:
                data = shards.read(asset["href"], span_of(entry, label), label)
                content.members += 1
                content.size += len(data)
                content.said.extend(_against_checksum(data, entry, label))
                is_mask = "mask" in asset.get("roles", ())
                if is_mask or asset.get("bands"):
                    image = decode(data, label)
                    if image is None:
                        words = f"{label}: its checksum was compared, its pixels were not looked at"
                        content.said.append(("too-large", words, ()))
                    else:
                        (content.masks if is_mask else content.images)[key] = image
                elif key == "annotation":
                    content.objects = read_objects(data, label)
            except BadFileError as error:
                content.said.append(("unreadable", str(error), ()))
    return content


def _against_checksum(data: bytes, entry: Mapping[str, Any], label: str) -> Iterator[Said]:
    if not matches(data, entry.get("file:checksum", "")):
        yield "checksum", f"{label}: its bytes are not those that were packed", ()
