"""Explorer addresses: what a search asked, as the page of the explorer has it in its address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from satimnet.training.data.versioned_pickles import VersionedPickle

_FILTERS = {"collections": "collection", "classes": "class", "split": "split"}
"""Filters of the page that mean what the arguments of a search mean."""
_NO_CONDITIONS = {"fields", "sortby", "allow_outside"}


@dataclass(frozen=True)
class Asked(VersionedPickle):
    """What a search asked of which catalog.

    Attributes:
        href: Absolute path or URL of ``catalog.json``.
        allow_outside: Whether its files may lie outside of its folder.
        words: Filters of the page, as names and values.
        unsaid: Names of the conditions that the page has no filter for.
    """

    href: str
    allow_outside: bool = False
    words: tuple[tuple[str, str], ...] = ()
    unsaid: tuple[str, ...] = ()

    @classmethod
    def of(cls, href: str, query: Mapping[str, Any], *, allow_outside: bool = False) -> Asked:
        """What a search with these arguments asked."""
        words: list[tuple[str, str]] = []
        unsaid = []
        for name, value in query.items():
            if value is None or name in _NO_CONDITIONS:
                continue
            if name in _FILTERS:
                words += [(_FILTERS[name], one) for one in _listed(value)]
            elif name == "bbox" and len(value) == 4:
                words.append(("box", ",".join(f"{float(side):g}" for side in value)))
            else:
                unsaid.append(name)
        return cls(href, allow_outside, tuple(words), tuple(unsaid))

    def at(self, page: str) -> str:
        """The address of the page, with the filters."""
        return f"{page}#{urlencode(self.words)}" if self.words else page


def _listed(values: Sequence[str] | str) -> list[str]:
    return [values] if isinstance(values, str) else list(values)
