"""The plan of a training: what is asked for, checked, with all that its result depends on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from satimnet.builder.arguments import at_least, require_fraction
from satimnet.builder.errors import ArgumentError
from satimnet.training.data.content_digest import digest_of
from satimnet.training.data.training_samples import Samples
from satimnet.training.networks.outputs import Mask, Output, find_mask, outputs_of

_PROTOCOL = 2
"""Counted up when the same plan and samples come to make another network."""
CODE = f"satimnet {version('satimnet')}, protocol {_PROTOCOL}"
"""What a training was made by."""


@dataclass(frozen=True)
class Recommended:
    """What a network is trained with unless asked otherwise.

    width, learning_rate and dropout are the published ones, batch_size is this project's choice.
    """

    width: int
    learning_rate: float
    dropout: float
    batch_size: int


MODELS: Mapping[str, Recommended] = {
    "class": Recommended(256, 0.01, 0.09, 64),
    "segm": Recommended(256, 0.001, 0.1, 1024),
    "dual": Recommended(128, 0.01, 0.1, 1024),
}
"""Networks by the name that `train` takes."""


@dataclass(frozen=True)
class Wishes:
    """The arguments of `train` that its result depends on, but the samples."""

    model: str
    bands: tuple[str, ...] | None
    width: int | None
    epochs: int
    batch_size: int | None
    learning_rate: float | None
    dropout: float | None
    schedule: str
    windows: int | None
    windows_per_epoch: int | None
    seed: int
    devices: int
    shuffle: str


@dataclass(frozen=True)
class TrainingPlan:
    """A training as asked for: everything that its result depends on but the samples."""

    kind: str
    bands: tuple[str, ...] | None
    outputs: tuple[Output, ...]
    mask: Mask | None
    width: int
    epochs: int
    batch_size: int
    learning_rate: float
    dropout: float
    schedule: str
    seed: int
    windows: int | None
    windows_per_epoch: int | None
    held_out: float | None
    devices: int
    samples: str
    """Digest of the samples and of those held out: their classes and the bytes of their files."""
    code: str
    shuffle: str = "samples"

    def described(self) -> dict[str, Any]:
        """As plain values, for a checkpoint."""
        left_out = ["kind", "outputs", "mask", "width", "bands"]
        if self.shuffle == "samples":  # as in what was written before there was another way
            left_out.append("shuffle")
        return {name: value for name, value in self.__dict__.items() if name not in left_out}


def plan_training(wishes: Wishes, samples: Samples, held_out: Samples | float) -> TrainingPlan:
    """The plan of a training on samples; their files are hashed for it.

    Raises:
        ArgumentError: an argument is not as it must be, or does not go with the others.
        SatimnetError: the samples lack bands, masks or classes, or a shard is not what the catalog
            describes.
    """
    if wishes.model not in MODELS:
        raise ArgumentError(f"model {wishes.model}: there are {', '.join(MODELS)}", "model")
    usual = MODELS[wishes.model]
    width = usual.width if wishes.width is None else wishes.width
    batch_size = usual.batch_size if wishes.batch_size is None else wishes.batch_size
    rate = usual.learning_rate if wishes.learning_rate is None else wishes.learning_rate
    dropout = usual.dropout if wishes.dropout is None else wishes.dropout
    _require_numbers(wishes, width, batch_size, rate, dropout)
    _require_batches(batch_size, wishes.devices)
    fraction = None if isinstance(held_out, Samples) else held_out
    _require_windows(wishes, fraction)
    if len(samples) < 2:
        raise ArgumentError(
            f"training needs two samples at least; there are {len(samples)}", "samples"
        )
    parts = (samples, held_out) if isinstance(held_out, Samples) else (samples,)
    mask = _common_mask(parts, wishes.model)
    return TrainingPlan(
        kind=f"cnn-{wishes.model}",
        bands=wishes.bands,
        outputs=outputs_of(samples, wishes.model),
        mask=mask,
        width=width,
        epochs=wishes.epochs,
        batch_size=batch_size,
        learning_rate=rate,
        dropout=dropout,
        schedule=wishes.schedule,
        seed=wishes.seed,
        windows=wishes.windows,
        windows_per_epoch=wishes.windows_per_epoch,
        held_out=fraction,
        devices=wishes.devices,
        samples=digest_of(parts, wishes.bands, mask),
        code=CODE,
        shuffle=wishes.shuffle,
    )


def _require_numbers(
    wishes: Wishes, width: int, batch_size: int, learning_rate: float, dropout: float
) -> None:
    at_least(1, width=width, epochs=wishes.epochs, batch_size=batch_size, devices=wishes.devices)
    at_least(1, windows=wishes.windows, windows_per_epoch=wishes.windows_per_epoch)
    at_least(0, seed=wishes.seed)
    if not 0 < learning_rate < math.inf:
        raise ArgumentError(
            f"learning_rate {learning_rate:g}: must be a number above 0", "learning_rate"
        )
    if not 0 <= dropout < 1:
        raise ArgumentError(f"dropout {dropout:g}: must be 0 or more, and less than 1", "dropout")
    if wishes.schedule not in ("one-cycle", "constant"):
        raise ArgumentError(
            f"schedule {wishes.schedule}: there are one-cycle and constant", "schedule"
        )
    if wishes.shuffle not in ("samples", "shards"):
        raise ArgumentError(f"shuffle {wishes.shuffle}: there are samples and shards", "shuffle")
    if wishes.shuffle == "shards" and wishes.model != "class":
        raise ArgumentError(
            f"shuffle shards: CNN-{wishes.model} has all patches in memory, where it saves "
            "nothing; leave it out",
            "shuffle",
        )
    if wishes.model == "dual" and width % 2:
        raise ArgumentError(f"width {width}: CNN-dual needs an even one", "width")


def _require_batches(batch_size: int, devices: int) -> None:
    if batch_size % devices or batch_size < 2 * devices:
        raise ArgumentError(
            f"batch_size {batch_size}: cannot be divided among {devices} devices, "
            "each of which needs two at least",
            *("batch_size", "devices"),
        )


def _require_windows(wishes: Wishes, fraction: float | None) -> None:
    """Refuses windows of a network that learns whole patches."""
    if fraction is not None:
        if wishes.model == "class":
            raise ArgumentError(
                f"held_out {fraction:g}: only segm and dual learn windows; to judge CNN-class give "
                "samples, such as the second of samples.holdout(0.1)",
                "held_out",
            )
        require_fraction(fraction, wishes.seed)
    if wishes.model == "class":
        for name in ("windows", "windows_per_epoch"):
            if getattr(wishes, name) is not None:
                raise ArgumentError(
                    f"{name}: CNN-class learns whole patches; only segm and dual learn windows",
                    name,
                )


def _common_mask(parts: tuple[Samples, ...], model: str) -> Mask | None:
    """How the masks of all parts are read; None where the network needs none."""
    masks = [None if model == "class" else find_mask(part) for part in parts]
    if len({part.classes for part in parts}) > 1 or masks != masks[:1] * len(masks):
        raise ArgumentError("training and held-out samples have different classes", "held_out")
    return masks[0]
