"""The functions that stactools expects of a package: pystac objects at the edge of the builder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from satimnet.builder.catalog.collections import collection_of
from satimnet.builder.catalog.items import describe_files
from satimnet.builder.datasets import Dataset
from satimnet.builder.errors import ArgumentError, BadFileError
from satimnet.builder.packing.sample_files import contents
from satimnet.builder.packing.shards import PackedSample, packed
from satimnet.builder.samples import Sample
from satimnet.builder.sources import Entry, Source

if TYPE_CHECKING:
    import pystac


def create_collection(dataset: Dataset) -> pystac.Collection:
    """The Collection of a dataset as its record has it, without Items.

    Example:
        >>> from stactools.eurosat import dataset
        >>> create_collection(dataset).title
        'EuroSAT'
    """
    import pystac

    return pystac.Collection.from_dict(collection_of(dataset.record))


def create_item(dataset: Dataset, *hrefs: str) -> pystac.Item:
    """The Item of one sample whose files lie open on disk; its assets point at them.

    Args:
        dataset: the dataset that the sample is of.
        hrefs: paths of the sample's files.

    Raises:
        ArgumentError: the files are not those of one sample of the dataset.
        BadFileError: a file is damaged.

    Example:
        >>> import tempfile, zipfile
        >>> from stactools.eurosat import dataset
        >>> from stactools.eurosat.miniature import write_miniature
        >>> folder = Path(tempfile.mkdtemp())
        >>> (archive,) = write_miniature(folder, 1, bands=False)
        >>> path = zipfile.ZipFile(archive).extract("2750/River/River_1.jpg", folder)
        >>> create_item(dataset, path).properties["satimnet:classes"]
        ['River']
    """
    import pystac

    source = Source(tuple(Path(href).absolute() for href in hrefs))
    samples = [found for found in dataset.scan(source) if isinstance(found, Sample)]
    if len(samples) != 1:
        raise ArgumentError(
            f"{', '.join(hrefs)}: not the files of one sample; {dataset.record.layout}", "hrefs"
        )
    (sample,) = samples
    with source.reader() as reader:
        made = contents(sample, reader, dataset.record, as_published=True)
    if made.problems:
        raise BadFileError(made.problems[0].path, made.problems[0].reason)
    members = [
        packed(content, 0)._replace(path=member.entry.container)
        for content, member in zip(made.files, sample.members, strict=True)
        if isinstance(member.entry, Entry)
    ]
    sampled = PackedSample(sample, tuple(members), made.classes, made.statistics)
    return pystac.Item.from_dict(describe_files(sampled, dataset.record))
