"""Batches in the form of torchgeo's, a dictionary (https://torchgeo.readthedocs.io, 0.10)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from satimnet.builder.arguments import checked
from satimnet.builder.errors import ArgumentError
from satimnet.training.data.array_types import Array
from satimnet.training.data.batches import Batch
from satimnet.training.data.image_assets import images_of
from satimnet.training.data.image_sizes import image_sizes
from satimnet.training.data.training_samples import Samples


@checked()
def to_torchgeo(
    batch: Batch, samples: Samples, bands: Sequence[str] | None = None
) -> dict[str, Any]:
    """Gives a batch the keys and types that torchgeo's tasks and transforms take.

    For torch's DataLoader it is ``collate_fn=partial(to_torchgeo, samples=samples)``, and for
    `data_module` it is ``convert=to_torchgeo``.

    Args:
        batch: A batch of the samples.
        samples: The samples that were read.
        bands: The bands that were read, where they are not those by default.

    Returns:
        A dictionary. Of images and what is known of them:

        - ``image``: float32 (sample, band, y, x).
        - ``label``: int64 (sample), or (sample, class) of 0 and 1 where samples have several.
        - ``mask``: int64 (sample, y, x).

        Of batches with objects, lists with a tensor for each sample:

        - ``bbox_xyxy``: float32 (object, 4): left, top, right, bottom in pixels.
        - ``label``: int64 (object), from 1.
        - ``mask``: uint8 (object, y, x), of objects="masks".

        If all images of the batch are georeferenced, north up:

        - ``bounds``: float64 (sample, 9): least, largest and step of x, then of y, in the unit of
          the sample's own coordinate system; then first and last moment in seconds since 1970, and
          1. (torchgeo has float32, which is 0.5 m off in the northings of UTM.)
        - ``transform``: float64 (sample, 9): row by row the matrix from column and row to x and y.

    Raises:
        ArgumentError: The batch has something that torchgeo has no key for: images of several
            sizes, or labels beside objects.

    Example:
        >>> from satimnet.training import open_samples, to_torchgeo
        >>> samples = open_samples("catalog").search(collections=["eurosat"])
        >>> made = to_torchgeo(next(samples.to_batches(8)), samples)
        >>> sorted(made)
        ['bounds', 'image', 'label', 'transform']
    """
    if not isinstance(batch.images, Tensor):
        raise ArgumentError(
            "the batch has images of several sizes; choose bands of one size, as "
            "samples.bands_by_size() gives them",
            "bands",
        )
    made: dict[str, Any] = {"image": batch.images}
    if batch.labels is not None:
        made["label"] = batch.labels.long()
    if batch.masks is not None:
        made["mask"] = batch.masks.long()
    if batch.objects is not None:
        keys = {"boxes": "bbox_xyxy", "labels": "label", "masks": "mask"}
        for key, named in keys.items():
            if named in made:
                raise ArgumentError(
                    f"torchgeo has one key, {named}, for objects and for whole samples; read "
                    f"batches with objects by labels=None and mask=None",
                    "batch",
                )
            if all(key in target for target in batch.objects):
                made[named] = [target[key] for target in batch.objects]
    return made | _places(batch, samples, bands)


def _places(batch: Batch, samples: Samples, bands: Sequence[str] | None) -> dict[str, Tensor]:
    """Bounds and transforms of the images; nothing where not all have them."""
    key = next(iter(images_of(samples, bands)))
    rows = samples.table.take(batch.indices.cpu().numpy())
    sizes = image_sizes(rows, key)
    grids = np.array([_grid(row, key) for row in rows.to_pylist()], np.float64)
    a, b, x, d, e, y = grids.T
    if not ((a > 0) & (e < 0) & (b == 0) & (d == 0)).all() or (sizes == 0).any():
        return {}
    height, width = batch.images.shape[2:]
    left, top = _corners(batch, sizes, (height, width))
    x, y = x + left * a, y + top * e
    times = np.array([_times(row) for row in rows.to_pylist()]).T
    one, zero = np.ones(len(x)), np.zeros(len(x))
    bounds = np.stack([x, x + width * a, a, y + height * e, y, -e, *times, one], axis=1)
    transform = np.stack([a, zero, x, zero, e, y, zero, zero, one], axis=1)
    return {"bounds": torch.from_numpy(bounds), "transform": torch.from_numpy(transform)}


def _grid(row: dict[str, Any], key: str) -> list[float]:
    """The transform of an image, six numbers; nan where it has none."""
    said = (row["assets"][key] or {}).get("proj:transform") or row.get("proj:transform")
    return list(said[:6]) if said and len(said) >= 6 else [math.nan] * 6


def _corners(batch: Batch, sizes: Array, shape: tuple[int, int]) -> tuple[Array, Array]:
    """Where the images of the batch begin in those of the catalog: left and top, in pixels."""
    if batch.windows is not None:
        return batch.windows[:, 0].numpy(), batch.windows[:, 1].numpy()
    more = sizes - shape  # of images that are cropped to their middle; padded ones have less
    top, left = np.where(more >= 0, more // 2, -(-more // 2)).T
    return left, top


def _times(row: dict[str, Any]) -> tuple[float, float]:
    """The first and the last moment of a sample in seconds; nan where it is not known."""
    moments = (row.get("start_datetime"), row.get("end_datetime"))
    known = (row.get("datetime") or moment for moment in moments)
    first, last = (math.nan if at is None else float(at.timestamp()) for at in known)
    return first, last
