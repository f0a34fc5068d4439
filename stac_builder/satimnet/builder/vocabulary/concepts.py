"""The semantic metalayer: a small tree of concepts that the classes of all datasets are mapped to.

The concepts stand in ``concepts.toml`` beside this file; a dataset's record may add narrower ones.
Every class of a dataset is mapped to exactly one concept, so that one search reaches all datasets.
A catalog carries its own copy, ``concepts.json`` (`satimnet.builder.vocabulary.skos`).
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from satimnet.builder.errors import ArgumentError, BadCatalogError, BadQueryError
from satimnet.builder.types import Json
from satimnet.builder.vocabulary.matching import Name, matches, name_of

SCHEME_URI = "https://satimnet.github.io/concepts"
"""URI of the scheme; with ``#id`` that of a concept, with ``/collection#name`` that of a class."""
THEMES_URI = "https://stac-extensions.github.io/themes/v1.0.0/schema.json"


_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_DEEPEST = 20  # steps of a tree
_LISTED = "'satimnet concepts' lists all"


@dataclass(frozen=True, slots=True)
class Concept:
    """A term: its id, its preferred label and its place in the tree."""

    id: str
    label: str
    broader: str | None = None
    """Id of the term above; None at the top."""
    alternatives: tuple[str, ...] = ()
    """Other names of the same thing."""
    hidden: tuple[str, ...] = ()
    """Words that find it, too, though they are not its names."""
    definition: str | None = None

    @property
    def uri(self) -> str:
        """The URI of the concept outside of this package."""
        return f"{SCHEME_URI}#{self.id}"


@dataclass(frozen=True, slots=True)
class MappedClass:
    """A class of a collection, and the one concept that it is or that is broader."""

    collection: str
    name: str
    title: str
    value: int
    concept: str
    exact: bool
    """Whether the class is the concept itself: it has one of the concept's names."""
    description: str | None = None

    @property
    def uri(self) -> str:
        """The URI of the class outside of this package."""
        return f"{SCHEME_URI}/{self.collection}#{self.name}"


@dataclass(frozen=True)
class Scheme:
    """Concepts by id, each after the one above it, and the classes that are mapped to them."""

    concepts: Mapping[str, Concept]
    classes: tuple[MappedClass, ...] = ()

    @cached_property
    def narrower(self) -> dict[str | None, list[str]]:
        """The ids one step below each concept; those at the top under None."""
        below: dict[str | None, list[str]] = {None: [], **{id_: [] for id_ in self.concepts}}
        for concept in self.concepts.values():
            below[concept.broader].append(concept.id)
        return below

    @cached_property
    def classes_of(self) -> dict[str, list[MappedClass]]:
        """The classes that are mapped to each concept itself."""
        mapped: dict[str, list[MappedClass]] = {id_: [] for id_ in self.concepts}
        for class_ in self.classes:
            mapped[class_.concept].append(class_)
        return mapped

    def expand(self, ids: Iterable[str]) -> list[str]:
        """The ids of these concepts and of all narrower ones, sorted.

        Raises:
            BadQueryError: an id is not in the scheme.
        """
        found: set[str] = set()
        waiting = list(ids)
        while waiting:
            id_ = waiting.pop()
            if id_ not in self.concepts:
                raise BadQueryError(f"no concept has the id {id_!r}")
            if id_ not in found:
                found.add(id_)
                waiting += self.narrower[id_]
        return sorted(found)

    def resolve(self, term: str) -> list[Concept]:
        """The concepts that a term means, in the order of the scheme; at least one.

        They are the concepts with a name that fits the term best, as
        `satimnet.builder.vocabulary.matching` compares names. The names of a concept are its id,
        its label, its alternatives, its hidden words, and the names and titles of the classes that
        are mapped to it.

        Raises:
            BadQueryError: no name fits; the message has the nearest ones.
        """
        if found := matches(term, self._names):
            return [concept for id_, concept in self.concepts.items() if id_ in found]
        texts = [t for c in self.concepts.values() for t in (c.label, *c.alternatives)]
        near = difflib.get_close_matches(term.lower()[:100], texts, n=4)
        top = [self.concepts[id_].label for id_ in self.narrower[None]]
        hint = f"did you mean {' or '.join(near)}" if near else f"the widest are {', '.join(top)}"
        raise BadQueryError(f"no concept is called {term[:100]!r}; {hint}")

    @cached_property
    def _names(self) -> list[tuple[str, Name]]:
        names = [(c.id, text) for c in self.concepts.values() for text in (*_labels(c), *c.hidden)]
        names += [(m.concept, text) for m in self.classes for text in (m.name, m.title)]
        return list(dict.fromkeys((id_, name_of(text)) for id_, text in names))


