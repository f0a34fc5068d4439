"""The build: sources to a catalog, read from top to bottom.

On disk everything is made in a hidden folder beside the catalog, and published when it is whole. In
an object store the workers write shards where they belong, and what is known of them below
``.building``; nothing links them until they are published. Either way a killed build goes on from
its finished shards.
"""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from satimnet.builder.arguments import checked
from satimnet.builder.catalog.collections import collection_of
from satimnet.builder.catalog.geoparquet import (
    PARQUET_NAME,
    MappedRows,
    write_parquet,
)
from satimnet.builder.catalog.item_pages import (
    ItemFiles,
    files_for,
    page_name,
    split_features,
)
from satimnet.builder.catalog.tree import with_links, write_nodes
from satimnet.builder.collector import rarely_collected, without_collector
from satimnet.builder.datasets import UNKNOWN_LAYOUT, Dataset, installed, recognise
from satimnet.builder.errors import (
    ArgumentError,
    BadFileError,
    NotFoundError,
    SatimnetError,
    printable,
)
from satimnet.builder.explorer.explorer_columns import ASSETS as EXPLORER_ASSETS
from satimnet.builder.explorer.explorer_columns import write_columns
from satimnet.builder.overview.class_histogram import HISTOGRAM_ASSET, write_histogram
from satimnet.builder.overview.contact_sheet import OVERVIEW_ASSET, OVERVIEW_NAME, write_overview
from satimnet.builder.overview.notebook_stub import NOTEBOOK_ASSET, write_notebook
from satimnet.builder.packing.shard_plans import (
    DEFAULT_SHARD_SIZE,
    MAX_SHARD_SIZE,
    ShardPlan,
    in_order,
    plans,
)
from satimnet.builder.packing.tag_masks import with_tag_masks
from satimnet.builder.progress import Progress, one_step, silent
from satimnet.builder.publishing import protocol as publishing
from satimnet.builder.publishing.layout import SHARDS_NAME, version_of
from satimnet.builder.publishing.protocol import BUILDING, Made, Vocabulary
from satimnet.builder.publishing.roots import ROOT_ID
from satimnet.builder.samples import Problem, Sample
from satimnet.builder.scanning.passed_over import passed_over
from satimnet.builder.scanning.tallies import Tally
from satimnet.builder.shard_task import (
    PagesTask,
    ShardTask,
    SmallShards,
    features_name,
    make,
    rows_name,
    shard_name,
    this_version,
)
from satimnet.builder.sources import MAX_SCENE_SIZE, Source, source_place
from satimnet.builder.storage.atomic_files import write_json
from satimnet.builder.storage.hrefs import file_name, is_url, writable
from satimnet.builder.storage.objects import download_all, remove_below
from satimnet.builder.storage.parallel import HERE, is_cluster, stream_tasks
from satimnet.builder.storage.staging import says, workspace
from satimnet.builder.storage.stores import shown
from satimnet.builder.storage.worker import scratch_folder
from satimnet.builder.types import Json

if TYPE_CHECKING:
    import pyarrow as pa

_REPORT_NAME = "build-report.json"
_REPORT_ASSET: Json = {
    "href": f"./{_REPORT_NAME}",
    "type": "application/json",
    "title": "What the build left out, and why",
    "roles": ["metadata"],
}

BadFiles = Literal["stop", "few", "any"]
"""How many broken files a build puts up with: none, up to one in a hundred, or any number."""

