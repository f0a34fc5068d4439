"""Reads BigEarthNet-v1.0 as its publisher lays it out: one folder a patch.

``<patch>/<patch>_B01.tif`` to ``_B12.tif`` and ``_B8A.tif`` (no B10), and
``<patch>/<patch>_labels_metadata.json`` with the land-cover classes. The time in a patch's name may
be no time at all, so time and tile are those of the JSON. Lists of patches may lie anywhere in the
source: with seasonal snow, with cloud or shadow, of the three splits, and the table of countries
and seasons; all may be compressed with bzip2.

The dataset has 7.7 million files, so nothing is kept of one folder when the next one begins. The
lists are read in a pass of their own, as they may come last. That pass also finds the patches whose
files do not follow each other (in a tar sorted by band, say); these are put together in further
passes, some at a time, as their files would fill the memory.
"""

from __future__ import annotations

import bz2
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import chain, groupby
from typing import Any

import orjson

from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.errors import BadFileError
from satimnet.builder.samples import Member, Problem, Sample
from satimnet.builder.sources import Entry, Reader, Source
from satimnet.builder.splits import SplitLists

_PATCH = re.compile(
    r"(?:^|/)(?P<id>S2(?P<unit>[AB])_MSIL2A_(?P<year>20[0-9]{2})(?P<month>0[1-9]|1[0-2])"
    r"(?P<day>[0-3][0-9])T[0-9]{5,6}_[0-9]{1,2}_[0-9]{1,2})\Z"
)
# By wavelength, so that neighbours in the spectrum are neighbours in the shard.
_BANDS = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]
_LABELS = "labels"
_FILES = {f"_{band}.tif": band for band in _BANDS} | {"_labels_metadata.json": _LABELS}
_ENDINGS = (".tif", "_labels_metadata.json")
_MAX_JSON = 2**16  # bytes; the publisher's have about 1,500

_TILE = re.compile(r"[0-9A-Za-z_]{1,40}_T(?P<tile>[0-9]{2}[A-Z]{3})_[0-9A-Za-z_]{1,40}(?:\.SAFE)?")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")

_LIST = re.compile(
    r"(?:^|/)(?:(?P<split>train|val|test)|patches_with_(?P<flag>seasonal_snow|cloud_and_shadow)"
    r"|(?P<table>s1_s2_name_country_season))\.csv(?P<packed>\.bz2)?\Z"
)
_SPLITS = {"train": "train", "val": "validation", "test": "test"}
_FLAGS = {
    "seasonal_snow": "bigearthnet:seasonal_snow",
    "cloud_and_shadow": "bigearthnet:cloud_or_shadow",
}
_COLUMNS = ["s1_name", "s2_name", "country", "season"]
_S1_TILE = re.compile(r"S1[AB]_IW_[0-9A-Z]{4}_[0-9A-Z]{4}_[0-9T]{15}_([0-9]{2}[A-Z]{3})_\d+_\d+")
_WORDS = re.compile(r"[A-Za-z][A-Za-z .'-]{0,39}")
_MAX_LIST = 2**27  # bytes; the largest, of all 590,326 patches, has 54 million
_MAX_PACKED = 2**24  # bytes; the same list has 4 million
_MOST_HELD = 2**16  # patches that are put together at a time; each takes six kilobytes


@dataclass(frozen=True, slots=True)
class _Lists:
    """What the lists of the source say of patches, by name."""

    splits: SplitLists
    flags: dict[str, set[str]] = field(default_factory=dict)
    """Item property to the patches of which it is true; properties without a list are absent."""
    table: dict[str, tuple[str, str, str | None]] = field(default_factory=dict)
    """Country, season and tile."""


@dataclass(frozen=True, slots=True)
class _Labels:
    """What the JSON of a patch says."""

    titles: tuple[str, ...]
    time: str
    """RFC 3339, UTC."""
    product: str
    tile: str


