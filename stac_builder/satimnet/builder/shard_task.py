"""Shard tasks: one shard of a build, packed and described by any worker.

The rows of a shard are written last, so a shard that has rows is finished, also after a power cut,
and a later run of the same build leaves it as it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from satimnet.builder.catalog.geoparquet import read_rows
from satimnet.builder.catalog.item_pages import ItemFiles, write_features, write_pages
from satimnet.builder.catalog.item_rows import rows_of, rows_of_all
from satimnet.builder.catalog.item_texts import item_texts
from satimnet.builder.catalog.items import write_items
from satimnet.builder.collector import without_collector
from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.errors import NotFoundError, SatimnetError
from satimnet.builder.packing.shard_plans import ShardPlan
from satimnet.builder.packing.shards import Shard, pack
from satimnet.builder.samples import Problem
from satimnet.builder.sources import MAX_FILE_SIZE, Reader
from satimnet.builder.storage import objects
from satimnet.builder.storage.atomic_files import settle, sync
from satimnet.builder.storage.hrefs import is_url
from satimnet.builder.storage.staging import FORMAT
from satimnet.builder.storage.stores import shown
from satimnet.builder.storage.worker import from_here, scratch_folder

if TYPE_CHECKING:
    import pyarrow as pa


_BUFFER = 2**16  # bytes; a column is written in pieces of a few


@cache  # it is looked up on the disk
def this_version() -> str:
    """The version of satimnet and of the format in which it keeps what is half finished."""
    return f"{version('satimnet')}, format {FORMAT}"


@dataclass(frozen=True, slots=True)
class ShardTask:
    """A shard to be made, and where.

    Its places are folders of this machine, or prefixes of an object store. In the latter case the
    worker needs no folder but a scratch one of its own.
    """

    plan: ShardPlan
    record: DatasetRecord
    indexes: Path | None
    """As `satimnet.builder.sources.Source.indexes`."""
    shards: str
    """Place of the shards."""
    rows: str
    """Place of the rows of the shards."""
    tree: Path | None
    """The folder for files of Items; without it they are lines beside the rows."""
    files: ItemFiles
    largest: int
    """Bytes of pixels that an image may have."""
    made_by: str = field(default_factory=this_version)
    """The version that planned it."""

    @property
    def rows_file(self) -> str:
        """Place of the shard's rows."""
        return f"{self.rows}/{rows_name(self.plan)}"


@dataclass(frozen=True, slots=True)
class PagesTask:
    """The pages of a node of the tree to be made, of shards that are made."""

    plans: tuple[ShardPlan, ...]
    """Those of the shards, without their samples."""
    rows: Path
    """The folder of their rows and lines."""
    folder: Path
    """That of the node."""

    @property
    def level(self) -> tuple[str, ...]:
        """The node."""
        return self.plans[0].level

    @property
    def is_ready(self) -> bool:
        """Whether all of the shards are made."""
        return all((self.rows / rows_name(plan)).exists() for plan in self.plans)


def make(task: ShardTask | PagesTask) -> list[Problem] | str:
    """Does a task; returns what `make_shard` does."""
    return make_shard(task) if isinstance(task, ShardTask) else make_pages(task)


def rows_name(plan: ShardPlan) -> str:
    """The name of the file of a shard's rows, which says what they are made of."""
    return f"{plan.name}-{plan.digest}.arrow"


def features_name(plan: ShardPlan) -> str:
    """The name of the file of a shard's Items, a line each."""
    return f"{plan.name}-{plan.digest}.ndjson"


def shard_name(rows: pa.Table) -> str:
    """The name of the file of the shard that these rows are of."""
    return str(rows.schema.metadata[b"shard"].decode())


def make_shard(task: ShardTask) -> list[Problem] | str:
    """Packs and describes one shard, unless an earlier run did.

    Returns:
        The problems met; or what to tell the user if the shard cannot be made, since errors of
        worker processes would come back wrapped.
    """
    if task.made_by != this_version():
        return from_here(
            f"satimnet {this_version()} is installed there, and {task.made_by} began the build; "
            "install the same version for both"
        )
    return _told(task, _problems_of)


def _told(task: ShardTask, work: Callable[[ShardTask], list[Problem]]) -> list[Problem] | str:
    """What the work returns, or what to tell the user if it fails."""
    try:
        finished = _finished(task)
        if finished is not None:
            return finished
        with without_collector():
            return work(task)
    except SatimnetError as error:
        return from_here(str(error))
    except OSError as error:
        return _not_written(task, error)


def _not_written(task: ShardTask, error: OSError) -> str:
    """What to tell the user of a shard that cannot be written."""
    where = f"{shown(task.shards)}/{task.plan.name}"
    reason = error.strerror or error
    return from_here(f"{where}: {reason}; nothing was kept, mend it and build again")


