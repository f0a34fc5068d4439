"""What is unusual in a whole collection: in the values of its bands and in its classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.quality.findings import (
    FEWEST_FOR_OUTLIERS,
    IMBALANCE,
    OUTLIER_SCORE,
    Finding,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_MAD = 1.4826
"""The standard deviation of a normal distribution, in median distances to its median."""
_NAMED = 8  # classes that a finding names
_LEAST_SPREAD = 0.02  # of logarithms, so that collections of very equal images have no outliers


@dataclass(frozen=True, slots=True)
class Band:
    """The values of a band in all Items of a collection."""

    asset: str
    name: str
    items: int
    minimum: float
    """The least value of all pixels."""
    low: float
    """Median of the Items' 2nd percentiles."""
    median: float
    """Median of the Items' means."""
    high: float
    """Median of the Items' 98th percentiles."""
    maximum: float
    spread: float
    """Robust standard deviation of the Items' means."""


def bands_of(rows: pa.Table) -> list[Band]:
    """The bands of a collection, in order of appearance."""
    bands = []
    for (asset, name), (_, values) in values_by_band(rows).items():
        mean = values["mean"]
        median = float(np.nanmedian(mean))
        bands.append(
            Band(
                asset,
                name,
                len(mean),
                float(np.nanmin(values["minimum"])),
                float(np.nanmedian(values["p02"])),
                median,
                float(np.nanmedian(values["p98"])),
                float(np.nanmax(values["maximum"])),
                _MAD * float(np.nanmedian(np.abs(mean - median))),
            )
        )
    return bands


def find_outliers(rows: pa.Table, first: int) -> Iterator[Finding]:
    """Items with a band whose mean or standard deviation is unusual.

    ``rows`` are those of one collection, ``first`` is the number of the first. Constant images have
    a check of their own.
    """
    varied = rows["comparable"].to_numpy()
    found: dict[int, list[tuple[float, str]]] = {}
    for (_, name), (numbers, values) in values_by_band(rows).items():
        for key, what in (("mean", "mean"), ("stddev", "standard deviation")):
            scores = _scores(values[key])
            unusual = varied[numbers] & (np.abs(scores) > OUTLIER_SCORE)
            for at in np.flatnonzero(unusual).tolist():
                usual = float(np.median(values[key]))
                words = f"{what} of {name} is {values[key][at]:.4g}, usual is {usual:.4g}"
                found.setdefault(int(numbers[at]), []).append((abs(float(scores[at])), words))
    for number, cases in sorted(found.items(), key=lambda case: -max(case[1])[0]):
        score, words = max(cases)
        more = f" (and {len(cases) - 1} more)" if len(cases) > 1 else ""
        yield Finding("outlier", (first + number,), f"{words}, score {score:.1f}{more}")


def _scores(values: NDArray[np.float32]) -> NDArray[Any]:
    """Robust z-scores of the logarithms; zeros if there are too few values.

    B. Iglewicz, D. C. Hoaglin, How to Detect and Handle Outliers, ASQC 1993.
    """
    if len(values) < FEWEST_FOR_OUTLIERS or np.nanmin(values) < 0:
        return np.zeros(len(values))
    # Exposure and reflectance multiply light, so logarithms are symmetric. The offset keeps dark
    # values from spreading over many magnitudes.
    middle = float(np.nanmedian(values))
    known = np.where(np.isnan(values), middle, values)
    logarithms = np.log(known + max(0.1 * middle, 1e-6))
    distances: NDArray[Any] = logarithms - np.median(logarithms)
    spread = _MAD * float(np.median(np.abs(distances)))
    return distances / max(spread, _LEAST_SPREAD)


def values_by_band(
    rows: pa.Table,
) -> dict[tuple[str, str], tuple[NDArray[np.int64], dict[str, NDArray[np.float32]]]]:
    """The numbers of the rows of each asset and band, and their statistics."""
    import pyarrow.compute as pc

    column = rows["bands"].combine_chunks()
    flat = pc.list_flatten(column)
    parents = pc.list_parent_indices(column).to_numpy()
    if len(flat) == 0:
        return {}
    names = [flat.field(key).dictionary_encode() for key in ("asset", "band")]
    assets, bands = (encoded.dictionary.to_pylist() for encoded in names)
    keys = names[0].indices.to_numpy().astype(np.int64) * len(bands) + names[1].indices.to_numpy()
    numbers = {key: flat.field(key).to_numpy() for key in ("minimum", "maximum", "mean", "stddev")}
    numbers |= {key: flat.field(key).to_numpy() for key in ("p02", "p50", "p98")}
    occurring, at = np.unique(keys, return_index=True)
    found = {}
    for key in occurring[np.argsort(at)].tolist():
        chosen = np.flatnonzero(keys == key)
        found[assets[key // len(bands)], bands[key % len(bands)]] = (
            parents[chosen],
            {name: values[chosen] for name, values in numbers.items()},
        )
    return found


def count_classes(rows: pa.Table) -> dict[str, Counter[str]]:
    """How many Items have each class, by split (``""`` is none)."""
    found: dict[str, Counter[str]] = {}
    splits, classes = rows["split"].to_pylist(), rows["classes"].to_pylist()
    for split, names in zip(splits, classes, strict=True):
        found.setdefault(split or "", Counter()).update(names or ())
    return found


def find_imbalance(
    collection: CollectionDocument, counts: Mapping[str, Counter[str]]
) -> Iterator[Finding]:
    """What is unbalanced between the classes of a collection and between its splits."""
    where = (collection.id,)
    names = collection.class_names
    total = sum(counts.values(), Counter[str]())
    present = [name for name in names if total[name]]
    if not present:
        return
    most, least = max(present, key=total.__getitem__), min(present, key=total.__getitem__)
    ratio = total[most] / total[least]
    if ratio > IMBALANCE:
        words = f"{total[most]:,} Items with {most}, {total[least]:,} with {least}"
        yield Finding("imbalance", (), f"{words}: {ratio:,.0f} times as many", where)
    if unused := [name for name in names if not total[name]]:
        words = f"{len(unused)} of {len(names)} classes: {_listed(unused)}"
        yield Finding("class-unused", (), words, where)
    # The labels of a split without any class are not public.
    labelled = {split: count for split, count in counts.items() if split and count.total()}
    for split, count in labelled.items():
        if missing := [name for name in present if not count[name]]:
            words = f"{split} has no Item with {_listed(missing)}; others have"
            yield Finding("class-missing-in-split", (), words, where)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
