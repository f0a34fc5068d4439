"""A crosswalk: the classes of collections, their concepts, and the codes of land-cover maps.

The file is SSSOM/TSV, a table of mappings below a block of metadata in YAML
(https://mapping-commons.github.io/sssom/spec-formats-tsv/). A set must have ``mapping_set_id`` and
``license``, a mapping ``predicate_id`` and ``mapping_justification``. A class has the code of its
concept or of the nearest concept above it, by the chaining rules T1, RCE1 and RCE2 of
https://mapping-commons.github.io/sssom/chaining-rules/.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from typing import Any

from satimnet.builder.errors import printable
from satimnet.builder.vocabulary.code_lists import Code, CodeList, code_lists
from satimnet.builder.vocabulary.concepts import SCHEME_URI, Concept, MappedClass, Scheme

_CURATED, _CHAINED = "semapv:ManualMappingCuration", "semapv:MappingChaining"
_PREFIXES = {
    "concept": f"{SCHEME_URI}#",
    "semapv": "https://w3id.org/semapv/vocab/",
    "skos": "http://www.w3.org/2004/02/skos/core#",
}


@dataclass(frozen=True, slots=True, order=True)
class Mapping:
    """A row: its fields are SSSOM's slots, in the order of SSSOM's columns."""

    subject_id: str
    subject_label: str
    predicate_id: str
    object_id: str
    object_label: str
    mapping_justification: str


def crosswalk(scheme: Scheme, collections: Iterable[str]) -> str:
    """The text of the file.

    Args:
        scheme: The concepts of a catalog, with its classes.
        collections: Ids of the collections whose classes are mapped.

    Returns:
        SSSOM/TSV: the mappings of the classes to concepts and to codes, then those of the concepts
        to codes, sorted.

    Example:
        >>> scheme = Scheme(
        ...     {"water": Concept("water", "water")},
        ...     (MappedClass("ponds", "Pond", "Pond", 1, "water", exact=False),),
        ... )
        >>> print(crosswalk(scheme, ["ponds"]).splitlines()[-3].replace(chr(9), " "))
        class.ponds:Pond Pond skos:broadMatch concept:water water semapv:ManualMappingCuration
    """
    chosen = set(collections)
    classes = [one for one in scheme.classes if one.collection in chosen]
    rows = sorted({row for one in classes for row in _of_class(one, scheme)})
    named = {id_ for one in classes for id_ in _upwards(one.concept, scheme)}
    rows += sorted(row for id_ in named for row in _of_concept(scheme.concepts[id_]))
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow([field.name for field in fields(Mapping)])
    writer.writerows(map(astuple, rows))
    return _metadata(classes) + text.getvalue()


def _of_class(one: MappedClass, scheme: Scheme) -> Iterator[Mapping]:
    subject = f"{_prefix(one.collection)}:{one.name}", _line(one.title)
    relation = "exact" if one.exact else "broad"
    concept = scheme.concepts[one.concept]
    yield Mapping(*subject, _match(relation), *_named(concept), _CURATED)
    for codes in code_lists():
        if (found := _nearest(one, scheme, codes)) is not None:
            yield Mapping(*subject, _match(found.relation), *_coded(codes, found), _CHAINED)


def _of_concept(concept: Concept) -> Iterator[Mapping]:
    for codes in code_lists():
        if (found := codes.codes.get(concept.id)) is not None:
            named = _named(concept)
            yield Mapping(*named, _match(found.relation), *_coded(codes, found), _CURATED)


def _nearest(one: MappedClass, scheme: Scheme, codes: CodeList) -> Code | None:
    """The code of the nearest concept, as it stands to the class; None where nothing follows."""
    for id_ in _upwards(one.concept, scheme):
        code = codes.codes.get(id_)
        own = "exact" if one.exact and id_ == one.concept else "broad"
        if code is not None and (relation := _chained(own, code.relation)) is not None:
            return Code(code.code, code.label, relation)
    return None


def _chained(first: str, second: str) -> str | None:
    """How A stands to C, where A stands to B and B to C; None where the rules say nothing."""
    if first == "exact":
        return second
    if second == "exact":
        return first
    return first if first == second and first in ("broad", "narrow") else None


def _upwards(concept: str, scheme: Scheme) -> Iterator[str]:
    """The ids of a concept and of those above it."""
    id_: str | None = concept
    while id_ is not None:
        yield id_
        id_ = scheme.concepts[id_].broader


def _metadata(classes: Iterable[MappedClass]) -> str:
    import yaml

    prefixes = _PREFIXES | {codes.id: codes.uri for codes in code_lists()}
    for one in classes:
        prefixes[_prefix(one.collection)] = f"{SCHEME_URI}/{one.collection}#"
    block: dict[str, Any] = {
        "curie_map": dict(sorted(prefixes.items())),
        "mapping_set_id": f"{SCHEME_URI}/crosswalk",
        "mapping_set_title": "Classes of training sets, their concepts, and land-cover codes",
        "license": "https://www.apache.org/licenses/LICENSE-2.0",
        "mapping_tool": "satimnet",
        "see_also": [codes.source for codes in code_lists()],
    }
    text = yaml.safe_dump(block, sort_keys=False, allow_unicode=True, width=1000)
    return "".join(f"# {line}\n" for line in text.splitlines())


def _prefix(collection: str) -> str:
    """The prefix of a collection's classes, which begins with a letter, as prefixes must."""
    return f"class.{collection}"


def _named(concept: Concept) -> tuple[str, str]:
    return f"concept:{concept.id}", _line(concept.label)


def _coded(codes: CodeList, code: Code) -> tuple[str, str]:
    return f"{codes.id}:{code.code}", code.label


def _match(relation: str) -> str:
    return f"skos:{relation}Match"


def _line(text: str) -> str:
    """A foreign text as a line that no terminal takes for an order."""
    return printable(" ".join(text.split()))
