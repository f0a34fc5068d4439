"""Tuning: every combination of a grid is cross-validated, and they are ranked.

A combination that is finished is a small file in the output folder; the networks are not kept. What
is equal in an undisturbed run and in one that was killed, to the last byte, is all of the folder
but times.json and times.md: how long something took cannot be.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import os
import shutil
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any

import numpy as np

from satimnet.builder.arguments import at_least, checked
from satimnet.builder.errors import ArgumentError, BadCatalogError, SatimnetError, StorageError
from satimnet.builder.progress import Progress, silent
from satimnet.builder.storage.atomic_files import write, write_json
from satimnet.builder.storage.hrefs import on_disk
from satimnet.builder.storage.parallel import connected, is_cluster
from satimnet.builder.storage.staging import lock
from satimnet.training.data.array_types import Numbers
from satimnet.training.data.content_digest import with_contents
from satimnet.training.data.folds import folds_of
from satimnet.training.data.image_assets import have_bands, with_bands
from satimnet.training.data.reading_ahead import require_way
from satimnet.training.data.training_samples import Samples
from satimnet.training.devices import Launched, device_name, pick_device
from satimnet.training.networks.crossvalidation import (
    digest_of_folds,
    sources_of,
    tasks_of,
    train_and_test,
)
from satimnet.training.networks.grids import Grid, spelled, worded
from satimnet.training.networks.outputs import find_mask, recipe_digest
from satimnet.training.networks.training import train
from satimnet.training.networks.training_plan import CODE, TrainingPlan, Wishes, plan_training

_WHAT, _UNIT = "Tuning", "combinations"
_JUDGED = {"class": "class", "segm": "mask", "dual": "mask"}
"""The output that a network is ranked by: of CNN-dual that of Table 4 of the paper."""
_OF_A_COMBINATION = {"learning_rate", "bands"}
"""Errors that name these, once a training has begun, are the combination's and not the user's."""
_MOST_DRAWN = 100
"""Combinations in the picture."""


@dataclass(frozen=True)
class Trial:
    """How one combination did.

    values: the arguments of `train` that the grid gives it. accuracies: of each fold, as fractions,
    by the output of the network; the one it is ranked by comes first. failed: why there are none,
    such as a loss that has run away. seconds, device: of all its trainings together.
    """

    values: Mapping[str, Any]
    accuracies: Mapping[str, tuple[float, ...]]
    failed: str | None = None
    seconds: float | None = None
    device: str | None = None

    @property
    def folds(self) -> tuple[float, ...]:
        """The accuracies that it is ranked by."""
        return next(iter(self.accuracies.values()), ())

    @property
    def mean(self) -> float:
        """Mean accuracy of the folds; NaN if it failed."""
        return statistics.fmean(self.folds) if self.folds else math.nan

    @property
    def deviation(self) -> float:
        """Standard deviation over the folds, of which there are few: by n - 1."""
        return statistics.stdev(self.folds) if self.folds else math.nan


@dataclass(frozen=True)
class Tuning:
    """The result of a search: all combinations of a grid, the best one first.

    samples: how many, by collection. recipe: digest of the recipe that fused them; None where none
    did. sample_digest: SHA-256 over ids, sources, classes and folds of the samples. arguments: of
    all trainings, besides what the grid says.

    Example:
        >>> grid = Grid({"width": [16], "dropout": [0.1, 0.2]})
        >>> trials = (
        ...     Trial({"width": 16, "dropout": 0.2}, {"class": (0.75, 0.8, 0.85)}),
        ...     Trial({"width": 16, "dropout": 0.1}, {"class": (0.7, 0.75, 0.8)}),
        ... )
        >>> tuning = Tuning(grid, trials, {"eurosat": 27_000}, None, "0" * 64, {"seed": 0})
        >>> tuning.best.values["dropout"]
        0.2
        >>> list(tuning.cells())
        [('1', '0.2', '80.00', '5.00'), ('2', '0.1', '75.00', '5.00')]
    """

    grid: Grid
    trials: tuple[Trial, ...]
    samples: Mapping[str, int]
    recipe: str | None
    sample_digest: str
    arguments: Mapping[str, Any]

    @property
    def best(self) -> Trial:
        """The combination with the highest mean accuracy."""
        return self.trials[0]

    def heads(self, *, times: bool = False) -> tuple[str, ...]:
        """What stands over the `cells`."""
        names = map(spelled, self.grid.varied)
        return ("", *names, "mean %", "deviation", *(["time (s)"] if times else []))

    def cells(self, *, times: bool = False) -> Iterator[tuple[str, ...]]:
        """Rank, values that vary, mean and deviation of each combination, and perhaps its time."""
        for rank, trial in enumerate(self.trials, 1):
            values = (worded(trial.values[name]) for name in self.grid.varied)
            judged = (f"{100 * trial.mean:.2f}", f"{100 * trial.deviation:.2f}")
            spent = "?" if trial.seconds is None else f"{trial.seconds:,.1f}"
            yield (
                str(rank),
                *values,
                *(("failed", "") if trial.failed else judged),
                *([spent] if times else []),
            )

    def facts(self, *, times: bool = False) -> Iterator[tuple[str, str]]:
        """What a reader needs to judge the figures, as name and value."""
        network = f"CNN-{self.grid.model}"
        if self.grid.model == "dual":
            network += ", ranked by its masks"
        yield "Network", network
        if self.grid.source:
            yield "Grid", f"{self.grid.title}; {self.grid.source}"
        yield "Folds", f"{self.grid.folds}; the deviation is over these"
        yield "Samples", ", ".join(f"{count:,} {name}" for name, count in self.samples.items())
        same = {name: v[0] for name, v in self.grid.values.items() if len(v) == 1}
        listed = same | dict(self.arguments)
        yield "Arguments", ", ".join(f"{spelled(k)} {worded(v)}" for k, v in listed.items())
        yield "Recipe", self.recipe or "none: the collection as it is"
        yield "Samples' digest", self.sample_digest
        yield "Code", CODE
        for trial in self.trials:
            if trial.failed:
                yield f"Failed, {self.grid.label(trial.values)}", trial.failed
        if times:
            seconds = sum(trial.seconds or 0 for trial in self.trials)
            devices = dict.fromkeys(trial.device for trial in self.trials if trial.device)
            yield "Device", "; ".join(devices)
            yield "Training time", f"{seconds / 60:.1f} minutes, all together"

    def markdown(self, *, times: bool = True) -> str:
        """The table and the facts in Markdown; without times it is the same whenever it is made."""
        heads = self.heads(times=times)
        right = len(heads) - 1 - len(self.grid.varied)
        lines = [
            f"| {' | '.join(heads)} |",
            f"| ---: | {'--- | ' * len(self.grid.varied)}{' | '.join(['---:'] * right)} |",
            *(f"| {' | '.join(cells)} |" for cells in self.cells(times=times)),
            "",
            *(f"- {name}: {value}" for name, value in self.facts(times=times)),
        ]
        title = [f"# {self.grid.title}", ""] if self.grid.title else []
        return "\n".join([*title, *lines]) + "\n"

    def json(self, *, times: bool = True) -> dict[str, Any]:
        """All of it as JSON has it, with every fold; without times as in `markdown`."""
        rows = []
        for trial in self.trials:
            row: dict[str, Any] = {"values": dict(trial.values), "mean": None, "deviation": None}
            if not trial.failed:
                row |= {"mean": trial.mean, "deviation": trial.deviation}
            row |= {"accuracies": dict(trial.accuracies), "failed": trial.failed}
            if times:
                row |= {"seconds": trial.seconds, "device": trial.device}
            rows.append(row)
        return {
            "title": self.grid.title,
            "source": self.grid.source,
            "model": self.grid.model,
            "folds": self.grid.folds,
            "samples": dict(self.samples),
            "recipe": self.recipe,
            "sample_digest": self.sample_digest,
            "arguments": dict(self.arguments),
            "code": CODE,
            "combinations": rows,
        }


@checked()
def tune(
    samples: Samples,
    grid: Grid,
    out: str | os.PathLike[str],
    *,
    windows: int | None = None,
    windows_per_epoch: int | None = None,
    seed: int = 0,
    device: str | None = None,
    devices: int = 1,
    scheduler: str = "threads",
    save_seconds: float = 60,
    max_combinations: int = 100,
    quiet: bool = False,
    progress: Progress = silent,
    on_trial: Callable[[Trial], object] | None = None,
) -> Tuning:
    """Cross-validates every combination of a grid, and ranks them.

    As in the paper (Section 3.1): each combination is trained once for each fold and tested on that
    fold; all learn from the same samples, divided in the same way. A combination whose training
    runs away, or whose bands have one value everywhere, is in the table as failed.

    A search that was killed goes on when it is started again with the same arguments: finished
    combinations are not done again, and one on its way goes on as `crossvalidate` does. So does a
    search with more values in the grid. Same seed, same machine, same number of threads, CPU: the
    same files, killed or not, but for those of the times.

    Args:
        samples: all samples.
        grid: which values of which arguments, the network and the number of folds. Where the Items
            have ``satimnet:fold``, these folds are dealt into so many.
        out: the folder of the results: ``table.md``, ``table.json`` and ``table.png``, a file for
            each finished combination, and ``times.md`` and ``times.json``.
        windows: as in `train`.
        windows_per_epoch: as in `train`.
        seed: of folds and trainings.
        device: as in `train`.
        devices: as in `train`; 1 on a cluster.
        scheduler: with ``threads`` and ``direct`` one combination is trained after the other; they
            say what reads the samples, as in `train`. With the address of a dask cluster its
            workers, which must see the same files, train combinations side by side, each worker one
            at a time; what a killed search had on its way there begins again.
        save_seconds: as in `train`.
        max_combinations: refuse a grid with more.
        quiet: call neither `progress` nor `on_trial`.
        progress: is called after every combination, and by the trainings.
        on_trial: is called with every combination that was not done before.

    Returns:
        The combinations, the best one first; of equal ones, the first in the grid.

    Raises:
        ArgumentError: an argument is not as it must be, the samples lack bands, or there are too
            many combinations.
        SatimnetError: as `train` does; or `out` holds another search, or another run is writing it.

    Example:
        >>> from satimnet.training import Grid, open_samples
        >>> samples = open_samples("catalog").search()
        >>> same = {"width": [4], "epochs": [1], "batch_size": [8]}
        >>> grid = Grid({"bands": [["B02", "B03"], ["B04"]], **same}, folds=2)
        >>> tuning = tune(samples, grid, "run/tuning", device="cpu")
        >>> print(tuning.markdown().splitlines()[0])
        |  | bands | mean % | deviation | time (s) |
    """
    folder = on_disk(out)
    require_way(scheduler)
    if not is_cluster(scheduler):
        pick_device(device)
    elif devices != 1:
        raise ArgumentError(
            f"devices {devices}: a worker of a cluster trains with one; leave it out", "devices"
        )
    if Launched.found() is not None:
        raise ArgumentError(
            "devices: torchrun can start train, one network at a time; start tune without it",
            "devices",
        )
    at_least(1, max_combinations=max_combinations)
    if len(grid) > max_combinations:
        raise ArgumentError(
            f"grid: {len(grid):,} combinations, over the limit of {max_combinations:,}; give fewer "
            "values, or set max_combinations to more",
            *("grid", "max_combinations"),
        )
    fold = _dealt(samples, grid.folds, seed)
    told = silent if quiet else progress
    common = {"windows": windows, "windows_per_epoch": windows_per_epoch, "devices": devices}
    common = {"seed": seed, **common}
    samples, plans = _plans(samples, grid, common)
    search = _Search(
        folder,
        samples,
        fold,
        grid.model,
        common | {"device": device, "scheduler": scheduler, "save_seconds": save_seconds},
    )
    source = sources_of(samples)
    facts: dict[str, Any] = {
        "model": grid.model,
        "folds": grid.folds,
        **common,
        "samples": digest_of_folds(samples, source, fold),
        "code": CODE,
    }
    names = [_name(plan, fold) for plan in plans]
    todo = dict(zip(names, grid.combinations(), strict=True))
    new = not folder.exists()
    try:
        with lock(folder / "table.json"):
            _require_same(folder, facts)
            trials = _trials(search, todo, facts, told, None if quiet else on_trial)
            ranked = sorted(trials, key=lambda one: -one.mean if one.folds else math.inf)
            tuning = Tuning(
                grid,
                tuple(ranked),
                {name: int((source == name).sum()) for name in dict.fromkeys(source.tolist())},
                recipe_digest(samples),
                facts["samples"],
                {name: value for name, value in common.items() if value is not None},
            )
            _write_results(tuning, folder)
            shutil.rmtree(folder / _UNFINISHED, ignore_errors=True)
    except SatimnetError:
        raise
    except OSError as error:
        raise StorageError(f"{out}: cannot be written ({error.strerror})") from error
    finally:
        _remove_empty(folder / _UNFINISHED)
        if new:
            _remove_empty(folder)
    return tuning


# --- what is to be done ---------------------------------------------------------------------------


def with_all_bands(samples: Samples, grid: Grid) -> Samples:
    """The samples that have the bands of every combination, so that all learn from the same ones.

    Raises `ArgumentError` where there are none.
    """
    for bands in grid.values.get("bands", ()):
        having = have_bands(samples, bands)
        if not having.any():
            raise ArgumentError(
                f"no sample has the bands {', '.join(bands)} and those of the other combinations; "
                "give other bands",
                "bands",
            )
        samples = samples.of(with_bands(samples.collections, bands), having)
    return samples


def _dealt(samples: Samples, count: int, seed: int) -> Numbers:
    """The fold of each sample, from 0: those that are drawn, or those of the Items put together."""
    fold = folds_of(samples, count, seed)
    written = np.unique(fold)
    if len(written) < count:
        raise ArgumentError(
            f"folds {count}: the Items are of {len(written)} folds (satimnet:fold); give no more",
            "folds",
        )
    return np.asarray(np.searchsorted(written, fold) % count, np.int64)


def _plans(
    samples: Samples, grid: Grid, common: Mapping[str, Any]
) -> tuple[Samples, list[TrainingPlan]]:
    """The plan of each combination, and the samples with digests of all files that are read.

    Whatever is wrong with an argument is found here, before anything is written.
    """
    mask = None if grid.model == "class" else find_mask(samples)
    for bands in grid.values.get("bands", (None,)):
        samples = with_contents(samples, bands, mask)
    usual = {name: one.default for name, one in inspect.signature(train).parameters.items()}
    plans = []
    for values in grid.combinations():
        asked = usual | dict(common) | values | {"model": grid.model}
        wishes = Wishes(**{one.name: asked[one.name] for one in fields(Wishes)})
        plans.append(plan_training(wishes, samples, samples))
    return samples, plans


def _name(plan: TrainingPlan, fold: Numbers) -> str:
    """The name of a combination's file: a digest of all that its result depends on."""
    made = (plan.kind, plan.width, plan.bands, plan.described(), fold.tolist())
    return hashlib.sha256(json.dumps(made).encode()).hexdigest()[:20]


