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
from satimnet.builder.errors import SatimnetError
from satimnet.builder.storage.hrefs import on_disk
from satimnet.builder.storage.staging import lock
from satimnet.training.data.content_digest import digest_of, with_contents
from satimnet.training.data.folds import folds_of
from satimnet.training.data.training_samples import Samples
from satimnet.training.devices import device_name, pick_device
from satimnet.training.networks.checkpoints import write_text
from satimnet.training.networks.evaluation import evaluate, held_out
from satimnet.training.networks.outputs import find_mask, recipe_digest
from satimnet.training.networks.training import MODELS, train

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
        """Yield heading, model, training set, testing set, mean and maximum of each row.

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
        """Yield what a reader needs to judge the figures, as name and value."""
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
    **how: Any,
) -> Table:
    """Train each of the models once for each fold, test it on that fold, and return the table.

    Folds are ``satimnet:fold``, or `folds` that are drawn (see `folds_of`); `only`: stop after so
    many of them. Samples of a fused collection come from several sources: then there are two
    training sets, the source with most samples and all, and each network is tested on the same
    two. Everything else is as in `train`; what is about windows is for segm and dual. Into the
    folder `out` go the networks, ``table.md`` and ``table.json``; what is there is not done again.

    Raises `SatimnetError` as `train` does, when `out` holds another cross-validation, and when
    another run is writing it.
    """
    unknown = [model for model in models if model not in MODELS]
    if unknown or not models:
        raise SatimnetError(f"model {', '.join(unknown) or 'none'}: there are {', '.join(MODELS)}")
    at_least(2, folds=folds)
    at_least(1, only=only)
    folder = on_disk(out)
    where = pick_device(device)
    fold, source = folds_of(samples, folds, seed), _sources(samples)
    numbers = np.unique(fold)[:only].tolist()
    sets = _sets(source)
    with lock(folder / "table.json"):
        found: dict[tuple[str, str, str, str], list[float]] = {}
        seconds = 0.0
        for model in models:
            # hashed here for all folds
            mask = None if model == "class" else find_mask(samples)
            samples = with_contents(samples, how.get("bands"), mask)
            own = {k: v for k, v in how.items() if model != "class" or not k.startswith("windows")}
            for number in numbers:
                for (name, members), twins in _pairs(sets):
                    learned = samples.subset(np.flatnonzero(members & (fold != number)))
                    tested = {
                        title: samples.subset(np.flatnonzero(among & (fold == number)))
                        for title, among in twins
                    }
                    path = folder / f"cnn-{model}" / _file_name(name) / f"fold-{number}.pt"
                    result = _run(
                        learned, tested, path, model=model, seed=seed, device=device, **own
                    )
                    seconds += result["seconds"]
                    for (title, output), accuracy in result["accuracies"].items():
                        found.setdefault((f"cnn-{model}", output, name, title), []).append(accuracy)
        rows = tuple(Row(*key, tuple(values)) for key, values in found.items())
        table = Table(
            rows=rows,
            folds=(len(numbers), len(np.unique(fold))),
            samples={name: int((source == name).sum()) for name in dict.fromkeys(source.tolist())},
            device=device_name(where),
            seconds=seconds,
            recipe=recipe_digest(samples),
            sample_digest=_digest(samples, source, fold),
            arguments={k: v for k, v in how.items() if v is not None and k not in _SILENT}
            | {"seed": seed},
        )
        write_text(folder / "table.md", table.markdown())
        write_text(folder / "table.json", json.dumps(table.json(), indent=2) + "\n")
    return table


_SILENT = ("quiet", "save_seconds")


def _run(learned: Samples, tested: Mapping[str, Samples], path: Path, **how: Any) -> dict[str, Any]:
    """One training; seconds it took, and accuracies by (testing set, output)."""
    first, *others = tested
    checkpoint = train(learned, tested[first], path, **how)
    seconds = checkpoint.history[-1]["seconds"]
    done = path.with_suffix(".json")
    mask = find_mask(learned) if checkpoint.dense else None
    digest = hashlib.sha256(checkpoint.digest().encode())
    digest.update(digest_of(tested.values(), checkpoint.bands, mask).encode())
    key = f"{digest.hexdigest()} {', '.join(tested)}"
    if done.exists() and (found := json.loads(done.read_text()))["key"] == key:
        return {"seconds": seconds, "accuracies": {(t, o): v for t, o, v in found["accuracies"]}}
    accuracies = {
        (first, output): result.accuracy for output, result in held_out(checkpoint).items()
    }
    for name in others:
        results = evaluate(path, tested[name], device=how["device"])
        accuracies |= {(name, output): result.accuracy for output, result in results.items()}
    listing = [(*names, value) for names, value in accuracies.items()]
    write_text(done, json.dumps({"key": key, "accuracies": listing}) + "\n")
    return {"seconds": seconds, "accuracies": accuracies}


Set = tuple[str, NDArray[np.bool_]]


def _sets(source: NDArray[Any]) -> list[Set]:
    """The samples of the main source, and all; by name, which of the samples they are."""
    names, counts = np.unique(source, return_counts=True)
    main = names[counts.argmax()]
    others = [name for name in names.tolist() if name != main]
    sets = [(str(main), np.asarray(source == main))]
    if others:
        sets.append((" & ".join([str(main), *others]), np.ones(len(source), np.bool_)))
    return sets


def _pairs(sets: list[Set]) -> Iterator[tuple[Set, list[Set]]]:
    """Yield each training set with the testing sets, the same one first, as in the paper."""
    for k, one in enumerate(sets):
        yield one, [one, *(other for at, other in enumerate(sets) if at != k)]


def _sources(samples: Samples) -> NDArray[Any]:
    """The collection that each sample was made by: of a fused one, what it was fused of."""
    column = _SOURCE if _SOURCE in samples.table.column_names else "collection"
    return np.array(samples.table[column].to_pylist(), dtype=object).astype(str)


def _digest(samples: Samples, source: NDArray[Any], fold: NDArray[np.int64]) -> str:
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
