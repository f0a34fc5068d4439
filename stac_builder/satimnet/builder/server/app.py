"""The web application: which URL gets which answer.

``/`` is the landing page of the STAC API, the catalog's files lie below ``/catalog``, STAC Browser
below ``/browser`` if it was built. Below ``/plain`` there is the same API once more, for programs
that know files and no archives: its assets are members of shards. Nothing is ever written.
"""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import orjson
from anyio import CapacityLimiter, to_thread
from pyproj import CRS
from pyproj.exceptions import CRSError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from satimnet.builder.catalog.tree import PARQUET_TYPE
from satimnet.builder.errors import BadQueryError, NotFoundError, SatimnetError, TooSlowError
from satimnet.builder.exports.dcat import data_catalog
from satimnet.builder.exports.links import Links
from satimnet.builder.query.index import Index
from satimnet.builder.query.stac_api import CONFORMS_TO, GEOJSON, QUERYABLES_REL, Api
from satimnet.builder.server import member_files
from satimnet.builder.server.aggregations import (
    AGGREGATE_REL,
    AGGREGATIONS_REL,
    aggregate,
    aggregations,
)
from satimnet.builder.server.openapi import OPENAPI_TYPE, openapi
from satimnet.builder.server.proxies import BehindProxy, root_path_of
from satimnet.builder.server.static_files import VisibleFiles
from satimnet.builder.server.thumbnails import has_picture, thumbnail
from satimnet.builder.storage.assets import take_member
from satimnet.builder.storage.hrefs import SEALED, is_url, join
from satimnet.builder.types import Json

T = TypeVar("T")

_PLAIN = "/plain"
_PAGE = 50  # Items where nobody says how many
_MOST_BODY = 2**20  # bytes of a question
SECONDS = 10.0
"""How long a search may take, where nobody says."""
_LONGEST_REASON = 1000  # characters
# Beside what is compressed by itself, pixels and tables: nobody asks for these whole.
_COMPRESSED = (
    *DEFAULT_EXCLUDED_CONTENT_TYPES,
    *("image/*", "application/octet-stream", PARQUET_TYPE),
)
_FEATURES = "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf"
_FILTERS = "http://www.opengis.net/spec/ogcapi-features-3/1.0/conf"
_STAC_API = "https://api.stacspec.org/v1.0.0"
_CONFORMS_TO = [
    *CONFORMS_TO,
    *(f"{_FEATURES}/{name}" for name in ("core", "geojson", "oas30")),
    *(f"{_FILTERS}/{name}" for name in ("filter", "features-filter", "queryables")),
    f"{_STAC_API}/ogcapi-features",
    *(f"{_STAC_API}/ogcapi-features#{name}" for name in ("fields", "filter", "sort")),
    "https://api.stacspec.org/v1.0.0-rc.1/ogcapi-features#free-text",
    "https://api.stacspec.org/v0.3.0/aggregation",
]


def create_app(
    catalog: str,
    browser: Path | None = None,
    *,
    root_path: str = "",
    seconds: float = SECONDS,
    allow_outside: bool = False,
) -> Starlette:
    """The application that serves the catalog at a path or URL.

    ``browser`` is the folder of a built STAC Browser, ``root_path`` the path below which a proxy
    has the application, ``seconds`` how long a search may take. ``allow_outside`` is as for
    `Index`. The catalog is served as it is at this moment; a change of it needs a new application.

    Raises:
        SatimnetError: there is no such catalog, no Collection in it, or the root path is none.
    """
    index = Index(catalog, allow_outside=allow_outside)
    index.readable()  # a broken index shows here, not at the first question
    index.seconds = seconds
    served = _Served(index, browser)
    api: list[BaseRoute] = [
        Route("/", served.landing),
        Route("/conformance", served.conformance),
        Route("/api", served.openapi),
        Route("/collections", served.collections),
        Route("/collections/{name}", served.collection),
        Route("/collections/{name}/items", served.items),
        Route("/collections/{name}/items/{id}", served.item),
        Route("/collections/{name}/queryables", served.queryables),
        Route("/queryables", served.queryables),
        Route("/search", served.search, methods=["GET", "POST"]),
        Route("/aggregations", served.aggregations),
        Route("/aggregate", served.aggregate),
        Route("/thumbnails/{name}/{id}.png", served.thumbnail),
    ]
    routes = [*api, Route("/favicon.ico", served.icon)]
    if not is_url(index.href):
        mimetypes.add_type(PARQUET_TYPE, ".parquet")
        mimetypes.add_type(GEOJSON, ".geojson")
        files = VisibleFiles(directory=served.folder)
        routes.append(Mount("/catalog", files))
        routes.append(Route(member_files.ROUTE, partial(member_files.member, files)))
        routes.append(Mount(_PLAIN, routes=api))
    if browser is not None:
        # not the built ones
        routes.append(Route("/browser/", served.browser_page))
        routes.append(Route("/browser/config.js", served.browser_config))
        routes.append(Mount("/browser", VisibleFiles(directory=browser, html=True)))
    allow = Middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["GET", "HEAD", "POST", "OPTIONS"],
        allow_headers=["*"],
        expose_headers=["Accept-Ranges", "Content-Length", "Content-Range", "ETag"],
        max_age=86_400,
    )
    own = {route.path.split("/")[1] for route in routes if isinstance(route, Route | Mount)}
    proxy = Middleware(BehindProxy, root_path=root_path_of(root_path), own=own)
    compress = Middleware(GZipMiddleware, compresslevel=5, exclude_content_types=_COMPRESSED)
    handlers = {SatimnetError: served.refuse, HTTPException: _refuse, Exception: _fail}
    return Starlette(
        routes=routes, middleware=[proxy, allow, compress], exception_handlers=handlers
    )


