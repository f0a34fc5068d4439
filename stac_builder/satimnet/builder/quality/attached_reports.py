"""Attached reports: a collection links the report on its quality as assets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from satimnet.builder.catalog.geoparquet import PARQUET_TYPE
from satimnet.builder.publishing.attaching import Attachment, attach, place_in_store
from satimnet.builder.quality.assessment import assess
from satimnet.builder.quality.report_files import REPORT_NAME, Report
from satimnet.builder.query.index import Index
from satimnet.builder.storage.hrefs import catalog_file
from satimnet.builder.types import Json

_FOLDER = "quality"
_ASSETS = {
    "quality-report": ("report.html", "text/html", "Quality report"),
    "quality-summary": ("report.md", "text/markdown", "Quality report without pictures"),
    "quality-figures": (REPORT_NAME, "application/json", "Quality report in figures"),
    "quality-findings": ("findings.ndjson", "application/x-ndjson", "All findings on quality"),
    "quality-items": ("items.parquet", PARQUET_TYPE, "What was measured of each item"),
}
"""Names, media types and titles of the files of a report."""


def attach_report(
    catalog: str | os.PathLike[str], id_: str, *, single_writer: bool = False, **how: Any
) -> tuple[Report, str]:
    """Judges a collection by itself, and publishes a version of it that links the report.

    Args:
        catalog: Path of ``catalog.json`` or of its folder.
        id_: Id of the collection.
        single_writer: As of `satimnet.builder.publishing.attaching.attach`.
        **how: As of `satimnet.builder.quality.assess`: scheduler, compare, bands, offset, progress.

    Returns:
        The report, and the name of the version.

    Raises:
        SatimnetError: As `satimnet.builder.quality.assess` and
            `satimnet.builder.publishing.attaching.attach`.
    """
    place = catalog_file(catalog)
    reports: list[Report] = []

    def make(document: Json, folder: Path) -> list[Attachment]:
        index = Index.of_document(place, document)
        in_store = place_in_store(place, document)
        future_place = f"{in_store}/{_FOLDER}" if in_store else ""
        reports.append(assess(index, folder / _FOLDER, future_place=future_place, **how))
        return [
            Attachment(key, f"{_FOLDER}/{name}", media_type, title)
            for key, (name, media_type, title) in _ASSETS.items()
        ]

    version = attach(place, id_, make, single_writer=single_writer)
    return reports[0], version
