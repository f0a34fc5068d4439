"""Training the three networks on samples."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from satimnet.builder.arguments import checked
from satimnet.builder.errors import ArgumentError
from satimnet.builder.progress import Progress, silent
from satimnet.builder.storage.hrefs import on_disk
from satimnet.builder.storage.staging import lock
from satimnet.training.data.order import by_shards
from satimnet.training.data.reading_ahead import kept_open, require_way
from satimnet.training.data.training_samples import Samples
from satimnet.training.devices import (
    Launched,
    Rank,
    finished,
    first_alone,
    pick_device,
    run_on,
)
from satimnet.training.networks.checkpoints import Checkpoint, build, load
from satimnet.training.networks.draws import shuffled
from satimnet.training.networks.inputs import Feed, confusions, patch_feed, window_feed
from satimnet.training.networks.outputs import Output
from satimnet.training.networks.training_plan import TrainingPlan, Wishes, plan_training
from satimnet.training.networks.training_state import Run, forget, require_same, seed_of
from satimnet.training.networks.windows import draw_windows, hold_out_windows

Told = Callable[[int, int, Mapping[str, float] | None], None]
"""Called with examples learned from so far, those of all epochs, and an epoch that has ended."""


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
    dropout: float | None = None,
    schedule: str = "one-cycle",
    windows: int | None = None,
    windows_per_epoch: int | None = None,
    seed: int = 0,
    shuffle: str = "samples",
    device: str | None = None,
    devices: int = 1,
    scheduler: str = "threads",
    save_seconds: float = 60,
    quiet: bool = False,
    progress: Progress = silent,
    on_epoch: Callable[[Mapping[str, float]], object] | None = None,
) -> Checkpoint:
    """Trains CNN-class, CNN-segm or CNN-dual and writes it to a file.

    As in the paper (Section 3.1) the loss is cross-entropy, of dual the sum over both outputs;
    class learns by Adam with a rate of 0.01, segm by Adam with 0.001, dual by SGD with 0.01;
    Adam's epsilon is Keras' 1e-7. Patches of class are shown in one of their eight orientations,
    drawn anew each epoch. Images are normalised by mean and deviation of the training samples.

    An epoch shows every patch, or every window whose middle the mask has observed, in an order
    drawn by the seed, unless asked otherwise uniformly; what is left over for a last batch is left
    out.

    A training that was killed goes on when it is started again with the same arguments. Same seed,
    same machine, CPU: the same network, killed or not. What is drawn is the same on every device,
    but for what dropout drops. Where `out` holds this very training
    finished, it is read and returned: the same arguments, files of the samples byte for byte, and
    code. The files are hashed for that, once before the training.

    Args:
        samples: the samples to learn from.
        held_out: samples that are only watched; nothing is chosen by them, the network after the
            last epoch is kept. For segm and dual a fraction instead holds out so much of the
            windows, wherever they lie: the paper's way, which flatters, as neighbouring windows
            share 20 of 25 pixels.
        out: the file.
        model: ``class``, ``segm`` or ``dual``.
        bands: names of the bands to learn from; None: all of the image.
        width: filters of a convolution; None: the published number.
        epochs: how often all examples are shown.
        batch_size: examples of a step, divided among the devices; None: 64 patches, 1024 windows.
        learning_rate: None: the published one.
        dropout: the fraction of values that dropout layers drop; None: the published one, 0.09 for
            class, 0.1 for segm and dual.
        schedule: ``one-cycle`` rises to the learning rate over the first 30 % of the steps and
            falls to nothing, ``constant`` stays.
        windows: learn from only so many windows, drawn beforehand out of all, held out ones
            included.
        windows_per_epoch: each epoch shows so many windows, drawn anew.
        seed: of all that is random.
        shuffle: ``samples``, all orders equally likely; for class also ``shards``, as of
            `Samples.to_batches`: for patches on other machines that do not fit into memory.
        device: ``cpu`` or ``cuda``; None: the GPU if there is one.
        devices: how many processes, each on a GPU of its own, or on its share of the cores. Under
            torchrun it is the number of processes that it has started.
        scheduler: what reads the samples: ``threads``, ``direct`` or the address of a dask cluster;
            see `Samples.to_batches`. The network is the same.
        save_seconds: at most so much work is lost when the training is killed.
        quiet: call neither `progress` nor `on_epoch`.
        progress: is called as the training goes on.
        on_epoch: is called after each epoch with its entry in the history of the `Checkpoint`.

    Returns:
        The network with what is needed to use it, as `load` reads it from the file.

    Raises:
        ArgumentError: an argument is not as it must be, or does not go with the others.
        StorageError: the file cannot be written.
        SatimnetError: the samples lack the bands, masks or classes; images of class are not
            64 x 64; a shard is not what the catalog describes; `out` holds another training, or
            another run is writing it.

    Example:
        >>> from satimnet.training import open_samples
        >>> learned, held = open_samples("catalog").search().holdout(0.25)
        >>> how = {"width": 4, "epochs": 1, "batch_size": 8, "device": "cpu"}
        >>> checkpoint = train(learned, held, "run/checkpoint.pt", **how)
        >>> checkpoint.history[-1]["accuracy_class"] <= 1
        True
    """
    path = on_disk(out)
    require_way(scheduler)
    launched = Launched.found()
    wishes = Wishes(
        model=model,
        bands=None if bands is None else tuple(bands),
        width=width,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        dropout=dropout,
        schedule=schedule,
        windows=windows,
        windows_per_epoch=windows_per_epoch,
        seed=seed,
        devices=devices if launched is None else launched.require_devices(devices),
        shuffle=shuffle,
    )
    parts = (samples, held_out) if isinstance(held_out, Samples) else (samples,)
    where = pick_device(device)

    def hearing(plan: TrainingPlan) -> Told:
        return _silent if quiet else _hearing(plan, progress, on_epoch)

    if launched is not None:
        rank = launched.join(where.type)
        prepare = partial(plan_training, wishes, samples, held_out)
        return _train_launched(rank, prepare, hearing, parts, path, save_seconds, scheduler)
    with kept_open(scheduler):  # if nobody answers there, that is found before files are hashed
        plan = plan_training(wishes, samples, held_out)
        how = (plan, parts, path, save_seconds, scheduler)
        with lock(path):
            if path.exists():
                return _finished(path, plan, where)
            run_on(where, devices, _train, *how, hear=hearing(plan))
    return load(path, str(where))


def _train_launched(
    rank: Rank,
    prepare: Callable[[], TrainingPlan],
    hearing: Callable[[TrainingPlan], Told],
    parts: tuple[Samples, ...],
    path: Path,
    save_seconds: float,
    scheduler: str,
) -> Checkpoint:
    """The training as one of torchrun's processes; the first one plans and writes."""
    with ExitStack() as stack:

        def begin() -> tuple[TrainingPlan, bool]:
            plan = prepare()
            stack.enter_context(lock(path))
            done = path.exists()
            if done:
                _finished(path, plan, rank.device)
            return plan, done

        plan, done = first_alone(rank, begin)
        if not done:
            hear = _silent if rank.number else hearing(plan)
            _train(rank, hear, plan, parts, path, save_seconds, scheduler)
        content = first_alone(rank, path.read_bytes)
    with TemporaryDirectory() as folder:  # the others may be on machines that do not see the file
        copy = Path(folder, path.name)
        copy.write_bytes(content)
        return load(copy, str(rank.device))


