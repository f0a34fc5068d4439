"""Chips: a collection of large images becomes one of chips of one size, with their labels.

It is built as any other: the files of a chip are made when its shard is packed, a killed run goes
on from its finished shards, and the same collection and options give the same bytes. Each Item has
a link ``derived_from`` to the Item that it was cut of.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from satimnet.builder.arguments import checked
from satimnet.builder.chipping.chip_files import forget_scenes
from satimnet.builder.chipping.chip_options import ChipOptions, Compression, is_chip_recipe
from satimnet.builder.chipping.chip_record import record_of
from satimnet.builder.chipping.chip_samples import Cutting
from satimnet.builder.chipping.clipping import MIN_INSIDE
from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.datasets import Dataset
from satimnet.builder.errors import ArgumentError, NotFoundError
from satimnet.builder.packing.shard_plans import DEFAULT_SHARD_SIZE
from satimnet.builder.pipeline import BadFiles, Report, build
from satimnet.builder.progress import Progress, silent
from satimnet.builder.publishing.derived_places import may_replace, place_for
from satimnet.builder.query.index import Index
from satimnet.builder.query.search import search_table
from satimnet.builder.storage.hrefs import is_url

_ANY_VERSION = "version"  # hrefs are the same from each


@dataclass(frozen=True)
class Chipped:
    """What was cut."""

    report: Report
    collection: str
    """Id of the collection of chips."""
    catalog: Path | str
    """The place of the catalog that it is in, a path or the URL of an object store."""
    scenes: int
    """Images that were cut."""
    chips: int
    """Chips that they have."""
    empty: int
    """Of them those that are known to have no object and no class."""
    thinned: int
    """Empty ones that were left out."""


@checked()
def chip(
    catalog: str | os.PathLike[str],
    collection: str,
    size: tuple[int, int],
    *,
    overlap: tuple[int, int] = (0, 0),
    keep_empty: float = 1.0,
    min_inside: float = MIN_INSIDE,
    seed: int = 0,
    id: str | None = None,
    compression: Compression = "none",
    out: str | os.PathLike[str] | None = None,
    allow_outside: bool = False,
    scheduler: str = "threads",
    shard_size: int = DEFAULT_SHARD_SIZE,
    bad_files: BadFiles = "few",
    single_writer: bool = False,
    progress: Progress = silent,
) -> Chipped:
    """Makes a collection of chips of a collection of ``catalog``, a path or URL.

    The chips of an image lie side by side, or overlap. The last of a row or column ends with the
    image; beyond images that are smaller there are zeros. An object is kept if enough of its area
    lies in the chip: it is cut at the edge, and its properties say ``truncated`` and which share of
    its area is ``inside``. Masks are cut as they are. Files in another form, such as the
    publisher's label files, are left out.

    Args:
        catalog: path or URL of the catalog to cut from.
        collection: id of the collection.
        size: rows and columns of a chip.
        overlap: rows and columns that neighbours have in common.
        keep_empty: the share of the chips without an object or a class that is kept. Chips of
            images that nobody has annotated are not empty.
        min_inside: the share of its area that an object must have in a chip to be kept.
        seed: 0 or more; by it the empty chips are drawn that are kept.
        id: id of the collection of chips; None: that of the collection with ``-chips``.
        compression: ``none`` keeps pixels as they are, so that batches are read without decoding.
        out: the place of the catalog that the chips join, a folder or the URL of an object store;
            None: the same one.
        allow_outside: read files outside of a local catalog's folder.
        scheduler: as for `satimnet.builder.build`.
        shard_size: as for `satimnet.builder.build`, in bytes.
        bad_files: as for `satimnet.builder.build`.
        single_writer: as for `satimnet.builder.build`.
        progress: is called as the work goes on.

    Returns:
        How many chips there are, and the report of the build.

    Raises:
        NotFoundError: there is no such collection.
        ArgumentError: an argument cannot be, or the id is that of something else.
        SatimnetError: the catalog cannot be read, or the collection not be written. Nothing is
            changed then.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from satimnet.builder import build
        >>> from stactools.dota.miniature import write_miniature
        >>> folder = Path(tempfile.mkdtemp())
        >>> sources = write_miniature(folder / "source")
        >>> _ = build(sources, folder / "catalog", overview=False)
        >>> chipped = chip(folder / "catalog", "dota", (128, 128), overlap=(16, 16))
        >>> chipped.collection, chipped.report.items == chipped.chips
        ('dota-chips', True)
    """
    own_id = f"{collection}-chips" if id is None else id
    options = ChipOptions(
        collection, own_id, size, overlap, keep_empty, min_inside, seed, compression
    )
    index = Index(catalog, allow_outside=allow_outside)
    if collection not in index.collections:
        known = ", ".join(index.collections)
        raise NotFoundError(f"{index.href}: no collection {collection!r}; there are {known}")
    place = place_for(out, index.href)
    if own_id == collection or not may_replace(own_id, place, is_chip_recipe):
        raise ArgumentError(
            f"{place}/{own_id}: is there already, and is no collection of chips; give another id",
            "id",
        )
    home = place if is_url(place) else os.path.abspath(place)
    folder = f"{home}/{own_id}/{_ANY_VERSION}"
    cutting = Cutting.of(
        options, index.collections[collection], search_table(index, collections=[collection])
    )
    record = record_of(
        options,
        index,
        images=cutting.images,
        masks=cutting.masks,
        annotations=cutting.annotations,
        other_bands=cutting.other_bands,
        fields=cutting.fields,
        folder=folder,
    )
    for key in cutting.timed:
        record["assets"][key]["own_datetime"] = True
    dataset = Dataset(DatasetRecord.of(record, index.href), lambda *_: cutting.samples(folder))
    try:
        (report,) = build(
            [],
            place,
            assigned={own_id: ()},
            datasets={own_id: dataset},
            scheduler=scheduler,
            shard_size=shard_size,
            bad_files=bad_files,
            single_writer=single_writer,
            progress=progress,
        )
    finally:
        forget_scenes()
    counts = cutting.counts
    return Chipped(
        report,
        own_id,
        place if is_url(place) else Path(place),
        counts.scenes,
        counts.chips,
        counts.empty,
        counts.thinned,
    )
