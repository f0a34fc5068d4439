"""What a fused collection says of itself: the record from which the builder makes its metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.errors import BadCatalogError, SatimnetError
from satimnet.builder.imagery.lonlat import flat, union
from satimnet.builder.storage.hrefs import is_url, public, relative
from satimnet.builder.types import Json
from satimnet.training.fusion.recipes import MASK_CLASSES, Recipe
from satimnet.training.fusion.selection import Drawn, band_files

if TYPE_CHECKING:
    from satimnet.builder.query.index import Index, IndexedCollection


_TIFF = "image/tiff; application=geotiff"
_FIELDS: Mapping[str, str | list[str]] = {
    "gsd": "number",
    "platform": "string",
    "constellation": "string",
    "instruments": ["string"],
    "processing:level": "string",
    "satimnet:country": "string",
    "satimnet:source": "string",
    "satimnet:fold": "integer",
}
"""Properties of the Items with their types, as in ``dataset.toml``."""
_OF_BANDS = (
    *("description", "eo:common_name", "eo:center_wavelength", "eo:full_width_half_max"),
    *("raster:scale", "raster:offset"),
)


def record_of(
    recipe: Recipe, index: Index, drawn: Sequence[Drawn], folder: str, *, masks: bool
) -> Json:
    """The record of a recipe's collection, as ``dataset.toml`` has it for others.

    ``folder`` is the place of a version of it.
    What it says of provider, licence, place and time is what the collections say that were drawn
    from. Raises `SatimnetError` if their images differ in data type.
    """
    names = dict.fromkeys(one.draw.collection for one in drawn if len(one.table))
    homes = [index.collections[name] for name in names]
    sources = [home.document for home in homes]
    boxes = [flat(document.box) for document in sources]
    times = [document.interval for document in sources]
    licences = {document.license for document in sources}
    used = _MaskSources.of(recipe, drawn) if masks else _MaskSources()
    assets: Json = {"image": _image(recipe, sources)}
    if masks and (recipe.layers or recipe.fill):
        assets["mask"] = _mask(recipe, used)
    short = sum(map(_is_short, drawn))
    return {
        "id": recipe.id,
        "title": f"{recipe.title} (in part)" if short else recipe.title,
        "description": _description(recipe, index, drawn, used if "mask" in assets else None),
        "license": licences.pop() if len(licences) == 1 else "other",
        "keywords": ["training data", "data fusion", *names],
        "providers": _providers(sources),
        "links": [*_licences(sources), *_derived(homes, folder)],
        "layout": "the samples of a recipe",
        "bbox": union(boxes),
        "start_datetime": _outermost(min, [start for start, _ in times]),
        "end_datetime": _outermost(max, [end for _, end in times]),
        "collection": _collection(recipe, sources, used if "mask" in assets else None),
        "classes": [dict(row) for row in recipe.classes],
        "fields": dict(_FIELDS),
        "properties": {},
        "assets": assets,
    }


def _outermost(choose: Callable[[list[str]], str], times: list[str | None]) -> str | None:
    """The first or last of the times; None, an open end, if one of them is open."""
    known = [time for time in times if time is not None]
    return choose(known) if len(known) == len(times) else None


@dataclass(frozen=True)
class _MaskSources:
    """What the masks of the samples drawn were made of.

    layers: titles of the maps. filled: classes whose masks are one value all over.
    """

    layers: tuple[str, ...] = ()
    filled: tuple[str, ...] = ()

    @classmethod
    def of(cls, recipe: Recipe, drawn: Sequence[Drawn]) -> Self:
        labels = {int(label) for one in drawn for label in np.unique(one.labels)}
        names = [name for at, name in enumerate(recipe.class_names) if at in labels]
        filled = tuple(name for name in names if name in recipe.fill)
        others = {*names} - {*filled}
        layers = tuple(layer.title for layer in recipe.layers if others & {*layer.classes})
        return cls(layers, filled)

    @property
    def lineage(self) -> str:
        """How they were made."""
        parts = (
            [f"warped by nearest neighbour from {', '.join(self.layers)}"] if self.layers else []
        )
        if self.filled:
            of = f", for {', '.join(self.filled)}" if self.layers else ""
            parts.append(f"the same for all pixels of a class{of}")
        return "; ".join(parts) or "none was made"


def _is_short(one: Drawn) -> bool:
    """Whether a draw took fewer samples than the recipe speaks of."""
    wanted = (one.draw.number or 0) if one.draw.exact else 1
    return len(one.table) < wanted


def _description(
    recipe: Recipe, index: Index, drawn: Sequence[Drawn], masks: _MaskSources | None
) -> str:
    """The recipe's own words, if all that it wants was there; and what was fused, in any case."""
    counts: dict[str, int] = {}
    for one in drawn:
        title = index.collections[one.draw.collection].document.title
        counts[title] = counts.get(title, 0) + len(one.table)
    listing = ", ".join(f"{count:,} of {title}" for title, count in counts.items() if count)
    short = sum(map(_is_short, drawn))
    text = recipe.description.strip()
    if short:  # what the recipe says of itself is not true of this
        text = f"A part of what the recipe {recipe.id} describes: {short} of its "
        text += f"{len(drawn)} draws found fewer samples than it wants."
    text += f"\n\nSamples drawn: {listing}."
    if masks is not None:
        text += f" Masks: {masks.lineage}."
    elif recipe.layers or recipe.fill:
        text += " Masks, of which the recipe speaks, were not made."
    return text


