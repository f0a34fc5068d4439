"""Samples: what a scan of a dataset yields, before any pixel is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.errors import printable
from satimnet.builder.sources import Entry, Reader, Source

SPLITS = ("train", "validation", "test")
"""The values that ``satimnet:split`` may have, in the order in which they are named."""


class Made(Protocol):
    """A file that is made when its shard is packed; it must pickle.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Empty:
        ...     label: str = "an empty mask"
        ...     size: int = 16
        ...     stamp: int = 0
        ...     def read(self) -> bytes:
        ...         return bytes(16)
        >>> Member("mask", "a/1_mask.bin", Empty()).size
        16
    """

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


class Member(NamedTuple):
    """One file of a sample: where it is in the source, and what it becomes in the shard.

    A tuple, as `Entry` is, and for the same reason.

    Example:
        >>> label = Member("annotation", "Forest/Forest_1.txt", b"1 2 3")
        >>> label.label, label.size
        ('Forest/Forest_1.txt', 5)
    """

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
        """The content. Raises `BadFileError` if it cannot be read."""
        if isinstance(self.entry, bytes):
            return self.entry
        return reader.read(self.entry) if isinstance(self.entry, Entry) else self.entry.read()


@dataclass(frozen=True, slots=True)
class Object:
    """One annotated object, in pixel coordinates of its image: an outline, polygons or runs.

    Example:
        >>> ship = Object("ship", outline=((10, 10), (30, 10), (30, 20), (10, 20)))
        >>> ship.runs
        ()
    """

    name: str
    """Name of its class."""
    outline: tuple[tuple[float, float], ...] = ()
    """Ring of (x, y), not closed: x to the right, y down, (0, 0) the first pixel's outer corner."""
    runs: tuple[int, ...] = ()
    """Start, length, start, length …: pixels counted from 0 down the columns (column-major)."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """What else the publisher says of it, as JSON has it."""
    polygons: tuple[tuple[tuple[tuple[float, float], ...], ...], ...] = ()
    """Where one ring does not do: of each part the outer ring and its holes, as ``outline``."""

    @property
    def parts(self) -> tuple[tuple[tuple[tuple[float, float], ...], ...], ...]:
        """The polygons that it consists of; none where it is given as runs."""
        return self.polygons or (((self.outline,),) if self.outline else ())


@dataclass(frozen=True, slots=True)
class Sample:
    """One training example; becomes one STAC Item.

    Example:
        >>> image = Member("rgb", "River/River_7.jpg", b"JPEG data")
        >>> sample = Sample("River_7", ("River",), (image,), classes=("River",), split="train")
        >>> sample.level
        ('River',)
    """

    id: str
    level: tuple[str, ...]
    """Nodes of the tree that lead to it, below its collection."""
    members: tuple[Member, ...]
    classes: tuple[str, ...] | None = None
    """Names of the classes present; None if not known, or if only objects or mask say."""
    split: str | None = None
    objects: tuple[Object, ...] | None = None
    """All annotated objects; None where nobody has annotated."""
    datetime: str | None = None
    """Time of acquisition (RFC 3339, UTC)."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """Further properties of the Item; each has its type under ``[fields]`` in the record, or is one
    of its ``[properties]``, of which None takes one away."""
    links: tuple[Mapping[str, str], ...] = ()
    """Further links of the Item; relative hrefs count from the collection's folder."""
    datetimes: Mapping[str, str] = field(default_factory=dict)
    """Times of assets, by key, that are not of ``datetime``, as those of a second sensor; the
    record says ``own_datetime = true`` of such assets."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that does not make it into the catalog as it should, and why.

    Example:
        >>> Problem("notes.tif", "not in the dataset's layout", "foreign").kind
        'foreign'
    """

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

    Args:
        entry: the file.
        first: the one that was taken.
        other_split: whether the two are of different splits, so that the sample gets none.

    Example:
        >>> first = Entry("a/1.png", 5, "a/1.png", "file", 0, 5, 0)
        >>> second = Entry("b/1.png", 5, "b/1.png", "file", 0, 5, 0)
        >>> second_copy(second, first).reason
        'a second copy; a/1.png was taken'
    """
    how = "; it gets no split, as the two are of different ones" if other_split else ""
    return Problem(entry.label, f"a second copy; {first.label} was taken{how}", "foreign")


Scan = Callable[[Source, DatasetRecord], Iterator[Sample | Problem]]
"""A dataset's reader: a source and the record of ``dataset.toml`` to samples and problems."""
