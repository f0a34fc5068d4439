"""Splits of one's own: a catalog's Items divided so that no part has seen what another has."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.arguments import at_least, checked
from satimnet.builder.errors import ArgumentError, BadCatalogError
from satimnet.builder.progress import Progress, one_step, silent
from satimnet.builder.publishing import protocol
from satimnet.builder.publishing.split_publishing import (
    publish_split,
    require_name,
    require_splittable,
)
from satimnet.builder.publishing.split_tables import SplitLink, SplitTable, table_schema
from satimnet.builder.quality.similar_items import find_similar_items, reported_similar
from satimnet.builder.query.index import Index
from satimnet.builder.samples import SPLITS
from satimnet.builder.splitting.balanced_parts import count_kinds, deal
from satimnet.builder.splitting.item_facts import ItemFacts, read_facts
from satimnet.builder.splitting.item_groups import By, Together, first_groups, join_overlapping
from satimnet.builder.storage.hrefs import folder_at, join, writable
from satimnet.builder.types import Json

if TYPE_CHECKING:
    from numpy.typing import NDArray

_USUAL_SHARES = (0.7, 0.15, 0.15)
_PARTS: Mapping[int, tuple[str, ...]] = {2: ("train", "test"), 3: SPLITS}
"""What the parts are called, by how many shares there are."""
_MOST_FOLDS = 1000
_SMALLEST, _LARGEST = 1.0, 1e7  # metres of a block
_FEWEST = 20
"""Of a class with fewer Items no share is judged: one Item more or less is too much already."""


@dataclass(frozen=True, slots=True)
class SplitMade:
    """A split that was made, and how even it is."""

    link: SplitLink
    """Name, digest and href of its table."""
    place: str
    """Path or URL of the table."""
    parts: Mapping[str, int]
    """Items of each part: ``train``, ``validation`` and ``test``, or ``fold 0``, ``fold 1``…"""
    groups: int
    """Groups of Items that stay together."""
    largest: int
    """Items of the largest group."""
    joined: Mapping[str, int]
    """By what shows the same (``overlaps``, ``duplicates``, ``origins``), how many groups fewer
    there are for it."""
    alone: int
    """Items that have no place, time or property to be grouped by."""
    unevenness: Mapping[tuple[str, str], float]
    """By collection and class, of those with some 20 Items or more: the largest relative distance
    of a part's number from its share."""

    @property
    def worst(self) -> tuple[tuple[str, str], float] | None:
        """The class whose shares are the least even, and how uneven; None without classes."""
        return max(self.unevenness.items(), key=lambda one: one[1], default=None)


