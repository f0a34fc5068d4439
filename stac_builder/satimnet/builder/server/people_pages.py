"""Pages for people: what the API answers in JSON, as HTML where a web browser asks for that.

All text of a page is foreign, so it is escaped, and a page may run no script and load nothing from
another host.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from functools import wraps
from html import escape
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from satimnet.builder.server.json_messages import root_of
from satimnet.builder.server.served_documents import PLAIN
from satimnet.builder.types import Json

Answering = Callable[..., Awaitable[Response]]

_LONGEST = 500_000  # characters of JSON on a page
_LINK = re.compile(r"&quot;(https?://(?:(?!&quot;)[^\s<>])+)&quot;")
_PICTURES = {"thumbnail", "overview"}  # roles of assets
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept",
}
_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 70rem; padding: 1rem }
nav { border-bottom: 1px solid #8886; padding-bottom: .5rem }
nav > * { margin-right: 1.2rem }
ul.wall { display: flex; flex-wrap: wrap; gap: .8rem; list-style: none; padding: 0 }
ul.wall li { width: 10rem; overflow-wrap: anywhere; font-size: .85rem }
ul.wall img { width: 10rem; height: 10rem; object-fit: contain; background: #8882 }
img.large { width: 100%; max-width: 32rem; image-rendering: pixelated }
pre { overflow: auto; background: #8882; padding: .8rem; font-size: .85rem }
p.hint { opacity: .75 }
"""


def wants_page(request: Request) -> bool:
    """Whether a web browser asks, for a person to read."""
    return request.headers.get("accept", "").startswith("text/html")


def for_people(answering: Answering, *, has_browser: bool) -> Answering:
    """The same endpoint or error handler, whose JSON is a page where a person asks.

    Args:
        answering: takes a request, and an error if it handles those.
        has_browser: whether STAC Browser is served as well.
    """

    @wraps(answering)
    async def answer(request: Request, *more: Any) -> Response:
        response = await answering(request, *more)
        if "json" not in (response.media_type or "") or request.method not in ("GET", "HEAD"):
            return response
        response.headers["Vary"] = "Accept"
        if not wants_page(request):
            return response
        document = orjson.loads(response.body)
        nav = _nav(root_of(request).removesuffix(PLAIN), has_browser=has_browser)
        return HTMLResponse(page(document, nav), response.status_code, _HEADERS)

    return answer


def page(document: Json, nav: str = "") -> str:
    """The page of a document of the API."""
    title = _title(document)
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        nav,
        f"<h1>{escape(title)}</h1>",
        *_paragraphs(document),
        *_picture(document),
        *_wall(document),
        *_links(document),
        "<h2>JSON</h2>",
        '<p class="hint">Programs get this at the same address.</p>',
        f"<pre>{_json(document)}</pre>",
        "</body></html>",
    ]
    return "\n".join(lines)


def _nav(root: str, *, has_browser: bool) -> str:
    doors = [("Catalog", "/"), ("Explorer", "/explore/"), ("Collections", "/collections")]
    if has_browser:
        doors.append(("STAC Browser", "/browser/"))
    shown = [f'<a href="{escape(root + path)}">{name}</a>' for name, path in doors]
    if not has_browser:
        shown.append("<span>STAC Browser: <code>satimnet browser</code> builds it</span>")
    return f"<nav>{' '.join(shown)}</nav>"


def _title(document: Json) -> str:
    """What the document is called, as far as it says."""
    for key in ("title", "id", "code"):
        if isinstance(found := document.get(key), str) and found:
            return found
    if "features" in document:
        return "Items"
    return "Collections" if "collections" in document else "Answer"


def _paragraphs(document: Json) -> Iterator[str]:
    text = document.get("description")
    if isinstance(text, str):
        for paragraph in re.split(r"\n\s*\n", text.strip()):
            yield f"<p>{escape(paragraph)}</p>"


def _picture(document: Json) -> Iterator[str]:
    if preview := _preview(document):
        yield f'<p><img class="large" src="{escape(preview)}" alt=""></p>'


def _wall(document: Json) -> Iterator[str]:
    """The members of a list, with their pictures."""
    members = document.get("features", document.get("collections"))
    if not isinstance(members, list):
        return
    yield '<ul class="wall">'
    for member in members:
        if href := _href(member, "self"):
            preview = _preview(member)
            image = f'<img loading="lazy" src="{escape(preview)}" alt=""><br>' if preview else ""
            yield f'<li><a href="{escape(href)}">{image}{escape(_title(member))}</a></li>'
    yield "</ul>"


def _links(document: Json) -> Iterator[str]:
    yield "<h2>Links</h2><ul>"
    for link in document.get("links", ()):
        href = link.get("href")
        if _is_web(href) and link.get("method") != "POST":
            text = f"{link.get('rel')}: {link.get('title') or href}"
            yield f'<li><a href="{escape(href)}">{escape(text)}</a></li>'
    yield "</ul>"


def _href(document: Json, rel: str) -> str | None:
    """Where the first link with a relation leads."""
    for link in document.get("links", ()):
        if link.get("rel") == rel and _is_web(link.get("href")):
            return str(link["href"])
    return None


def _preview(document: Json) -> str | None:
    """The address of a picture of an Item or a Collection."""
    assets = document.get("assets")
    for asset in assets.values() if isinstance(assets, dict) else ():
        is_picture = asset.get("type") in ("image/png", "image/jpeg")
        if is_picture and not _PICTURES.isdisjoint(asset.get("roles") or ()):
            return str(asset["href"]) if _is_web(asset.get("href")) else None
    return _href(document, "preview")


def _is_web(href: Any) -> bool:
    """Whether it is a link that a page may have: no script, no file."""
    return isinstance(href, str) and href.startswith(("http://", "https://"))


def _json(document: Json) -> str:
    """The document as escaped text whose URLs are links."""
    text = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
    rest = len(text) - _LONGEST
    shown = _LINK.sub(r'&quot;<a href="\1">\1</a>&quot;', escape(text[:_LONGEST]))
    return shown + (f"\n… and {rest:,} characters more" if rest > 0 else "")
