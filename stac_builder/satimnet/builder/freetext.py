"""Free text: the Items whose own words, or those of their classes and collection, have a phrase.

As in the STAC API (https://github.com/stac-api-extensions/freetext-search, basic): one of several
terms suffices, and the words of a term stand next to each other, in this order. Case, accents and
punctuation make no difference, and the last word may be the beginning of one: "ship" finds ships.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from satimnet.builder.cql2_text import Node
from satimnet.builder.errors import SatimnetError
from satimnet.builder.filters import Phrase

_ITEM_TEXTS = ("title", "description")


def condition_of(
    terms: Sequence[str], documents: Mapping[str, Mapping[str, Any]], known: Iterable[str]
) -> Node:
    """What must hold of an Item for one of the terms to fit, as a condition for a search.

    ``documents`` are the Collections by id, ``known`` the properties that Items have.

    Raises:
        SatimnetError: a term has no letter or digit.
    """
    texts = [name for name in _ITEM_TEXTS if name in known]
    return {"op": "or", "args": [_one(term, documents, texts) for term in terms]}


def _one(term: str, documents: Mapping[str, Mapping[str, Any]], texts: Sequence[str]) -> Node:
    phrase = folded(term)
    if not phrase.strip():
        raise SatimnetError(f"free text {term!r} has no word to look for")
    phrase = phrase.rstrip()
    parts: list[Node] = [Phrase(name, phrase) for name in texts]
    for name, document in documents.items():
        here = {"op": "=", "args": [{"property": "collection"}, name]}
        if _has(phrase, [name, *_words_of(document), *document.get("keywords", ())]):
            parts.append(here)
        elif classes := _classes(phrase, document):
            present = {"op": "a_overlaps", "args": [{"property": "satimnet:classes"}, classes]}
            parts.append({"op": "and", "args": [here, present]})
    return {"op": "or", "args": parts}


def _classes(phrase: str, document: Mapping[str, Any]) -> list[str]:
    table = document.get("summaries", {}).get("classification:classes", ())
    return [row["name"] for row in table if _has(phrase, [row["name"], *_words_of(row)])]


def _words_of(thing: Mapping[str, Any]) -> list[str]:
    return [thing[key] for key in _ITEM_TEXTS if isinstance(thing.get(key), str)]


def _has(phrase: str, texts: Iterable[str]) -> bool:
    return any(phrase in folded(text) for text in texts)


def folded(text: str) -> str:
    """The words of a text in lower case without accents, a space before and after each.

    The same as `Phrase` makes of a column.
    """
    decomposed = unicodedata.normalize("NFD", text.lower())
    plain = "".join(c for c in decomposed if not unicodedata.combining(c))
    return re.sub(r"[\W_]+", " ", f" {plain} ")