class SmallShards:
    """Shards of a small dataset, made one after another in this thread, their rows all at once.

    The rows of a shard take 3 ms however few they are.
    """

    def __init__(self) -> None:
        self.rows: dict[Path, pa.Table] = {}
        """The rows of the shards by the file that they are in."""
        self._made: list[tuple[ShardTask, Shard]] = []

    def make(self, task: ShardTask | PagesTask) -> list[Problem] | str:
        """Does a task, as `make` does; the rows of a shard are yet to be written."""
        if isinstance(task, PagesTask):
            return make_pages(task)
        return _told(task, self._problems_of)

    def _problems_of(self, task: ShardTask) -> list[Problem]:
        shard = _packed(task)
        self._made.append((task, shard))
        return list(shard.problems)

    def write_rows(self) -> None:
        """Writes the rows of all shards.

        Raises:
            SatimnetError: they cannot be written.
        """
        if not self._made:
            return
        table = rows_of_all([shard for _, shard in self._made], self._made[0][0].record)
        sync(Path(self._made[0][0].rows))
        start = 0
        for task, shard in self._made:
            path, count = Path(task.rows_file), len(shard.samples)
            try:
                self.rows[path] = _write_rows(table.slice(start, count), shard, path, durable=True)
            except OSError as error:
                raise SatimnetError(_not_written(task, error)) from error
            start += count
        self._made.clear()


def make_pages(task: PagesTask) -> list[Problem] | str:
    """Writes the pages of a node, unless all of its files were broken; returns as `make_shard`."""
    items = sum(len(read_rows(task.rows / rows_name(plan))) for plan in task.plans)
    if not items:
        return []
    try:
        task.folder.mkdir(parents=True, exist_ok=True)
        write_pages([task.rows / features_name(p) for p in task.plans], items, task.folder)
    except OSError as error:
        reason = error.strerror or error
        return from_here(f"{shown(str(task.folder))}: {reason}; mend it and build again")
    return []


def _problems_of(task: ShardTask) -> list[Problem]:
    """Makes the shard. It is gone at the end, before the collector would go through all of it."""
    shard = _sent(task) if is_url(task.rows) else _made(task, durable=True)
    return list(shard.problems)


def _made(task: ShardTask, *, durable: bool) -> Shard:
    """The shard, written with its Items and rows; the rows come last."""
    shard = _packed(task)
    rows = rows_of(shard, task.record)
    if durable:
        sync(Path(task.rows))  # rows say that all before them is there, also after a power cut
    _write_rows(rows, shard, Path(task.rows_file), durable=durable)
    return shard


def _packed(task: ShardTask) -> Shard:
    """The shard, written with its Items."""
    plan, record, rows = task.plan, task.record, Path(task.rows)
    # a file is hardly larger than the pixels in it
    with Reader(task.indexes, largest=max(MAX_FILE_SIZE, task.largest)) as reader:
        folder = Path(task.shards)
        shard = pack(plan, reader, record, folder, largest=task.largest, scratch=rows)
    if task.tree is not None:
        task.tree.joinpath(*plan.level).mkdir(parents=True, exist_ok=True)
        write_items(item_texts(shard, record), task.tree)
    elif task.files != "none":  # the files are made of it when all rows are together
        write_features(item_texts(shard, record), rows / features_name(plan))
    return shard


def _sent(task: ShardTask) -> Shard:
    """The shard, made in a scratch folder and sent to the store; the rows come last."""
    with scratch_folder() as folder:
        shard = _made(replace(task, shards=str(folder), rows=str(folder)), durable=False)
        if shard.samples and not _is_there(f"{task.shards}/{shard.file}", shard.size):
            objects.write(f"{task.shards}/{shard.file}", folder / shard.file)
        for name in (features_name(task.plan), rows_name(task.plan)):
            if (folder / name).exists():
                objects.write(f"{task.rows}/{name}", folder / name)
    return shard


def _is_there(place: str, size: int) -> bool:
    """Whether a shard is there; its name tells its content, its size that it is whole."""
    try:
        return objects.size_of(place) == size
    except NotFoundError:
        return False


def _write_rows(table: pa.Table, shard: Shard, path: Path, *, durable: bool) -> pa.Table:
    """Writes the rows, with what `_finished` and the report ask of them; returns what was written.

    What they say is there must be on the disk by now.
    """
    import pyarrow as pa

    state = {
        "shard": shard.file,
        "shard_size": str(shard.size),
        "members": str(sum(len(packed.members) for packed in shard.samples)),
        "problems": json.dumps([(p.path, p.reason, p.kind) for p in shard.problems]),
    }
    table = table.replace_schema_metadata(state)
    part = path.with_name(path.name + ".part")
    with (
        pa.OSFile(str(part), "wb") as file,
        pa.BufferedOutputStream(file, _BUFFER) as buffered,
        pa.ipc.new_file(buffered, table.schema) as writer,
    ):
        writer.write_table(table)
    if durable:
        settle(part, path)
    else:
        os.replace(part, path)
    return table


def _finished(task: ShardTask) -> list[Problem] | None:
    """The problems of a shard that an earlier run finished, else None."""
    import pyarrow as pa

    if is_url(task.rows):
        try:
            data = objects.read(task.rows_file)
        except NotFoundError:
            return None
        table = pa.ipc.open_file(data).read_all()
    elif os.path.exists(task.rows_file):
        table = read_rows(Path(task.rows_file))
    else:
        return None
    state = table.schema.metadata
    gone = is_url(task.rows) and not len(table)  # an empty shard is not sent
    place = f"{task.shards}/{shard_name(table)}"
    if not gone and not _is_there(place, int(state[b"shard_size"])):
        return None
    return [Problem(*problem) for problem in json.loads(state[b"problems"])]