# --- what the datasets say ----------------------------------------------------------------------


def scheme_of(records: Iterable[Mapping[str, Any]] = ()) -> Scheme:
    """The concepts of this package and of these records, with the classes of the records.

    ``records`` are contents of ``dataset.toml``. Their ``[[concepts]]`` rows add concepts below
    those of this package; ``concept`` in each ``[[classes]]`` row is the id of the class's concept.
    A dataset without any is found by its classes alone.

    Raises:
        BadCatalogError: an id is there twice, a broader concept is missing or is its own, a class
            has no concept although others have one, or its concept is not there.
    """
    concepts = dict(_base())
    classes: list[MappedClass] = []
    for record in records:
        known = concepts_of(record)
        for concept in known.values():
            if concepts.setdefault(concept.id, concept) != concept:
                raise BadCatalogError(
                    f"{record['id']}: the concept {concept.id!r} is another one in another "
                    "dataset; give it another id"
                )
        classes += _classes_of(record, known)
    return Scheme(in_order(concepts), tuple(classes))


def concepts_by_class(record: Mapping[str, Any]) -> dict[str, str]:
    """The concept's id of each class name of a dataset; empty if it has no concepts.

    Raises:
        BadCatalogError: as `scheme_of`.
    """
    return {row["name"]: concept.id for row, concept in _mapped(record, concepts_of(record))}


def concept_of(record: Mapping[str, Any], name: str) -> str:
    """Id of the concept that the class ``name`` of a dataset is mapped to.

    Raises:
        ArgumentError: the dataset has no such class.
        BadCatalogError: as `scheme_of`.
    """
    mapped = concepts_by_class(record)
    if name not in mapped:
        raise ArgumentError(
            f"{record['id']}: no class {name!r}; there are: {', '.join(mapped)}", "name"
        )
    return mapped[name]


def themes_of(ids: Iterable[str], scheme: Scheme) -> list[Json]:
    """The field ``themes`` for these concept ids, which must be in the scheme.

    Empty without ids: leave the field and `THEMES_URI` out then, for the extension asks for at
    least one concept. https://github.com/stac-extensions/themes (v1.0.0)
    """
    concepts = [{"id": id_, "title": scheme.concepts[id_].label} for id_ in sorted(set(ids))]
    return [{"scheme": SCHEME_URI, "concepts": concepts}] if concepts else []


@cache
def _base() -> Mapping[str, Concept]:
    path = Path(__file__).with_name("concepts.toml")
    rows = tomllib.loads(path.read_text("utf-8"))["concepts"]
    concepts: dict[str, Concept] = {}
    _add(concepts, rows, path.name)
    return concepts


def concepts_of(record: Mapping[str, Any]) -> Mapping[str, Concept]:
    """The concepts of this package and those that the record adds, by id.

    Raises:
        BadCatalogError: as `scheme_of`.
    """
    if not record.get("concepts"):
        return _base()
    concepts = dict(_base())
    _add(concepts, record.get("concepts", ()), str(record["id"]))
    return concepts


def _add(concepts: dict[str, Concept], rows: Iterable[Mapping[str, Any]], where: str) -> None:
    for row in rows:
        concept = concept_from(row, where)
        if concept.id in concepts:
            raise BadCatalogError(f"{where}: the concept {concept.id!r} is there already")
        concepts[concept.id] = concept
    check_tree(concepts, where)


