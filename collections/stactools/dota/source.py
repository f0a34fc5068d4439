"""Reads DOTA as its publisher lays it out: ``<split>/images/*.png``, ``<split>/labelTxt…/*.txt``.

The download has zips inside these folders (``train/images/part1.zip``), so what lies between the
folder and the file does not count. Labels come in editions for the same images: version 1.0, 1.5
(small objects added) and 2.0, each also as upright boxes, which say less than the oriented ones
and are not read. An image takes the oldest edition that has it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.errors import BadFileError
from satimnet.builder.samples import Member, Object, Problem, Sample, second_copy
from satimnet.builder.sources import Entry, Reader, Source

_SPLITS = {"train": "train", "val": "validation", "test": "test"}
_FILE = re.compile(r"(?P<name>[A-Za-z0-9_-]{1,100})\.(?P<kind>png|txt)")
_NUMBERED = re.compile(r"P[0-9]{4,}\.txt")  # how labels are named
_UPRIGHT = re.compile(r"_hbb(/|$)|reclabelTxt|_Task2_gt")
_VERSION = re.compile(r"v(1\.0|1\.5|2\.0)")

_MAX_LABEL_SIZE = 2**22  # bytes; the largest image of version 2.0 has 30,000 objects of 50 bytes
_MAX_COORDINATE = 1e6  # no image has a million columns
_DIFFICULT = re.compile(r"[0-9]")
_LINE_END = re.compile(r"\r\n|\r|\n")
_HEADER = re.compile(r"\s*([A-Za-z][A-Za-z _-]*):(.*)")
_IMAGE_SOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
_GSD = re.compile(r"[0-9]{1,3}(\.[0-9]{0,32})?")
_SMALLEST_GSD = 0.01  # metres; a few headers have degrees instead, such as 0.00000134

_OBJECT = "'x1 y1 … x4 y4 class difficult'"

_Key = tuple[str, str, str]
"""The folder above the split, the split, the file's name: what an image and its label share."""


