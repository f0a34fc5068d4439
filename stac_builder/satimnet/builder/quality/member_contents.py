"""What the members of an Item hold: read from shards, compared with checksums, decoded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from satimnet.builder.catalog.items import matches
from satimnet.builder.errors import BadFileError
from satimnet.builder.quality.findings import Said
from satimnet.builder.quality.label_checks import Labelled, read_objects
from satimnet.builder.quality.pixel_statistics import Image, decode
from satimnet.builder.storage.checked_offsets import span_of

if TYPE_CHECKING:
    from satimnet.builder.catalog.items import Item

_LARGEST = 2**31 - 2**12  # bytes of a member; Linux reads no more at once
_MOST_OPEN = 64
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # or a pipe would be waited for


class Shards:
    """The shards that are open for reading; a context manager that closes them."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def read(self, href: str, span: tuple[int, int], label: str) -> bytes:
        """The bytes of a member.

        Args:
            href: Path of the shard.
            span: First byte and number of bytes.
            label: What errors call the member.

        Raises:
            BadFileError: the shard cannot be read there.
        """
        first, size = span
        if size > _LARGEST:
            raise BadFileError(label, f"{size:,} bytes are too many to be read into memory")
        try:
            if href not in self._open:
                if len(self._open) == _MOST_OPEN:
                    os.close(self._open.pop(next(iter(self._open))))
                self._open[href] = os.open(href, _READ)
            data = os.pread(self._open[href], size, first)
        except OSError as error:
            raise BadFileError(label, f"its shard cannot be read ({error.strerror})") from error
        if len(data) < size:
            raise BadFileError(label, f"its shard ends {size - len(data):,} bytes too early")
        return data


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
    """Reads and decodes all members of an Item, whose hrefs must be paths on disk."""
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
