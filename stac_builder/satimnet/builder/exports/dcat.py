"""DCAT and schema.org: a catalog and its collections for data portals and search engines.

DCAT 3 (https://www.w3.org/TR/vocab-dcat-3/) in JSON-LD, and schema.org's ``DataCatalog`` for the
head of a web page (https://developers.google.com/search/docs/appearance/structured-data/dataset).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from satimnet.builder.catalog.checked_documents import title_of
from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.exports.croissant import described
from satimnet.builder.exports.geo_croissant import coverage
from satimnet.builder.exports.item_batches import row_count
from satimnet.builder.exports.links import Links, licence_urls
from satimnet.builder.imagery.lonlat import flat, spans
from satimnet.builder.query.index import Index, IndexedCollection
from satimnet.builder.storage.objects import size_of
from satimnet.builder.types import Json

_CONTEXT: Json = {
    "dcat": "http://www.w3.org/ns/dcat#",
    "dct": "http://purl.org/dc/terms/",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "geo": "http://www.opengis.net/ont/geosparql#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
_MEDIA_TYPES = "https://www.iana.org/assignments/media-types/"


def dcat(index: Index, collections: Sequence[IndexedCollection], links: Links) -> Json:
    """A ``dcat:Catalog`` with a ``dcat:Dataset`` for each collection.

    Links to files on this disk are relative to where the document lies.
    """
    return {
        "@context": _CONTEXT,
        "@id": links.to(index.href),
        "@type": "dcat:Catalog",
        "dct:title": _english(title_of(index.document)),
        "dct:description": _english(index.document["description"]),
        "dcat:dataset": [_dataset(collection, links) for collection in collections],
    }


def data_catalog(index: Index, collections: Sequence[IndexedCollection], links: Links) -> Json:
    """schema.org's ``DataCatalog`` with a ``Dataset`` for each collection."""
    return {
        "@context": "https://schema.org/",
        "@type": "DataCatalog",
        "@id": links.to(index.href),
        "name": title_of(index.document),
        "description": index.document["description"],
        "dataset": [_schema_org(collection, links) for collection in collections],
    }


# --- DCAT -----------------------------------------------------------------------------------------


def _dataset(collection: IndexedCollection, links: Links) -> Json:
    document = collection.document
    dataset: Json = {
        "@id": links.to(collection.href),
        "@type": "dcat:Dataset",
        "dct:identifier": document.id,
        "dct:title": _english(document.title),
        "dct:description": _english(document.description.strip()),
        "dcat:keyword": [_english(word) for word in document.keywords],
        "dct:creator": _agents(document, "producer"),
        "dct:publisher": _agents(document, "host")[:1] or _agents(document, "licensor")[:1],
        "dct:license": [{"@id": url} for url in licence_urls(document)],
        "dct:issued": _typed(document.json.get("satimnet:release_date"), "date"),
        "dct:bibliographicCitation": document.json.get("sci:citation"),
        "dct:isReferencedBy": [{"@id": f"https://doi.org/{doi}"} for doi in document.dois],
        "dcat:landingPage": [{"@id": url} for url in [document.home] if url],
        "dct:spatial": _place(document),
        "dct:temporal": _period(document),
        "dct:extent": f"{row_count(collection)} samples",
        "dcat:theme": [{"@id": url} for url in _themes(document)],
        "dcat:distribution": _distributions(collection, links),
    }
    return {key: value for key, value in dataset.items() if value}


def _distributions(collection: IndexedCollection, links: Links) -> list[Json]:
    files = [
        ("STAC Collection", collection.href, "application/json"),
        *(
            ("All samples as stac-geoparquet", href, "application/vnd.apache.parquet")
            for href in collection.parquets
        ),
    ]
    return [
        {
            "@type": "dcat:Distribution",
            "dct:title": _english(title),
            "dcat:accessURL": {"@id": links.to(collection.href)},
            "dcat:downloadURL": {"@id": links.to(href)},
            "dcat:mediaType": {"@id": _MEDIA_TYPES + kind},
        }
        | {"dcat:byteSize": _typed(size_of(href), "integer")}
        for title, href, kind in files
    ]


def _agents(collection: CollectionDocument, role: str) -> list[Json]:
    return [
        {"@type": "foaf:Agent", "foaf:name": provider["name"]}
        | ({"foaf:homepage": {"@id": provider["url"]}} if "url" in provider else {})
        for provider in collection.providers(role)
    ]


def _place(collection: CollectionDocument) -> Json:
    west, south, east, north = flat(collection.box)
    rings = []
    for w, e in spans(west, east):
        corners = [(w, south), (e, south), (e, north), (w, north), (w, south)]
        rings.append("((" + ", ".join(f"{x} {y}" for x, y in corners) + "))")
    text = f"POLYGON{rings[0]}" if len(rings) == 1 else f"MULTIPOLYGON({', '.join(rings)})"
    box = {"@type": "geo:wktLiteral", "@value": text}
    return {"@type": "dct:Location", "dcat:bbox": box}


def _period(collection: CollectionDocument) -> Json:
    start, end = collection.interval
    period: Json = {"@type": "dct:PeriodOfTime"}
    for key, time in (("dcat:startDate", start), ("dcat:endDate", end)):
        if time:
            period[key] = _typed(time, "dateTime")
    return period


def _themes(collection: CollectionDocument) -> list[str]:
    """URIs of the concepts that a collection has."""
    return [
        f"{theme['scheme']}#{concept['id']}"
        for theme in collection.json.get("themes", ())
        for concept in theme["concepts"]
    ]


def _english(text: str) -> Json:
    return {"@language": "en", "@value": text}


def _typed(value: Any, kind: str) -> Json | None:
    return None if value is None else {"@type": f"xsd:{kind}", "@value": str(value)}


# --- schema.org -----------------------------------------------------------------------------------


def _schema_org(collection: IndexedCollection, links: Links) -> Json:
    document = collection.document
    said = described(document)
    said["name"], said["alternateName"] = document.title, document.id
    cited = said.pop("citeAs", None)
    if citation := document.json.get("sci:citation") or cited:
        said["citation"] = citation
    for role in ("creator", "publisher"):
        said[role] = [agent | {"@type": "Organization"} for agent in said.get(role, ())]
    return {
        "@type": "Dataset",
        "@id": links.to(collection.href),
        **said,
        **coverage(document),
        "variableMeasured": [row.name for row in document.classes],
        "distribution": [
            {
                "@type": "DataDownload",
                "name": "All samples as stac-geoparquet",
                "contentUrl": links.to(collection.parquet),
                "encodingFormat": "application/vnd.apache.parquet",
            }
        ],
    }
