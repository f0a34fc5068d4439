"""The files of a source, by their paths; what a layout makes of them; and splits by their names."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Protocol

from satimnet.builder.errors import BadFileError, SatimnetError, printable
from satimnet.builder.imagery.headers import Header, read_header
from satimnet.builder.samples import Object, Problem
from satimnet.builder.sources import MAX_SCENE_SIZE, Entry, Source
from satimnet.builder.vocabulary.tasks import TASKS

IMAGES = (".jpg", ".png", ".tif")
"""Endings of images, as `Entry.path` has them."""
FARTHEST = 1e7
"""Pixels; a coordinate that is farther out is no coordinate."""
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_WORD = re.compile(r"[a-z]+")
_YEAR = re.compile(r"(19|20)\d\d")


@dataclass(frozen=True, slots=True)
class NamedClass:
    """A class as a layout has it."""

    name: str
    """In the words of the files, which may be any."""
    sources: tuple[int, ...] = ()
    """Values of its pixels in masks."""
    colours: tuple[str, ...] = ()
    """Colours of its pixels in masks, as ``#RRGGBB``."""
    hint: str | None = None
    """Six hexadecimal digits of the colour in pictures."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """An image and what a layout says of it; classes are in the words of the files."""

    image: Entry
    classes: tuple[str, ...] | None = None
    objects: tuple[Object, ...] | None = None
    mask: Entry | None = None
    split: str | None = None
    datetime: str | None = None
    """RFC 3339."""


class Reading(Protocol):
    """What a layout finds in files: it is iterated over, perhaps several times."""

    @property
    def classes(self) -> Sequence[NamedClass] | None:
        """The classes that the files declare; None where only labels name them."""

    def __iter__(self) -> Iterator[Labelled | Problem]:
        """Every image, and what is wrong with labels."""


@dataclass
class Files:
    """The files of a source by path.

    Attributes:
        source: where they are read.
        entries: all files by path, in a stable order.
        sizes: rows and columns of images that were looked at, by path; kept for the second pass.
        largest: bytes that an image may have.
    """

    source: Source
    entries: dict[str, Entry]
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    largest: int = MAX_SCENE_SIZE
    _by_name: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, source: Source, largest: int = MAX_SCENE_SIZE) -> Files:
        """Lists a source; raises as `Source.entries`."""
        entries: dict[str, Entry] = {}
        for entry in source.entries():
            entries.setdefault(entry.path, entry)
        return cls(source, entries, largest=largest)

    def images(self) -> Iterator[Entry]:
        """The images."""
        return (entry for path, entry in self.entries.items() if path.endswith(IMAGES))

    def with_ending(self, *endings: str) -> list[Entry]:
        """The files with one of these endings."""
        return [entry for path, entry in self.entries.items() if path.lower().endswith(endings)]

    def read(self, entry: Entry) -> bytes:
        """The bytes of a file. Raises `BadFileError`."""
        self.source.take(entry)
        return self.source.read(entry)

    def text(self, entry: Entry) -> str:
        """The text of a file in UTF-8, without a byte order mark. Raises `BadFileError`."""
        try:
            return self.read(entry).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise BadFileError(entry.label, "is no text in UTF-8") from error

    def size(self, entry: Entry) -> tuple[int, int]:
        """Rows and columns of an image. Raises `BadFileError`."""
        if entry.path not in self.sizes:
            self.sizes[entry.path] = self.header(entry).shape
        return self.sizes[entry.path]

    def header(self, entry: Entry) -> Header:
        """The header of an image, without its place. Raises `BadFileError`."""
        data = self.source.read(entry, self.largest)
        return read_header(data, entry.label, self.largest, place=False)

    def named(self, name: Any, near: str, folders: Sequence[str] = ()) -> Entry | None:
        """The image that a label file names.

        It is looked for beside the label file, in the ``folders`` given, and then by its own name
        anywhere, if only one image has it. Nothing outside of the source is ever found.

        Args:
            name: what the label file says, of whatever type.
            near: the folder of the label file, with a slash at its end or empty.
            folders: others, in the same way.
        """
        if not isinstance(name, str) or not name or "\0" in name:
            return None
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
        if ".." in parts or not parts:
            return None
        for folder in (near, *folders):
            found = self._with_any_ending(folder + "/".join(parts))
            if found is not None:
                return found
        if not self._by_name:
            for path in self.entries:
                if path.endswith(IMAGES):
                    self._by_name.setdefault(_stem(path), []).append(path)
        ends = [
            path
            for path in self._by_name.get(_stem(parts[-1]), ())
            if _without_ending("/" + path).endswith(_without_ending("/" + "/".join(parts)))
        ] or self._by_name.get(_stem(parts[-1]), [])
        return self.entries[ends[0]] if len(ends) == 1 else None

    def _with_any_ending(self, path: str) -> Entry | None:
        """The image of a path; its ending may be written in another way (``.JPEG``), or lack."""
        if path in self.entries and path.endswith(IMAGES):
            return self.entries[path]
        for stem in dict.fromkeys((_without_ending(path), path)):
            for ending in IMAGES:
                if stem + ending in self.entries:
                    return self.entries[stem + ending]
        return None


def _stem(path: str) -> str:
    return _without_ending(path).rpartition("/")[2]


def _without_ending(path: str) -> str:
    head, dot, ending = path.rpartition(".")
    return head if dot and "/" not in ending and f".{ending.lower()}" in _ENDINGS else path


_ENDINGS = {*IMAGES, ".jpeg", ".tiff", ".bmp", ".webp"}


def folder_of(path: str) -> str:
    """The folder of a path, with a slash at its end; empty at the top."""
    head, slash, _ = path.rpartition("/")
    return head + slash


def split_of(path: str) -> str | None:
    """The split that a folder or the file's own name tells: ``images/val/1.jpg``, ``train.json``.

    The last folder that tells one counts.
    """
    parts = PurePosixPath(path).parts
    for part in reversed(parts[:-1]):
        if split := split_in(part):
            return split
    return None


def split_in(name: str) -> str | None:
    """The split that a name tells, as ``instances_val2017`` does."""
    words = [word for word in re.split(r"[^a-z]+", _YEAR.sub("", name.lower())) if word]
    found = {_SPLITS[word] for word in words if word in _SPLITS}
    return found.pop() if len(found) == 1 else None


def is_split_folder(name: str) -> bool:
    """Whether a folder is nothing but a split."""
    return name.lower() in _SPLITS


def split_lists(files: Files, near: str = "") -> dict[str, str]:
    """Splits by stems of images, of the lists ``train.txt``, ``val.txt`` and so on.

    A name in several lists has no split. Lists may lie anywhere; each line names an image, with or
    without folders, an ending and, as in VOC, a number behind it.
    """
    found: dict[str, str | None] = {}
    for entry in files.with_ending(".txt"):
        name = entry.path.rpartition("/")[2].lower().removesuffix(".txt")
        if name not in _SPLITS or not entry.path.startswith(near):
            continue
        for line in files.text(entry).splitlines():
            words = line.strip().split("\t")[0].strip()
            words = re.sub(r"\s+-?[01]$", "", words)
            if words:
                stem = _stem(words.replace("\\", "/"))
                if found.setdefault(stem, _SPLITS[name]) != _SPLITS[name]:
                    found[stem] = None
    return {stem: split for stem, split in found.items() if split is not None}


def stem_of(entry: Entry) -> str:
    """The name of a file without folders and ending."""
    return _stem(entry.path)


# --- numbers and outlines that nobody vouches for -------------------------------------------------


def number(value: Any) -> float:
    """A finite number of a sensible size; raises `ValueError` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r:.40} is no number")
    try:
        found = float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{value!r:.40} is no number") from None
    if not math.isfinite(found) or abs(found) > FARTHEST:
        raise ValueError(f"{value!r:.40} is no coordinate")
    return found


