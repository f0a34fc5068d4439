"""Judging a trained network on samples: figures, and pictures to show to a colleague."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satimnet.builder.errors import SatimnetError

from .checkpoints import load
from .devices import pick_device
from .samples import Samples


@dataclass(frozen=True)
class Evaluation:
    """How a network did on some samples.

    confusion: int64 (true class, predicted class), numbers of samples, in the order of classes.
    """

    classes: tuple[str, ...]
    confusion: NDArray[np.int64]

    @property
    def accuracy(self) -> float:
        """Fraction of the samples whose class was predicted."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def precision(self) -> NDArray[np.float64]:
        """Of the samples predicted to be of a class, the fraction that is; nan if none was."""
        return _fraction(np.diag(self.confusion), self.confusion.sum(axis=0))

    @property
    def recall(self) -> NDArray[np.float64]:
        """Of the samples of a class, the fraction predicted to be; nan if there is none."""
        return _fraction(np.diag(self.confusion), self.confusion.sum(axis=1))


def evaluate(
    checkpoint: str | os.PathLike[str],
    samples: Samples,
    out: str | os.PathLike[str] | None = None,
    *,
    batch_size: int = 256,
    device: str | None = None,
) -> Evaluation:
    """Predict the class of every sample with the network in the file `checkpoint`.

    Into the folder `out`, if given, go metrics.json, confusion.png and curves.png (the learning
    curves of the network). Raises `SatimnetError` when the samples lack the network's bands or
    have other classes than it.
    """
    where = str(pick_device(device))
    trained = load(checkpoint, where)
    classes = trained.recipe.classes
    if samples.classes != classes:
        raise SatimnetError(
            f"{checkpoint}: trained for the classes {', '.join(classes)}; "
            f"the samples have {', '.join(samples.classes)}"
        )
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    for batch in samples.to_batches(batch_size, bands=trained.recipe.bands, device=where):
        predicted = trained.logits(batch.images).argmax(1)
        np.add.at(confusion, (batch.labels.cpu().numpy(), predicted.cpu().numpy()), 1)
    result = Evaluation(classes, confusion)
    if out is not None:
        folder = Path(out)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "metrics.json").write_text(json.dumps(_metrics(result), indent=2) + "\n")
            draw_confusion(result, folder / "confusion.png")
            draw_curves(trained.recipe.history, folder / "curves.png")
        except OSError as error:
            raise SatimnetError(f"{out}: cannot be written ({error.strerror})") from error
    return result


def draw_confusion(result: Evaluation, path: str | os.PathLike[str]) -> None:
    """Write the confusion matrix as a PNG: counts, on colours of the fraction of the true class."""
    from matplotlib.figure import Figure

    count = len(result.classes)
    shares = np.nan_to_num(_fraction(result.confusion, result.confusion.sum(axis=1)[:, None]))
    figure = Figure(figsize=(2.6 + 0.62 * count, 2.2 + 0.56 * count), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(result.confusion):
        colour = "white" if shares[row, column] > 0.5 else "black"
        value = f"{result.confusion[row, column]:,}"
        axes.text(column, row, value, ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(count), result.classes, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(count), result.classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="0.9", linewidth=0.8)
    axes.tick_params(which="minor", length=0)
    axes.set_title(f"{result.accuracy:.1%} of {result.confusion.sum():,} samples right")
    figure.colorbar(image, label="fraction of the true class", shrink=0.8)
    figure.savefig(path, dpi=150)


def draw_curves(history: Sequence[Mapping[str, float]], path: str | os.PathLike[str]) -> None:
    """Write a network's learning curves as a PNG: training loss and held-out accuracy by epoch."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    epochs = [entry["epoch"] for entry in history]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(epochs, [entry["loss"] for entry in history], color="tab:red", marker=".")
    left.set_ylabel("training loss (cross-entropy)")
    left.set_ylim(bottom=0)
    right.plot(epochs, [entry["accuracy"] for entry in history], color="tab:blue", marker=".")
    right.set_ylabel("accuracy on held-out samples")
    right.set_ylim(0, 1)
    right.yaxis.set_major_formatter(PercentFormatter(1))
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


def _fraction(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(part / whole, np.float64)


def _metrics(result: Evaluation) -> dict[str, Any]:
    """The figures as JSON; null where there is nothing to divide by."""
    rates = {"precision": result.precision.tolist(), "recall": result.recall.tolist()}
    return {
        "accuracy": result.accuracy,
        "samples": int(result.confusion.sum()),
        "classes": {
            name: {rate: None if v[k] != v[k] else v[k] for rate, v in rates.items()}
            | {"samples": int(result.confusion[k].sum())}
            for k, name in enumerate(result.classes)
        },
        "confusion": result.confusion.tolist(),
    }
