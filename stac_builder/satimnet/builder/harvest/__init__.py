"""Harvesting: what descriptions on the web say of a dataset becomes the record of a package.

`read_description` reads a Croissant description, a STAC Collection, a dataset card of Hugging Face
or a record of Zenodo. Each format has a module. They say what a dataset is in one form, the
`Description`, and `record_file` writes that as ``dataset.toml``.

A description is not trusted. Its size is bounded, nothing in it becomes a path, and every value is
checked for its kind; what does not pass is left out and named.
"""

from __future__ import annotations

from satimnet.builder.harvest.description import Description
from satimnet.builder.harvest.reading import read_description
from satimnet.builder.harvest.record_file import Record, record_of

__all__ = ["Description", "Record", "read_description", "record_of"]
