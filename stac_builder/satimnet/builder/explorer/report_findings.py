"""What a report of quality control found, put where the explorer's page reads it.

The page filters by findings, and shows those of a sample with its near-duplicates beside it. They
lie in ``findings.json`` beside the columns, and the header says so: a page asks for no file that
may be missing.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from satimnet.builder.arguments import checked
from satimnet.builder.catalog import checked_documents as documents
from satimnet.builder.errors import BadCatalogError, NotFoundError
from satimnet.builder.explorer.explorer_columns import HEADER_NAME
from satimnet.builder.explorer.explorer_files import header_of, read_columns, write_files
from satimnet.builder.progress import Progress, silent
from satimnet.builder.query.index import Index, IndexedCollection
from satimnet.builder.storage import objects
from satimnet.builder.storage.atomic_files import json_bytes
from satimnet.builder.storage.hrefs import folder_at, join
from satimnet.builder.storage.parquet_files import parquet_file
from satimnet.builder.storage.stores import shown
from satimnet.builder.types import Json

FINDINGS_NAME = "findings.json"
FINDINGS_FORMAT = "satimnet-findings-1"

_MOST_FINDINGS = 100_000
"""Of a collection: what a page can read in a moment, about 15 MB."""
_MOST_ITEMS = 20
"""Of a finding: as many as anybody looks at side by side."""
_LARGEST = 2**31  # bytes of a report's list


@dataclass(frozen=True)
class Shown:
    """What the page now shows of a report."""

    collection: str
    findings: int
    items: int
    """How many Items have a finding."""
    left_out: int
    """Findings that are beyond the most that a page reads."""
    unknown: int
    """Findings about Items that the collection no longer has."""


@dataclass
class _Found:
    """The findings about Items of one collection."""

    findings: list[list[Any]] = field(default_factory=list)
    items: set[int] = field(default_factory=set)
    left_out: int = 0
    unknown: int = 0


@checked()
def show_findings(
    catalog: str | os.PathLike[str],
    report: str | os.PathLike[str],
    *,
    collections: Sequence[str] | None = None,
    allow_outside: bool = False,
    progress: Progress = silent,
) -> list[Shown]:
    """Puts the findings of a quality report where the explorer shows them.

    Those of an earlier report are replaced.

    Args:
        catalog: place of the catalog, a path or the URL of an object store.
        report: place of the folder that `satimnet.builder.quality.assess` wrote.
        collections: ids of those whose findings are shown; None is all.
        allow_outside: the catalog in a folder may lead to any file of this machine.
        progress: is told how many collections are done.

    Raises:
        BadCatalogError: the report is no report of quality control.
        SatimnetError: the catalog cannot be read.
        StorageError: it cannot be written.

    Example:
        >>> from satimnet.builder.explorer.report_findings import show_findings
        >>> [one.collection for one in show_findings("catalog", "quality", collections=["eurosat"])]
        ['eurosat']
    """
    folder = folder_at(f"{os.fspath(report)}/report.json")
    checks = _checks(f"{folder}/report.json")
    index = Index(catalog, allow_outside=allow_outside)
    wanted = index.readable(collections)
    # findings name Items of any collection, so the rows of all are needed
    rows = {name: _rows_by_id(index.collections[name]) for name in index.readable(None)}
    found = _sorted_out(f"{folder}/findings.ndjson", checks, rows, wanted)
    shown_now = []
    for done, name in enumerate(wanted):
        progress("Showing findings", done, len(wanted), "collections")
        one = found[name]
        _write(index.collections[name], checks, one)
        count = len(one.findings)
        shown_now.append(Shown(name, count, len(one.items), one.left_out, one.unknown))
    progress("Showing findings", len(wanted), len(wanted), "collections")
    return shown_now


def _checks(place: str) -> dict[str, Json]:
    """The checks of a report by their names: title and severity of each."""
    try:
        content = documents.parse(objects.read(place, most=2**26), place)
        return {
            str(check["name"]): {key: str(check[key]) for key in ("name", "title", "severity")}
            for check in content["checks"]
        }
    except NotFoundError as error:
        raise NotFoundError(
            f"{shown(place)}: there is no such report; write it with satimnet quality --out"
        ) from error
    except (KeyError, TypeError) as error:
        raise BadCatalogError(f"{shown(place)}: is no report of satimnet quality") from error


def _rows_by_id(collection: IndexedCollection) -> dict[str, int]:
    """The numbers of a collection's rows by the ids of the Items."""
    ids: list[str] = []
    for place in collection.places:
        with parquet_file(place) as file:
            ids += file.read(columns=["id"])["id"].to_pylist()
    return {id_: row for row, id_ in enumerate(ids)}


def _sorted_out(
    place: str,
    checks: Mapping[str, Json],
    rows: Mapping[str, Mapping[str, int]],
    wanted: Sequence[str],
) -> dict[str, _Found]:
    """The findings of each collection; one about several collections is told in each of them."""
    found = {name: _Found() for name in wanted}
    numbers = {name: at for at, name in enumerate(checks)}
    for check, message, items in _findings(place):
        known: dict[str, list[int]] = defaultdict(list)
        missing = set()
        for collection, id_ in items:
            row = rows.get(collection, {}).get(id_)
            if row is None:
                missing.add(collection)
            else:
                known[collection].append(row)
        for name in found.keys() & missing:
            found[name].unknown += 1
        listed = [[name, row] for name, of_one in known.items() for row in of_one][:_MOST_ITEMS]
        for name in found.keys() & known.keys():
            one = found[name]
            if len(one.findings) == _MOST_FINDINGS or check not in numbers:
                one.left_out += 1
                continue
            one.findings.append([numbers[check], message, listed])
            one.items.update(known[name])
    return found


def _findings(place: str) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    """Name of the check, message, and collection and id of the Items of each finding."""
    for number, line in enumerate(objects.read(place, most=_LARGEST).splitlines(), 1):
        try:
            told = orjson.loads(line)
            items = [(str(one["collection"]), str(one["id"])) for one in told["items"]]
            yield str(told["check"]), str(told["message"]), items
        except (ValueError, KeyError, TypeError) as error:
            raise BadCatalogError(
                f"{shown(place)}: line {number} is no finding; write the report again"
            ) from error


def _write(collection: IndexedCollection, checks: Mapping[str, Json], found: _Found) -> None:
    """Writes the findings beside the columns, and the header after them."""
    header = header_of(collection) or write_files(collection, read_columns(collection))
    header.pop("findings", None)
    if found.findings:
        content = {
            "format": FINDINGS_FORMAT,
            "checks": list(checks.values()),
            "findings": found.findings,
        }
        place = join(f"./{FINDINGS_NAME}", collection.parquet)
        objects.write(place, orjson.dumps(content))
        header["findings"] = {"href": f"./{FINDINGS_NAME}", "items": len(found.items)}
    objects.write(join(f"./{HEADER_NAME}", collection.parquet), json_bytes(header))