class _Served:
    """One catalog and the answers about it."""

    def __init__(self, index: Index, browser: Path | None) -> None:
        self._index = index
        self.folder = index.href.rpartition("/")[0]
        more = (folder for one in index.collections.values() for folder in one.bounds.also)
        self._folders = dict.fromkeys((self.folder, *more))
        self._browser = browser
        self._api = Api(index, _PAGE, self._item)
        # Questions wait here for each other, so that they leave threads for the files.
        self._limiter = CapacityLimiter(8)
        self._lookups = CapacityLimiter(4)  # of single things, which no search holds up
        self._painters = CapacityLimiter(2)

    # --- pages ---

    async def landing(self, request: Request) -> Response:
        """The catalog with links to all that can be asked; to people, STAC Browser."""
        root = _root(request)
        wants_page = request.headers.get("accept", "").startswith("text/html")
        if wants_page and self._browser is not None:
            return RedirectResponse(f"{root.removesuffix(_PLAIN)}/browser/")
        links = [
            _link("self", f"{root}/", title=self._index.document.get("title")),
            _link("root", f"{root}/"),
            _link("conformance", f"{root}/conformance"),
            _link("service-desc", f"{root}/api", OPENAPI_TYPE, "OpenAPI document"),
            _link("data", f"{root}/collections"),
            *(
                _link("search", f"{root}/search", GEOJSON) | {"method": method}
                for method in ("GET", "POST")
            ),
            _link(QUERYABLES_REL, f"{root}/queryables", "application/schema+json"),
            _link(AGGREGATIONS_REL, f"{root}/aggregations", title="What can be counted"),
            _link(AGGREGATE_REL, f"{root}/aggregate", title="How many items there are"),
            *(
                _link("child", _collection_url(name, root), title=c.document.get("title"))
                for name, c in self._index.collections.items()
            ),
            *self._others(self._index.document.get("links", ()), self._index.href, root),
        ]
        return _json(dict(self._index.document) | {"conformsTo": _CONFORMS_TO, "links": links})

    async def conformance(self, request: Request) -> Response:
        """The standards that hold here."""
        return _json({"conformsTo": _CONFORMS_TO})

    async def openapi(self, request: Request) -> Response:
        """What can be asked, for programs."""
        return _json(openapi(_root(request), self._index), OPENAPI_TYPE)

    async def browser_page(self, request: Request) -> Response:
        """The page of STAC Browser; its head tells search engines what the catalog has."""
        assert self._browser is not None
        html = (self._browser / "index.html").read_text()
        links = Links(Path(self.folder), f"{_root(request)}/catalog/")
        content = data_catalog(self._index, list(self._index.collections.values()), links)
        # no text of a catalog may end the script (HTML, 13.2.5.14)
        script = json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")
        head = f'<script type="application/ld+json">{script}</script></head>'
        return HTMLResponse(html.replace("</head>", head, 1))

    async def browser_config(self, request: Request) -> Response:
        """How STAC Browser is set up."""
        # People who click on an asset expect an image, not a whole shard of them.
        root = _root(request) + ("" if is_url(self._index.href) else _PLAIN)
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
            thumbnail, document, self._index.collections[name].document, limiter=self._painters
        )
        if picture is None:
            raise NotFoundError(f"Item {id_!r} has nothing that can be shown")
        return Response(picture, headers={"Cache-Control": "max-age=3600"}, media_type="image/png")

    # --- questions ---

    async def collections(self, request: Request) -> Response:
        """All Collections."""
        _parameters(request, set())
        root = _root(request)
        found = [self._collection(name, root) for name in self._index.collections]
        links = [
            _link("self", f"{root}/collections"),
            _link("root", f"{root}/"),
            _link("parent", f"{root}/"),
        ]
        return _json({"collections": found, "links": links})

    async def collection(self, request: Request) -> Response:
        """One Collection."""
        return _json(self._collection(request.path_params["name"], _root(request)))

    async def items(self, request: Request) -> Response:
        """A page of a Collection's Items."""
        name, root = request.path_params["name"], _root(request)
        asked = _parameters(request)
        links = [
            _link("self", str(request.url), GEOJSON),
            _link("root", f"{root}/"),
            _link("collection", _collection_url(name, root)),
        ]
        return await self._page(links, self._api.items, name, asked, "GET", root)

    async def item(self, request: Request) -> Response:
        """One Item."""
        name, id_ = request.path_params["name"], request.path_params["id"]
        item = await self._look_up(self._api.item, name, id_, _root(request))
        return _json(item, GEOJSON)

    async def search(self, request: Request) -> Response:
        """A page of the Items that fulfil conditions."""
        asked = await _body(request) if request.method == "POST" else _parameters(request)
        method = "POST" if request.method == "POST" else "GET"
        root = _root(request)
        links = [_link("self", str(request.url), GEOJSON), _link("root", f"{root}/")]
        return await self._page(links, self._api.search, asked, method, root)

    async def queryables(self, request: Request) -> Response:
        """The properties that a filter may use."""
        name = request.path_params.get("name")
        found = await self._look_up(self._api.queryables, _root(request), name)
        return _json(found, "application/schema+json")

    async def aggregations(self, request: Request) -> Response:
        """What can be counted."""
        return _json(aggregations(_root(request)))

    async def aggregate(self, request: Request) -> Response:
        """How many Items there are of what."""
        asked = _parameters(request)
        return _json(await self._run(aggregate, self._api, asked, _root(request)))

    async def refuse(self, request: Request, error: Exception) -> Response:
        """Why there is no answer, without the places on this machine that the catalog leads to."""
        reason = str(error)
        for folder in filter(None, self._folders):
            for place in {folder, folder.replace("'", "''"), repr(folder)[1:-1]}:
                reason = reason.replace(f"{place}/", "").replace(place, "the catalog")
        status, code = next(
            (status, code) for kind, status, code in _REFUSALS if isinstance(error, kind)
        )
        if status == 404 and not request.path_params:
            # The path is right; what is not there is a collection or a file that a question needs.
            status, code = 400, "InvalidParameterValue"
        if len(reason) > _LONGEST_REASON:
            reason = f"{reason[:_LONGEST_REASON]}…"
        return _json({"code": code, "description": reason}, status=status)

    # --- how things look from outside ---

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
            return _json(page, GEOJSON)

        return await self._run(write)

    def _found(self, name: str, id_: str) -> Json:
        """An Item with the hrefs that hold on this machine."""
        asked = {"collections": [self._api.known(name).id], "ids": [id_]}
        for item in self._api.found(asked).items(0, 1):
            return item
        raise NotFoundError(f"collection {name} has no Item {id_!r}")

    def _lies_inside(self, href: str) -> bool:
        return href.startswith(f"{self.folder}/") and not is_url(self._index.href)

    def _published(self, href: str, root: str, below: str = "catalog") -> str | None:
        """The URL of a file of the catalog or on the web; None for any other of this machine."""
        if is_url(href):
            return href
        if not self._lies_inside(href):
            return None
        path = quote(href.removeprefix(self.folder))
        return f"{root.removesuffix(_PLAIN)}/{below}{path}"

    def _others(self, links: Any, base: str, root: str) -> list[Json]:
        """The links of a document that are not those of the tree."""
        tree = {"root", "self", "parent", "collection", "child", "item", "items"}
        tree |= {"first", "prev", "next", "last"}
        return [
            link | {"href": href}
            for link in links
            if link["rel"] not in tree
            and (href := self._published(join(link["href"], base), root)) is not None
        ]

    def _collection(self, name: str, root: str) -> Json:
        collection = self._api.known(name)
        here = _collection_url(name, root)
        top, title = self._index.document.get("title"), collection.document.get("title")
        links = [
            _link("self", here, title=title),
            _link("root", f"{root}/", title=top),
            _link("parent", f"{root}/", title=top),
            _link("items", f"{here}/items", GEOJSON, "Items"),
            _link(QUERYABLES_REL, f"{here}/queryables", "application/schema+json", "Queryables"),
            *self._others(collection.document.get("links", ()), collection.href, root),
        ]
        assets = {
            key: asset | {"href": href}
            for key, asset in collection.document.get("assets", {}).items()
            if (href := self._published(join(asset["href"], collection.href), root)) is not None
        }
        document = {k: v for k, v in collection.document.items() if k != SEALED}
        return document | {"links": links, "assets": assets}

    def _item(self, item: Json, root: str) -> Json:
        """The Item with links of the API and a picture, and those of its assets that are served."""
        shown = has_picture(item)
        for key, asset in list(item.get("assets", {}).items()):
            href, archive = asset["href"], asset.get("archive") or [{}]
            if root.endswith(_PLAIN) and self._lies_inside(href) and "range" in archive[0]:
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
            collection = _collection_url(item["collection"], root)
            id_ = quote(item["id"], safe="")
            picture = f"{root}/thumbnails/{quote(item['collection'], safe='')}/{id_}.png"
            item["links"] = [
                _link("self", f"{collection}/items/{id_}", GEOJSON),
                _link("root", f"{root}/"),
                _link("parent", collection),
                _link("collection", collection),
                *self._others(item["links"], "", root),
                *([_link("preview", picture, "image/png")] if shown else []),
            ]
        return item


