"""Steps of training of the three networks, beside the roofline of the device.

"project" is a step as a training does it, with normalisation, orientations and schedule. The others
are the bare network, loss, gradients and optimiser: as they are, compiled, and with the whole step
as one CUDA graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.gpu.clock import Figures, Setting, middle, step_seconds
from benchmarks.gpu.networks import Batch, batch_of, network, run_of
from benchmarks.gpu.roofline import Ceilings, Needed, needed_by
from satimnet.training.networks.training_plan import MODELS

_SIZES = (64, 256, 1024, 4096, 32_768)
_FEW = (8,)
_MODELS = ("class", "segm", "dual")
_WAYS = ("project", "plain", "graph", "compiled")  # the last gives "compiled graph", too
_ENOUGH = 75.0
"""Seconds that must be left for a compilation, which nothing can interrupt."""


@dataclass(frozen=True)
class _Bare:
    """A network with its optimiser, without what a training does around them."""

    model: nn.Module
    optimiser: torch.optim.Optimizer
    device: torch.device

    @classmethod
    def of(cls, model: str, setting: Setting) -> _Bare:
        made = network(model, setting.device, 8 if setting.small else None).model.train()
        rate = MODELS[model].learning_rate / 10
        if model == "dual":
            optimiser: torch.optim.Optimizer = torch.optim.SGD(made.parameters(), lr=rate)
        else:
            graph = setting.on_gpu
            optimiser = torch.optim.Adam(made.parameters(), lr=rate, eps=1e-7, capturable=graph)
        return cls(made, optimiser, setting.device)

    def step(self, batch: Batch, forward: Callable[..., Any] | None = None) -> None:
        images, targets = batch
        # autocast keeps weights that it has cast, which a graph must not
        gpu = self.device.type == "cuda"
        with torch.autocast(self.device.type, torch.bfloat16, gpu, cache_enabled=False):
            found = (self.model if forward is None else forward)(images)
            logits = found if isinstance(found, tuple) else (found,)
            losses = [F.cross_entropy(*pair) for pair in zip(logits, targets, strict=True)]
            loss = torch.stack(losses).sum()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()


def steps(setting: Setting, ceilings: Ceilings) -> Iterator[Figures]:
    """A line for each network, size and way; those that take long to prepare come last."""
    needed = {model: _needs(model, setting) for model in _MODELS}
    for way in _WAYS:
        if way != "project" and way != "plain" and not setting.on_gpu:
            continue
        for model in _MODELS:
            sizes = _FEW if setting.small else _SIZES
            yield from _lines(way, model, sizes, setting, ceilings, needed[model])


def _needs(model: str, setting: Setting) -> Callable[[int], Needed]:
    bare = _Bare.of(model, setting)

    def step(size: int) -> Callable[[], object]:
        batch = _normal(batch_of(model, size, setting.device))
        return lambda: bare.step(batch)

    return needed_by(step)


def _lines(
    way: str,
    model: str,
    sizes: tuple[int, ...],
    setting: Setting,
    ceilings: Ceilings,
    needed: Callable[[int], Needed],
) -> Iterator[Figures]:
    """A line for each size; of one that does not fit, or for which no time is left, why not."""
    bare = _Bare.of(model, setting)
    compiled = None
    if way == "compiled":
        torch._dynamo.reset()
        compiled = torch.compile(bare.model)
    names = (way, "compiled graph") if compiled is not None and setting.on_gpu else (way,)
    for size, name in product(sizes, names):
        line: Figures = {"network": model, "batch": size, "way": name}
        if setting.left < (5 if compiled is None else _ENOUGH):
            yield {**line, "left_out": "no time was left"}
            continue
        try:
            with torch.random.fork_rng([setting.device] if setting.on_gpu else []):
                if name == "project":
                    seconds = _project(model, size, setting)
                else:
                    seconds = _bare(bare, model, size, setting, compiled, graph="graph" in name)
        except Exception as error:  # memory, or a compiler that is not there
            said = (str(error).splitlines() or [""])[0][:150]
            yield {**line, "left_out": f"{type(error).__name__}: {said}"}
            continue
        finally:
            if setting.on_gpu:
                bare.optimiser.zero_grad(set_to_none=True)
                torch.cuda.empty_cache()
        need, least = needed(size), min(seconds)
        yield {
            **line,
            "seconds": middle(seconds),
            "examples_per_second": size / middle(seconds)["median"],
            "flop": need.products,
            "bytes": need.moved,
            "bf16_flop_per_second": need.products / least,
            "share_of_roofline": need.seconds(ceilings) / least,
        }


def _project(model: str, size: int, setting: Setting) -> list[float]:
    checkpoint = network(model, setting.device, 8 if setting.small else None)
    run = run_of(checkpoint, size, 10_000, setting.folder)
    images, targets = batch_of(model, size, setting.device)
    return step_seconds(lambda: run.learn(images, targets), setting)


def _bare(
    bare: _Bare,
    model: str,
    size: int,
    setting: Setting,
    compiled: Callable[..., Any] | None,
    *,
    graph: bool,
) -> list[float]:
    batch = _normal(batch_of(model, size, setting.device))

    def step() -> None:
        bare.step(batch, compiled)

    return step_seconds(_captured(step, bare) if graph else step, setting)


def _captured(step: Callable[[], None], bare: _Bare) -> Callable[[], None]:
    """The whole step as one graph, captured as PyTorch's notes on CUDA graphs say."""
    beside = torch.cuda.Stream(bare.device)  # type: ignore[no-untyped-call]
    beside.wait_stream(torch.cuda.current_stream(bare.device))
    with torch.cuda.stream(beside):
        for _ in range(3):
            step()
    torch.cuda.current_stream(bare.device).wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    bare.optimiser.zero_grad(set_to_none=True)
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def _normal(batch: Batch) -> Batch:
    """The batch as a training normalises it."""
    images, targets = batch
    return ((images - 500) / 300).contiguous(memory_format=torch.channels_last), targets
