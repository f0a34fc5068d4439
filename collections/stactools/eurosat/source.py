"""Reads EuroSAT as its publisher lays it out: ``<Class>/<Class>_<n>.jpg`` and ``.tif``.

The RGB archive has the class folders under ``2750/``, the 13-band archive under
``ds/images/remote_sensing/otherDatasets/sentinel_2/tif/``; copies have them elsewhere, so only the
last two parts of a path count. A JPEG and a GeoTIFF of one name show the same place.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from typing import Any

from satimnet.builder.samples import Member, Problem, Sample
from satimnet.builder.sources import Entry, Source

_IMAGE = re.compile(r"(?:^|/)(?P<folder>[^/]+)/(?P<name>[^/]+)\.(?P<kind>jpg|tif)$")
_ASSETS = {"jpg": "rgb", "tif": "multispectral"}

# The split lists of two widely used copies: "train.csv" with the columns Filename and Label, and
# "eurosat-train.txt" with one file name a line. The publisher has no split.
_SPLIT_LIST = re.compile(r"(?:^|[/_-])(?P<split>train|validation|val|test)\.(?P<kind>csv|txt)$")
_SPLITS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


def scan(source: Source, record: Mapping[str, Any]) -> Iterator[Sample | Problem]:
    """Samples of both editions, by class and number; foreign and repeated files as problems."""
    classes = {row["name"] for row in record["classes"]}
    found: dict[tuple[str, int], dict[str, Entry]] = {}
    splits: dict[str, str] = {}
    for entry in source.entries():
        image = _IMAGE.search(entry.path)
        if image is None:
            splits |= _split_list(source, entry)
        elif image["folder"] in classes:
            number = image["name"].removeprefix(f"{image['folder']}_")
            key = image["folder"], int(number) if number.isdecimal() else -1
            if key[1] < 0 or f"{key[0]}_{key[1]}" != image["name"]:
                yield Problem(entry.label, "not named as EuroSAT names its files", "foreign")
            elif image["kind"] in found.setdefault(key, {}):
                first = found[key][image["kind"]].label
                yield Problem(entry.label, f"a second copy; {first} was taken", "foreign")
            else:
                found[key][image["kind"]] = entry
    for (name, number), entries in sorted(found.items()):
        sample = f"{name}_{number}"
        members = tuple(
            Member(asset, f"{name}/{sample}.{kind}", entries[kind])
            for kind, asset in _ASSETS.items()
            if kind in entries
        )
        yield Sample(sample, (name,), members, (name,), splits.get(sample))


def _split_list(source: Source, entry: Entry) -> dict[str, str]:
    """Sample ids to their split, if the file is a split list."""
    match = _SPLIT_LIST.search(entry.path)
    if match is None:
        return {}
    text = source.read(entry).decode("utf-8", "replace")
    if match["kind"] == "txt":
        names = text.split()
    else:
        names = [row.get("Filename") or "" for row in csv.DictReader(io.StringIO(text))]
    split = _SPLITS[match["split"]]
    stems = (re.search(r"([^/]+)\.(?:jpg|tif)$", name) for name in names)
    return {stem[1]: split for stem in stems if stem}
