"""Free text: the Items whose own words, or those of their classes and collection, have a phrase.

As in the STAC API (https://github.com/stac-api-extensions/freetext-search, basic): one of several
terms suffices, and the words of a term stand next to each other, in this order. Case, accents and
punctuation make no difference, and the last word may be the beginning of one: "ship" finds ships.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.errors import BadQueryError, TooLargeError
from satimnet.builder.query.cql2_text import Node

_ITEM_TEXTS = ("title", "description")
_MOST_TERMS = 1000
_MOST_CHARACTERS = 20_000  # of all terms


@dataclass(frozen=True)
class Phrase:
    """A condition beyond CQL2: a property of the Item has one of these phrases.

    ``phrases`` are folded, with a space before each word; the last may be the beginning of one.
    """

    property: str
    phrases: tuple[str, ...]

    def pattern(self) -> str:
        """The regular expression that finds one of them in what `folded_sql` yields."""
        # One pattern costs the same however many phrases there are; letters and digits alone need
        # no escape.
        return "|".join(self.phrases)


def condition_of(
    terms: Sequence[str], documents: Mapping[str, CollectionDocument], known: Iterable[str]
) -> Node:
    """The condition that one of the terms fits an Item.

    Args:
        terms: what is looked for.
        documents: the Collections by id.
        known: the properties that Items have.

    Raises:
        TooLargeError: there are too many terms.
        BadQueryError: a term has no letter or digit.
    """
    if len(terms) > _MOST_TERMS or sum(map(len, terms)) > _MOST_CHARACTERS:
        raise TooLargeError(
            f"free text has at most {_MOST_TERMS:,} terms of {_MOST_CHARACTERS:,} characters in all"
        )
    if not terms:
        return False
    phrases = tuple(_phrase(term) for term in terms)
    alternatives: list[Node] = [Phrase(name, phrases) for name in _ITEM_TEXTS if name in known]
    for name, document in documents.items():
        here = {"op": "=", "args": [{"property": "collection"}, name]}
        if _has(phrases, [name, *_words_of(document.json), *document.keywords]):
            alternatives.append(here)
        elif classes := _classes(phrases, document):
            present = {"op": "a_overlaps", "args": [{"property": "satimnet:classes"}, classes]}
            alternatives.append({"op": "and", "args": [here, present]})
    return {"op": "or", "args": alternatives}


def _phrase(term: str) -> str:
    phrase = folded(term).rstrip()
    if not phrase:
        raise BadQueryError(f"free text {term!r:.100} has no word to look for")
    return phrase


def _classes(phrases: Iterable[str], document: CollectionDocument) -> list[str]:
    table = document.class_table
    return [row["name"] for row in table if _has(phrases, [row["name"], *_words_of(row)])]


def _words_of(thing: Mapping[str, Any]) -> list[str]:
    return [thing[key] for key in _ITEM_TEXTS if isinstance(thing.get(key), str)]


def _has(phrases: Iterable[str], texts: Iterable[str]) -> bool:
    words = "".join(map(_known, texts))  # each has a space before and after it
    return any(phrase in words for phrase in phrases)


def folded(text: str) -> str:
    """The words of a text in lower case without accents, a space before and after each."""
    decomposed = unicodedata.normalize("NFD", text.lower())
    plain = "".join(c for c in decomposed if not unicodedata.combining(c))
    return re.sub(r"[\W_]+", " ", f" {plain} ")


_known = lru_cache(1024)(folded)  # those of classes and collections, for each search again


def folded_sql(column: str) -> str:
    """SQL that does the same as `folded` with a column."""
    return f"' ' || regexp_replace(strip_accents(lower({column})), '[^\\pL\\pN]+', ' ', 'g') || ' '"
