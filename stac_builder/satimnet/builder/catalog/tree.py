"""The tree of a collection: the links of ``collection.json`` and the nodes below it.

All links are relative, so the tree works on any static host and can be moved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from satimnet.builder.catalog.checked_documents import STAC_VERSION, title_of
from satimnet.builder.catalog.geoparquet import PARQUET_NAME, PARQUET_TYPE
from satimnet.builder.catalog.item_pages import ItemFiles, page_name
from satimnet.builder.catalog.items import TOP
from satimnet.builder.catalog.parquet_writing import part_name
from satimnet.builder.storage.atomic_files import json_bytes
from satimnet.builder.types import Json

_JSON_TYPE = "application/json"


def with_links(
    collection: Json,
    nodes: Mapping[tuple[str, ...], Sequence[str]],
    files: ItemFiles = "json",
    indexes: int = 1,
) -> Json:
    """The Collection with the links and the index that it has in the folder of its version.

    Args:
        collection: JSON of the Collection.
        nodes: Ids of the Items by the level of the tree where they lie.
        files: How the tree shows Items.
        indexes: How many files its rows are in.
    """
    links = [
        _link("root", TOP),
        _link("parent", TOP),
        *_children((), nodes, files),
        *collection["links"],
    ]
    assets = {}
    for at in range(indexes):
        title = "All items as stac-geoparquet"
        assets["geoparquet-items" if at == 0 else f"geoparquet-items-{at:05d}"] = {
            "href": f"./{part_name(PARQUET_NAME, at)}",
            "type": PARQUET_TYPE,
            "title": title if indexes == 1 else f"{title}, file {at + 1} of {indexes}",
            "roles": ["collection-mirror"],
        }
    assets |= collection.get("assets", {})
    return collection | {"links": links, "assets": assets}


def write_nodes(
    collection: Json,
    nodes: Mapping[tuple[str, ...], Sequence[str]],
    folder: Path,
    files: ItemFiles = "json",
) -> None:
    """Writes the ``catalog.json`` of each node below a Collection.

    The files are written without a flush, so nobody may read the folder yet. Arguments are as of
    `with_links`; ``folder`` is that of the collection's version.
    """
    title = title_of(collection)
    for level in sorted({node[:depth] for node in nodes for depth in range(1, len(node) + 1)}):
        parent = "../catalog.json" if len(level) > 1 else "../collection.json"
        node: Json = {
            "type": "Catalog",
            "stac_version": STAC_VERSION,
            "id": "-".join((collection["id"], *level)),
            "title": level[-1],
            "description": f"{' / '.join(level)} of {title}",
            "links": [
                _link("root", "../" * len(level) + TOP),
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


def _link(rel: str, href: str, title: str | None = None, media_type: str = _JSON_TYPE) -> Json:
    return {"rel": rel, "href": href, "type": media_type} | ({"title": title} if title else {})
