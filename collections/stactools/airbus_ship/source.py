"""Reads Airbus-ship as Kaggle hands it out: ``train_v2/``, ``test_v2/`` and one table of codes.

``train_ship_segmentations_v2.csv`` has one row per ship, or one without a code where an image
shows none. A code is pairs of start and length: pixels counted from 1 down the columns, sorted and
without overlap (www.kaggle.com/c/airbus-ship-detection/overview/evaluation). The files without
``_v2`` are an earlier state that was withdrawn, and the sample submission has made-up codes:
neither is read.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.errors import BadFileError
from satimnet.builder.imagery.run_lengths import decode_runs
from satimnet.builder.samples import Member, Object, Problem, Sample, second_copy
from satimnet.builder.sources import Entry, Source

# Kaggle hands out one archive, or one of each folder; then the folder may be there twice.
_IMAGE = re.compile(
    r"(?:^|/)(?P<split>train|test)_v2/(?:(?P=split)_v2/)?(?P<name>[^/.][^/]*)\.jpg$"
)
_TABLE = re.compile(r"(?:^|/)train_ship_segmentations_v2\.csv$")
_ID = re.compile(r"[0-9a-f]{9}")
_HEADER = re.compile(rb'"?ImageId"?,"?EncodedPixels"?')
_ROW = re.compile(rb'"?(?P<id>[0-9a-f]{9})\.jpg"?,(?P<code>[^,]*)')
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_PIXELS = 768 * 768  # of every image
_MAX_TABLE_SIZE = 2**27  # bytes; the official table has about two thirds
_MAX_NODE = 2000  # samples of one node of the tree

_Rows = dict[str, list[bytes]]


def scan(source: Source, record: DatasetRecord) -> Iterator[Sample | Problem]:
    """Samples by split and id; of the training images, each with its ships and rows of the table.

    What is wrong with the table as a whole is told once, with the number of rows or images.

    Raises:
        BadFileError: the table cannot be read at all: no image would have its label.
    """
    images: dict[str, dict[str, Entry]] = {"train": {}, "test": {}}
    tables: list[Entry] = []
    for entry in source.entries():
        if _TABLE.search(entry.path):
            tables.append(entry)
        elif image := _IMAGE.search(entry.path):
            found, name = images[image["split"]], image["name"]
            if _ID.fullmatch(name) is None:
                yield Problem(entry.label, "not named as Airbus-ship names its images", "foreign")
            elif first := found.get(name):
                yield second_copy(entry, first)
            else:
                found[name] = entry
    train = images["train"]
    in_both = train.keys() & images["test"].keys()
    for name in sorted(in_both):
        yield second_copy(images["test"].pop(name), train[name], other_split=True)

    # a table beside the images is theirs, one elsewhere may be anybody's
    folders = {_IMAGE.sub("", entry.path) for entry in train.values()}
    tables.sort(key=lambda entry: _TABLE.sub("", entry.path) not in folders)
    for entry in tables[1:]:
        yield second_copy(entry, tables[0])
    header, rows = b"", _Rows()
    if tables:
        header, rows, problems = _read_table(source, tables[0], train)
        yield from problems
    if missing := [id for id in train if id not in rows]:
        where = tables[0] if tables else train[missing[0]]
        reason = f"images of train_v2 without a row: {len(missing)}, first {missing[0]}.jpg"
        yield Problem(where.label, reason, "incomplete")

    for split, found in images.items():
        digits = _digits(found)
        for id, entry in sorted(found.items()):
            level = (split, id[:digits]) if digits else (split,)
            path = "/".join((*level, id))
            members = [Member("image", f"{path}.jpg", entry)]
            objects = None
            if split == "train" and id in rows:
                try:
                    objects = _ships(rows[id])
                    own = header + b"".join(rows[id])
                    members.append(Member("labels", f"{path}.csv", own))
                except ValueError as error:
                    yield Problem(f"{tables[0].label}: {id}.jpg", f"{error}; taken without objects")
            own_split = None if id in in_both else split
            yield Sample(id, level, tuple(members), split=own_split, objects=objects)


def _read_table(
    source: Source, entry: Entry, wanted: Collection[str]
) -> tuple[bytes, _Rows, list[Problem]]:
    """Header and rows of the wanted images, as they stand, and what is wrong with other rows."""
    if entry.size > _MAX_TABLE_SIZE:
        raise BadFileError(entry.label, f"{entry.size} bytes, far more than the official table")
    data = source.read(entry)
    lines = io.BytesIO(data)
    header = lines.readline()
    if not _HEADER.fullmatch(header.removeprefix(_BYTE_ORDER_MARK).rstrip()):
        raise BadFileError(entry.label, "no header ImageId,EncodedPixels; download it again")
    rows: _Rows = {}
    first_absent, first_strange = "", 0
    absent = strange = 0  # counted, not kept: there may be millions
    for number, line in enumerate(lines, 2):
        row = _ROW.fullmatch(line.rstrip())
        if row and (id := row["id"].decode()) in wanted:
            rows.setdefault(id, []).append(line)
        elif row:
            absent += 1
            first_absent = first_absent or f"{id}.jpg"
        elif line.strip():
            strange += 1
            first_strange = first_strange or number
    if data[-1:] != b"\n" and any(id not in rows for id in wanted):
        raise BadFileError(
            entry.label, "ends within a line, and rows of images are missing; download it again"
        )
    if strange and not (rows or absent):
        raise BadFileError(entry.label, "no row is an image and its code; download it again")
    problems = []
    if absent:
        reason = f"rows of images that train_v2 does not have: {absent}, first {first_absent}"
        problems.append(Problem(entry.label, reason, "incomplete"))
    if strange:
        reason = (
            f"rows that are not an image and its code: {strange}, first in line {first_strange}"
        )
        problems.append(Problem(entry.label, reason))
    repeated = {id: n for id, own in rows.items() if (n := len(own) - len(_codes(own)))}
    if repeated:
        count, one = sum(repeated.values()), next(iter(repeated))
        reason = f"repeated rows, taken once: {count}, first of {one}.jpg"
        problems.append(Problem(entry.label, reason, "foreign"))
    return header, rows, problems


def _codes(rows: Iterable[bytes]) -> list[bytes]:
    """The different codes of an image, in the order of its rows."""
    return list(dict.fromkeys(row.partition(b",")[2].strip().strip(b'"') for row in rows))


def _ships(rows: Iterable[bytes]) -> tuple[Object, ...]:
    """The ships of one image's rows; raises ValueError if a row says nothing usable."""
    codes = _codes(rows)
    if codes == [b""]:
        return ()
    return tuple(Object("ship", runs=_runs(code)) for code in codes)


def _runs(code: bytes) -> tuple[int, ...]:
    """The runs of a ship; raises ValueError if the code is no ship."""
    if not code:
        raise ValueError("both a row without a code and a row with one")
    return decode_runs(code, _PIXELS)


def _digits(ids: Iterable[str]) -> int:
    """Leading digits by which no node of the tree has too many of these ids."""
    ids = list(ids)
    digits = 0
    while max(Counter(id[:digits] for id in ids).values(), default=0) > _MAX_NODE:
        digits += 1
    return digits
