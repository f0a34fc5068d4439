"""Catalog links: which files a STAC object leads to, and which of them are the catalog's own.

What lies elsewhere (another host, an absolute path, a way out by ``..``) is left out.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from satimnet.builder.errors import printable
from satimnet.builder.explorer.page_files import beside

_FOLLOWED = ("child", "item", "items", "first", "prev", "next", "last")
_LEFT = (
    *("root", "parent", "collection", "self"),
    *("predecessor-version", "successor-version", "latest-version"),  # of these one is copied
)
FOREIGN = re.compile(r"//|[A-Za-z][A-Za-z0-9+.-]*:")
"""An href with a host or a scheme."""
_PLAIN = re.compile(r'[^\x00-\x1f\x7f-\x9f\\?#%:*"<>|]{1,1000}')


@dataclass(frozen=True, slots=True)
class CatalogFile:
    """A file of a catalog that is to be copied."""

    path: str
    """In the catalog's folder, with ``/`` between names."""
    scope: str
    """The folder that whatever it leads to must lie in: of a collection ``id/``."""
    follow: bool = False
    """Whether it is a STAC object whose links are followed."""
    size: int | None = None
    optional: bool = False


def files_of(
    document: Mapping[str, Any], path: str, scope: str, leave: Callable[[str], None]
) -> Iterator[CatalogFile]:
    """The files that a STAC object leads to: first its assets, then its links.

    Args:
        document: The object.
        path: Where it lies in the catalog.
        scope: As of `CatalogFile`.
        leave: Called with each link that leads out of the scope, as ``file: href``.
    """
    for asset in objects_in(document.get("assets")):
        size = asset.get("file:size")
        target = _inside(asset.get("href"), path, scope, leave)
        if target is not None:
            yield CatalogFile(target, scope, size=size if type(size) is int else None)
    for link in objects_in(document.get("links")):
        rel = link.get("rel")
        if rel in _LEFT:
            continue
        target = _inside(link.get("href"), path, scope, leave)
        if target is None:
            continue
        if rel in _FOLLOWED:
            yield CatalogFile(target, scope or top_folder(target), True)
        else:
            for file in (target, *beside(link, target)):
                yield CatalogFile(file, scope, optional=True)

    for feature in objects_in(document.get("features")):  # of a page of Items
        yield from files_of({**feature, "features": None}, path, scope, leave)


def _inside(href: object, path: str, scope: str, leave: Callable[[str], None]) -> str | None:
    """The path of a file that the one at ``path`` leads to, None if it is not to be copied."""
    if not isinstance(href, str) or FOREIGN.match(href):
        return None
    if _PLAIN.fullmatch(href) and not href.startswith("/"):
        target = joined(path, href)
        if target.startswith(scope) and target.split("/")[0] not in ("..", "."):
            return target
    leave(f"{path}: {shortened(href)}")
    return None


def joined(path: str, href: str) -> str:
    """Where in the catalog an href of the file at ``path`` leads; outside it begins with ``..``."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), href))


def top_folder(path: str) -> str:
    """The folder at the top of the catalog that a file is in: it has all versions of a collection
    and their shards. Of a file at the top one that nothing lies in."""
    return f"{path.partition('/')[0]}/"


def objects_in(content: object) -> Iterator[Mapping[str, Any]]:
    """The objects in a list or a map; nothing of what is neither."""
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        yield from (value for value in content if isinstance(value, dict))


def shortened(text: str) -> str:
    """What a catalog says, in short, without what a terminal would take for orders."""
    return printable(text[:200])
