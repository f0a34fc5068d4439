"""The layout ``coco``: JSON with images, annotations and categories, anywhere among the images.

https://cocodataset.org/#format-data. The split is that of the JSON's name or folder, such as
``instances_val2017.json`` or ``valid/_annotations.coco.json``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from satimnet.builder.errors import BadFileError
from satimnet.builder.layouts.arranged_files import (
    Files,
    Labelled,
    NamedClass,
    box,
    folder_of,
    left_out,
    none_found,
    number,
    require,
    ring,
    split_in,
    split_of,
)
from satimnet.builder.samples import Object, Problem
from satimnet.builder.sources import Entry

_MOST_RUNS = 10_000_000

Ring = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class CocoFiles:
    """The COCO files of a source, read one after the other."""

    files: Files
    labels: tuple[Entry, ...]

    @cached_property
    def classes(self) -> Sequence[NamedClass]:
        """The categories of all files by id; those of one name are one class."""
        found: dict[str, None] = {}
        for entry in self.labels:
            for _, name in sorted(_categories(_content(self.files, entry), entry.label).items()):
                found.setdefault(name)
        return [NamedClass(name) for name in found]

    def __iter__(self) -> Iterator[Labelled | Problem]:
        seen: dict[str, str] = {}
        yield from self.labelled(seen)
        for image in self.files.images():
            if image.path not in seen and not _is_mask(image.path):
                yield Problem(image.label, "no COCO file names it", "foreign")

    def labelled(self, seen: dict[str, str]) -> Iterator[Labelled | Problem]:
        """The images that COCO files name; ``seen`` gets which file names each, by their paths."""
        for entry in self.labels:
            yield from self._images(entry, seen)

    def _images(self, entry: Entry, seen: dict[str, str]) -> Iterator[Labelled | Problem]:
        content = _content(self.files, entry)
        names = _categories(content, entry.label)
        annotations: dict[Any, list[Mapping[str, Any]]] = {}
        strays = 0
        for one in _rows(content, "annotations", entry.label):
            key = one.get("image_id") if isinstance(one, Mapping) else None
            if isinstance(key, int | str):
                annotations.setdefault(key, []).append(one)
            else:
                strays += 1
        near = folder_of(entry.path)
        split = split_in(entry.path.rpartition("/")[2]) or split_of(entry.path)
        folders = [
            base + sub
            for base in dict.fromkeys((near, folder_of(near.rstrip("/"))))
            for sub in ("images/", *_folders_of(split))
        ]
        missing = 0
        for row in _rows(content, "images", entry.label):
            name = row.get("file_name") if isinstance(row, Mapping) else None
            image = self.files.named(name, near, folders)
            if image is None or not isinstance(row.get("id"), int | str):
                missing += 1
                if missing <= 10:
                    what = f"names the image {name!r:.100}, which is not in the source"
                    yield Problem(entry.label, what, "incomplete")
                continue
            if image.path in seen:
                if seen[image.path] != entry.path:
                    first = seen[image.path]
                    what = f"names {image.path:.100} as {first:.100} does, which was taken"
                    yield Problem(entry.label, what, "foreign")
                continue
            seen[image.path] = entry.path
            own = annotations.pop(row["id"], [])
            objects: list[Object] = []
            faults: list[str] = []
            parts: list[str] = []
            for one in own:
                try:
                    objects.append(_object(one, names, row, parts))
                except (ValueError, TypeError, LookupError, AttributeError) as error:
                    faults.append(str(error)[:200])
            yield from left_out(image.label, faults, len(own))
            if parts:
                what = f"outlines left out of objects that have others: {len(parts)}: {parts[0]}"
                yield Problem(image.label, what, "incomplete")
            where = split or split_of(image.path)
            yield Labelled(image, objects=tuple(objects), split=where)
        if missing > 10:
            yield Problem(entry.label, f"names {missing - 10} more such images", "incomplete")
        strays += sum(map(len, annotations.values()))
        if strays:
            what = f"{strays} annotations are of no image that it names"
            yield Problem(entry.label, what, "incomplete")


def coco_files(files: Files) -> CocoFiles:
    """The layout ``coco``; raises `SatimnetError` where no such file is there."""
    labels = []
    for entry in files.with_ending(".json"):
        try:
            content = orjson.loads(files.read(entry))
        except ValueError as error:
            raise BadFileError(entry.label, f"this is not JSON: {error}") from error
        if isinstance(content, dict) and {"images", "categories"} <= content.keys():
            labels.append(entry)
    if not labels:
        raise none_found("no COCO file (.json with images, annotations and categories) is there")
    return CocoFiles(files, tuple(labels))


def _is_mask(path: str) -> bool:
    return "/annotations/" in f"/{path.lower()}"


def _folders_of(split: str | None) -> tuple[str, ...]:
    names = {"train": ("train",), "validation": ("val", "valid"), "test": ("test",)}
    own = names.get(split or "", ())
    years = [f"{name}{year}" for name in own for year in ("", "2014", "2017")]
    return tuple(f"{sub}{name}/" for name in years for sub in ("", "images/"))


def _content(files: Files, entry: Entry) -> Mapping[str, Any]:
    try:
        content = orjson.loads(files.read(entry))
    except ValueError as error:
        raise BadFileError(entry.label, f"this is not JSON: {error}") from error
    require(isinstance(content, dict), entry.label, "this is no COCO file")
    found: Mapping[str, Any] = content
    return found


def _rows(content: Mapping[str, Any], key: str, label: str) -> list[Any]:
    rows = content.get(key, [])
    require(isinstance(rows, list), label, f"{key} must be a list")
    found: list[Any] = rows
    return found


def _categories(content: Mapping[str, Any], label: str) -> dict[int, str]:
    names: dict[int, str] = {}
    for row in _rows(content, "categories", label):
        known = isinstance(row, dict) and type(row.get("id")) is int
        name = row.get("name") if known else None
        require(isinstance(name, str) and name.strip(), label, f"no category: {row!r:.80}")
        require(row["id"] not in names, label, f"two categories of the id {row['id']!r:.40}")
        names[row["id"]] = str(name).strip()
    return names


def _object(
    one: Mapping[str, Any],
    names: Mapping[int, str],
    image: Mapping[str, Any],
    left_out_parts: list[str],
) -> Object:
    """The object of an annotation; one of several outlines has so many polygons.

    Outlines that are none are told to ``left_out_parts`` where the object has others. Raises
    `ValueError` and the like for what is no object.
    """
    name = names.get(one["category_id"]) if type(one.get("category_id")) is int else None
    if name is None:
        raise ValueError(f"no category {one.get('category_id')!r:.40}")
    said: dict[str, Any] = {}
    if isinstance(one.get("id"), int | str):
        said["id"] = one["id"]
    if one.get("iscrowd") in (1, True):
        said["iscrowd"] = True
    drawn = one.get("segmentation")
    if isinstance(drawn, Mapping):
        return Object(name, runs=_runs(drawn, image), properties=said)
    if drawn:
        rings, faults = _rings(drawn)
        left_out_parts += faults
        if len(rings) == 1:
            return Object(name, outline=rings[0], properties=said)
        return Object(name, properties=said, polygons=tuple((ring,) for ring in rings))
    left, top, width, height = map(number, one["bbox"])
    return Object(name, outline=box(left, top, left + width, top + height), properties=said)


def _rings(drawn: Sequence[Any]) -> tuple[list[Ring], list[str]]:
    """The outlines of an annotation, and why others are none; raises `ValueError` if all are."""
    rings: list[Ring] = []
    faults: list[str] = []
    for part in drawn:
        try:
            rings.append(ring(part))
        except (ValueError, TypeError) as error:
            faults.append(str(error)[:200])
    if not rings:
        raise ValueError(faults[0])
    return rings, faults


def _runs(drawn: Mapping[str, Any], image: Mapping[str, Any]) -> tuple[int, ...]:
    """Starts and lengths of run lengths, which count down the columns, as ours do."""
    rows, columns = drawn["size"]
    if (rows, columns) != (image.get("height"), image.get("width")) or type(rows) is not int:
        raise ValueError(f"run lengths of {rows!r:.20} x {columns!r:.20} pixels, unlike the image")
    counts = drawn["counts"]
    lengths = _uncompressed(counts) if isinstance(counts, str) else counts
    if not isinstance(lengths, list) or not all(type(n) is int and n >= 0 for n in lengths):
        raise ValueError("run lengths that are no numbers")
    if sum(lengths) != rows * columns:
        raise ValueError(f"run lengths of {sum(lengths)} pixels, the image has {rows * columns}")
    runs: list[int] = []
    at = 0
    for k, length in enumerate(lengths):
        if k % 2 and length:
            runs += [at, length]
        at += length
    if not runs:
        raise ValueError("run lengths without a pixel")
    return tuple(runs)


def _uncompressed(text: str) -> list[int]:
    """The run lengths of COCO's text: 5 bits a character, differences from the one before last."""
    lengths: list[int] = []
    at = 0
    while at < len(text):
        value, shift, more = 0, 0, True
        while more:
            if at >= len(text) or shift > 60 or len(lengths) > _MOST_RUNS:
                raise ValueError("run lengths that are no text of COCO's")
            bits = ord(text[at]) - 48
            if not 0 <= bits < 64:
                raise ValueError("run lengths that are no text of COCO's")
            value |= (bits & 0x1F) << shift
            more = bool(bits & 0x20)
            at += 1
            shift += 5
            if not more and bits & 0x10:
                value -= 1 << shift
        if len(lengths) > 2:
            value += lengths[-2]
        lengths.append(value)
    return lengths