def _require_same(folder: Path, facts: Mapping[str, Any]) -> None:
    """Refuses a folder that holds another search; one with another grid is the same."""
    there = _read(folder / _SEARCH)
    if there is None:
        if (folder / "table.json").exists():  # as of crossvalidate
            raise ArgumentError(
                f"{folder}: holds a table that is no search's; choose another place", "out"
            )
        return
    differing = [
        "other samples, or other folds"
        if name == "samples"
        else f"{name.replace('_', ' ')} {there.get(name, 'unknown')}, not {value}"
        for name, value in facts.items()
        if there.get(name) != value
    ]
    if differing:
        raise ArgumentError(
            f"{folder}: holds another search ({'; '.join(differing)}); remove it or choose another "
            "place",
            "out",
        )


# --- trials ---------------------------------------------------------------------------------------

_SEARCH, _TIMES = "search.json", "times.json"
_FINISHED, _UNFINISHED = "combinations", "unfinished"


@dataclass(frozen=True)
class _Search:
    """What all combinations have in common. how: arguments of their trainings."""

    folder: Path
    samples: Samples
    fold: Numbers
    model: str
    how: Mapping[str, Any]


def _trials(
    search: _Search,
    todo: Mapping[str, Mapping[str, Any]],
    facts: dict[str, Any],
    told: Progress,
    on_trial: Callable[[Trial], object] | None,
) -> list[Trial]:
    """Every combination, by the name of its file, in the order of `todo`; each is kept."""
    folder = search.folder
    times = _read(folder / _TIMES) or {}
    done: dict[str, Trial] = {}
    for name, values in todo.items():
        if (found := _read(_file(folder, name))) is not None:
            done[name] = _found(found, values, times.get(name, {}), search, name)
    told(_WHAT, len(done), len(todo), _UNIT)
    left = {name: values for name, values in todo.items() if name not in done}
    run = _on_cluster if is_cluster(search.how["scheduler"]) else _here
    for name, trial in run(search, left, told):
        if not (folder / _SEARCH).exists():
            write_json(facts, folder / _SEARCH)
        times[name] = {"seconds": trial.seconds, "device": trial.device}
        write_json(times, folder / _TIMES)  # first: a combination that is there has a time
        kept = {"values": trial.values, "accuracies": trial.accuracies, "failed": trial.failed}
        write_json(kept, _file(folder, name))
        shutil.rmtree(folder / _UNFINISHED / name, ignore_errors=True)
        done[name] = trial
        told(_WHAT, len(done), len(todo), _UNIT)
        if on_trial is not None:
            on_trial(trial)
    return [done[name] for name in todo]


