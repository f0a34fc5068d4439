"""Time on a device: what is left of the whole, and how long a piece of work takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from satimnet.training.devices import finished

Figures = dict[str, Any]
"""What was measured, as JSON has it."""


@dataclass(frozen=True)
class Setting:
    """What is measured on, and how much of it."""

    device: torch.device
    small: bool
    """Whether sizes are those of a trial, which shows that all of it runs, and not how fast; on
    the CPU they always are."""
    folder: Path
    """Room for shards."""
    end: float
    """When all must be done, by `time.perf_counter`."""

    @property
    def on_gpu(self) -> bool:
        """Whether the device is one of CUDA's."""
        return self.device.type == "cuda"

    @property
    def left(self) -> float:
        """Seconds until all must be done."""
        return self.end - time.perf_counter()


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds by the clock until the device has done it."""
    finished(device)
    started = time.perf_counter()
    work()
    finished(device)
    return time.perf_counter() - started


def step_seconds(work: Callable[[], object], setting: Setting) -> list[float]:
    """Seconds of a step, several times: each of so many repetitions that a clock can tell.

    The first calls, which prepare (kernels are chosen, memory is taken), are not counted.
    """
    if setting.small:
        return [timed(work, setting.device)]
    once = min(timed(work, setting.device) for _ in range(3))
    repeated = max(1, min(200, round(0.1 / max(once, 1e-6))))

    def many() -> None:
        for _ in range(repeated):
            work()

    return [timed(many, setting.device) / repeated for _ in range(5)]


def middle(values: list[float]) -> Figures:
    """Median and extremes."""
    return {"median": median(values), "least": min(values), "most": max(values)}
