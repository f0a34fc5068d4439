"""One pass over the members of some rows of a collection, as many as a shard may have.

Each Item leaves a row of numbers, its findings and a small copy of its image. They are values, for
the worker that measures may share no disk with the machine that keeps them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.catalog.rows_to_items import items_of
from satimnet.builder.errors import printable
from satimnet.builder.quality.findings import Finding
from satimnet.builder.quality.item_checks import inspect
from satimnet.builder.quality.member_contents import Shards
from satimnet.builder.quality.pixel_statistics import SIDE, STATISTICS
from satimnet.builder.query.chosen_splits import RowSplits
from satimnet.builder.storage.atomic_files import settle, sync
from satimnet.builder.storage.hrefs import Bounds
from satimnet.builder.storage.parquet_files import parquet_file
from satimnet.builder.types import Json

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from numpy.typing import NDArray

_BATCH = 500  # Items that are dicts at a time


@dataclass(frozen=True, slots=True)
class Task:
    """Rows of a row group of a collection's parquet."""

    collection: CollectionDocument
    parquet: str
    bounds: Bounds
    """Where its assets may lie."""
    group: int
    """Which row group."""
    start: int
    """Number of its first row in the group."""
    first: int
    """Number of that row among all rows of the catalog."""
    count: int
    part: Path
    """The file for its results, on the machine that keeps them."""
    copies: Path
    """The file of all small copies, there."""
    splits: RowSplits | None = None
    """Splits of its rows, where they are not those of the parquet."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found of the Items of a task."""

    rows: pa.Table
    """As `result_schema` has them."""
    findings: list[Finding]
    copies: NDArray[np.uint8]
    """The small copies of their images, (item, y, x)."""


def result_schema() -> pa.Schema:
    """Arrow schema of the results, one row an Item."""
    import pyarrow as pa

    numbers = [(name, pa.float32()) for name in STATISTICS]
    band = pa.struct([("asset", pa.string()), ("band", pa.string()), *numbers])
    return pa.schema(
        {
            "collection": pa.string(),
            "id": pa.string(),
            "split": pa.string(),
            "classes": pa.list_(pa.string()),
            "predecessor": pa.string(),
            "members": pa.int32(),
            "bytes": pa.int64(),
            "objects": pa.int32(),
            "pixels": pa.string(),
            "no_data": pa.float32(),
            "comparable": pa.bool_(),
            "geometry": pa.binary(),
            "bands": pa.list_(band),
        }
    )


def measure(task: Task) -> Measured:
    """Reads and checks the members of a task's rows."""
    import pyarrow as pa

    rows: list[Json] = []
    findings: list[Finding] = []
    copies = np.full((task.count, SIDE, SIDE), 128, np.uint8)
    resolve = cache(task.bounds.resolve)
    with parquet_file(task.parquet) as file, Shards() as shards:
        for table in rows_of_task(file, task):
            if task.splits is not None:
                table = task.splits.replaced(table, slice(len(rows), len(rows) + len(table)))
            items = shards.ahead(items_of(table, task.parquet, resolve))
            for item, outline in zip(items, table["geometry"].to_pylist(), strict=True):
                at = len(rows)
                found = inspect(item, task.collection, shards)
                rows.append(found.row | {"geometry": outline})
                findings += [
                    Finding(check, (task.first + at,), printable(message), outline=ring)
                    for check, message, ring in found.said
                ]
                if found.copy is not None:
                    copies[at] = found.copy
    return Measured(pa.Table.from_pylist(rows, result_schema()), findings, copies)


def rows_of_task(file: pq.ParquetFile, task: Task) -> Iterator[pa.Table]:
    """The rows of a task, a few at a time in memory; those before them in the group are skipped."""
    import pyarrow as pa

    at, end = 0, task.start + task.count
    for batch in file.iter_batches(_BATCH, row_groups=[task.group]):
        first = max(task.start - at, 0)
        own = batch.slice(first, max(end - at - first, 0))
        if len(own):
            yield pa.Table.from_batches([own])
        at += len(batch)
        if at >= end:
            return


def keep(task: Task, measured: Measured) -> None:
    """Writes the small copies, the findings to ``<part>.ndjson`` and, last, rows to ``<part>``.

    Where that file exists, an earlier run has measured these rows.
    """
    import pyarrow as pa

    with task.copies.open("r+b", buffering=0) as stored:
        os.pwrite(stored.fileno(), measured.copies.data.cast("B"), task.first * SIDE * SIDE)
    _findings_file(task.part).write_bytes(
        b"".join(
            orjson.dumps(finding, option=orjson.OPT_APPEND_NEWLINE) for finding in measured.findings
        )
    )
    unfinished = task.part.with_name(task.part.name + ".part")
    rows = measured.rows
    with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_table(rows)
    sync(task.part.parent)  # the part says that findings and copies are there
    settle(unfinished, task.part)


def read_results(part: Path) -> pa.Table:
    """The rows that `keep` wrote, mapped from the disk."""
    import pyarrow as pa

    with pa.memory_map(str(part)) as file:
        return pa.ipc.open_file(file).read_all()


def read_findings(part: Path) -> list[Finding]:
    """The findings that `keep` wrote."""
    return [
        Finding(
            line["check"],
            tuple(line["rows"]),
            line["message"],
            outline=tuple((x, y) for x, y in line["outline"]),
        )
        for line in map(orjson.loads, _findings_file(part).read_bytes().splitlines())
    ]


def _findings_file(part: Path) -> Path:
    return part.with_name(part.name + ".ndjson")
