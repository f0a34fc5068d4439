"""How the words that people type are compared with names.

Case, accents, hyphens, spaces, plurals and British spelling make no difference; short words such as
"and" do not count.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple, TypeVar

K = TypeVar("K")

_LITTLE = {"a", "and", "of", "or", "the", "with"}
_NEGATIONS = {"no", "non", "not", "without"}
# Both sides of a comparison are treated alike, so a stem need not be a word: lakes and lake are
# "lak", centres and center are "center".
_ENDINGS = (
    (re.compile(r"ies$"), "y"),
    (re.compile(r"(?<!e)es$|(?<![sui])s$"), ""),
    (re.compile(r"e$"), ""),
    (re.compile(r"our$"), "or"),
    (re.compile(r"tr$"), "ter"),
)
_LONGEST = 200  # characters of a term; the rest is not compared


class Name(NamedTuple):
    """A name ready to be compared."""

    stems: tuple[str, ...]
    joined: str
    """All words written as one, as in "storagetanks"."""

    def equals(self, other: Name) -> bool:
        """Whether both are the same name."""
        return self.stems == other.stems or self.joined == other.joined

    @property
    def negative(self) -> bool:
        """Whether it says that something is absent: "no ship"."""
        return not _NEGATIONS.isdisjoint(self.stems)


@lru_cache(maxsize=4096)
def name_of(text: str) -> Name:
    """The name in a text; CamelCase is split into words."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text[:_LONGEST])
    plain = unicodedata.normalize("NFKD", apart).casefold()
    bare = "".join(c for c in plain if not unicodedata.combining(c))
    words = [word for word in re.findall(r"[^\W_]+", bare) if word not in _LITTLE]
    return Name(tuple(map(_stem, words)), _stem("".join(words)))


def matches(term: str, names: Iterable[tuple[K, Name]]) -> set[K]:
    """The keys of the names that fit the term best; empty if none fits.

    The best are names equal to the term. If there are none, they are the names that have all of its
    words; else those with words that begin with them; else those with words that contain them. But
    for equal names, "no ship" fits only a term that says "no", too.
    """
    wanted, names = name_of(term), list(names)
    if not wanted.stems:
        return set()
    if found := {key for key, name in names if name.equals(wanted)}:
        return found
    for fits in _FITS:
        found = {
            key
            for key, name in names
            if name.negative == wanted.negative and _all_fit(fits, wanted, name)
        }
        if found:
            return found
    return set()


def _all_fit(fits: Callable[[str, str], bool], wanted: Name, name: Name) -> bool:
    return all(any(fits(stem, other) for other in name.stems) for stem in wanted.stems)


_FITS: tuple[Callable[[str, str], bool], ...] = (
    lambda stem, other: stem == other,
    lambda stem, other: len(stem) > 1 and other.startswith(stem),
    lambda stem, other: len(stem) > 2 and stem in other,
)


def _stem(word: str) -> str:
    if len(word) > 3:
        for ending, instead in _ENDINGS:
            word = ending.sub(instead, word)
    return word
