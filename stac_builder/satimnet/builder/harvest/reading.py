"""A description is read, and handed to the module that knows its form."""

from __future__ import annotations

import os

from satimnet.builder.catalog.checked_documents import parse
from satimnet.builder.errors import BadCatalogError, BadFileError, printable
from satimnet.builder.harvest.description import Description
from satimnet.builder.harvest.from_croissant import is_croissant, read_croissant
from satimnet.builder.harvest.from_hugging_face import is_card, read_card
from satimnet.builder.harvest.from_stac import is_stac, read_stac
from satimnet.builder.harvest.from_zenodo import is_zenodo, read_zenodo
from satimnet.builder.storage import objects
from satimnet.builder.storage.hrefs import readable
from satimnet.builder.storage.stores import is_url, shown

MAX_SIZE = 2**23
"""The most bytes of a description; those of large datasets have some hundred KiB."""

_FORMS = (
    (is_stac, read_stac),
    (is_croissant, read_croissant),
    (is_zenodo, read_zenodo),
)


def read_description(place: str) -> Description:
    """What a description says of a dataset.

    Args:
        place: path or URL of a Croissant description, a STAC Collection, the ``README.md`` of a
            dataset at Hugging Face, or a record of Zenodo as its API answers it.

    Raises:
        NotFoundError: nothing is there.
        SatimnetError: it is at a place that cannot be read from, such as ``ftp://``.
        StorageError: it cannot be read, or is larger than `MAX_SIZE`.
        BadFileError: it has none of these forms.

    Example:
        >>> import json, tempfile
        >>> from pathlib import Path
        >>> file = Path(tempfile.mkdtemp(), "harbours.json")
        >>> _ = file.write_text(json.dumps({"recid": "1", "metadata": {
        ...     "title": "Harbours", "license": {"id": "cc-by-4.0"}}}))
        >>> read_description(str(file)).license
        'CC-BY-4.0'
    """
    content = objects.read(readable(place), most=MAX_SIZE)
    named = printable(shown(place) if is_url(place) else os.path.basename(place))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unknown(named) from error
    if is_card(text):
        return read_card(text, named)
    try:
        document = parse(text.encode(), named)
    except BadCatalogError as error:
        if text.lstrip().startswith("{"):
            raise BadFileError(named, str(error).removeprefix(f"{named}: ")) from error
        raise _unknown(named) from error
    for is_form, read in _FORMS:
        if is_form(document):
            return read(document, named)
    raise _unknown(named)


def _unknown(named: str) -> BadFileError:
    return BadFileError(
        named,
        "no description that is known; give a Croissant description, a STAC Collection, the "
        "README.md of a dataset at Hugging Face (with its YAML head), or a record of Zenodo as "
        "https://zenodo.org/api/records/<number> answers it",
    )
