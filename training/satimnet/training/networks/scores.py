"""Scores of a network beside its accuracy, by torchmetrics."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from satimnet.training.data.optional_packages import needed

MOST_RANKED = 2**22
"""So many examples are ranked by confidence, which keeps all of them; of more, every n-th."""
_BINS = 15


@dataclass(frozen=True)
class Scores:
    """How well a network tells classes apart. 1 is best, but for the calibration error.

    Attributes:
        iou: Of each class, the examples that have it and are predicted to have it, by those that
            have it or are predicted to (Jaccard index); nan for a class that no example has.
        f1: Of each class the harmonic mean of precision and recall; nan as before.
        average_precision: Of each class the mean precision over all recalls, as the confidence that
            is asked for falls; nan as before.
        calibration_error: How far the confidence of predictions is from the share of them that is
            right, on average over 15 bins of confidence (Guo et al. 2017,
            https://arxiv.org/abs/1706.04599). 0 is best.

    Example:
        >>> found = Scores((0.5, float("nan")), (0.75, float("nan")), (1.0, float("nan")), 0.125)
        >>> found.means()["mean_iou"]
        0.5
    """

    iou: tuple[float, ...]
    f1: tuple[float, ...]
    average_precision: tuple[float, ...]
    calibration_error: float

    def means(self) -> dict[str, float]:
        """The means over the classes that examples have, and the calibration error."""
        return {
            "mean_iou": _mean(self.iou),
            "mean_f1": _mean(self.f1),
            "mean_average_precision": _mean(self.average_precision),
            "calibration_error": self.calibration_error,
        }

    def of_class(self, k: int) -> dict[str, float | None]:
        """Those of one class, as JSON has them; null where no example has it."""
        rates = {"iou": self.iou[k], "f1": self.f1[k]}
        rates["average_precision"] = self.average_precision[k]
        return {name: None if math.isnan(value) else value for name, value in rates.items()}


def require_torchmetrics() -> Any:
    """The metrics of torchmetrics.

    Raises:
        SatimnetError: torchmetrics is not installed.
    """
    return needed("torchmetrics.classification", "training")


class ScoreCounter:
    """Gathers `Scores` batch by batch.

    Args:
        classes: How many classes there are.
        examples: How many examples will be added at most.
        device: Where they are.

    Raises:
        SatimnetError: torchmetrics is not installed.
    """

    def __init__(self, classes: int, examples: int, device: torch.device) -> None:
        made = require_torchmetrics()
        how: dict[str, Any] = {"num_classes": classes, "validate_args": False}
        self._counts = {
            "iou": made.MulticlassJaccardIndex(average=None, **how).to(device),
            "f1": made.MulticlassF1Score(average=None, **how).to(device),
        }
        self._ranks = {
            "average_precision": made.MulticlassAveragePrecision(average=None, **how).to(device),
            "calibration_error": made.MulticlassCalibrationError(n_bins=_BINS, **how).to(device),
        }
        self._step = -(-examples // MOST_RANKED)
        self._seen = torch.zeros(classes, dtype=torch.int64, device=device)
        self._added = 0

    def add(self, truth: Tensor, logits: Tensor) -> None:
        """Adds examples: their classes, int64 (example), and logits, float32 (example, class)."""
        self._seen += torch.bincount(truth, minlength=len(self._seen))
        for metric in self._counts.values():
            metric.update(logits, truth)
        chosen = slice(-self._added % self._step, None, self._step)
        for metric in self._ranks.values():
            metric.update(logits[chosen].float().softmax(dim=1), truth[chosen])
        self._added += len(truth)

    def scores(self) -> Scores:
        """The scores of all that was added."""
        with warnings.catch_warnings():  # a class without examples is nan below
            warnings.simplefilter("ignore")
            found = {
                name: metric.compute() for name, metric in (self._counts | self._ranks).items()
            }
        calibration = float(found.pop("calibration_error"))
        absent = self._seen == 0
        rates = {
            name: tuple(values.masked_fill(absent, math.nan).tolist())
            for name, values in found.items()
        }
        return Scores(**rates, calibration_error=calibration)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known)
