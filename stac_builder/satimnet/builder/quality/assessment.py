"""The quality control of a catalog, read from top to bottom: measure, compare, report.

Results are made in a hidden folder beside ``out``, which takes its place once they are complete.
A killed run leaves the hidden folder behind, and the next run measures only the other shards. The
workers of a cluster are given places and give back values: they need not see that folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.errors import ArgumentError, BadCatalogError, SatimnetError
from satimnet.builder.progress import Progress, one_step, silent
from satimnet.builder.publishing.index_files import files_of_index
from satimnet.builder.quality.compared_scenes import read_scene
from satimnet.builder.quality.dataset_versions import Places, find_versions
from satimnet.builder.quality.distributions import (
    bands_of,
    count_classes,
    find_imbalance,
    find_outliers,
)
from satimnet.builder.quality.duplicates import find_duplicates
from satimnet.builder.quality.findings import CHECKS
from satimnet.builder.quality.footprint_overlaps import find_overlaps
from satimnet.builder.quality.measuring import (
    Measured,
    Task,
    keep,
    measure,
    read_findings,
    read_results,
)
from satimnet.builder.quality.pixel_statistics import SIDE
from satimnet.builder.quality.report_files import (
    GENERATOR,
    REPORT_NAME,
    Report,
    Summary,
    write_report,
)
from satimnet.builder.quality.source_comparison import (
    SourceBands,
    bands_of_collection,
    compare_sources,
    find_differences,
)
from satimnet.builder.query.index import Index
from satimnet.builder.storage.atomic_files import place, sync
from satimnet.builder.storage.hrefs import file_name, is_url, join, on_disk
from satimnet.builder.storage.objects import read, size_of
from satimnet.builder.storage.parallel import is_cluster, run_tasks
from satimnet.builder.storage.parquet_files import parquet_file
from satimnet.builder.storage.remote_files import TAIL
from satimnet.builder.storage.staging import clear, says, workspace
from satimnet.builder.storage.stores import shown

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_ROWS_OF_TASK = 2000  # about as many samples as a shard has


def assess(
    catalog: str | os.PathLike[str] | Index,
    out: Path,
    *,
    scheduler: str = "threads",
    allow_outside: bool = False,
    compare: Sequence[str] = (),
    bands: Sequence[str] | None = None,
    offset: float = 0,
    version: str | Sequence[str] | None = None,
    splits: str | None = None,
    future_place: str = "",
    progress: Progress = silent,
) -> Report:
    """Reads all members of a catalog once and writes a report.

    Args:
        catalog: Path or URL of ``catalog.json`` or of its folder, or an open `Index`.
        out: Folder for the report; an earlier report there is replaced.
        scheduler: ``threads``, ``processes``, or the address of a dask cluster whose workers can
            read the catalog where it is.
        allow_outside: Whether files that lie outside of the catalog's folder are read as well.
        compare: Scenes whose bands are compared with those of the collections: Sentinel-2
            products (their ``.SAFE`` folders), or rasters that GDAL reads.
        bands: Names of the bands of rasters that do not name them.
        offset: Added to the values of rasters, see `satimnet.builder.imagery.scenes.open_scene`.
        version: Names of versions of collections to read instead of the current ones.
        splits: Name of a split of the catalog (`satimnet.builder.split`) that is judged instead of
            the publisher's own.
        future_place: The place in the catalog's store where the report will lie; its links to
            Items lead from there on. Without it they lead from ``out`` on.
        progress: Is told how many shards were read.

    Returns:
        What was found, and the figures of each collection.

    Raises:
        NotFoundError: there is no catalog.
        ArgumentError: ``out`` is no folder of a report, or a scene has no band of a collection.
        BadFileError: a scene cannot be read.
        StorageError: the host of the catalog does not answer.
        BadCatalogError: the catalog cannot be read, or was changed meanwhile.
    """
    index = (
        catalog
        if isinstance(catalog, Index)
        else Index(catalog, allow_outside=allow_outside, version=version, splits=splits)
    )
    _refuse_foreign(on_disk(out))
    scenes = _scenes(index, compare, bands, offset)
    with workspace(out, "assessing") as work:
        state = _state(index)
        _forget_others(work, state)
        tasks = _tasks(index, work, index.readable())
        copies = _measure_all(index, tasks, work, state, scheduler, progress)
        with one_step(progress, "Comparing images"):
            report = _compare(index, tasks, copies, scenes)
            _require_same(index, state)
        with one_step(progress, "Writing the report"):
            shutil.rmtree(work / "report", ignore_errors=True)
            write_report(report, work / "report", on_disk(out), future_place)
            sync(work)
            place(work / "report", out)
    return report


def measured(
    index: Index, work: Path, scheduler: str, progress: Progress, collections: Sequence[str]
) -> tuple[pa.Table, NDArray[np.uint8]]:
    """What `find_duplicates` compares: the results of all Items and their small copies.

    Args:
        index: The open catalog.
        work: An empty folder for them.
        scheduler: As `assess`.
        progress: As `assess`.
        collections: Ids of the collections to read, in the catalog's order.

    Raises:
        BadCatalogError: as `assess`.
        StorageError: as `assess`.
    """
    import pyarrow as pa

    tasks = _tasks(index, work, collections)
    copies = _measure_all(index, tasks, work, _state(index), scheduler, progress)
    return pa.concat_tables([read_results(task.part) for task in tasks]), copies


# --- measuring ----------------------------------------------------------------------------------


def _measure_all(
    index: Index,
    tasks: Sequence[Task],
    work: Path,
    state: str,
    scheduler: str,
    progress: Progress,
) -> NDArray[np.uint8]:
    """Measures what no earlier run has measured; returns the small copies of all Items."""
    copies = _room_for_copies(work / "copies", sum(task.count for task in tasks))
    jobs = [(task,) for task in tasks if not task.part.exists()]
    do = _measure if is_cluster(scheduler) else _measure_here
    for found in run_tasks(do, jobs, scheduler, "Reading shards", progress, "parts"):
        if isinstance(found, str):
            _require_same(index, state)
            raise BadCatalogError(found)
        if found is not None:
            keep(*found)
    return copies


def _tasks(index: Index, work: Path, names: Sequence[str]) -> list[Task]:
    import pyarrow as pa

    tasks: list[Task] = []
    first = 0
    for name in names:
        collection = index.collections[name]
        document = _portable(collection.document)
        pieces: list[tuple[str, int, int, int]] = []
        for parquet in collection.parquets:
            try:
                with parquet_file(parquet) as file:
                    groups = range(file.num_row_groups)
                    counts = [file.metadata.row_group(group).num_rows for group in groups]
            except SatimnetError:  # some are OSErrors, too
                raise
            except (OSError, pa.ArrowException) as error:
                raise BadCatalogError(
                    f"{parquet}: cannot be read ({error}); build the collection again"
                ) from error
            pieces += [
                (parquet, group, start, min(_ROWS_OF_TASK, count - start))
                for group, count in enumerate(counts)
                for start in range(0, max(count, 1), _ROWS_OF_TASK)
            ]
        row, splits = 0, collection.splits
        for at, (parquet, group, start, count) in enumerate(pieces):
            part = work / f"{file_name(name)}-{at:05d}.arrow"
            where = (parquet, collection.bounds, group, start)
            own = None if splits is None else splits.of_rows(row, row + count)
            tasks.append(Task(document, *where, first, count, part, work / "copies", own))
            first, row = first + count, row + count
    return tasks


def _portable(document: CollectionDocument) -> CollectionDocument:
    """Without the links, of which there may be one an Item: each task takes it to a worker."""
    return CollectionDocument({**document.json, "links": []})


def _room_for_copies(path: Path, count: int) -> NDArray[np.uint8]:
    """The file of the small copies of all Items, uint8 (image, y, x); its content stays."""
    with path.open("ab") as file:
        file.truncate(max(count, 1) * SIDE * SIDE)
    return np.memmap(path, np.uint8, "r", shape=(max(count, 1), SIDE, SIDE))


def _measure(task: Task) -> tuple[Task, Measured] | str:
    """Measures; a text is what to tell the user if that fails, as processes wrap their errors."""
    import pyarrow as pa

    try:
        return task, measure(task)
    except SatimnetError as error:
        return str(error)
    except (KeyError, TypeError, ValueError, pa.ArrowException) as error:
        return (
            f"{shown(task.parquet)}: row group {task.group} holds no Items of this project "
            f"({type(error).__name__}: {error}); see satimnet validate"
        )
    except OSError as error:
        return _told(error, task)


def _measure_here(task: Task) -> str | None:
    """Measures, and keeps what is found on the disk of this machine; a text is as `_measure`'s."""
    found = _measure(task)
    if isinstance(found, str):
        return found
    try:
        keep(*found)
    except OSError as error:
        return _told(error, task)
    return None


