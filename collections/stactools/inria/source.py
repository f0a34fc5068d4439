"""Reads the Inria dataset as its publisher lays it out: ``{train,test}/{images,gt}/<city><n>.tif``.

``gt`` has the masks, of training images only. The split is that of the folders: that five images of
each town make a good validation set is the publisher's advice to users, not a part of the data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.samples import Member, Problem, Sample, second_copy
from satimnet.builder.sources import Entry, Source

_FILE = re.compile(r"(?:^|/)(?P<split>train|test)/(?P<folder>images|gt)/(?P<name>[^/.][^/]*)\.tif$")
_NAME = re.compile(r"(?P<city>[a-z]+(?:-[ew])?)(?P<number>[1-9][0-9]?)")
_ASSETS = {"images": "image", "gt": "mask"}

# The publisher's towns and regions, and the country that he gives for each.
_COUNTRIES = {
    "austin": "United States of America",
    "bellingham": "United States of America",
    "bloomington": "United States of America",
    "chicago": "United States of America",
    "innsbruck": "Austria",
    "kitsap": "United States of America",
    "sfo": "United States of America",
    "tyrol-e": "Austria",
    "tyrol-w": "Austria",
    "vienna": "Austria",
}

_Key = tuple[str, str, int]  # split, city, number


def scan(source: Source, record: DatasetRecord) -> Iterator[Sample | Problem]:
    """Samples by split, city and number, each with its mask where there is one."""
    found: dict[_Key, dict[str, Entry]] = {}
    for entry in source.entries():
        file = _FILE.search(entry.path)
        if file is None:
            continue
        name = _NAME.fullmatch(file["name"])
        if name is None or name["city"] not in _COUNTRIES:
            yield Problem(entry.label, "not named as Inria names its files", "foreign")
            continue
        key = file["split"], name["city"], int(name["number"])
        entries, asset = found.setdefault(key, {}), _ASSETS[file["folder"]]
        if asset in entries:
            yield second_copy(entry, entries[asset])
        else:
            entries[asset] = entry

    splits: dict[str, set[str]] = {}
    for (split, city, number), entries in found.items():
        if "image" in entries:
            splits.setdefault(f"{city}{number}", set()).add(split)
    taken: dict[str, Entry] = {}
    for split, city, number in sorted(found, key=lambda key: (key[0] != "train", *key)):
        entries = found[split, city, number]
        id = f"{city}{number}"
        if "image" not in entries:
            yield Problem(entries["mask"].label, "mask without an image", "incomplete")
            continue
        image = entries["image"]
        if id in taken:
            yield second_copy(image, taken[id], other_split=len(splits[id]) > 1)
            continue
        taken[id] = image
        path = f"{split}/{city}/{id}"
        members = [Member("image", f"{path}.tif", image)]
        if "mask" in entries:
            members.append(Member("mask", f"{path}_mask.tif", entries["mask"]))
        elif split == "train":  # the masks of test images are not published
            yield Problem(image.label, "image without a mask", "incomplete")
        yield Sample(
            id,
            (split, city),
            tuple(members),
            split=split if len(splits[id]) == 1 else None,
            properties={"inria:city": city, "satimnet:country": _COUNTRIES[city]},
        )
