"""Exports: a catalog in other formats, made of its Collections and ``items.parquet``.

Each format has a module, whose function makes a document of a collection and of where the document
will lie. `export` writes the documents; what a build writes is never touched. The paper's tables
are made here, too (`satimnet.builder.exports.paper_tables`).
"""

from __future__ import annotations

import filecmp
import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from satimnet.builder.errors import ArgumentError, NotFoundError
from satimnet.builder.exports import citations
from satimnet.builder.exports.links import Links
from satimnet.builder.exports.relocation import Relocation
from satimnet.builder.progress import Progress, silent
from satimnet.builder.storage.atomic_files import settle
from satimnet.builder.storage.hrefs import file_name, on_disk, warn_of_secret
from satimnet.builder.storage.staging import lock
from satimnet.builder.types import PathLike

if TYPE_CHECKING:
    from satimnet.builder.query.index import Index, IndexedCollection

FORMATS = (
    *("croissant", "trainingdml", "gdal-parquet"),
    *("dcat", "schema.org", "bibtex", "citation", "sssom"),
    "hugging-face",
)
"""The formats that describe a catalog, in the order of the documentation."""
HUB = "hugging-face"
"""The format that is one folder for all collections."""
OBJECT_FORMATS = ("coco", "yolo", "yolo-obb", "voc")
"""The formats of detectors: a folder for each collection, with its images and objects."""

# A file for each collection, or one for all of them.
_NAMES_OF_EACH = {
    "croissant": "{}.croissant.json",
    "trainingdml": "{}.trainingdml.json",
    "gdal-parquet": "{}.gdal.parquet",
}
_NAMES_OF_ALL = {
    "dcat": "catalog.dcat.jsonld",
    "schema.org": "catalog.schema.jsonld",
    "bibtex": "references.bib",
    "citation": "CITATION.txt",
    "sssom": "crosswalk.sssom.tsv",
}

_WITHOUT_LINKS = ("bibtex", "citation", "sssom")
_WITHOUT_SPLITS = ("croissant", *_NAMES_OF_ALL)
"""Formats that describe the files as they are, and have no line for each Item."""


def export(
    index: Index,
    form: str,
    folder: Path,
    *,
    collections: Sequence[str] | None = None,
    base: PathLike | None = None,
    future_place: str = "",
    progress: Progress = silent,
) -> list[Path]:
    """Writes collections of a catalog in another format.

    Links are relative to ``folder``, unless the catalog lies on the web; those of gdal-parquet are
    always absolute. A file is there once it is
    complete; one that is there already, as after a kill, may stay if it says the same.

    Args:
        index: The open catalog.
        form: One of `FORMATS` or `OBJECT_FORMATS`.
        folder: Where to write; made if it is not there.
        collections: Ids of the collections; None takes all that can be read.
        base: Of gdal-parquet, where the catalog will lie when the file is used: a folder, or a URL
            with https, http, s3, gs or az. None is where it lies now.
        future_place: The place in the catalog's store where ``folder`` will lie, if that is not
            here: links lead from there on.
        progress: Is told how far it is.

    Returns:
        The files: one for each collection, or one for all of them; of `OBJECT_FORMATS` a folder
        for each collection that has objects, of `HUB` one folder.

    Raises:
        NotFoundError: no such collection, or a file of it is missing.
        ArgumentError: no such format, another file is there already, or ``base`` does not fit.
        SatimnetError: something cannot be read.
    """
    on_disk(folder)
    if base is not None and form != "gdal-parquet":
        raise ArgumentError(f"base is for the format gdal-parquet, not for {form}", "base")
    if index.splits is not None and form in _WITHOUT_SPLITS:
        raise ArgumentError(
            f"splits: the format {form} describes files and says no split of an Item; leave it out",
            "splits",
        )
    relocation = Relocation.of(index.href, base)
    chosen = _chosen(index, collections)
    if form in _NAMES_OF_EACH:
        jobs = [([one], _NAMES_OF_EACH[form].format(file_name(one.id))) for one in chosen]
    elif form == HUB:
        return _hub_folder(index, chosen, folder, progress)
    elif form in OBJECT_FORMATS:
        return _folders(form, chosen if collections else _with_objects(chosen), folder, progress)
    elif form in _NAMES_OF_ALL:
        jobs = [(chosen, _NAMES_OF_ALL[form])]
    else:
        raise ArgumentError(
            f"no format {form!r}; there are {', '.join((*FORMATS, *OBJECT_FORMATS))}", "form"
        )
    links = Links(Path(os.path.abspath(folder)), catalog=index.href, future_place=future_place)
    if base is None and form not in _WITHOUT_LINKS:
        warn_of_secret(index.href)
    # First those that exist: one may be the user's own, such as a references.bib in this folder.
    for members, name in sorted(jobs, key=lambda job: not os.path.lexists(folder / job[1])):
        with lock(folder / name):
            fill = partial(_fill, index, form, members, links, relocation, progress)
            _write(folder / name, fill)
    return [folder / name for _, name in jobs]