def _told(error: OSError, task: Task) -> str:
    at = error.filename or shown(task.parquet)
    return f"{at}: {error.strerror or error}; mend it and run again"


# --- comparing ----------------------------------------------------------------------------------


def _scenes(
    index: Index, paths: Sequence[str], bands: Sequence[str] | None, offset: float
) -> list[SourceBands]:
    if not paths and (bands is not None or offset):
        name = "offset" if bands is None else "bands"
        words = f"{name} is said of a scene that collections are compared with; give compare"
        raise ArgumentError(words, name, "compare")
    documents = [index.collections[name].document for name in index.readable()]
    known = {band.name for one in documents for asset in one.images for band in asset.bands}
    found: list[SourceBands] = []
    for path in paths:
        taken = {*index.collections, *(scene.id for scene in found)}
        found.append(read_scene(path, known, taken, order=bands, offset=offset))
    return found


def _compare(
    index: Index, tasks: Sequence[Task], copies: NDArray[np.uint8], scenes: Sequence[SourceBands]
) -> Report:
    import pyarrow as pa

    rows = pa.concat_tables([read_results(task.part) for task in tasks])
    families = _families(index)
    findings = [finding for task in tasks for finding in read_findings(task.part)]
    places = Places(rows)
    findings += find_duplicates(rows, copies, families, places)
    findings += find_overlaps(rows, families, places)
    findings += find_versions(rows, places)
    summaries, sources = [], []
    for name in dict.fromkeys(task.collection.id for task in tasks):
        own = [task for task in tasks if task.collection.id == name]
        first, count = own[0].first, sum(task.count for task in own)
        part = rows.slice(first, count)
        counts = count_classes(part)
        findings += find_outliers(part, first)
        findings += find_imbalance(own[0].collection, counts)
        sources.append(bands_of_collection(own[0].collection, part))
        summaries.append(Summary(own[0].collection, first, part, counts, tuple(bands_of(part))))
    comparisons = compare_sources([*sources, *scenes], families)
    findings += find_differences(comparisons)
    ranks = {check: rank for rank, check in enumerate(CHECKS)}
    findings.sort(key=lambda finding: ranks[finding.check])  # stable: the order of the checks
    return Report(index.href, tuple(tasks), tuple(summaries), tuple(findings), tuple(comparisons))


