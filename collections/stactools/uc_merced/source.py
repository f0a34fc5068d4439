"""Reads UC Merced Land Use as its publisher lays it out: ``<class>/<class><nn>.tif``.

The archive has the class folders under ``UCMerced_LandUse/Images/``; copies have them elsewhere, so
only the last two parts of a path count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.errors import BadFileError
from satimnet.builder.samples import Member, Problem, Sample, second_copy
from satimnet.builder.sources import Entry, Source
from satimnet.builder.splits import SplitLists

_IMAGE = re.compile(r"(?:^|/)(?P<folder>[^/]+)/(?P<name>[^/]+)\.tif$")

# The publisher has no split. These lists of file names, one a line, are those of
# https://arxiv.org/abs/1911.06721, which TorchGeo uses as well.
_SPLIT_LIST = re.compile(r"(?:^|/)uc_merced-(?P<split>train|val|test)\.txt$")
_SPLITS = {"train": "train", "val": "validation", "test": "test"}
_MAX_LIST_SIZE = 2**20  # bytes; all 2,100 names take 36 thousand


def scan(source: Source, record: DatasetRecord) -> Iterator[Sample | Problem]:
    """Samples by class and number; wrongly named and repeated files as problems."""
    classes = {entry.name for entry in record.classes}
    found: dict[str, Entry] = {}
    splits = SplitLists(record)
    for entry in source.entries():
        image = _IMAGE.search(entry.path)
        if listed := _SPLIT_LIST.search(entry.path):
            splits.add(_listed_names(source, entry), _SPLITS[listed["split"]], entry.label)
        elif image is None or image["folder"] not in classes:
            continue
        elif re.fullmatch(rf"{image['folder']}[0-9]{{2}}", image["name"]) is None:
            yield Problem(entry.label, "not named as UC Merced names its files", "foreign")
        elif first := found.get(image["name"]):
            yield second_copy(entry, first)
        else:
            found[image["name"]] = entry
    yield from splits.problems()
    for name, entry in sorted(found.items()):
        folder = name[:-2]
        members = (Member("image", f"{folder}/{name}.tif", entry),)
        yield Sample(name, (folder,), members, (folder,), splits.split(name))


def _listed_names(source: Source, entry: Entry) -> list[str]:
    """Names of images in a split list, without their ending."""
    if entry.size > _MAX_LIST_SIZE:
        raise BadFileError(entry.label, f"{entry.size} bytes, far more than a list of all images")
    words = source.read(entry).decode("utf-8", "replace").split()
    return [word.partition(".")[0] for word in words]