@checked()
def split(
    catalog: str | os.PathLike[str],
    *,
    by: By = "block",
    size: float = 10_000,
    days: float = 1,
    property: str | None = None,
    shares: Sequence[float] | None = None,
    folds: int | None = None,
    seed: int = 0,
    name: str | None = None,
    collections: Sequence[str] | str | None = None,
    images: bool = True,
    quality: str | os.PathLike[str] | None = None,
    overlaps: bool = True,
    scheduler: str = "threads",
    allow_outside: bool = False,
    version: str | Sequence[str] | None = None,
    single_writer: bool = False,
    progress: Progress = silent,
) -> SplitMade:
    """Divides the Items of a catalog into parts of which none has seen what another has.

    Items of a block of the ground, of a scene, of a time or with a property in common are of one
    part. So are Items whose footprints overlap, that were derived from the same Item, or that show
    the same, exactly or nearly. Within these bounds each part has its share of every class and
    of every collection.

    The result is a table beside the catalog; the publisher's own split stays. Search, quality
    control, training and export use the table where they are given its name.

    Args:
        catalog: place of the catalog's folder, a path or the URL of an object store.
        by: what makes a group: a ``block`` of the ground; a ``scene``, all that was taken at one
            moment; a ``time``; or a ``group`` of Items with the same value of ``property``.
        size: of blocks, in metres along a side.
        days: with ``time``, how many days make a group, counted from 1970.
        property: with ``group``, the property that says what an Item is of.
        shares: of train and test, or of train, validation and test; they sum up to 1. By default
            0.7, 0.15 and 0.15.
        folds: how many folds to make instead, of equal shares. The first is then the split
            ``test`` and the others are ``train``.
        seed: 0 or more. The same seed makes the same split of the same catalog.
        name: of the split; by default it says what the split is by. A table of the same name
            becomes the current one, and the earlier one can still be asked for by its digest.
        collections: ids of those to divide, together; by default all.
        images: whether all images are read and compared. Without it, near-duplicates that do not
            overlap may be in several parts.
        quality: folder of a report of this catalog by `satimnet quality`, whose near-duplicates
            are taken, so that no image is read.
        overlaps: whether Items whose footprints overlap stay together, whatever their times.
        scheduler: who reads the images: ``threads``, ``processes`` or a dask cluster's address.
        allow_outside: files may lie outside of a local catalog's folder.
        version: names of versions of collections to divide instead of the current ones.
        single_writer: as for `satimnet.builder.build`.
        progress: is told how far it is.

    Returns:
        What was made.

    Raises:
        NotFoundError: there is no catalog, no such collection or no such report.
        ArgumentError: an argument cannot be, or too many Items hang together for so many parts.
        BadCatalogError: the catalog is not of satimnet, or cannot be understood.
        StorageError: something cannot be read or written.

    Example:
        >>> from satimnet.builder import search, split
        >>> made = split("catalog", collections="eurosat", shares=[0.8, 0.2], name="mine")
        >>> sorted(made.parts)
        ['test', 'train']
        >>> found = search("catalog", collections="eurosat", splits="mine", split="test")
        >>> len(found) == made.parts["test"]
        True
    """
    home = writable(catalog).rstrip("/")
    plan = _Plan.of(by, size, days, property, shares, folds, seed, overlaps)
    name = plan.name if name is None else name
    require_name(name)
    names = [collections] if isinstance(collections, str) else collections
    index = Index(home, allow_outside=allow_outside, version=version)
    home = folder_at(index.href)
    require_splittable(index.document, home)
    protocol.require_one_by_one(home, single_writer=single_writer)
    with one_step(progress, "Reading items"):
        facts = read_facts(index, names, property)
    similar: Sequence[Sequence[int]] = ()
    if quality is not None:
        similar = list(_numbered(facts, Path(quality)))
    elif images:
        similar = find_similar_items(
            index, facts.collections, scheduler=scheduler, progress=progress
        )
    with one_step(progress, "Dividing"):
        together = Together(first_groups(facts, by, size, days))
        joined = {"origins": together.join_equal(facts.origins)}
        joined["duplicates"] = together.join_all(similar)
        joined["overlaps"] = join_overlapping(together, facts) if overlaps else 0
        parts = _dealt(facts, together.groups, plan)
    compared = "report" if quality is not None else "all" if images else "none"
    table = _table(index, facts, together.groups, parts, plan, compared)
    link = publish_split(home, name, table, single_writer=single_writer)
    sizes = np.bincount(together.groups)
    return SplitMade(
        link,
        join(link.href, index.href),
        dict(zip(plan.parts, np.bincount(parts, minlength=len(plan.parts)).tolist(), strict=True)),
        len(sizes),
        int(sizes.max()),
        joined,
        _alone(facts, by),
        _unevenness(facts, parts, plan),
    )


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be made."""

    by: By
    shares: tuple[float, ...]
    folds: int | None
    seed: int
    said: Json = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        by: By,
        size: float,
        days: float,
        property_: str | None,
        shares: Sequence[float] | None,
        folds: int | None,
        seed: int,
        overlaps: bool,
    ) -> _Plan:
        """Raises `ArgumentError` for what cannot be."""
        at_least(0, seed=seed)
        if shares is not None and folds is not None:
            raise ArgumentError("give shares or folds, not both", "shares", "folds")
        if (by == "group") != (property_ is not None):
            raise ArgumentError(
                'by="group" and property go together: it says what an Item is of', "by", "property"
            )
        if by == "block" and not _SMALLEST <= size <= _LARGEST:
            raise ArgumentError(
                f"size {size:g}: give metres of a block's side, 1 to 10,000,000", "size"
            )
        if by == "time" and not 1e-4 <= days <= 1e5:
            raise ArgumentError(f"days {days:g}: give 0.0001 to 100,000", "days")
        if folds is not None and not 2 <= folds <= _MOST_FOLDS:
            raise ArgumentError(f"folds {folds}: give 2 to {_MOST_FOLDS:,}", "folds")
        given = tuple(float(one) for one in (_USUAL_SHARES if shares is None else shares))
        if folds is not None:
            given = (1 / folds,) * folds
        elif (
            len(given) not in _PARTS
            or not all(0 < one < 1 for one in given)
            or abs(sum(given) - 1) > 1e-6
        ):
            raise ArgumentError(
                f"shares {','.join(f'{one:g}' for one in given)}: give two or three above 0 that "
                "sum up to 1: of train and test, or of train, validation and test",
                "shares",
            )
        how: dict[str, Json] = {
            "block": {"size": size},
            "time": {"days": days},
            "group": {"property": property_},
        }
        said: Json = {"by": by, **how.get(by, {}), "overlaps": overlaps, "seed": seed}
        said |= {"folds": folds} if folds is not None else {"shares": list(given)}
        return cls(by, given, folds, seed, said)

    @property
    def parts(self) -> tuple[str, ...]:
        """What the parts are called."""
        if self.folds is not None:
            return tuple(f"fold {at}" for at in range(self.folds))
        return _PARTS[len(self.shares)]

    @property
    def name(self) -> str:
        """What a split is called that has no name of its own."""
        size = f"-{self.said['size'] / 1000:g}km" if self.by == "block" else ""
        return f"by-{self.by}{size}" + (f"-{self.folds}-folds" if self.folds is not None else "")

    @property
    def title(self) -> str:
        """What a split is, in words."""
        what = {
            "block": f"blocks of {self.said.get('size', 0) / 1000:g} km",
            "scene": "scenes",
            "time": f"times of {self.said.get('days', 0):g} days",
            "group": str(self.said.get("property")),
        }[self.by]
        return f"by {what}, " + (
            f"{self.folds} folds"
            if self.folds is not None
            else " : ".join(f"{share:g}" for share in self.shares)
        )


def _numbered(facts: ItemFacts, report: Path) -> Iterator[list[int]]:
    """The sets of a report, as numbers of Items; those of other collections are left out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    sets = list(reported_similar(report))
    firsts = dict(zip(facts.collections, facts.first.tolist()))
    numbers: dict[tuple[str, str], int] = {}
    for at, name in enumerate(facts.collections):
        wanted = sorted({one["id"] for items in sets for one in items if one["collection"] == name})
        own = facts.ids.slice(facts.first[at], facts.first[at + 1] - facts.first[at])
        found = pc.index_in(pa.array(wanted, pa.string()), value_set=own.combine_chunks())
        for id_, number in zip(wanted, found.to_pylist()):
            if number is None:
                raise BadCatalogError(
                    f"{report}: names {name}/{id_:.100}, which the catalog has not; make a report "
                    "of this catalog"
                )
            numbers[name, id_] = firsts[name] + number
    for items in sets:
        keys = [(one["collection"], one["id"]) for one in items]
        yield [numbers[key] for key in keys if key in numbers]