def _root(request: Request) -> str:
    """The URL of the API that was asked, with or without archives."""
    scope = request.scope
    outer = scope.get("app_root_path", scope["root_path"])  # is set below a mount alone
    mount: str = scope["root_path"].removeprefix(outer)
    return str(request.base_url).rstrip("/") + mount


def _definitions(index: Index) -> dict[str, str]:
    """The WKT of every CRS of the Collections, which STAC Browser would ask another host for."""
    summaries = [c.document.get("summaries", {}) for c in index.collections.values()]
    codes = {code for found in summaries for code in found.get("proj:code", ()) if code}
    found = {}
    for code in sorted(codes):
        with suppress(CRSError):  # one that PROJ does not know costs its own images alone
            found[code] = CRS.from_user_input(code).to_wkt("WKT1_GDAL")
    return found


def _collection_url(name: str, root: str) -> str:
    return f"{root}/collections/{quote(name, safe='')}"


def _link(
    rel: str, href: str, media_type: str = "application/json", title: str | None = None
) -> Json:
    return {"rel": rel, "href": href, "type": media_type} | ({"title": title} if title else {})


def _json(content: Json, media_type: str = "application/json", status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type=media_type)


# --- what was asked, and what is wrong with it --------------------------------------------------


def _parameters(request: Request, known: set[str] | None = None) -> dict[str, str]:
    pairs = request.query_params.multi_items()
    asked = dict(pairs)
    if len(asked) < len(pairs):
        raise BadQueryError("a parameter is given twice; join its values by commas")
    if known is not None and (unknown := asked.keys() - known):
        raise BadQueryError(f"there is no parameter {', '.join(sorted(unknown))} here")
    return asked


async def _body(request: Request) -> Json:
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > _MOST_BODY:
            raise HTTPException(413, f"a question has at most {_MOST_BODY} bytes")
    try:
        asked = orjson.loads(content or b"{}")
        orjson.dumps(asked)  # an answer has it in its links, and can be less deep than a question
    except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:
        raise BadQueryError(f"the body is not JSON: {error}") from None
    if not isinstance(asked, dict):
        raise BadQueryError("the body is no JSON object")
    return asked


_REFUSALS = (
    (NotFoundError, 404, "NotFound"),
    (TooSlowError, 422, "TooCostly"),
    (SatimnetError, 400, "InvalidParameterValue"),
)


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    content = {"code": str(error.status_code), "description": error.detail}
    response = _json(content, status=error.status_code)
    response.headers.update(error.headers or {})
    return response


async def _fail(request: Request, error: Exception) -> Response:
    reason = "a fault of satimnet; the server's log has more, please report it"
    return _json({"code": "ServerError", "description": reason}, status=500)
