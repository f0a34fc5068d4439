"""What is held out of a training: the samples, or the share of the windows, that judge it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from satimnet.builder.arguments import checked, require_fraction
from satimnet.builder.errors import ArgumentError
from satimnet.training.data.folds import hold_out
from satimnet.training.data.training_samples import Samples

_USUAL = 0.1
"""Fraction that is held out when nothing else is asked for."""


@dataclass(frozen=True)
class Division:
    """What a network learns from, and what judges it: the first two arguments of `train`.

    learned: the samples to learn from. held_out: the samples held out; or, where windows are, the
    fraction of the windows of `learned`.
    """

    learned: Samples
    held_out: Samples | float

    @property
    def pictured(self) -> Samples:
        """The samples that are held out, wholly or in part: those to draw predictions on."""
        return self.held_out if isinstance(self.held_out, Samples) else self.learned


@checked()
def divide(
    samples: Samples,
    holdout: float | None = None,
    *,
    model: str = "class",
    split_by: Literal["patch", "window"] = "patch",
    seed: int = 0,
) -> Division:
    """Divides samples into those to learn from and what is held out.

    By patch, without a fraction, that is the split of the catalog: its train and its test samples,
    where it has both. Otherwise a fraction of each class is drawn.

    Args:
        samples: all samples.
        holdout: the fraction to hold out; None: the catalog's split, or else 0.1.
        model: the network that is to learn: ``class``, ``segm`` or ``dual``.
        split_by: ``patch`` holds out whole patches, ``window`` windows wherever they lie.
        seed: of the draw.

    Returns:
        What to learn from and what is held out.

    Raises:
        ArgumentError: the fraction is not between 0 and 1, or windows are held out of a network
            that learns whole patches.
        SatimnetError: the samples are too few to be divided.

    Example:
        >>> from satimnet.training import open_samples
        >>> samples = open_samples("catalog").search()
        >>> division = divide(samples, 0.25)
        >>> len(division.learned), len(division.held_out)
        (18, 6)
    """
    if split_by == "window":
        if model == "class":
            raise ArgumentError(
                "split_by window is for segm and dual; class has whole patches", "split_by", "model"
            )
        fraction = _USUAL if holdout is None else holdout
        require_fraction(fraction, seed)
        return Division(samples, fraction)
    if holdout is None:
        splits = np.array(samples.splits, dtype=object)
        learned, held = np.flatnonzero(splits == "train"), np.flatnonzero(splits == "test")
        if len(learned) and len(held):
            return Division(samples.subset(learned), samples.subset(held))
    return Division(*hold_out(samples, _USUAL if holdout is None else holdout, seed))
