"""Chip records: what a collection of chips says of itself, as ``dataset.toml`` has it of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.chipping.chip_options import ChipOptions
from satimnet.builder.errors import ArgumentError, BadCatalogError, SatimnetError
from satimnet.builder.storage.hrefs import is_url, public, relative
from satimnet.builder.types import Json
from satimnet.builder.vocabulary.concepts import scheme_of
from satimnet.builder.vocabulary.tasks import FIELD

if TYPE_CHECKING:
    from satimnet.builder.query.index import Index, IndexedCollection

_TIFF = "image/tiff; application=geotiff"
_NOT_OF_CHIPS = (
    *("satimnet:recipe", "satimnet:data_volume", "satimnet:naming_convention"),
    *("satimnet:release_date", "satimnet:attribute_sources", "satimnet:attribute_notes"),
    *("satimnet:class_conversion", "sci:doi", FIELD),
)
"""Fields of the source that are not true of its chips, or tell of such fields."""
_OF_FILES = ("type", "satimnet:member_type", "proj:shape", "classification:classes", "href")
OWN_FIELDS: Mapping[str, Any] = {
    "satimnet:source": "string",
    "satimnet:fold": "integer",
    "chip:item": "string",
    "chip:row": "integer",
    "chip:column": "integer",
}
"""Properties of every chip: where it was cut."""


def record_of(
    options: ChipOptions,
    index: Index,
    *,
    images: Sequence[str],
    masks: Sequence[str],
    annotations: Mapping[str, str],
    other_bands: Mapping[str, Sequence[Sequence[str]]],
    fields: Mapping[str, Any],
    folder: str,
) -> Json:
    """The record of a collection of chips.

    Args:
        options: how they are cut.
        index: the catalog of the source.
        images: keys of the image assets that are cut.
        masks: keys of the masks.
        annotations: keys of the files of objects, with what they are: ``annotation`` or
            ``annotation-lonlat``.
        other_bands: of images, further lists of names of bands that occur.
        fields: types of the properties that Items have from the source.
        folder: the place of a version of the collection.

    Raises:
        SatimnetError: the source says too little of itself.
    """
    home = index.collections[options.collection]
    source = home.document
    start, end = source.interval
    if start is None or end is None:
        raise BadCatalogError(f"{home.href}: its interval is open; chips need both ends")
    rows, columns = options.size
    classes = _classes(index, source)
    assets: Json = {
        key: _raster(source, key, options, other_bands.get(key, ())) for key in (*images, *masks)
    }
    for key, kind in annotations.items():
        given = source.json["item_assets"][key]
        assets[key] = {
            **_own(given),
            "title": given.get("title", key),
            "type": "application/geo+json",
            "derive": kind,
        }
    return {
        "id": options.id,
        "title": f"{source.title}: chips of {rows} x {columns} pixels",
        "description": _description(options, source),
        "license": source.license,
        "keywords": list(dict.fromkeys(["training data", "chips", *source.keywords])),
        "providers": _providers(source),
        "links": [*_links(source), *_derived(home, folder)],
        "layout": "chips of another collection",
        "bbox": list(source.box),
        "start_datetime": start,
        "end_datetime": end,
        "collection": {
            **{
                key: value
                for key, value in source.json.items()
                if key.startswith(("satimnet:", "sci:")) and key not in _NOT_OF_CHIPS
            },
            **({FIELD: [task.name for task in source.tasks]} if source.tasks else {}),
            "satimnet:recipe": {"text": options.text, "sha256": options.digest, "layers": []},
        },
        "classes": classes,
        "concepts": _concepts(index, classes),
        "fields": {**fields, **OWN_FIELDS},
        "properties": {},
        "assets": assets,
    }


def _description(options: ChipOptions, source: CollectionDocument) -> str:
    rows, columns = options.size
    down, across = options.overlap
    text = f"Chips of {rows} x {columns} pixels, cut of the images of {source.title}"
    text += f" with an overlap of {down} rows and {across} columns." if down or across else "."
    text += (
        " The last chip of a row or column ends with its image; beyond smaller images there are "
        f"zeros. An object is kept if at least {options.min_inside:.0%} of its area lies in a chip;"
        " it is cut at the edge, and says so."
    )
    if options.keep_empty < 1:
        text += f" Of chips without an object or a class {options.keep_empty:.1%} are kept, drawn"
        text += f" with the seed {options.seed}."
    return f"{text}\n\n{source.description}"


def _own(asset: Json) -> Json:
    return {key: value for key, value in asset.items() if key not in _OF_FILES}


def _raster(
    source: CollectionDocument,
    key: str,
    options: ChipOptions,
    other_bands: Sequence[Sequence[str]],
) -> Json:
    """The asset of images or masks."""
    given = source.json["item_assets"][key]
    if source.item_assets[key].data_type is None:
        raise BadCatalogError(
            f"{source.id}: its collection.json does not say the data type of {key}; build the "
            "collection again"
        )
    made = {
        **_own(given),
        "title": given.get("title", key),
        "type": _TIFF,
        "shape": list(options.size),
        "processing:lineage": "cut out of the images of the source, pixel by pixel",
    }
    if other_bands:
        made["other_bands"] = [[{"name": name} for name in names] for names in other_bands]
    if "classification:classes" in given:
        made["classes"] = given["classification:classes"]
    return made


def _classes(index: Index, source: CollectionDocument) -> list[Json]:
    """The class table, with the concepts that the catalog maps them to."""
    rows = source.class_table
    if not rows:
        raise ArgumentError(f"{source.id}: has no class table; chips need one", "collection")
    if any(row.get("value") is None for row in rows):
        raise BadCatalogError(f"{source.id}: a class has no value; build the collection again")
    try:
        mapped = {m.name: m.concept for m in index.scheme.classes if m.collection == source.id}
    except SatimnetError:  # a catalog without a metalayer
        mapped = {}
    if not all(row["name"] in mapped for row in rows):
        return [dict(row) for row in rows]
    return [{**row, "concept": mapped[row["name"]]} for row in rows]


def _concepts(index: Index, classes: Sequence[Json]) -> list[Json]:
    """The concepts that a dataset of the catalog has added, as far as the classes need them."""
    base = scheme_of().concepts
    found: dict[str, Json] = {}
    for row in classes:
        id_ = row.get("concept")
        while id_ is not None and id_ not in base and id_ not in found:
            concept = index.scheme.concepts[id_]
            made = {"id": id_, "label": concept.label, "broader": concept.broader}
            made |= {"alternatives": list(concept.alternatives), "hidden": list(concept.hidden)}
            made |= {"definition": concept.definition}
            found[id_] = {key: value for key, value in made.items() if value}
            id_ = concept.broader
    return list(found.values())


def _providers(source: CollectionDocument) -> list[Json]:
    """Those of the source, but not as hosts: they do not host the chips."""
    rows = []
    for row in source.providers():
        roles = [role for role in row.get("roles", ()) if role != "host"]
        if roles or not row.get("roles"):
            rows.append({**row, "roles": roles} if roles else dict(row))
    return rows


def _links(source: CollectionDocument) -> list[Json]:
    return [
        {key: link[key] for key in ("rel", "href", "type", "title") if key in link}
        for rel in ("license", "about", "cite-as")
        for link in source.links(rel)
        if is_url(link["href"])
    ]


def _derived(home: IndexedCollection, folder: str) -> list[Json]:
    """The link to the source, but for one of this machine from an object store."""
    if is_url(folder) and not is_url(home.href):
        return []
    return [
        {
            "rel": "derived_from",
            "href": relative(public(home.href, home.href), folder),
            "type": "application/json",
            "title": home.document.title,
        }
    ]
