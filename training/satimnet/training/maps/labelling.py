"""Labels of strips of a scene: which class a network gives to each pixel, or to each patch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from satimnet.builder.errors import ArgumentError
from satimnet.training.maps.strips import Strip
from satimnet.training.networks.checkpoints import Checkpoint
from satimnet.training.networks.models import MARGIN, PATCH

_TILE = 128
"""Columns that a network sees at a time; wider tiles are not faster and take more memory."""
_PATCHES = 32
"""Patches that CNN-class sees at a time."""
_REFINED = ("River", "SeaLake", "Industrial", "Residential")
"""Classes whose patches CNN-segm segments: those of water and built-up (Section 3 of the paper)."""
_OTHER = "other"
"""The class of the pixels in all other patches."""

Indices = NDArray[np.intp]


def check_refinement(trained: Checkpoint, finder: Checkpoint) -> None:
    """Raises `ArgumentError` unless the networks have the classes that `refined` needs."""
    for network, wanted in ((trained, (_OTHER,)), (finder, _REFINED)):
        names = network.outputs[0].names
        if not set(wanted) & set(names):
            raise ArgumentError(
                f"{network.kind}: none of its classes ({', '.join(names)}) is "
                f"{' or '.join(wanted)}, so it cannot be combined",
                "within",
            )


def refined(trained: Checkpoint, finder: Checkpoint, strip: Strip) -> list[Indices]:
    """Indices of classes (y, x) by CNN-segm in patches of water or built-up, else other.

    finder: the CNN-class that finds the patches (Section 3.1 of the paper).
    """
    chosen = [k for k, name in enumerate(finder.outputs[0].names) if name in _REFINED]
    inside = np.isin(of_patches(finder, strip)[0], chosen)
    (found,) = of_pixels(trained, strip, inside)
    found[~inside] = trained.outputs[0].names.index(_OTHER)
    return [found]


def of_pixels(
    trained: Checkpoint, strip: Strip, wanted: NDArray[np.bool_] | bool = True
) -> list[Indices]:
    """Indices of classes (y, x) for each output of CNN-segm or CNN-dual.

    They are those of the whole scene at once, mirrored at its edges. Tiles without an observed
    pixel that is wanted are left out: there the index is 0.
    """
    wanted = strip.valid & wanted
    found = [np.zeros(wanted.shape, np.intp) for _ in trained.outputs]
    for left in range(0, wanted.shape[1], _TILE):
        tile = slice(left, left + _TILE)
        if wanted[:, tile].any():
            image = strip.padded[None, :, :, left : left + _TILE + 2 * MARGIN]
            for out, logits in zip(found, _logits(trained, image), strict=True):
                out[:, tile] = logits[0].argmax(0).cpu().numpy()
    return found


def of_patches(trained: Checkpoint, strip: Strip) -> list[Indices]:
    """Indices of classes (y, x) by CNN-class, the same in all pixels of a patch.

    Patches lie side by side from the upper left corner of the scene. The last ones are moved back
    into it where they would reach beyond, and give their class to the pixels not yet covered.
    Those without an observed pixel are left out: there the index is 0.
    """
    height, width = strip.scene.shape
    found = np.zeros(strip.valid.shape, np.intp)
    places = [
        (y, x)
        for y in range(0, strip.bottom - strip.top, PATCH)
        for x in range(0, width, PATCH)
        if strip.valid[y : y + PATCH, x : x + PATCH].any()
    ]
    for start in range(0, len(places), _PATCHES):
        group = places[start : start + _PATCHES]
        corners = [
            (min(strip.top + y, height - PATCH) - strip.first, min(x, width - PATCH))
            for y, x in group
        ]
        images = [strip.values[:, y : y + PATCH, x : x + PATCH] for y, x in corners]
        (logits,) = _logits(trained, np.stack(images))
        for (y, x), k in zip(group, logits.argmax(1).tolist(), strict=True):
            found[y : y + PATCH, x : x + PATCH] = k
    return [found]


def _logits(trained: Checkpoint, images: NDArray[np.float32]) -> Sequence[Tensor]:
    device = next(trained.model.parameters()).device
    return trained.logits(torch.from_numpy(images).to(device))
