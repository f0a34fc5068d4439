"""MLCommons Croissant: JSON-LD of a collection for dataset search engines and loaders.

The format is https://docs.mlcommons.org/croissant/docs/croissant-spec.html (1.0); the terms for how
the data were made are https://docs.mlcommons.org/croissant/docs/croissant-rai-spec.html. The files
are ``items.parquet`` and the shards; the members of the shards are file sets, by their types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.catalog.parquet_writing import part_name
from satimnet.builder.errors import NotFoundError, StorageError
from satimnet.builder.exports.citations import bibtex
from satimnet.builder.exports.item_batches import asset_keys, column_names, shards_of
from satimnet.builder.exports.links import Links, licence_urls
from satimnet.builder.progress import Progress, silent
from satimnet.builder.query.index import IndexedCollection
from satimnet.builder.storage.digests import sha256_of
from satimnet.builder.storage.hrefs import is_url, is_web
from satimnet.builder.types import Json

COLLECTION = "satimnet:collection"
"""The term that has what the Collection says of the dataset: Croissant has no words for most."""
_CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
_ITEMS = "items.parquet"
_SPLITS = {
    "train": "cr:TrainingSplit",
    "validation": "cr:ValidationSplit",
    "test": "cr:TestSplit",
}
# As in the specification's appendix, with its RAI vocabulary.
_CONTEXT: Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "satimnet": "https://satimnet.github.io/stac-extension/",
    COLLECTION: {"@type": "@json"},
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_ENDINGS = {
    "image/jpeg": ("*.jpg", "*.jpeg"),
    "image/png": ("*.png",),
    "image/tiff": ("*.tif", "*.tiff"),
    "application/geo+json": ("*.geojson",),
    "application/json": ("*.json",),
    "text/csv": ("*.csv",),
    "text/plain": ("*.txt",),
}


def croissant(collection: IndexedCollection, links: Links, progress: Progress = silent) -> Json:
    """A collection in Croissant 1.0; every file is read once, for its checksum.

    Raises:
        NotFoundError: a shard is missing.
        StorageError: a shard cannot be read.
    """
    document = collection.document
    shards = shards_of(collection)
    hashes: dict[str, tuple[str, int]] = {}
    files = [*collection.parquets, *shards]
    progress(f"Hashing {collection.id}", 0, len(files), "files")
    for done, href in enumerate(files, 1):
        hashes[href] = _hashed(href)
        progress(f"Hashing {collection.id}", done, len(files), "files")
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": _CONFORMS_TO,
        **described(document),
        **_responsible(document),
        COLLECTION: _said_of_the_dataset(document),
        "distribution": [
            *(
                _file(part_name(_ITEMS, at), href, "application/x-parquet", hashes, links)
                for at, href in enumerate(collection.parquets)
            ),
            *(_file(_shard_id(href), href, "application/zip", hashes, links) for href in shards),
            *_file_sets(document, shards),
        ],
        "recordSet": [
            _classes(document),
            *_splits(document),
            _items(collection),
        ],
    }


def described(document: CollectionDocument) -> Json:
    """The fields of schema.org's Dataset for a collection, but for its files."""
    described: Json = {
        "name": document.id,
        "alternateName": document.json.get("title"),
        "description": document.description.strip(),
        "license": licence_urls(document),
        "url": document.home,
        "keywords": document.keywords,
        "datePublished": document.json.get("satimnet:release_date"),
        "sameAs": [f"https://doi.org/{doi}" for doi in document.dois[:1]],
        "citeAs": bibtex(document).strip(),
        "creator": _providers(document, "producer"),
        "publisher": _providers(document, "host") or _providers(document, "licensor"),
    }
    return {key: value for key, value in described.items() if value}


def _providers(collection: CollectionDocument, role: str) -> list[Json]:
    return [
        {"@type": "sc:Organization", "name": p["name"]} | ({"url": p["url"]} if "url" in p else {})
        for p in collection.providers(role)
    ]


def _said_of_the_dataset(document: CollectionDocument) -> Json:
    """The Collection without what leads into its catalog, so that no attribute gets lost."""
    kept = {key: value for key, value in document.json.items() if key not in ("assets", "links")}
    inside = ("root", "parent", "self", "child", "item", "items", "collection")
    links = [link for link in document.json["links"] if link["rel"] not in inside]
    return {**kept, "links": [link for link in links if is_url(str(link["href"]))]}


def _responsible(collection: CollectionDocument) -> Json:
    """How the data were made, in the terms of Croissant's RAI vocabulary."""
    fields = collection.json
    methods = fields.get("satimnet:annotation_method", [])
    protocol = [", ".join(methods), fields.get("satimnet:annotation_description")]
    lineages = {asset.lineage for asset in collection.item_assets.values()}
    said: Json = {
        "rai:dataCollection": fields.get("satimnet:original_imagery"),
        "rai:dataCollectionTimeframe": [time for time in collection.interval if time],
        "rai:dataAnnotationProtocol": [text for text in protocol if text],
        "rai:dataAnnotationAnalysis": fields.get("satimnet:verification_method"),
        "rai:dataPreprocessingProtocol": sorted(text for text in lineages if text),
        "rai:dataUseCases": [
            *fields.get("satimnet:classification_problem", ()),
            *(task.name for task in collection.tasks),
            *filter(None, [fields.get("satimnet:intended_application")]),
        ],
    }
    return {key: value for key, value in said.items() if value}


