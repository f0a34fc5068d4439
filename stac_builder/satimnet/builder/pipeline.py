"""The build: sources to a catalog, read from top to bottom.

Everything is made in a hidden folder beside the catalog and moved in place when it is whole. A
killed build leaves that folder behind, and the next one goes on from its finished shards.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from satimnet.builder.arguments import checked
from satimnet.builder.catalog.collections import collection_of
from satimnet.builder.catalog.geoparquet import (
    PARQUET_NAME,
    MappedRows,
    read_rows,
    table_of,
    write_parquet,
)
from satimnet.builder.catalog.item_pages import ItemFiles, files_for, write_features, write_pages
from satimnet.builder.catalog.items import describe, write_items
from satimnet.builder.catalog.tree import ROOT_ID, write_collection, write_root
from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.datasets import UNKNOWN_LAYOUT, Dataset, installed, recognise
from satimnet.builder.errors import SatimnetError, printable
from satimnet.builder.overview.contact_sheet import OVERVIEW_ASSET, OVERVIEW_NAME, write_overview
from satimnet.builder.packing.sample_files import MAX_SCENE_SIZE
from satimnet.builder.packing.shard_plans import DEFAULT_SHARD_SIZE, MAX_SHARD_SIZE, ShardPlan, plan
from satimnet.builder.packing.shards import Shard, pack
from satimnet.builder.progress import Progress, one_step, silent
from satimnet.builder.samples import Problem, Sample
from satimnet.builder.scanning.passed_over import passed_over
from satimnet.builder.scanning.tallies import Tally
from satimnet.builder.sources import MAX_FILE_SIZE, Entry, Reader, Source
from satimnet.builder.storage.atomic_files import place, settle, sync, write_json
from satimnet.builder.storage.hrefs import file_name, on_disk
from satimnet.builder.storage.parallel import run_tasks
from satimnet.builder.storage.staging import says, workspace
from satimnet.builder.vocabulary.skos import write_concepts

if TYPE_CHECKING:
    import pyarrow as pa

BadFiles = Literal["stop", "few", "any"]
"""How many broken files a build puts up with: none, up to one in a hundred, or any number."""

_FEW = 0.01
_MARK = "build"  # the file that says which build the staged rows and shards are of
_OFTEN = 1000  # samples between two signs of progress


@dataclass(frozen=True)
class Report:
    """What a build made of one dataset."""

    dataset: str | None
    """Its id; None for the sources that no dataset knows."""
    items: int
    members: int
    """Files in the shards, drawn ones included."""
    problems: tuple[Problem, ...]

    def of(self, kind: str) -> list[Problem]:
        """The problems of one kind."""
        return [problem for problem in self.problems if problem.kind == kind]


@checked()
def build(
    sources: Sequence[Path],
    out: Path,
    *,
    assigned: Mapping[str, Sequence[Path]] | None = None,
    datasets: Mapping[str, Dataset] | None = None,
    options: Mapping[str, Mapping[str, str]] | None = None,
    scheduler: str = "threads",
    shard_size: int = DEFAULT_SHARD_SIZE,
    max_scene_size: int = MAX_SCENE_SIZE,
    bad_files: BadFiles = "few",
    items: ItemFiles | None = None,
    overview: bool = True,
    progress: Progress = silent,
) -> list[Report]:
    """Builds the catalog ``out``, or adds to it, from the sources of one or more datasets.

    A collection of the same dataset that is there already is replaced as a whole.

    ``assigned`` names the dataset of further sources, which are then not recognised by layout;
    ``datasets`` defaults to the installed ones; ``options`` has, by dataset, values of the options
    that its record names; ``scheduler`` is ``threads``, ``processes`` or the
    address of a dask cluster that sees the same file system; ``items`` is how the tree shows them,
    by default a file each up to `satimnet.builder.catalog.item_pages.MOST_FILES` of a collection,
    else pages. Images of over ``max_scene_size`` bytes of pixels are left out as broken. Without
    ``overview``, collections get no contact sheet of samples, which takes most of a small build.

    Raises:
        SatimnetError: a source is unusable, or the catalog cannot be written. Whatever stood at
            ``out`` is then untouched.
    """
    if not 0 < shard_size <= MAX_SHARD_SIZE:
        raise SatimnetError(f"shard size {shard_size}: give 1 to {MAX_SHARD_SIZE} bytes")
    for given in (out, *sources, *chain.from_iterable((assigned or {}).values())):
        on_disk(given)
    known = dict(installed() if datasets is None else datasets)
    for name, chosen in (options or {}).items():
        if name not in known:
            raise SatimnetError(f"{name}: no such dataset; there are {', '.join(known)}")
        known[name] = known[name].with_options(chosen)
    _refuse_foreign(out)
    _refuse_inside(out, [*sources, *chain.from_iterable((assigned or {}).values())])
    with workspace(out, "building") as staging:
        indexes = staging / "indexes"
        with one_step(progress, "Looking into the sources"):
            groups, unknown = recognise(sources, known, indexes)
        if unknown and (bad_files == "stop" or not (groups or assigned)):
            message = f"{unknown[0].path}: {unknown[0].reason}"
            if unknown[0].reason == UNKNOWN_LAYOUT:
                layouts = (f"{name}: {d.record.layout}" for name, d in known.items())
                message += f"; expected {'; '.join(layouts)}"
            raise SatimnetError(message)
        for name, paths in (assigned or {}).items():
            if name not in known:
                raise SatimnetError(f"{name}: no such dataset; there are {', '.join(known)}")
            groups[name] = Source(tuple(paths), indexes)
        how = _How(
            staging, scheduler, shard_size, max_scene_size, bad_files, items, overview, progress
        )
        reports = [_build_dataset(known[name], source, how) for name, source in groups.items()]
        made = [report.dataset for report in reports if report.items and report.dataset]
        if not made:
            first = next(iter(groups))
            where = ", ".join(map(str, groups[first].paths))
            raise SatimnetError(f"{where}: no sample of {first}; {known[first].record.layout}")
        _move_in_place(staging, out, made, {name: known[name].record for name in made})
    return [*reports, *([Report(None, 0, 0, tuple(unknown))] if unknown else [])]


@dataclass(frozen=True, slots=True)
class _How:
    """What is the same for all datasets of a build; see `build`."""

    staging: Path
    scheduler: str
    shard_size: int
    max_scene_size: int
    bad_files: BadFiles
    items: ItemFiles | None
    overview: bool
    progress: Progress


def _build_dataset(dataset: Dataset, source: Source, how: _How) -> Report:
    problems: list[Problem] = []
    plans = plan(_samples(dataset, source, problems, how.progress), how.shard_size)
    if not plans:  # labels alone, say: other datasets of the same build need not suffer
        return Report(dataset.id, 0, 0, tuple(problems))
    files = how.items or files_for(sum(p.count for p in plans))
    folder = how.staging / "catalog" / dataset.id
    rows = how.staging / "rows" / dataset.id
    _prepare(folder, rows, dataset, plans, files, how.max_scene_size)
    _require_space(plans, rows, how.staging)
    jobs = [
        (p, dataset.record, source.indexes, folder, rows, files, how.max_scene_size) for p in plans
    ]
    for outcome in run_tasks(
        _make_shard, jobs, how.scheduler, f"Packing {dataset.id}", how.progress, "shards"
    ):
        if isinstance(outcome, str):
            raise SatimnetError(outcome)
        problems.extend(outcome)
    problems.sort(key=lambda problem: problem.path)
    report = _judge(dataset, plans, problems, rows, how.bad_files)
    with one_step(how.progress, f"Publishing {dataset.id}"):
        _publish(dataset, source, plans, folder, rows, files, report, how.overview)
    return report


def _samples(
    dataset: Dataset, source: Source, problems: list[Problem], progress: Progress
) -> Iterator[Sample]:
    """The samples of the scan, whose problems are noted."""
    count = 0
    progress(f"Scanning {dataset.id}", 0, None, "samples")
    tally = Tally()
    for found in dataset.scan(replace(source, tally=tally)):
        if isinstance(found, Problem):
            problems.append(found)
            continue
        for member in found.members:
            if isinstance(member.entry, Entry):
                tally.take(member.entry)
        try:
            for name in (found.id, *found.level):
                file_name(name)
        except SatimnetError as error:
            problems.append(Problem(found.members[0].label, str(error)))
            continue
        yield found
        count += 1
        if count % _OFTEN == 0:
            progress(f"Scanning {dataset.id}", count, None, "samples")
    progress(f"Scanning {dataset.id}", count, count, "samples")
    named = {problem.path for problem in problems}
    left = passed_over(tally, source.entries, dataset.record.accompanying, named)
    problems.extend(Problem(path, reason, "foreign") for path, reason in left)


def _make_shard(
    plan: ShardPlan,
    record: DatasetRecord,
    indexes: Path | None,
    folder: Path,
    rows: Path,
    files: ItemFiles,
    largest: int,
) -> list[Problem] | str:
    """Packs and describes one shard, unless an earlier run did; the rows file comes last.

    Returns the problems met, or what to tell the user if the shard cannot be written: errors of
    worker processes would come back wrapped.
    """
    path = folder / "shards" / f"{plan.name}.zip"
    finished = _finished(path, rows)
    if finished is not None:
        return finished
    # Thousands of live objects and no cycles: the collector would only go through them again.
    collecting = gc.isenabled()
    gc.disable()
    try:
        # a file is hardly larger than the pixels in it
        with Reader(indexes, largest=max(MAX_FILE_SIZE, largest)) as reader:
            shard = pack(plan, reader, record, path, largest=largest, scratch=rows)
        items = describe(shard, record)
        if files != "none":
            folder.joinpath(*plan.level).mkdir(parents=True, exist_ok=True)
        if files == "json":
            write_items(items, folder)
        elif files == "pages":
            write_features(items, rows / f"{plan.name}.ndjson")
        _write_rows(table_of(items, record), shard, rows / f"{plan.name}.arrow")
    except OSError as error:
        return f"{path}: {error.strerror or error}; nothing was kept, mend it and build again"
    except SatimnetError as error:
        return str(error)
    finally:
        if collecting:
            gc.enable()
    return list(shard.problems)


def _write_rows(table: pa.Table, shard: Shard, path: Path) -> None:
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


def _finished(shard: Path, rows: Path) -> list[Problem] | None:
    """The problems of a shard that an earlier run finished, else None."""
    path = rows / f"{shard.stem}.arrow"
    if not path.exists() or not shard.exists():
        return None
    state = read_rows(path).schema.metadata
    if int(state[b"shard_size"]) != shard.stat().st_size:
        return None
    return [Problem(*problem) for problem in json.loads(state[b"problems"])]


def _judge(
    dataset: Dataset,
    plans: Sequence[ShardPlan],
    problems: Sequence[Problem],
    rows: Path,
    bad_files: BadFiles,
) -> Report:
    """The report, unless there is more wrong than the build should put up with."""
    sizes = [
        (len(table), int(table.schema.metadata[b"members"]))
        for table in MappedRows([*rows.glob("*.arrow")])
    ]
    items, members = (sum(column) for column in zip(*sizes, strict=True))
    wanted = sum(p.members for p in plans)
    report = Report(dataset.id, items, members, tuple(problems))
    if bad := report.of("broken"):
        first = f"{bad[0].path}: {bad[0].reason}"
        others = f" (and {len(bad) - 1} more of {wanted})" if len(bad) > 1 else f" (1 of {wanted})"
        if items == 0:
            raise SatimnetError(f"{first}{others}; no sample is left, get the source again")
        if bad_files == "stop":
            raise SatimnetError(f"{first}{others}; mend it or build without --strict")
        if bad_files == "few" and len(bad) > _FEW * wanted:
            raise SatimnetError(
                f"{first}{others}; more than 1 in 100 files is broken, "
                "get the source again or build with --keep-going"
            )
    return report


def _publish(
    dataset: Dataset,
    source: Source,
    plans: Sequence[ShardPlan],
    folder: Path,
    rows: Path,
    files: ItemFiles,
    report: Report,
    overview: bool,
) -> None:
    nodes: dict[tuple[str, ...], list[str]] = {}
    paths = []
    for shard in plans:
        path = rows / f"{shard.name}.arrow"
        if ids := read_rows(path)["id"].to_pylist():
            nodes.setdefault(shard.level, []).extend(ids)
            paths.append(path)
        else:  # every file of it was broken
            (folder / "shards" / f"{shard.name}.zip").unlink()
    tables = MappedRows(paths)
    collection = collection_of(dataset.record, tables)
    write_parquet(tables, collection, folder / PARQUET_NAME)
    content = {
        "items": report.items,
        "members": report.members,
        "left_out": [_problem_row(problem, source) for problem in report.of("broken")],
        "incomplete": [_problem_row(problem, source) for problem in report.of("incomplete")],
        "ignored": [_problem_row(problem, source) for problem in report.of("foreign")],
    }
    write_json(content, folder / "build-report.json")
    (folder / OVERVIEW_NAME).unlink(missing_ok=True)  # of a build that was killed
    drawn = overview and write_overview(collection, tables, folder)
    collection["assets"] = {
        "build-report": {
            "href": "./build-report.json",
            "type": "application/json",
            "title": "What the build left out, and why",
            "roles": ["metadata"],
        }
    }
    if drawn:
        collection["assets"]["overview"] = OVERVIEW_ASSET
    if files == "pages":
        for level, ids in nodes.items():
            features = [rows / f"{p.name}.ndjson" for p in plans if p.level == level]
            write_pages(features, len(ids), folder.joinpath(*level))
    write_collection(collection, nodes, folder, files)


def _problem_row(problem: Problem, source: Source) -> dict[str, str]:
    """A row of the report; what lies above the source is nobody's business once published."""
    path = problem.path
    for root in (printable(str(path)) for path in source.paths):
        if path.startswith(root):
            path = os.path.basename(root) + path[len(root) :]
    return {"path": path, "reason": problem.reason}


