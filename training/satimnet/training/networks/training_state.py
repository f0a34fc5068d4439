"""The state of a training: one step after the other, written down so that a kill costs little."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from satimnet.builder.errors import ArgumentError, BadCatalogError, SatimnetError
from satimnet.training.devices import Rank, reduced_precision
from satimnet.training.networks.checkpoints import (
    Checkpoint,
    discard,
    normalised,
    read,
    state_of,
    write,
)
from satimnet.training.networks.draws import orientations
from satimnet.training.networks.training_plan import TrainingPlan

_FORMAT = "satimnet training 1"


class Run:
    """The state of a training: what a killed one goes on from.

    All that is random is drawn from seeds that follow from the number of the step, so beside
    network and optimiser the state is that number.
    """

    def __init__(
        self, plan: TrainingPlan, checkpoint: Checkpoint, path: Path, steps: int, rank: Rank
    ) -> None:
        self.step = 0
        self.history: list[dict[str, float]] = []
        self.tables: list[Tensor] = []
        self._plan, self._checkpoint, self._steps, self._rank = plan, checkpoint, steps, rank
        self._path = _unfinished(path)
        self._optimiser = _optimiser(plan, checkpoint.model)
        self._schedule = _schedule(plan, self._optimiser, steps)
        self._loss = torch.zeros((), dtype=torch.float64, device=rank.device)
        self._seconds, self._began = 0.0, time.perf_counter()
        self._saved = self._began
        self._model: nn.Module = checkpoint.model
        if rank.count > 1:
            self._model = DistributedDataParallel(checkpoint.model)

    def learn(self, images: Tensor, targets: tuple[Tensor, ...]) -> None:
        """One step on a batch."""
        seed = seed_of(self._plan.seed, self._plan.epochs + self.step, self._rank.number)
        torch.manual_seed(seed)  # of dropout
        images = normalised(images, self._checkpoint.mean, self._checkpoint.std)
        if not self._checkpoint.dense:
            images = _turned(images, orientations(len(images), seed))
        self._model.train()
        with reduced_precision(self._rank.device):
            found = self._model(images)
            logits = found if isinstance(found, tuple) else (found,)
            losses = [F.cross_entropy(*pair) for pair in zip(logits, targets, strict=True)]
            loss = torch.stack(losses).sum()
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch gives it no type
        self._optimiser.step()
        self._schedule.step()
        self._loss += loss.detach()
        self.step += 1

    def end_epoch(self, epoch: int, tables: list[Tensor], speed: float) -> None:
        """Takes down how an epoch went."""
        loss = self._loss.item() / self._steps
        if not math.isfinite(loss):
            raise ArgumentError(
                f"the loss of epoch {epoch} is {loss}: training has run away; "
                "choose a smaller learning_rate",
                "learning_rate",
            )
        self._loss.zero_()
        self.tables = tables
        entry: dict[str, float] = {"epoch": epoch, "loss": loss}
        for output, table in zip(self._checkpoint.outputs, tables, strict=True):
            entry[f"accuracy_{output.name}"] = int(table.trace()) / int(table.sum())
        entry |= {"seconds": self._elapsed(), "examples_per_second": speed}
        self.history.append(entry)

    def save(self, seconds: float) -> None:
        """Writes the state if the last time is so many seconds ago; the first process does."""
        if self._rank.number or time.perf_counter() - self._saved < seconds:
            return
        plan = self._plan
        content = {
            "format": _FORMAT,
            "kind": plan.kind,
            "width": plan.width,
            "bands": self._checkpoint.bands,
            "settings": plan.described(),
            "state": state_of(self._checkpoint.model),
            "optimiser": self._optimiser.state_dict(),
            "schedule": self._schedule.state_dict(),
            "loss": self._loss.item(),
            "step": self.step,
            "history": self.history,
            "tables": self.tables,
            "seconds": self._elapsed(),
        }
        write(self._path, content)
        self._saved = time.perf_counter()

    def resume(self) -> None:
        """Goes on from the state that is there, if one is."""
        path, plan = self._path, self._plan
        if not path.exists():
            return
        found = read(path, _FORMAT, "training", self._rank.device, "remove it to begin anew")
        try:
            require_same(
                found["kind"], found["width"], found["bands"], found["settings"], plan, path
            )
            self._checkpoint.model.load_state_dict(found["state"])
            self._optimiser.load_state_dict(found["optimiser"])
            self._schedule.load_state_dict(found["schedule"])
            self._loss.fill_(found["loss"])
            self.step, self._seconds = found["step"], found["seconds"]
            self.history, self.tables = found["history"], found["tables"]
        except SatimnetError:
            raise
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise BadCatalogError(f"{path}: damaged ({error}); remove it to begin anew") from error

    def _elapsed(self) -> float:
        return self._seconds + time.perf_counter() - self._began


def forget(path: Path) -> None:
    """Removes the state of the training into `path`: it is finished."""
    discard(_unfinished(path))


def require_same(
    kind: str,
    width: int,
    bands: Sequence[str],
    settings: Mapping[str, Any],
    plan: TrainingPlan,
    path: Path,
) -> None:
    """Refuses a file of another training."""
    here = {"model": kind, "width": width, "bands": tuple(bands), "shuffle": "samples", **settings}
    asked = {"model": plan.kind, "width": plan.width, **plan.described(), "shuffle": plan.shuffle}
    asked["bands"] = plan.bands or here["bands"]
    differing = [name for name, value in asked.items() if here.get(name) != value]
    if differing:
        listing = "; ".join(
            "other samples, or other pixels in them"
            if name == "samples"
            else f"{name.replace('_', ' ')} {here.get(name, 'unknown')}, not {asked[name]}"
            for name in differing
        )
        raise ArgumentError(
            f"{path}: holds another training ({listing}); remove it or choose another place",
            "out",
        )


def _unfinished(path: Path) -> Path:
    return path.with_name(f"{path.stem}.unfinished{path.suffix}")


def _optimiser(plan: TrainingPlan, model: nn.Module) -> torch.optim.Optimizer:
    if plan.kind == "cnn-dual":
        return torch.optim.SGD(model.parameters(), lr=plan.learning_rate)
    return torch.optim.Adam(model.parameters(), lr=plan.learning_rate, eps=1e-7)


def _schedule(
    plan: TrainingPlan, optimiser: torch.optim.Optimizer, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    if plan.schedule == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1)
    return torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        plan.learning_rate,
        total_steps=steps * plan.epochs,
        cycle_momentum=plan.kind != "cnn-dual",  # the SGD of the paper has no momentum
    )


def seed_of(*numbers: int) -> int:
    """A seed that follows from numbers, and has nothing to do with that of other numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _turned(images: Tensor, drawn: Tensor) -> Tensor:
    """Each square image in the orientation that was drawn for it (see `orientations`)."""
    out = torch.empty_like(images)
    order = torch.argsort(drawn, stable=True).to(images.device)  # one way to the device, not eight
    groups = torch.split(order, torch.bincount(drawn, minlength=8).tolist())
    for turn, rows in enumerate(groups):
        picked = torch.rot90(images[rows], turn % 4, (2, 3))
        out[rows] = picked.flip(3) if turn >= 4 else picked
    return out
