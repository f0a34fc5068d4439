"""Examples on the device, batch by batch: whole patches, or windows cut out of patches.

Pixels are read once and stay on the device where they fit. Training asks a feed for batches of
examples by number, so that order, share of a process and place to go on from are the training's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from satimnet.builder.errors import ArgumentError, BadCatalogError
from satimnet.training.data.array_types import Numbers
from satimnet.training.data.layouts import Layout, locate, locate_mask
from satimnet.training.data.order import Places
from satimnet.training.data.reading_ahead import filled
from satimnet.training.data.training_samples import Samples
from satimnet.training.networks.checkpoints import Checkpoint
from satimnet.training.networks.models import MARGIN, PATCH, WINDOW
from satimnet.training.networks.outputs import Mask
from satimnet.training.networks.scores import ScoreCounter
from satimnet.training.networks.windows import cut, gather, observed

Example = tuple[Tensor, tuple[Tensor, ...]]
"""Images, float32 (example, band, y, x) stored values; int64 targets (example) of each output."""

Answer = tuple[Tensor, Tensor]
"""True classes of examples, int64 (example), and a network's logits, float32 (example, class)."""

_RESIDENT = 2 * 1024**3
"""Whole patches stay on the device if their stored pixels have up to this many bytes."""
_PIECE = 32 * 1024**2
"""Bytes of stored pixels that are read as one, by a thread or a worker."""
_BLOCK = 2**18
"""Pixels that are classified at once: 256 features of each are 268 MB of float32."""


