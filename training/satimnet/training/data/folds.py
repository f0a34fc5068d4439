"""Dividing samples so that each part has the same share of every class."""

from __future__ import annotations

import numpy as np

from satimnet.builder.arguments import at_least, require_fraction
from satimnet.builder.errors import SatimnetError
from satimnet.training.data.array_types import Numbers
from satimnet.training.data.training_samples import Samples

_FOLD = "satimnet:fold"


def hold_out(samples: Samples, fraction: float, seed: int) -> tuple[Samples, Samples]:
    """Divide samples into those to learn from and `fraction` of every class held out.

    As `Samples.holdout` does, but also where samples have several classes: these are divided
    together. Raises `SatimnetError` when a part would be empty.
    """
    require_fraction(fraction, seed)
    generator = np.random.default_rng(seed)
    held = np.zeros(len(samples), np.bool_)
    for members in _strata(samples):
        drawn = generator.permutation(members)
        held[drawn[: round(len(drawn) * fraction)]] = True
    if held.all() or not held.any():
        raise SatimnetError(
            f"{len(samples)} samples are too few to hold out {fraction:g} of each class"
        )
    return samples.subset(np.flatnonzero(~held)), samples.subset(np.flatnonzero(held))


def folds_of(samples: Samples, count: int, seed: int) -> Numbers:
    """Return the fold of each sample, int64: the Items' ``satimnet:fold`` if all have one.

    Else `count` folds from 0, drawn by `seed`: each has the same share of every class, and as
    many samples as the others, give or take one. Raises `SatimnetError` when there are less than
    two folds, or one would be empty.
    """
    if _FOLD in samples.table.column_names and not samples.table[_FOLD].null_count:
        written = samples.table[_FOLD].combine_chunks().to_numpy(zero_copy_only=False)
        folds = np.asarray(written, np.int64)
    else:
        at_least(0, seed=seed)
        at_least(1, folds=count)
        generator = np.random.default_rng(seed)
        folds = np.zeros(len(samples), np.int64)
        dealt = 0
        for members in _strata(samples):
            folds[generator.permutation(members)] = (dealt + np.arange(len(members))) % count
            dealt += len(members)
        if min(count, len(samples)) < 2 or len(np.unique(folds)) < count:
            raise SatimnetError(f"{len(samples)} samples cannot be divided into {count} folds")
    if len(np.unique(folds)) < 2:
        raise SatimnetError("all samples are of one fold; cross-validation needs two")
    return folds


def _strata(samples: Samples) -> list[Numbers]:
    """Indices of the samples of each class, then of those that have several classes or none."""
    tags = samples.table["satimnet:classes"].combine_chunks()
    known = {name: k for k, name in enumerate(samples.classes)}
    groups: dict[int, list[int]] = {}
    for at, names in enumerate(tags.to_pylist()):
        label = known[names[0]] if names and len(names) == 1 else len(known)
        groups.setdefault(label, []).append(at)
    return [np.array(members, np.int64) for _, members in sorted(groups.items())]
