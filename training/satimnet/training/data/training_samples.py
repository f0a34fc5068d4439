"""The samples of a catalog that a search found: what is read, divided and trained on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from satimnet.builder.arguments import checked, require_fraction
from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.errors import SatimnetError
from satimnet.builder.query.index import Index, IndexedCollection
from satimnet.builder.query.search import search, search_table
from satimnet.training.data.image_sizes import have_size
from satimnet.training.data.layouts import (
    ONE_COLLECTION,
    Array,
    Numbers,
    have_bands,
    images_of,
    locate_all,
    with_bands,
)

if TYPE_CHECKING:
    from satimnet.training.data.batches import Batch, Labels
    from satimnet.training.data.torch_dataset import BatchDataset


@dataclass(frozen=True)
class Collection:
    """What a collection says about all of its samples.

    classes: names of its classes, in the order of its class table, without the background (value
    0). bands: names of the bands of each image asset, in file order. document: all that it says.
    parquet: absolute path or URL of the file that has its samples as rows.
    """

    classes: tuple[str, ...]
    bands: Mapping[str, tuple[str, ...]]
    document: CollectionDocument
    parquet: str


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
        samples = Samples(found, chosen, _classes(chosen))
        if bands is None:
            return samples
        return samples.of(with_bands(chosen, bands), have_bands(samples, bands))


@dataclass(frozen=True)
class Samples:
    """Samples: rows of the item table, in the order of the catalog unless asked otherwise.

    table: columns as in ``items.parquet``, and ``parquet``, the file whose row it is. classes:
    names that labels index; all classes of the collections, also those without a sample here, so
    that labels mean the same in every part of a training set. crop: rows and columns of the
    middle of each image that is read, see `cropped`.
    """

    table: pa.Table
    collections: Mapping[str, Collection]
    classes: tuple[str, ...]
    crop: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        """One line: a notebook shows it, and the table would flood the cell."""
        images = [names for home in self.collections.values() for names in home.bands.values()]
        bands = dict.fromkeys(name for names in images for name in names)
        return (
            f"<Samples: {len(self):,} of {', '.join(self.collections)}; "
            f"classes: {len(self.classes)}; bands: {', '.join(bands)}>"
        )

    def __getitem__(self, index: object) -> NoReturn:
        """Raise `SatimnetError`: samples are read many at a time."""
        raise SatimnetError(
            "samples are not read one by one: samples.subset([0]) are some of them, "
            "samples.to_batches(64) their pixels, and DataLoader(samples.to_dataset(64), "
            "batch_size=None) gives torch the same"
        )

    @cached_property
    def ids(self) -> list[str]:
        """Item ids, one per sample."""
        ids: list[str] = self.table["id"].to_pylist()
        return ids

    @cached_property
    def labels(self) -> Numbers:
        """Class of each sample, int64 indices into `classes`.

        Raises `SatimnetError` when a sample has no class or several.
        """
        tags = self.table["satimnet:classes"].combine_chunks()
        counts = pc.fill_null(pc.list_value_length(tags), 0).to_numpy(zero_copy_only=False)
        if (counts != 1).any():
            raise SatimnetError(
                f"{int((counts != 1).sum())} of {len(self)} samples have no class or several, "
                f"{self.ids[int((counts != 1).argmax())]} first; labels need one class a sample"
            )
        return self._codes(tags.flatten())

    @cached_property
    def multi_hot(self) -> NDArray[np.float32]:
        """Classes of each sample, float32 (sample, class): 1 where the sample has the class.

        Raises `SatimnetError` when nobody says which classes a sample has.
        """
        tags = self.table["satimnet:classes"].combine_chunks()
        if tags.null_count:
            missing = tags.is_null().to_numpy(zero_copy_only=False)
            raise SatimnetError(
                f"nobody says which classes {int(missing.sum())} of {len(self)} samples have, "
                f"{self.ids[int(missing.argmax())]} first; search for those with classes, "
                "or give labels=None"
            )
        found = np.zeros((len(self), len(self.classes)), np.float32)
        rows = pc.list_parent_indices(tags).to_numpy(zero_copy_only=False)
        found[rows, self._codes(tags.flatten())] = 1
        return found

    def targets(self, kind: Labels | None = "auto") -> Array | None:
        """Return what to learn of each sample: `labels` for "class", `multi_hot` for "classes".

        "auto" is "class" if every sample has exactly one, "classes" if not, and None if there is no
        sample of which somebody says it.
        """
        if kind == "auto":
            tags = self.table["satimnet:classes"].combine_chunks()
            counts = pc.list_value_length(tags)
            if counts.null_count == len(self):
                return None
            kind = "class" if pc.all(pc.equal(pc.fill_null(counts, 0), 1)).as_py() else "classes"
        if kind is None:
            return None
        if kind not in ("class", "classes"):
            raise SatimnetError(f'labels {kind}: there are "class", "classes", "auto" and None')
        return self.labels if kind == "class" else self.multi_hot

    def _codes(self, names: pa.Array) -> Numbers:
        """Indices of class names."""
        codes = pc.index_in(names, value_set=pa.array(self.classes, pa.string()))
        if codes.null_count:
            unknown = names.filter(codes.is_null()).unique().to_pylist()
            raise SatimnetError(f"{', '.join(unknown)}: not in the class table of the collection")
        return np.asarray(codes.to_numpy(zero_copy_only=False), np.int64)

    @property
    def splits(self) -> list[str | None]:
        """Split of each sample ("train", "validation", "test"); None where there is none."""
        if "satimnet:split" not in self.table.column_names:
            return [None] * len(self)
        splits: list[str | None] = self.table["satimnet:split"].to_pylist()
        return splits

    @property
    def bands(self) -> dict[str, tuple[str, ...]]:
        """Names of the bands of each image asset, in file order."""
        bands: dict[str, tuple[str, ...]] = {}
        for collection in self.collections.values():
            for key, names in collection.bands.items():
                if bands.setdefault(key, names) != names:
                    raise SatimnetError(
                        f"the {key} images of {', '.join(self.collections)} have different bands; "
                        f"{ONE_COLLECTION}"
                    )
        return bands

    def subset(self, indices: Numbers) -> Samples:
        """Return the samples at `indices`, in that order.

        Raises `SatimnetError` when they are no numbers of samples, which begin at 0.
        """
        chosen = np.asarray(indices)
        if chosen.size and chosen.dtype.kind not in "iu":
            raise SatimnetError("indices: give a list of whole numbers")
        wrong = chosen[(chosen < 0) | (chosen >= len(self))]
        if wrong.size:
            raise SatimnetError(f"indices: no sample {wrong[0]}; there are {len(self):,}, from 0")
        return replace(self, table=self.table.take(pa.array(chosen, pa.int64())))

    def of(self, names: Iterable[str], wanted: NDArray[np.bool_]) -> Samples:
        """Return the `wanted` samples, as those of some of the collections, which they all are of.

        Their classes are those of these collections.
        """
        homes = {name: self.collections[name] for name in names}
        table = self.table if wanted.all() else self.table.filter(pa.array(wanted))
        return replace(self, table=table, collections=homes, classes=_classes(homes))

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

        Each class is divided in the same proportion, by a permutation seeded with `seed`. Both
        parts keep the order of the samples. Raises `SatimnetError` when a part would be empty, and
        for a fraction that is none.
        """
        require_fraction(fraction, seed)
        generator = np.random.default_rng(seed)
        held = np.zeros(len(self), np.bool_)
        for label in range(len(self.classes)):
            members = generator.permutation(np.flatnonzero(self.labels == label))
            held[members[: round(len(members) * fraction)]] = True
        if held.all() or not held.any():
            raise SatimnetError(f"{len(self)} samples are too few to hold out {fraction:g} of them")
        return self.subset(np.flatnonzero(~held)), self.subset(np.flatnonzero(held))

    @checked()
    def bands_by_size(
        self, bands: Sequence[str] | None = None
    ) -> dict[tuple[int, int], tuple[str, ...]]:
        """Return the bands as they are read together: image size (y, x) to names, finest first."""
        return {layout.image_size: layout.bands for layout in locate_all(self, bands)}

    @checked()
    def to_batches(
        self,
        batch_size: int,
        *,
        bands: Sequence[str] | None = None,
        mask: str | None = None,
        labels: Labels | None = "auto",
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        scale: float | None = None,
        rank: int = 0,
        world_size: int = 1,
        device: str = "cpu",
        threads: int | None = None,
    ) -> Iterator[Batch]:
        """Yield the samples as torch batches: see `satimnet.training.data.batches.to_batches`."""
        from satimnet.training.data.batches import to_batches

        return to_batches(
            self,
            batch_size,
            bands=bands,
            mask=mask,
            labels=labels,
            shuffle=shuffle,
            seed=seed,
            drop_last=drop_last,
            scale=scale,
            rank=rank,
            world_size=world_size,
            device=device,
            threads=threads,
        )

    @checked()
    def to_dataset(
        self,
        batch_size: int,
        *,
        bands: Sequence[str] | None = None,
        mask: str | None = None,
        labels: Labels | None = "auto",
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        scale: float | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> BatchDataset:
        """Return the batches for a DataLoader.

        See `satimnet.training.data.torch_dataset.BatchDataset`.

        Arguments are those of `satimnet.training.data.batches.to_batches`.
        """
        from satimnet.training.data.torch_dataset import BatchDataset

        return BatchDataset(
            self,
            batch_size,
            bands=bands,
            mask=mask,
            labels=labels,
            shuffle=shuffle,
            seed=seed,
            drop_last=drop_last,
            scale=scale,
            rank=rank,
            world_size=world_size,
        )

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


def _classes(collections: Mapping[str, Collection]) -> tuple[str, ...]:
    """Names of the classes of all of the collections, each once."""
    return tuple(dict.fromkeys(name for home in collections.values() for name in home.classes))


def _collection(found: IndexedCollection) -> Collection:
    document = found.document
    bands = {image.key: image.band_names for image in document.images}
    return Collection(document.class_names, bands, document, found.parquet)
