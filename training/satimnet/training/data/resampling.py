"""Resampling: images brought to another grid of the same ground, by torch, where they are.

Pixels are areas: the outer corners of both grids lie on each other (torch's ``align_corners=False``
and ``nearest-exact``). Where bilinear makes images smaller, each pixel is a mean of all below it
(torch's ``antialias``), as torchvision's ``resize`` has it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from satimnet.training.data.array_types import Resample

_WHOLE = 1 - 1e-5


def resampled(
    images: Tensor, size: tuple[int, int], how: Resample, nodata: Sequence[float | None] = ()
) -> Tensor:
    """Images on another grid.

    Args:
        images: Float32 (sample, band, y, x).
        size: Rows and columns of the grid.
        how: "nearest" takes the value of the pixel in which the middle of the new one lies,
            "bilinear" weighs the values around it.
        nodata: Of each band the value that says that there is none; None where every value is
            one. It is not mixed with others: a pixel has the mean of those that have data, and no
            data where these have less than half of the weight.

    Returns:
        Float32 (sample, band, y, x); the images themselves if they have that size.

    Example:
        >>> coarse = torch.tensor([[[[0.0, 4.0]]]])
        >>> resampled(coarse, (1, 4), "bilinear").tolist()
        [[[[0.0, 1.0, 3.0, 4.0]]]]
        >>> resampled(coarse, (1, 4), "bilinear", [4.0]).tolist()
        [[[[0.0, 0.0, 4.0, 4.0]]]]
    """
    if tuple(images.shape[2:]) == size:
        return images
    if how == "nearest":
        return interpolate(images, size, mode="nearest-exact")
    known = [band for band, value in enumerate(nodata) if value is not None]
    found = _bilinear(images, size)
    if not known:
        return found
    own = images[:, known]
    values = torch.tensor([nodata[band] for band in known], device=own.device)[:, None, None]
    missing = (own == values) | (own.isnan() & values.isnan())
    if missing.device.type == "cpu" and not missing.any():  # a GPU would be waited for
        return found
    weight = _bilinear((~missing).float(), size)
    mixed = _bilinear(own.masked_fill(missing, 0.0), size)
    # the weight is 1 but for rounding where all have data, and the value the same as without any
    mixed = torch.where(weight < _WHOLE, mixed / weight, mixed)
    found[:, known] = torch.where(weight < 0.5, values, mixed)
    return found


def _bilinear(images: Tensor, size: tuple[int, int]) -> Tensor:
    smaller = any(want < have for want, have in zip(size, images.shape[2:], strict=True))
    return interpolate(images, size, mode="bilinear", align_corners=False, antialias=smaller)