_FEW = 0.01
_DIGITS = 12
_TRIES = 5
_OFTEN = 1000  # samples between two signs of progress
_SOON_PACKED, _SMALL = 4000, 2**26
"""Files and bytes of a dataset up to which it is packed in less time than workers take to start."""


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
    sources: Sequence[str | Path],
    out: str | os.PathLike[str],
    *,
    assigned: Mapping[str, Sequence[str | Path]] | None = None,
    datasets: Mapping[str, Dataset] | None = None,
    options: Mapping[str, Mapping[str, str]] | None = None,
    scheduler: str = "threads",
    shard_size: int = DEFAULT_SHARD_SIZE,
    max_scene_size: int = MAX_SCENE_SIZE,
    bad_files: BadFiles = "few",
    items: ItemFiles | None = None,
    overview: bool = True,
    masks: bool = False,
    single_writer: bool = False,
    progress: Progress = silent,
) -> list[Report]:
    """Builds the catalog ``out``, or adds to it, from the sources of one or more datasets.

    Of a dataset that is there already this makes a new version; earlier ones are kept (see
    `satimnet.builder.publishing`). Whoever reads the catalog meanwhile has the old one as a whole
    or the new one. A build that was killed goes on when the same one is started again.

    Args:
        sources: folders and archives, whose datasets are recognised by their layout; also URLs
            of archives, and of prefixes of an object store, which are read by ranges.
        out: folder of the catalog, a path or the URL of an object store (``s3://…``).
        assigned: further sources by the id of their dataset, which are not recognised.
        datasets: those that there are, by id; by default the installed ones.
        options: by dataset, values of the options that its record names.
        scheduler: ``threads``, ``processes``, or the address of a dask cluster, whose workers must
            see the same places: the same file system, or nothing but the object store. On one
            machine a small dataset is packed by the calling thread, before workers would start.
        shard_size: bytes of a shard at most, but for a sample that alone is larger.
        max_scene_size: bytes of pixels of an image at most; larger ones are left out as broken.
        bad_files: how many broken files may be left out.
        items: how the tree shows the Items; by default a file for each, and pages in a collection
            of more than `satimnet.builder.catalog.item_pages.MOST_FILES`.
        overview: whether collections get a picture of some samples, which takes most of the time
            of a small build.
        masks: whether samples that are labelled as a whole get a mask of their only class, as
            `satimnet.builder.packing.tag_masks` says.
        single_writer: nobody else writes to this catalog meanwhile. Object stores that cannot keep
            two runs from overwriting each other ask for it.
        progress: is told how far the build is.

    Returns:
        A report of each dataset, and one of the sources that no dataset knows, if there are any.

    Raises:
        ArgumentError: an argument cannot be, such as a place that must not be written over.
        BadFileError: a source is broken or unknown, or more files are broken than ``bad_files``
            allows.
        SatimnetError: something else keeps the catalog from being written. In any case, whatever
            stood at ``out`` is then untouched.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from stactools.eurosat.miniature import write_miniature
        >>> folder = Path(tempfile.mkdtemp())
        >>> sources = write_miniature(folder / "source", 2)
        >>> (report,) = build(sources, folder / "catalog", overview=False)
        >>> report.dataset, report.items
        ('eurosat', 20)
    """
    sources = [source_place(source) for source in sources]
    named = {name: tuple(map(source_place, given)) for name, given in (assigned or {}).items()}
    place = _require_places(out, [*sources, *chain.from_iterable(named.values())])
    if not 0 < shard_size <= MAX_SHARD_SIZE:
        raise ArgumentError(
            f"shard_size {shard_size}: must be from 1 to {MAX_SHARD_SIZE} bytes", "shard_size"
        )
    known = _with_options(installed() if datasets is None else datasets, options or {})
    if masks:
        known = {id: replace(one, record=with_tag_masks(one.record)) for id, one in known.items()}
    for name in named:
        _require_known(name, known, "assigned")
    publishing.require_one_by_one(place, single_writer=single_writer)
    with _workspace(place, sources, named) as staging:
        indexes = staging / "indexes"
        with one_step(progress, "Looking into the sources"):
            groups, unknown = recognise(sources, known, indexes)
        if unknown and (bad_files == "stop" or not (groups or named)):
            raise _unrecognised(unknown[0], known)
        groups |= {name: Source(paths, indexes) for name, paths in named.items()}
        how = _How(
            *(place, staging, scheduler, shard_size, max_scene_size),
            *(bad_files, items, overview, progress),
        )
        built = [_build_dataset(known[name], source, how) for name, source in groups.items()]
        reports = [report for report, _ in built]
        made = [one for _, one in built if one is not None]
        if not made:
            raise _without_samples(known, groups)
        _publish(made, known, how, single_writer)
    return [*reports, *([Report(None, 0, 0, tuple(unknown))] if unknown else [])]


@dataclass(frozen=True, slots=True)
class _How:
    """What is the same for all datasets of a build; see `build`."""

    out: str
    staging: Path
    scheduler: str
    shard_size: int
    max_scene_size: int
    bad_files: BadFiles
    items: ItemFiles | None
    overview: bool
    progress: Progress


