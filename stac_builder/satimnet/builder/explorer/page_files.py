"""The page of the explorer: files that are in the package, and lie where a catalog is looked at."""

from __future__ import annotations

import html
import os
import posixpath
from importlib.resources import files

from satimnet.builder.arguments import checked
from satimnet.builder.errors import ArgumentError
from satimnet.builder.storage import objects
from satimnet.builder.storage.hrefs import catalog_file, is_url, is_web, writable
from satimnet.builder.storage.stores import web_address

PAGE = "index.html"
_NAMES = ("index.html", "explorer.css", "explorer.js")
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
    moved together.

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
    return f"{folder}/{PAGE}"


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
