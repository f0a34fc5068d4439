"""The page of the explorer: files that are in the package, and lie where a catalog is looked at."""

from __future__ import annotations

import html
import os
import posixpath
import re
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from satimnet.builder.arguments import checked
from satimnet.builder.errors import ArgumentError, BadCatalogError
from satimnet.builder.publishing.protocol import ROOT_NAME, WAITING, read_root, replace_root
from satimnet.builder.publishing.roots import Root
from satimnet.builder.storage import objects
from satimnet.builder.storage.hrefs import catalog_file, folder_at, is_url, is_web, writable
from satimnet.builder.storage.staging import lock
from satimnet.builder.storage.stores import web_address
from satimnet.builder.types import Json

PAGE = "index.html"
_NAMES = ("index.html", "explorer.css", "explorer.js")
_LINK: Json = {"rel": "alternate", "type": "text/html", "title": "Explorer"}
_ESCAPED = re.compile(r"[?#%]")  # an href would need escapes for it
_CATALOG = 'name="satimnet-catalog" content="'
_BROWSER = 'name="satimnet-browser" content="'


def page_file(name: str) -> bytes | None:
    """A file of the page as it is in the package; None if it has no such file."""
    if name not in _NAMES:
        return None
    return (files("satimnet.builder.explorer") / "page" / name).read_bytes()


def page_for(catalog: str, browser: str = "") -> bytes:
    """The page that opens a catalog.

    Args:
        catalog: its href as the page sees it, relative to itself, or absolute.
        browser: href of a STAC Browser of this catalog, if there is one.
    """
    page = (page_file(PAGE) or b"").decode()
    for mark, value in ((_CATALOG, catalog), (_BROWSER, browser)):
        before, _, after = page.partition(mark)
        page = f"{before}{mark}{html.escape(value)}{after}"
    return page.encode()


@checked()
def write_page(out: str | os.PathLike[str], catalog: str | os.PathLike[str]) -> str:
    """Writes the page, as a host of static files shows it.

    Beside the catalog, or in a folder of it, the page finds it by a relative path, so both can be
    moved together. A catalog of satimnet links the page that lies in its folder, as ``alternate``.

    Args:
        out: a folder or a prefix of an object store.
        catalog: the catalog that it opens, a path or URL.

    Returns:
        Place of the page.

    Raises:
        ArgumentError: the page could not find the catalog from there.
        StorageError: it cannot be written.

    Example:
        >>> from satimnet.builder.explorer.page_files import write_page
        >>> write_page("catalog/explore", "catalog").endswith("explore/index.html")
        True
    """
    folder = writable(out).rstrip("/")
    href = _href(folder, catalog_file(catalog))
    for name in _NAMES:
        content = page_for(href) if name == PAGE else page_file(name)
        objects.write(f"{folder}/{name}", content or b"")
    if "://" not in href:
        _link(folder, catalog_file(catalog))
    return f"{folder}/{PAGE}"


def beside(link: Mapping[str, Any], page: str) -> list[str]:
    """The files that a page needs, if the link is that of an explorer.

    Args:
        link: a link of a catalog.
        page: the path of the file that it leads to.
    """
    if any(link.get(name) != value for name, value in _LINK.items()):
        return []
    folder = posixpath.dirname(page)
    return [posixpath.join(folder, name) for name in _NAMES if name != posixpath.basename(page)]


def _link(folder: str, catalog: str) -> None:
    """Links the page from the catalog whose folder it lies in."""
    home, name = folder_at(catalog), posixpath.basename(catalog)
    if not is_url(folder):
        home, folder = os.path.realpath(home), os.path.realpath(folder)
    page = posixpath.relpath(f"{folder}/{PAGE}", home)
    if page.startswith("../") or _ESCAPED.search(page) or name != ROOT_NAME:
        return
    link = {**_LINK, "href": f"./{page}"}
    with nullcontext() if is_url(home) else lock(Path(home), wait=WAITING):
        try:
            if not read_root(home).titles:
                return
        except BadCatalogError:  # somebody else's catalog stays as it is
            return

        def change(root: Root) -> Root:
            return root if link in root.others else replace(root, others=(*root.others, link))

        replace_root(home, change)


def _href(folder: str, catalog: str) -> str:
    """How the page in a folder finds the catalog."""
    if is_web(catalog):
        return catalog
    if is_url(folder) != is_url(catalog):
        if is_url(catalog):
            return web_address(catalog)
        raise ArgumentError(
            f"{folder}: from there no page finds {catalog}; upload the catalog as well, and name "
            "it by its URL",
            "out",
        )
    if is_url(folder):
        return posixpath.relpath(catalog, folder)
    return os.path.relpath(catalog, os.path.realpath(folder)).replace(os.sep, "/")
