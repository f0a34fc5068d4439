"""Samples divided in two parts or in folds, each with the same share of every class."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from satimnet.builder.arguments import at_least
from satimnet.builder.errors import ArgumentError
from satimnet.training.data.array_types import Numbers
from satimnet.training.data.order import even_folds, evenly_held_out
from satimnet.training.data.sample_table import SampleTable

_FOLD = "satimnet:fold"

Table = TypeVar("Table", bound=SampleTable)


def hold_out(samples: Table, fraction: float, seed: int) -> tuple[Table, Table]:
    """Divides samples into those to learn from and `fraction` of every class held out.

    Samples with several classes, or none, are divided together.

    Args:
        samples: The samples to divide.
        fraction: How much of each class, above 0 and below 1; counts are rounded.
        seed: 0 or more; the same seed holds out the same samples.

    Returns:
        The samples to learn from and those held out, both in the order that they had.

    Raises:
        ArgumentError: A part would be empty, or the fraction or the seed cannot be.
    """
    held = evenly_held_out(samples.strata, fraction, seed)
    if held.all() or not held.any():
        raise ArgumentError(
            f"{len(samples)} samples are too few to hold out {fraction:g} of each class", "fraction"
        )
    return samples.subset(np.flatnonzero(~held)), samples.subset(np.flatnonzero(held))


def folds_of(samples: SampleTable, count: int, seed: int) -> Numbers:
    """The fold of each sample: the ``satimnet:fold`` of the Items if all have one, else drawn.

    Args:
        samples: The samples to divide.
        count: How many folds to draw.
        seed: 0 or more; the same seed draws the same folds.

    Returns:
        The folds, int64 (sample). Those that are drawn are numbered from 0; each has the same
        share of every class, and as many samples as the others, give or take one.

    Raises:
        ArgumentError: There are less than two folds, or one would be empty.
    """
    if _FOLD in samples.table.column_names and not samples.table[_FOLD].null_count:
        written = samples.table[_FOLD].combine_chunks().to_numpy(zero_copy_only=False)
        folds = np.asarray(written, np.int64)
    else:
        at_least(0, seed=seed)
        at_least(1, folds=count)
        folds = even_folds(samples.strata, count, seed)
        if min(count, len(samples)) < 2 or len(np.unique(folds)) < count:
            raise ArgumentError(
                f"{len(samples)} samples cannot be divided into {count} folds", "folds"
            )
    if len(np.unique(folds)) < 2:
        raise ArgumentError("all samples are of one fold; cross-validation needs two", "folds")
    return folds
