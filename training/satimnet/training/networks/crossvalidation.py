"""Cross-validation, and its result in the form of Table 4 of the paper."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satimnet.builder.arguments import at_least, checked
from satimnet.builder.errors import ArgumentError
from satimnet.builder.progress import Progress, silent
from satimnet.builder.storage.hrefs import on_disk
from satimnet.builder.storage.staging import lock
from satimnet.training.data.content_digest import digest_of, with_contents
from satimnet.training.data.folds import folds_of
from satimnet.training.data.reading_ahead import kept_open, require_way
from satimnet.training.data.training_samples import Samples
from satimnet.training.devices import Launched, device_name, pick_device
from satimnet.training.networks.checkpoints import write_text
from satimnet.training.networks.evaluation import evaluate, held_out
from satimnet.training.networks.outputs import find_mask, recipe_digest
from satimnet.training.networks.training import train
from satimnet.training.networks.training_plan import MODELS

_SOURCE = "satimnet:source"
_HEADINGS = {
    "class": "Patch-based classification",
    "mask": "Image segmentation",
}


@dataclass(frozen=True)
class Row:
    """How one network did: trained on one set, tested on another.

    output: ``class`` or ``mask``. accuracies: of each fold, as fractions.
    """

    model: str
    output: str
    training: str
    testing: str
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean accuracy of the folds."""
        return float(np.mean(self.accuracies))

    @property
    def maximum(self) -> float:
        """Accuracy of the best fold, which is what the paper reports."""
        return max(self.accuracies)


@dataclass(frozen=True)
class Table:
    """The result of a cross-validation.

    folds: how many were run, of how many. samples: how many, by source. seconds: of all trainings
    together. recipe: digest of the recipe that fused the samples; None where none did.
    sample_digest: SHA-256 over ids, sources, classes and folds of the samples. arguments: of the
    trainings.

    Example:
        >>> row = Row("cnn-class", "class", "eurosat", "eurosat", (0.9, 0.95))
        >>> sets, digest = {"eurosat": 27_000}, "0" * 64
        >>> table = Table((row,), (2, 10), sets, "a CPU", 60.0, None, digest, {"epochs": 5})
        >>> next(table.cells())[-2:]
        ('92.50', '95.00')
    """

    rows: tuple[Row, ...]
    folds: tuple[int, int]
    samples: Mapping[str, int]
    device: str
    seconds: float
    recipe: str | None
    sample_digest: str
    arguments: Mapping[str, Any]

    def cells(self) -> Iterator[tuple[str, ...]]:
        """Heading, model, training set, testing set, mean and maximum of each row.

        CNN-dual is shown by its masks alone, as in the paper.
        """
        for row in self.rows:
            if row.model != "cnn-dual" or row.output == "mask":
                yield (
                    _HEADINGS[row.output],
                    row.model.replace("cnn", "CNN"),
                    row.training,
                    row.testing,
                    f"{100 * row.mean:.2f}",
                    f"{100 * row.maximum:.2f}",
                )

    def facts(self) -> Iterator[tuple[str, str]]:
        """What a reader needs to judge the figures, as name and value."""
        run, there = self.folds
        yield "Folds", f"{run} of {there}" if run < there else str(there)
        yield "Samples", ", ".join(f"{count:,} {name}" for name, count in self.samples.items())
        yield "Device", self.device
        yield "Training time", f"{self.seconds / 60:.1f} minutes, all together"
        yield "Arguments", ", ".join(f"{k} {_plain(v)}" for k, v in self.arguments.items())
        yield "Recipe", self.recipe or "none: the collection as it is"
        yield "Samples' digest", self.sample_digest

    def markdown(self) -> str:
        """The table and the facts in Markdown."""
        lines = [
            "| Model | Training set | Testing set | Accuracy (%), mean | maximum |",
            "| --- | --- | --- | ---: | ---: |",
        ]
        heading = ""
        for title, *cells in self.cells():
            if title != heading:
                lines.append(f"| **{title}** | | | | |")
                heading = title
            lines.append(f"| {' | '.join(cells)} |")
        lines += ["", *(f"- {name}: {value}" for name, value in self.facts())]
        return "\n".join(lines) + "\n"

    def json(self) -> dict[str, Any]:
        """All of it as JSON has it, with every fold."""
        rows = [asdict(row) | {"mean": row.mean, "maximum": row.maximum} for row in self.rows]
        return asdict(self) | {"rows": rows}