def _silent(done: int, total: int, epoch: Mapping[str, float] | None) -> None:
    pass


def _hearing(
    plan: TrainingPlan,
    progress: Progress,
    on_epoch: Callable[[Mapping[str, float]], object] | None,
) -> Told:
    """What passes on how far a training is."""
    what = f"Training {plan.kind.replace('cnn', 'CNN')}"
    unit = "patches" if plan.mask is None else "windows"

    def hear(done: int, total: int, epoch: Mapping[str, float] | None) -> None:
        progress(what, done, total, unit)
        if epoch is not None and on_epoch is not None:
            on_epoch(epoch)

    return hear


def _finished(path: Path, plan: TrainingPlan, device: torch.device) -> Checkpoint:
    """The network that is there, if it is the one that is asked for."""
    found = load(path, str(device))
    require_same(found.kind, found.width, found.bands, found.settings, plan, path)
    forget(path)  # a kill right after the end leaves the state of before
    return found


def _train(
    rank: Rank,
    tell: Told,
    plan: TrainingPlan,
    parts: tuple[Samples, ...],
    path: Path,
    save_seconds: float,
    scheduler: str,
) -> None:
    """The whole training, by one of its processes; the first one writes."""
    with kept_open(scheduler):
        _train_on(rank, tell, plan, _feeds(plan, parts, rank.device, scheduler), path, save_seconds)