def _dealt(facts: ItemFacts, groups: NDArray[np.int64], plan: _Plan) -> NDArray[np.int64]:
    """The part of each Item, int64 (item)."""
    everything = np.arange(len(facts))
    items = np.concatenate([everything, facts.class_items])
    kinds = np.concatenate([facts.homes, facts.class_codes + len(facts.collections)])
    counts = count_kinds(groups, items, kinds)
    return deal(counts, np.array(plan.shares), plan.seed)[groups]


def _unevenness(
    facts: ItemFacts, parts: NDArray[np.int64], plan: _Plan
) -> dict[tuple[str, str], float]:
    shares = np.array(plan.shares)
    pairs = facts.class_codes * len(shares) + parts[facts.class_items]
    counts = np.bincount(pairs, minlength=len(facts.class_names) * len(shares))
    counts = counts.reshape(-1, len(shares))
    wanted = counts.sum(1, keepdims=True) * shares
    distance = np.abs(counts / np.maximum(wanted, 1e-300) - 1).max(1, initial=0)
    known = counts.sum(1) >= _FEWEST
    return {facts.class_names[at]: float(distance[at]) for at in np.flatnonzero(known).tolist()}


def _alone(facts: ItemFacts, by: By) -> int:
    """How many Items have nothing to be grouped by."""
    if by == "block":
        return int(np.isnan(facts.centres).any(1).sum())
    if by == "group":
        return int(facts.values.null_count)
    return int(np.isnan(facts.seconds).sum())


def _table(
    index: Index,
    facts: ItemFacts,
    groups: NDArray[np.int64],
    parts: NDArray[np.int64],
    plan: _Plan,
    compared: str,
) -> SplitTable:
    import pyarrow as pa

    counts = np.diff(facts.first)
    homes = pa.DictionaryArray.from_arrays(pa.array(facts.homes), pa.array(facts.collections))
    rows = np.concatenate([np.arange(count) for count in counts.tolist()])
    names = plan.parts if plan.folds is None else ("test", *["train"] * (plan.folds - 1))
    splits = pa.array(names, pa.string()).take(pa.array(parts))
    folds: Any = pa.nulls(len(parts), pa.int64()) if plan.folds is None else pa.array(parts)
    table = pa.table(
        [homes.cast(pa.string()), facts.ids, rows, splits, folds, groups], table_schema()
    )
    said: Json = {
        "title": plan.title,
        **plan.said,
        "images_compared": compared,
        "collections": {
            name: {"version": index.collections[name].document.version, "items": count}
            for name, count in zip(facts.collections, counts.tolist())
        },
    }
    return SplitTable(table, said)
