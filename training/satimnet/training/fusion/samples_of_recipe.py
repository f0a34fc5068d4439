"""Samples of a recipe: made of rows that were drawn; their files are made when they are packed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.errors import SatimnetError
from satimnet.builder.imagery.grids import Grid
from satimnet.builder.query.item_origins import grid_of, have_files, origin_of, time_text
from satimnet.builder.samples import Member, Sample
from satimnet.builder.storage.checked_offsets import number_type
from satimnet.builder.storage.hrefs import is_url, join, public, relative
from satimnet.training.data.order import even_folds
from satimnet.training.fusion.mask_layers import Layer
from satimnet.training.fusion.patches import Image, Mask, Part
from satimnet.training.fusion.selection import CARRIED, Drawn, band_files

if TYPE_CHECKING:
    from satimnet.builder.query.index import Index
    from satimnet.training.fusion.recipes import Recipe
    from satimnet.training.fusion.selection import BandFile

_ENDS = ("start_datetime", "end_datetime")
_SAFE = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"


def samples_of(
    recipe: Recipe,
    index: Index,
    drawn: Sequence[Drawn],
    layers: Sequence[Layer] | None,
    folder: str,
) -> list[Sample]:
    """The samples in the order of their classes, collections and ids.

    ``folder`` is the place of a version of the collection that they go to. Without ``layers`` there
    are no masks. Raises `SatimnetError` where the catalog says too little of an Item, or names it
    as no file may be named.
    """
    # by the recipe alone: which other collections the catalog has must not matter
    homes = {name: at for at, name in enumerate(sorted({d.collection for d in recipe.draws}))}
    keys = pa.table(
        {
            "label": np.concatenate([one.labels for one in drawn]),
            "home": np.repeat(
                [homes[one.draw.collection] for one in drawn], [len(one.labels) for one in drawn]
            ),
            "id": pa.chunked_array([c for one in drawn for c in one.table["id"].chunks]),
        }
    )
    order = pc.sort_indices(keys, sort_keys=[(key, "ascending") for key in keys.column_names])
    strata = keys["label"].to_numpy() * len(homes) + keys["home"].to_numpy()
    folds = np.empty(len(strata), np.int64)
    folds[order] = even_folds(strata[order], recipe.folds, recipe.seed)
    samples: list[Sample] = []
    start = 0
    for one in drawn:
        stop = start + len(one.labels)
        samples += _of_draw(recipe, index, one, folds[start:stop], layers, folder)
        start = stop
    return [samples[at] for at in order.to_pylist()]


def _of_draw(
    recipe: Recipe,
    index: Index,
    drawn: Drawn,
    folds: Any,
    layers: Sequence[Layer] | None,
    folder: str,
) -> Iterator[Sample]:
    home = index.collections[drawn.draw.collection]
    _require_safe(home.id, drawn.table)
    files = band_files(home.document, recipe.bands)
    gsd = _gsd(home.document, files, recipe)
    make_mask = _mask_maker(recipe, layers)
    names = recipe.class_names
    dtype = number_type(
        home.document.item_assets[files[0].asset].data_type, f"{home.id}: its images"
    ).name
    rows = drawn.table.to_pylist()
    own_files = have_files(rows, home.parquet)
    for row, label, fold in zip(rows, drawn.labels.tolist(), folds.tolist(), strict=True):
        name, id_ = names[label], f"{home.id}-{row['id']}"
        source = f"{home.id}/{row['id']}"
        grid = grid_of(row, files[0].asset, source).resized(recipe.size)
        parts = tuple(_part(row["assets"][f.asset], f, home.parquet) for f in files)
        image = Image(source, parts, grid, dtype, recipe.resampling)
        members = [Member("image", f"{name}/{id_}.tif", image)]
        mask = make_mask(name, source, grid)
        if mask is not None:
            members.append(Member("mask", f"{name}/{id_}_mask.tif", mask))
        properties = {key: row[key] for key in CARRIED if row.get(key) is not None}
        properties |= {"satimnet:source": home.id, "satimnet:fold": fold}
        if gsd is not None:
            properties["gsd"] = gsd
        time, ends = _times(row, files)
        properties |= ends
        origin, kind = origin_of(row, home.parquet, own_files=own_files)
        href = relative(public(origin, home.href), folder)
        link = {"rel": "derived_from", "href": href, "type": kind}
        yield Sample(
            id_,
            (name, home.id),
            tuple(members),
            (name,),
            datetime=time,
            properties=properties,
            links=(link,) if is_url(origin) or not is_url(folder) else (),
        )


def _times(
    row: Mapping[str, Any], files: Sequence[BandFile]
) -> tuple[str | None, dict[str, str | None]]:
    """When the images of a sample were taken: one time, or the first and last of several.

    Images of a second sensor have times of their own; all others have that of their Item.
    """
    own = {row["assets"][file.asset].get("datetime") for file in files}
    if None in own:  # some have that of the Item
        own = (own - {None}) | {time_text(row.get("datetime"))}
    if own == {None}:
        return None, {key: time_text(row[key]) for key in _ENDS if row.get(key) is not None}
    if len(own) == 1:
        return own.pop(), {}
    if None in own:
        own |= {time_text(row.get(key)) for key in _ENDS}
    known = sorted(filter(None, own), key=datetime.fromisoformat)
    return None, {"start_datetime": known[0], "end_datetime": known[-1]}


def _mask_maker(
    recipe: Recipe, layers: Sequence[Layer] | None
) -> Callable[[str, str, Grid], Mask | None]:
    """A function from class, label and grid of a sample to its mask, None where it has none."""
    if layers is None:
        return lambda name, label, grid: None
    by_class = {
        name: tuple(layer for layer in layers if name in layer.spec.classes)
        for name in recipe.class_names
    }

    def mask(name: str, label: str, grid: Grid) -> Mask | None:
        if name in recipe.fill:
            return Mask(label, grid, (), recipe.fill[name])
        return Mask(label, grid, by_class[name]) if by_class[name] else None

    return mask


def _require_safe(collection: str, table: pa.Table) -> None:
    """Ids become names of files and folders; those of a catalog from the web may be anything."""
    ids = pa.concat_arrays([pa.array([collection]), table["id"].combine_chunks()])
    unsafe = ids.filter(pc.invert(pc.match_substring_regex(ids, _SAFE)))
    if len(unsafe):
        raise SatimnetError(f"{collection}: the id {unsafe[0].as_py()!r:.80} cannot name a file")


def _part(asset: Mapping[str, Any], file: BandFile, parquet: str) -> Part:
    where: dict[str, Any] = {"href": join(asset["href"], parquet)}
    checksum = ""
    if asset.get("archive"):
        entry = asset["archive"][0]
        where["archive"] = [{"href": entry["href"], "range": entry["range"]}]
        checksum = entry.get("file:checksum") or ""
    return Part(where, file.positions, file.wanted, checksum)


def _gsd(document: CollectionDocument, files: Sequence[BandFile], recipe: Recipe) -> float | None:
    """Metres of a pixel once resized; None where the collection does not tell."""
    found = []
    for file in files:
        asset = document.item_assets[file.asset]
        for position in file.positions:
            metres = asset.bands[position].gsd
            if metres is None or asset.shape is None:
                return None
            found.append(metres * asset.shape[0] / recipe.size[0])
    return float(min(found))
