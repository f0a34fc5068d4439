"""Collections and Items as they look from outside: with links of the API and hrefs that are served.

Below ``/plain`` the members of shards have URLs of their own.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from satimnet.builder.query.index import Index, IndexedCollection
from satimnet.builder.query.stac_api import GEOJSON, QUERYABLES_REL
from satimnet.builder.server.thumbnails import has_picture
from satimnet.builder.storage.assets import take_member
from satimnet.builder.storage.hrefs import SEALED, folder_at, is_url, join, public
from satimnet.builder.types import Json

PLAIN = "/plain"
"""The path of the API for programs that know files and no archives."""


class ServedDocuments:
    """The documents of one catalog; ``root`` is always the URL of the API that is asked."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._folder = folder_at(index.href)

    def _lies_inside(self, href: str) -> bool:
        return href.startswith(f"{self._folder}/") and not is_url(self._index.href)

    def _published(self, href: str, root: str, below: str = "catalog") -> str | None:
        """The URL of a file of the catalog or on the web; None for any other of this machine.

        What may be secret in the URL of the catalog stays here.
        """
        if is_url(href):
            return public(href, self._index.href)
        if not self._lies_inside(href):
            return None
        path = quote(href.removeprefix(self._folder))
        return f"{root.removesuffix(PLAIN)}/{below}{path}"

    def other_links(self, links: Any, base: str, root: str) -> list[Json]:
        """The links of a document that are not those of the tree."""
        tree = {"root", "self", "parent", "collection", "child", "item", "items"}
        tree |= {"first", "prev", "next", "last"}
        return [
            link | {"href": href}
            for link in links
            if link["rel"] not in tree
            and (href := self._published(join(link["href"], base), root)) is not None
        ]

    def collection(self, collection: IndexedCollection, root: str) -> Json:
        """A Collection as the API has it."""
        here = collection_url(collection.id, root)
        top, title = self._index.document.get("title"), collection.document.json.get("title")
        links = [
            link("self", here, title=title),
            link("root", f"{root}/", title=top),
            link("parent", f"{root}/", title=top),
            link("items", f"{here}/items", GEOJSON, "Items"),
            link(QUERYABLES_REL, f"{here}/queryables", "application/schema+json", "Queryables"),
            *self.other_links(collection.document.json.get("links", ()), collection.href, root),
        ]
        assets = {
            key: asset | {"href": href}
            for key, asset in collection.document.json.get("assets", {}).items()
            if (href := self._published(join(asset["href"], collection.href), root)) is not None
        }
        document = {k: v for k, v in collection.document.json.items() if k != SEALED}
        return document | {"links": links, "assets": assets}

    def item(self, item: Json, root: str) -> Json:
        """The Item with links of the API and a picture, and those of its assets that are served."""
        shown = has_picture(item)
        for key, asset in list(item.get("assets", {}).items()):
            href, archive = asset["href"], asset.get("archive") or [{}]
            if root.endswith(PLAIN) and self._lies_inside(href) and "range" in archive[0]:
                entry = take_member(asset)
                first, last = entry["range"]
                shard = self._published(href, root, f"members/{first}-{last}")
                name = quote(entry["href"].rpartition("/")[2], safe="")
                asset |= {"href": f"{shard}/{name}", "type": entry["type"]}
            elif place := self._published(href, root):
                asset["href"] = place
            else:
                del item["assets"][key]
        if "links" in item and "collection" in item and "id" in item:
            collection = collection_url(item["collection"], root)
            id_ = quote(item["id"], safe="")
            picture = f"{root}/thumbnails/{quote(item['collection'], safe='')}/{id_}.png"
            item["links"] = [
                link("self", f"{collection}/items/{id_}", GEOJSON),
                link("root", f"{root}/"),
                link("parent", collection),
                link("collection", collection),
                *self.other_links(item["links"], "", root),
                *([link("preview", picture, "image/png")] if shown else []),
            ]
        return item


def collection_url(name: str, root: str) -> str:
    """The URL of a Collection."""
    return f"{root}/collections/{quote(name, safe='')}"


def link(
    rel: str, href: str, media_type: str = "application/json", title: str | None = None
) -> Json:
    """A link as STAC has it."""
    return {"rel": rel, "href": href, "type": media_type} | ({"title": title} if title else {})
