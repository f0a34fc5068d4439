"""The tree of a catalog: ``catalog.json``, ``collection.json`` and the nodes below them.

All links are relative, so the tree works on any static host and can be moved.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from satimnet.builder.catalog import checked_documents as documents
from satimnet.builder.catalog.checked_documents import STAC_VERSION, title_of
from satimnet.builder.catalog.geoparquet import PARQUET_NAME, PARQUET_TYPE
from satimnet.builder.catalog.item_pages import ItemFiles, page_name
from satimnet.builder.errors import CatalogWarning, SatimnetError
from satimnet.builder.storage.atomic_files import json_bytes, write_json
from satimnet.builder.types import Json
from satimnet.builder.vocabulary.skos import CONCEPTS_NAME

ROOT_ID = "satimnet"
"""Id of the catalogs that `write_root` writes; no other is written over."""


_GLOSSARY = {
    "rel": "glossary",
    "href": f"./{CONCEPTS_NAME}",
    "type": "application/ld+json",
    "title": "Concepts that the classes of all collections are mapped to (SKOS)",
}

_JSON_TYPE = "application/json"


def write_collection(
    collection: Json,
    nodes: Mapping[tuple[str, ...], Sequence[str]],
    folder: Path,
    files: ItemFiles = "json",
) -> None:
    """Writes ``collection.json`` and the short tree below it.

    The files are written without a flush, so nobody may read the folder yet.

    Args:
        collection: JSON of the Collection.
        nodes: Ids of the Items by the level of the tree where they lie.
        folder: Folder of the collection.
        files: How the tree shows Items.
    """
    title = title_of(collection)
    links = [
        _link("root", "../catalog.json"),
        _link("parent", "../catalog.json"),
        *_children((), nodes, files),
        *collection["links"],
    ]
    asset = {
        "href": f"./{PARQUET_NAME}",
        "type": PARQUET_TYPE,
        "title": "All items as stac-geoparquet",
        "roles": ["collection-mirror"],
    }
    assets = {"geoparquet-items": asset, **collection.get("assets", {})}
    whole = collection | {"links": links, "assets": assets}
    (folder / "collection.json").write_bytes(json_bytes(whole))
    for level in sorted({node[:depth] for node in nodes for depth in range(1, len(node) + 1)}):
        up = "../" * len(level)
        parent = "../catalog.json" if len(level) > 1 else "../collection.json"
        node: Json = {
            "type": "Catalog",
            "stac_version": STAC_VERSION,
            "id": "-".join((collection["id"], *level)),
            "title": level[-1],
            "description": f"{' / '.join(level)} of {title}",
            "links": [
                _link("root", f"{up}../catalog.json"),
                _link("parent", parent),
                *_children(level, nodes, files),
            ],
        }
        path = folder.joinpath(*level, "catalog.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(json_bytes(node))


def _children(
    level: tuple[str, ...], nodes: Mapping[tuple[str, ...], Sequence[str]], files: ItemFiles
) -> list[Json]:
    depth = len(level)
    below = sorted({node[depth] for node in nodes if len(node) > depth and node[:depth] == level})
    links = [_link("child", f"./{name}/catalog.json", name) for name in below]
    ids = nodes.get(level, ())
    if files == "pages" and ids:
        return [*links, _link("items", f"./{page_name(0)}", "Items", "application/geo+json")]
    if files == "json":
        links += [_link("item", f"./{id_}.json", id_, "application/geo+json") for id_ in ids]
    return links


def write_root(catalog: Path) -> None:
    """Writes the ``catalog.json`` that links all collections in the folder ``catalog``.

    A collection that cannot be read is left out, with a `CatalogWarning`.
    """
    collections: dict[str, Json] = {}
    for path in sorted(catalog.glob("*/collection.json")):
        try:
            content = documents.collection(documents.read(str(path)), str(path))
            collections[path.parent.name] = content
        except SatimnetError as error:
            warnings.warn(CatalogWarning(f"{error}; left out of catalog.json"), stacklevel=2)
    titles = {name: title_of(collection) for name, collection in collections.items()}
    root: Json = {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": ROOT_ID,
        "title": "SatImNet: harmonised training data for satellite-image classification",
        "description": "Open training sets under one attribute schema, packed into zip shards: "
        + ", ".join(titles.values())
        + ".",
        "links": [
            _link("root", "./catalog.json"),
            *(_link("child", f"./{name}/collection.json", title) for name, title in titles.items()),
            *([_GLOSSARY] if (catalog / CONCEPTS_NAME).exists() else []),
        ],
    }
    write_json(root, catalog / "catalog.json")


def _link(rel: str, href: str, title: str | None = None, media_type: str = _JSON_TYPE) -> Json:
    return {"rel": rel, "href": href, "type": media_type} | ({"title": title} if title else {})
