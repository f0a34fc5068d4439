"""Samples: what a dataset's scan yields, before any pixel is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.errors import printable
from satimnet.builder.sources import Entry, Reader, Source

SPLITS = ("train", "validation", "test")
"""The values that ``satimnet:split`` may have, in the order in which they are named."""


class Made(Protocol):
    """A file that is made when its shard is packed; it must pickle."""

    @property
    def label(self) -> str:
        """How messages name it."""

    @property
    def size(self) -> int:
        """Bytes, about."""

    @property
    def stamp(self) -> int:
        """Changes when the file would."""

    def read(self) -> bytes:
        """The content, the same every time. Raises `BadFileError`."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a sample: where it is in the source, and what it becomes in the shard."""

    asset: str
    """Key of the Item's asset that it belongs to."""
    path: str
    """Path inside the shard."""
    entry: Entry | Made | bytes
    """The file, how to make it, or the sample's own part of a file that serves several."""

    @property
    def label(self) -> str:
        """How messages name the file."""
        return self.path if isinstance(self.entry, bytes) else self.entry.label

    @property
    def size(self) -> int:
        """Bytes; of what is yet to be made, a guess."""
        return len(self.entry) if isinstance(self.entry, bytes) else self.entry.size

    def read(self, reader: Reader) -> bytes:
        """The content. Raises `BadFileError` where there is none to be had."""
        if isinstance(self.entry, bytes):
            return self.entry
        return reader.read(self.entry) if isinstance(self.entry, Entry) else self.entry.read()


@dataclass(frozen=True, slots=True)
class Object:
    """One annotated object, in pixel coordinates of its image, as an outline or as runs."""

    name: str
    """Name of its class."""
    outline: tuple[tuple[float, float], ...] = ()
    """Ring of (x, y), not closed: x to the right, y down, (0, 0) the first pixel's outer corner."""
    runs: tuple[int, ...] = ()
    """Start, length, start, length …: pixels counted from 0 down the columns (column-major)."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """What else the publisher says of it, as JSON has it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One training example; becomes one STAC Item."""

    id: str
    level: tuple[str, ...]
    """Nodes of the tree that lead to it, below its collection."""
    members: tuple[Member, ...]
    classes: tuple[str, ...] | None = None
    """Names of the classes present; None if only objects or mask tell, or if nobody knows."""
    split: str | None = None
    objects: tuple[Object, ...] | None = None
    """All annotated objects; None where nobody looked."""
    datetime: str | None = None
    """Time of acquisition (RFC 3339, UTC)."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """Further properties of the Item; each has its type under ``[fields]`` in the record."""
    links: tuple[Mapping[str, str], ...] = ()
    """Further links of the Item; relative hrefs count from the collection's folder."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that does not make it into the catalog as it should, and why."""

    path: str
    reason: str
    kind: Literal["broken", "foreign", "incomplete"] = "broken"
    """``foreign`` is no part of the dataset, or a second copy; ``incomplete`` is an image without
    its label, a label without its image, or a part of a label that says nothing usable."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", printable(self.path))
        object.__setattr__(self, "reason", printable(self.reason))


def second_copy(entry: Entry, first: Entry, *, other_split: bool = False) -> Problem:
    """The problem of a file whose sample has one already.

    With ``other_split`` the two are of different splits, and the sample is to have none.
    """
    how = "; it gets no split, as the two are of different ones" if other_split else ""
    return Problem(entry.label, f"a second copy; {first.label} was taken{how}", "foreign")


Scan = Callable[[Source, DatasetRecord], Iterator[Sample | Problem]]
"""A dataset's reader: a source and the record of ``dataset.toml`` to samples and problems."""
