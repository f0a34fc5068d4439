"""Notebook stubs: a notebook beside each collection that opens it, to begin one's own with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from satimnet.builder.catalog.items import TOP
from satimnet.builder.storage.atomic_files import json_bytes
from satimnet.builder.types import Json

NOTEBOOK_NAME = "first-look.ipynb"
NOTEBOOK_ASSET = {
    "href": f"./{NOTEBOOK_NAME}",
    "type": "application/x-ipynb+json",
    "title": "Notebook: a first look at the samples",
    "roles": ["example"],
}
"""Asset of the Collection."""

_CELLS = (
    'from satimnet.training import open_samples\n\ncatalog = "{top}"  # or its URL\n'
    "samples = open_samples(catalog).search(collections={name!r})\nsamples",
    "samples.plot(12)",
    "sample = samples[0]\nprint(sample, sample.bands)\nsample.image.shape, sample.image.dtype",
    "# samples.explore()  # opens a page with all of them",
)


def write_notebook(collection: Mapping[str, Any], folder: Path) -> None:
    """Writes ``first-look.ipynb``, which needs ``pip install 'satimnet[training,serve]'``.

    Args:
        collection: The Collection as JSON.
        folder: Its folder in the catalog.
    """
    head = (
        f"# {collection['title']}\n\n{collection['description']}\n\n"
        f"Licence: {collection['license']}. "
        "This notebook needs `pip install 'satimnet[training,serve]'`."
    )
    cells: list[Json] = [{"cell_type": "markdown", "metadata": {}, "source": head}]
    for text in _CELLS:
        source = text.format(top=TOP, name=collection["id"])
        cell: Json = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
        cells.append(cell | {"source": source})
    notebook = {
        "cells": [one | {"id": f"cell-{at}"} for at, one in enumerate(cells)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (folder / NOTEBOOK_NAME).write_bytes(json_bytes(notebook))
