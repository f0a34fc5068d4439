"""What the outputs of a network mean: the rows of class tables that they were trained for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from satimnet.builder.catalog.collection_document import CollectionDocument, LabelClass
from satimnet.builder.errors import SatimnetError
from satimnet.training.data.sample_table import ONE_COLLECTION

if TYPE_CHECKING:
    from satimnet.training.data.training_samples import Samples

IGNORED = 255
"""Index of pixels that count for nothing: not observed, or of a value without a class."""
_UNOBSERVED = "no-observation"


@dataclass(frozen=True)
class Class:
    """A row of a class table, as in STAC's classification extension.

    color_hint: six hexadecimal digits, red, green, blue; None if the table has none. title: what
    people are shown; None if that is the name.
    """

    value: int
    name: str
    color_hint: str | None = None
    title: str | None = None

    @property
    def label(self) -> str:
        """The title, or else the name."""
        return self.title or self.name


@dataclass(frozen=True)
class Output:
    """One output of a network: index k of its logits means ``classes[k]``.

    name: ``class``, the class of a whole patch, or ``mask``, the class of a pixel in the mask.
    """

    name: str
    classes: tuple[Class, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(row.name for row in self.classes)


@dataclass(frozen=True)
class Mask:
    """How masks are read: the asset's key and the classes of its values.

    Values that are not observed are no classes: the asset's ``nodata``, and a class of the name
    no-observation, which is kept apart as `unobserved` for its title and colour.
    """

    key: str
    classes: tuple[Class, ...]
    unobserved: Class | None = None

    @property
    def output(self) -> Output:
        """The output that predicts it."""
        return Output("mask", self.classes)

    def indices(self, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return for each value of a mask the index of its class, or `IGNORED`."""
        index = np.full(256, IGNORED, np.uint8)
        for k, row in enumerate(self.classes):
            index[row.value] = k
        return np.asarray(index[values])

    def among(self, samples: Samples) -> NDArray[np.bool_]:
        """Return for each of the samples whether it has a mask."""
        assets = samples.table["assets"].combine_chunks()
        if assets.type.get_field_index(self.key) < 0:
            return np.zeros(len(samples), np.bool_)
        there = pc.is_valid(pc.struct_field(assets, [self.key]))
        return np.asarray(there.to_numpy(zero_copy_only=False), np.bool_)


def class_output(samples: Samples) -> Output:
    """Return the output that predicts the class of a sample, in the order of `Samples.classes`.

    Raises `SatimnetError` when there are no samples.
    """
    rows = {
        row.name: row
        for document in _documents(samples)
        for row in document.classes
        if row.value is not None
    }
    return Output(
        "class",
        tuple(
            _class(rows.get(name, LabelClass(name, k + 1)))
            for k, name in enumerate(samples.classes)
        ),
    )


def outputs_of(samples: Samples, model: str) -> tuple[Output, ...]:
    """Return the outputs of a network ("class", "segm", "dual") for the samples.

    Raises `SatimnetError` as `find_mask` for segm and dual.
    """
    if model == "class":
        return (class_output(samples),)
    mask = find_mask(samples).output
    return (mask,) if model == "segm" else (class_output(samples), mask)


def has_masks(samples: Samples) -> bool:
    """Return whether all collections of the samples have masks."""
    return all(document.masks for document in _documents(samples))


def find_mask(samples: Samples) -> Mask:
    """Return how the masks of the samples are read.

    Raises `SatimnetError` when their collections have no masks, or masks of other classes.
    """
    masks = {document.id: _mask(document) for document in _documents(samples)}
    first, *others = masks.values()
    if any(other != first for other in others):
        raise SatimnetError(
            f"the masks of {', '.join(masks)} have different classes; {ONE_COLLECTION}"
        )
    return first


def few(names: Sequence[str]) -> str:
    """Return the first of the names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def recipe_digest(samples: Samples) -> str | None:
    """Return the SHA-256 of the recipe that fused the samples; None where none did, or several."""
    digests = {document.recipe_digest for document in _documents(samples)}
    return digests.pop() if len(digests) == 1 else None


def _mask(collection: CollectionDocument) -> Mask:
    if not collection.masks:
        raise SatimnetError(
            f"{collection.id} has no masks; CNN-segm and CNN-dual need a collection with masks, "
            "such as satimnet fuse makes"
        )
    asset = collection.masks[0]
    table = [row for row in asset.classes or collection.classes if row.value is not None]
    unseen = {asset.nodata} | {row.value for row in table if row.name == _UNOBSERVED}
    classes = tuple(_class(row) for row in table if row.value not in unseen)
    if len(classes) < 2 or not all(0 <= row.value < 255 for row in classes):
        raise SatimnetError(
            f"{collection.id}: the class table of {asset.key} has less than two classes"
        )
    unobserved = next((_class(row) for row in table if row.name == _UNOBSERVED), None)
    return Mask(asset.key, classes, unobserved)


def _class(row: LabelClass) -> Class:
    if row.value is None:
        raise ValueError(f"the class {row.name!r} has no value")
    return Class(row.value, row.name, row.color_hint, row.title)


def _documents(samples: Samples) -> list[CollectionDocument]:
    """What the collections say that the samples come from, each once."""
    homes = {home.parquet: home.document for home in samples.collections.values()}
    files: Sequence[str] = samples.table["parquet"].unique().to_pylist()
    if not files:
        raise SatimnetError("there are no samples: the search found none")
    return [homes[file] for file in files]
