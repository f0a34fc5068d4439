"""Pictures to show to a colleague: confusion matrices, learning curves, predictions."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray
from torch.nn import functional as F

from satimnet.builder.arguments import at_least
from satimnet.builder.errors import ArgumentError
from satimnet.builder.imagery.colours import (
    Colour,
    Picture,
    class_colours,
    natural,
    plain,
    rgb,
    true_colour_names,
    unlike,
)
from satimnet.builder.storage.atomic_files import writing
from satimnet.builder.storage.hrefs import on_disk
from satimnet.builder.storage.staging import lock
from satimnet.training.data.layouts import Layout, locate, locate_mask
from satimnet.training.data.mixed_choice import mixed_choice
from satimnet.training.data.pixels import Reader
from satimnet.training.data.training_samples import Samples
from satimnet.training.networks.checkpoints import Checkpoint
from satimnet.training.networks.evaluation import Evaluation
from satimnet.training.networks.inputs import classify
from satimnet.training.networks.models import MARGIN, PATCH
from satimnet.training.networks.outputs import Class, find_mask

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TITLES = {"cnn-segm": "CNN-segm", "cnn-dual": "CNN-dual"}
_BLANK = "no observation"


def draw_confusion(result: Evaluation, path: str | os.PathLike[str]) -> None:
    """Writes the confusion matrix as a PNG: counts on colours of the fraction of the true class."""
    names = result.output.names
    count, total = len(names), int(result.confusion.sum())
    rows = result.confusion.sum(axis=1, keepdims=True)
    shares = result.confusion / np.maximum(rows, 1)
    large = result.confusion.max() >= 100_000  # pixels: their numbers would not fit, shares do
    figure = Figure(figsize=(2.6 + 0.62 * count, 2.2 + 0.56 * count), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(result.confusion):
        colour = "white" if shares[row, column] > 0.5 else "black"
        value = f"{result.confusion[row, column]:,}"
        if large:
            value = f"{shares[row, column]:.1%}"
        axes.text(column, row, value, ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(count), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(count), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="0.9", linewidth=0.8)
    axes.tick_params(which="minor", length=0)
    axes.set_title(f"{result.accuracy:.1%} of {total:,} right")
    figure.colorbar(image, label="fraction of the true class", shrink=0.8)
    _save(figure, Path(path))


def draw_curves(history: Sequence[Mapping[str, float]], path: str | os.PathLike[str]) -> None:
    """Writes a network's learning curves as a PNG: training loss and held-out accuracy by epoch."""
    epochs = [entry["epoch"] for entry in history]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(epochs, [entry["loss"] for entry in history], color="tab:red", marker=".")
    left.set_ylabel("training loss (cross-entropy)")
    left.set_ylim(bottom=0)
    keys = [key for key in history[-1] if key.startswith("accuracy_")]
    for key, colour in zip(keys, ("tab:blue", "tab:orange")):
        name = key.removeprefix("accuracy_")
        values = [entry[key] for entry in history]
        right.plot(epochs, values, color=colour, marker=".", label=name)
    if len(keys) > 1:
        right.legend()
    right.set_ylabel("accuracy on held-out samples")
    right.set_ylim(0, 1)
    right.yaxis.set_major_formatter(PercentFormatter(1))
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    _save(figure, Path(path))


def draw_trials(
    rows: Sequence[tuple[str, Sequence[float]]], path: str | os.PathLike[str], title: str
) -> None:
    """Writes how combinations of arguments did as a PNG, one below the other.

    Each row has a label and the accuracy of every fold: small dots, and their mean with the
    standard deviation.
    """
    count = max(1, len(rows))
    longest = max((len(label) for label, _ in rows), default=0)
    size = (min(20, 5 + 0.075 * longest), 1.2 + 0.3 * count)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    for row, (_, values) in enumerate(rows):
        axes.plot(values, [row] * len(values), ".", color="0.6", markersize=5)
        spread = np.std(values, ddof=1)
        axes.errorbar(np.mean(values), row, xerr=spread, fmt="o", color="tab:blue", capsize=3)
    axes.set_yticks(range(len(rows)), [label for label, _ in rows], fontsize=8)
    axes.set_ylim(count - 0.5, -0.5)  # the best on top
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("accuracy on the fold held out: each fold, mean and deviation")
    axes.set_title(title, fontsize=10)
    axes.grid(axis="x", alpha=0.3)
    _save(figure, Path(path))


