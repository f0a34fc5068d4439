"""Exports: a catalog in the languages of others, made of its Collections and ``items.parquet``.

A module a format, each a function of a collection and of where the document will lie. `export`
writes them; what a build writes is never touched.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from satimnet.builder.errors import SatimnetError
from satimnet.builder.exports import citations
from satimnet.builder.exports.links import Links
from satimnet.builder.places import file_name, on_disk
from satimnet.builder.progress import Progress, silent

if TYPE_CHECKING:
    from satimnet.builder.index import Index, IndexedCollection

FORMATS = ("croissant", "trainingdml", "dcat", "schema.org", "bibtex", "citation")
"""The formats, in the order of the documentation."""

# A file for each collection, or one for all of them.
_NAMES_OF_EACH = {"croissant": "{}.croissant.json", "trainingdml": "{}.trainingdml.json"}
_NAMES_OF_ALL = {
    "dcat": "catalog.dcat.jsonld",
    "schema.org": "catalog.schema.jsonld",
    "bibtex": "references.bib",
    "citation": "CITATION.txt",
}


def export(
    index: Index,
    form: str,
    folder: Path,
    *,
    collections: Sequence[str] | None = None,
    progress: Progress = silent,
) -> list[Path]:
    """Writes collections of a catalog (all of them, without ``collections``) into ``folder``.

    Links are relative to ``folder``, unless the catalog lies on the web. A file is there once it is
    complete. Returns the files.

    Raises:
        SatimnetError: no such format or collection, a file is there already, or something cannot be
            read.
    """
    on_disk(folder)
    chosen = _chosen(index, collections)
    if form in _NAMES_OF_EACH:
        jobs = [([one], _NAMES_OF_EACH[form].format(file_name(one.id))) for one in chosen]
    elif form in _NAMES_OF_ALL:
        jobs = [(chosen, _NAMES_OF_ALL[form])]
    else:
        raise SatimnetError(f"no format {form!r}; there are {', '.join(FORMATS)}")
    for _, name in jobs:  # it may be the user's own: in the current folder, a references.bib
        if os.path.lexists(folder / name):
            raise SatimnetError(f"{folder / name}: is there already; choose another --out")
    links = Links(Path(os.path.abspath(folder)))
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for members, name in jobs:
        path = folder / name
        _write(path, partial(_fill, index, form, members, links, progress))
        written.append(path)
    return written


def _fill(
    index: Index,
    form: str,
    collections: Sequence[IndexedCollection],
    links: Links,
    progress: Progress,
    file: BinaryIO,
) -> None:
    if form in ("bibtex", "citation"):
        entry = citations.bibtex if form == "bibtex" else citations.text
        file.write("\n".join(entry(one.document) for one in collections).encode())
    elif form == "trainingdml":
        from satimnet.builder.exports.trainingdml import write_trainingdml

        (collection,) = collections
        write_trainingdml(collection, links, file, progress)
    else:
        document = _document(index, form, collections, links, progress)
        file.write(json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n")


def _document(
    index: Index,
    form: str,
    collections: Sequence[IndexedCollection],
    links: Links,
    progress: Progress,
) -> dict[str, Any]:
    from satimnet.builder.exports.croissant import croissant
    from satimnet.builder.exports.dcat import data_catalog, dcat

    if form == "croissant":
        (collection,) = collections
        return croissant(collection, links, progress)
    return (dcat if form == "dcat" else data_catalog)(index, collections, links)


def _chosen(index: Index, names: Sequence[str] | None) -> list[IndexedCollection]:
    for name in names or ():
        if name not in index.collections and name not in index.unreadable:
            known = ", ".join(index.collections)
            raise SatimnetError(f"{index.href}: no collection {name!r}; there are {known}")
    return [index.collections[name] for name in index.readable(names or None)]


def _write(path: Path, fill: Callable[[BinaryIO], None]) -> None:
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            fill(file)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
