"""Judging a trained network on samples."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satimnet.builder.arguments import checked
from satimnet.builder.errors import ArgumentError
from satimnet.builder.storage.stores import shown
from satimnet.training.data.reading_ahead import kept_open, require_way
from satimnet.training.data.training_samples import Samples
from satimnet.training.devices import pick_device
from satimnet.training.networks.checkpoints import Checkpoint, load
from satimnet.training.networks.inputs import confusions, patch_feed, window_feed
from satimnet.training.networks.outputs import Output, few, find_mask, outputs_of
from satimnet.training.networks.scores import ScoreCounter, Scores, require_torchmetrics


@dataclass(frozen=True)
class Evaluation:
    """How one output of a network did on some samples.

    output: what it predicts. confusion: int64 (true class, predicted class), numbers of patches,
    or of pixels for networks that classify pixels, in the order of the output's classes. scores:
    more figures, where `evaluate` was asked for them.

    Example:
        >>> from satimnet.training.networks.outputs import Class, Output
        >>> output = Output("class", (Class(1, "Forest"), Class(2, "River")))
        >>> result = Evaluation(output, np.array([[8, 2], [0, 10]]))
        >>> result.accuracy, result.recall.tolist()
        (0.9, [0.8, 1.0])
    """

    output: Output
    confusion: NDArray[np.int64]
    scores: Scores | None = None

    def __repr__(self) -> str:
        """One line, without the matrix."""
        count = int(self.confusion.sum())
        return f"<Evaluation of {self.output.name}: {self.accuracy:.2%} of {count:,} right>"

    @property
    def accuracy(self) -> float:
        """Fraction of the examples whose class was predicted."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def precision(self) -> NDArray[np.float64]:
        """Of the examples predicted to be of a class, the fraction that is; nan if none was."""
        return _fraction(np.diag(self.confusion), self.confusion.sum(axis=0))

    @property
    def recall(self) -> NDArray[np.float64]:
        """Of the examples of a class, the fraction predicted to be; nan if there is none."""
        return _fraction(np.diag(self.confusion), self.confusion.sum(axis=1))

    def metrics(self) -> dict[str, Any]:
        """The figures as JSON has them; null where there is nothing to divide by."""
        rates = {"precision": self.precision.tolist(), "recall": self.recall.tolist()}
        more = self.scores
        return {
            "accuracy": self.accuracy,
            **({} if more is None else more.means()),
            "examples": int(self.confusion.sum()),
            "classes": {
                name: {rate: None if v[k] != v[k] else v[k] for rate, v in rates.items()}
                | ({} if more is None else more.of_class(k))
                | {"examples": int(self.confusion[k].sum())}
                for k, name in enumerate(self.output.names)
            },
            "confusion": self.confusion.tolist(),
        }


@checked()
def evaluate(
    checkpoint: str | os.PathLike[str],
    samples: Samples,
    *,
    device: str | None = None,
    scheduler: str = "threads",
    scores: bool = False,
) -> dict[str, Evaluation]:
    """Judges the network in a file on samples.

    Networks for pixels are judged on all pixels that the masks observe, but for two along each
    edge.

    Args:
        checkpoint: the file that `train` wrote, a path or URL.
        samples: the samples to judge it on.
        device: ``cpu`` or ``cuda``; None: the GPU if there is one.
        scheduler: what reads the samples: ``threads``, ``direct`` or the address of a dask cluster;
            see `Samples.to_batches`. It changes nothing in the result.
        scores: whether to give, by torchmetrics, the mean IoU, F1, average precision and
            calibration error as well. The latter two rank the examples by confidence; of more than
            4,194,304 pixels they look at every n-th.

    Returns:
        How each output did, by its name: ``class``, ``mask`` or both.

    Raises:
        ArgumentError: the samples have other classes than the network was trained for, or there is
            no such scheduler.
        SatimnetError: the samples lack the network's bands or masks, it cannot be read, or
            torchmetrics is not installed.

    Example:
        >>> from satimnet.training import open_samples, train
        >>> learned, held = open_samples("catalog").search().holdout(0.25)
        >>> how = {"width": 4, "epochs": 1, "batch_size": 8, "device": "cpu"}
        >>> checkpoint = train(learned, held, "run/checkpoint.pt", **how)
        >>> list(evaluate("run/checkpoint.pt", held, device="cpu"))
        ['class']
    """
    where = pick_device(device)
    require_way(scheduler)
    if scores:
        require_torchmetrics()
    trained = load(checkpoint, str(where))
    mask = find_mask(samples) if trained.dense else None
    theirs = outputs_of(samples, trained.kind.removeprefix("cnn-"))
    for output, other in zip(trained.outputs, theirs, strict=True):
        if other.names != output.names:
            raise ArgumentError(
                f"{shown(os.fspath(checkpoint))}: trained for other classes than the samples of "
                f"{', '.join(samples.collections)} have "
                f"({_difference(output.names, other.names)}); choose samples with its classes",
                "samples",
            )
    dual = len(trained.outputs) > 1
    with kept_open(scheduler):
        feed = (
            patch_feed(samples, trained.bands, where, scheduler)
            if mask is None
            else window_feed(samples, trained.bands, mask, where, dual=dual, scheduler=scheduler)
        )
        counters = [
            ScoreCounter(len(output.classes), len(feed), where)
            for output in (trained.outputs if scores else ())
        ]
        tables = confusions(feed, trained, counters=counters)
    found = _evaluations(trained.outputs, [table.numpy() for table in tables])
    for name, counter in zip(found, counters):
        found[name] = replace(found[name], scores=counter.scores())
    return found


@checked()
def held_out(checkpoint: Checkpoint) -> dict[str, Evaluation]:
    """How each output of a network did on the samples held out of its training.

    Args:
        checkpoint: the network, as `train` or `load` returns it.

    Returns:
        How each output did, by its name: ``class``, ``mask`` or both.

    Example:
        >>> from satimnet.training import open_samples, train
        >>> learned, held = open_samples("catalog").search().holdout(0.25)
        >>> how = {"width": 4, "epochs": 1, "batch_size": 8, "device": "cpu"}
        >>> checkpoint = train(learned, held, "run/checkpoint.pt", **how)
        >>> int(held_out(checkpoint)["class"].confusion.sum()) == len(held)
        True
    """
    return _evaluations(checkpoint.outputs, checkpoint.confusions)


def _evaluations(
    outputs: tuple[Output, ...], tables: list[NDArray[np.int64]] | tuple[ArrayLike, ...]
) -> dict[str, Evaluation]:
    return {
        output.name: Evaluation(output, np.asarray(table, np.int64))
        for output, table in zip(outputs, tables, strict=True)
    }


def _difference(ours: tuple[str, ...], theirs: tuple[str, ...]) -> str:
    """How the classes of a network and of samples differ, in a few words."""
    sides = {
        "only the network": [name for name in ours if name not in theirs],
        "only the samples": [name for name in theirs if name not in ours],
    }
    told = [f"{side}: {few(names)}" for side, names in sides.items() if names]
    return "; ".join(told) or "the same in another order"


def _fraction(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(part / whole, np.float64)
