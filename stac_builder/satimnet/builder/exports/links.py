"""Links in an exported document: as short as where the document will lie allows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urljoin

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.storage.hrefs import is_url, public, relative


@dataclass(frozen=True, slots=True)
class Links:
    """Makes links for a document in the folder ``folder``."""

    folder: Path
    base: str = ""
    """URL of the folder; if there is one, links are absolute."""
    catalog: str = ""
    """Where the catalog was opened: what may be secret in its URL is in no link."""
    future_place: str = ""
    """The place in a store where the folder will lie; links to what is in the store lead from there
    on, so that the bucket can be moved."""

    def to(self, href: str) -> str:
        """The link to an absolute path or URL; a URL stays as it is, but for secrets."""
        if is_url(href):
            found = relative(href, self.future_place) if self.future_place else href
            if found == href:
                return public(href, self.catalog)
            return quote(found.removeprefix("./") if found.startswith("./../") else found)
        path = Path(os.path.relpath(href, self.folder)).as_posix()
        if self.base:
            return urljoin(self.base, quote(path))
        return quote(path if path.startswith("../") else f"./{path}")

    def to_member(self, shard: str, member: str) -> str:
        """The link to a member of a shard: the shard's, with the member's name as fragment.

        No registered URI scheme leads into a zip file. A program that does not know the fragment
        still gets the file that has the member (RFC 3986, 3.5).
        """
        return f"{self.to(shard)}#{quote(member)}"


def licence_urls(collection: CollectionDocument) -> list[str]:
    """URLs of a Collection's licence: SPDX's page where it has an identifier, else its links."""
    if collection.has_spdx_license:
        return [f"https://spdx.org/licenses/{collection.license}.html"]
    return [str(link["href"]) for link in collection.links("license")]
