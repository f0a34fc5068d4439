"""The endpoints of the server: what each URL of the STAC API answers about one catalog."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from pyproj import CRS
from pyproj.exceptions import CRSError
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from satimnet.builder.errors import NotFoundError
from satimnet.builder.exports.dcat import data_catalog
from satimnet.builder.exports.links import Links
from satimnet.builder.query import stac_api
from satimnet.builder.query.index import Index
from satimnet.builder.query.stac_api import GEOJSON, QUERYABLES_REL, Api
from satimnet.builder.server.aggregations import (
    AGGREGATE_REL,
    AGGREGATIONS_REL,
    aggregate,
    aggregations,
)
from satimnet.builder.server.json_messages import body_of, json_response, parameters_of, root_of
from satimnet.builder.server.openapi import OPENAPI_TYPE, openapi
from satimnet.builder.server.people_pages import wants_page
from satimnet.builder.server.served_documents import PLAIN, ServedDocuments, collection_url, link
from satimnet.builder.server.thumbnails import thumbnail
from satimnet.builder.storage.hrefs import folder_at, is_url
from satimnet.builder.types import Json

T = TypeVar("T")

_PAGE = 50  # Items where nobody says how many
_FEATURES = "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf"
_FILTERS = "http://www.opengis.net/spec/ogcapi-features-3/1.0/conf"
_STAC_API = "https://api.stacspec.org/v1.0.0"
CONFORMS_TO = [
    *stac_api.CONFORMS_TO,
    *(f"{_FEATURES}/{name}" for name in ("core", "geojson", "oas30")),
    *(f"{_FILTERS}/{name}" for name in ("filter", "features-filter", "queryables")),
    f"{_STAC_API}/ogcapi-features",
    *(f"{_STAC_API}/ogcapi-features#{name}" for name in ("fields", "filter", "sort")),
    "https://api.stacspec.org/v1.0.0-rc.1/ogcapi-features#free-text",
    "https://api.stacspec.org/v0.3.0/aggregation",
]
"""What holds of the answers of this server."""


class Endpoints:
    """The answers about one catalog.

    Args:
        index: the open catalog.
        browser: folder of a built STAC Browser, if there is one.
    """

    def __init__(self, index: Index, browser: Path | None) -> None:
        self._index = index
        self._folder = folder_at(index.href)
        self._browser = browser
        self._documents = ServedDocuments(index)
        self._api = Api(index, _PAGE, self._documents.item)
        # Questions wait here for each other, so that they leave threads for the files.
        self._limiter = CapacityLimiter(8)
        self._lookups = CapacityLimiter(4)  # of single things, which no search holds up
        self._painters = CapacityLimiter(2)

    # --- pages ---

    async def landing(self, request: Request) -> Response:
        """The catalog with links to all that can be asked; to people, STAC Browser."""
        root = root_of(request)
        if self._browser is not None and wants_page(request):
            return RedirectResponse(f"{root.removesuffix(PLAIN)}/browser/")
        document = dict(self._index.document)
        links = [
            link("self", f"{root}/", title=document.get("title")),
            link("root", f"{root}/"),
            link("conformance", f"{root}/conformance"),
            link("service-desc", f"{root}/api", OPENAPI_TYPE, "OpenAPI document"),
            link("data", f"{root}/collections"),
            *(
                link("search", f"{root}/search", GEOJSON) | {"method": method}
                for method in ("GET", "POST")
            ),
            link(QUERYABLES_REL, f"{root}/queryables", "application/schema+json"),
            link(AGGREGATIONS_REL, f"{root}/aggregations", title="What can be counted"),
            link(AGGREGATE_REL, f"{root}/aggregate", title="How many items there are"),
            *(
                link("child", collection_url(name, root), title=c.document.json.get("title"))
                for name, c in self._index.collections.items()
            ),
            *self._documents.other_links(
                self._index.document.get("links", ()), self._index.href, root
            ),
        ]
        return json_response(
            dict(self._index.document) | {"conformsTo": CONFORMS_TO, "links": links}
        )

    async def conformance(self, request: Request) -> Response:
        """The standards that hold here."""
        return json_response({"conformsTo": CONFORMS_TO})

    async def openapi(self, request: Request) -> Response:
        """What can be asked, for programs."""
        return json_response(openapi(root_of(request), self._index), OPENAPI_TYPE)

    async def browser_page(self, request: Request) -> Response:
        """The page of STAC Browser; its head tells search engines what the catalog has."""
        assert self._browser is not None
        html = (self._browser / "index.html").read_text()
        base = f"{root_of(request)}/catalog/"
        links = Links(Path(self._folder), base, self._index.href)
        content = data_catalog(self._index, list(self._index.collections.values()), links)
        # no text of a catalog may end the script (HTML, 13.2.5.14)
        script = json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")
        head = f'<script type="application/ld+json">{script}</script></head>'
        return HTMLResponse(html.replace("</head>", head, 1))

    async def browser_config(self, request: Request) -> Response:
        """How STAC Browser is set up."""
        # People who click on an asset expect an image, not a whole shard of them.
        root = root_of(request) + ("" if is_url(self._index.href) else PLAIN)
        title = self._index.document.get("title", self._index.document.get("id"))
        config = {"catalogUrl": f"{root}/", "catalogTitle": title, "itemsPerPage": 24}
        config |= {"searchResultsPerPage": 24, "allowExternalAccess": False}
        # The map shows the thumbnail at first: of COGs it would show the empty parts of tiles, too.
        config |= {"displayOverview": False, "crs": _definitions(self._index)}
        script = f"window.STAC_BROWSER_CONFIG = {json.dumps(config)};\n"
        return Response(script, media_type="text/javascript")

    async def icon(self, request: Request) -> Response:
        """Nothing, which is what every web browser asks for first."""
        return Response(status_code=204)

    async def thumbnail(self, request: Request) -> Response:
        """A small picture of an Item."""
        name, id_ = request.path_params["name"], request.path_params["id"]
        document = await self._look_up(self._found, name, id_)
        picture = await to_thread.run_sync(
            thumbnail, document, self._index.collections[name].document.json, limiter=self._painters
        )
        if picture is None:
            raise NotFoundError(f"Item {id_!r} has nothing that can be shown")
        return Response(picture, headers={"Cache-Control": "max-age=3600"}, media_type="image/png")

    # --- questions ---

    async def collections(self, request: Request) -> Response:
        """All Collections."""
        parameters_of(request, set())
        root = root_of(request)
        found = [
            self._documents.collection(self._api.known(name), root)
            for name in self._index.collections
        ]
        links = [
            link("self", f"{root}/collections"),
            link("root", f"{root}/"),
            link("parent", f"{root}/"),
        ]
        return json_response({"collections": found, "links": links})

    async def collection(self, request: Request) -> Response:
        """One Collection."""
        return json_response(
            self._documents.collection(
                self._api.known(request.path_params["name"]), root_of(request)
            )
        )

    async def items(self, request: Request) -> Response:
        """A page of a Collection's Items."""
        name, root = request.path_params["name"], root_of(request)
        asked = parameters_of(request)
        links = [
            link("self", str(request.url), GEOJSON),
            link("root", f"{root}/"),
            link("collection", collection_url(name, root)),
        ]
        return await self._page(links, self._api.items, name, asked, "GET", root)

    async def item(self, request: Request) -> Response:
        """One Item."""
        name, id_ = request.path_params["name"], request.path_params["id"]
        item = await self._look_up(self._api.item, name, id_, root_of(request))
        return json_response(item, GEOJSON)

    async def search(self, request: Request) -> Response:
        """A page of the Items that fulfil conditions."""
        asked = await body_of(request) if request.method == "POST" else parameters_of(request)
        method = "POST" if request.method == "POST" else "GET"
        root = root_of(request)
        links = [link("self", str(request.url), GEOJSON), link("root", f"{root}/")]
        return await self._page(links, self._api.search, asked, method, root)

    async def queryables(self, request: Request) -> Response:
        """The properties that a filter may use."""
        name = request.path_params.get("name")
        found = await self._look_up(self._api.queryables, root_of(request), name)
        return json_response(found, "application/schema+json")

    async def aggregations(self, request: Request) -> Response:
        """What can be counted."""
        return json_response(aggregations(root_of(request)))

    async def aggregate(self, request: Request) -> Response:
        """How many Items there are of what."""
        asked = parameters_of(request)
        return json_response(await self._run(aggregate, self._api, asked, root_of(request)))

    # --- how they are found ---

    async def _run(self, question: Callable[..., T], *arguments: Any) -> T:
        return await to_thread.run_sync(partial(question, *arguments), limiter=self._limiter)

    async def _look_up(self, question: Callable[..., T], *arguments: Any) -> T:
        return await to_thread.run_sync(partial(question, *arguments), limiter=self._lookups)

    async def _page(
        self, links: list[Json], question: Callable[..., Json], *arguments: Any
    ) -> Response:
        """The answer to a question that may be long, written where it holds nobody up."""

        def write() -> Response:
            page = question(*arguments)
            page["links"] += links
            return json_response(page, GEOJSON)

        return await self._run(write)

    def _found(self, name: str, id_: str) -> Json:
        """An Item with the hrefs that hold on this machine."""
        asked = {"collections": [self._api.known(name).id], "ids": [id_]}
        for item in self._api.found(asked).items(0, 1):
            return item
        raise NotFoundError(f"collection {name} has no Item {id_!r}")


def _definitions(index: Index) -> dict[str, str]:
    """The WKT of every CRS of the Collections, which STAC Browser would ask another host for."""
    summaries = [c.document.summary("proj:code") for c in index.collections.values()]
    codes = {code for found in summaries for code in found if code}
    found = {}
    for code in sorted(codes):
        with suppress(CRSError):  # one that PROJ does not know costs its own images alone
            found[code] = CRS.from_user_input(code).to_wkt("WKT1_GDAL")
    return found