def concept_from(row: Any, where: str) -> Concept:
    """The concept of a row, of which nothing is certain: it may come from any file."""
    id_ = row.get("id") if isinstance(row, Mapping) else None
    if not isinstance(id_, str) or not _ID.fullmatch(id_):
        raise BadCatalogError(f"{where}: a concept needs an id such as 'mixed-forest': {row!r:.80}")
    known = {"id", "label", "broader", "alternatives", "hidden", "definition"}
    if unknown := sorted(map(str, row.keys() - known)):
        raise BadCatalogError(f"{where}: the concept {id_!r} has a key {unknown[0]!r:.50}")
    for key in ("label", "broader", "definition"):
        if not isinstance(row.get(key, ""), str):
            raise BadCatalogError(f"{where}: {key} of the concept {id_!r} is no text")
    for key in ("alternatives", "hidden"):
        values = row.get(key, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise BadCatalogError(f"{where}: {key} of the concept {id_!r} is no list of texts")
    if not row.get("label"):
        raise BadCatalogError(f"{where}: the concept {id_!r} has no label")
    lists = {key: tuple(row.get(key, ())) for key in ("alternatives", "hidden")}
    return Concept(**{**row, **lists})


def check_tree(concepts: Mapping[str, Concept], where: str) -> None:
    """Raises `BadCatalogError`, which names ``where``, unless the concepts make trees."""
    for concept in concepts.values():
        above = concept
        for _ in range(_DEEPEST):
            if above.broader is None:
                break
            if above.broader not in concepts:
                raise BadCatalogError(
                    f"{where}: the concept {above.id!r} is under {above.broader!r:.80}, "
                    "which is not there"
                )
            above = concepts[above.broader]
        else:
            raise BadCatalogError(
                f"{where}: the concept {concept.id!r} is under itself, "
                f"or more than {_DEEPEST} steps below the top"
            )


def _classes_of(
    record: Mapping[str, Any], concepts: Mapping[str, Concept]
) -> Iterator[MappedClass]:
    for row, concept in _mapped(record, concepts):
        name, title = row["name"], row.get("title", row["name"])
        names = [name_of(text) for text in _labels(concept)]
        exact = any(name_of(text).equals(own) for text in (name, title) for own in names)
        yield MappedClass(
            *(record["id"], name, title, row["value"], concept.id, exact, row.get("description"))
        )


def _mapped(
    record: Mapping[str, Any], concepts: Mapping[str, Concept]
) -> Iterator[tuple[Mapping[str, Any], Concept]]:
    """The rows of the class table, each with its concept."""
    where = record["id"]
    if not any("concept" in row for row in record["classes"]):
        return  # a dataset without concepts is searched by class
    for row in record["classes"]:
        name, id_ = row["name"], row.get("concept")
        if not isinstance(id_, str):
            raise BadCatalogError(f"{where}: the class {name!r} has no concept; {_LISTED}")
        if id_ not in concepts:
            near = difflib.get_close_matches(id_, concepts, n=3)
            raise BadCatalogError(
                f"{where}: the class {name!r} has the concept {id_!r}, which is not there; "
                + (f"did you mean {' or '.join(near)}" if near else _LISTED)
            )
        yield row, concepts[id_]


def in_order(concepts: Mapping[str, Concept]) -> dict[str, Concept]:
    """The same concepts, down the branches of the tree.

    Concepts side by side come in this package's order, then those of datasets by their ids: the
    order must not depend on which dataset joined a catalog first.
    """
    places = {id_: place for place, id_ in enumerate(_base())}
    below: dict[str | None, list[str]] = {}
    for id_ in sorted(concepts, key=lambda id_: (places.get(id_, len(places)), id_), reverse=True):
        below.setdefault(concepts[id_].broader, []).append(id_)
    ordered: dict[str, Concept] = {}
    waiting = below.get(None, [])
    while waiting:
        concept = concepts[waiting.pop()]
        ordered[concept.id] = concept
        waiting += below.get(concept.id, ())
    return ordered


def _labels(concept: Concept) -> tuple[str, ...]:
    return concept.id, concept.label, *concept.alternatives