# --- files ----------------------------------------------------------------------------------------


_Hashes = Mapping[str, tuple[str, int]]
"""The SHA-256 and the size of each file."""


def _hashed(href: str) -> tuple[str, int]:
    try:
        return sha256_of(href)
    except (NotFoundError, StorageError) as error:
        raise type(error)(f"{error}; validate the catalog") from error


def _shard_id(href: str) -> str:
    name = (href.partition("?")[0] if is_web(href) else href).rpartition("/")[2]
    return f"shards/{unquote(name) if is_web(href) else name}"


def _file(id_: str, href: str, kind: str, hashes: _Hashes, links: Links) -> Json:
    sha256, size = hashes[href]
    return {
        "@type": "cr:FileObject",
        "@id": id_,
        "name": id_,
        "contentUrl": links.to(href),
        "contentSize": f"{size} B",
        "encodingFormat": kind,
        "sha256": sha256,
    }


def _file_sets(collection: CollectionDocument, shards: Sequence[str]) -> list[Json]:
    """The members of the shards, by their types; mlcroissant reads no ``excludes``."""
    kinds = {asset.member_type or "" for asset in collection.item_assets.values()}
    return [
        {
            "@type": "cr:FileSet",
            "@id": f"members/{kind}",
            "name": f"members/{kind}",
            "description": f"Members of the shards that are {kind}",
            "containedIn": [{"@id": _shard_id(href)} for href in shards],
            "encodingFormat": kind,
            "includes": list(_ENDINGS[kind]),
        }
        for kind in sorted({kind.partition(";")[0] for kind in kinds} & _ENDINGS.keys())
    ]


# --- records --------------------------------------------------------------------------------------


def _classes(collection: CollectionDocument) -> Json:
    rows = collection.class_table
    kinds = {"name": "sc:Text", "value": "sc:Integer", "title": "sc:Text", "description": "sc:Text"}
    known = {key: kind for key, kind in kinds.items() if all(key in row for row in rows)}
    return _enumeration("classes", "The class table: names, and their values in masks", known, rows)


def _splits(collection: CollectionDocument) -> list[Json]:
    names = collection.summary("satimnet:split")
    rows = [{"name": name, "url": _SPLITS[name]} for name in names if name in _SPLITS]
    if not rows:
        return []
    record_set = _enumeration(
        "splits", "The publisher's splits", {"name": "sc:Text", "url": "sc:URL"}, rows
    )
    return [record_set | {"dataType": "cr:Split"}]


def _enumeration(
    id_: str, description: str, kinds: Mapping[str, str], rows: Sequence[Mapping[str, Any]]
) -> Json:
    return {
        "@type": "cr:RecordSet",
        "@id": id_,
        "name": id_,
        "description": description,
        "dataType": "sc:Enumeration",
        "key": {"@id": f"{id_}/name"},
        "field": [
            {"@type": "cr:Field", "@id": f"{id_}/{key}", "name": key, "dataType": kind}
            for key, kind in kinds.items()
        ],
        "data": [{f"{id_}/{key}": row[key] for key in kinds} for row in rows],
    }


def _items(collection: IndexedCollection) -> Json:
    there = set(column_names(collection))
    fields = [
        _field("id", "sc:Text", "id", description="Id of the STAC Item"),
        _field("datetime", "sc:DateTime", "datetime", description="Time of acquisition"),
        # Without "references" to the class table: mlcroissant 1.1 cannot join by a repeated field.
        _field("classes", "sc:Text", "satimnet:classes", description="Classes that are present")
        | {"repeated": True},
        _field("split", "sc:Text", "satimnet:split", description="The publisher's split")
        | {"references": {"field": {"@id": "splits/name"}}},
    ]
    shown = [f for f in fields if f["source"]["extract"]["column"] in there]
    for key in asset_keys(collection):
        common = collection.document.item_assets.get(key)
        title = (common and common.title) or key
        for name, kind, path, what in (
            ("shard", "sc:URL", "$.href", "shard, relative to the parquet file"),
            ("member", "sc:Text", "$.archive[0].href", "name within the shard"),
            ("first", "sc:Integer", "$.archive[0].range[0]", "first byte within the shard"),
            ("last", "sc:Integer", "$.archive[0].range[1]", "last byte within the shard"),
        ):
            field = _field(f"{key}_{name}", kind, "assets", description=f"{title}: {what}")
            field["source"]["transform"] = {"jsonPath": path.replace("$", f"$.{key}", 1)}
            shown.append(field)
    return {
        "@type": "cr:RecordSet",
        "@id": "items",
        "name": "items",
        "description": "The samples: classes, split, and where the bytes of each file lie",
        "key": {"@id": "items/id"},
        "field": shown,
    }


def _field(name: str, kind: str, column: str, *, description: str) -> Json:
    return {
        "@type": "cr:Field",
        "@id": f"items/{name}",
        "name": name,
        "description": description,
        "dataType": kind,
        "source": {"fileObject": {"@id": _ITEMS}, "extract": {"column": column}},
    }
