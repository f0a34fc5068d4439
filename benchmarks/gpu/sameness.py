"""Whether the device and the CPU give the same: what is drawn, learned and classified."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch

from benchmarks.gpu.clock import Figures, Setting
from benchmarks.gpu.networks import batch_of, network, run_of
from satimnet.training import Samples
from satimnet.training.networks import checkpoints, training_state
from satimnet.training.networks.checkpoints import Checkpoint
from satimnet.training.networks.draws import shuffled
from satimnet.training.networks.inputs import classify
from satimnet.training.networks.training_state import seed_of
from satimnet.training.networks.windows import draw_windows, hold_out_windows

_MODELS = ("class", "segm", "dual")
_CPU = torch.device("cpu")
_STEPS = 20


def sameness(setting: Setting, samples: Samples) -> Figures:
    """What is equal, and how far apart the rest is.

    Draws must be equal, and batches bit for bit. Numbers that are computed may differ in their
    last digits; in bfloat16, as trainings on a GPU are, in more.
    """
    found: Figures = {"draws_equal": _draws(setting), "batches_equal": _batches(setting, samples)}
    for model in _MODELS:
        with _precisely():
            exact = _apart(setting, model)
        found[model] = {"float32": exact, "as_trained": _apart(setting, model)}
    return found


def _draws(setting: Setting) -> bool:
    count = 10_000 if setting.small else 19_795_735  # the windows of the paper
    made = []
    for device in (_CPU, setting.device):
        held = hold_out_windows(count, 0.2, seed_of(0, 0, 1), device)
        drawn = draw_windows(count // 10, held, 0)
        made.append([shuffled(count, seed_of(0, 1), device), held, *drawn])
    return all(torch.equal(ours, theirs.cpu()) for ours, theirs in zip(*made, strict=True))


def _batches(setting: Setting, samples: Samples) -> bool:
    readers = [
        samples.to_batches(256, shuffle=True, mask="mask", device=str(device))
        for device in (_CPU, setting.device)
    ]
    return all(
        torch.equal(ours, theirs.cpu())
        for pair in zip(*readers, strict=True)
        for ours, theirs in zip(*pair, strict=True)
        if ours is not None  # what was not asked for
    )


def _apart(setting: Setting, model: str) -> Figures:
    """How far losses and classes of two trainings are apart that were shown the same."""
    size = 8 if setting.small else 64
    torch.manual_seed(0)
    batches = [batch_of(model, size, _CPU) for _ in range(2 if setting.small else _STEPS)]
    losses, found = [], []
    image = batch_of("class", 8, _CPU)[0]
    for device in (_CPU, setting.device):
        trained = network(model, device, 8 if setting.small else 32, 0)
        run = run_of(trained, size, len(batches), setting.folder)
        own = []
        for images, targets in batches:
            before = run._loss.clone()
            run.learn(images.to(device), tuple(target.to(device) for target in targets))
            own.append(float(run._loss - before))
        losses.append(own)
        # both classify with the network that the CPU learned
        if device == _CPU:
            state = {k: v.clone() for k, v in trained.model.state_dict().items()}
        trained.model.load_state_dict(state)
        found.append(_classes(trained, image.to(device)))
    worst = max(abs(one - other) / abs(one) for one, other in zip(*losses, strict=True))
    same = [(one == other).double().mean().item() for one, other in zip(*found, strict=True)]
    return {"first_loss_apart": _first(losses), "losses_apart": worst, "classes_equal": min(same)}


def _first(losses: list[list[float]]) -> float:
    one, other = losses[0][0], losses[1][0]
    return abs(one - other) / abs(one)


def _classes(trained: Checkpoint, images: torch.Tensor) -> list[torch.Tensor]:
    if trained.dense:
        return [found.cpu() for found in classify(trained, images)]
    return [found.argmax(1).cpu() for found in trained.logits(images)]


@contextmanager
def _precisely() -> Iterator[None]:
    """Computes in float32 alone: neither in bfloat16 nor in TF32."""

    def plain(device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, enabled=False)

    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32
    convolutions.allow_tf32 = products.allow_tf32 = False
    try:
        with (
            patch.object(training_state, "reduced_precision", plain),
            patch.object(checkpoints, "reduced_precision", plain),
        ):
            yield
    finally:
        convolutions.allow_tf32, products.allow_tf32 = before
