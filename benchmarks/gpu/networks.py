"""The three networks as a training has them, ready for steps on batches of one size."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from benchmarks.gpu.generated import BANDS, CLASSES
from satimnet.training.devices import Rank
from satimnet.training.networks.checkpoints import Checkpoint, build
from satimnet.training.networks.models import PATCH, WINDOW
from satimnet.training.networks.outputs import Class, Mask, Output
from satimnet.training.networks.training_plan import CODE, MODELS, TrainingPlan
from satimnet.training.networks.training_state import Run

SEED = 1
_CLASS = Output("class", tuple(Class(k + 1, name) for k, name in enumerate(CLASSES)))
MASK = Mask("mask", tuple(Class(k + 1, n) for k, n in enumerate(("water", "built-up", "other"))))
OUTPUTS = {"class": (_CLASS,), "segm": (MASK.output,), "dual": (_CLASS, MASK.output)}

Batch = tuple[Tensor, tuple[Tensor, ...]]


def network(
    model: str, device: torch.device, width: int | None = None, dropout: float | None = None
) -> Checkpoint:
    """A new network for the generated samples; None: as published."""
    usual = MODELS[model].width if width is None else width
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(SEED)
        made = build(f"cnn-{model}", len(BANDS), OUTPUTS[model], usual, dropout).to(device)
    mean, std = (500.0,) * len(BANDS), (300.0,) * len(BANDS)
    return Checkpoint(made, f"cnn-{model}", usual, BANDS, OUTPUTS[model], mean, std)


def run_of(checkpoint: Checkpoint, batch_size: int, steps: int, folder: Path) -> Run:
    """A training of the network that has not begun: `Run.learn` is a step of it."""
    model = checkpoint.kind.removeprefix("cnn-")
    device = next(checkpoint.model.parameters()).device
    plan = TrainingPlan(
        kind=checkpoint.kind,
        bands=BANDS,
        outputs=checkpoint.outputs,
        mask=None if model == "class" else MASK,
        width=checkpoint.width,
        epochs=1,
        batch_size=batch_size,
        learning_rate=MODELS[model].learning_rate / 10,
        dropout=MODELS[model].dropout,
        schedule="constant",
        seed=SEED,
        windows=None,
        windows_per_epoch=None,
        held_out=None,
        devices=1,
        samples="",
        code=CODE,
    )
    return Run(plan, checkpoint, folder / "none.pt", steps, Rank(device))


def batch_of(model: str, size: int, device: torch.device) -> Batch:
    """Noise in the range of stored values, and targets, drawn on the device."""
    side = PATCH if model == "class" else WINDOW
    images = torch.rand((size, side, side, len(BANDS)), device=device).mul_(1000)
    targets = tuple(
        torch.randint(0, len(output.classes), (size,), device=device) for output in OUTPUTS[model]
    )
    return images.permute(0, 3, 1, 2), targets