@dataclass(frozen=True, slots=True)
class _Collection:
    """The collection of one dataset while it is made."""

    dataset: Dataset
    source: Source
    plans: list[ShardPlan]
    """Those of the shards that were begun, without their samples."""
    files: ItemFiles
    folder: Path
    """Where it is made, in the workspace; named by what it is made of."""
    out: str
    """The place of the catalog."""

    @property
    def tree(self) -> Path:
        """The files of the version, but for its shards."""
        return self.folder / "tree"

    @property
    def rows(self) -> Path:
        """The rows of its shards."""
        return self.folder / "rows"

    @property
    def shards(self) -> str:
        """Place of its shards; on disk they are moved when they are published."""
        in_store = f"{self.out}/{self.dataset.id}/{SHARDS_NAME}"
        return in_store if is_url(self.out) else str(self.folder / SHARDS_NAME)

    @property
    def sent_rows(self) -> str:
        """Where workers write the rows."""
        in_store = f"{self.out}/{BUILDING}/{self.folder.name}"
        return in_store if is_url(self.out) else str(self.rows)


# --- one dataset --------------------------------------------------------------------------------


def _build_dataset(dataset: Dataset, source: Source, how: _How) -> tuple[Report, Made | None]:
    """Makes the collection of a dataset in the workspace; None if it has no sample."""
    with rarely_collected():
        for _ in range(_TRIES - 1):
            with suppress(_RowsAreGoneError):
                return _built(dataset, source, how)
        return _built(dataset, source, how)


def _built(dataset: Dataset, source: Source, how: _How) -> tuple[Report, Made | None]:
    """As `_build_dataset`; shards are made while the scan goes on."""
    problems: list[Problem] = []
    coming = plans(_samples(dataset, source, problems, how.progress), how.shard_size)
    with without_collector():
        first, files = _settled(coming, how.items)
    if not first:  # labels alone, say: other datasets of the same build need not suffer
        return Report(dataset.id, 0, 0, tuple(problems)), None
    folder = how.staging / f"{dataset.id}-{_digest(dataset, source, first, files, how)}"
    made = _Collection(dataset, source, [], files, folder, how.out)
    _prepare(made, how.staging)
    _require_space(made, first, how.staging)
    coming = chain(first, _with_room(made, coming, how.staging))
    met, known = _make_shards(made, coming, _scheduler(first, files, how), how)
    made.plans.sort(key=in_order)
    met.sort(key=lambda problem: problem.reason)  # shards end in any order
    problems = sorted([*problems, *met], key=lambda problem: problem.path)
    rows = MappedRows([made.rows / rows_name(p) for p in made.plans], known)
    report = _judge(made, rows, problems, how.bad_files)
    with one_step(how.progress, f"Describing {dataset.id}"):
        return report, _described(made, rows, report, how.overview)


class _RowsAreGoneError(SatimnetError):
    """Another run of the same build was done first, and removed what workers wrote."""


def _settled(
    coming: Iterator[ShardPlan], items: ItemFiles | None
) -> tuple[list[ShardPlan], ItemFiles]:
    """The first plans, which tell how the tree shows the Items; all of them where Items are files
    of their own, as those of other builds could not be told from them."""
    first: list[ShardPlan] = []
    files = items or files_for(0)
    count = 0
    for shard in coming:
        first.append(shard)
        count += shard.count
        files = items or files_for(count)
        if files != "json":
            break
    return first, files


def _scheduler(first: Sequence[ShardPlan], files: ItemFiles, how: _How) -> str:
    """Who makes the shards: of a small dataset this thread, as a worker's start takes longer."""
    all_known = files == "json"
    small = sum(p.members for p in first) <= _SOON_PACKED and sum(p.size for p in first) <= _SMALL
    return HERE if all_known and small and not is_cluster(how.scheduler) else how.scheduler


def _make_shards(
    made: _Collection, coming: Iterable[ShardPlan], scheduler: str, how: _How
) -> tuple[list[Problem], dict[Path, pa.Table]]:
    """Makes all shards that are not there yet, and notes their plans.

    Returns the problems met in them, and the rows that are in memory, by their file.
    """
    if is_url(made.out):
        publishing.note_build(made.out, made.folder.name)
    tasks = _tasks(made, coming, how)
    what = f"Packing {made.dataset.id}"
    problems: list[Problem] = []
    small = SmallShards() if scheduler == HERE and not is_url(made.out) else None
    work = make if small is None else small.make
    for outcome in stream_tasks(work, tasks, scheduler, what, how.progress):
        if isinstance(outcome, str):
            raise SatimnetError(outcome)
        problems += outcome
    if is_url(made.out):
        try:
            _fetch_rows(made, how.progress)
        except NotFoundError as error:
            raise _RowsAreGoneError(str(error)) from error
    if small is None:
        return problems, {}
    small.write_rows()
    return problems, small.rows


