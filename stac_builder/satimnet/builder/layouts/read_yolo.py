"""The layout ``yolo``: ``images/train/1.jpg`` with ``labels/train/1.txt``, and ``data.yaml``.

https://docs.ultralytics.com/datasets/detect/ (boxes), ``/segment`` (outlines), ``/obb`` (oriented
boxes, which are outlines of four corners). Numbers are shares of the image's width and height.
``data.yaml`` names the classes, and for ``train``, ``val`` and ``test`` folders of images or lists
of them; `yaml_splits` reads these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from satimnet.builder.errors import BadFileError
from satimnet.builder.layouts.arranged_files import (
    Files,
    Labelled,
    NamedClass,
    box,
    by_split,
    left_out,
    none_found,
    number,
    require,
    ring,
    split_lists,
)
from satimnet.builder.layouts.yaml_splits import yaml_splits
from satimnet.builder.samples import Object, Problem
from satimnet.builder.sources import Entry

_NAMES = ("classes.txt", "obj.names", "names.txt")
_MOST = 100_000  # classes, and objects of an image


@dataclass(frozen=True)
class YoloFiles:
    """Images with their label files."""

    files: Files
    names: dict[int, str]
    """Of the classes, by their numbers."""
    splits: dict[str, str]
    """Of the images by their paths, as far as ``data.yaml`` says them."""

    @property
    def classes(self) -> Sequence[NamedClass] | None:
        """The classes of ``data.yaml`` or of a list of names; None where there is neither."""
        return [NamedClass(self.names[at]) for at in sorted(self.names)] or None

    def __iter__(self) -> Iterator[Labelled | Problem]:
        lists = split_lists(self.files)
        used: set[str] = set()
        for image in self.files.images():
            path = _label_path(image.path)
            label = self.files.entries.get(path)
            objects: list[Object] = []
            if label is not None:
                used.add(path)
                faults: list[str] = []
                try:
                    lines = [line for line in self.files.text(label).splitlines() if line.strip()]
                    shape = self.files.size(image) if lines else (1, 1)
                except BadFileError as error:
                    yield Problem(error.path, error.reason)
                    continue
                for line in lines[:_MOST]:
                    try:
                        objects.append(self._object(line, shape))
                    except (ValueError, LookupError) as error:
                        faults.append(str(error)[:200])
                yield from left_out(label.label, faults, len(lines))
            split = self.splits.get(image.path) or by_split(lists, image)
            yield Labelled(image, objects=tuple(objects), split=split)
        for entry in self.files.with_ending(".txt"):
            if "/labels/" in f"/{entry.path}" and entry.path not in used:
                yield Problem(entry.label, "a label without its image", "incomplete")

    def _object(self, line: str, shape: tuple[int, int]) -> Object:
        first, *others = line.split()
        if not first.isascii() or not first.isdigit() or len(first) > 6:
            raise ValueError(f"{first!r:.40} is no number of a class")
        at = int(first)
        if self.names and at not in self.names:
            raise ValueError(f"no class {at}; there are {len(self.names)}")
        name = self.names.get(at, f"class-{at}")
        rows, columns = shape
        shares = [number(value) for value in others]
        if any(not -1 <= value <= 2 for value in shares):
            raise ValueError(f"{line!r:.60}: shares of the image are from 0 to 1")
        if len(shares) in (4, 5):  # the fifth is a score
            x, y, width, height = shares[:4]
            ends = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            sizes = (columns, rows, columns, rows)
            return Object(name, outline=box(*(e * s for e, s in zip(ends, sizes, strict=True))))
        if len(shares) % 2 and len(shares) > 6:
            shares = shares[:-1]
        scaled = [value * (rows if k % 2 else columns) for k, value in enumerate(shares)]
        return Object(name, outline=ring(scaled))


def yolo_files(files: Files) -> YoloFiles:
    """The layout ``yolo``; raises `SatimnetError` where no label is there."""
    if not any(_label_path(image.path) in files.entries for image in files.images()):
        raise none_found("no label is there: labels/…/1.txt belongs to images/…/1.jpg")
    for entry in files.with_ending(".yaml", ".yml"):
        content = _yaml(files, entry)
        if isinstance(content, dict) and "names" in content:
            names = _named(content["names"], entry.label)
            return YoloFiles(files, names, yaml_splits(files, content, entry.path))
    return YoloFiles(files, _names(files), {})


def _label_path(path: str) -> str:
    """Where the label of an image lies, as ultralytics finds it."""
    stem = path.rpartition(".")[0]
    head, images, tail = f"/{stem}".rpartition("/images/")
    return (f"{head}/labels/{tail}" if images else f"/{stem}")[1:] + ".txt"


def _names(files: Files) -> dict[int, str]:
    for name in _NAMES:
        for entry in files.with_ending(name):
            if entry.path.rpartition("/")[2] == name:
                files.source.take(entry)
                lines = [line.strip() for line in files.text(entry).splitlines()]
                return _named([line for line in lines if line], entry.label)
    return {}


def _yaml(files: Files, entry: Entry) -> Any:
    import yaml

    text = files.text(entry)
    require(len(text) < 10_000_000, entry.label, "is too long for a list of classes")
    try:
        # a few lines with aliases may stand for any number of them
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise ValueError("an alias, which this file does not need")
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadFileError(entry.label, f"this is not YAML ({reason})") from error


def _named(names: Any, label: str) -> dict[int, str]:
    if isinstance(names, list):
        names = dict(enumerate(names))
    good = isinstance(names, dict) and len(names) <= _MOST
    found = {
        int(key): str(name).strip()
        for key, name in (names.items() if good else ())
        if type(key) is int and 0 <= key < 10**6 and isinstance(name, str | int)
        and not isinstance(name, bool) and str(name).strip()
    }  # fmt: skip
    require(good and found and len(found) == len(names), label, "names must be names of classes")
    return found
