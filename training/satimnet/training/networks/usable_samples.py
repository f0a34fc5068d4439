"""Which samples of a catalog one network can take: those with its bands, of one kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from satimnet.builder.errors import ArgumentError
from satimnet.training.data.image_assets import have_bands, images_of, with_bands
from satimnet.training.data.image_sizes import have_size
from satimnet.training.data.training_samples import Catalog, Samples
from satimnet.training.networks.checkpoints import Checkpoint
from satimnet.training.networks.outputs import few, find_mask, has_masks, outputs_of

Parts = dict[str, Samples]
"""Samples by the collection that they are of."""


@dataclass(frozen=True)
class Choice:
    """Samples that go together, and what was left out.

    taken: how many, by collection. left_out: how many, by collection, of what is wrong with them.
    """

    samples: Samples
    taken: Mapping[str, int]
    left_out: Mapping[str, Mapping[str, int]]

    def lines(self) -> Iterator[str]:
        """What a user is told: what is taken, and what is left out, if anything is."""
        yield f"samples: {_counts(self.taken)}"
        if self.left_out:
            reasons = (f"{_counts(counts)} {why}" for why, counts in self.left_out.items())
            yield f"left out: {'; '.join(reasons)}"


def choose(
    catalog: Catalog,
    bands: Sequence[str],
    *,
    models: Sequence[str] = ("class",),
    trained: Checkpoint | None = None,
    size: tuple[int, int] | None = None,
    **query: Any,
) -> Choice:
    """Choose the samples that a search with `query` finds and the networks `models` can take.

    They have all of `bands`, for segm and dual masks, and images of `size` (rows, columns) if that
    is given. Where they are of several collections,
    those remain that have the classes of the network that is `trained`, if one is; else, for class
    and dual, those whose samples have one class each, if any does. Raises `SatimnetError` when
    none remain, and when several collections remain whose classes or images are unlike.
    """
    where = catalog.index.href
    found = catalog.search(**query)
    having = have_bands(found, bands)
    listed = ", ".join(bands)
    split = query.get("split")
    among = "" if split is None else f" of the split {split}"
    if not having.any():
        raise ArgumentError(f"{where}: no item{among} has the bands {listed}", "bands")
    left_out = _Reasons()
    parts = _parts(found, having, bands)
    left_out.add(f"without the bands {listed}", _census(found, ~having))
    if size is not None:
        parts = _of_size(parts, size, bands, left_out)
    dense = any(model != "class" for model in models)
    if dense:
        parts = _masked(parts, left_out, where)
    if trained is not None:
        parts = _of_classes(parts, trained, left_out, where, among)
    elif len(parts) > 1 and any(model != "segm" for model in models):
        single = {name: part for name, part in parts.items() if _one_class_each(part)}
        parts = left_out.keep(single or parts, parts, "not of one class each")
    _require_alike(parts, bands, dense, where, classes=trained is None)
    return Choice(_together(parts), {name: len(part) for name, part in parts.items()}, left_out)


class _Reasons(dict[str, Mapping[str, int]]):
    """Numbers of samples that are left out, by reason and collection."""

    def add(self, why: str, counts: Mapping[str, int]) -> None:
        """Takes down samples that are left out, if any are."""
        if counts:
            self[why] = counts

    def keep(self, kept: Parts, parts: Parts, why: str) -> Parts:
        """The parts that are kept, having taken down the others."""
        self.add(why, {name: len(part) for name, part in parts.items() if name not in kept})
        return kept


def _parts(found: Samples, wanted: NDArray[np.bool_], bands: Sequence[str]) -> Parts:
    """The wanted samples by collection, of which there is at least one each."""
    homes = found.table["collection"]
    own = {
        name: wanted & np.asarray(pc.equal(homes, name))
        for name in with_bands(found.collections, bands)
    }
    return {name: found.of([name], rows) for name, rows in own.items() if rows.any()}


def _of_size(
    parts: Parts, size: tuple[int, int], bands: Sequence[str], left_out: _Reasons
) -> Parts:
    """Of each part the samples with images of that size."""
    listed = f"of {size[0]} x {size[1]} pixels"
    having = {n: have_size(p.table, images_of(p, bands), size) for n, p in parts.items()}
    kept = {n: parts[n].of([n], rows) for n, rows in having.items() if rows.any()}
    if not kept:
        raise ArgumentError(
            f"none of {', '.join(parts)} has images {listed}; give another size", "size"
        )
    without = {name: int((~rows).sum()) for name, rows in having.items()}
    left_out.add(f"not {listed}", {name: count for name, count in without.items() if count})
    return kept


def _census(found: Samples, wanted: NDArray[np.bool_]) -> dict[str, int]:
    """How many samples are wanted, by collection."""
    homes = found.table["collection"]
    counts = {
        name: int((wanted & np.asarray(pc.equal(homes, name))).sum()) for name in found.collections
    }
    return {name: count for name, count in counts.items() if count}


def _masked(parts: Parts, left_out: _Reasons, where: str) -> Parts:
    """Of each part the samples with a mask."""
    having = {name: part for name, part in parts.items() if has_masks(part)}
    if not having:
        find_mask(next(iter(parts.values())))  # raises, saying what is wrong
    there = {name: find_mask(part).among(part) for name, part in having.items()}
    kept = {name: having[name].of([name], rows) for name, rows in there.items() if rows.any()}
    if not kept:
        raise ArgumentError(f"{where}: none of the items found has a mask")
    without = {name: len(part) - len(kept.get(name, ())) for name, part in parts.items()}
    left_out.add("without a mask", {name: count for name, count in without.items() if count})
    return kept


def _of_classes(
    parts: Parts, trained: Checkpoint, left_out: _Reasons, where: str, among: str
) -> Parts:
    """The parts that have the classes of the network; all, if it learned them all together."""
    model = trained.kind.removeprefix("cnn-")
    wanted = [output.names for output in trained.outputs]

    def fits(part: Samples) -> bool:
        return [output.names for output in outputs_of(part, model)] == wanted

    kept = {name: part for name, part in parts.items() if fits(part)}
    if not kept and len(parts) > 1 and fits(_together(parts)):
        return parts
    if not kept:
        raise ArgumentError(
            f"{where}: the samples{among} are of {', '.join(parts)}, with other classes than the "
            f"network was trained for ({'; '.join(map(few, wanted))}); choose others"
        )
    return left_out.keep(kept, parts, "with other classes than the network's")


def _one_class_each(part: Samples) -> bool:
    counts = pc.list_value_length(part.table["satimnet:classes"])
    return bool(pc.all(pc.equal(pc.fill_null(counts, 0), 1)).as_py())


def _require_alike(
    parts: Parts, bands: Sequence[str], dense: bool, where: str, *, classes: bool
) -> None:
    """Refuses parts that do not go together; `classes`: also those with unlike class tables."""
    if len(parts) == 1:
        return
    kinds: dict[str, list[Any]] = {
        "images": [images_of(part, bands) for part in parts.values()],
        "classes": [part.classes for part in parts.values()] if classes else [],
        "masks": [find_mask(part) for part in parts.values()] if dense else [],
    }
    unlike = [name for name, values in kinds.items() if any(v != values[0] for v in values)]
    if unlike:
        counts = {name: len(part) for name, part in parts.items()}
        raise ArgumentError(
            f"{where}: samples with the bands {', '.join(bands)}: {_counts(counts)}, with unlike "
            f"{' and '.join(unlike)}; choose one of them, such as "
            f'collections=["{next(iter(parts))}"]',
            "collections",
        )


def _together(parts: Parts) -> Samples:
    """The samples of all parts."""
    if len(parts) == 1:
        return next(iter(parts.values()))
    homes = {name: part.collections[name] for name, part in parts.items()}
    classes = dict.fromkeys(name for part in parts.values() for name in part.classes)
    table = pa.concat_tables([part.table for part in parts.values()])
    return Samples(table, homes, tuple(classes), next(iter(parts.values())).crop)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} of {name}" for name, count in counts.items())