@dataclass(frozen=True, slots=True)
class _Classes:
    """The class table, as the labels of patches need it."""

    names: Mapping[str, str]
    """The publisher's spelling to class names."""
    nineteen: Mapping[str, frozenset[str]]
    """The nomenclature of 19 classes, in its order: name to the classes that it joins."""

    @classmethod
    def of(cls, record: DatasetRecord) -> _Classes:
        """The table of ``dataset.toml``."""
        return cls(
            {entry.title or entry.name: entry.name for entry in record.classes},
            {row["name"]: frozenset(row["classes"]) for row in record["nomenclature_19"]},
        )

    def joined(self, names: Iterable[str]) -> list[str]:
        """Class names in the nomenclature of 19 classes."""
        wanted = set(names)
        return [name for name, classes in self.nineteen.items() if classes & wanted]


@dataclass(slots=True)
class _Strangers:
    """Folders with images beside each other, none of them named like a patch."""

    first: str
    folders: set[int] = field(default_factory=set)
    """Hashes of their paths."""

    @property
    def reason(self) -> str:
        """What is wrong with them."""
        others = len(self.folders) - 1
        more = f"; so are {others} folders beside it" if others else ""
        return f"in no folder named like S2A_MSIL2A_20170613T101031_87_48{more}"


def scan(source: Source, record: DatasetRecord) -> Iterator[Sample | Problem]:
    """Patches in the order of the source; damaged, missing and foreign files as problems.

    Raises:
        BadFileError: a list cannot be read: it says something of all patches.
    """
    classes = _Classes.of(record)
    lists = _Lists(SplitLists(record))
    seen: set[str] = set()
    strangers: dict[str, _Strangers] = {}
    with source.reader() as reader:
        scattered: set[str] = set()
        yield from _read_lists(source, reader, lists, scattered)
        for folder, entries in chain(
            _together(source, scattered), _put_together(source, scattered)
        ):
            patch = _PATCH.search(folder)
            if patch is None:
                first = _first(source, (e for e in entries if e.path.endswith(_ENDINGS)))
                if first is not None:
                    parent = _split(folder)[0]
                    strangers.setdefault(parent, _Strangers(first.label)).folders.add(hash(folder))
            elif patch["id"] in seen:
                reason = f"a second copy; the {patch['id']} before it was taken"
                if first := _first(source, entries):
                    yield Problem(first.label, reason, "foreign")
            else:
                seen.add(patch["id"])
                yield from _patch(patch, entries, reader, classes, lists)
    for found in strangers.values():
        yield Problem(found.first, found.reason, "foreign")


def _together(source: Source, scattered: Set[str]) -> Iterator[tuple[str, Iterator[Entry]]]:
    """Folders, but for the scattered ones, each with its files."""
    for folder, entries in groupby(source.entries(), key=lambda e: e.path.rpartition("/")[0]):
        if folder not in scattered:
            yield folder, entries


def _put_together(source: Source, scattered: Set[str]) -> Iterator[tuple[str, Iterator[Entry]]]:
    """The scattered folders, each with all of its files; goes through the source several times."""
    left = set(scattered)
    while left:
        held: dict[str, list[Entry]] = {}
        for entry in source.entries():
            folder = _split(entry.path)[0]
            if folder in held:
                held[folder].append(entry)
            elif folder in left and len(held) < _MOST_HELD:
                held[folder] = [entry]
        left -= held.keys()
        for folder, entries in held.items():
            yield folder, iter(entries)


def _first(source: Source, entries: Iterator[Entry]) -> Entry | None:
    """The first of the files; all of them are accounted for by the problem that names it."""
    first = None
    for entry in entries:
        first = first or entry
        source.take(entry)
    return first


def _split(path: str) -> tuple[str, str]:
    """Folder and name."""
    folder, _, name = path.rpartition("/")
    return folder, name


# --- one patch ----------------------------------------------------------------------------------


