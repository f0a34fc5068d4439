"""Shard tasks: one shard of a build, packed and described by any worker.

The rows of a shard are written last, so a shard that has rows is finished, also after a power cut,
and a later run of the same build leaves it as it is.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from satimnet.builder.catalog.geoparquet import read_rows, table_of
from satimnet.builder.catalog.item_pages import ItemFiles, write_features
from satimnet.builder.catalog.items import describe, write_items
from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.errors import SatimnetError
from satimnet.builder.packing.shard_plans import ShardPlan
from satimnet.builder.packing.shards import Shard, pack
from satimnet.builder.samples import Problem
from satimnet.builder.sources import MAX_FILE_SIZE, Reader
from satimnet.builder.storage.atomic_files import settle, sync
from satimnet.builder.storage.staging import FORMAT

if TYPE_CHECKING:
    import pyarrow as pa


def this_version() -> str:
    """The version of satimnet and of the format in which it keeps what is half finished."""
    return f"{version('satimnet')}, format {FORMAT}"


@dataclass(frozen=True, slots=True)
class ShardTask:
    """A shard to be made, and where."""

    plan: ShardPlan
    record: DatasetRecord
    indexes: Path | None
    """As `satimnet.builder.sources.Source.indexes`."""
    folder: Path
    """The collection's, in the workspace."""
    rows: Path
    """The folder for the rows of its shards."""
    files: ItemFiles
    largest: int
    """Bytes of pixels that an image may have."""
    made_by: str = field(default_factory=this_version)
    """The version that planned it."""

    @property
    def shard(self) -> Path:
        """The shard's file."""
        return self.folder / "shards" / f"{self.plan.name}.zip"

    @property
    def rows_file(self) -> Path:
        """The file of the shard's rows."""
        return rows_file(self.rows, self.plan)


def rows_file(rows: Path, plan: ShardPlan) -> Path:
    """The file of a shard's rows in the folder ``rows``."""
    return rows / f"{plan.name}.arrow"


def features_file(rows: Path, plan: ShardPlan) -> Path:
    """The file of a shard's Items in the folder ``rows``, for pages of Items."""
    return rows / f"{plan.name}.ndjson"


def make_shard(task: ShardTask) -> list[Problem] | str:
    """Packs and describes one shard, unless an earlier run did.

    Returns:
        The problems met; or what to tell the user if the shard cannot be made, since errors of
        worker processes would come back wrapped.
    """
    if task.made_by != this_version():
        return (
            f"a worker has satimnet {this_version()}, and the build {task.made_by}; "
            "install the same version for both"
        )
    finished = _finished(task)
    if finished is not None:
        return finished
    try:
        with _without_collector():
            return list(_made(task).problems)
    except SatimnetError as error:
        return str(error)
    except OSError as error:
        return f"{task.shard}: {error.strerror or error}; nothing was kept, mend it and build again"


def _made(task: ShardTask) -> Shard:
    """The shard, written with its Items and rows; the rows come last."""
    plan, record, rows = task.plan, task.record, task.rows
    # a file is hardly larger than the pixels in it
    with Reader(task.indexes, largest=max(MAX_FILE_SIZE, task.largest)) as reader:
        shard = pack(plan, reader, record, task.shard, largest=task.largest, scratch=rows)
    items = describe(shard, record)
    if task.files != "none":
        task.folder.joinpath(*plan.level).mkdir(parents=True, exist_ok=True)
    if task.files == "json":
        write_items(items, task.folder)
    elif task.files == "pages":
        write_features(items, features_file(rows, plan))
    _write_rows(table_of(items, record), shard, task.rows_file)
    return shard


@contextmanager
def _without_collector() -> Iterator[None]:
    """Stops the garbage collector: it would only go through thousands of live objects again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _write_rows(table: pa.Table, shard: Shard, path: Path) -> None:
    """Writes the rows, with what `_finished` and the report ask of them."""
    import pyarrow as pa

    state = {
        "shard_size": str(shard.size),
        "members": str(sum(len(packed.members) for packed in shard.samples)),
        "problems": json.dumps([(p.path, p.reason, p.kind) for p in shard.problems]),
    }
    part = path.with_name(path.name + ".part")
    with pa.OSFile(str(part), "wb") as file:
        table = table.replace_schema_metadata(state)
        with pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
    sync(path.parent)  # they say that all before them is there, also after a power cut
    settle(part, path)


def _finished(task: ShardTask) -> list[Problem] | None:
    """The problems of a shard that an earlier run finished, else None."""
    if not task.rows_file.exists() or not task.shard.exists():
        return None
    state = read_rows(task.rows_file).schema.metadata
    if int(state[b"shard_size"]) != task.shard.stat().st_size:
        return None
    return [Problem(*problem) for problem in json.loads(state[b"problems"])]
