"""Training CNN-class on samples."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn import functional as F

from satimnet.builder.errors import SatimnetError

from .batches import to_batches
from .checkpoints import Checkpoint, Recipe, make_room, normalised
from .devices import pick_device, reduced_precision
from .models import PATCH, CnnClass
from .pixels import Layout, Reader, locate
from .samples import Samples

_RESIDENT = 2 * 1024**3
"""Stored pixels up to this many bytes are read once and kept on the device."""

Feed = Callable[[int | None], Iterator[tuple[Tensor, Tensor]]]
"""Gives (images, labels) on the device: in full batches shuffled by a seed; None: all in order."""


def train(
    samples: Samples,
    validation: Samples,
    out: str | os.PathLike[str],
    *,
    bands: Sequence[str] | None = None,
    width: int = 256,
    epochs: int = 40,
    batch_size: int = 64,
    learning_rate: float = 0.01,
    seed: int = 0,
    device: str | None = None,
    quiet: bool = False,
) -> Checkpoint:
    """Train CNN-class, write it to the file `out` and return it.

    Adam (epsilon 1e-7 as in Keras) under a one-cycle schedule that rises to `learning_rate` over
    the first 30 % of the steps and falls to nothing; every image in one of its eight orientations,
    drawn anew each epoch; images normalised by mean and deviation of the training samples. The
    network after the last epoch is kept: `validation` is only watched, nothing is chosen by it.
    device: None is the GPU if there is one. Same seed, same machine, CPU: same network.

    Raises `SatimnetError` when samples lack the bands, have another size than 64 x 64, or differ
    in classes from the validation samples.
    """
    if samples.classes != validation.classes:
        raise SatimnetError("training and validation samples have different classes")
    if min(width, epochs, batch_size) < 1 or learning_rate <= 0 or len(samples) < 2:
        raise SatimnetError(
            "training needs two samples, and width, epochs, batch size and learning rate above 0"
        )
    where = pick_device(device)
    make_room(out)
    batch_size = min(batch_size, len(samples))
    feed, layout = _feed(samples, bands, batch_size, where)
    watch, _ = _feed(validation, layout.bands, 256, where)
    mean, std = _moments(feed)

    generator = np.random.default_rng(seed)
    history = []
    steps = len(samples) // batch_size
    with torch.random.fork_rng(), _progress(quiet) as progress:
        torch.manual_seed(seed)
        model = CnnClass(len(layout.bands), len(samples.classes), width)
        model.to(where)
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                # the moving statistics must forget the beginning within an epoch or so, which on
                # few samples they would not do before the training ends
                layer.momentum = max(layer.momentum or 0, 1 / steps)
        optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate, eps=1e-7)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, learning_rate, total_steps=steps * epochs
        )
        recipe = Recipe(
            bands=layout.bands,
            classes=samples.classes,
            width=width,
            mean=mean,
            std=std,
            seed=seed,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            samples=len(samples),
        )
        checkpoint = Checkpoint(model, recipe)
        task = progress.add_task("first epoch", total=steps * epochs)
        began = time.perf_counter()
        for epoch in range(1, epochs + 1):
            started = time.perf_counter()
            total = torch.zeros((), device=where)
            model.train()
            for images, labels in feed(int(generator.integers(2**63))):
                turned = _turned(normalised(images, mean, std), generator)
                with reduced_precision(where):
                    loss = F.cross_entropy(model(turned), labels)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # torch gives it no type
                optimiser.step()
                schedule.step()
                total += loss.detach()
                progress.advance(task)
            mean_loss = total.item() / steps
            speed = steps * batch_size / (time.perf_counter() - started)
            accuracy = _accuracy(checkpoint, watch)
            history.append(
                {
                    "epoch": epoch,
                    "loss": mean_loss,
                    "accuracy": accuracy,
                    "images_per_second": speed,
                    "seconds": time.perf_counter() - began,
                }
            )
            progress.update(
                task,
                description=f"epoch {epoch}/{epochs}  loss {mean_loss:.3f}  "
                f"held out {accuracy:.1%}  {speed:,.0f} images/s",
            )
    checkpoint = Checkpoint(model, replace(recipe, history=tuple(history)))
    checkpoint.save(out)
    return checkpoint


def _feed(
    samples: Samples, bands: Sequence[str] | None, batch_size: int, device: torch.device
) -> tuple[Feed, Layout]:
    """Batches of the samples again and again: from memory if they fit, else from the shards."""
    layout = locate(samples, bands)
    shape = layout.buffer_shape(len(layout))
    _, _, *size = (shape[axis] for axis in layout.public_axes)
    if size != [PATCH, PATCH]:
        raise SatimnetError(
            f"{layout.shards[0]}: the images are {size[0]} x {size[1]} pixels; "
            f"CNN-class takes {PATCH} x {PATCH}"
        )
    if np.prod(shape, dtype=np.int64) * layout.dtype.itemsize > _RESIDENT:
        return _streamed(samples, layout.bands, batch_size, device), layout

    stored = np.empty(shape, layout.dtype.newbyteorder("="))
    with Reader(layout) as reader:
        reader.read(np.arange(len(layout)), stored)
    images = torch.from_numpy(stored).permute(layout.public_axes).to(device)
    labels = torch.from_numpy(samples.labels).to(device)

    def resident(seed: int | None) -> Iterator[tuple[Tensor, Tensor]]:
        order, end = torch.arange(len(labels)), len(labels)
        if seed is not None:
            order = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))
            end -= end % batch_size
        for rows in torch.split(order[:end].to(device), batch_size):
            yield images[rows].float(), labels[rows]

    return resident, layout


def _streamed(
    samples: Samples, bands: Sequence[str], batch_size: int, device: torch.device
) -> Feed:
    def streamed(seed: int | None) -> Iterator[tuple[Tensor, Tensor]]:
        shuffle = seed is not None
        for batch in to_batches(
            samples,
            batch_size,
            bands=bands,
            shuffle=shuffle,
            seed=seed or 0,
            drop_last=shuffle,
            device=str(device),
        ):
            yield batch.images, batch.labels

    return streamed


def _moments(feed: Feed) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each band over all pixels; a constant band has deviation 1."""
    count, total, squares = 0, torch.zeros(()).double(), torch.zeros(()).double()
    for images, _ in feed(None):
        count += images.numel() // images.shape[1]
        # float32 sums of one image are exact enough, and float64 over the whole batch is slow
        total = total + images.sum((2, 3)).double().sum(0).cpu()
        squares = squares + images.square().sum((2, 3)).double().sum(0).cpu()
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=0).sqrt()
    std[std < 1e-3 * mean.abs().clamp(min=1e-3)] = 1
    return tuple(mean.tolist()), tuple(std.tolist())


def _turned(images: Tensor, generator: np.random.Generator) -> Tensor:
    """Return each square image in one of its eight orientations."""
    drawn = generator.integers(8, size=len(images))
    out = torch.empty_like(images)
    for turn in range(8):
        rows = torch.from_numpy(np.flatnonzero(drawn == turn)).to(images.device)
        picked = torch.rot90(images[rows], turn % 4, (2, 3))
        out[rows] = picked.flip(3) if turn >= 4 else picked
    return out


def _accuracy(checkpoint: Checkpoint, feed: Feed) -> float:
    hits = [(checkpoint.logits(images).argmax(1) == labels) for images, labels in feed(None)]
    return float(torch.cat(hits).double().mean())


def _progress(quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=quiet)
