"""The functions that stactools expects of a package: pystac objects at the edge of the builder."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from satimnet.builder.catalogs import collection_of
from satimnet.builder.datasets import Dataset
from satimnet.builder.errors import SatimnetError
from satimnet.builder.headers import read_header
from satimnet.builder.items import describe_files
from satimnet.builder.samples import Sample
from satimnet.builder.shards import PackedMember
from satimnet.builder.sources import Source

if TYPE_CHECKING:
    import pystac


def create_collection(dataset: Dataset) -> pystac.Collection:
    """The Collection of a dataset as its record has it, without items."""
    import pystac

    return pystac.Collection.from_dict(collection_of(dataset.record))


def create_item(dataset: Dataset, *hrefs: str) -> pystac.Item:
    """The Item of one sample whose files lie open on disk; its assets point at them.

    Raises:
        SatimnetError: the files are not those of one sample of the dataset.
        BadFileError: a file is damaged.
    """
    import pystac

    source = Source(tuple(Path(href).absolute() for href in hrefs))
    found = list(dataset.scan(source))
    if len(found) != 1 or not isinstance(found[0], Sample):
        raise SatimnetError(
            f"{', '.join(hrefs)}: not the files of one sample; {dataset.record['layout']}"
        )
    members = []
    for member in found[0].members:
        data = source.read(member.entry)
        header = read_header(data, member.entry.label)
        sha256 = hashlib.sha256(data).hexdigest()
        path = member.entry.container
        members.append(PackedMember(member.asset, path, 0, len(data), sha256, header))
    return pystac.Item.from_dict(describe_files(found[0], members, dataset.record))
