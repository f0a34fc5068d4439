"""Reads EuroSAT as its publisher lays it out: ``<Class>/<Class>_<n>.jpg`` and ``.tif``.

The RGB archive has the class folders under ``2750/``, the 13-band archive under
``ds/images/remote_sensing/otherDatasets/sentinel_2/tif/``; copies have them elsewhere, so only the
last two parts of a path count. A JPEG and a GeoTIFF of one name show the same place.

The publisher has no split. Split lists of three widely used copies are read, wherever they lie:
``train.csv`` with the columns Filename and Label (Kaggle), ``eurosat-train.txt`` with one file name
a line, drawn at random, and ``eurosat-spatial-train.txt``, divided by longitude (both TorchGeo).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.errors import BadFileError
from satimnet.builder.samples import Member, Problem, Sample, second_copy
from satimnet.builder.sources import Entry, Source
from satimnet.builder.splits import SplitLists

_IMAGE = re.compile(r"(?:^|/)(?P<folder>[^/]+)/(?P<name>[^/]+)\.(?P<kind>jpg|tif)$")
_ASSETS = {"jpg": "rgb", "tif": "multispectral"}

_SPLIT_LIST = re.compile(
    r"(?:^|/)(?P<family>(?:[^/]*[_-])?)(?P<split>train|validation|val|test)\.(?P<kind>csv|txt)$"
)
_LISTED = re.compile(r"([^/\\]+)\.(?:jpe?g|tiff?)$", re.IGNORECASE)
_SPLITS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


def scan(source: Source, record: DatasetRecord) -> Iterator[Sample | Problem]:
    """Samples of both editions, by class and number; foreign and repeated files as problems."""
    classes = {entry.name for entry in record.classes}
    found: dict[str, dict[int, dict[str, Entry]]] = {}  # by class, number and edition
    splits = SplitLists(record, record.options["splits"].value)
    for entry in source.entries():
        image = _IMAGE.search(entry.path)
        if image is not None:
            folder, name, kind = image.groups()
            if folder not in classes:
                continue
            digits = name.removeprefix(f"{folder}_")
            number = int(digits) if digits.isdecimal() else -1
            if number < 0 or f"{folder}_{number}" != name:
                yield Problem(entry.label, "not named as EuroSAT names its files", "foreign")
                continue
            known = found.setdefault(folder, {}).setdefault(number, {})
            if kind in known:
                yield second_copy(entry, known[kind])
            else:
                known[kind] = entry
        elif listed := _SPLIT_LIST.search(entry.path):
            names = _names(source, entry)
            splits.add(names, _SPLITS[listed["split"]], entry.label, _family(listed))
            if not names:
                yield Problem(entry.label, "a split list that names no image", "incomplete")
    yield from splits.problems()
    for folder, numbers in sorted(found.items()):
        for number, entries in sorted(numbers.items()):
            name = f"{folder}_{number}"
            members = tuple(
                [
                    Member(asset, f"{folder}/{name}.{kind}", entries[kind])
                    for kind, asset in _ASSETS.items()
                    if kind in entries
                ]
            )
            yield Sample(name, (folder,), members, (folder,), splits.split(name))


def _family(listed: re.Match[str]) -> str:
    """Whose list it is, as the option ``splits`` names it; empty if the name does not say it."""
    family = listed["family"].lower()
    if listed["kind"] == "csv":
        return family.strip("_-") or "kaggle"
    return "random" if family == "eurosat-" else family.removeprefix("eurosat-").strip("_-")


def _names(source: Source, entry: Entry) -> list[str]:
    """The samples of a split list."""
    text = source.read(entry).decode("utf-8-sig", "replace")
    if entry.path.endswith(".txt"):
        names = text.split()
    else:
        try:
            names = [row.get("Filename") or "" for row in csv.DictReader(io.StringIO(text))]
        except csv.Error as error:
            raise BadFileError(entry.label, f"no table ({error}); get it again") from error
    stems = map(_LISTED.search, names)
    return [stem[1] for stem in stems if stem]
