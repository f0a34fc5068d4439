"""MLCommons Croissant: JSON-LD of a collection for dataset search engines and loaders.

The format is https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html; the terms for how
the data were made are https://docs.mlcommons.org/croissant/docs/croissant-rai-spec.html, those of
place and bands are in `satimnet.builder.exports.geo_croissant`. The files are ``items.parquet`` and
the shards; the members of the shards are file sets, by their types.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.catalog.parquet_writing import part_name
from satimnet.builder.errors import NotFoundError, StorageError
from satimnet.builder.exports import geo_croissant
from satimnet.builder.exports.citations import bibtex, licence, year
from satimnet.builder.exports.item_batches import asset_keys, column_names, shards_of
from satimnet.builder.exports.links import Links, licence_urls
from satimnet.builder.exports.picture_files import is_picture, type_of
from satimnet.builder.progress import Progress, silent
from satimnet.builder.query.index import IndexedCollection
from satimnet.builder.storage.digests import sha256_of
from satimnet.builder.storage.hrefs import is_url, is_web
from satimnet.builder.types import Json

COLLECTION = "satimnet:collection"
"""The term that has what the Collection says of the dataset: Croissant has no words for most."""
_CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
_ITEMS = "items.parquet"
_SPLITS = {
    "train": "cr:TrainingSplit",
    "validation": "cr:ValidationSplit",
    "test": "cr:TestSplit",
}
# As in the specification's appendix, with its RAI vocabulary. It has schema.org by http, but
# mlcroissant 1.1 knows its terms by https alone; and it warns where terms of 1.0 are missing, which
# are those at the end.
_CONTEXT: Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "geocr": geo_croissant.NAMESPACE,
    "dct": "http://purl.org/dc/terms/",
    "satimnet": "https://satimnet.github.io/stac-extension/",
    COLLECTION: {"@type": "@json"},
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{
        term: f"cr:{term}"
        for term in (
            *("annotation", "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty"),
            *("excludes", "extract", "field", "fileObject", "fileProperty", "fileSet", "format"),
            *("includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5", "parentField"),
            *("readLines", "recordSet", "references", "regex", "sdVersion", "separator", "source"),
            *("subField", "transform", "unArchive", "value"),
            *("path", "repeated", "replace", "samplingRate"),
        )
    },
}
_WORDS = r"[0-9A-Za-z]+([.-][0-9A-Za-z]+)*"
_VERSION = re.compile(rf"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){{2}}(-{_WORDS})?(\+{_WORDS})?")
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
    """A collection in Croissant 1.1; every file is read once, for its checksum.

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
    geography = geo_croissant.of_dataset(document)
    conforms = [_CONFORMS_TO]
    if geo_croissant.conforms(geography):
        conforms.append(geo_croissant.CONFORMS_TO)
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": conforms,
        **_recommended(document),
        **described(document),
        "version": _version(document.version, hashes[collection.parquet][0]),
        **geo_croissant.coverage(document),
        **geography,
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
            *_pictures(document),
        ],
    }


def _recommended(document: CollectionDocument) -> Json:
    """What Croissant wants of every dataset, where the Collection does not say it as such."""
    found: Json = {"license": {"@type": "sc:CreativeWork", "name": licence(document.json)}}
    if (known := year(document)) is not None:
        found["datePublished"] = known
    return found


def _version(own: str | None, sha256: str) -> str:
    """The version as Semantic Versioning has it: an own one as it stands, else with no number.

    What a build calls a version is a digest, which is build metadata (https://semver.org, 10): the
    number 0.0.0 promises nothing, and the digest tells one state of the data from another.
    """
    if own is not None and _VERSION.fullmatch(own):
        return own
    name = re.sub(r"[^0-9A-Za-z]+", "-", own or sha256[:12]).strip("-")
    return f"0.0.0+{name or sha256[:12]}"


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
        | {"isArray": True},
        _field("split", "sc:Text", "satimnet:split", description="The publisher's split")
        | {"references": {"field": {"@id": "splits/name"}}},
        _field("crs", "sc:Text", "proj:code", description="Reference system of the image")
        | {"equivalentProperty": "geocr:coordinateReferenceSystem"},
        _field("resolution", "sc:Float", "gsd", description="Metres a pixel")
        | {"equivalentProperty": "geocr:spatialResolution"},
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
            if common is not None and name == "member":
                field |= geo_croissant.of_bands(common.bands)
            shown.append(field)
    return {
        "@type": "cr:RecordSet",
        "@id": "items",
        "name": "items",
        "description": "The samples: classes, split, and where the bytes of each file lie",
        "key": {"@id": "items/id"},
        "field": shown,
    }


def _pictures(collection: CollectionDocument) -> list[Json]:
    """The pixels of the members that are pictures, a record set for each of their types.

    mlcroissant opens what it calls an image with Pillow, so other members, such as those with 13
    bands, are reached by their bytes, as ``items`` names them.
    """
    kinds: dict[str, list[bool]] = {}
    for asset in collection.item_assets.values():
        if asset.bands:
            kinds.setdefault(type_of(asset), []).append(is_picture(asset))
    return [
        {
            "@type": "cr:RecordSet",
            "@id": id_,
            "name": id_,
            "description": f"The members that are {kind}: names within the shards, and pixels",
            "key": {"@id": f"{id_}/member"},
            "field": [
                _of_file(f"{id_}/member", kind, "sc:Text", "fullpath"),
                _of_file(f"{id_}/pixels", kind, "sc:ImageObject", "content"),
            ],
        }
        for kind, pictures in sorted(kinds.items())
        if all(pictures) and kind in _ENDINGS
        for id_ in [f"pictures/{kind.rpartition('/')[2]}"]
    ]


def _of_file(id_: str, kind: str, data_type: str, what: str) -> Json:
    return {
        "@type": "cr:Field",
        "@id": id_,
        "name": id_.rpartition("/")[2],
        "dataType": data_type,
        "source": {
            "fileSet": {"@id": f"members/{kind}"},
            "extract": {"fileProperty": what},
        },
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
