"""Which Items of a catalog show the same: the duplicates and near-duplicates of a report alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from satimnet.builder.errors import BadCatalogError, NotFoundError, StorageError
from satimnet.builder.progress import Progress, one_step, silent
from satimnet.builder.quality.assessment import measured
from satimnet.builder.quality.duplicates import find_duplicates
from satimnet.builder.query.index import Index

_DUPLICATES = ("duplicate", "near-duplicate")
"""What the names of the checks begin with."""
_FINDINGS = "findings.ndjson"


def find_similar_items(
    index: Index,
    collections: Sequence[str],
    *,
    scheduler: str = "threads",
    progress: Progress = silent,
) -> list[tuple[int, ...]]:
    """Sets of Items that show the same, exactly or nearly; reads all images once.

    Args:
        index: the open catalog.
        collections: ids of the collections to compare, in the catalog's order.
        scheduler: as `satimnet.builder.quality.assess`.
        progress: is told how many shards were read.

    Returns:
        Numbers of Items, counted from 0 over the rows of the collections.

    Raises:
        BadCatalogError: a collection cannot be read.
        StorageError: there is no room for the small copies of the images.
    """
    try:
        with TemporaryDirectory(prefix="satimnet-", ignore_cleanup_errors=True) as folder:
            work = Path(folder)
            rows, copies = measured(index, work, scheduler, progress, collections)
            with one_step(progress, "Comparing images"):
                found = [finding.rows for finding in find_duplicates(rows, copies, ())]
            del rows, copies  # mapped files
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        if isinstance(error, StorageError | NotFoundError):
            raise
        raise StorageError(
            f"{error.filename or 'temporary folder'}: {error.strerror or error}; make room, or set "
            "TMPDIR to a folder that has it"
        ) from error
    return found


def reported_similar(report: Path) -> Iterator[list[Mapping[str, str]]]:
    """The sets of Items that a report says show the same: ``collection`` and ``id`` of each.

    Args:
        report: the folder of a report of `satimnet.builder.quality.assess`.

    Raises:
        NotFoundError: there is no report.
        BadCatalogError: it cannot be understood.
    """
    file = report / _FINDINGS
    if not file.is_file():
        raise NotFoundError(f"{report}: no report of satimnet quality is there; make one first")
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                finding = orjson.loads(line)
                if finding["check"].startswith(_DUPLICATES):
                    yield [
                        {key: str(one[key]) for key in ("collection", "id")}
                        for one in finding["items"]
                    ]
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise BadCatalogError(
                    f"{file}: line {number} is no finding; make the report again"
                ) from error
