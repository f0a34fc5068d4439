"""Selection: which samples of a catalog a recipe draws, and into which fold each goes.

Everything here works on columns. Only rows that are drawn are read with their assets, so that
drawing a few thousand out of 590,326 takes seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from satimnet.builder.errors import SatimnetError
from satimnet.builder.queries import search

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from satimnet.builder.index import Index

    from .recipes import Draw, Recipe


@dataclass(frozen=True)
class BandFile:
    """An image asset of a collection, and which of its bands are wanted."""

    asset: str
    positions: tuple[int, ...]
    """Of the wanted bands, in the file, from 0."""
    wanted: tuple[int, ...]
    """The same bands' places in the recipe's list."""


@dataclass(frozen=True)
class Drawn:
    """What one draw took."""

    draw: Draw
    table: pa.Table
    """Rows of ``items.parquet``, in the order of the ids."""
    labels: NDArray[np.int64]
    """Of each row the class in the fused set: index into the recipe's class table."""
    found: int
    """How many samples there were to draw from."""
    lacking: int
    """How many of those that were looked at have no image with all bands."""


def band_files(document: Mapping[str, Any], bands: Sequence[str]) -> tuple[BandFile, ...]:
    """The assets that the bands come from: one that has them all, else one after the other.

    ``document`` is the JSON of the Collection. Raises `SatimnetError` where a band is in no asset.
    """
    known: dict[str, list[str]] = {
        key: [band["name"] for band in asset["bands"]]
        for key, asset in document.get("item_assets", {}).items()
        if asset.get("bands") and "mask" not in asset.get("roles", ())
    }
    missing = [band for band in bands if not any(band in names for names in known.values())]
    if missing:
        listing = "; ".join(f"{key}: {', '.join(names)}" for key, names in known.items())
        raise SatimnetError(
            f"the collection {document['id']} has no band {', '.join(missing)}; "
            f"there are {listing or 'no images'}"
        )
    homes = [key for key, names in known.items() if set(bands) <= set(names)][:1] or list(known)
    found: dict[str, list[int]] = {}
    for place, band in enumerate(bands):
        home = next(key for key in homes if band in known[key])
        found.setdefault(home, []).append(place)
    return tuple(
        BandFile(key, tuple(known[key].index(bands[place]) for place in places), tuple(places))
        for key, places in found.items()
    )


def select(recipe: Recipe, index: Index, *, available: bool = False) -> list[Drawn]:
    """The samples of each draw of the recipe; none is drawn twice.

    The same recipe draws the same samples of the same collections, in whatever order their rows
    lie. With ``available`` a draw that finds too few takes them.

    Raises:
        SatimnetError: a collection, class, concept, property or band is unknown, a draw finds too
            few samples, or a sample's class is not in the recipe.
    """
    taken: dict[str, NDArray[np.int64]] = {}
    drawn = []
    for number, draw in enumerate(recipe.draws):
        try:
            one = _draw(recipe, draw, number, index, taken, available)
        except SatimnetError as error:
            raise SatimnetError(f"{recipe.source}: [[draws]] {number + 1}: {error}") from error
        drawn.append(one)
    if not any(len(one.table) for one in drawn):
        raise SatimnetError(f"{recipe.source}: the catalog {index.href} has no sample for it")
    return drawn