def _providers(sources: Sequence[CollectionDocument]) -> list[Json]:
    """Those of the collections drawn from, but not as hosts: they do not host this one."""
    rows = []
    for row in (row for document in sources for row in document.providers()):
        roles = [role for role in row.get("roles", ()) if role != "host"]
        if roles:
            rows.append({**row, "roles": roles})
        elif not row.get("roles"):
            rows.append(row)
    return _unique(rows)


def _collection(
    recipe: Recipe, sources: Sequence[CollectionDocument], masks: _MaskSources | None
) -> Json:
    masked = masks is not None
    problems = ["patch-based land cover classification"]
    fields: Json = {
        "satimnet:classification_problem": problems,
        "satimnet:annotation_method": ["derived"],
        "satimnet:annotation_description": "classes of the collections drawn from, as the recipe "
        "maps them" + ("" if masks is None else f"; masks: {masks.lineage}"),
        "satimnet:georeferenced": all(
            document.json.get("satimnet:georeferenced", False) for document in sources
        ),
        "satimnet:recipe": {
            "text": recipe.text,
            "sha256": recipe.digest,
            "layers": [layer.name for layer in recipe.layers] if masked else [],
        },
    }
    if masked:
        problems.append("pixel-based classification")
    if all(document.json.get("satimnet:synthetic") for document in sources):
        fields["satimnet:synthetic"] = True
    return fields


def _image(recipe: Recipe, sources: Sequence[CollectionDocument]) -> Json:
    types: dict[str, str] = {}
    for document in sources:
        for file in band_files(document, recipe.bands):
            data_type = document.item_assets[file.asset].data_type
            if data_type is None:
                raise BadCatalogError(
                    f"{document.id}: its collection.json does not say the data type of "
                    f"{file.asset}; build the collection again"
                )
            types.setdefault(data_type, document.id)
    if len(types) > 1:
        listing = ", ".join(f"{kind} in {name}" for kind, name in types.items())
        raise SatimnetError(
            f"{recipe.source}: the bands {', '.join(recipe.bands)} are of several data types: "
            f"{listing}; draw from collections with one"
        )
    rows, columns = recipe.size
    return {
        "title": f"Patch of {len(recipe.bands)} bands",
        "description": f"{', '.join(recipe.bands)} on one grid, pixel-interleaved",
        "roles": ["data"],
        "type": _TIFF,
        "data_type": next(iter(types)),
        "shape": list(recipe.size),
        "processing:lineage": f"where the source has {rows} x {columns} pixels, these are its "
        f"pixels; else resampled by GDAL ({recipe.resampling})",
        "bands": [_band(name, sources) for name in recipe.bands],
    }


def _band(name: str, sources: Sequence[CollectionDocument]) -> Json:
    """What all sources say alike of a band."""
    rows = [
        next(
            band
            for asset in document.json["item_assets"].values()
            for band in asset.get("bands", ())
            if band["name"] == name
        )
        for document in sources
    ]
    alike = {
        key: rows[0][key]
        for key in _OF_BANDS
        if key in rows[0] and all(row.get(key) == rows[0][key] for row in rows)
    }
    return {"name": name, **alike}


def _mask(recipe: Recipe, sources: _MaskSources) -> Json:
    return {
        "title": "Mask of water, built-up and other",
        "description": "Class of each pixel of the image, 0 where nobody knows",
        "roles": ["mask"],
        "type": _TIFF,
        "data_type": "uint8",
        "shape": list(recipe.size),
        "processing:lineage": sources.lineage,
        "bands": [{"name": "class"}],
        "classes": [dict(row) for row in MASK_CLASSES],
    }


def _derived(homes: Sequence[IndexedCollection], folder: str) -> list[Json]:
    """Links to the collections, but for those of this machine from an object store."""
    return [
        {
            "rel": "derived_from",
            "href": relative(public(home.href, home.href), folder),
            "type": "application/json",
            "title": home.document.title,
        }
        for home in homes
        if is_url(home.href) or not is_url(folder)
    ]


def _licences(sources: Sequence[CollectionDocument]) -> list[Json]:
    return _unique(
        {key: link[key] for key in ("rel", "href", "type", "title") if key in link}
        for document in sources
        for link in document.links("license")
        if is_url(link["href"])
    )


def _unique(rows: Iterable[Json]) -> list[Json]:
    found: list[Json] = []
    for row in rows:
        if row not in found:
            found.append(row)
    return found