# --- the staging folder -------------------------------------------------------------------------


def _prepare(
    folder: Path,
    rows: Path,
    dataset: Dataset,
    plans: Sequence[ShardPlan],
    files: ItemFiles,
    largest: int,
) -> None:
    """Makes the folders of a dataset; what an earlier run left is kept if it was the same build."""
    digests = [p.digest for p in plans]
    content = (version("satimnet"), dict(dataset.record), digests, files, largest)
    digest = hashlib.sha256(repr(content).encode()).hexdigest()
    mark = rows / _MARK
    if not mark.exists() or mark.read_text() != digest:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(rows, ignore_errors=True)
        rows.mkdir(parents=True)
        (folder / "shards").mkdir(parents=True)
        mark.write_text(digest)
    (folder / "shards").mkdir(parents=True, exist_ok=True)


def _require_space(plans: Sequence[ShardPlan], rows: Path, staging: Path) -> None:
    needed = sum(p.size for p in plans if not (rows / f"{p.name}.arrow").exists())
    free = shutil.disk_usage(staging).free
    if needed > free:
        raise SatimnetError(
            f"{staging.parent}: {needed / 2**20:,.1f} MiB needed, {free / 2**20:,.1f} MiB free; "
            "make room or choose another --out"
        )


def _refuse_foreign(out: Path) -> None:
    """An existing folder is added to if it is a catalog, replaced if it is empty, else left."""
    if out.is_dir() and (says(out / "catalog.json", "id", ROOT_ID) or not any(out.iterdir())):
        if not os.access(out, os.W_OK):
            raise SatimnetError(f"{out}: no permission to write; choose another --out")
    elif out.exists():
        raise SatimnetError(
            f"{out}: is there already and is no catalog of satimnet; choose another --out"
        )


