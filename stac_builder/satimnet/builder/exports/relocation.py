"""Relocation: where the files of a catalog will lie once it has been moved or uploaded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from satimnet.builder.errors import ArgumentError, SatimnetError
from satimnet.builder.storage.gdal_paths import store_scheme
from satimnet.builder.storage.hrefs import is_url, public, quoted_url, readable
from satimnet.builder.types import PathLike

_KINDS = "a folder, or a URL with https, http, s3, gs or az"


@dataclass(frozen=True, slots=True)
class Relocation:
    """Tells where a file of the catalog in the folder ``home`` will lie."""

    home: str
    """Path or URL of the folder, without a slash at the end."""
    base: str | None = None
    """As ``home``, of the folder that the catalog is moved to; None if it stays."""
    catalog: str = ""
    """Where the catalog was opened: what may be secret in its URL is in no place."""

    @classmethod
    def of(cls, catalog: str, base: PathLike | None = None) -> Relocation:
        """That of the catalog whose ``catalog.json`` is at this place, into the folder ``base``.

        Raises:
            ArgumentError: ``base`` is no folder and no URL that GDAL reads, or has a query or a
                password, which would be written into files.
        """
        plain = catalog.partition("?")[0] if _on_web(catalog) else catalog
        moved = None if base is None else _checked(os.fspath(base))
        return cls(plain.rpartition("/")[0], moved, catalog)

    def to(self, place: str) -> str:
        """Where the file at this place will lie; on the web, what is not of the catalog stays.

        Raises:
            ArgumentError: the file is on this machine and not of the catalog.
        """
        if self.base is None:
            return public(place, self.catalog)
        rest = self._below_home(place)
        if rest is not None:
            return f"{self.base}/{quote(rest) if _on_web(self.base) else rest}"
        if is_url(place) or store_scheme(place) is not None:
            return public(place, self.catalog)
        raise ArgumentError(
            f"{place}: is not in the catalog's folder {self.home}, so it will not lie below "
            f"{self.base}; copy the catalog with its files first, or export without base",
            "base",
        )

    def _below_home(self, place: str) -> str | None:
        """The path below the catalog's folder, not quoted; None of what lies elsewhere."""
        if not place.startswith(f"{self.home}/"):
            return None
        rest = place[len(self.home) + 1 :]
        if _on_web(place):
            rest = unquote(rest.partition("#")[0].partition("?")[0])
        return None if ".." in rest.split("/") else rest


def _on_web(place: str) -> bool:
    """Whether it is a URL of a web server, in which names are quoted; in a store they are not."""
    return is_url(place) and store_scheme(place) is None


def _checked(base: str) -> str:
    """The folder as an absolute path or a URL, without a slash at the end."""
    if not base:
        raise ArgumentError(f"base is empty; give {_KINDS}", "base")
    if store_scheme(base) is not None:
        return base.rstrip("/")
    try:
        place = readable(base)
        parts = urlsplit(place) if is_url(place) else None
    except (SatimnetError, ValueError):
        raise ArgumentError(f"base {base!r:.200}: give {_KINDS}", "base") from None
    if parts is None:
        return place.rstrip("/")
    if not parts.hostname or parts.query or parts.fragment or parts.username is not None:
        raise ArgumentError(
            f"base {parts.scheme}://{parts.hostname or ''}{parts.path:.200}: give a URL with a "
            "host, and without query, fragment and password: it is written into the file",
            "base",
        )
    return quoted_url(place).rstrip("/")