def _patch(
    patch: re.Match[str],
    entries: Iterable[Entry],
    reader: Reader,
    classes: _Classes,
    lists: _Lists,
) -> Iterator[Sample | Problem]:
    patch_id = patch["id"]
    found: dict[str, Entry] = {}
    for entry in entries:
        asset = _FILES.get(entry.path.rpartition("/")[2].removeprefix(patch_id))
        if asset is None or asset in found:
            yield Problem(entry.label, "not one of the 13 files of a patch", "foreign")
        else:
            found[asset] = entry
    if not found:
        return
    label = next(iter(found.values())).label
    if found.keys() == {_LABELS}:
        yield Problem(label, "labels without an image", "incomplete")
        return
    if missing := [asset for asset in _FILES.values() if asset not in found]:
        yield Problem(label, f"its patch lacks {', '.join(missing)}", "incomplete")
    labels = None
    if _LABELS in found:
        try:
            labels = _read_labels(found[_LABELS], reader)
        except (BadFileError, ValueError) as error:
            reason = error.reason if isinstance(error, BadFileError) else str(error)
            yield Problem(found.pop(_LABELS).label, reason)
    names = None
    if labels is not None:
        names = tuple(classes.names[title] for title in labels.titles if title in classes.names)
        if unknown := [title for title in labels.titles if title not in classes.names]:
            more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
            listed = ", ".join(repr(title[:60]) for title in unknown[:5])
            reason = f"not in the class table, left out: {listed}{more}"
            yield Problem(found[_LABELS].label, reason, "incomplete")
    country, season, tile = lists.table.get(patch_id, (None, None, None))
    tile = labels.tile if labels else tile
    month = labels.time.split("-")[:2] if labels else patch.group("year", "month")
    properties: dict[str, Any] = {"platform": f"sentinel-2{patch['unit'].lower()}"}
    properties |= {flag: patch_id in patches for flag, patches in lists.flags.items()}
    if country and season:
        properties |= {"satimnet:country": country, "bigearthnet:season": season}
    if tile:
        properties["bigearthnet:tile"] = tile
    if labels and names is not None:
        properties["bigearthnet:source_product"] = labels.product
        properties["bigearthnet:classes_19"] = classes.joined(names)
    else:
        properties |= _day(patch)
    yield Sample(
        patch_id,
        (*month, tile) if tile else tuple(month),
        tuple(
            Member(asset, f"{patch_id}/{patch_id}{ending}", found[asset])
            for ending, asset in _FILES.items()
            if asset in found
        ),
        names,
        lists.splits.split(patch_id),
        datetime=labels.time if labels else None,
        properties=properties,
    )


def _day(patch: re.Match[str]) -> dict[str, str]:
    """The day in a patch's name: all that is certain about its time without the JSON."""
    day = "-".join(patch.group("year", "month", "day"))
    try:
        date.fromisoformat(day)
    except ValueError:
        return {}
    return {"start_datetime": f"{day}T00:00:00Z", "end_datetime": f"{day}T23:59:59Z"}