def _here(
    search: _Search, todo: Mapping[str, Mapping[str, Any]], told: Progress
) -> Iterator[tuple[str, Trial]]:
    """One after the other, in this process."""
    for name, values in todo.items():
        yield name, _trial(search, values, search.folder / _UNFINISHED / name, told)


def _on_cluster(
    search: _Search, todo: Mapping[str, Mapping[str, Any]], told: Progress
) -> Iterator[tuple[str, Trial]]:
    """Side by side, on the workers of a dask cluster, in any order."""
    from dask.config import set as settings
    from dask.delayed import delayed
    from distributed import as_completed

    address = search.how["scheduler"]
    own = replace(search, how={**search.how, "scheduler": "threads"})
    with connected(address) as client:
        # Sent once, for all tasks: with many samples that is large, and dask would warn.
        shared = delayed(own, traverse=False)
        work = delayed(_on_worker, pure=False)
        with settings({"distributed.admin.large-graph-warning-threshold": "10GB"}):
            futures = client.compute([work(shared, dict(values)) for values in todo.values()])
        names = {future.key: name for future, name in zip(futures, todo, strict=True)}
        finished = as_completed(futures, loop=client.loop, with_results=True, raise_errors=False)
        try:
            for future, outcome in finished:
                if future.status != "finished":
                    raise _failure(future.status, outcome, address)
                yield names[future.key], outcome
        finally:
            client.cancel(futures)