def _tasks(
    made: _Collection, coming: Iterable[ShardPlan], how: _How
) -> Iterator[tuple[ShardTask | PagesTask]]:
    """A task for each plan, of which only what is needed to find its shard is kept; then those for
    pages of nodes whose shards are made by then, which are nearly all."""
    record, indexes = made.dataset.record, made.source.indexes
    tree = made.tree if made.files == "json" and not is_url(made.out) else None
    where = (made.shards, made.sent_rows, tree, made.files, how.max_scene_size)
    uncertain = set()  # levels with rows of an earlier run, whose shard may be made again now
    for shard in coming:
        if (made.rows / rows_name(shard)).exists():
            uncertain.add(shard.level)
        made.plans.append(replace(shard, chunks=()))
        yield (ShardTask(shard, record, indexes, *where),)
    if not is_url(made.out):
        for pages in _pages(made):
            if pages.level not in uncertain and pages.is_ready:
                yield (pages,)


def _pages(made: _Collection) -> Iterator[PagesTask]:
    """A task for the pages of each node, if the tree has pages."""
    levels: dict[tuple[str, ...], list[ShardPlan]] = {}
    for shard in made.plans if made.files == "pages" else ():
        levels.setdefault(shard.level, []).append(shard)
    for level, shards in levels.items():
        yield PagesTask(tuple(shards), made.rows, made.tree.joinpath(*level))


def _fetch_rows(made: _Collection, progress: Progress) -> None:
    """Fetches what workers wrote to the store about their shards."""
    names = [rows_name(p) for p in made.plans]
    if made.files != "none":
        names += [features_name(p) for p in made.plans]
    what = f"Fetching rows of {made.dataset.id}"
    for done, _ in enumerate(download_all(made.sent_rows, names, made.rows), 1):
        progress(what, done, len(names), "files")
    if made.files == "json":
        for shard in made.plans:
            folder = made.tree.joinpath(*shard.level)
            split_features(made.rows / features_name(shard), folder)


def _samples(
    dataset: Dataset, source: Source, problems: list[Problem], progress: Progress
) -> Iterator[Sample]:
    """The samples of the scan, whose problems are noted."""
    count = 0
    progress(f"Scanning {dataset.id}", 0, None, "samples")
    tally = Tally()
    levels: set[tuple[str, ...]] = set()  # whose names can be those of folders
    for found in dataset.scan(replace(source, tally=tally)):
        if isinstance(found, Problem):
            problems.append(found)
            continue
        tally.take_all([member.entry for member in found.members])
        try:
            file_name(found.id)
            if found.level not in levels:
                for name in found.level:
                    file_name(name)
                levels.add(found.level)
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


def _judge(
    made: _Collection, rows: MappedRows, problems: Sequence[Problem], bad_files: BadFiles
) -> Report:
    """The report, unless there is more wrong than the build should put up with."""
    sizes = [(len(table), int(table.schema.metadata[b"members"])) for table in rows]
    items, members = (sum(column) for column in zip(*sizes, strict=True))
    wanted = sum(p.members for p in made.plans)
    report = Report(made.dataset.id, items, members, tuple(problems))
    if bad := report.of("broken"):
        counted = f" (and {len(bad) - 1} more of {wanted})" if len(bad) > 1 else f" (1 of {wanted})"
        remedy = None
        if items == 0:
            remedy = "no sample is left, get the source again"
        elif bad_files == "stop":
            remedy = "mend it, or allow some with bad_files='few'"
        elif bad_files == "few" and len(bad) > _FEW * wanted:
            remedy = (
                "more than 1 in 100 files is broken, get the source again, "
                "or leave out any number with bad_files='any'"
            )
        if remedy:
            raise BadFileError(bad[0].path, f"{bad[0].reason}{counted}; {remedy}")
    return report


