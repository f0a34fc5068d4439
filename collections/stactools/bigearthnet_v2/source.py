"""Reads BigEarthNet v2.0 as its publisher lays it out: three archives and a table.

``BigEarthNet-S2/<tile>/<patch>/`` has twelve bands, ``BigEarthNet-S1/<product>/<patch>/`` VV and
VH, ``Reference_Maps/<tile>/<patch>/`` the land cover of each pixel. ``metadata.parquet`` says which
of them belong together. Any of these may be missing; what is not there is told once.

The dataset has 8.2 million files, and those of a patch lie in three places. So the source is gone
through several times: each time some patches are put together, as all would fill the memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.samples import Member, Problem, Sample, second_copy
from satimnet.builder.sources import Entry, Reader, Source
from stactools.bigearthnet_v2.patch_table import PATCH, RADAR_PATCH, TABLE, PatchTable, Row

# Those of 10 m first, as the reference map has their grid; then by wavelength.
_BANDS = ["B02", "B03", "B04", "B08", "B05", "B06", "B07", "B8A", "B11", "B12", "B01", "B09"]
_RADAR = ["VV", "VH"]
_MAP = "reference_map"
_FILES = {f"_{asset}.tif": asset for asset in (*_BANDS, *_RADAR, _MAP)}
_KINDS = {
    "BigEarthNet-S2": (_BANDS, "no Sentinel-2 patch is in the source"),
    "BigEarthNet-S1": (_RADAR, "no Sentinel-1 patch is in the source"),
    "Reference_Maps": ([_MAP], "no reference map is in the source, so there are no masks"),
}
"""What each of the archives has, and what is told where none of it is there."""
_MOST_HELD = 2**16  # patches that are put together at a time; each takes seven kilobytes

_FIRST = "bigearthnet"
"""Id of the Collection of version 1.0."""


@dataclass(slots=True)
class _Seen:
    """What a scan has come across."""

    source: Source
    kinds: set[str] = field(default_factory=set)
    """Names of archives of which there are files."""
    lost: Counter[str] = field(default_factory=Counter)
    """How many patches something is wrong with, by what it is."""
    first: dict[str, str] = field(default_factory=dict)
    """The first file of each."""

    def lose(self, reason: str, entries: Iterable[Entry]) -> None:
        """Counts a patch, whose files are thereby accounted for."""
        for entry in entries:
            self.first.setdefault(reason, entry.label)
            self.source.take(entry)
        self.lost[reason] += 1

    def problems(self) -> Iterator[Problem]:
        """What was counted."""
        for reason, count in self.lost.items():
            words = f"{count:,} such patches: {reason}" if count > 1 else reason
            yield Problem(self.first[reason], words, "incomplete")


def scan(source: Source, record: DatasetRecord) -> Iterator[Sample | Problem]:
    """Patches in the order of the source; damaged, missing and foreign files as problems.

    Raises:
        BadFileError: a table cannot be read: it says something of all patches.
    """
    table, seen = PatchTable.of(record), _Seen(source)
    with source.reader() as reader:
        yield from _read_tables(reader, table, seen)
    for kind, (_, reason) in _KINDS.items():
        if kind not in seen.kinds:
            yield Problem(kind, reason, "incomplete")
    if not table.places:
        reason = "not in the source, so no labels, splits and Sentinel-1 images are known"
        yield Problem("metadata.parquet", reason, "incomplete")
    with_images = 0
    for patch, entries in _put_together(source, table):
        for found in _patch(patch, entries, table, seen):
            with_images += isinstance(found, Sample) and patch in table.rows
            yield found
    _count_strangers(table, seen)
    yield from seen.problems()
    if without := len(table.rows) - with_images:
        reason = f"{without:,} of {len(table.rows):,} patches have no image in the source"
        yield Problem(table.places[0], reason, "incomplete")


def _read_tables(reader: Reader, table: PatchTable, seen: _Seen) -> Iterator[Problem]:
    """Fills the table, and notes of which archives there are files."""
    kinds = {asset: kind for kind, (assets, _) in _KINDS.items() for asset in assets}
    for folder, entries in groupby(seen.source.entries(), key=_folder):
        name = folder.rpartition("/")[2]
        is_patch = PATCH.fullmatch(name) or RADAR_PATCH.fullmatch(name)
        for entry in entries:
            if is_patch:
                asset = _FILES.get(_name(entry).removeprefix(name))
                seen.kinds |= {kinds[asset]} if asset else set()
            elif TABLE.search(entry.path):
                yield from table.add(entry, reader)


def _put_together(source: Source, table: PatchTable) -> Iterator[tuple[str, list[Entry]]]:
    """The patches, each with all of its files; goes through the source several times."""
    done: set[str] = set()
    more = True
    while more:
        held: dict[str, list[Entry]] = {}
        more = False
        for folder, entries in groupby(source.entries(), key=_folder):
            patch = _patch_of(folder, table)
            if patch is None or patch in done:
                continue
            if patch not in held and len(held) >= _MOST_HELD:
                more = True
            else:
                held.setdefault(patch, []).extend(entries)
        done |= held.keys()
        for patch in list(held):  # let go when it is used
            yield patch, held.pop(patch)


def _patch_of(folder: str, table: PatchTable) -> str | None:
    """The patch whose files are in a folder; None of Sentinel-1 images of which no table knows."""
    name = folder.rpartition("/")[2]
    return name if PATCH.fullmatch(name) else table.patches.get(name)


def _count_strangers(table: PatchTable, seen: _Seen) -> None:
    """Counts the Sentinel-1 images that belong to no patch."""
    reason = "no row of metadata.parquet says which patch this Sentinel-1 image is of"
    for folder, entries in groupby(seen.source.entries(), key=_folder):
        name = folder.rpartition("/")[2]
        if RADAR_PATCH.fullmatch(name) and name not in table.patches:
            seen.lose(reason, entries)


def _folder(entry: Entry) -> str:
    return entry.path.rpartition("/")[0]


def _name(entry: Entry) -> str:
    return entry.path.rpartition("/")[2]


# --- one patch ----------------------------------------------------------------------------------


def _patch(
    patch: str, entries: list[Entry], table: PatchTable, seen: _Seen
) -> Iterator[Sample | Problem]:
    row = table.rows.get(patch)
    found: dict[str, Entry] = {}
    for entry in entries:
        asset = _FILES.get(_name(entry).removeprefix(_folder(entry).rpartition("/")[2]))
        if asset is None:
            yield Problem(entry.label, "not one of the 15 files of a patch", "foreign")
        elif asset in found:
            yield second_copy(entry, found[asset])
        else:
            found[asset] = entry
    if not found:
        return
    first = next(iter(found.values()))
    if found.keys() == {_MAP}:
        seen.lose("a reference map without an image", found.values())
        return
    if missing := _missing(found, row, seen):
        yield Problem(first.label, f"its patch lacks {', '.join(missing)}", "incomplete")
    if row is None and table.places:
        seen.lose("in no row of metadata.parquet, so its labels and split are not known", [first])
    yield _sample(patch, found, row)


def _missing(found: Mapping[str, Entry], row: Row | None, seen: _Seen) -> list[str]:
    """What a patch lacks of the archives that are there; without a row, nobody knows its radar."""
    return [
        asset
        for kind, (assets, _) in _KINDS.items()
        if kind in seen.kinds and (row is not None or assets is not _RADAR)
        for asset in assets
        if asset not in found
    ]


def _sample(patch: str, found: Mapping[str, Entry], row: Row | None) -> Sample:
    parts = PATCH.fullmatch(patch)
    assert parts is not None  # as `_patch_of` and the table have seen
    time = _time(parts["time"])
    radar = None if row is None or row.radar is None else RADAR_PATCH.fullmatch(row.radar)
    radar_time = None if radar is None else _time(radar["time"])
    is_radar = not any(band in found for band in _BANDS)
    properties: dict[str, Any] = {"bigearthnet:tile": parts["tile"]}
    if is_radar and radar is not None:
        time = radar_time
        properties |= {"platform": f"sentinel-{radar['unit'][1:].lower()}"}
        properties |= {"constellation": "sentinel-1", "instruments": ["c-sar"]}
        properties |= {"processing:level": "L1", "processing:software": None}
    else:
        properties["platform"] = f"sentinel-{parts['unit'][1:].lower()}"
    stated = {} if row is None else _stated(row)
    times = dict.fromkeys(_RADAR, radar_time) if not is_radar and radar_time else {}
    return Sample(
        patch,
        (patch[11:15], patch[15:17], parts["tile"]),
        tuple(
            Member(asset, f"{patch}/{_name(found[asset])}", found[asset])
            for asset in _FILES.values()
            if asset in found
        ),
        None if row is None else row.classes,
        None if row is None else row.split,
        datetime=time,
        properties=properties | stated,
        datetimes={asset: at for asset, at in times.items() if at and asset in found},
    )


def _stated(row: Row) -> dict[str, Any]:
    """What the table says of a patch, as properties."""
    stated = {
        "satimnet:country": row.country,
        "satimnet:predecessor": row.first_version and f"{_FIRST}/{row.first_version}",
        "bigearthnet:sentinel1_patch": row.radar,
        "bigearthnet:seasonal_snow": row.snow,
        "bigearthnet:cloud_or_shadow": row.cloud,
    }
    return {name: value for name, value in stated.items() if value is not None}


def _time(text: str) -> str | None:
    """RFC 3339, of a time as it stands in names; None where there is no such time."""
    try:
        return f"{datetime.strptime(text, '%Y%m%dT%H%M%S').isoformat()}Z"
    except ValueError:
        return None
