"""Reads clouds-s2-taiwan: GeoTIFFs of ten bands, each with a mask of clouds.

The publisher describes no layout, and no copy of the data could be seen when this was written.
Known are file names such as ``20180516_S2_20m_2240_36.tif`` (day, satellite, pixel size, place in
the scene), and, from a notebook of a user (``ZhouPeng-NIMST/cloud_detection_using_satellite_data``
on GitHub), the two folders ``Image_Cloud_Mask/Image`` and ``Image_Cloud_Mask/Cloud_Mask``. So a
pair is understood if it is one of these, at any depth:

- a file of one name in a folder ``Image`` and in a folder ``Cloud_Mask`` (or ``Images``, ``Mask``,
  ``Masks``, ``Cloud_Masks``; case does not matter);
- ``<name>.tif`` beside ``<name>_mask.tif`` in one folder.

Any other GeoTIFF is named as a problem: which of two files is the mask is never guessed. The day of
acquisition is known, the time is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.samples import Member, Problem, Sample, second_copy
from satimnet.builder.sources import Entry, Source

_FILE = re.compile(
    r"(?:^|/)(?:(?P<folder>[^/]+)/)?"
    r"(?P<id>(?P<year>20[0-9]{2})(?P<month>[0-9]{2})(?P<day>[0-9]{2})"
    r"_S2_20m_[0-9]{1,6}_[0-9]{1,6})(?P<suffix>_mask)?\.tif\Z"
)
_ROLES = {"image": "image", "images": "image"}
_ROLES |= dict.fromkeys(("mask", "masks", "cloud_mask", "cloud_masks"), "mask")


@dataclass(frozen=True, slots=True)
class _Found:
    """The files of one name."""

    day: str
    files: dict[str, Entry] = field(default_factory=dict)
    """``image`` and ``mask``."""
    undecided: list[Entry] = field(default_factory=list)
    """Files whose folder does not say which of the two they are."""


def scan(source: Source, record: DatasetRecord) -> Iterator[Sample | Problem]:
    """Images by name, with their masks; what is not understood as problems."""
    del record  # the masks say which classes are there
    found: dict[str, _Found] = {}
    for entry in source.entries():
        match = _FILE.search(entry.path)
        day = _day(match) if match else None
        if match is None or day is None:
            if entry.path.endswith(".tif"):
                reason = "not named like 20180516_S2_20m_2240_36.tif, so its day is not known"
                yield Problem(entry.label, reason, "foreign")
            continue
        files = found.setdefault(match["id"], _Found(day))
        role = "mask" if match["suffix"] else _ROLES.get((match["folder"] or "").lower())
        if role is None:
            files.undecided.append(entry)
        elif role in files.files:
            yield second_copy(entry, files.files[role])
        else:
            files.files[role] = entry
    for sample, files in sorted(found.items()):
        yield from _sample(sample, files)


def _day(match: re.Match[str]) -> str | None:
    day = "-".join(match.group("year", "month", "day"))
    try:
        date.fromisoformat(day)
    except ValueError:
        return None
    return day


def _sample(sample: str, found: _Found) -> Iterator[Sample | Problem]:
    files = found.files
    for entry in found.undecided:
        if "image" not in files and "mask" in files and _lie_together(entry, files["mask"]):
            files["image"] = entry
        else:
            reason = (
                "image or mask? Put it in a folder Image or Cloud_Mask, or beside its _mask.tif"
            )
            yield Problem(entry.label, reason, "foreign")
    if "image" not in files:
        if "mask" in files:
            yield Problem(files["mask"].label, "a mask without its image", "incomplete")
        return
    if "mask" not in files:
        yield Problem(files["image"].label, "an image without its mask", "incomplete")
    endings = {"image": ".tif", "mask": "_mask.tif"}
    yield Sample(
        sample,
        (found.day,),
        tuple(
            Member(asset, f"{sample}{ending}", files[asset])
            for asset, ending in endings.items()
            if asset in files
        ),
        properties={
            "start_datetime": f"{found.day}T00:00:00Z",
            "end_datetime": f"{found.day}T23:59:59Z",
        },
    )


def _lie_together(one: Entry, other: Entry) -> bool:
    return one.path.rpartition("/")[0] == other.path.rpartition("/")[0]