def _described(made: _Collection, rows: MappedRows, report: Report, overview: bool) -> Made:
    """Writes what is said over the rows of all shards: index, report, picture and nodes."""
    folder = made.tree
    nodes, filled = _nodes(made, rows)
    tables = rows.chosen(filled)
    joined = tables.joined()
    collection = collection_of(made.dataset.record, joined)
    written = write_parquet(joined, collection, folder / PARQUET_NAME)
    write_columns(collection, joined, folder, folder / PARQUET_NAME, made.files)
    write_json(_content(report, made.source), folder / _REPORT_NAME)
    (folder / OVERVIEW_NAME).unlink(missing_ok=True)  # of a build that was killed
    index = f"{made.shards.rpartition('/')[0]}/{folder.name}/{PARQUET_NAME}"
    drawn = overview and write_overview(collection, tables, folder, index)
    collection["assets"] = {"build-report": _REPORT_ASSET, **EXPLORER_ASSETS}
    if drawn:
        collection["assets"]["overview"] = OVERVIEW_ASSET
    if write_histogram(collection, tables, folder):
        collection["assets"]["class-histogram"] = HISTOGRAM_ASSET
    write_notebook(collection, folder)
    collection["assets"]["notebook"] = NOTEBOOK_ASSET
    for pages in _pages(made):
        if not (pages.folder / page_name(0)).exists() and isinstance(failed := make(pages), str):
            raise SatimnetError(failed)
    write_nodes(collection, nodes, folder, made.files)
    collection = with_links(collection, nodes, made.files, len(written))
    names = (*(file.name for file in written), _REPORT_NAME)
    version = version_of(collection, folder, names, made.files)
    shards = None if is_url(made.out) else Path(made.shards)
    return Made(collection, version, folder, shards)


def _nodes(
    made: _Collection, rows: MappedRows
) -> tuple[dict[tuple[str, ...], list[str]], list[int]]:
    """The ids of the Items by node of the tree, and which shards have any; others are removed."""
    nodes: dict[tuple[str, ...], list[str]] = {}
    filled, kept = [], set()
    for at, (shard, table) in enumerate(zip(made.plans, rows, strict=True)):
        if ids := table["id"].to_pylist():
            nodes.setdefault(shard.level, []).extend(ids)
            filled.append(at)
            kept.add(shard_name(table))
            made.tree.joinpath(*shard.level).mkdir(parents=True, exist_ok=True)
    if not is_url(made.out):
        for file in Path(made.shards).iterdir():
            if file.name not in kept:  # every file of it was broken
                file.unlink()
    return nodes, filled


def _content(report: Report, source: Source) -> Json:
    """What ``build-report.json`` says."""
    return {
        "items": report.items,
        "members": report.members,
        "left_out": [_problem_row(problem, source) for problem in report.of("broken")],
        "incomplete": [_problem_row(problem, source) for problem in report.of("incomplete")],
        "ignored": [_problem_row(problem, source) for problem in report.of("foreign")],
    }


def _problem_row(problem: Problem, source: Source) -> dict[str, str]:
    """A row of the report; it leaves out the folders above the source, which are private."""
    path, reason = problem.path, problem.reason
    for root in (printable(shown(str(path))) for path in source.paths):
        if path.startswith(root):
            path = os.path.basename(root) + path[len(root) :]
        reason = reason.replace(root, os.path.basename(root))  # as of "a second copy"
    return {"path": path, "reason": reason}


# --- the workspace ------------------------------------------------------------------------------


@contextmanager
def _workspace(
    out: str, sources: Sequence[str | Path], assigned: Mapping[str, Sequence[str | Path]]
) -> Iterator[Path]:
    """A folder for this build alone; what a killed one left is found by the same sources."""
    if is_url(out):
        with scratch_folder() as folder:
            yield folder
        return
    given = sorted(map(str, sources)), sorted((k, sorted(map(str, v))) for k, v in assigned.items())
    key = hashlib.sha256(repr(given).encode()).hexdigest()[:_DIGITS]
    with workspace(Path(out), f"building-{key}", shared=True) as folder:
        yield folder


def _digest(
    dataset: Dataset, source: Source, first: Sequence[ShardPlan], files: ItemFiles, how: _How
) -> str:
    """What tells whether an earlier run was the same build.

    Where Items are files of their own, ``first`` has all shards. Elsewhere the names of rows tell
    of each shard.
    """
    digests = [p.digest for p in first] if files == "json" else list(map(str, source.paths))
    how_made = files, how.max_scene_size, how.shard_size
    content = (this_version(), dict(dataset.record), digests, *how_made)
    return hashlib.sha256(repr(content).encode()).hexdigest()[:_DIGITS]


def _prepare(made: _Collection, staging: Path) -> None:
    """Makes the folders of a dataset; what another build of it left is removed."""
    for path in staging.glob(f"{glob.escape(made.dataset.id)}-*"):
        if path != made.folder:
            shutil.rmtree(path)
    if made.files != "json":  # all of it is written when the shards are there
        shutil.rmtree(made.tree, ignore_errors=True)
    for path in (made.tree, made.rows):
        path.mkdir(parents=True, exist_ok=True)
    if not is_url(made.out):
        Path(made.shards).mkdir(exist_ok=True)


