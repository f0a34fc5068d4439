"""The web application: which URL gets which answer.

``/`` is the landing page of the STAC API, the catalog's files lie below ``/catalog``, the explorer
below ``/explore``, STAC Browser below ``/browser`` if it was built. People get pages of what
programs get as JSON. Below ``/plain`` there is the same API once more, for programs that know files
and no archives: its assets are members of shards. Nothing is ever written.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.routing import BaseRoute, Mount, Route

from satimnet.builder.catalog.geoparquet import PARQUET_TYPE
from satimnet.builder.errors import SatimnetError
from satimnet.builder.query.index import Index
from satimnet.builder.query.stac_api import GEOJSON
from satimnet.builder.server import explorer_page, member_files
from satimnet.builder.server.endpoints import Endpoints
from satimnet.builder.server.people_pages import for_people
from satimnet.builder.server.proxies import BehindProxy, root_path_of
from satimnet.builder.server.refusals import Refusals
from satimnet.builder.server.served_documents import PLAIN
from satimnet.builder.server.static_files import VisibleFiles
from satimnet.builder.storage.hrefs import folder_at, is_url, warn_of_secret

SECONDS = 10.0
"""How long a search may take, where nobody says."""
# Beside what is compressed by itself, pixels and tables: nobody asks for these whole.
_COMPRESSED = (
    *DEFAULT_EXCLUDED_CONTENT_TYPES,
    *("image/*", "application/octet-stream", PARQUET_TYPE),
)


def create_app(
    catalog: str,
    browser: Path | None = None,
    *,
    root_path: str = "",
    seconds: float = SECONDS,
    allow_outside: bool = False,
) -> Starlette:
    """The application that serves a catalog.

    It serves the catalog as it is at this moment; after a change it must be made anew.

    Args:
        catalog: path or URL of ``catalog.json`` or of its folder.
        browser: folder of a built STAC Browser.
        root_path: path below which a proxy has the application.
        seconds: how long a search may take.
        allow_outside: files may lie outside of a local catalog's folder.

    Raises:
        SatimnetError: the catalog cannot be read, or none of its collections.
        ArgumentError: ``root_path`` is no path.
    """
    index = Index(catalog, allow_outside=allow_outside)
    index.readable()  # a broken index shows here, not at the first question
    index.seconds = seconds
    warn_of_secret(index.href)
    folder = folder_at(index.href)
    outside = (place for one in index.collections.values() for place in one.bounds.also)
    refusals = Refusals(dict.fromkeys((folder, *outside)))
    served = Endpoints(index, browser)
    people = partial(for_people, has_browser=browser is not None)
    api: list[BaseRoute] = [
        Route("/", people(served.landing)),
        Route("/conformance", people(served.conformance)),
        Route("/api", people(served.openapi)),
        Route("/collections", people(served.collections)),
        Route("/collections/{name}", people(served.collection)),
        Route("/collections/{name}/items", people(served.items)),
        Route("/collections/{name}/items/{id}", people(served.item)),
        Route("/collections/{name}/queryables", people(served.queryables)),
        Route("/queryables", people(served.queryables)),
        Route("/search", people(served.search), methods=["GET", "POST"]),
        Route("/aggregations", people(served.aggregations)),
        Route("/aggregate", people(served.aggregate)),
        Route("/thumbnails/{name}/{id}.png", served.thumbnail),
    ]
    routes = [*api, Route("/favicon.ico", served.icon)]
    if not is_url(index.href):
        mimetypes.add_type(PARQUET_TYPE, ".parquet")
        mimetypes.add_type(GEOJSON, ".geojson")
        files = VisibleFiles(directory=folder)
        routes.append(Mount("/catalog", files))
        routes.append(Route(member_files.ROUTE, partial(member_files.member, files)))
        routes.append(Mount(PLAIN, routes=api))
    routes += explorer_page.routes(index.href, has_browser=browser is not None)
    if browser is not None:
        # Before the mount, which has files of these names from the build.
        routes.append(Route("/browser/", served.browser_page))
        routes.append(Route("/browser/config.js", served.browser_config))
        routes.append(Mount("/browser", VisibleFiles(directory=browser, html=True)))
    handlers = {
        SatimnetError: people(refusals.of_question),
        HTTPException: people(refusals.of_request),
        Exception: people(refusals.of_fault),
    }
    return Starlette(
        routes=routes, middleware=_middleware(routes, root_path), exception_handlers=handlers
    )


def _middleware(routes: Sequence[BaseRoute], root_path: str) -> list[Middleware]:
    """What each request goes through: proxies, then other hosts' pages, then compression."""
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
    return [proxy, allow, compress]
