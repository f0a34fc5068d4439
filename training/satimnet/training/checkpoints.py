"""A trained network together with all that is needed to use it, in one file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from satimnet.builder.errors import SatimnetError

from .devices import pick_device, reduced_precision
from .models import CnnClass

_FORMAT = "satimnet cnn-class 1"


@dataclass(frozen=True)
class Recipe:
    """How a network was made; what it takes and gives.

    bands: names of the bands it takes, in this order. classes: names of its outputs. mean, std:
    of each band over the training samples, in stored values; images are normalised by them.
    history: per epoch the epoch, mean training loss, accuracy on the validation samples as a
    fraction, learning rate at its end, seconds from the start and images per second trained on.
    """

    bands: tuple[str, ...]
    classes: tuple[str, ...]
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    seed: int
    epochs: int
    batch_size: int
    learning_rate: float
    samples: int
    history: tuple[Mapping[str, float], ...] = field(default=())


@dataclass(frozen=True)
class Checkpoint:
    """A network and its recipe."""

    model: CnnClass
    recipe: Recipe

    def logits(self, images: Tensor) -> Tensor:
        """Return float32 logits (sample, class) of float32 images (sample, band, 64, 64).

        Images are stored values, as batches give them, on the device of the model. Without
        gradients, in evaluation mode.
        """
        self.model.eval()
        with torch.inference_mode(), reduced_precision(images.device):
            logits: Tensor = self.model(normalised(images, self.recipe.mean, self.recipe.std))
        return logits.float()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, under another name first, so that it is never there in part."""
        path = Path(path)
        partial = _partial(path)
        state = {k: v.cpu().contiguous() for k, v in self.model.state_dict().items()}
        content = {"format": _FORMAT, "recipe": asdict(self.recipe), "state": state}
        try:
            torch.save(content, partial)
            partial.replace(path)
        except (OSError, RuntimeError) as error:  # torch raises the latter on a full disk
            partial.unlink(missing_ok=True)
            raise SatimnetError(f"{path}: the checkpoint cannot be written ({error})") from error


def load(path: str | os.PathLike[str], device: str | None = "cpu") -> Checkpoint:
    """Read a checkpoint, its model on `device`; runs no code out of the file.

    Raises `SatimnetError` when it is no checkpoint of this project.
    """
    where = pick_device(device)
    try:
        content: dict[str, Any] = torch.load(path, map_location=where, weights_only=True)
        if content["format"] != _FORMAT:
            raise ValueError(f"format {content['format']}, expected {_FORMAT}")
        recipe = Recipe(**{f.name: _frozen(content["recipe"][f.name]) for f in fields(Recipe)})
        model = CnnClass(len(recipe.bands), len(recipe.classes), recipe.width)
        model.load_state_dict(content["state"])
    except OSError as error:
        raise SatimnetError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # torch raises many kinds on foreign files
        raise SatimnetError(f"{path}: not a checkpoint of satimnet ({error})") from error
    return Checkpoint(model.to(where), recipe)


def make_room(path: str | os.PathLike[str]) -> None:
    """Make the folder of a checkpoint; `SatimnetError` if the file could not be written there.

    Asked before a training, not after it.
    """
    partial = _partial(Path(path))
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
        partial.unlink()
    except OSError as error:
        raise SatimnetError(
            f"{path}: the checkpoint cannot be written there ({error.strerror})"
        ) from error


def normalised(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Return images (sample, band, y, x) less the mean of each band, over its deviation."""
    shape = (1, -1, 1, 1)
    centre = torch.tensor(mean, device=images.device).view(shape)
    spread = torch.tensor(std, device=images.device).view(shape)
    return ((images - centre) / spread).contiguous(memory_format=torch.channels_last)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