def _families(index: Index) -> set[frozenset[str]]:
    """Pairs of a collection and one that it was made from."""
    names = {collection.href: name for name, collection in index.collections.items()}
    found = set()
    for name, collection in index.collections.items():
        for link in collection.document.links("derived_from"):
            origin = names.get(join(link["href"], collection.href))
            if origin is not None:
                found.add(frozenset((name, origin)))
    return found


# --- the hidden folder --------------------------------------------------------------------------


def _forget_others(work: Path, state: str) -> None:
    """Removes what an earlier run left, if that read another catalog."""
    mark = work / "state"
    if mark.exists() and mark.read_text() == state:
        return
    clear(work)
    mark.write_text(state)


def _state(index: Index) -> str:
    """A digest that changes when the catalog or this package does."""
    digest = hashlib.sha256(version("satimnet").encode())
    digest.update(b"" if index.splits is None else index.splits.digest.encode())
    for collection in index.collections.values():
        digest.update(orjson.dumps(collection.document.json))
        if is_url(collection.parquet):
            for url in collection.parquets:
                digest.update(_end_of(url))
            continue
        parquet = Path(collection.parquet)
        hrefs = (asset["href"] for asset in files_of_index(parquet).get("assets", ()))
        for path in (
            *map(Path, collection.parquets),
            *sorted(parquet.parent / href for href in hrefs),
        ):
            stat = path.stat() if os.path.exists(path) else None  # a catalog may say any path
            digest.update(f"{path} {stat and (stat.st_size, stat.st_mtime_ns)}\n".encode())
    return digest.hexdigest()


def _end_of(parquet: str) -> bytes:
    """The size of a parquet and its end, which says where each of its columns lies.

    Another build has other bytes there; not every server tells another time or tag.
    """
    size = size_of(parquet)
    first = max(0, size - TAIL)
    return b"%d" % size + read(parquet, first, size - first)


def _require_same(index: Index, state: str) -> None:
    """Raises if the catalog was changed: then workers may have read files of another build."""
    if _state(index) != state:
        raise BadCatalogError(f"{shown(index.href)}: was changed while it was read; run it again")


def _refuse_foreign(out: Path) -> None:
    if out.is_dir() and (not any(out.iterdir()) or says(out / REPORT_NAME, "generator", GENERATOR)):
        return
    if out.exists():
        raise ArgumentError(
            f"{out}: is there already and is no report; choose another folder", "out"
        )
