"""The layout ``csv``: a table that names images, with their classes, boxes, split or time.

The first line has the names of the columns: ``path`` (or image, file, filename), ``class`` (or
label; several with ``;`` between them), ``split``, ``datetime``, and for boxes ``xmin``, ``ymin``,
``xmax`` and ``ymax`` in pixels, of which an image may have several lines.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from satimnet.builder.errors import BadFileError
from satimnet.builder.layouts.arranged_files import (
    Files,
    Labelled,
    NamedClass,
    box,
    folder_of,
    none_found,
    number,
    split_in,
    split_of,
)
from satimnet.builder.samples import Object, Problem
from satimnet.builder.sources import Entry

_PATHS = ("path", "image", "image_path", "file", "file_name", "filename", "filepath", "id")
_CLASSES = ("class", "classes", "label", "labels", "class_name", "category")
_SPLITS = ("split", "set", "subset", "partition")
_TIMES = ("datetime", "time", "date")
_BOX = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class TableFiles:
    """The tables of a source."""

    files: Files
    tables: tuple[Entry, ...]
    classes: Sequence[NamedClass] | None = None

    def __iter__(self) -> Iterator[Labelled | Problem]:
        found: dict[str, _Image] = {}
        for entry in self.tables:
            near = folder_of(entry.path)
            of_table = split_in(entry.path.rpartition("/")[2].removesuffix(".csv"))
            missing = 0
            for number_, row in _rows(self.files, entry):
                name = _value(row, _PATHS)
                image = self.files.named(name, near, (f"{near}images/",))
                if image is None:
                    missing += 1
                    if missing <= 10:
                        what = f"line {number_} names {name!r:.100}, which is not in the source"
                        yield Problem(entry.label, what, "incomplete")
                    continue
                one = found.setdefault(image.path, _Image(image, of_table, [], []))
                try:
                    one.add(row)
                except (ValueError, OverflowError) as error:
                    yield Problem(entry.label, f"line {number_}: {error}"[:300], "incomplete")
            if missing > 10:
                yield Problem(entry.label, f"names {missing - 10} more such images", "incomplete")
        for one in found.values():
            yield one.labelled()
        for image in self.files.images():
            if image.path not in found:
                yield Problem(image.label, "no table names it", "foreign")


@dataclass
class _Image:
    """An image and what its lines say."""

    entry: Entry
    split: str | None
    classes: list[str]
    objects: list[Object]
    datetime: str | None = None
    boxed: bool = False

    def add(self, row: Mapping[str, str]) -> None:
        """Takes a line; raises `ValueError` for one that cannot be."""
        names = [part.strip() for part in re.split(r"[;|]", _value(row, _CLASSES) or "")]
        names = [name for name in names if name]
        if said := _value(row, _SPLITS):
            self.split = split_in(said)
            if self.split is None:
                raise ValueError(f"no split {said!r:.40}; there are train, validation and test")
        if said := _value(row, _TIMES):
            self.datetime = _time(said)
        if all(key in row for key in _BOX):
            self.boxed = True
            ends = [row[key] for key in _BOX]
            if not any(ends):  # an image without an object
                return
            if len(names) != 1:
                raise ValueError("a box needs one class")
            self.objects.append(Object(names[0], outline=box(*map(number, ends))))
        else:
            self.classes += [name for name in names if name not in self.classes]

    def labelled(self) -> Labelled:
        """What is known of it."""
        return Labelled(
            self.entry,
            classes=None if self.boxed else tuple(self.classes),
            objects=tuple(self.objects) if self.boxed else None,
            split=self.split or split_of(self.entry.path),
            datetime=self.datetime,
        )


def table_files(files: Files) -> TableFiles:
    """The layout ``csv``; raises `SatimnetError` where no table is there."""
    tables = []
    for entry in files.with_ending(".csv"):
        head = _head(files, entry)
        if head & set(_PATHS) and head & {*_CLASSES, *_BOX}:
            tables.append(entry)
    if not tables:
        raise none_found("no table (.csv with the columns path and class) is there")
    return TableFiles(files, tuple(tables))


def _head(files: Files, entry: Entry) -> set[str]:
    text = files.text(entry)
    return {name.strip().lower() for name in next(csv.reader(io.StringIO(text)), [])}


def _rows(files: Files, entry: Entry) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.reader(io.StringIO(files.text(entry)))
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        for row in reader:
            if any(cell.strip() for cell in row):
                cells = [cell.strip() for cell in row]
                yield reader.line_num, dict(zip(names, cells))
    except csv.Error as error:
        raise BadFileError(entry.label, f"line {reader.line_num}: {error}") from error


def _value(row: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((row[name] for name in names if row.get(name)), None)


def _time(text: str) -> str:
    """RFC 3339 in UTC; a date is its noon-less day's beginning."""
    found: Any = datetime.fromisoformat(text.replace("Z", "+00:00"))
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    if not 1900 <= found.year <= 2100:
        raise ValueError(f"no time {text!r:.40}")
    return str(found.isoformat().replace("+00:00", "Z"))