def draw_predictions(
    samples: Samples,
    checkpoints: Sequence[Checkpoint],
    path: str | os.PathLike[str],
    count: int = 6,
    seed: int = 0,
) -> None:
    """Writes what networks see as a PNG, as in Figure 3 of the paper: one row a sample.

    Columns: the image (red, green, blue where the first network takes them, all samples stretched
    alike: see `satimnet.builder.imagery.colours.natural`), the mask, and each output of each
    network. CNN-class has no column: its answer stands in words below the image, red where the
    sample has other classes. `count` samples are drawn by `seed`, as many kinds of masks as can be
    among them.

    Raises `SatimnetError` when samples lack bands, or masks where a network gives such, or are of
    another size than CNN-class takes.
    """
    at_least(1, count=count)
    at_least(0, seed=seed)
    on_disk(path)
    if not checkpoints:
        raise ArgumentError("checkpoints: name at least one", "checkpoints")
    dense = [checkpoint for checkpoint in checkpoints if checkpoint.dense]
    mask = find_mask(samples) if dense else None
    chosen = samples.subset(mixed_choice(samples, count, seed))
    words = [_answers(chosen, one) for one in checkpoints if not one.dense]
    columns = []
    if mask is not None:
        truth = mask.indices(_read(locate_mask(chosen, mask.key))[:, 0].astype(np.uint8))
        columns.append(_Column("mask", mask.classes, truth, mask.unobserved))
    for checkpoint in dense:
        images = torch.from_numpy(_read(locate(chosen, checkpoint.bands))).float()
        device = next(checkpoint.model.parameters()).device
        padded = F.pad(images.to(device), (MARGIN,) * 4, mode="reflect")
        found = zip(checkpoint.outputs, classify(checkpoint, padded), strict=True)
        for output, indices in reversed(list(found)):  # that of the mask comes first
            title = _TITLES[checkpoint.kind]
            if len(checkpoint.outputs) > 1:
                title += f": {output.name}"
            columns.append(_Column(title, output.classes, indices.cpu().numpy()))
    rows, width = len(chosen), len(columns) + 1
    size = max(3.0, 0.3 + 1.75 * width), 0.9 + (1.72 + 0.16 * len(words)) * rows
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, width, squeeze=False)
    for row, image in enumerate(_visible(chosen, checkpoints[0])):
        _show(grid[row, 0], image, "RGB" if row == 0 else None)
        grid[row, 0].set_ylabel(_label(chosen, row), fontsize=8)
        _say(grid[row, 0], [answers[row] for answers in words], _tags(chosen, row))
        for at, column in enumerate(columns, 1):
            _show(grid[row, at], column.picture(row), column.title if row == 0 else None)
    if columns:
        figure.legend(
            handles=_legend(columns), loc="outside lower center", ncols=len(columns) + 1, fontsize=8
        )
    _save(figure, Path(path))


@dataclass(frozen=True)
class _Answer:
    """What CNN-class says of a sample: the name and the title of a class."""

    name: str
    title: str


def _answers(samples: Samples, checkpoint: Checkpoint) -> list[_Answer]:
    images = torch.from_numpy(_read(locate(samples, checkpoint.bands))).float()
    if images.shape[2:] != (PATCH, PATCH):
        rows, columns = images.shape[2:]
        raise ArgumentError(
            f"checkpoints: CNN-class takes images of {PATCH} x {PATCH} pixels, and those of the "
            f"samples have {rows} x {columns}; choose others, by collection or filter",
            "checkpoints",
        )
    device = next(checkpoint.model.parameters()).device
    (logits,) = checkpoint.logits(images.to(device))
    classes = checkpoint.outputs[0].classes
    return [_Answer(classes[k].name, classes[k].label) for k in logits.argmax(1).tolist()]


def _say(axes: Axes, answers: Sequence[_Answer], tags: Sequence[str]) -> None:
    """The answers below an image, a line each, red if the sample has tags and not this one."""
    for line, answer in enumerate(answers):
        wrong = bool(tags) and answer.name not in tags
        axes.annotate(
            f"CNN-class: {answer.title}",
            (0.5, 0),
            (0, -3 - 11 * line),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=7,
            color="tab:red" if wrong else "black",
            annotation_clip=False,
        )


def _save(figure: Figure, path: Path) -> None:
    with lock(path), writing(path) as part:
        figure.savefig(part, format="png", dpi=150)


def _read(layout: Layout) -> NDArray[Any]:
    """Stored values (sample, band, y, x)."""
    out = np.empty(layout.buffer_shape(len(layout)), np.float32)
    with Reader(layout) as reader:
        reader.read(np.arange(len(layout)), out)
    return out.transpose(layout.public_axes)


def _visible(samples: Samples, checkpoint: Checkpoint) -> list[Picture]:
    """A picture of each sample; grey where the network takes no visible bands."""
    bands = true_colour_names(checkpoint.bands) or checkpoint.bands[:1]
    layout = locate(samples, bands)
    images = list(_read(layout))
    if layout.dtype == np.uint8:  # is a picture already
        return [plain(image.astype(np.uint8)) for image in images]
    return natural(images)


@dataclass(frozen=True)
class _Column:
    """Classes of pixels of all samples: the mask, or what a network says.

    indices: (sample, y, x), of `classes` or `IGNORED`.
    """

    title: str
    classes: tuple[Class, ...]
    indices: NDArray[np.uint8]
    unobserved: Class | None = None

    @property
    def entries(self) -> list[tuple[str, Colour]]:
        """Title and colour of each class, then of what is ignored, which looks like none of them.

        The table's colour for it is kept if the table has one that no class has.
        """
        colours = class_colours([row.color_hint for row in self.classes])
        none, blank = self.unobserved, unlike(colours)
        if none is not None and none.color_hint and rgb(none.color_hint) not in colours:
            blank = rgb(none.color_hint)
        titles = [row.label for row in self.classes]
        return list(zip([*titles, none.label if none else _BLANK], [*colours, blank], strict=True))

    def picture(self, sample: int) -> Picture:
        """The pixels of a sample in the colours of their classes."""
        palette = np.array([colour for _, colour in self.entries], np.uint8)
        picture: Picture = palette[np.minimum(self.indices[sample], len(self.classes))]
        return picture


def _show(axes: Axes, picture: Picture, title: str | None) -> None:
    axes.imshow(picture, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    if title:
        axes.set_title(title, fontsize=9)


def _tags(samples: Samples, row: int) -> Sequence[str]:
    return samples.table["satimnet:classes"][row].as_py() or ()


def _label(samples: Samples, row: int) -> str:
    return ", ".join(_tags(samples, row))


def _legend(columns: Sequence[_Column]) -> list[Patch]:
    """A patch of colour for each class that is in the picture."""
    seen: dict[tuple[str, Colour], None] = {}
    for column in columns:
        for k in np.unique(np.minimum(column.indices, len(column.classes))).tolist():
            seen[column.entries[k]] = None
    return [
        Patch(facecolor=f"#{bytes(c).hex()}", edgecolor="0.4", linewidth=0.5, label=title)
        for title, c in seen
    ]
