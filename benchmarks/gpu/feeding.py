"""How fast samples come to the device: batches beside a copy, and two epochs of CNN-class."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.gpu.clock import Figures, Setting, middle, step_seconds, timed
from benchmarks.gpu.generated import BANDS, SIDE
from benchmarks.gpu.networks import SEED, network, run_of
from satimnet.training import Samples, train
from satimnet.training.devices import finished
from satimnet.training.networks import inputs
from satimnet.training.networks.draws import shuffled
from satimnet.training.networks.inputs import Feed, patch_feed
from satimnet.training.networks.training_state import Run, seed_of

_BATCH = 256
_EPOCHS = 2
_SIZES = (64, 1024)  # of the batches of the epochs: what a training takes unless asked, and large
_BYTES = 2 * SIDE * SIDE * len(BANDS)  # of a sample


def batches(setting: Setting, samples: Samples) -> Figures:
    """Images a second, shuffled, to the device: by `to_batches`, and by a copy of as many bytes.

    For a GPU the copy is from pinned memory; on the CPU it also converts, as batches there do.
    """

    def ours() -> None:
        for _ in samples.to_batches(_BATCH, shuffle=True, device=str(setting.device)):
            pass

    copy = _copy(setting, len(samples))
    rounds = 1 if setting.small else 3
    for work in (ours, copy):
        work()
    taken = [[timed(work, setting.device) for work in (ours, copy)] for _ in range(rounds)]
    own, copied = ([len(samples) / seconds for seconds in column] for column in zip(*taken))
    return {
        "batch": _BATCH,
        "images_per_second": middle(own),
        "bytes_per_second": median(own) * _BYTES,
        "copy_images_per_second": middle(copied),
        "copy_bytes_per_second": median(copied) * _BYTES,
        "share_of_copy": middle([a / b for a, b in zip(own, copied)]),
    }


def _copy(setting: Setting, count: int) -> Callable[[], None]:
    shape = (_BATCH, SIDE, SIDE, len(BANDS))
    # torch.uint16 is young: the same bits as int16
    source = torch.ones(shape, dtype=torch.int16, pin_memory=setting.on_gpu)
    kind = source.dtype if setting.on_gpu else torch.float32
    target = torch.ones(shape, dtype=kind, device=setting.device)

    def copy() -> None:
        for at in range(0, count, _BATCH):
            size = min(_BATCH, count - at)
            target[:size].copy_(source[:size], non_blocking=True)

    return copy


def feeds(setting: Setting, samples: Samples) -> Iterator[Figures]:
    """A line for each feed: how long until the first batch, and an epoch without a network."""
    device = setting.device
    for name, most in (("resident", 2**62), ("streamed", 0)):
        with _resident(most):
            started = time.perf_counter()
            feed = patch_feed(samples, BANDS, device)
            finished(device)
            opened = time.perf_counter() - started
        parts = list(torch.split(shuffled(len(feed), SEED, device), _BATCH))
        rounds = 1 if setting.small else 3
        work = partial(_exhaust, feed, parts)
        seconds = [timed(work, device) for _ in range(rounds)]
        yield {
            "feed": name,
            "seconds_to_open": opened,
            "images_per_second": middle([len(feed) / one for one in seconds]),
        }


def _exhaust(feed: Feed, parts: list[torch.Tensor]) -> None:
    for _ in feed.batches(parts):
        pass


def epochs(setting: Setting, samples: Samples) -> Iterator[Figures]:
    """A line for each feed and size of batch: two epochs of CNN-class, and what the reading costs.

    "waited" is how long Python stood in the loader. A GPU may have had work left meanwhile, so the
    same steps are also taken on one batch that lies there: what the epoch takes longer is what the
    loader costs.
    """
    width = 8 if setting.small else None
    for name, most in (("resident", 2**62), ("streamed", 0)):
        with _resident(most):
            feed = patch_feed(samples, BANDS, setting.device)
        for size in (8,) if setting.small else _SIZES:
            run = run_of(network("class", setting.device, width), size, 10_000, setting.folder)
            images, targets = next(iter(feed.batches([torch.arange(size, device=setting.device)])))
            alone = median(step_seconds(partial(run.learn, images, targets), setting))
            for epoch in range(_EPOCHS):
                taken = _epoch(run, feed, size, epoch, setting)
                steps = len(feed) // size
                yield {
                    "feed": name,
                    "batch": size,
                    "epoch": epoch + 1,
                    "seconds": taken.seconds,
                    "waited": taken.waited,
                    "steps_alone": steps * alone,
                    "share_of_loader": 1 - min(1, steps * alone / taken.seconds),
                    "examples_per_second": steps * size / taken.seconds,
                }


def trained(setting: Setting, samples: Samples) -> Figures:
    """Two epochs by `train` itself, with all that belongs to it: what it says of its speed."""
    learned, held = samples.holdout(0.25 if setting.small else 0.1)
    started = time.perf_counter()
    found = train(
        learned,
        held,
        Path(setting.folder, "trained", "checkpoint.pt"),
        width=8 if setting.small else None,
        epochs=_EPOCHS,
        batch_size=8 if setting.small else None,
        device=str(setting.device),
    )
    return {"seconds": time.perf_counter() - started, "history": [dict(e) for e in found.history]}


@dataclass(frozen=True)
class _Taken:
    seconds: float
    waited: float


def _epoch(run: Run, feed: Feed, size: int, epoch: int, setting: Setting) -> _Taken:
    """An epoch as a training has it."""
    finished(setting.device)
    started, waited = time.perf_counter(), 0.0
    order = shuffled(len(feed), seed_of(SEED, epoch), setting.device)
    steps = len(feed) // size
    given = feed.batches(list(order[: steps * size].view(steps, size)))
    while True:
        asked = time.perf_counter()
        example = next(given, None)
        waited += time.perf_counter() - asked
        if example is None:
            break
        run.learn(*example)
    finished(setting.device)
    return _Taken(time.perf_counter() - started, waited)


@contextmanager
def _resident(most: int) -> Iterator[None]:
    """Lets patches of up to so many bytes stay on the device."""
    with patch.object(inputs, "_RESIDENT", most):
        yield


def sizes(samples: Samples) -> Figures:
    """How much is read."""
    return {
        "samples": len(samples),
        "bands": len(BANDS),
        "bytes": int(np.int64(len(samples)) * _BYTES),
    }
