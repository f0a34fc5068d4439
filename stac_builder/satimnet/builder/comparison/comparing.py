"""What differs between two versions: of a catalog with all its collections, or of one of them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from satimnet.builder.arguments import at_least, checked
from satimnet.builder.catalog import checked_documents as documents
from satimnet.builder.comparison.document_changes import FieldChange, field_changes
from satimnet.builder.comparison.item_changes import ItemChanges, item_changes
from satimnet.builder.comparison.item_numbers import PROPERTY, Side
from satimnet.builder.errors import BadCatalogError, CatalogWarning, NotFoundError, SatimnetError
from satimnet.builder.progress import Progress, silent
from satimnet.builder.query.index import Index
from satimnet.builder.storage.hrefs import catalog_file
from satimnet.builder.storage.stores import shown

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

_CLASSES = "satimnet:classes"
_LONGEST = 1000  # characters of an id or a class that are kept


@dataclass(frozen=True, slots=True)
class Changed:
    """How many Items changed in one way, and the ids of the first of them."""

    count: int
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RelabelledItem:
    """An Item with other labels than before."""

    old_id: str
    id: str
    """Another one than ``old_id`` where the dataset names its samples after their classes."""
    old_classes: tuple[str, ...]
    classes: tuple[str, ...]
    """The same as ``old_classes`` where only objects or a mask changed."""


@dataclass(frozen=True, slots=True)
class Relabelled:
    """How many Items were relabelled, and the first of them."""

    count: int
    items: tuple[RelabelledItem, ...]


@dataclass(frozen=True)
class CollectionDiff:
    """What differs between two versions of a collection; an Item may be in several of the groups.

    Attributes:
        id: the id of the newer one.
        old: place of the older ``collection.json``, without secrets.
        new: place of the newer one.
        old_version: as STAC's version extension has it; None if there is none.
        new_version: likewise.
        old_items: how many Items there were.
        new_items: how many there are.
        fields: fields of the Collection that differ, such as its licence or its class table.
        added: Items that are new.
        removed: Items that are gone.
        relabelled: Items with other classes, objects or masks.
        pixels: Items with images of other bytes.
        split: Items in another split or fold.
        properties: Items of which any other property differs.
        properties_by_name: the same for each property. ``assets`` is what assets say of themselves
            (bands, types, shapes), ``links`` are those to web pages.
        moved: Items that only lie elsewhere in the shards or in the tree; this is no difference.
        unknown: Items of which a member has no checksum, so that bytes could not be compared.
    """

    id: str
    old: str
    new: str
    old_version: str | None
    new_version: str | None
    old_items: int
    new_items: int
    fields: tuple[FieldChange, ...]
    added: Changed
    removed: Changed
    relabelled: Relabelled
    pixels: Changed
    split: Changed
    properties: Changed
    properties_by_name: dict[str, int]
    moved: Changed
    unknown: Changed

    @property
    def differs(self) -> bool:
        """Whether anything differs; where members lie does not count."""
        found = (self.added, self.removed, self.relabelled, self.pixels, self.split)
        return bool(self.fields or self.properties.count or any(one.count for one in found))


@dataclass(frozen=True)
class Diff:
    """What differs between two catalogs, or two versions of a collection.

    Attributes:
        old: place of the older one, without secrets.
        new: place of the newer one.
        added: ids of the collections that only the newer catalog has.
        removed: ids of those that only the older one has.
        collections: what differs in each collection that both have, also where nothing does.
    """

    old: str
    new: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    collections: tuple[CollectionDiff, ...]

    @property
    def differs(self) -> bool:
        """Whether anything differs."""
        return bool(self.added or self.removed or any(c.differs for c in self.collections))


@checked()
def diff(
    old: str | os.PathLike[str],
    new: str | os.PathLike[str],
    *,
    old_version: str | Sequence[str] | None = None,
    new_version: str | Sequence[str] | None = None,
    most: int = 20,
    allow_outside: bool = False,
    progress: Progress = silent,
) -> Diff:
    """Compares two catalogs, or two versions of a collection, by what their indexes say.

    Items are compared by id, their images and labels by the checksums of their members, so that no
    shard is read. Of two catalogs all collections with equal ids are compared; of two
    ``collection.json`` those two; of one and a catalog the collection with its id.

    Args:
        old: path or URL of the older ``catalog.json``, of its folder, or of a ``collection.json``.
        new: path or URL of the newer one.
        old_version: which versions of the older catalog's collections (see
            `satimnet.builder.versions`), instead of the current ones.
        new_version: which versions of the newer catalog's collections. So two versions in one
            catalog are compared if ``new`` is ``old``.
        most: how many ids and fields of each kind of change are kept; all are counted.
        allow_outside: catalogs in folders may lead to any file of this machine.
        progress: is told how far it is.

    Raises:
        NotFoundError: nothing is there, or a catalog lacks the collection that it is compared with.
        BadCatalogError: a collection cannot be read, or has two Items with the same id.
        SatimnetError: something else cannot be read.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from satimnet.builder import build
        >>> from stactools.eurosat.miniature import write_miniature
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name, samples in (("before", 1), ("after", 2)):
        ...     sources = write_miniature(folder / name, samples, bands=False)
        ...     _ = build(sources, folder / f"{name}-catalog", overview=False)
        >>> found = diff(folder / "before-catalog", folder / "after-catalog")
        >>> (eurosat,) = found.collections
        >>> eurosat.added.count, eurosat.removed.count, eurosat.added.ids[:2]
        (10, 0, ('AnnualCrop_2', 'Forest_2'))
    """
    at_least(0, most=most)
    one = _opened(old, allow_outside, old_version)
    other = _opened(new, allow_outside, new_version)
    pairs, removed, added = _pairs(one, other)
    compared = []
    for at, (before, after) in enumerate(pairs):
        progress("Comparing", at, len(pairs), "collections")
        compared.append(compare(before, after, most))
    progress("Comparing", len(pairs), len(pairs), "collections")
    return Diff(shown(one.href), shown(other.href), added, removed, tuple(compared))


def compare(old: Side, new: Side, most: int = 20) -> CollectionDiff:
    """What differs between two open collections; ``most`` as in `diff`.

    Raises:
        SatimnetError: one of them cannot be read.
    """
    said = old.collection.document, new.collection.document
    changes = item_changes(old, new)
    changed = changes.changed
    by_name = {
        name.removeprefix(PROPERTY): _flagged(changed, name).num_rows
        for name in changed.column_names
        if name.startswith(PROPERTY)
    }
    return CollectionDiff(
        id=_cut(new.collection.id),
        old=shown(old.collection.href),
        new=shown(new.collection.href),
        old_version=said[0].version,
        new_version=said[1].version,
        old_items=changes.old_items,
        new_items=changes.new_items,
        fields=tuple(field_changes(*(document.json for document in said))),
        added=_first(changes.added, most),
        removed=_first(changes.removed, most),
        relabelled=_relabelled(old, new, changes, most),
        **{
            kind: _first(_flagged(changed, kind), most)
            for kind in ("pixels", "split", "properties", "moved", "unknown")
        },
        properties_by_name={_cut(name): count for name, count in by_name.items() if count},
    )


# --- which collections --------------------------------------------------------------------------


def _opened(
    place: str | os.PathLike[str], allow_outside: bool, version: str | Sequence[str] | None
) -> Index:
    """The open catalog, or that of a single collection."""
    href, alone = catalog_file(place), False
    with suppress(SatimnetError):  # of what cannot be read, the index says why
        alone = documents.read(href).get("type") == "Collection"
    with warnings.catch_warnings():  # what a catalog leaves out is an error here
        warnings.simplefilter("ignore", CatalogWarning)
        if alone and version is None:
            index = Index.of_collection(href, allow_outside=allow_outside)
        else:
            index = Index(place, allow_outside=allow_outside, version=version)
    for reason in index.unreadable.values():
        raise BadCatalogError(f"{reason}; or compare single collections by their collection.json")
    return index


def _pairs(
    old: Index, new: Index
) -> tuple[list[tuple[Side, Side]], tuple[str, ...], tuple[str, ...]]:
    """The collections to compare, and the ids of those that only the old or the new one has."""
    sides = [
        {name: Side(index, collection) for name, collection in index.collections.items()}
        for index in (old, new)
    ]
    single = [_is_single(index) for index in (old, new)]
    if all(single):  # their ids may differ
        return [(next(iter(sides[0].values())), next(iter(sides[1].values())))], (), ()
    if any(single):
        name = next(iter(sides[single.index(True)]))
        where = (old, new)[single.index(False)]
        if name not in where.collections:
            raise NotFoundError(
                f"{shown(where.href)}: no collection {name:.200} to compare with; there are "
                f"{', '.join(where.collections)}"
            )
        return [(sides[0][name], sides[1][name])], (), ()
    both = [(sides[0][name], sides[1][name]) for name in new.collections if name in sides[0]]
    removed, added = (
        tuple(_cut(name) for name in one.collections if name not in other.collections)
        for one, other in ((old, new), (new, old))
    )
    return both, removed, added


def _is_single(index: Index) -> bool:
    """Whether the index is of a ``collection.json`` and not of a catalog."""
    return [collection.href for collection in index.collections.values()] == [index.href]


# --- the first of those that changed ------------------------------------------------------------


def _flagged(changed: pa.Table, flag: str) -> pa.Table:
    return changed.filter(changed[flag])


def _first(items: pa.Table, most: int) -> Changed:
    return Changed(len(items), tuple(map(_cut, items["id"][:most].to_pylist())))


def _relabelled(old: Side, new: Side, changes: ItemChanges, most: int) -> Relabelled:
    found = _flagged(changes.changed, "relabelled")
    first = found[:most]
    classes = [
        _classes(side, first[row].to_numpy()) for side, row in ((old, "old_row"), (new, "row_"))
    ]
    ids = first["old_id"].to_pylist(), first["id"].to_pylist()
    items = zip(map(_cut, ids[0]), map(_cut, ids[1]), *classes, strict=True)
    return Relabelled(len(found), tuple(RelabelledItem(*item) for item in items))


def _classes(side: Side, rows: NDArray[np.int64]) -> list[tuple[str, ...]]:
    """The classes of the Items in these rows; none where the collection has no classes."""
    name = side.collection.id
    if _CLASSES not in side.index.column_types(name) or not len(rows):
        return [()] * len(rows)
    found = side.index.rows(name, rows, [_CLASSES])[_CLASSES].to_pylist()
    return [tuple(map(_cut, classes or ())) for classes in found]


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
