"""Attached exports: a collection links its description in a format of others as an asset."""

from __future__ import annotations

import os
from pathlib import Path

from satimnet.builder.catalog.geoparquet import PARQUET_TYPE
from satimnet.builder.errors import ArgumentError
from satimnet.builder.exports import export
from satimnet.builder.progress import Progress, silent
from satimnet.builder.publishing.attaching import Attachment, attach, place_in_store
from satimnet.builder.query.index import Index
from satimnet.builder.storage.hrefs import catalog_file
from satimnet.builder.types import Json, PathLike

_ASSETS = {
    "croissant": ("application/ld+json", "Croissant (MLCommons)"),
    "trainingdml": ("application/json", "TrainingDML-AI (OGC)"),
    "gdal-parquet": (PARQUET_TYPE, "Items whose files GDAL opens"),
    "bibtex": ("application/x-bibtex", "References, BibTeX"),
    "citation": ("text/plain", "How to cite it"),
}
"""Media types and titles of the formats that describe a collection."""


def attach_export(
    catalog: str | os.PathLike[str],
    form: str,
    *,
    collections: tuple[str, ...] | None = None,
    base: PathLike | None = None,
    single_writer: bool = False,
    progress: Progress = silent,
) -> dict[str, str]:
    """Writes collections in another format, and publishes versions of them that link the files.

    Args:
        catalog: Path of ``catalog.json`` or of its folder.
        form: A format that describes a collection.
        collections: Ids of the collections; None takes all that can be read.
        base: As of `satimnet.builder.exports.export`.
        single_writer: As of `satimnet.builder.publishing.attaching.attach`.
        progress: Is told how far it is.

    Returns:
        Name of the version by id of the collection.

    Raises:
        ArgumentError: The format describes a catalog as a whole, or is a folder of images; or
            gdal-parquet is to be attached, and nobody says where the catalog will lie.
        SatimnetError: As `satimnet.builder.exports.export` and
            `satimnet.builder.publishing.attaching.attach`.
    """
    if form not in _ASSETS:
        raise ArgumentError(
            f"form {form}: is no description of a collection; attach {', '.join(_ASSETS)}", "form"
        )
    if form == "gdal-parquet" and base is None:
        raise ArgumentError(
            "base: gdal-parquet has absolute paths; say where the catalog will lie", "base"
        )
    media_type, title = _ASSETS[form]
    place = catalog_file(catalog)

    def make(document: Json, folder: Path) -> list[Attachment]:
        index = Index.of_document(place, document)
        future_place = place_in_store(place, document)
        (file,) = export(
            index, form, folder, base=base, future_place=future_place, progress=progress
        )
        return [Attachment(form, file.name, media_type, title)]

    wanted = collections or tuple(Index(place).readable())
    return {id_: attach(place, id_, make, single_writer=single_writer) for id_ in wanted}
