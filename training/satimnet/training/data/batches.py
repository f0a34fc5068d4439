"""Samples as torch batches, read ahead into memory that is used again."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from satimnet.builder.errors import ArgumentError
from satimnet.training.data.array_types import Array, Numbers
from satimnet.training.data.batch_options import DEFAULTS, BatchOptions, ReadingOptions
from satimnet.training.data.image_assets import Assets
from satimnet.training.data.image_places import require_same_ground
from satimnet.training.data.image_sizes import count_fit, image_sizes, say_fit
from satimnet.training.data.joined_images import (
    JoinedImages,
    assets_of,
    factors_of,
    keys_of,
    locate_joined,
)
from satimnet.training.data.layouts import Layout, locate_mask, tile_index_of
from satimnet.training.data.object_targets import ObjectTargets, Target, to_device
from satimnet.training.data.order import Places, batches_of
from satimnet.training.data.reading_ahead import filled, require_way
from satimnet.training.data.sample_table import SampleTable
from satimnet.training.data.spare_memory import keep, memory
from satimnet.training.data.versioned_pickles import VersionedPickle
from satimnet.training.data.window_plans import WindowPlan, window_size
from satimnet.training.devices import pick_device


class Batch(NamedTuple):
    """Some samples, on the device that was asked for.

    Attributes:
        images: Float32 (sample, band, y, x). In memory the bands of a pixel stay together where the
            files have them so (`torch.channels_last`). Where the bands have several sizes, it is a
            tuple of such tensors, one for each size, the finest first: `Samples.bands_by_size` says
            which bands are where. With the option `images` it is a dictionary with a tensor for
            each name.
        labels: Int64 (sample), indices into `Samples.classes`, or float32 (sample, class), 1 where
            the sample has the class. None where the catalog says no classes, or none are wanted.
        indices: Int64 (sample), on the CPU: which of the samples these are.
        masks: Uint8 (sample, y, x), values of the class table, if they were asked for.
        objects: For each sample a dictionary as torchvision's detectors take it, if objects were
            asked for: `Samples.to_batches` says what is in it.
        windows: Int64 (sample, 4), on the CPU, if windows were asked for: left, top, width and
            height of each in its image. `indices` then says which sample a window is of.

    Example:
        >>> from satimnet.training import open_samples
        >>> samples = open_samples("catalog").search(collections=["eurosat"])
        >>> batch = next(samples.to_batches(4))
        >>> batch.images.shape, batch.indices.tolist()
        (torch.Size([4, 13, 64, 64]), [0, 1, 2, 3])
    """

    # Any stands for a tuple or None, so that not every use has to rule them out for a type checker
    images: Tensor | Any
    labels: Tensor | Any
    indices: Tensor
    masks: Tensor | Any = None
    objects: list[dict[str, Any]] | Any = None
    windows: Tensor | Any = None


@dataclass(frozen=True)
class Plan(VersionedPickle):
    """What a batch is made of: where its images lie, by size, its masks and labels.

    `scale` has a factor for each of the images, `joined` says how they are put together.
    """

    images: tuple[Layout, ...]
    mask: Layout | None
    labels: Tensor | None
    scale: tuple[float | None, ...] | None
    objects: ObjectTargets | None = None
    windows: WindowPlan | None = None
    joined: JoinedImages | None = None
    stored: bool = False

    @classmethod
    def of(cls, samples: SampleTable, options: BatchOptions) -> Plan:
        """The plan for `samples` by the options of `Samples.to_batches`."""
        chosen = DEFAULTS | options
        size = chosen["size"]
        if size is not None:
            samples = samples.fitted(size)
        assets = assets_of(samples, chosen["bands"], chosen["images"])
        keys = keys_of(assets)
        if size is not None:
            say_fit(count_fit(samples.table, keys, size), size)
        side = None if chosen["window"] is None else window_size(chosen["window"])
        if side is not None:
            _require_windows(samples, assets, chosen)
            samples = replace(samples, window=side)
        layouts, joined = locate_joined(samples, assets, chosen)
        masks = None if chosen["mask"] is None else locate_mask(samples, chosen["mask"])
        targets = samples.targets(chosen["labels"])
        labels = None if targets is None else torch.from_numpy(targets)
        kind, objects = chosen["objects"], None
        if kind is not None:
            _require_own_grid(layouts[0], joined)
            objects = ObjectTargets.of(samples, kind, keys[0], layouts[0].image_size)
        scale, stored = factors_of(joined, layouts, chosen), chosen["dtype"] == "stored"
        plan = cls(layouts, masks, labels, scale, objects, joined=joined, stored=stored)
        if side is None:
            return plan
        index = tile_index_of(layouts[0], 0) if chosen["snap"] else None
        tile = None if index is None else index.tile
        how = (chosen["windows"], chosen["windows_per_image"], tile)
        windows = WindowPlan.of(samples, keys[0], side, *how)
        return plan.of_windows(windows).at(chosen["seed"])

    def of_windows(self, windows: WindowPlan) -> Plan:
        """The plan of windows, each of one of the samples; `at` says where they lie."""
        rows = windows.rows
        return replace(
            self,
            images=tuple(layout.take(rows) for layout in self.images),
            mask=None if self.mask is None else self.mask.take(rows),
            labels=None if self.labels is None else self.labels[torch.from_numpy(rows)],
            objects=None if self.objects is None else self.objects.of_windows(windows),
            windows=windows,
        )

    def at(self, seed: int) -> Plan:
        """The plan with the windows that the seed draws; without windows it stays as it is."""
        if self.windows is None:
            return self
        corners, size = self.windows.corners(seed), self.windows.size
        return replace(
            self,
            images=tuple(replace(layout, windows=corners) for layout in self.images),
            mask=None if self.mask is None else replace(self.mask, windows=corners),
            objects=None if self.objects is None else self.objects.at(corners, size),
        )

    @property
    def count(self) -> int:
        """How many samples, or windows of them, there are."""
        return len(self.images[0])

    def windows_of(self, rows: Numbers) -> tuple[Tensor, Tensor | None]:
        """Which samples some of these are of, and where their windows lie."""
        corners = self.images[0].windows
        if self.windows is None or corners is None:
            return torch.from_numpy(rows), None
        height, width = self.windows.size
        whole = np.broadcast_to([width, height], (len(rows), 2))
        windows = np.concatenate([corners[rows][:, ::-1], whole], axis=1)
        return torch.from_numpy(self.windows.rows[rows]), torch.from_numpy(windows)

    @property
    def places(self) -> Places:
        """Where the samples lie, by which they can be shuffled."""
        return self.images[0].places

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """All that is read: images by size, then masks."""
        return self.images if self.mask is None else (*self.images, self.mask)

    def size(self, count: int) -> int:
        """How many bytes so many samples take, as float32."""
        values = sum(prod(layout.buffer_shape(count)) for layout in self.layouts)
        if self.joined is not None:
            values += self.joined.size(count, self.images)
        return 4 * values


def to_batches(samples: SampleTable, batch_size: int, options: ReadingOptions) -> Iterator[Batch]:
    """Yields every sample once, in batches; see `Samples.to_batches`.

    A batch belongs to the caller: its memory is used again only after the last tensor over it is
    gone.
    """
    chosen = DEFAULTS | options
    device = pick_device(chosen["device"])
    require_way(chosen["scheduler"], chosen["threads"])
    plan = Plan.of(samples, options)
    parts = batches_of(plan.count, batch_size, options, plan.places)
    return read(plan, parts, device, chosen["threads"], chosen["scheduler"])


def read(
    plan: Plan,
    parts: Sequence[Numbers],
    device: torch.device,
    threads: int | None,
    scheduler: str,
) -> Iterator[Batch]:
    """Yields the batches of the samples in `parts`, read by `scheduler` and so many threads."""
    _require_room(plan, parts)
    staging = _Staging(device, stored=plan.stored)

    def room(rows: Numbers) -> list[Tensor]:
        return [
            staging.buffer(layout, len(rows), mask=layout is plan.mask) for layout in plan.layouts
        ]

    with ExitStack() as stack:
        stack.callback(staging.close)
        objects: Iterator[list[Target]] | None = None
        if plan.objects is not None:
            objects = stack.enter_context(closing(plan.objects.ahead(parts)))
        read_ahead = stack.enter_context(
            closing(filled(plan.layouts, parts, room, plan.scale, threads, scheduler))
        )
        for rows, buffers in read_ahead:
            batch = staging.batch(plan, rows, buffers)
            del buffers  # the memory is free as soon as the batch is gone
            if plan.windows is not None:
                indices, windows = plan.windows_of(rows)
                batch = batch._replace(indices=indices, windows=windows)
            if objects is not None:
                batch = batch._replace(objects=to_device(next(objects), device))
            yield batch
            del batch


def _require_windows(samples: SampleTable, assets: Assets, chosen: BatchOptions) -> None:
    """Refuses windows where they cannot be read."""
    if chosen["size"] is not None or samples.crop is not None:
        raise ArgumentError("window and size exclude each other; give one of them", "window")
    for own in assets.values():
        if len(own) > 1:
            raise ArgumentError(
                f"windows are read of one image with all bands, not of {', '.join(own)}; leave out "
                "window",
                "window",
            )
    keys = keys_of(assets)
    sizes = [image_sizes(samples.table, key) for key in keys]
    if any((one != sizes[0]).any() for one in sizes):
        raise ArgumentError(
            f"windows are read of images on one grid, and {', '.join(keys)} differ in size; leave "
            "out window",
            "window",
        )
    require_same_ground(samples.table, keys, "window")


def _require_own_grid(layout: Layout, joined: JoinedImages | None) -> None:
    """Refuses objects, which are in pixels of the first image, where it gets another grid."""
    if joined is not None and joined.grid not in (None, layout.image_size):
        raise ArgumentError(
            "objects are in pixels of the first image as it is stored; leave out grid, or name the "
            "finest image first",
            "grid",
        )


def _require_room(plan: Plan, parts: Sequence[Numbers]) -> None:
    """Refuses batches that are larger than memory, as a broken catalog may ask for."""
    size = plan.size(max(map(len, parts), default=0))
    if size > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"):
        rows, columns = plan.images[0].image_size
        raise ArgumentError(
            f"{plan.images[0].shards[0]}: a batch of images of {rows} x {columns} pixels takes "
            f"{size / 1024**3:.0f} GiB, more than this machine has; choose a smaller batch_size",
            "batch_size",
        )


class _Staging:
    """Memory that batches are read into, and their way from there to the device.

    On the CPU it is the batch itself: float32, used again when the batch is gone, since fresh
    memory costs more than the reading. A buffer is lent as a view. torch holds the view as long as
    any tensor lies over it; when it dies, the buffer is free again. What is free at the end, and
    what is given back later, is kept for the next epoch, within the limit of `spare_memory`.

    For a GPU it is pinned memory with the stored values, which are fewer bytes to send than
    float32; they are copied by a stream of their own beside the network's work, and converted
    there. torch recycles pinned memory itself, and knows when a copy has ended.
    """

    def __init__(self, device: torch.device, *, stored: bool) -> None:
        self._device = device
        self._stored = stored
        self._free: list[Array] = []
        self._closed = False
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def buffer(self, layout: Layout, count: int, *, mask: bool) -> Tensor:
        """Room for so many samples, of the dtype that they are to be read as."""
        shape, own = layout.buffer_shape(count), layout.dtype.newbyteorder("=")
        if self._stream is not None:
            dtype = torch.from_numpy(np.empty(0, own)).dtype
            return torch.empty(shape, dtype=dtype, pin_memory=True)
        wanted = np.dtype(np.uint8) if mask else own if self._stored else np.dtype(np.float32)
        fitting = [k for k, b in enumerate(self._free) if b.shape == shape and b.dtype == wanted]
        buffer = self._free.pop(fitting[0]) if fitting else memory(shape, wanted)
        view = buffer[:]
        weakref.finalize(view, self._give_back, buffer).atexit = False
        return torch.from_numpy(view)

    def _give_back(self, buffer: Array) -> None:
        if self._closed:
            keep(buffer)
        else:
            self._free.append(buffer)

    def close(self) -> None:
        """Nothing more is read into its memory."""
        self._closed = True
        while self._free:
            keep(self._free.pop())

    def batch(self, plan: Plan, rows: Numbers, buffers: Sequence[Tensor]) -> Batch:
        """What was read into the buffers, as a batch on the device."""
        tensors = [
            buffer.permute(layout.public_axes)
            for layout, buffer in zip(plan.layouts, buffers, strict=True)
        ]
        indices = torch.from_numpy(rows)
        labels = None if plan.labels is None else plan.labels[indices]
        if self._stream is None:
            if self._device.type != "cpu":
                tensors = [tensor.to(self._device) for tensor in tensors]
        else:
            if labels is not None:
                labels = labels.pin_memory()
            with torch.cuda.stream(self._stream):
                tensors = [tensor.to(self._device, non_blocking=True) for tensor in tensors]
                for k in range(0 if self._stored else len(plan.images)):
                    if tensors[k].dtype != torch.float32:
                        tensors[k] = tensors[k].float()
                    factor = None if plan.scale is None else plan.scale[k]
                    if factor is not None and buffers[k].dtype != torch.float32:
                        tensors[k] *= factor
                if labels is not None:
                    labels = labels.to(self._device, non_blocking=True)
            current = torch.cuda.current_stream(self._device)
            current.wait_stream(self._stream)
            for tensor in [*tensors, *([] if labels is None else [labels])]:
                tensor.record_stream(current)
        if labels is not None:
            labels = labels.to(self._device)
        images = tuple(tensors[: len(plan.images)])
        masks = None if plan.mask is None else tensors[-1][:, 0]
        if plan.joined is not None:
            masks = None if masks is None else plan.joined.masks(masks)
            return Batch(plan.joined.of(images), labels, indices, masks)
        return Batch(images[0] if len(images) == 1 else images, labels, indices, masks)
