"""Training the three networks on samples."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from satimnet.builder.arguments import at_least, checked, require_fraction
from satimnet.builder.errors import SatimnetError
from satimnet.builder.progress import Progress, silent
from satimnet.builder.storage.hrefs import on_disk
from satimnet.builder.storage.staging import lock
from satimnet.training.data.content_digest import digest_of
from satimnet.training.data.training_samples import Samples
from satimnet.training.devices import Rank, pick_device, run_on
from satimnet.training.networks.checkpoints import Checkpoint, build, load
from satimnet.training.networks.inputs import Feed, patch_feed, window_feed
from satimnet.training.networks.outputs import Output, find_mask, outputs_of
from satimnet.training.networks.training_state import CODE, Plan, Run, forget, require_same, seed_of
from satimnet.training.networks.windows import draw, hold_out, shuffled


@dataclass(frozen=True)
class Recommended:
    """What a network is trained with unless asked otherwise.

    width and learning_rate are the published ones, batch_size is this project's choice.
    """

    width: int
    learning_rate: float
    batch_size: int


MODELS: Mapping[str, Recommended] = {
    "class": Recommended(256, 0.01, 64),
    "segm": Recommended(256, 0.001, 1024),
    "dual": Recommended(128, 0.01, 1024),
}
"""Networks by the name that `train` takes."""


@checked()
def train(
    samples: Samples,
    held_out: Samples | float,
    out: str | os.PathLike[str],
    *,
    model: str = "class",
    bands: Sequence[str] | None = None,
    width: int | None = None,
    epochs: int = 40,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    schedule: str = "one-cycle",
    windows: int | None = None,
    windows_per_epoch: int | None = None,
    seed: int = 0,
    device: str | None = None,
    devices: int = 1,
    save_seconds: float = 60,
    quiet: bool = False,
    progress: Progress = silent,
    on_epoch: Callable[[Mapping[str, float]], object] | None = None,
) -> Checkpoint:
    """Train CNN-class, CNN-segm or CNN-dual, write it to the file `out` and return it.

    held_out: samples that are only watched; nothing is chosen by them, the network after the last
    epoch is kept. For segm and dual a fraction instead holds out so much of the windows, wherever
    they lie: the paper's way, which flatters, as neighbouring windows share 20 of 25 pixels.

    As in the paper (Section 3.1) the loss is cross-entropy, of dual the sum over both outputs;
    class learns by Adam with a rate of 0.01, segm by Adam with 0.001, dual by SGD with 0.01;
    Adam's epsilon is Keras' 1e-7. schedule: "one-cycle" rises to the learning rate over the first
    30 % of the steps and falls to nothing, "constant" stays. Patches of class are shown in one of
    their eight orientations, drawn anew each epoch. Images are normalised by mean and deviation
    of the training samples.

    An epoch shows every patch, or every window whose middle the mask has observed, in an order
    drawn uniformly by the seed; what is left over for a last batch is left out. windows: only so
    many, drawn beforehand out of all, held out ones included. windows_per_epoch: each epoch shows
    so many, drawn anew. batch_size is divided among `devices` processes, each on a GPU of its own,
    or on its share of the cores. device: None is the GPU if there is one.

    At most `save_seconds` of work are lost when training is killed: started again with the same
    arguments it goes on. Same seed, same machine, CPU: the same network, killed or not. Where
    `out` holds this very training finished, it is read and returned: the same arguments, files of
    the samples byte for byte, and code. The files are hashed for that, once before the training.

    Raises `SatimnetError` when the samples lack the bands, masks or classes; when images of class
    are not 64 x 64; when a shard is not what the catalog describes; when `out` holds another
    training; and when it cannot be written.
    """
    on_disk(out)
    if model not in MODELS:
        raise SatimnetError(f"model {model}: there are {', '.join(MODELS)}")
    usual = MODELS[model]
    width = usual.width if width is None else width
    batch_size = usual.batch_size if batch_size is None else batch_size
    learning_rate = usual.learning_rate if learning_rate is None else learning_rate
    at_least(1, width=width, epochs=epochs, batch_size=batch_size, devices=devices)
    at_least(1, windows=windows, windows_per_epoch=windows_per_epoch)
    at_least(0, seed=seed)
    if not 0 < learning_rate < math.inf:
        raise SatimnetError(f"learning rate {learning_rate:g}: must be a number above 0")
    if len(samples) < 2:
        raise SatimnetError(f"training needs two samples at least; there are {len(samples)}")
    if batch_size % devices or batch_size < 2 * devices:
        raise SatimnetError(
            f"a batch of {batch_size} cannot be divided among {devices} devices, "
            "each of which needs two at least"
        )
    if schedule not in ("one-cycle", "constant"):
        raise SatimnetError(f"schedule {schedule}: there are one-cycle and constant")
    if model == "dual" and width % 2:
        raise SatimnetError(f"width {width}: CNN-dual needs an even one")
    fraction = None if isinstance(held_out, Samples) else held_out
    if model == "class" and fraction is not None:
        raise SatimnetError(
            f"held out {fraction:g}: only segm and dual learn windows; to judge CNN-class give "
            "samples, such as the second of samples.holdout(0.1)"
        )
    if model == "class" and (windows or windows_per_epoch):
        raise SatimnetError("CNN-class learns whole patches: only segm and dual learn windows")
    if fraction is not None:
        require_fraction(fraction, seed)
    parts = (samples, held_out) if isinstance(held_out, Samples) else (samples,)
    masks = [None if model == "class" else find_mask(part) for part in parts]
    mask = masks[0]
    if len({part.classes for part in parts}) > 1 or masks != [mask] * len(parts):
        raise SatimnetError("training and held-out samples have different classes")
    plan = Plan(
        kind=f"cnn-{model}",
        bands=None if bands is None else tuple(bands),
        outputs=outputs_of(samples, model),
        mask=mask,
        width=width,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule=schedule,
        seed=seed,
        windows=windows,
        windows_per_epoch=windows_per_epoch,
        held_out=fraction,
        devices=devices,
        samples=digest_of(parts, bands, mask),
        code=CODE,
    )
    where, path = pick_device(device), Path(out)
    with lock(path):
        if path.exists():
            found = load(path, str(where))
            require_same(found.kind, found.width, found.bands, found.settings, plan, path)
            forget(path)  # a kill right after the end leaves the state of before
            return found
        what = f"Training CNN-{model}"
        unit = "patches" if mask is None else "windows"

        def hear(done: int, total: int, ended: Mapping[str, float] | None) -> None:
            if not quiet:
                progress(what, done, total, unit)
                if ended is not None and on_epoch is not None:
                    on_epoch(ended)

        run_on(where, devices, _train, plan, parts, path, save_seconds, hear=hear)
    return load(path, str(where))


def _train(
    rank: Rank,
    tell: Callable[[int, int, Mapping[str, float] | None], None],
    plan: Plan,
    parts: tuple[Samples, ...],
    path: Path,
    save_seconds: float,
) -> None:
    """The whole training, by one of its processes; the first one writes."""
    feed, watch = _feeds(plan, parts, rank.device)
    _require_two_classes(feed, plan.outputs)
    mean, std = _moments(feed)
    count = min(plan.windows_per_epoch or len(feed), len(feed))
    batch_size = min(plan.batch_size, count - count % plan.devices)
    if batch_size < 2 * plan.devices or not len(watch):
        raise SatimnetError("nothing is left to learn from or to hold out; take more samples")
    steps = count // batch_size
    gpus = [rank.device] if rank.device.type == "cuda" else []
    with torch.random.fork_rng(gpus):
        torch.manual_seed(plan.seed)
        model = build(plan.kind, len(feed.bands), plan.outputs, plan.width).to(rank.device)
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                # the moving statistics must forget the beginning within an epoch or so, which on
                # few samples they would not do before the training ends
                layer.momentum = max(layer.momentum or 0, 1 / steps)
        checkpoint = Checkpoint(
            *(model, plan.kind, plan.width, feed.bands, plan.outputs, mean, std),
            settings=plan.described(),
        )
        run = Run(plan, checkpoint, path, steps, rank)
        run.resume()
        total = steps * plan.epochs * batch_size
        tell(run.step * batch_size, total, None)
        while run.step < steps * plan.epochs:
            epoch = run.step // steps
            order = shuffled(len(feed), seed_of(plan.seed, epoch), rank.device)
            batches = order[: steps * batch_size].view(steps, batch_size)[run.step % steps :]
            started, first = time.perf_counter(), run.step
            for images, targets in feed.batches(list(batches[:, rank.number :: rank.count])):
                run.learn(images, targets)
                if run.step % steps:  # at the end of an epoch the judging comes first
                    tell(run.step * batch_size, total, None)
                    run.save(save_seconds)
            speed = (run.step - first) * batch_size / (time.perf_counter() - started)
            run.end_epoch(epoch + 1, _judge(watch, checkpoint, rank), speed)
            run.save(save_seconds)
            tell(run.step * batch_size, total, run.history[-1])
        if rank.number == 0:
            tables = tuple(tuple(map(tuple, table.tolist())) for table in run.tables)
            replace(checkpoint, history=tuple(run.history), confusions=tables).save(path)
            forget(path)


def _feeds(plan: Plan, parts: tuple[Samples, ...], device: torch.device) -> tuple[Feed, Feed]:
    """What is learned and what is held out."""
    if plan.mask is None:
        learned = patch_feed(parts[0], plan.bands, device)
        return learned, patch_feed(parts[1], learned.bands, device)
    dual = plan.kind == "cnn-dual"
    learn = window_feed(parts[0], plan.bands, plan.mask, device, dual=dual)
    if plan.held_out is None:
        held = window_feed(parts[1], learn.bands, plan.mask, device, dual=dual)
        if plan.windows is None:
            return learn, held
        beyond = torch.arange(len(learn) + len(held), device=device) >= len(learn)
        ours, theirs = _draw(plan, beyond)
        return learn.only(ours), held.only(theirs - len(learn))
    everything = learn
    if plan.windows is not None:
        beyond = torch.zeros(len(learn), dtype=torch.bool, device=device)
        everything = learn.only(_draw(plan, beyond)[0])
    away = hold_out(len(everything), plan.held_out, seed_of(plan.seed, 0, 1), device)
    return everything.only(~away), everything.only(away)


def _draw(plan: Plan, held: Tensor) -> tuple[Tensor, Tensor]:
    """The windows that are drawn, of those to learn from and of those held out."""
    assert plan.windows is not None
    if plan.windows > len(held):
        raise SatimnetError(f"{plan.windows:,} windows: the masks observe {len(held):,}")
    return draw(plan.windows, held, plan.seed)


def _require_two_classes(feed: Feed, outputs: Sequence[Output]) -> None:
    for output, present in zip(outputs, feed.present(), strict=True):
        if len(present) < 2:
            alone = output.classes[present[0]].name
            raise SatimnetError(
                f"all that is to be learned from is of the class {alone}, and a network tells "
                "classes apart; take samples of others as well"
            )


def _moments(feed: Feed) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each band over all pixels.

    Of a band that hardly varies the deviation is 1. Raises `SatimnetError` where one is constant.
    """
    count, total, squares = 0, torch.zeros(()).double(), torch.zeros(()).double()
    low, high = [math.inf] * len(feed.bands), [-math.inf] * len(feed.bands)
    for images in feed.images():
        low = list(map(min, low, images.amin((0, 2, 3)).tolist()))
        high = list(map(max, high, images.amax((0, 2, 3)).tolist()))
        count += images.numel() // images.shape[1]
        # float32 sums of one image are exact enough, and float64 over the whole batch is slow
        total = total + images.sum((2, 3)).double().sum(0).cpu()
        squares = squares + images.square().sum((2, 3)).double().sum(0).cpu()
    constant = [
        f"{name} ({least:g})"
        for name, least, most in zip(feed.bands, low, high, strict=True)
        if least == most
    ]
    if constant:
        raise SatimnetError(
            f"all pixels of {', '.join(constant)} have the same value, so nothing can be learned "
            "from them; choose other bands with --bands"
        )
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=0).sqrt()
    std[std < 1e-3 * mean.abs().clamp(min=1e-3)] = 1
    return tuple(mean.tolist()), tuple(std.tolist())


def _judge(watch: Feed, checkpoint: Checkpoint, rank: Rank) -> list[Tensor]:
    """Confusion matrices of the held-out examples, each process having judged its share."""
    tables = watch.confusions(checkpoint, rank.number, rank.count)
    if rank.count > 1:
        tables = [table.to(rank.device) for table in tables]
        for table in tables:
            torch.distributed.all_reduce(table)
    return [table.cpu() for table in tables]
