"""What a description says of a dataset, in the shapes of ``dataset.toml``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from satimnet.builder.types import Json

_NO_ID = re.compile(r"[^a-z0-9]+")


@dataclass(slots=True)
class Description:
    """What is said of a dataset; every value was checked.

    What nothing is said of is None or empty.
    """

    form: str
    """What it is, in words: ``a Croissant description``."""
    place: str
    """Where it was read, as messages may show it."""
    name: str | None = None
    """What the dataset is called there, as a name for its package may be made of it."""
    title: str | None = None
    description: str | None = None
    license: str | None = None
    """SPDX identifier."""
    keywords: list[str] = field(default_factory=list)
    providers: list[Json] = field(default_factory=list)
    links: list[Json] = field(default_factory=list)
    downloads: list[Json] = field(default_factory=list)
    start: str | None = None
    """First time of acquisition, RFC 3339."""
    end: str | None = None
    bbox: list[float] | None = None
    attributes: Json = field(default_factory=dict)
    """Fields of the Collection, the paper's attributes among them."""
    sources: dict[str, str] = field(default_factory=dict)
    """Where it says that values come from, by field."""
    notes: dict[str, str] = field(default_factory=dict)
    classes: list[Json] = field(default_factory=list)
    properties: Json = field(default_factory=dict)
    assets: dict[str, Json] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    """What it says that cannot be taken over, and why."""

    def say(self, field_name: str, value: Any) -> None:
        """Notes an attribute, unless nothing is said of it or it was noted before."""
        if value not in (None, "", [], {}):
            self.attributes.setdefault(field_name, value)

    def provide(self, name: str | None, role: str, url: str | None = None) -> None:
        """Notes who has a role; whoever is noted already gets it as well."""
        if name is None:
            return
        for known in self.providers:
            if known["name"] == name and known.get("url") == url:
                if role not in known["roles"]:
                    known["roles"].append(role)
                return
        self.providers.append({"name": name, "roles": [role]} | ({"url": url} if url else {}))

    def link(self, rel: str, href: str | None, title: str | None = None) -> None:
        """Notes a link, unless it leads nowhere or was noted before."""
        if href and not any(known["rel"] == rel and known["href"] == href for known in self.links):
            self.links.append({"rel": rel, "href": href} | ({"title": title} if title else {}))

    @property
    def id(self) -> str | None:
        """A name for the package, made of what the dataset is called."""
        words = _NO_ID.sub("-", (self.name or self.title or "").lower())[:40].strip("-")
        return words if words[:1].isalpha() else None