def _refuse_inside(out: Path, sources: Sequence[Path]) -> None:
    """A catalog inside its own source would be read as a part of it by the next build."""
    for source in sources:
        if Path(os.path.realpath(out)).is_relative_to(os.path.realpath(source)):
            raise SatimnetError(f"{out}: lies inside the source {source}; choose another --out")


def _move_in_place(
    staging: Path, out: Path, names: Sequence[str], records: Mapping[str, DatasetRecord]
) -> None:
    made = staging / "catalog"
    for path in made.iterdir():
        if path.name not in names:  # of a build of other sources that was killed
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    records = {k: r for k, r in records.items() if any(entry.concept for entry in r.classes)}
    if not (out / "catalog.json").exists():
        write_concepts(made, records)
        write_root(made)
        sync(staging)
        place(made, out)
        return
    for name in names:
        if (out / name).exists() and not (out / name / "collection.json").exists():
            raise SatimnetError(f"{out / name}: is there already and is no collection; move it")
    for name in names:  # what an exchange leaves in the staging folder is no work of this build
        (staging / "rows" / name / _MARK).unlink()
    sync(staging)
    # Other collections stay as they are. A reader finds all that a root links at any time: new
    # collections first, root and concepts last.
    for name in names:
        place(made / name, out / name)
    write_concepts(out, records)
    write_root(out)
