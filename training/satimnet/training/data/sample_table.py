"""The rows of samples and what their collections say of them; no pixel is read here.

`Samples` adds the reading. The modules that read take a `SampleTable`, so that none of them has to
know `Samples`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.errors import ArgumentError, BadCatalogError
from satimnet.training.data.array_types import Array, Labels, Numbers
from satimnet.training.data.versioned_pickles import VersionedPickle

ONE_COLLECTION = 'choose one collection, as in collections=["NAME"]'
"""What to do where samples of several collections do not go together."""


@dataclass(frozen=True)
class Collection(VersionedPickle):
    """What a collection says about all of its samples.

    Attributes:
        classes: Names of its classes, in the order of its class table, without the background
            (value 0).
        bands: Names of the bands of each image asset, in file order.
        document: All that it says.
        parquet: Absolute path or URL of the file that has its samples as rows.
    """

    classes: tuple[str, ...]
    bands: Mapping[str, tuple[str, ...]]
    document: CollectionDocument
    parquet: str


@dataclass(frozen=True, repr=False)
class SampleTable(VersionedPickle):
    """Rows of the item table, in the order of the catalog unless asked otherwise.

    Attributes:
        table: Columns as in ``items.parquet``, and ``parquet``, the file that a row is from.
        collections: What the collections say that the samples are of, by name.
        classes: Names that labels index: all classes of the collections, also those without a
            sample here, so that labels mean the same in every part of a training set.
        crop: Rows and columns of the middle of each image that is read; None reads all of it.
        pad: Whether images that are smaller than that get zeros around them.
        window: Rows and columns of the windows that are read of each image; None reads all of it.

    Example:
        >>> from satimnet.training import open_samples
        >>> samples = open_samples("catalog").search(collections=["eurosat"])
        >>> len(samples.ids) == len(samples.labels) == len(samples)
        True
        >>> samples.classes[:3]
        ('AnnualCrop', 'Forest', 'HerbaceousVegetation')
    """

    table: pa.Table
    collections: Mapping[str, Collection]
    classes: tuple[str, ...]
    crop: tuple[int, int] | None = None
    pad: bool = False
    window: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        """One line: a notebook shows it, and the table would flood the cell."""
        images = [names for home in self.collections.values() for names in home.bands.values()]
        bands = dict.fromkeys(name for names in images for name in names)
        return (
            f"<{type(self).__name__}: {len(self):,} of {', '.join(self.collections)}; "
            f"classes: {len(self.classes)}; bands: {', '.join(bands)}>"
        )

    @cached_property
    def ids(self) -> list[str]:
        """Item ids, one per sample."""
        ids: list[str] = self.table["id"].to_pylist()
        return ids

    @cached_property
    def labels(self) -> Numbers:
        """Class of each sample, int64 (sample): indices into `classes`.

        Raises:
            ArgumentError: A sample has no class or several.
            BadCatalogError: A class is not in the class table.
        """
        tags = self._tags
        counts = pc.fill_null(pc.list_value_length(tags), 0).to_numpy(zero_copy_only=False)
        if (counts != 1).any():
            raise ArgumentError(
                f"{int((counts != 1).sum())} of {len(self)} samples have no class or several, "
                f"{self.ids[int((counts != 1).argmax())]} first; labels need one class a sample",
                "labels",
            )
        return self._codes(tags.flatten())

    @cached_property
    def multi_hot(self) -> NDArray[np.float32]:
        """Classes of each sample, float32 (sample, class): 1 where the sample has the class.

        Raises:
            ArgumentError: The catalog does not say which classes a sample has.
            BadCatalogError: A class is not in the class table.
        """
        tags = self._tags
        if tags.null_count:
            missing = tags.is_null().to_numpy(zero_copy_only=False)
            raise ArgumentError(
                f"the catalog does not say the classes of {int(missing.sum())} of {len(self)} "
                f"samples, {self.ids[int(missing.argmax())]} first; search for those with classes, "
                "or give labels=None",
                "labels",
            )
        found = np.zeros((len(self), len(self.classes)), np.float32)
        rows = pc.list_parent_indices(tags).to_numpy(zero_copy_only=False)
        found[rows, self._codes(tags.flatten())] = 1
        return found

    @property
    def strata(self) -> Numbers:
        """The group of each sample, int64 (sample), for parts that are alike in their classes.

        It is the index of the sample's class; samples with several classes, or none, are together
        in a group of their own, the last.
        """
        tags = self._tags
        counts = pc.fill_null(pc.list_value_length(tags), 0)
        single = pc.equal(counts, 1)
        groups = np.full(len(self), len(self.classes), np.int64)
        names = pc.list_flatten(tags.filter(single))
        groups[np.asarray(single.to_numpy(zero_copy_only=False), np.bool_)] = self._codes(names)
        return groups

    def targets(self, kind: Labels | None = "auto") -> Array | None:
        """Gives what to learn of each sample.

        Args:
            kind: "class" gives `labels`, "classes" `multi_hot`. "auto" is "class" if every sample
                has exactly one class, and "classes" if not.

        Returns:
            The labels; None for the kind None, and for "auto" where the catalog does not say the
            classes of any sample.

        Raises:
            ArgumentError: There is no such kind, or the samples have no such labels.
        """
        if kind == "auto":
            counts = pc.list_value_length(self._tags)
            if counts.null_count == len(self):
                return None
            kind = "class" if pc.all(pc.equal(pc.fill_null(counts, 0), 1)).as_py() else "classes"
        if kind is None:
            return None
        if kind not in ("class", "classes"):
            raise ArgumentError(
                f'labels {kind}: there are "class", "classes", "auto" and None', "labels"
            )
        return self.labels if kind == "class" else self.multi_hot

    @property
    def splits(self) -> list[str | None]:
        """Split of each sample ("train", "validation", "test"); None where there is none."""
        if "satimnet:split" not in self.table.column_names:
            return [None] * len(self)
        splits: list[str | None] = self.table["satimnet:split"].to_pylist()
        return splits

    def datetimes(self, image: str | None = None) -> NDArray[np.datetime64]:
        """Gives the times of acquisition.

        Args:
            image: Key of an image asset, whose own times count where it has them, as of a second
                sensor. None gives the times of the Items.

        Returns:
            The times in UTC, datetime64[us] (sample); NaT where the catalog gives none, or a span.

        Raises:
            ArgumentError: There is no such asset.
            BadCatalogError: A time is none.

        Example:
            >>> from satimnet.training import open_samples
            >>> samples = open_samples("catalog").search(collections=["bigearthnet"])
            >>> str(samples.datetimes("B02")[0])
            '2017-06-17T11:33:21.000000'
        """
        columns = [self.table["datetime"]] if "datetime" in self.table.column_names else []
        if image is not None:
            assets = self.table["assets"]
            if assets.type.get_field_index(image) < 0:
                known = ", ".join(field.name for field in assets.type)
                raise ArgumentError(f"no asset {image}; there are {known}", "image")
            asset = pc.struct_field(assets, [image])
            if asset.type.get_field_index("datetime") >= 0:
                columns.append(pc.struct_field(asset, ["datetime"]))
        times = np.full(len(self), np.datetime64("NaT"), "datetime64[us]")
        try:
            for column in columns:
                utc = pc.cast(column, pa.timestamp("us", "UTC"))
                found = np.array(pc.cast(utc, pa.timestamp("us")), "datetime64[us]")
                times = np.where(np.isnat(found), times, found)
        except pa.ArrowException as error:
            raise BadCatalogError(
                f"{self.table['parquet'][0].as_py()}: a time of {image or 'an Item'} is none; "
                "build the catalog again"
            ) from error
        return times

    @property
    def bands(self) -> dict[str, tuple[str, ...]]:
        """Names of the bands of each image asset, in file order.

        Raises:
            ArgumentError: An asset has different bands in different collections.
        """
        bands: dict[str, tuple[str, ...]] = {}
        for collection in self.collections.values():
            for key, names in collection.bands.items():
                if bands.setdefault(key, names) != names:
                    raise ArgumentError(
                        f"the {key} images of {', '.join(self.collections)} have different bands; "
                        f"{ONE_COLLECTION}",
                        "collections",
                    )
        return bands

    def fitted(self, size: tuple[int, int] | None) -> Self:
        """The samples, whose images are to be cropped or padded to a size (rows, columns).

        Raises:
            ArgumentError: There is no such size.
        """
        if size is None:
            return self
        if min(size) < 1:
            raise ArgumentError(f"size {size[0]} x {size[1]}: give at least 1 x 1", "size")
        return replace(self, crop=size, pad=True)

    def subset(self, indices: Numbers) -> Self:
        """Gives the samples at some positions.

        Args:
            indices: Numbers of the samples from 0, in the order wanted.

        Returns:
            These samples, in that order.

        Raises:
            ArgumentError: There is no sample of such a number.

        Example:
            >>> from satimnet.training import open_samples
            >>> samples = open_samples("catalog").search(collections=["eurosat"])
            >>> samples.subset([5, 0]).ids == [samples.ids[5], samples.ids[0]]
            True
        """
        chosen = np.asarray(indices)
        if chosen.size and chosen.dtype.kind not in "iu":
            raise ArgumentError("indices: give a list of whole numbers", "indices")
        wrong = chosen[(chosen < 0) | (chosen >= len(self))]
        if wrong.size:
            raise ArgumentError(
                f"indices: no sample {wrong[0]}; there are {len(self):,}, from 0", "indices"
            )
        return replace(self, table=self.table.take(pa.array(chosen, pa.int64())))

    def slice(self, start: int, count: int) -> Self:
        """So many samples from one of them on; nothing is copied."""
        return replace(self, table=self.table.slice(start, count))

    def of(self, names: Iterable[str], wanted: NDArray[np.bool_]) -> Self:
        """Gives the wanted samples, as samples of some of the collections.

        Args:
            names: The collections that all wanted samples are of.
            wanted: Whether a sample is wanted, bool (sample).

        Returns:
            The samples. Their classes are those of these collections.

        Example:
            >>> from satimnet.training import open_samples
            >>> samples = open_samples("catalog").search(collections=["eurosat", "inria"])
            >>> own = samples.table["collection"].to_numpy() == "eurosat"
            >>> list(samples.of(["eurosat"], own).collections)
            ['eurosat']
        """
        homes = {name: self.collections[name] for name in names}
        table = self.table if wanted.all() else self.table.filter(pa.array(wanted))
        return replace(self, table=table, collections=homes, classes=classes_of(homes))

    @property
    def _tags(self) -> pa.ListArray:
        """Names of the classes of each sample; null where the catalog does not say."""
        return self.table["satimnet:classes"].combine_chunks()

    def _codes(self, names: pa.Array) -> Numbers:
        """Indices of class names."""
        codes = pc.index_in(names, value_set=pa.array(self.classes, pa.string()))
        if codes.null_count:
            unknown = names.filter(codes.is_null()).unique().to_pylist()
            raise BadCatalogError(f"{', '.join(unknown)}: not in the class table of the collection")
        return np.asarray(codes.to_numpy(zero_copy_only=False), np.int64)


def classes_of(collections: Mapping[str, Collection]) -> tuple[str, ...]:
    """Names of the classes of all of the collections, each once."""
    return tuple(dict.fromkeys(name for home in collections.values() for name in home.classes))