def _with_room(
    made: _Collection, coming: Iterable[ShardPlan], staging: Path
) -> Iterator[ShardPlan]:
    """The plans, as long as the disk has room for the next."""
    for shard in coming:
        _require_space(made, [shard], staging)
        yield shard


def _require_space(made: _Collection, shards: Sequence[ShardPlan], staging: Path) -> None:
    """Refuses a build that the disk has no room for."""
    if is_url(made.out):
        return
    needed = sum(p.size for p in shards if not (made.rows / rows_name(p)).exists())
    free = shutil.disk_usage(staging).free
    if needed > free:
        raise ArgumentError(
            f"{staging.parent}: {needed / 2**20:,.1f} MiB needed, {free / 2**20:,.1f} MiB free; "
            "make room or choose another out",
            "out",
        )


def _publish(
    made: Sequence[Made], known: Mapping[str, Dataset], how: _How, single_writer: bool
) -> None:
    """Makes what was built the current versions of the catalog, all at once."""
    vocabulary = Vocabulary({one.id: known[one.id].record for one in made})
    publishing.publish(
        *(how.out, made, vocabulary),
        staging=how.staging,
        single_writer=single_writer,
        progress=how.progress,
    )
    if is_url(how.out):
        for one in made:
            remove_below(f"{how.out}/{BUILDING}/{one.folder.parent.name}")


# --- what is refused ----------------------------------------------------------------------------


def _require_places(out: str | os.PathLike[str], sources: Sequence[Path | str]) -> str:
    """The place to write to; refuses one where the catalog must not be written, or cannot be."""
    place = writable(out)
    if is_url(place):
        publishing.read_root(place)
    else:
        _refuse_foreign(Path(out))
    _refuse_inside(place, sources)
    return place


def _require_known(name: str, known: Mapping[str, Dataset], argument: str) -> None:
    """Refuses the id of a dataset that is not there."""
    if name not in known:
        raise ArgumentError(f"{name}: no such dataset; there are {', '.join(known)}", argument)


def _with_options(
    datasets: Mapping[str, Dataset], options: Mapping[str, Mapping[str, str]]
) -> dict[str, Dataset]:
    """The datasets, to be read with these options."""
    known = dict(datasets)
    for name, chosen in options.items():
        _require_known(name, known, "options")
        known[name] = known[name].with_options(chosen)
    return known


def _unrecognised(problem: Problem, known: Mapping[str, Dataset]) -> BadFileError:
    """What to say of a source that no dataset knows."""
    reason = problem.reason
    if reason == UNKNOWN_LAYOUT:
        reason += (
            f" ({', '.join(known)}); say which it is, and the message tells what that one expects, "
            "or read it by a layout that everybody has, such as coco"
        )
    return BadFileError(problem.path, reason)


def _without_samples(known: Mapping[str, Dataset], groups: Mapping[str, Source]) -> BadFileError:
    """What to say of sources in which no dataset finds a sample."""
    first = next(iter(groups))
    where = ", ".join(shown(str(path)) for path in groups[first].paths)
    return BadFileError(where, f"no sample of {first}; {known[first].record.layout}")


def _refuse_foreign(out: Path) -> None:
    """An existing folder is added to if it is a catalog, replaced if it is empty, else left."""
    if out.is_dir() and (says(out / "catalog.json", "id", ROOT_ID) or not any(out.iterdir())):
        if not os.access(out, os.W_OK):
            raise ArgumentError(f"{out}: no permission to write; choose another out", "out")
    elif out.exists():
        raise ArgumentError(
            f"{out}: is there already and is no catalog of satimnet; choose another out", "out"
        )


def _refuse_inside(out: str, sources: Sequence[Path | str]) -> None:
    """A catalog inside its own source would be read as a part of it by the next build."""
    for source in sources:
        if isinstance(source, str):  # a URL
            inside = f"{out}/".startswith(f"{source.rstrip('/')}/")
        else:
            real = Path(os.path.realpath(source))
            inside = not is_url(out) and Path(os.path.realpath(out)).is_relative_to(real)
        if inside:
            raise ArgumentError(
                f"{shown(out)}: lies inside the source {shown(str(source))}; choose another out",
                "out",
            )