def _fill(
    index: Index,
    form: str,
    collections: Sequence[IndexedCollection],
    links: Links,
    relocation: Relocation,
    progress: Progress,
    file: BinaryIO,
) -> None:
    if form in ("bibtex", "citation"):
        entry = citations.bibtex if form == "bibtex" else citations.text
        file.write("\n".join(entry(one.document) for one in collections).encode())
    elif form == "sssom":
        from satimnet.builder.exports.sssom import crosswalk

        file.write(crosswalk(index.scheme, (one.id for one in collections)).encode())
    elif form == "trainingdml":
        from satimnet.builder.exports.trainingdml import write_trainingdml

        (collection,) = collections
        write_trainingdml(collection, links, file, progress)
    elif form == "gdal-parquet":
        from satimnet.builder.exports.gdal_parquet import write_gdal_parquet

        (collection,) = collections
        write_gdal_parquet(collection, relocation, file, progress)
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


def _with_objects(chosen: Sequence[IndexedCollection]) -> list[IndexedCollection]:
    """Those that have files of objects."""
    from satimnet.builder.exports.labelled_images import image_keys

    found = [one for one in chosen if image_keys(one.document) and one.document.annotations]
    if not found:
        raise ArgumentError(
            "no collection has objects to write; build one of detection, such as DOTA",
            "collections",
        )
    return found


def _folders(
    form: str, collections: Sequence[IndexedCollection], folder: Path, progress: Progress
) -> list[Path]:
    """The folders of collections in a format of detectors."""
    from satimnet.builder.exports.detection_folders import write_detection_folder

    made = [folder / f"{file_name(one.id)}.{form}" for one in collections]
    for path in made:  # all of them before the first is written
        if os.path.lexists(path):
            raise ArgumentError(f"{path}: is there already; choose another folder", "folder")
    for one, path in zip(collections, made, strict=True):
        with lock(path):
            write_detection_folder(form, one, path, progress)
    return made


def _hub_folder(
    index: Index, collections: Sequence[IndexedCollection], folder: Path, progress: Progress
) -> list[Path]:
    """The folder of a dataset on the hub."""
    from satimnet.builder.exports.hugging_face import write_hub_folder

    write_hub_folder(index, collections, folder / HUB, progress)
    return [folder / HUB]


def _chosen(index: Index, names: Sequence[str] | None) -> list[IndexedCollection]:
    for name in names or ():
        if name not in index.collections and name not in index.unreadable:
            known = ", ".join(index.collections)
            raise NotFoundError(f"{index.href}: no collection {name!r}; there are {known}")
    return [index.collections[name] for name in index.readable(names or None)]


def _write(path: Path, fill: Callable[[BinaryIO], None]) -> None:
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            fill(file)
        if not os.path.lexists(path):
            settle(part, path)
        elif not (path.is_file() and filecmp.cmp(part, path, shallow=False)):
            raise ArgumentError(f"{path}: is there already; choose another folder", "folder")
    finally:
        part.unlink(missing_ok=True)