def folds_of(strata: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """A fold of each sample, from 0; every stratum is spread evenly, and so are all together.

    ``strata`` are numbers from 0. The same numbers, in the same order, give the same folds.
    """
    result = np.empty(len(strata), np.int64)
    dealt = 0
    for stratum in np.unique(strata).tolist():
        members = np.flatnonzero(strata == stratum)
        members = members[_shuffled(len(members), seed, _FOLDS, stratum)]
        result[members] = (dealt + np.arange(len(members))) % folds
        dealt += len(members)
    return result


# --- one draw -----------------------------------------------------------------------------------

_DRAWS, _FOLDS = 1, 2  # what the seed is used for: streams that have nothing to do with each other


def _draw(
    recipe: Recipe,
    draw: Draw,
    number: int,
    index: Index,
    taken: dict[str, NDArray[np.int64]],
    available: bool,
) -> Drawn:
    if draw.collection not in index.collections:
        known = ", ".join(index.collections)
        raise SatimnetError(f"no collection {draw.collection!r} in {index.href}; there are {known}")
    document = index.collections[draw.collection].document
    _require_classes(draw, document)
    assets = [file.asset for file in band_files(document, recipe.bands)]
    found = search(
        index,
        collections=[draw.collection],
        classes=draw.classes or None,
        concept=draw.concept,
        filter=draw.filter,
        sortby="id",
    ).numbers()[draw.collection]
    found = found[~np.isin(found, taken.get(draw.collection, _NONE))]
    order = found[_shuffled(len(found), recipe.seed, _DRAWS, number)]
    wanted = len(order) if draw.number is None else draw.number
    kept: list[pa.Table] = []
    numbers, looked_at, have = [_NONE], 0, 0
    while have < wanted and looked_at < len(order):  # in place of those without the bands, others
        some = order[looked_at : looked_at + min(wanted - have, _ROWS)]
        rows = index.rows(draw.collection, some)
        usable = _have(rows, assets)
        if usable.any():
            kept.append(_slim(rows.filter(pa.array(usable)), assets))
        numbers.append(some[usable])
        looked_at += len(some)
        have += int(usable.sum())
    if draw.number is not None and draw.exact and have < draw.number and not available:
        lacking = f", {looked_at - have:,} more lack bands" if looked_at > have else ""
        raise SatimnetError(
            f"{draw.label}: {draw.number:,} samples wanted, {have:,} found{lacking}; "
            "write at_most, or take what is there with --available"
        )
    taken[draw.collection] = np.concatenate([taken.get(draw.collection, _NONE), *numbers])
    table = pa.concat_tables(kept) if kept else index.rows(draw.collection, _NONE)
    table = table.sort_by("id")
    labels = _labels(recipe, draw, table)
    return Drawn(draw, table, labels, len(found), looked_at - have)


_NONE: NDArray[np.int64] = np.empty(0, np.int64)
_ROWS = 20_000  # read at once: a row of twelve assets takes some KiB


def _require_classes(draw: Draw, document: Mapping[str, Any]) -> None:
    rows = document.get("summaries", {}).get("classification:classes", ())
    known = [row["name"] for row in rows]
    for name in draw.classes:
        if name not in known:
            raise SatimnetError(
                f"the collection {draw.collection} has no class {name!r}; "
                f"there are {', '.join(known) or 'none'}"
            )


def _have(rows: pa.Table, assets: Sequence[str]) -> NDArray[np.bool_]:
    """Which rows have all of these assets."""
    column = rows["assets"].combine_chunks()
    fields = {field.name for field in column.type}
    usable = np.ones(len(rows), np.bool_)
    for asset in assets:
        if asset not in fields:  # none of the collection's Items has it
            return np.zeros(len(rows), np.bool_)
        usable &= pc.struct_field(column, [asset]).is_valid().to_numpy(zero_copy_only=False)
    return usable


def _slim(rows: pa.Table, assets: Sequence[str]) -> pa.Table:
    """The rows without what nobody needs of their assets."""
    column = rows["assets"].combine_chunks()
    parts = [pc.struct_field(column, [asset]) for asset in assets]
    place = rows.column_names.index("assets")
    return rows.set_column(place, "assets", pa.StructArray.from_arrays(parts, names=list(assets)))


def _labels(recipe: Recipe, draw: Draw, table: pa.Table) -> NDArray[np.int64]:
    names = recipe.class_names
    if draw.to is not None:
        return np.full(len(table), names.index(draw.to), np.int64)
    if not len(table):
        return _NONE
    tags = table["satimnet:classes"].combine_chunks()
    counts = pc.fill_null(pc.list_value_length(tags), 0).to_numpy(zero_copy_only=False)
    if (counts != 1).any():
        first = table["id"][int((counts != 1).argmax())].as_py()
        raise SatimnetError(
            f"{draw.label}: {first} has {int(counts[counts != 1][0])} classes, and one is needed; "
            "say with 'to' what such samples become"
        )
    codes = pc.index_in(tags.flatten(), value_set=pa.array(names, pa.string()))
    if codes.null_count:
        unknown = tags.flatten().filter(codes.is_null()).unique().to_pylist()
        raise SatimnetError(
            f"{draw.label}: samples of {', '.join(map(str, unknown[:5]))}, which is not under "
            "[[classes]]; choose by 'classes', or say with 'to' what they become"
        )
    return np.asarray(codes.to_numpy(zero_copy_only=False), np.int64)


def _shuffled(count: int, *seed: int) -> NDArray[np.int64]:
    """A permutation, drawn uniformly.

    NumPy keeps the stream of a bit generator the same for ever, but not what `Generator` makes of
    it (NEP 19); so the permutation is made here, by sorting.
    """
    keys = np.random.PCG64(list(seed)).random_raw(count)
    return np.argsort(keys, kind="stable")