@checked(train)
def crossvalidate(
    samples: Samples,
    models: Sequence[str],
    out: str | os.PathLike[str],
    *,
    folds: int = 10,
    only: int | None = None,
    seed: int = 0,
    device: str | None = None,
    scheduler: str = "threads",
    quiet: bool = False,
    progress: Progress = silent,
    **how: Any,
) -> Table:
    """Trains each of the models once for each fold and tests it on that fold.

    Folds are ``satimnet:fold``, or else they are drawn (see `folds_of`). Samples of a fused
    collection come from several sources: then there are two training sets, the source with most
    samples and all, and each network is tested on the same two. Into the folder `out` go the
    networks, ``table.md`` and ``table.json``; what is there is not done again.

    Args:
        samples: all samples.
        models: which networks: ``class``, ``segm``, ``dual``.
        out: the folder of networks and tables.
        folds: how many folds are drawn where the samples have none.
        only: stop after so many of the folds.
        seed: of folds and trainings.
        device: as in `train`.
        scheduler: as in `train`.
        quiet: as in `train`.
        progress: is called after every training, and by the trainings.
        how: everything else as in `train`; what is about windows is for segm and dual.

    Returns:
        The accuracies in the form of the paper's Table 4.

    Raises:
        ArgumentError: an argument is not as it must be.
        SatimnetError: as `train` does; or `out` holds another cross-validation, or another run is
            writing it.

    Example:
        >>> from satimnet.training import open_samples
        >>> samples = open_samples("catalog").search()
        >>> how = {"width": 4, "epochs": 1, "batch_size": 8, "device": "cpu"}
        >>> table = crossvalidate(samples, ["class"], "run/folds", folds=2, only=1, **how)
        >>> print(table.markdown().splitlines()[0])
        | Model | Training set | Testing set | Accuracy (%), mean | maximum |
    """
    unknown = [model for model in models if model not in MODELS]
    if unknown or not models:
        raise ArgumentError(
            f"model {', '.join(unknown) or 'none'}: there are {', '.join(MODELS)}", "models"
        )
    at_least(2, folds=folds)
    at_least(1, only=only)
    folder = on_disk(out)
    where = pick_device(device)
    require_way(scheduler)
    if Launched.found() is not None:
        raise ArgumentError(
            "devices: torchrun can start train, one network at a time; start a cross-validation "
            "without it, and give a number of devices",
            "devices",
        )
    fold, source = folds_of(samples, folds, seed), sources_of(samples)
    numbers = np.unique(fold)[:only].tolist()
    sets = _sets(source)
    told = silent if quiet else progress
    where_to = {"device": device, "scheduler": scheduler}
    trainings = {"seed": seed, "quiet": quiet, "progress": progress, **where_to, **how}
    count = len(models) * len(numbers) * len(sets)
    accuracies: dict[tuple[str, str, str, str], list[float]] = {}
    seconds = 0.0
    with kept_open(scheduler), lock(folder / "table.json"):
        told(_WHAT, 0, count, _UNIT)
        tasks = tasks_of(samples, models, fold, numbers, sets, how.get("bands"))
        for done, task in enumerate(tasks, 1):
            result = train_and_test(task, folder, **trainings)
            seconds += result.seconds
            for (tested, output), accuracy in result.accuracies.items():
                key = (f"cnn-{task.model}", output, task.training, tested)
                accuracies.setdefault(key, []).append(accuracy)
            told(_WHAT, done, count, _UNIT)
        table = Table(
            rows=tuple(Row(*key, tuple(values)) for key, values in accuracies.items()),
            folds=(len(numbers), len(np.unique(fold))),
            samples={name: int((source == name).sum()) for name in dict.fromkeys(source.tolist())},
            device=device_name(where),
            seconds=seconds,
            recipe=recipe_digest(samples),
            sample_digest=digest_of_folds(samples, source, fold),
            arguments={k: v for k, v in how.items() if v is not None and k not in _NOT_TOLD}
            | {"seed": seed},
        )
        write_text(folder / "table.md", table.markdown())
        write_text(folder / "table.json", json.dumps(table.json(), indent=2) + "\n")
    return table


_WHAT, _UNIT = "Cross-validating", "networks"
_NOT_TOLD = ("save_seconds", "on_epoch")
"""Arguments of trainings that change nothing in what is learned."""

Set = tuple[str, NDArray[np.bool_]]
"""A name, and which of the samples are in the set."""


