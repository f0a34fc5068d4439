"""Windows of 5x5 pixels, cut where the patches lie and only when they are wanted.

A window is known by the position of its middle: the index of that pixel in patches (sample, y, x)
counted through. All windows of the patches would take 25 times their memory; positions take little.
"""

from __future__ import annotations

import torch
from torch import Tensor

from satimnet.training.networks.draws import shuffled
from satimnet.training.networks.models import MARGIN, WINDOW
from satimnet.training.networks.outputs import IGNORED


def observed(mask: Tensor) -> Tensor:
    """The positions of all windows whose middle has a class, int64, in rising order.

    mask: uint8 (sample, y, x), indices of classes or `IGNORED`. A window lies in its patch
    entirely, so the two pixels along each edge are the middle of none.
    """
    inside = torch.zeros_like(mask, dtype=torch.bool)
    middle = (slice(None), slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    inside[middle] = mask[middle] != IGNORED
    return inside.flatten().nonzero().flatten()


def cut(pixels: Tensor, positions: Tensor) -> Tensor:
    """Windows (position, band, 5, 5) of pixels (sample, y, x, band), in their dtype.

    The bands of a pixel stay together in memory (`torch.channels_last`), and each window is
    gathered once, in one step for all.
    """
    width, bands = pixels.shape[2], pixels.shape[3]
    steps = torch.arange(-MARGIN, MARGIN + 1, device=positions.device)
    around = (steps[:, None] * width + steps).flatten()
    found = gather(pixels.view(-1, bands), positions[:, None] + around)
    return found.view(-1, WINDOW, WINDOW, bands).permute(0, 3, 1, 2)


def gather(rows: Tensor, indices: Tensor) -> Tensor:
    """Return ``rows[indices]``; of uint16, too, whose bits go as int16 where GPUs lack it."""
    if rows.dtype == torch.uint16:
        return rows.view(torch.int16)[indices].view(torch.uint16)
    return rows[indices]


def draw_windows(count: int, held: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Draws `count` windows, uniformly and the same for the same seed, from two parts together.

    held: bool, for each window whether it is held out. Returns the indices, in rising order, of
    those drawn to learn from and of those drawn and held out.
    """
    drawn = torch.zeros_like(held)
    drawn[shuffled(len(held), seed, held.device)[:count]] = True
    return (drawn & ~held).nonzero().flatten(), (drawn & held).nonzero().flatten()


def hold_out_windows(count: int, fraction: float, seed: int, device: torch.device) -> Tensor:
    """For each of `count` windows whether it is held out, as bool: `fraction` of them.

    ``int(count * (1 - fraction))`` stay to learn from: of 19,795,735 with a fraction of 0.2 the
    15,836,588 of the paper, and 3,959,147 are held out.
    """
    held = torch.ones(count, dtype=torch.bool, device=device)
    learned = int(round(count * (1 - fraction), 6))  # 0.8 is not exactly 1 - 0.2
    held[shuffled(count, seed, device)[:learned]] = False
    return held