_ALONE = Lock()
"""Trainings set torch's one seed of the process, so two at a time would disturb each other."""


def _on_worker(search: _Search, values: Mapping[str, Any]) -> Trial:
    """The task of a worker; its folder need not be seen by anybody else."""
    with _ALONE, TemporaryDirectory() as folder:
        return _trial(search, values, Path(folder), silent)


def _failure(status: str, outcome: Any, address: str) -> BaseException:
    """Why a task of a cluster has no result."""
    from distributed import KilledWorker

    if status != "error":  # cancelled or lost
        return StorageError(f"{address}: the dask cluster has gone away; start it, and begin again")
    error: BaseException = outcome[1]
    if isinstance(error, KilledWorker):
        return StorageError(
            f"{address}: workers of the dask cluster died of a training, perhaps for want of "
            "memory; give it other workers, and begin again"
        )
    return error


def _trial(search: _Search, values: Mapping[str, Any], folder: Path, told: Progress) -> Trial:
    """Cross-validates a combination; networks and accuracies of its folds go into the folder."""
    judged = _JUDGED[search.model]
    device = device_name(pick_device(search.how["device"]))
    everything = [("all", np.ones(len(search.samples), np.bool_))]
    numbers = np.unique(search.fold).tolist()
    accuracies: dict[str, tuple[float, ...]] = {judged: ()}
    seconds = 0.0
    tasks = tasks_of(
        *(search.samples, [search.model], search.fold, numbers, everything, values.get("bands"))
    )
    how = {**search.how, **values, "quiet": told is silent, "progress": told}
    try:
        for task in tasks:
            result = train_and_test(task, folder, **how)
            seconds += result.seconds
            for (_, output), accuracy in result.accuracies.items():
                accuracies[output] = (*accuracies.get(output, ()), accuracy)
    except ArgumentError as error:
        if _OF_A_COMBINATION.isdisjoint(error.arguments):
            raise
        return Trial(values, {}, str(error), seconds, device)
    return Trial(values, accuracies, None, seconds, device)


