"""The layout ``voc``: ``Annotations/1.xml`` beside ``JPEGImages/1.jpg``, with lists of splits.

http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html. Boxes of whole numbers count
pixels from 1, and their last pixel is in them, as VOC has it; numbers with a decimal point, which
tools write, are edges, counted from 0. ``SegmentationClass`` is for the layout ``masks``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

from satimnet.builder.errors import BadFileError
from satimnet.builder.layouts.arranged_files import (
    Files,
    Labelled,
    NamedClass,
    box,
    by_split,
    folder_of,
    left_out,
    none_found,
    number,
    require,
    split_lists,
)
from satimnet.builder.samples import Object, Problem
from satimnet.builder.sources import Entry

_DEEPEST = 20
_LARGEST = 2**26  # bytes of a label


@dataclass(frozen=True)
class VocFiles:
    """Images with their XML."""

    files: Files
    labels: tuple[Entry, ...]
    classes: Sequence[NamedClass] | None = None

    def __iter__(self) -> Iterator[Labelled | Problem]:
        lists = split_lists(self.files)
        seen: set[str] = set()
        for label in self.labels:
            try:
                root = _parsed(self.files.read(label), label.label)
                require(root.tag == "annotation", label.label, "this is no label of VOC's")
                image = self._image(root, label)
            except BadFileError as error:
                yield Problem(error.path, error.reason)
                continue
            if image is None:
                named = root.findtext("filename")
                what = f"is of the image {named!r:.100}, which is not in the source"
                yield Problem(label.label, what, "incomplete")
                continue
            if image.path in seen:
                yield Problem(label.label, f"a second label of {image.path:.100}", "foreign")
                continue
            seen.add(image.path)
            objects: list[Object] = []
            faults: list[str] = []
            rows = root.findall("object")
            for row in rows:
                try:
                    objects.append(_object(row))
                except ValueError as error:
                    faults.append(str(error)[:200])
            yield from left_out(label.label, faults, len(rows))
            yield Labelled(image, objects=tuple(objects), split=by_split(lists, image))
        for image in self.files.images():
            if image.path not in seen and "/Segmentation" not in f"/{image.path}":
                yield Problem(image.label, "an image without its label", "foreign")

    def _image(self, root: Any, label: Entry) -> Entry | None:
        """The image of a label: that of its own name, or else the one that it names."""
        near = folder_of(label.path)
        above = folder_of(near.rstrip("/"))
        stem = label.path.rpartition("/")[2].removesuffix(".xml")
        folders = (f"{above}JPEGImages/", f"{above}images/", above)
        found = self.files.named(f"{stem}.jpg", near, folders)
        return found or self.files.named(root.findtext("filename"), near, folders)


def voc_files(files: Files) -> VocFiles:
    """The layout ``voc``; raises `SatimnetError` where no label is there."""
    labels = tuple(
        entry for entry in files.with_ending(".xml") if not entry.path.endswith(".aux.xml")
    )
    if not labels:
        raise none_found("no label (Annotations/1.xml) is there")
    return VocFiles(files, labels)


def _parsed(data: bytes, label: str) -> Any:
    """The XML of a label. Document types, which may define entities, are refused."""
    require(len(data) <= _LARGEST, label, "is too long for a label")
    depth = 0

    def refuse(*_: Any) -> None:
        raise BadFileError(label, "has a document type (DOCTYPE), which labels do not need")

    def start(*_: Any) -> None:
        nonlocal depth
        depth += 1
        require(depth <= _DEEPEST, label, "has too many levels")

    def end(*_: Any) -> None:
        nonlocal depth
        depth -= 1

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    try:
        parser.Parse(data, True)
        return ElementTree.fromstring(data)
    except (expat.ExpatError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise BadFileError(label, f"this is not XML ({error})") from error


def _object(row: Any) -> Object:
    name = (row.findtext("name") or "").strip()
    if not name:
        raise ValueError("an object without a name")
    found = row.find("bndbox")
    if found is None:
        raise ValueError(f"{name!r:.40} without a box")
    texts = [found.findtext(key) or "" for key in ("xmin", "ymin", "xmax", "ymax")]
    ends = [number(text) for text in texts]
    first = 0 if any("." in text for text in texts) else 1
    said = {
        key: True for key in ("difficult", "truncated") if (row.findtext(key) or "").strip() == "1"
    }
    return Object(name, outline=box(ends[0] - first, ends[1] - first, *ends[2:]), properties=said)
