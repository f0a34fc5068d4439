"""Sizes of images as the Items state them, and the middle that is cut out of images."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from satimnet.builder.errors import ArgumentError, CatalogWarning

_SHOWN = 3  # sizes that an error lists


def image_sizes(table: pa.Table, key: str) -> NDArray[np.int64]:
    """Rows and columns of images.

    Args:
        table: Rows as in ``items.parquet``.
        key: The asset. Without a ``proj:shape`` of its own it has that of its Item.

    Returns:
        The sizes, int64 (sample, 2); 0 where the catalog does not say.
    """
    columns = [table["proj:shape"]] if "proj:shape" in table.column_names else []
    asset = pc.struct_field(table["assets"], [key])
    if asset.type.get_field_index("proj:shape") >= 0:
        columns.insert(0, pc.struct_field(asset, ["proj:shape"]))
    sizes = np.zeros((len(table), 2), np.int64)
    for shapes in map(_pairs, columns):
        sizes = np.where(sizes > 0, sizes, shapes)
    return sizes


def have_size(table: pa.Table, keys: Iterable[str], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Whether a sample has, among the images `keys`, one of that size (rows, columns)."""
    fits = np.zeros(len(table), np.bool_)
    for key in keys:
        fits |= (image_sizes(table, key) == size).all(axis=1)
    return fits


def require_room(table: pa.Table, key: str, crop: tuple[int, int]) -> None:
    """Raises `ArgumentError` if images `key` are smaller than `crop`."""
    sizes = image_sizes(table, key)
    small = int(((sizes > 0) & (sizes < crop)).any(axis=1).sum())
    if small:
        rows, columns = crop
        raise ArgumentError(
            f"{small:,} of the {len(table):,} {key} images are smaller than the crop of {rows} x "
            f"{columns} pixels; give a smaller one",
            "crop",
        )


def require_same_grid(table: pa.Table, keys: Iterable[str]) -> None:
    """Raises `ArgumentError` if the images `keys` of a sample differ in size.

    Their middles of so many pixels would show other places.
    """
    sizes = [image_sizes(table, key) for key in keys]
    if any((one != sizes[0]).any() for one in sizes):
        raise ArgumentError(
            f"the images {', '.join(keys)} of a sample differ in size, so that one crop does not "
            "fit all; choose bands of one size",
            "bands",
        )


class SizeWarning(CatalogWarning):
    """Images are cropped or padded to the size that was asked for; the message counts them."""


class Fit(NamedTuple):
    """How many images have a size, and how many are cropped or padded; one image may be both.

    Attributes:
        same: Those that have the size.
        cropped: Those with more rows or columns.
        padded: Those with fewer rows or columns.
    """

    same: int
    cropped: int
    padded: int


def count_fit(table: pa.Table, keys: Iterable[str], size: tuple[int, int]) -> Fit:
    """What becomes of the images `keys` if all are to be of one size; unknown ones do not count."""
    same = cropped = padded = 0
    for key in keys:
        sizes = image_sizes(table, key)
        sizes = sizes[(sizes > 0).all(axis=1)]
        same += int((sizes == size).all(axis=1).sum())
        cropped += int((sizes > size).any(axis=1).sum())
        padded += int((sizes < size).any(axis=1).sum())
    return Fit(same, cropped, padded)


def say_fit(fit: Fit, size: tuple[int, int]) -> None:
    """Warns (`SizeWarning`) if images will be cropped or padded."""
    if fit.cropped or fit.padded:
        rows, columns = size
        warnings.warn(
            SizeWarning(
                f"size {rows} x {columns}: {fit.same:,} images have it, {fit.cropped:,} are "
                f"cropped to their middle, {fit.padded:,} get zeros around them"
            ),
            stacklevel=6,
        )


def fitted(image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """The middle of an image (y, x, band), with zeros around it where it is smaller."""
    image = middle(image, size)
    if image.shape[:2] == size:
        return image
    out = np.zeros((*size, image.shape[2]), image.dtype)
    rows, columns = image.shape[:2]
    top, left = (size[0] - rows) // 2, (size[1] - columns) // 2
    out[top : top + rows, left : left + columns] = image
    return out


def as_colour(image: NDArray[Any], bands: int) -> NDArray[Any]:
    """A grey image among colour images as red, green and blue; others as they are."""
    if bands == 3 and image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    return image


def as_files(table: pa.Table, key: str) -> pa.Table:
    """The rows with no asset but `key`, whose images are to be decoded from their files."""
    asset = pc.struct_field(table["assets"], [key]).combine_chunks()
    names = [field.name for field in asset.type if field.name != "satimnet:pixels"]
    parts = [pc.struct_field(asset, [name]) for name in names]
    column = pa.StructArray.from_arrays(
        [pa.StructArray.from_arrays(parts, names, mask=asset.is_null())], [key]
    )
    return table.set_column(table.column_names.index("assets"), "assets", column)


def middle(image: NDArray[Any], crop: tuple[int, int]) -> NDArray[Any]:
    """The middle of an image (y, x, band); half a pixel above or left of it if it must be."""
    top, left = ((have - want) // 2 for have, want in zip(image.shape, crop))
    return image[max(top, 0) :, max(left, 0) :][: crop[0], : crop[1]]


def _pairs(shapes: pa.ChunkedArray) -> NDArray[np.int64]:
    """Lists of two numbers as array; zeros for others."""
    shapes = shapes.combine_chunks()
    two = pc.fill_null(pc.equal(pc.list_value_length(shapes), 2), False)
    found = np.zeros((len(shapes), 2), np.int64)
    found[np.asarray(two)] = np.asarray(pc.list_flatten(shapes.filter(two))).reshape(-1, 2)
    return found


def require_one_size(table: pa.Table, key: str) -> None:
    """Raises `ArgumentError`, with what to do, if the images `key` have several sizes."""
    sizes = image_sizes(table, key)
    if (sizes == sizes[0]).all() or (sizes == 0).any():
        return
    counts = Counter(map(tuple, sizes.tolist())).most_common()
    listed = [f"{number:,} of {y} x {x}" for (y, x), number in counts[:_SHOWN]]
    if len(counts) > _SHOWN:
        listed.append(f"{sum(number for _, number in counts[_SHOWN:]):,} of other sizes")
    (rows, columns), _ = counts[0]
    raise ArgumentError(
        f"the {key} images of the {len(table):,} samples have several sizes ({', '.join(listed)}); "
        f"batches need one: samples.of_size({rows}, {columns}) keeps those of the most frequent "
        f"size, samples.cropped(rows, columns) reads the middle of each; size=({rows}, {columns}) "
        "of to_batches and to_xarray crops or pads them",
        "image_size",
        "crop",
    )