# --- files ----------------------------------------------------------------------------------------


_DAMAGED = "{}: damaged; remove it, and what it tells is made again"


def _file(folder: Path, name: str) -> Path:
    return folder / _FINISHED / f"{name}.json"


def _read(path: Path) -> dict[str, Any] | None:
    """What a file of this module says; None if it is not there."""
    try:
        content = json.loads(path.read_bytes())
        if isinstance(content, dict):
            return content
    except FileNotFoundError:
        return None
    except ValueError:
        pass
    raise BadCatalogError(_DAMAGED.format(path))


def _found(
    content: Mapping[str, Any],
    values: Mapping[str, Any],
    times: Mapping[str, Any],
    search: _Search,
    name: str,
) -> Trial:
    """The combination that a file tells."""
    try:
        accuracies = {out: tuple(map(float, found)) for out, found in content["accuracies"].items()}
        failed = content["failed"]
        folds = len(np.unique(search.fold))
        if bool(failed) == bool(accuracies) or {*map(len, accuracies.values())} - {folds}:
            raise ValueError
        return Trial(values, accuracies, failed, times.get("seconds"), times.get("device"))
    except (KeyError, TypeError, ValueError, AttributeError):
        path = _file(search.folder, name)
        raise BadCatalogError(_DAMAGED.format(path)) from None


def _write_results(tuning: Tuning, folder: Path) -> None:
    """Tables and picture without times, and the table with them."""
    from satimnet.training.networks.plots import draw_trials

    write(folder / "table.md", tuning.markdown(times=False).encode())
    write_json(tuning.json(times=False), folder / "table.json")
    shown = [one for one in tuning.trials if one.folds][:_MOST_DRAWN]
    title = tuning.grid.title or f"CNN-{tuning.grid.model}"
    if len(shown) < len(tuning.trials):
        title += f": the best {len(shown)} of {len(tuning.trials)} combinations"
    rows = [(tuning.grid.label(one.values), one.folds) for one in shown]
    draw_trials(rows, folder / "table.png", title)
    write(folder / "times.md", tuning.markdown(times=True).encode())


def _remove_empty(folder: Path) -> None:
    """Removes a folder and those below it where they hold no file."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            with suppress(OSError):
                path.rmdir()
    with suppress(OSError):
        folder.rmdir()
