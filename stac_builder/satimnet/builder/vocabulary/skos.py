"""``concepts.json``: the semantic metalayer as a SKOS concept scheme in JSON-LD.

The concepts are one scheme, the classes of each collection another; each class is mapped to one
concept by ``skos:exactMatch`` or ``skos:broadMatch``. The file holds its own JSON-LD context, so
that it can be read without the network. https://www.w3.org/TR/skos-reference/,
https://www.w3.org/TR/json-ld11/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from satimnet.builder.errors import BadCatalogError
from satimnet.builder.types import Json
from satimnet.builder.vocabulary.concepts import (
    SCHEME_URI,
    Concept,
    MappedClass,
    Scheme,
    check_tree,
    concept_from,
    in_order,
    scheme_of,
)

CONCEPTS_NAME = "concepts.json"
CONCEPTS_TYPE = "application/ld+json"

_MOST = 100_000  # concepts and classes of a file; datasets have dozens
_CLASS_URI = re.compile(re.escape(SCHEME_URI) + r"/([\w.-]+)#([0-9A-Za-z_-]+)", re.ASCII)


def _english(term: str) -> Json:
    return {"@id": term, "@language": "en"}


def _reference(term: str) -> Json:
    return {"@id": term, "@type": "@id"}


_CONTEXT: Json = {
    "@version": 1.1,
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "dcterms": "http://purl.org/dc/terms/",
    "id": "@id",
    "type": "@type",
    "ConceptScheme": "skos:ConceptScheme",
    "Concept": "skos:Concept",
    "title": _english("dcterms:title"),
    "description": _english("dcterms:description"),
    "source": _reference("dcterms:source"),
    "notation": "skos:notation",
    **{key: _english(f"skos:{key}") for key in ("prefLabel", "definition")},
    **{
        key: _english(f"skos:{key}") | {"@container": "@set"} for key in ("altLabel", "hiddenLabel")
    },
    **{
        key: _reference(f"skos:{key}")
        for key in ("inScheme", "topConceptOf", "broader", "exactMatch", "broadMatch")
    },
    **{
        key: _reference(f"skos:{key}") | {"@container": "@set"}
        for key in ("hasTopConcept", "narrower")
    },
}


def merged(
    earlier: Scheme, present: Iterable[str], records: Mapping[str, Mapping[str, Any]]
) -> Scheme:
    """The concepts of a catalog to which collections were added, or in which some are new.

    Classes and concepts of collections without a record stay as they were, so that nothing is lost
    when a dataset's package is no longer installed.

    Args:
        earlier: Those of the catalog until now.
        present: Ids of the collections that it has now.
        records: Records of the collections that were just built, by id; more do no harm.

    Raises:
        BadCatalogError: as `scheme_of`.
    """
    there = sorted(present)
    now = scheme_of(records[id_] for id_ in there if id_ in records)
    kept = [m for m in earlier.classes if m.collection in there and m.collection not in records]
    concepts = dict(now.concepts)
    for class_ in kept:
        id_: str | None = class_.concept
        while id_ is not None and id_ not in concepts:
            concepts[id_] = earlier.concepts[id_]
            id_ = earlier.concepts[id_].broader
    classes = sorted([*now.classes, *kept], key=lambda class_: class_.collection)
    return Scheme(in_order(concepts), tuple(classes))


def scheme_json(scheme: Scheme) -> Json:
    """The scheme as JSON-LD; links to the collections are relative to the top of the catalog."""
    graph = [
        {
            "id": SCHEME_URI,
            "type": "ConceptScheme",
            "title": "Concepts of SatImNet",
            "description": "Terms that the classes of all collections are mapped to.",
            "hasTopConcept": [scheme.concepts[id_].uri for id_ in scheme.narrower[None]],
        },
        *(_concept_node(concept, scheme) for concept in scheme.concepts.values()),
    ]
    for collection, classes in groupby(scheme.classes, lambda class_: class_.collection):
        graph.append(
            {
                "id": f"{SCHEME_URI}/{collection}",
                "type": "ConceptScheme",
                "title": f"Classes of {collection}",
                "source": f"./{collection}/collection.json",
            }
        )
        graph += map(_class_node, classes)
    return {"@context": _CONTEXT, "@graph": graph}


def _concept_node(concept: Concept, scheme: Scheme) -> Json:
    node: Json = {
        "id": concept.uri,
        "type": "Concept",
        "inScheme": SCHEME_URI,
        "prefLabel": concept.label,
        "altLabel": list(concept.alternatives),
        "hiddenLabel": list(concept.hidden),
        "definition": concept.definition,
        "narrower": [scheme.concepts[id_].uri for id_ in scheme.narrower[concept.id]],
    }
    if concept.broader is None:
        node["topConceptOf"] = SCHEME_URI
    else:
        node["broader"] = scheme.concepts[concept.broader].uri
    return {key: value for key, value in node.items() if value}


def _class_node(class_: MappedClass) -> Json:
    node = {
        "id": class_.uri,
        "type": "Concept",
        "inScheme": f"{SCHEME_URI}/{class_.collection}",
        "notation": class_.value,
        "prefLabel": class_.title,
        "exactMatch" if class_.exact else "broadMatch": f"{SCHEME_URI}#{class_.concept}",
    }
    return node | ({"definition": class_.description} if class_.description else {})


# --- and back -----------------------------------------------------------------------------------


def scheme_from_json(document: Any, where: str) -> Scheme:
    """The scheme of a ``concepts.json``, as `scheme_json` writes it; ``where`` names the file.

    Nodes of other kinds are ignored.

    Raises:
        BadCatalogError: the document is not such a scheme.
    """
    graph = document.get("@graph") if isinstance(document, Mapping) else None
    if not isinstance(graph, list) or len(graph) > _MOST:
        raise BadCatalogError(f"{where}: this is no concept scheme of a catalog; build it again")
    nodes = [node for node in graph if isinstance(node, Mapping) and node.get("type") == "Concept"]
    concepts: dict[str, Concept] = {}
    for concept in _concepts(nodes, where):
        if concept.id in concepts:
            raise BadCatalogError(f"{where}: the concept {concept.id!r} is there twice")
        concepts[concept.id] = concept
    check_tree(concepts, where)
    return Scheme(in_order(concepts), tuple(_classes(nodes, concepts, where)))


def _concepts(nodes: Iterable[Mapping[str, Any]], where: str) -> Iterator[Concept]:
    for node in nodes:
        if (id_ := _concept_id(node.get("id"))) is None:
            continue
        row = {
            "id": id_,
            "label": node.get("prefLabel"),
            "alternatives": node.get("altLabel"),
            "hidden": node.get("hiddenLabel"),
            "definition": node.get("definition"),
            # `check_tree` finds anything that is no concept of the scheme.
            "broader": _concept_id(node.get("broader")) or node.get("broader"),
        }
        yield concept_from({key: value for key, value in row.items() if value is not None}, where)


def _concept_id(uri: Any) -> str | None:
    start = f"{SCHEME_URI}#"
    return uri.removeprefix(start) if isinstance(uri, str) and uri.startswith(start) else None


def _classes(
    nodes: Iterable[Mapping[str, Any]], concepts: Mapping[str, Concept], where: str
) -> Iterator[MappedClass]:
    for node in nodes:
        if (uri := _CLASS_URI.fullmatch(str(node.get("id")))) is None:
            continue
        title, value = node.get("prefLabel"), node.get("notation")
        description = node.get("definition")
        mapped = [(key, node[key]) for key in ("exactMatch", "broadMatch") if key in node]
        concept = _concept_id(mapped[0][1]) if len(mapped) == 1 else None
        if (
            concept is None
            or concept not in concepts
            or not isinstance(title, str)
            or type(value) is not int
            or not isinstance(description, str | None)
        ):
            raise BadCatalogError(
                f"{where}: the class {uri[2]!r} of {uri[1]} needs a label, a value and one "
                "concept; build the collection again"
            )
        exact = mapped[0][0] == "exactMatch"
        yield MappedClass(uri[1], uri[2], title, value, concept, exact, description)
