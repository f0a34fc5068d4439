"""The samples that a search of a catalog finds: they are divided, read and trained on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack, overload

import numpy as np
import pyarrow as pa

from satimnet.builder.arguments import checked, require_fraction
from satimnet.builder.errors import ArgumentError
from satimnet.builder.query.index import Index, IndexedCollection
from satimnet.builder.query.search import search, search_table
from satimnet.training.data.array_types import Images, Resample
from satimnet.training.data.batch_options import DEFAULTS, BatchOptions, ReadingOptions
from satimnet.training.data.explorer_address import Asked
from satimnet.training.data.folds import hold_out
from satimnet.training.data.image_assets import (
    have_bands,
    have_images,
    images_of,
    with_bands,
    with_images,
)
from satimnet.training.data.image_sizes import Fit, count_fit, have_size
from satimnet.training.data.layouts import locate_all
from satimnet.training.data.sample_table import Collection, classes_of
from satimnet.training.data.shown_samples import ShownSamples

if TYPE_CHECKING:
    import xarray

    from satimnet.training.data.batches import Batch
    from satimnet.training.data.torch_dataset import BatchDataset


@dataclass(frozen=True)
class Catalog:
    """A catalog that is open for searching.

    Attributes:
        index: The index of its items.
        collections: What its collections say, by name.

    Example:
        >>> from satimnet.training import open_samples
        >>> catalog = open_samples("catalog")
        >>> "eurosat" in catalog.collections
        True
    """

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
        images: Images | None = None,
        **query: Any,
    ) -> Samples:
        """Finds the samples that meet all conditions given; all samples if none is given.

        Args:
            collections: Names of the collections to search, or the one name.
            classes: Names of classes, or the one name; samples have at least one of them.
            bands: Names of bands. Only samples with an image that has all of them are found, and
                only of the collections that have such images.
            images: Images of several sensors, as in `Samples.to_batches`. Only samples that have
                them all are found.
            **query: Everything else as in `satimnet.builder.search`: split, ids, bbox, datetime,
                filter (CQL2), sortby, limit and so on. The limit counts before bands are looked at.

        Returns:
            The samples, in the order of the catalog unless sortby says otherwise.

        Raises:
            SatimnetError: A collection, class, split or band is not in the catalog, the query
                cannot be answered, or a file of the catalog cannot be read.

        Example:
            >>> from satimnet.training import open_samples
            >>> catalog = open_samples("catalog")
            >>> samples = catalog.search(collections="eurosat", classes=["Forest", "River"])
            >>> sorted({samples.classes[label] for label in samples.labels})
            ['Forest', 'River']
        """
        if isinstance(collections, str):
            collections = [collections]
        chosen = {
            name: collection
            for name, collection in self.collections.items()
            if collections is None or name in collections
        }
        found = search_table(self.index, collections=collections, classes=classes, **query)
        if "satimnet:classes" not in found.column_names:  # the catalog says none
            unsaid = pa.nulls(len(found), pa.list_(pa.string()))
            found = found.append_column("satimnet:classes", unsaid)
        named = {"collections": collections, "classes": classes, "bands": bands, "images": images}
        asked = Asked.of(self.index.href, named | query, allow_outside=self.index.bounds.everywhere)
        samples = Samples(found, chosen, classes_of(chosen), asked=asked)
        if bands is not None:
            samples = samples.of(with_bands(chosen, bands), have_bands(samples, bands))
        if images is not None:
            homes = with_images(samples.collections, images)
            samples = samples.of(homes, have_images(samples, images))
        return samples


@dataclass(frozen=True, repr=False)
class Samples(ShownSamples):
    """The samples that a search found; they are looked at, divided, and read as batches or arrays.

    ``samples[0]`` is one `Sample`, ``samples[:10]`` are some of them, and a loop goes over them one
    by one.

    The attributes `ids`, `labels`, `splits` and so on say what they are.

    Example:
        >>> from satimnet.training import open_samples
        >>> samples = open_samples("catalog").search(collections=["eurosat"])
        >>> learned, held_out = samples.holdout(0.25)
        >>> images = learned.to_xarray(bands=["B04", "B08"])
        >>> images.dims
        ('sample', 'band', 'y', 'x')
    """

    @checked()
    def of_size(self, rows: int, columns: int, bands: Sequence[str] | None = None) -> Samples:
        """Gives the samples whose images are of one size.

        Args:
            rows: Rows of pixels.
            columns: Columns of pixels.
            bands: The bands that are read, as in `to_batches`. Where these are in images of several
                sizes, one of the images must have the size.

        Returns:
            These samples.

        Raises:
            ArgumentError: No sample has images of that size.

        Example:
            >>> from satimnet.training import open_samples
            >>> samples = open_samples("catalog").search(collections=["eurosat"])
            >>> len(samples.of_size(64, 64)) == len(samples)
            True
        """
        fits = have_size(self.table, images_of(self, bands), (rows, columns))
        if not fits.any():
            raise ArgumentError(
                f"none of the {len(self):,} samples has images of {rows} x {columns} pixels; "
                "give another size",
                "rows",
                "columns",
            )
        return self.subset(np.flatnonzero(fits))

    @checked()
    def cropped(self, rows: int, columns: int) -> Samples:
        """Gives the samples, of whose images and masks only the middle will be read.

        Args:
            rows: Rows of pixels of the middle.
            columns: Columns of pixels of the middle.

        Returns:
            The samples. Their images may differ in size, but not be smaller than the middle.

        Raises:
            ArgumentError: The middle would have no pixel.

        Example:
            >>> from satimnet.training import open_samples
            >>> samples = open_samples("catalog").search(collections=["eurosat"])
            >>> samples.cropped(32, 48).to_xarray(bands=["B04"]).shape[2:]
            (32, 48)
        """
        if rows < 1 or columns < 1:
            raise ArgumentError(
                f"a crop of {rows} x {columns} pixels; give at least 1 x 1", "rows", "columns"
            )
        return replace(self, crop=(rows, columns))

    @checked()
    def count_fit(self, rows: int, columns: int, bands: Sequence[str] | None = None) -> Fit:
        """Counts what ``size=(rows, columns)`` of `to_batches` does to the images.

        Args:
            rows: Rows of pixels.
            columns: Columns of pixels.
            bands: Names of bands, as in `to_batches`.

        Returns:
            How many images have the size, are cropped, and are padded.

        Raises:
            ArgumentError: As `to_batches`.

        Example:
            >>> from satimnet.training import open_samples
            >>> samples = open_samples("catalog").search(collections=["eurosat"])
            >>> fit = samples.count_fit(60, 80, bands=["B04"])
            >>> fit.same, fit.cropped == fit.padded == len(samples)
            (0, True)
        """
        return count_fit(self.table, images_of(self, bands), (rows, columns))

    @checked()
    def holdout(self, fraction: float, seed: int = 0) -> tuple[Samples, Samples]:
        """Divides the samples into a part to learn from and a part held out.

        Each class is divided in the same proportion.

        Args:
            fraction: How much of each class is held out, above 0 and below 1; counts are rounded.
            seed: 0 or more. The same seed holds out the same samples.

        Returns:
            The samples to learn from and those held out, both in the order that they had.

        Raises:
            ArgumentError: A part would be empty, a sample has no class or several, or the fraction
                or the seed cannot be.

        Example:
            >>> from satimnet.training import open_samples
            >>> samples = open_samples("catalog").search(collections=["eurosat"])
            >>> learned, held_out = samples.holdout(0.25, seed=1)
            >>> len(learned) + len(held_out) == len(samples)
            True
        """
        require_fraction(fraction, seed)
        _ = self.labels  # says which samples have no class or several
        return hold_out(self, fraction, seed)

    @checked()
    def bands_by_size(
        self, bands: Sequence[str] | None = None
    ) -> dict[tuple[int, int], tuple[str, ...]]:
        """Gives the bands that are read together, as they have images of one size.

        Args:
            bands: Names of bands, as in `to_batches`.

        Returns:
            For each size of image (rows, columns) the names of the bands, the finest first. It is
            the order of `Batch.images`.

        Raises:
            SatimnetError: As `to_batches`.

        Example:
            >>> from satimnet.training import open_samples
            >>> samples = open_samples("catalog").search(collections=["eurosat"])
            >>> samples.bands_by_size(["B04", "B08"])
            {(64, 64): ('B04', 'B08')}
        """
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
            - `images`: instead of bands, images of several sensors: a mapping of names to bands, as
              in ``{"s2": ["B04", "B08"], "s1": ["VV", "VH"]}``. `Batch.images` is then a dictionary
              with a tensor of each name. A name that is the key of an asset with these bands means
              that asset, and then None means all of its bands.
            - `resample`: "nearest" or "bilinear" bring all images, and masks, to one grid on the
              device of the batches; bands of several sizes are then one tensor. By default each
              size stays as it is.
            - `grid`: rows and columns of that grid. By default it is that of the first of `images`,
              and where its bands have several sizes the finest of them.
            - `mask`: key of the asset with label rasters, to be given as well.
            - `labels`: "class" gives one class a sample, "classes" any number of them, None no
              labels. "auto", the default, is "class" if every sample has exactly one class,
              "classes" if not, and None if the catalog says the classes of none.
            - `shuffle`: whether the order is drawn by `seed`; with True all orders are equally
              likely. "shards" mixes windows of up to 16 shards and leaves eight neighbours
              together, for samples on other machines: an eighth of the requests, for less random
              batches (see "Shuffling what lies elsewhere" in the documentation of training). By
              default the order is that of the samples.
            - `seed`: 0 or more, by default 0. The same seed gives the same order.
            - `drop_last`: whether to leave out a last batch that is not full.
            - `scale`: what the stored values are multiplied by; 0.0001 makes reflectance of
              EuroSAT's 13 bands. By default images are the stored values. With `images` it may be
              a mapping of their names to such numbers; those that it does not name stay.
            - `dtype`: "float32", the default, or "stored": images are of the type of their files.
            - `size`: rows and columns of all images and masks. Larger ones are cropped to their
              middle, smaller ones get zeros around them; a `SizeWarning` says how many, and
              `count_fit` counts them. Grey images among colour images are given as red, green and
              blue.
            - `objects`: what is given of the objects of each sample, beside ``boxes`` (float32:
              left, top, right, bottom, in pixels of the image of the batch) and ``labels`` (int64:
              1 more than the index into `classes`, as 0 is the background of detectors): "boxes"
              nothing more, "oriented" ``corners`` (float32, x and y of four points), "polygons"
              ``polygons`` (for each object its rings, float32 (point, 2)), "masks" ``masks`` (uint8
              (object, y, x)). Where images are cropped, objects are cut with them, and those of
              which less than half of the area is left are left out. None, the default: no objects.
            - `window`: rows and columns, or one number for both, of the parts of large images that
              are read, instead of the images as a whole. Images may differ in size; beyond smaller
              ones there are zeros. Only the tiles under a window are read and decoded (images that
              are not tiled are decoded whole). Masks and objects are cut with the images.
              `Batch.indices` says which sample a window is of, `Batch.windows` where it lies.
            - `windows`: "random", the default, draws them by `seed`; "grid" reads all that lie
              side by side, the last of a row or column moved back to end with the image.
            - `windows_per_image`: how many are drawn of each image; by default as many as lie in
              it side by side.
            - `snap`: whether random windows lie on as few tiles of their image as their size
              allows, the default, or anywhere: one tile instead of four is a quarter of the work.
            - `rank`: the number of this process among `world_size`, from 0, by default 0.
            - `world_size`: how many processes share the samples, all with the same seed; by
              default 1. Their shares are disjoint and of equal size, so up to world_size - 1
              samples are in none.
            - `device`: where the batches are to be: "cpu", the default, "cuda" or another.
            - `threads`: how many threads read and decode. With 0 the caller's own thread reads when
              it asks. By default one for each processor, at most 4; where the shards are on another
              machine up to 16 for small batches, as they wait most of the time. The workers of a
              cluster have threads of their own.
            - `scheduler`: who reads, with the same batches in the same order. "threads", the
              default: dask on threads of this process, which share each batch; one batch is read
              ahead, or as many as there are threads where a batch has fewer samples than that or
              the shards are on another machine. "tcp://…": the workers of the dask cluster at that
              address, which must see the same files; a batch is a task. "direct": the same threads
              without dask.

        Returns:
            An iterator over the batches.

        Raises:
            ArgumentError: The samples have no such images, masks or labels, images differ in size,
                or a number cannot be. This is found before the first batch.
            SatimnetError: A shard or an image cannot be read, or no cluster answers; the message
                names it.

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
            **options: Those of `to_batches`, but device, threads and scheduler.

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

    @overload
    def to_xarray(
        self,
        bands: Sequence[str] | None = None,
        mask: None = None,
        *,
        size: tuple[int, int] | None = None,
        images: None = None,
        resample: Resample | None = None,
        grid: tuple[int, int] | None = None,
    ) -> xarray.DataArray | xarray.Dataset: ...

    @overload
    def to_xarray(
        self,
        bands: None = None,
        mask: str | None = None,
        *,
        size: tuple[int, int] | None = None,
        images: Images,
        resample: Resample | None = None,
        grid: tuple[int, int] | None = None,
    ) -> xarray.Dataset: ...

    @overload
    def to_xarray(
        self,
        bands: Sequence[str] | None = None,
        *,
        mask: str,
        size: tuple[int, int] | None = None,
        images: None = None,
        resample: Resample | None = None,
        grid: tuple[int, int] | None = None,
    ) -> xarray.Dataset: ...

    @overload
    def to_xarray(
        self,
        bands: Sequence[str] | None,
        mask: str,
        *,
        size: tuple[int, int] | None = None,
        images: None = None,
        resample: Resample | None = None,
        grid: tuple[int, int] | None = None,
    ) -> xarray.Dataset: ...

    @checked()
    def to_xarray(
        self,
        bands: Sequence[str] | None = None,
        mask: str | None = None,
        *,
        size: tuple[int, int] | None = None,
        images: Images | None = None,
        resample: Resample | None = None,
        grid: tuple[int, int] | None = None,
    ) -> xarray.DataArray | xarray.Dataset:
        """Gives the stored values as lazy arrays, one dask chunk per shard.

        Samples are grouped by shard, in the order in which their shards first occur, and keep their
        order within it: a search's result stays as it is. Shards with fewer than 64 of the samples
        share a chunk with others. Nothing but positions in files is read or held before something
        is computed. The tasks pickle, so any dask scheduler can run them.

        Args:
            bands: Names of bands, as in `to_batches`.
            mask: Key of the asset with label rasters, to be given as well.
            size: Rows and columns to which all images and masks are cropped or padded, as in
                `to_batches`: samples of several sizes need it.
            images: Images of several sensors, as in `to_batches`.
            resample: How they are brought to one grid, as in `to_batches`; values are float32 then.
            grid: Rows and columns of that grid, as in `to_batches`.

        Returns:
            An array (sample, band, y, x) of the type of the files, with the coordinates id (the
            index of sample), class (its name) or, where samples have several or none, classes
            (names, joined by commas), split where there is one, and band.

            Where the bands have several sizes it is a Dataset with one array for each, the finest
            first, named as ``images_120x120`` and with the axes (sample, band_120x120, y_120x120,
            x_120x120). With `mask` it is a Dataset with uint8 ``masks`` (sample, y, x) beside the
            images, on axes of their own (y_masks, x_masks) if no images have their size.

            With `images` it is a Dataset with an array for each name, such as ``s1`` (sample,
            band_s1, y_s1, x_s1), and with the coordinate datetime_s1 where its time is known. With
            `resample` all arrays have the axes y and x of their one grid.

        Raises:
            SatimnetError: As `to_batches`.

        Example:
            >>> from satimnet.training import open_samples
            >>> samples = open_samples("catalog").search(collections=["eurosat"], classes="Forest")
            >>> images = samples.to_xarray(bands=["B04", "B08"])
            >>> red, near_infrared = images.sel(band="B04"), images.sel(band="B08")
            >>> bool((near_infrared.mean() > red.mean()).compute())
            True
        """
        from satimnet.training.data.lazy_arrays import to_xarray

        return to_xarray(
            self,
            bands,
            mask,
            {"size": size, "images": images, "resample": resample, "grid": grid},
        )


@checked()
def open_samples(
    href: str | os.PathLike[str],
    *,
    allow_outside: bool = False,
    version: str | Sequence[str] | None = None,
    splits: str | None = None,
) -> Catalog:
    """Opens a catalog for searching.

    Args:
        href: Its ``catalog.json``, or the folder of it; a path or a URL.
        allow_outside: Whether a catalog in a folder may point to files that are not in there.
        version: Names of versions of collections to open instead of the current ones (see
            `satimnet.builder.versions`), as they are or as ``collection@version``.
        splits: Name of a split that `satimnet.builder.split` made of the catalog: `Samples.splits`
            and the folds of `crossvalidate` are those of it, not the publisher's.

    Returns:
        The catalog.

    Raises:
        SatimnetError: There is no catalog or no such split, or it cannot be read or has no
            collection.

    Example:
        >>> from satimnet.training import open_samples
        >>> samples = open_samples("catalog").search(collections=["eurosat"], classes="Forest")
        >>> samples.classes[1]
        'Forest'
    """
    index = Index(href, allow_outside=allow_outside, version=version, splits=splits)
    return Catalog(index, {name: _collection(found) for name, found in index.collections.items()})


def _collection(found: IndexedCollection) -> Collection:
    """What a collection says about its samples."""
    document = found.document
    bands = {image.key: image.band_names for image in document.images}
    return Collection(document.class_names, bands, document, found.parquet)