@dataclass(frozen=True)
class Task:
    """One training, and the sets that its network is tested on, the held-out part of its own first.

    training: the name of the set that `learned` is a part of. tested: by the name of the set.
    """

    model: str
    fold: int
    training: str
    learned: Samples
    tested: Mapping[str, Samples]

    def file(self, folder: Path) -> Path:
        """The checkpoint."""
        return folder / f"cnn-{self.model}" / _file_name(self.training) / f"fold-{self.fold}.pt"


@dataclass(frozen=True)
class Result:
    """What came of a training. accuracies: by the names of the testing set and of the output."""

    seconds: float
    accuracies: Mapping[tuple[str, str], float]


def tasks_of(
    samples: Samples,
    models: Sequence[str],
    fold: NDArray[np.int64],
    numbers: Sequence[int],
    sets: list[Set],
    bands: Sequence[str] | None,
) -> Iterator[Task]:
    """The trainings of each model, by the folds `numbers` of the samples and the training sets."""
    for model in models:
        mask = None if model == "class" else find_mask(samples)
        samples = with_contents(samples, bands, mask)  # hashed here for all folds
        for number in numbers:
            for (name, members), testing in _pairs(sets):
                yield Task(
                    model=model,
                    fold=number,
                    training=name,
                    learned=samples.subset(np.flatnonzero(members & (fold != number))),
                    tested={
                        title: samples.subset(np.flatnonzero(among & (fold == number)))
                        for title, among in testing
                    },
                )


def train_and_test(task: Task, folder: Path, **how: Any) -> Result:
    """One training, and the accuracies of its network; they are kept in a file beside it."""
    if task.model == "class":
        how = {name: value for name, value in how.items() if not name.startswith("windows")}
    first, *others = task.tested
    path = task.file(folder)
    checkpoint = train(task.learned, task.tested[first], path, model=task.model, **how)
    seconds = checkpoint.history[-1]["seconds"]
    kept = path.with_suffix(".json")
    mask = find_mask(task.learned) if checkpoint.dense else None
    digest = hashlib.sha256(checkpoint.digest().encode())
    digest.update(digest_of(task.tested.values(), checkpoint.bands, mask).encode())
    key = f"{digest.hexdigest()} {', '.join(task.tested)}"
    if kept.exists() and (found := json.loads(kept.read_text()))["key"] == key:
        return Result(seconds, {(t, o): value for t, o, value in found["accuracies"]})
    accuracies = {
        (first, output): result.accuracy for output, result in held_out(checkpoint).items()
    }
    for name in others:
        where = {key: how[key] for key in ("device", "scheduler")}
        results = evaluate(path, task.tested[name], **where)
        accuracies |= {(name, output): result.accuracy for output, result in results.items()}
    listing = [(*names, value) for names, value in accuracies.items()]
    write_text(kept, json.dumps({"key": key, "accuracies": listing}) + "\n")
    return Result(seconds, accuracies)


def _sets(source: NDArray[Any]) -> list[Set]:
    """The samples of the main source, and all."""
    names, counts = np.unique(source, return_counts=True)
    main = names[counts.argmax()]
    others = [name for name in names.tolist() if name != main]
    sets = [(str(main), np.asarray(source == main))]
    if others:
        sets.append((" & ".join([str(main), *others]), np.ones(len(source), np.bool_)))
    return sets


def _pairs(sets: list[Set]) -> Iterator[tuple[Set, list[Set]]]:
    """Each training set with the testing sets, the same one first, as in the paper."""
    for k, one in enumerate(sets):
        yield one, [one, *(other for at, other in enumerate(sets) if at != k)]


def sources_of(samples: Samples) -> NDArray[Any]:
    """The collection that each sample was made by: of a fused one, what it was fused of."""
    column = _SOURCE if _SOURCE in samples.table.column_names else "collection"
    return np.array(samples.table[column].to_pylist(), dtype=object).astype(str)


def digest_of_folds(samples: Samples, source: NDArray[Any], fold: NDArray[np.int64]) -> str:
    """SHA-256 over ids, sources, classes and folds of the samples."""
    digest = hashlib.sha256()
    tags = samples.table["satimnet:classes"].to_pylist()
    for row in zip(samples.ids, source.tolist(), tags, fold.tolist(), strict=True):
        digest.update((json.dumps(row) + "\n").encode())
    return digest.hexdigest()


def _plain(value: Any) -> str:
    """A value as one writes it behind an option."""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _file_name(name: str) -> str:
    return name.replace(" & ", "+")
