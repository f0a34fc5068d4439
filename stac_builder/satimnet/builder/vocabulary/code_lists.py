"""Code lists: which concepts are classes of the land-cover maps of others, CORINE's among them.

They stand in ``code_lists.toml`` beside this file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

RELATIONS = ("exact", "close", "broad", "narrow")
"""How a class of a map stands to a concept: ``skos:exactMatch`` and so on."""


@dataclass(frozen=True, slots=True)
class Code:
    """A class of a land-cover map, as it stands to one concept."""

    code: str
    label: str
    relation: str
    """One of `RELATIONS`: ``broad`` says that the map's class is the wider one."""


@dataclass(frozen=True, slots=True)
class CodeList:
    """The classes of a land-cover map that correspond to concepts."""

    id: str
    title: str
    uri: str
    """With a code behind it, the URI of a class."""
    source: str
    """URL of where the codes are from."""
    codes: Mapping[str, Code]
    """By the ids of concepts."""


@cache
def code_lists() -> tuple[CodeList, ...]:
    """All code lists, in the order of the file.

    Example:
        >>> corine, worldcover = code_lists()
        >>> corine.codes["vineyard"].code, worldcover.codes["forest"].relation
        ('221', 'broad')
    """
    text = Path(__file__).with_name("code_lists.toml").read_text("utf-8")
    return tuple(
        CodeList(
            row["id"],
            row["title"],
            row["uri"],
            row["source"],
            {
                concept: Code(str(code), row["labels"][str(code)], relation)
                for relation in RELATIONS
                for concept, code in row[relation].items()
            },
        )
        for row in tomllib.loads(text)["lists"]
    )
