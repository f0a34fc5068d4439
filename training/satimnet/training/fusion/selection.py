"""Selection: which samples of a catalog a recipe draws.

Everything here works on columns. Only rows that are drawn are read with their assets, so that
drawing a few thousand out of 590,326 takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.errors import SatimnetError
from satimnet.builder.query.search import search
from satimnet.training.data.order import Purpose, permutation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from satimnet.builder.query.index import Index
    from satimnet.training.fusion.recipes import Draw, Recipe

CARRIED = (
    "platform",
    "constellation",
    "instruments",
    "processing:level",
    "satimnet:country",
)
"""Properties that the Items of a fused collection have from their sources."""

_COLUMNS = frozenset(
    (
        *("id", "datetime", "start_datetime", "end_datetime", "links", "assets"),
        *("proj:code", "proj:wkt2", "proj:shape", "proj:transform", "satimnet:classes"),
        *CARRIED,
    )
)


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
    """Rows of ``items.parquet`` in the order of the ids, with the columns that a fusion needs."""
    labels: NDArray[np.int64]
    """Of each row the class in the fused set: index into the recipe's class table."""
    found: int
    """How many samples there were to draw from."""
    lacking: int
    """How many of them have no image with all bands."""

    def __repr__(self) -> str:
        """One line, without the rows."""
        return f"<Drawn: {self.draw.label}: {len(self.table):,} of {self.found:,}>"


def band_files(document: CollectionDocument, bands: Sequence[str]) -> tuple[BandFile, ...]:
    """The assets that the bands come from: one that has them all, else one after the other.

    Raises `SatimnetError` where a band is in no asset.
    """
    known = {image.key: image.band_names for image in document.images}
    missing = [band for band in bands if not any(band in names for names in known.values())]
    if missing:
        listing = "; ".join(f"{key}: {', '.join(names)}" for key, names in known.items())
        raise SatimnetError(
            f"the collection {document.id} has no band {', '.join(missing)}; "
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
    homes: dict[str, _Home] = {}
    chosen = []
    for number, draw in enumerate(recipe.draws):
        with _named(recipe, number):
            if draw.collection not in homes:
                homes[draw.collection] = _Home.of(draw.collection, index, recipe.bands)
            chosen.append(_draw(recipe, number, homes[draw.collection], index, available))
    if not any(len(one.numbers) for one in chosen):
        raise SatimnetError(f"{recipe.source}: the catalog {index.href} has no sample for it")
    tables = {name: _read(home, index) for name, home in homes.items()}
    drawn = []
    for number, (draw, one) in enumerate(zip(recipe.draws, chosen, strict=True)):
        rows = np.searchsorted(homes[draw.collection].taken, one.numbers)
        table = tables[draw.collection].take(rows).sort_by("id")
        with _named(recipe, number):
            labels = _labels(recipe, draw, table)
        drawn.append(Drawn(draw, table, labels, one.found, one.lacking))
    return drawn


# --- one draw -----------------------------------------------------------------------------------


@dataclass
class _Home:
    """A collection that is drawn from."""

    name: str
    assets: list[str]
    """Those that have the recipe's bands."""
    usable: NDArray[np.int64]
    """Numbers of the rows that have these assets, ascending."""
    taken: NDArray[np.int64]
    """Numbers of the rows that were drawn, ascending."""

    @classmethod
    def of(cls, name: str, index: Index, bands: Sequence[str]) -> _Home:
        if name not in index.collections:
            known = ", ".join(index.collections)
            raise SatimnetError(f"no collection {name!r} in {index.href}; there are {known}")
        assets = [file.asset for file in band_files(index.collections[name].document, bands)]
        usable = np.sort(index.with_assets(name, assets))
        return cls(name, assets, usable, np.empty(0, np.int64))


class _Chosen(NamedTuple):
    """What a draw chose: numbers of rows."""

    numbers: NDArray[np.int64]
    found: int
    lacking: int


@contextmanager
def _named(recipe: Recipe, number: int) -> Iterator[None]:
    """Errors inside begin with the draw."""
    try:
        yield
    except SatimnetError as error:
        raise SatimnetError(f"{recipe.source}: [[draws]] {number + 1}: {error}") from error


def _draw(recipe: Recipe, number: int, home: _Home, index: Index, available: bool) -> _Chosen:
    draw = recipe.draws[number]
    _require_classes(draw, index.collections[home.name].document)
    found = search(
        index,
        collections=[home.name],
        classes=draw.classes or None,
        concept=draw.concept,
        filter=draw.filter,
        sortby="id",
    ).numbers()[home.name]
    found = found[~np.isin(found, home.taken)]
    candidates = found[np.isin(found, home.usable)]
    lacking = len(found) - len(candidates)
    wanted = len(candidates) if draw.number is None else draw.number
    if draw.exact and len(candidates) < wanted and not available:
        more = f", {lacking:,} more lack bands" if lacking else ""
        raise SatimnetError(
            f"{draw.label}: {wanted:,} samples wanted, {len(candidates):,} found{more}; "
            "write at_most, or take what is there by available=True"
        )
    numbers = candidates[permutation(len(candidates), recipe.seed, Purpose.DRAWS, number)[:wanted]]
    home.taken = np.union1d(home.taken, numbers)
    return _Chosen(numbers, len(found), lacking)


def _read(home: _Home, index: Index) -> pa.Table:
    """The rows that were drawn of a collection, as far as anybody needs them."""
    columns = [name for name in index.column_types(home.name) if name in _COLUMNS]
    return index.rows(home.name, home.taken, columns, home.assets)


def _require_classes(draw: Draw, document: CollectionDocument) -> None:
    known = [row.name for row in document.classes]
    for name in draw.classes:
        if name not in known:
            raise SatimnetError(
                f"the collection {draw.collection} has no class {name!r}; "
                f"there are {', '.join(known) or 'none'}"
            )


def _labels(recipe: Recipe, draw: Draw, table: pa.Table) -> NDArray[np.int64]:
    names = recipe.class_names
    if draw.to is not None:
        return np.full(len(table), names.index(draw.to), np.int64)
    if not len(table):
        return np.empty(0, np.int64)
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
