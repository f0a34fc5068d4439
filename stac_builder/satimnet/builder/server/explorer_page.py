"""The explorer at ``/explore``: its page, which reads the catalog's files from this server."""

from __future__ import annotations

from functools import partial

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from satimnet.builder.explorer.page_files import PAGE, page_file, page_for
from satimnet.builder.storage.hrefs import is_url, is_web
from satimnet.builder.storage.stores import web_address

_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}


def routes(catalog: str, *, has_browser: bool) -> list[BaseRoute]:
    """The routes of the page.

    Args:
        catalog: absolute path or URL of ``catalog.json``; files of a local one are served below
            ``/catalog``.
        has_browser: whether STAC Browser is served as well.
    """
    href = web_address(catalog) if is_url(catalog) else "../catalog/catalog.json"
    page = page_for(href, "../browser/" if has_browser and not is_web(href) else "")
    return [
        Route("/explore", _to_folder),
        Route("/explore/", partial(_file, page)),
        Route("/explore/{name}", partial(_file, page)),
    ]


def _to_folder(request: Request) -> Response:
    """Names of the page's other files are relative to a folder."""
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"{request.scope.get('root_path', '')}/explore/{query}")


def _file(page: bytes, request: Request) -> Response:
    name = request.path_params.get("name", PAGE)
    content = page if name == PAGE else page_file(name)
    if content is None:
        raise HTTPException(404)
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
    return Response(content, headers=headers, media_type=_TYPES[name.rpartition(".")[2]])
