"""``satimnet concepts``: the semantic metalayer is shown."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from satimnet.builder.commands import one_line_errors
from satimnet.cli.options import allow_outside, at, at_option, outside_option
from satimnet.cli.output import cell, say_json
from satimnet.cli.wording import counted

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from satimnet.builder.vocabulary.concepts import Concept, MappedClass, Scheme

    Counts = Mapping[tuple[str, str], int]  # items that have the class, by collection and class


@click.command(short_help="Show concepts and the classes under them.")
@click.argument("term", required=False)
@click.option(
    "--catalog", help="Path or URL of a catalog; without it, all installed datasets are shown."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print them.",
)
@outside_option
@at_option
@one_line_errors
def concepts(term: str | None, catalog: str | None, form: str) -> None:
    """Show the concepts that TERM finds, and the classes of each collection under them.

    Without TERM, all concepts are shown. A class after "=" means the same as the concept; a class
    after "<" is narrower. With --catalog, each class has the number of items in which it occurs.
    """
    scheme, counts = _of_catalog(catalog) if catalog is not None else (_of_datasets(), None)
    if term is None:
        roots = [scheme.concepts[id_] for id_ in scheme.narrower[None]]
    else:
        found = scheme.resolve(term)
        below = {id_ for c in found for id_ in scheme.expand(scheme.narrower[c.id])}
        roots = [concept for concept in found if concept.id not in below]
    if form == "json":
        wanted = set(scheme.expand(concept.id for concept in roots))
        shown = [concept for concept in scheme.concepts.values() if concept.id in wanted]
        rows = [_row(concept, scheme, counts) for concept in shown]
        say_json(rows)
    else:
        _print_trees(roots, scheme, counts, everything=term is not None)


def _of_datasets() -> Scheme:
    from satimnet.builder.datasets import installed
    from satimnet.builder.vocabulary.concepts import scheme_of

    return scheme_of(dataset.record for dataset in installed().values())


def _of_catalog(catalog: str) -> tuple[Scheme, Counts]:
    from satimnet.builder.query.collection_counts import collection_counts
    from satimnet.builder.query.index import Index

    index = Index(catalog, allow_outside=allow_outside(), version=at())
    return index.scheme, {
        (collection.id, name): number
        for collection in collection_counts(index)
        for name, number in collection.classes.items()
    }


# --- the result -----------------------------------------------------------------------------------


def _row(concept: Concept, scheme: Scheme, counts: Counts | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": concept.id,
        "label": concept.label,
        "broader": concept.broader,
        "narrower": scheme.narrower[concept.id],
        "alternatives": list(concept.alternatives),
        "definition": concept.definition,
        "classes": [],
    }
    for class_ in scheme.classes_of[concept.id]:
        mapped: dict[str, Any] = {
            "collection": class_.collection,
            "name": class_.name,
            "title": class_.title,
            "value": class_.value,
            "match": "exact" if class_.exact else "broad",
        }
        if counts is not None and class_.value:
            mapped["items"] = counts.get((class_.collection, class_.name), 0)
        row["classes"].append(mapped)
    return row


def _print_trees(
    roots: Sequence[Concept], scheme: Scheme, counts: Counts | None, *, everything: bool
) -> None:
    """Prints the branches; unless it is ``everything``, only those that end in a class."""
    from rich.console import Console
    from rich.tree import Tree

    used = {id_ for id_ in scheme.concepts if scheme.classes_of[id_]}
    for concept in reversed(list(scheme.concepts.values())):  # the narrower ones come first
        if concept.id in used and concept.broader is not None:
            used.add(concept.broader)

    def grow(tree: Tree, id_: str) -> None:
        for class_ in scheme.classes_of[id_]:
            tree.add(_class_text(class_, counts))
        for below in scheme.narrower[id_]:
            if everything or below in used:
                grow(tree.add(_concept_text(scheme.concepts[below])), below)

    console = Console(width=None if sys.stdout.isatty() else 200)
    for concept in roots:
        if everything or concept.id in used:
            tree = Tree(_concept_text(concept, _above(concept, scheme)))
            grow(tree, concept.id)
            console.print(tree)


def _above(concept: Concept, scheme: Scheme) -> list[str]:
    """Labels from the top down to what is just above the concept."""
    labels: list[str] = []
    while concept.broader is not None:
        concept = scheme.concepts[concept.broader]
        labels.insert(0, concept.label)
    return labels


def _concept_text(concept: Concept, above: Sequence[str] = ()) -> Text:
    text = cell("".join(f"{label} / " for label in above), "dim")
    text.append_text(cell(concept.label, "bold not dim"))
    return text.append_text(cell("".join(f", {name}" for name in concept.alternatives), "dim"))


def _class_text(class_: MappedClass, counts: Counts | None) -> Text:
    text = cell("= " if class_.exact else "< ").append_text(cell(class_.collection, "cyan"))
    text.append_text(cell(f": {class_.title}"))
    if counts is not None and class_.value:  # Items do not list the class of value 0
        text.append(f"  {counted(counts.get((class_.collection, class_.name), 0), 'item')}", "dim")
    return text