class Feed(Protocol):
    """Examples to train on or to be judged by.

    `len` of it is their number.
    """

    def __len__(self) -> int: ...

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands of its images."""
        ...

    @property
    def places(self) -> Places | None:
        """Where they lie, by which they can be shuffled; None of windows, which are in memory."""
        ...

    def batches(self, parts: Sequence[Tensor]) -> Iterator[Example]:
        """For each of the parts, int64 numbers of examples, those examples."""
        ...

    def images(self) -> Iterator[Tensor]:
        """All patches that the examples are of, float32 (sample, band, y, x)."""
        ...

    def present(self) -> list[list[int]]:
        """For each output the indices of the classes that examples have."""
        ...

    def answers(
        self, checkpoint: Checkpoint, rank: int = 0, ranks: int = 1
    ) -> Iterator[list[Answer]]:
        """What a network says of the examples, for each output.

        Of `ranks` processes each asks about a share of its own.
        """
        ...


def patch_feed(
    samples: Samples, bands: Sequence[str] | None, device: torch.device, scheduler: str = "threads"
) -> Feed:
    """Whole patches and their class, read by `scheduler`: see `Samples.to_batches`.

    Raises `SatimnetError` when the samples lack the bands, are not 64 x 64, have no class or
    several, or pixels that are no numbers.
    """
    layout = locate(samples, bands)
    *_, height, width = (layout.buffer_shape(1)[axis] for axis in layout.public_axes)
    if (height, width) != (PATCH, PATCH):
        raise ArgumentError(
            f"{layout.shards[0]}: the images are {height} x {width} pixels; CNN-class takes "
            f"{PATCH} x {PATCH}; take only the middle of each, with "
            f"samples.cropped({PATCH}, {PATCH})",
            "samples",
        )
    size = len(layout) * layout.dtype.itemsize * int(np.prod(layout.buffer_shape(1)))
    labels = torch.from_numpy(samples.labels).to(device)
    if size > _RESIDENT:
        return _Streamed(layout.bands, layout.places, samples, labels, scheduler)
    pixels = _stored(layout, device, scheduler)
    return _Resident(layout.bands, layout.places, pixels, labels)


@dataclass(frozen=True)
class _Resident:
    """Patches that are held on the device: pixels (sample, y, x, band) as they are stored."""

    bands: tuple[str, ...]
    places: Places
    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, parts: Sequence[Tensor]) -> Iterator[Example]:
        for rows in parts:
            yield gather(self.pixels, rows).float().permute(0, 3, 1, 2), (self.labels[rows],)

    def images(self) -> Iterator[Tensor]:
        return (images for images, _ in self.batches(_in_order(len(self), self.labels.device)))

    def present(self) -> list[list[int]]:
        return [_indices(self.labels)]

    def answers(
        self, checkpoint: Checkpoint, rank: int = 0, ranks: int = 1
    ) -> Iterator[list[Answer]]:
        parts = _in_order(len(self), self.labels.device)[rank::ranks]
        for images, (labels,) in self.batches(parts):
            yield [(labels, checkpoint.logits(images)[0])]


@dataclass(frozen=True)
class _Streamed:
    """Patches that are read from the shards whenever they are wanted."""

    bands: tuple[str, ...]
    places: Places
    samples: Samples
    labels: Tensor
    scheduler: str

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, parts: Sequence[Tensor]) -> Iterator[Example]:
        if not parts:
            return
        wanted = self.samples.subset(torch.cat(list(parts)).cpu().numpy())
        device, scheduler = str(self.labels.device), self.scheduler
        for batch in wanted.to_batches(
            len(parts[0]), bands=self.bands, device=device, scheduler=scheduler
        ):
            broken = ~batch.images.isfinite().all(dim=(1, 2, 3))
            if broken.any():
                raise _no_numbers(wanted.ids[int(batch.indices[broken.cpu()][0])])
            yield batch.images, (batch.labels,)

    def images(self) -> Iterator[Tensor]:
        return (images for images, _ in self.batches(_in_order(len(self), self.labels.device)))

    def present(self) -> list[list[int]]:
        return [_indices(self.labels)]

    def answers(
        self, checkpoint: Checkpoint, rank: int = 0, ranks: int = 1
    ) -> Iterator[list[Answer]]:
        parts = _in_order(len(self), self.labels.device)[rank::ranks]
        for images, (labels,) in self.batches(parts):
            yield [(labels, checkpoint.logits(images)[0])]


@dataclass(frozen=True)
class WindowFeed:
    """Windows of 5x5 pixels and the class of the pixel in the middle, of patches on the device.

    pixels: (sample, y, x, band) as stored. mask: uint8 (sample, y, x), indices of classes or
    `IGNORED`. labels: int64 (sample), the class of the whole patch; None if only the mask counts.
    positions: int64, of the windows (see `satimnet.training.networks.windows`).
    """

    bands: tuple[str, ...]
    pixels: Tensor
    mask: Tensor
    labels: Tensor | None
    positions: Tensor

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def places(self) -> None:
        """None: patches are in memory, and a window costs the same wherever it lies."""

    def only(self, windows: Tensor) -> WindowFeed:
        """Some of the windows: indices or bool."""
        return replace(self, positions=self.positions[windows])

    def batches(self, parts: Sequence[Tensor]) -> Iterator[Example]:
        """For each of the parts those windows, float32 (window, band, 5, 5)."""
        masks = self.mask.flatten()
        area = self.mask[0].numel()
        for rows in parts:
            positions = self.positions[rows]
            targets = masks[positions].long()
            both = (
                (targets,)
                if self.labels is None
                else (self.labels[torch.div(positions, area, rounding_mode="floor")], targets)
            )
            yield cut(self.pixels, positions).float(), both

    def images(self) -> Iterator[Tensor]:
        """All patches that the windows are of."""
        for pixels in torch.split(self.pixels, max(1, _BLOCK // self.mask[0].numel())):
            yield pixels.float().permute(0, 3, 1, 2)

    def present(self) -> list[list[int]]:
        """For each output the indices of the classes that windows have."""
        area = self.mask[0].numel()
        found = [_indices(self.mask.flatten()[self.positions])]
        if self.labels is not None:
            patches = torch.div(self.positions, area, rounding_mode="floor")
            found.insert(0, _indices(self.labels[patches]))
        return found

    def answers(
        self, checkpoint: Checkpoint, rank: int = 0, ranks: int = 1
    ) -> Iterator[list[Answer]]:
        """What a network says of the windows, for each output.

        Patches are classified densely, which is the same as window by window, and cheaper.
        """
        chosen = torch.zeros_like(self.mask, dtype=torch.bool)
        chosen.view(-1)[self.positions] = True
        used = chosen.flatten(1).any(1).nonzero().flatten()[rank::ranks]
        for rows in torch.split(used, max(1, _BLOCK // self.mask[0].numel())):
            middle = (rows, slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
            truths = [self.mask[middle]]
            if self.labels is not None:
                truths.insert(0, self.labels[rows][:, None, None].expand(truths[0].shape))
            images = gather(self.pixels, rows).float().permute(0, 3, 1, 2)
            for strip, found in _strips(checkpoint, images):
                counted = chosen[middle][:, strip]
                yield [
                    (truth[:, strip][counted].long(), logits.permute(0, 2, 3, 1)[counted])
                    for truth, logits in zip(truths, found, strict=True)
                ]


def window_feed(
    samples: Samples,
    bands: Sequence[str] | None,
    mask: Mask,
    device: torch.device,
    *,
    dual: bool,
    scheduler: str = "threads",
) -> WindowFeed:
    """All windows of the samples whose middle was observed.

    dual: the class of the patch counts, too. scheduler: what reads; see `Samples.to_batches`.
    Raises `SatimnetError` when samples lack the bands or the mask, when images and masks differ in
    size or the patches do not fit into memory, when pixels are no numbers, or no window was
    observed.
    """
    labels = torch.from_numpy(samples.labels).to(device) if dual else None
    layout = locate(samples, bands)
    pixels = _stored(layout, device, scheduler)
    values = _stored(locate_mask(samples, mask.key), torch.device("cpu"), scheduler)[..., 0]
    if values.shape != pixels.shape[:3]:
        raise BadCatalogError(
            f"{layout.shards[0]}: the masks are {tuple(values.shape[1:])} pixels, the "
            f"images {tuple(pixels.shape[1:3])}; masks must be on the grid of their images"
        )
    if min(values.shape[1:]) < WINDOW:
        raise ArgumentError(
            f"{layout.shards[0]}: the images are smaller than a window of {WINDOW} x {WINDOW}",
            "samples",
        )
    indices = torch.from_numpy(mask.indices(values.numpy())).to(device)
    positions = observed(indices)
    if not len(positions):
        raise ArgumentError(f"the masks of the {len(samples)} samples observe nothing", "samples")
    return WindowFeed(layout.bands, pixels, indices, labels, positions)


def classify(checkpoint: Checkpoint, images: Tensor) -> tuple[Tensor, ...]:
    """For each output the classes, uint8 (sample, y - 4, x - 4), of images, densely.

    images: float32 (sample, band, y, x). Large ones are taken in strips of rows.
    """
    strips = [
        [logits.argmax(1).to(torch.uint8) for logits in found]
        for _, found in _strips(checkpoint, images)
    ]
    return tuple(torch.cat(parts, dim=1) for parts in zip(*strips, strict=True))


def confusions(
    feed: Feed,
    checkpoint: Checkpoint,
    rank: int = 0,
    ranks: int = 1,
    counters: Sequence[ScoreCounter] = (),
) -> list[Tensor]:
    """For each output int64 (true, predicted): numbers of examples; on the CPU.

    Of `ranks` processes each counts a share of its own. counters: what else is counted, of each
    output.
    """
    device = next(checkpoint.model.parameters()).device
    counts = [len(output.classes) for output in checkpoint.outputs]
    tables = [torch.zeros(n, n, dtype=torch.int64, device=device) for n in counts]
    for answers in feed.answers(checkpoint, rank, ranks):
        for k, (truth, logits) in enumerate(answers):
            tables[k] += _table(truth, logits.argmax(1), counts[k])
        for counter, (truth, logits) in zip(counters, answers):
            counter.add(truth, logits)
    return [table.cpu() for table in tables]


def _strips(checkpoint: Checkpoint, images: Tensor) -> Iterator[tuple[slice, tuple[Tensor, ...]]]:
    """Logits (sample, class, y, x) of images, densely, in strips of rows; which rows these are."""
    samples, _, height, width = images.shape
    rows = max(1, _BLOCK // (samples * width))
    for start in range(0, height - 2 * MARGIN, rows):
        end = min(start + rows, height - 2 * MARGIN)
        yield slice(start, end), checkpoint.logits(images[:, :, start : end + 2 * MARGIN])


def _stored(layout: Layout, device: torch.device, scheduler: str) -> Tensor:
    """Pixels of all samples, (sample, y, x, band), in the dtype of the files."""
    shape, dtype = layout.buffer_shape(len(layout)), layout.dtype.newbyteorder("=")
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if size > _memory(device):
        raise ArgumentError(
            f"{len(layout)} images of {size / 1024**3:.1f} GiB do not fit into the memory of "
            f"{device}; choose fewer samples, by limit or filter",
            *("limit", "filter"),
        )
    stored: np.ndarray[Any, np.dtype[Any]] = np.empty(shape, dtype)
    whole = torch.from_numpy(stored)
    step = max(1, _PIECE * len(layout) // max(1, size))
    parts = np.split(np.arange(len(layout)), range(step, len(layout), step))

    def room(rows: Numbers) -> list[Tensor]:
        return [whole[rows[0] : rows[-1] + 1]]

    with closing(filled((layout,), parts, room, scheduler=scheduler)) as pieces:
        for _ in pieces:
            pass
    if np.issubdtype(dtype, np.floating):
        fine = np.isfinite(stored).reshape(len(layout), -1).all(axis=1)
        if not fine.all():
            raise _no_numbers(
                f"{layout.shards[layout.shard[fine.argmin(), 0]]}: "
                f"sample {layout.ids[int(fine.argmin())]}"
            )
    band, y, x = layout.public_axes[1:]
    return whole.permute(0, y, x, band).contiguous().to(device)


def _no_numbers(sample: str) -> BadCatalogError:
    return BadCatalogError(
        f"{sample} has pixels that are NaN or infinite; leave it out of the samples by a filter"
    )


def _memory(device: torch.device) -> int:
    """Bytes that pixels may take: three quarters of the device's memory."""
    if device.type == "cuda":
        total = int(torch.cuda.get_device_properties(device).total_memory)
    else:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return total * 3 // 4


def _in_order(count: int, device: torch.device) -> list[Tensor]:
    return list(torch.split(torch.arange(count, device=device), 256))


def _indices(classes: Tensor) -> list[int]:
    """Which indices of classes occur."""
    found: list[int] = torch.bincount(classes).nonzero().flatten().tolist()
    return found


def _table(truth: Tensor, found: Tensor, count: int) -> Tensor:
    """Confusion matrix (true, predicted) of class indices."""
    return torch.bincount(truth * count + found, minlength=count**2).view(count, count)
