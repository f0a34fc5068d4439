"""The samples of a catalog that a search found: what is read, divided and trained on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import pyarrow as pa

from satimnet.builder.arguments import checked, require_fraction
from satimnet.builder.errors import SatimnetError
from satimnet.builder.query.index import Index, IndexedCollection
from satimnet.builder.query.search import search, search_table
from satimnet.training.data.batch_options import DEFAULTS, BatchOptions, ReadingOptions
from satimnet.training.data.folds import hold_out
from satimnet.training.data.image_sizes import have_size
from satimnet.training.data.layouts import have_bands, images_of, locate_all, with_bands
from satimnet.training.data.sample_table import Collection, SampleTable, classes_of

if TYPE_CHECKING:
    from satimnet.training.data.batches import Batch
    from satimnet.training.data.torch_dataset import BatchDataset


@dataclass(frozen=True)
class Catalog:
    """A catalog that is open for searching."""

    index: Index
    collections: Mapping[str, Collection]

    def __repr__(self) -> str:
        """One line: a notebook shows it, and the documents would flood the cell."""
        return f"<Catalog: {self.index.href}; collections: {', '.join(self.collections)}>"

    @checked(search)
    def search(
        self,
        *,
        collections: Sequence[str] | str | None = None,
        classes: Sequence[str] | str | None = None,
        bands: Sequence[str] | None = None,
        **query: Any,
    ) -> Samples:
        """Return the samples that meet all conditions given; all samples if none is given.

        bands: only samples with an image that has all of these bands, and only of the collections
        that have such images. Everything else is as in `satimnet.builder.search`: collections,
        classes, split, ids, bbox, datetime, filter (CQL2), sortby, limit and so on; limit counts
        before bands are looked at. Raises `SatimnetError` for a collection, class or band that is
        not in the catalog.
        """
        if isinstance(collections, str):
            collections = [collections]
        chosen = {
            name: collection
            for name, collection in self.collections.items()
            if collections is None or name in collections
        }
        found = search_table(self.index, collections=collections, classes=classes, **query)
        if "satimnet:classes" not in found.column_names:  # nobody says any
            unsaid = pa.nulls(len(found), pa.list_(pa.string()))
            found = found.append_column("satimnet:classes", unsaid)
        samples = Samples(found, chosen, classes_of(chosen))
        if bands is None:
            return samples
        return samples.of(with_bands(chosen, bands), have_bands(samples, bands))


@dataclass(frozen=True, repr=False)
class Samples(SampleTable):
    """The samples that a search found; they are divided, and read as batches or arrays.

    What they are is told by the attributes of `SampleTable`, such as `ids`, `labels` and `splits`.
    """

    def of_size(self, rows: int, columns: int, bands: Sequence[str] | None = None) -> Samples:
        """Return the samples whose images have so many rows and columns of pixels.

        bands: as in `to_batches`; of images of several sizes, one must have this one. Raises
        `SatimnetError` when no sample has.
        """
        fits = have_size(self.table, images_of(self, bands), (rows, columns))
        if not fits.any():
            raise SatimnetError(
                f"none of the {len(self):,} samples has images of {rows} x {columns} pixels; "
                "give another size"
            )
        return self.subset(np.flatnonzero(fits))

    def cropped(self, rows: int, columns: int) -> Samples:
        """Return the samples, of whose images and masks only the middle will be read.

        rows, columns: how many pixels of it. Images may then differ in size, but not be smaller.
        """
        if rows < 1 or columns < 1:
            raise SatimnetError(f"a crop of {rows} x {columns} pixels; give at least 1 x 1")
        return replace(self, crop=(rows, columns))

    @checked()
    def holdout(self, fraction: float, seed: int = 0) -> tuple[Samples, Samples]:
        """Divide the samples into a part to learn from and `fraction` of them held out.

        Each class is divided in the same proportion, drawn by `seed`. Both
        parts keep the order of the samples. Raises `SatimnetError` when a part would be empty, and
        for a fraction that is none.
        """
        require_fraction(fraction, seed)
        _ = self.labels  # says which samples have no class or several
        return hold_out(self, fraction, seed)

    @checked()
    def bands_by_size(
        self, bands: Sequence[str] | None = None
    ) -> dict[tuple[int, int], tuple[str, ...]]:
        """Return the bands as they are read together: image size (y, x) to names, finest first."""
        return {layout.image_size: layout.bands for layout in locate_all(self, bands)}

    @checked(defaults=DEFAULTS)
    def to_batches(self, batch_size: int, **options: Unpack[ReadingOptions]) -> Iterator[Batch]:
        """Yields every sample once, in torch batches.

        A batch belongs to the caller: its memory is used again only after the last tensor over it
        is gone.

        Args:
            batch_size: Samples in a batch, 1 or more.
            **options: See below.

        Options:
            - `bands`: names of bands, in the order wanted. By default all bands of the image with
              most bands that all samples have, or of all images where each has one band.
            - `mask`: key of the asset with label rasters, to be given as well.
            - `labels`: "class" gives one class a sample, "classes" any number of them, None no
              labels. "auto", the default, is "class" if every sample has exactly one class,
              "classes" if not, and None if the catalog says the classes of none.
            - `shuffle`: whether the order is drawn by `seed`; all orders are equally likely. By
              default it is that of the samples.
            - `seed`: 0 or more, by default 0. The same seed gives the same order.
            - `drop_last`: whether to leave out a last batch that is not full.
            - `scale`: what the stored values are multiplied by; 0.0001 makes reflectance of
              EuroSAT's 13 bands. By default images are the stored values.
            - `rank`: the number of this process among `world_size`, from 0, by default 0.
            - `world_size`: how many processes share the samples, all with the same seed; by
              default 1. Their shares are disjoint and of equal size, so up to world_size - 1
              samples are in none.
            - `device`: where the batches are to be: "cpu", the default, "cuda" or another.
            - `threads`: how many threads read and decode, one batch ahead, or up to four batches
              where the shards are on another machine. With 0 the caller's own thread reads when it
              asks. By default one for each processor, at most 4.

        Returns:
            An iterator over the batches.

        Raises:
            ArgumentError: The samples have no such images, masks or labels, images differ in size,
                or a number cannot be. This is found before the first batch.
            SatimnetError: A shard or an image cannot be read; the message names it.

        Example:
            >>> from satimnet.training import open_samples
            >>> samples = open_samples("catalog").search(collections=["eurosat"])
            >>> batch = next(samples.to_batches(8, bands=["B04", "B08"], shuffle=True, seed=1))
            >>> batch.images.shape
            torch.Size([8, 2, 64, 64])
            >>> batch.labels.dtype
            torch.int64
        """
        from satimnet.training.data.batches import to_batches

        return to_batches(self, batch_size, options)

    @checked(defaults=DEFAULTS)
    def to_dataset(self, batch_size: int, **options: Unpack[BatchOptions]) -> BatchDataset:
        """Makes a dataset of the batches, for torch's DataLoader.

        Args:
            batch_size: Samples in a batch, 1 or more.
            **options: Those of `to_batches`, but device and threads.

        Returns:
            The dataset, for ``DataLoader(dataset, batch_size=None)``. Its batches are on the CPU.

        Raises:
            ArgumentError: As `to_batches`.
            SatimnetError: As `to_batches`.

        Example:
            >>> from satimnet.training import open_samples
            >>> from torch.utils.data import DataLoader
            >>> samples = open_samples("catalog").search(collections=["eurosat"])
            >>> dataset = samples.to_dataset(8, bands=["B04", "B08"], shuffle=True)
            >>> next(iter(DataLoader(dataset, batch_size=None))).images.shape
            torch.Size([8, 2, 64, 64])
        """
        from satimnet.training.data.torch_dataset import BatchDataset

        return BatchDataset(self, batch_size, **options)

    @checked()
    def to_xarray(self, bands: Sequence[str] | None = None, mask: str | None = None) -> Any:
        """Return the samples as lazy arrays: see `satimnet.training.data.lazy_arrays.to_xarray`."""
        from satimnet.training.data.lazy_arrays import to_xarray

        return to_xarray(self, bands, mask)


@checked()
def open_samples(href: str | os.PathLike[str], *, allow_outside: bool = False) -> Catalog:
    """Open a catalog (its ``catalog.json``, or the folder of it; path or URL) for searching.

    A catalog in a folder may only point to files in there, unless `allow_outside` says so.

    Raises `SatimnetError` when there is none, or no collection in it.
    """
    index = Index(href, allow_outside=allow_outside)
    return Catalog(index, {name: _collection(found) for name, found in index.collections.items()})


def _collection(found: IndexedCollection) -> Collection:
    document = found.document
    bands = {image.key: image.band_names for image in document.images}
    return Collection(document.class_names, bands, document, found.parquet)
