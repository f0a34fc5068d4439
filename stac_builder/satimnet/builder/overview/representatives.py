"""Representatives: the few rows of a collection that show the most of it. No file is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

_Kind = tuple[tuple[str, ...] | None, str | None, int]
"""What a row shows: its classes, its split and its shard."""

_SPREAD = 300  # rows that are looked at for their own sake, and about so many for their classes


def ranked(tables: Sequence[pa.Table], number: int) -> pa.Table:
    """Chooses rows; the first ones show the most of the collection.

    The next row is always the one with the most of what was seen least (a greedy choice): classes
    first, then splits, then shards, which stand for places or times.

    Args:
        tables: The rows, one table a shard.
        number: How many are chosen at most.
    """
    import pyarrow as pa

    shards = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    firsts = np.cumsum([0, *(len(table) for table in tables)])
    columns = pa.concat_tables(
        table.select(["satimnet:classes", "satimnet:split"]) for table in tables
    ).combine_chunks()
    rows = _candidates(columns)
    # Rows that show the same are worth the same: one of each kind is compared, the first.
    alike: dict[_Kind, list[int]] = {}
    found = columns.take(pa.array(rows, pa.int64()))
    texts = found["satimnet:classes"].to_pylist(), found["satimnet:split"].to_pylist()
    for row, classes, split, shard in zip(rows, *texts, shards[rows].tolist(), strict=True):
        kind = None if classes is None else tuple(classes), split, shard
        alike.setdefault(kind, []).append(row)
    waiting = {kind: iter(group) for kind, group in alike.items()}
    nexts = {kind: next(group) for kind, group in waiting.items()}
    features = {kind: _features(*kind) for kind in alike}
    seen = Counter[tuple[str, Any]]()
    chosen: list[pa.Table] = []
    while nexts and len(chosen) < number:
        best = max(nexts, key=lambda kind: (_worth(features[kind], seen), -nexts[kind]))
        seen.update(features[best].keys())
        row, later = nexts.pop(best), next(waiting[best], None)
        if later is not None:
            nexts[best] = later
        shard = shards[row]
        # not take(): it would bring all shards together in memory
        chosen.append(tables[shard].slice(row - firsts[shard], 1))
    return pa.concat_tables(chosen) if chosen else tables[0].slice(0, 0)


def _candidates(columns: pa.Table) -> list[int]:
    """Rows evenly spread over all, over those of each class (none as well) and of each split."""
    import pyarrow.compute as pc

    classes, splits = (columns[name].combine_chunks() for name in columns.column_names)
    every = np.arange(len(columns))
    found = set(_spread(every))
    for owners, values in (
        (pc.list_parent_indices(classes).to_numpy(), pc.list_flatten(classes)),
        (every, pc.equal(pc.list_value_length(classes), 0)),
        (every, splits),
    ):
        codes = values.dictionary_encode("encode").indices.to_numpy()
        owners = owners[np.argsort(codes, kind="stable")]
        groups = np.split(owners, np.cumsum(np.bincount(codes))[:-1])
        for group in groups:
            found.update(_spread(group, max(4, _SPREAD // len(groups))))
    return sorted(found)


def _spread(rows: NDArray[np.int64], number: int = _SPREAD) -> list[int]:
    at = np.linspace(0, len(rows), min(number, len(rows)), endpoint=False)
    picked: list[int] = rows[at.astype(int)].tolist()
    return picked


def _features(
    classes: Sequence[str] | None, split: str | None, shard: int
) -> dict[tuple[str, Any], float]:
    """What a row shows, each with its weight."""
    features: dict[tuple[str, Any], float] = {("split", split): 0.6, ("shard", shard): 0.2}
    if classes is not None:
        # An image in which annotators found nothing is worth seeing once.
        features |= {("class", name): 1.0 for name in classes or (None,)}
    return features


def _worth(features: Mapping[tuple[str, Any], float], seen: Counter[tuple[str, Any]]) -> float:
    labelled = 0.5 * any(kind == "class" and name is not None for kind, name in features)
    return labelled + sum(weight / (1 + seen[f]) ** 2 for f, weight in features.items())