@dataclass(frozen=True, slots=True)
class _Files:
    """What a source holds, put in order."""

    images: dict[_Key, Entry] = field(default_factory=dict)
    labels: dict[_Key, dict[str, Entry]] = field(default_factory=dict)
    """By version, which is empty where the folder does not say it."""
    copies: list[Problem] = field(default_factory=list)
    unread: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Label files that are not read, counted by folder and reason."""


@dataclass(frozen=True, slots=True)
class _Label:
    """What a label file says."""

    objects: tuple[Object, ...]
    properties: Mapping[str, Any]
    unknown: Counter[str]
    """Objects of classes that DOTA does not have; they are left out."""
    odd: tuple[int, ...]
    """Numbers of the lines that are neither header nor object; they are left out."""


def scan(source: Source, record: DatasetRecord) -> Iterator[Sample | Problem]:
    """Samples by split and name, each with its objects unless its label is missing or broken."""
    classes = {entry.name for entry in record.classes if entry.value != 0}
    files = _files(source)
    yield from files.copies
    splits: dict[str, set[str]] = {}
    for _, split, name in files.images:
        splits.setdefault(name, set()).add(split)
    order = [*_SPLITS]
    taken: dict[str, Entry] = {}
    with source.reader() as reader:
        for key, image in sorted(
            files.images.items(), key=lambda item: (order.index(item[0][1]), *item[0][1:], item[0])
        ):
            editions = files.labels.pop(key, {})
            _, split, name = key
            if taken.setdefault(name, image) is not image:
                yield second_copy(image, taken[name], other_split=len(splits[name]) > 1)
                for label in editions.values():
                    source.take(label)
                continue
            version = min(editions, default="")
            for other in editions.keys() - {version}:
                instead = f"version {version}" if version else "those without a version"
                files.unread[_folder(editions[other]), f"of version {other}, not {instead}"] += 1
                source.take(editions[other])
            for found in _sample(
                split, name, image, editions.get(version), version, reader, classes
            ):
                if isinstance(found, Sample) and len(splits[name]) > 1:
                    found = replace(found, split=None)
                yield found
    for editions in files.labels.values():
        yield Problem(editions[min(editions)].label, "label without an image", "incomplete")
        for edition in editions.values():
            source.take(edition)
    for (folder, reason), count in sorted(files.unread.items()):
        yield Problem(folder, f"label files not read, {reason}: {count}", "foreign")


def _files(source: Source) -> _Files:
    found = _Files()
    for entry in source.entries():
        *folders, name = entry.path.split("/")
        file = _FILE.fullmatch(name)
        if file is None:
            continue
        at = _split_at(folders)
        if at is None:
            if _NUMBERED.fullmatch(name):
                reason = "in no labelTxt folder of train, val or test"
                found.unread[_folder(entry), reason] += 1
                source.take(entry)
            continue
        key = "/".join(folders[:at]), folders[at], file["name"]
        within = "/".join(folders[at + 1 :])
        if within.startswith("images"):
            if file["kind"] == "png" and found.images.setdefault(key, entry) is not entry:
                found.copies.append(second_copy(entry, found.images[key]))
        elif file["kind"] == "txt" and _UPRIGHT.search(within):
            found.unread[_folder(entry), "of upright boxes, not oriented ones"] += 1
            source.take(entry)
        elif file["kind"] == "txt":
            version = _VERSION.search(within)
            editions = found.labels.setdefault(key, {})
            first = editions.setdefault(version[1] if version else "", entry)
            if first is not entry:
                found.copies.append(second_copy(entry, first))
    return found


def _split_at(folders: Sequence[str]) -> int | None:
    """Where among the folders the split stands: above ``images`` or ``labelTxt…``."""
    for at in range(len(folders) - 2, -1, -1):
        below = folders[at + 1]
        if folders[at] in _SPLITS and (below == "images" or below.startswith("labelTxt")):
            return at
    return None


def _folder(entry: Entry) -> str:
    """How messages name the folder or archive of a file."""
    return str(PurePath(entry.where).parent) if entry.kind == "file" else entry.where


def _sample(
    split: str,
    name: str,
    image: Entry,
    label: Entry | None,
    version: str,
    reader: Reader,
    classes: Set[str],
) -> Iterator[Sample | Problem]:
    """The sample of one image, and what is wrong with its label."""
    members = [Member("image", f"{split}/{name}.png", image)]
    said: _Label | None = None
    if label is not None:
        try:
            said = _read_label(reader.read(label), label.label, version, classes)
            members.append(Member("labels", f"{split}/{name}.txt", label))
        except BadFileError as error:
            yield Problem(error.path, f"{error.reason}; its image is taken without objects")
    elif split != "test":  # the publisher keeps the labels of the test images
        yield Problem(image.label, "image without a label", "incomplete")
    if label is not None and said is not None and said.unknown:
        yield Problem(label.label, _worded(said.unknown), "incomplete")
    if label is not None and said is not None and said.odd:
        reason = f"lines left out, not {_OBJECT}: {len(said.odd)}, first line {said.odd[0]}"
        yield Problem(label.label, reason, "incomplete")
    yield Sample(
        name,
        (_SPLITS[split],),
        tuple(members),
        split=_SPLITS[split],
        objects=None if said is None else said.objects,
        properties={} if said is None else said.properties,
    )


def _worded(unknown: Counter[str]) -> str:
    names = ", ".join(f"{count} of {name[:40]!r}" for name, count in sorted(unknown.items())[:5])
    return f"objects left out, of classes that DOTA does not have: {names}"


def _read_label(data: bytes, path: str, version: str, classes: Set[str]) -> _Label:
    """What a label file says: two header lines, which may be missing, then a line an object.

    Lines are taken one by one, as the publisher's tools take them
    (https://github.com/CAPTAIN-WHU/DOTA_devkit, dota_utils.py), but for numbers that are no place.

    Raises:
        BadFileError: it has lines that should be objects, and none is.
    """
    if len(data) > _MAX_LABEL_SIZE:
        raise BadFileError(path, f"label of {len(data)} bytes, over the limit {_MAX_LABEL_SIZE}")
    lines = _LINE_END.split(data.decode("utf-8-sig", "replace"))
    properties: dict[str, Any] = {"dota:label_version": version} if version else {}
    objects, odd = [], []
    unknown: Counter[str] = Counter()
    for number, line in enumerate(lines, 1):
        if header := _HEADER.match(line):
            properties |= _header_property(header[1], header[2].strip())
        elif words := line.split():
            item = _object(words)
            if item is None:
                odd.append(number)
            elif item.name in classes:
                objects.append(item)
            else:
                unknown[item.name] += 1
    if odd and not (objects or unknown):
        raise BadFileError(path, f"no line is {_OBJECT}")
    return _Label(tuple(objects), properties, unknown, tuple(odd))


def _header_property(key: str, value: str) -> dict[str, Any]:
    """The Item property of a header line; none where the value is absent, or no such value.

    Absent is written as nothing, "null" or "None".
    """
    if key not in ("imagesource", "gsd"):
        return {}
    if key == "imagesource":
        known = _IMAGE_SOURCE.fullmatch(value) and value.lower() not in ("null", "none")
        return {"dota:image_source": value} if known else {}
    gsd = float(value) if _GSD.fullmatch(value) else 0.0
    return {"gsd": gsd} if gsd >= _SMALLEST_GSD else {}


def _object(words: Sequence[str]) -> Object | None:
    """The object of a line; None if the line is none.

    Early labels lack the word for difficult, and there may be more words behind it.
    """
    try:
        numbers = [float(word) for word in words[:8]]
    except ValueError:
        return None
    # also false of what is no number
    if len(words) < 9 or not all(abs(number) < _MAX_COORDINATE for number in numbers):
        return None
    x1, y1, x2, y2, x3, y3, x4, y4 = numbers
    known = len(words) > 9 and _DIFFICULT.fullmatch(words[9])
    properties = {"difficult": int(words[9])} if known else {}
    return Object(words[8], ((x1, y1), (x2, y2), (x3, y3), (x4, y4)), properties=properties)