def box(left: float, top: float, right: float, bottom: float) -> tuple[tuple[float, float], ...]:
    """The outline of a box; raises `ValueError` if it has no area."""
    if right <= left or bottom <= top:
        raise ValueError(f"a box of {right - left:g} x {bottom - top:g} pixels")
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def ring(values: Sequence[Any]) -> tuple[tuple[float, float], ...]:
    """The outline of x, y, x, y …; raises `ValueError` where that is none."""
    if len(values) < 6 or len(values) % 2:
        raise ValueError(f"an outline of {len(values)} numbers")
    points = [number(value) for value in values]
    found = tuple(zip(points[::2], points[1::2], strict=True))
    if len(found) > 3 and found[0] == found[-1]:
        found = found[:-1]
    if len(set(found)) < 3:
        raise ValueError("an outline of less than three corners")
    return found


def left_out(label: str, faults: Sequence[str], of: int) -> Iterator[Problem]:
    """The problem of a label of which some objects cannot be used."""
    if faults:
        what = f"{len(faults)} of its {of} objects are left out: {faults[0]}"
        yield Problem(label, printable(what), "incomplete")


def collected(reading: Iterable[Labelled | Problem]) -> Iterator[str]:
    """The names of classes in the order in which labels name them, each once."""
    seen: dict[str, None] = {}
    for one in reading:
        if isinstance(one, Labelled):
            for name in (*(one.classes or ()), *(o.name for o in one.objects or ())):
                if name not in seen:
                    seen[name] = None
                    yield name


def tasks_shown(labelled: Iterable[Labelled]) -> list[str]:
    """Names of the tasks that labels are made for, by what they are; see `vocabulary.tasks`."""
    found: set[str] = set()
    for one in labelled:
        if one.mask is not None:
            found.add("semantic-segmentation")
        elif one.objects is not None:
            found.add("object-detection")
            if any(
                item.runs or len(item.parts) > 1 or len(item.outline) > 4 for item in one.objects
            ):
                found.add("instance-segmentation")
        elif one.classes is not None:
            several = len(one.classes) != 1
            found.add("multi-label-classification" if several else "scene-classification")
    if "multi-label-classification" in found:
        found.discard("scene-classification")
    return [task.name for task in TASKS if task.name in found]


def require(condition: object, label: str, reason: str) -> None:
    """Raises `BadFileError` unless the condition holds."""
    if not condition:
        raise BadFileError(label, reason)


def by_split(lists: Mapping[str, str], entry: Entry) -> str | None:
    """The split of an image: that of the lists, else that of its folders."""
    return lists.get(stem_of(entry)) or split_of(entry.path)


def none_found(what: str) -> SatimnetError:
    """The error of a source without anything of a layout."""
    return SatimnetError(f"{what}; choose another layout, or see the layouts in the documentation")