def _train_on(
    rank: Rank,
    tell: Told,
    plan: TrainingPlan,
    feeds: tuple[Feed, Feed],
    path: Path,
    save_seconds: float,
) -> None:
    """The training on what is learned and what is held out."""
    learn, watch = feeds
    _require_two_classes(learn, plan.outputs)
    mean, std = _moments(learn)
    pace = _pace(plan, learn, watch)
    gpus = [rank.device] if rank.device.type == "cuda" else []
    with torch.random.fork_rng(gpus):
        torch.manual_seed(plan.seed)
        model = build(plan.kind, len(learn.bands), plan.outputs, plan.width, plan.dropout)
        model = model.to(rank.device)
        _forget_within(model, pace.steps)
        checkpoint = Checkpoint(
            *(model, plan.kind, plan.width, learn.bands, plan.outputs, mean, std),
            settings=plan.described(),
        )
        run = Run(plan, checkpoint, path, pace.steps, rank)
        run.resume()
        _require_same_step(run, rank)
        tell(run.step * pace.batch_size, pace.total, None)
        while run.step < pace.steps * plan.epochs:
            speed = _learn_epoch(run, learn, pace, rank, tell, save_seconds)
            run.end_epoch(run.step // pace.steps, _judge(watch, checkpoint, rank), speed)
            run.save(save_seconds)
            tell(run.step * pace.batch_size, pace.total, run.history[-1])
    if rank.number == 0:
        tables = tuple(tuple(map(tuple, table.tolist())) for table in run.tables)
        replace(checkpoint, history=tuple(run.history), confusions=tables).save(path)
        forget(path)


def _require_same_step(run: Run, rank: Rank) -> None:
    """Refuses to go on from states that differ, as where machines see different files."""
    if rank.count == 1:
        return
    steps = torch.tensor([run.step, -run.step], device=rank.device)
    torch.distributed.all_reduce(steps, torch.distributed.ReduceOp.MAX)
    if int(steps.sum()):
        raise ArgumentError(
            "out: the processes do not find the same unfinished training; choose a folder that all "
            "machines share",
            "out",
        )


@dataclass(frozen=True)
class _Pace:
    """How an epoch goes: so many steps, each with a batch of so many examples.

    total: the examples of all epochs. by_shards: neighbours in a shard are shown together.
    """

    seed: int
    steps: int
    batch_size: int
    total: int
    by_shards: bool


def _pace(plan: TrainingPlan, learn: Feed, watch: Feed) -> _Pace:
    count = min(plan.windows_per_epoch or len(learn), len(learn))
    batch_size = min(plan.batch_size, count - count % plan.devices)
    if batch_size < 2 * plan.devices or not len(watch):
        raise ArgumentError(
            "nothing is left to learn from or to hold out; take more samples", "samples"
        )
    steps = count // batch_size
    total = steps * plan.epochs * batch_size
    return _Pace(plan.seed, steps, batch_size, total, plan.shuffle == "shards")


def _forget_within(model: nn.Module, steps: int) -> None:
    """Lets moving statistics forget the beginning within an epoch or so.

    On few samples they would not do that before the training ends.
    """
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.momentum = max(layer.momentum or 0, 1 / steps)


def _learn_epoch(
    run: Run, learn: Feed, pace: _Pace, rank: Rank, tell: Told, save_seconds: float
) -> float:
    """What is left of an epoch; returns the examples per second."""
    done = run.step % pace.steps
    seed = seed_of(pace.seed, run.step // pace.steps)
    shown = pace.steps * pace.batch_size
    if pace.by_shards and learn.places is not None:
        order = torch.from_numpy(by_shards(learn.places, seed)).to(rank.device)
        # neighbours are read by one process
        own = order[:shown].view(pace.steps, rank.count, -1)[done:, rank.number]
    else:
        order = shuffled(len(learn), seed, rank.device)
        own = order[:shown].view(pace.steps, -1)[done:, rank.number :: rank.count]
    started = time.perf_counter()
    for images, targets in learn.batches(list(own)):
        run.learn(images, targets)
        if run.step % pace.steps:  # at the end of an epoch the judging comes first
            tell(run.step * pace.batch_size, pace.total, None)
            run.save(save_seconds)
    finished(rank.device)  # a GPU has only been told what to do
    return (pace.steps - done) * pace.batch_size / (time.perf_counter() - started)


def _feeds(
    plan: TrainingPlan, parts: tuple[Samples, ...], device: torch.device, scheduler: str
) -> tuple[Feed, Feed]:
    """What is learned and what is held out."""
    if plan.mask is None:
        learned = patch_feed(parts[0], plan.bands, device, scheduler)
        return learned, patch_feed(parts[1], learned.bands, device, scheduler)
    windows = partial(
        window_feed,
        mask=plan.mask,
        device=device,
        dual=plan.kind == "cnn-dual",
        scheduler=scheduler,
    )
    learn = windows(parts[0], plan.bands)
    if plan.held_out is None:
        held = windows(parts[1], learn.bands)
        if plan.windows is None:
            return learn, held
        beyond = torch.arange(len(learn) + len(held), device=device) >= len(learn)
        ours, theirs = _draw(plan, beyond)
        return learn.only(ours), held.only(theirs - len(learn))
    everything = learn
    if plan.windows is not None:
        beyond = torch.zeros(len(learn), dtype=torch.bool, device=device)
        everything = learn.only(_draw(plan, beyond)[0])
    away = hold_out_windows(len(everything), plan.held_out, seed_of(plan.seed, 0, 1), device)
    return everything.only(~away), everything.only(away)


def _draw(plan: TrainingPlan, held: Tensor) -> tuple[Tensor, Tensor]:
    """The windows that are drawn, of those to learn from and of those held out."""
    assert plan.windows is not None
    if plan.windows > len(held):
        raise ArgumentError(f"windows {plan.windows:,}: the masks observe {len(held):,}", "windows")
    return draw_windows(plan.windows, held, plan.seed)


def _require_two_classes(feed: Feed, outputs: Sequence[Output]) -> None:
    for output, present in zip(outputs, feed.present(), strict=True):
        if len(present) < 2:
            alone = output.classes[present[0]].name
            raise ArgumentError(
                f"samples: every example is of the class {alone}, and a network tells classes "
                "apart; take samples of other classes as well",
                "samples",
            )


def _moments(feed: Feed) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each band over all pixels.

    Of a band that hardly varies the deviation is 1. Raises `ArgumentError` where one is constant.
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
        raise ArgumentError(
            f"all pixels of {', '.join(constant)} have the same value, so nothing can be learned "
            "from them; choose other bands",
            "bands",
        )
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=0).sqrt()
    std[std < 1e-3 * mean.abs().clamp(min=1e-3)] = 1
    return tuple(mean.tolist()), tuple(std.tolist())


def _judge(watch: Feed, checkpoint: Checkpoint, rank: Rank) -> list[Tensor]:
    """Confusion matrices of the held-out examples, each process having judged its share."""
    tables = confusions(watch, checkpoint, rank.number, rank.count)
    if rank.count > 1:
        tables = [table.to(rank.device) for table in tables]
        for table in tables:
            torch.distributed.all_reduce(table)
    return [table.cpu() for table in tables]