def _read_labels(entry: Entry, reader: Reader) -> _Labels:
    """What the JSON says.

    Raises:
        BadFileError: it cannot be read.
        ValueError: it is not what the publisher writes.
    """
    if entry.size > _MAX_JSON:
        raise ValueError(f"{entry.size} bytes, labels of a patch have {_MAX_JSON} at most")
    try:
        content = orjson.loads(reader.read(entry))
    except orjson.JSONDecodeError as error:
        raise ValueError(f"no JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError("no JSON object")
    titles, time, product = (content.get(k) for k in ("labels", "acquisition_date", "tile_source"))
    if not isinstance(titles, list) or not all(isinstance(title, str) for title in titles):
        raise ValueError("labels are no list of strings")
    if not isinstance(time, str) or not _TIME.fullmatch(time):
        raise ValueError("acquisition_date is not like 2017-06-13 10:10:31")
    try:
        datetime.fromisoformat(time)
    except ValueError as error:
        raise ValueError(f"acquisition_date: {error}") from error
    tile = _TILE.fullmatch(product) if isinstance(product, str) else None
    if tile is None:
        raise ValueError("tile_source is no name of a Sentinel-2 product")
    return _Labels(
        tuple(dict.fromkeys(titles)), f"{time.replace(' ', 'T')}Z", tile[0], tile["tile"]
    )


# --- lists --------------------------------------------------------------------------------------


def _read_lists(
    source: Source, reader: Reader, lists: _Lists, scattered: set[str]
) -> Iterator[Problem]:
    """Fills ``lists``, and ``scattered`` with the folders whose files do not follow each other.

    Yields what is wrong with the lists, one problem a list.

    Raises:
        BadFileError: a list cannot be read.
    """
    current, done = "", set[int]()  # hashes; two alike only make a folder seem scattered
    found: list[tuple[re.Match[str], Entry]] = []
    for batch in source.batches():
        for folder in [path.rpartition("/")[0] for path in batch.paths]:
            if folder != current:
                done.add(hash(current))
                current = folder
                # others lie on both sides of an archive, say, and nothing is made of their files
                if hash(folder) in done and _PATCH.search(folder):
                    scattered.add(folder)
        if not batch.endings.isdisjoint((".csv", ".bz2")):
            found += ((m, entry) for entry in batch.made() if (m := _LIST.search(entry.path)))
    for match, entry in found:
        try:
            lines = _lines(entry, reader, packed=match["packed"] is not None)
            if match["table"]:
                wrong = _take_table(lines, lists)
            else:
                wrong = _take(lines, match, lists, entry.label)
        except ValueError as error:
            reason = f"{error}; get the list again, or leave it out of the source"
            raise BadFileError(entry.label, reason) from error
        if wrong:
            yield Problem(entry.label, f"{wrong} of {len(lines)} lines are not understood")
    yield from lists.splits.problems()


def _lines(entry: Entry, reader: Reader, *, packed: bool) -> list[str]:
    """The lines of a list that are not empty. Raises as `_read_labels` does."""
    if entry.size > (_MAX_PACKED if packed else _MAX_LIST):
        raise ValueError(f"{entry.size} bytes, more than a list of all patches")
    data = reader.read(entry)
    if packed:
        try:
            with bz2.open(io.BytesIO(data)) as stream:
                data = stream.read(_MAX_LIST + 1)
        except (OSError, EOFError) as error:
            raise ValueError(f"no whole bzip2 file ({error})") from error
        if len(data) > _MAX_LIST:
            raise ValueError(f"unpacks to more than {_MAX_LIST} bytes")
    try:
        return [line for line in data.decode().splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise ValueError(f"no text ({error.reason} at byte {error.start})") from error


def _take(lines: Sequence[str], match: re.Match[str], lists: _Lists, place: str) -> int:
    """Takes a list of names; returns how many lines name no patch."""
    # The lists of BigEarthNet-MM have the Sentinel-1 patch behind a comma.
    names = [line.partition(",")[0].strip() for line in lines]
    known = [name for name in names if _PATCH.match(name)]
    if match["flag"]:
        lists.flags.setdefault(_FLAGS[match["flag"]], set()).update(known)
    else:
        lists.splits.add(known, _SPLITS[match["split"]], place)
    return len(names) - len(known)


def _take_table(lines: Sequence[str], lists: _Lists) -> int:
    """Takes the table of countries and seasons; returns how many lines are not as they should."""
    if not lines or lines[0].split(",") != _COLUMNS:
        raise ValueError(f"first line is not {','.join(_COLUMNS)}")
    shared: dict[tuple[str, str, str | None], tuple[str, str, str | None]] = {}
    wrong = 0
    for line in lines[1:]:
        cells = line.split(",")
        if len(cells) == len(_COLUMNS) and _PATCH.match(cells[1]):
            tile = _S1_TILE.fullmatch(cells[0])
            row = cells[2], cells[3], tile[1] if tile else None
            if row not in shared and _WORDS.fullmatch(cells[2]) and _WORDS.fullmatch(cells[3]):
                shared[row] = row  # 590,326 patches, few rows
            if row in shared:
                lists.table[cells[1]] = shared[row]
                continue
        wrong += 1
    return wrong
