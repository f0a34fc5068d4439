"""Reading shuffled batches of 13-band EuroSAT: satimnet, its peers, and a copy in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch
from examples.networks.torchvision_cpu import import_torchvision
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.building import catalog_of
from benchmarks.data import Data
from benchmarks.formats import FORMATS, Batches
from benchmarks.table import Row
from benchmarks.timing import Contender, race
from satimnet.training import Samples, open_samples
from satimnet.training.data.batch_options import Shuffle

if TYPE_CHECKING:
    from torchgeo.datasets import EuroSAT

BATCH = 256
_SHAPE = (64, 64, 13)
_EPOCH = 27_000
"""Images of the real dataset. Where there are fewer they are read again and again: what is done
once an epoch shall weigh as it does in the real one. The peers, without such costs, read less."""
_OURS = {"no threads": 0, "default": None}
_WORKERS = {"torchgeo, workers 0": 0, "torchgeo, workers 2": 2}
_CONTRACTS = {"torchgeo, workers 0": 60.0, "torchgeo, workers 2": 40.0, "copy in memory": 0.5}
_CONTRACTS |= dict.fromkeys(FORMATS, 6.0)


def reading_rows(data: Data, rounds: int) -> Iterator[Row]:
    """Rows for batches on the CPU, and on the GPU where there is one."""
    # Threads of torch wait in a loop, which would count against whoever uses them.
    torch.set_num_threads(1)
    catalog = data.folder / "catalog"
    catalog_of(data.tiff_source, catalog)
    samples = open_samples(catalog).search(collections=["eurosat"])
    for device in ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]:
        absent: dict[str, str] = {}
        contenders = dict(_contenders(samples, data, device, absent))
        for contender in contenders.values():
            contender.work()
        laps = race(contenders, rounds)
        for peer, contract in _CONTRACTS.items():
            if device != "cpu" and not peer.startswith("torchgeo"):
                continue
            # Two workers are there to be faster by the clock; so are threads.
            by_clock = peer.endswith("2")
            ours = "default" if by_clock or device != "cpu" else "no threads"
            yield Row(
                f"batches to {device}, {ours}: images",
                absent.get(peer, peer),
                laps[ours],
                laps.get(peer),
                contract if device == "cpu" else None,
                by_clock,
            )


def _contenders(
    samples: Samples, data: Data, device: str, absent: dict[str, str]
) -> Iterator[tuple[str, Contender]]:
    """Everybody that is here; why the others are not goes to `absent`."""
    epoch = samples.subset(np.resize(np.arange(len(samples)), _EPOCH))
    for name, threads in _OURS.items():
        yield name, Contender(partial(read_ours, epoch, device, threads))
    truth = digest((batch.images, batch.labels) for batch in samples.to_batches(BATCH))
    peer = _torchgeo(data)
    for name, workers in _WORKERS.items():
        if isinstance(peer, str):
            absent[name] = f"{name}: cannot be had here ({peer})"
            continue
        if not workers:
            _require_same(samples, peer)
        loader = DataLoader(
            peer,
            BATCH,
            shuffle=True,
            num_workers=workers,
            pin_memory=device != "cpu",
            # Linux's default, which some of the peers change
            multiprocessing_context="fork" if workers else None,
        )
        yield name, Contender(partial(_read_by_torchgeo, loader, device))
    if device != "cpu":
        return
    stored = np.full((len(samples), *_SHAPE), 1000, np.uint16)
    batch = np.ones((BATCH, *_SHAPE), np.float32)
    yield "copy in memory", Contender(lambda: _copy(stored, batch, _EPOCH))
    labels = [samples.classes.index(file.parent.name) for file in data.tiffs]
    for name, pack in FORMATS.items():
        folder = data.folder / name.replace(" ", "-")
        folder.mkdir()
        try:
            batches = pack(data.tiffs, labels, folder, BATCH)
        except (ImportError, RuntimeError) as error:
            absent[name] = f"{name}: cannot be had here ({error})"
            continue
        if digest(batches()) != truth:
            raise AssertionError(f"{name} reads other pixels or other classes")
        yield name, Contender(partial(_read_format, batches))


def digest(batches: Iterable[tuple[Tensor, Tensor]]) -> list[tuple[int, float]]:
    """Class and sum of the pixels of each image, in an order that does not depend on theirs."""
    pairs = (zip(y.tolist(), x.double().flatten(1).sum(1).tolist()) for x, y in batches)
    return sorted(chain.from_iterable(pairs))


def read_ours(samples: Samples, device: str, threads: int | None, shuffle: Shuffle = True) -> int:
    """Reads an epoch in shuffled batches; returns how many images."""
    batches = samples.to_batches(BATCH, shuffle=shuffle, device=device, threads=threads)
    count = sum(len(batch.indices) for batch in batches)
    _finish(device)
    return count


def _read_format(batches: Batches) -> int:
    return sum(len(images) for images, _ in batches())


def _read_by_torchgeo(loader: DataLoader[dict[str, torch.Tensor]], device: str) -> int:
    count = 0
    for batch in loader:
        images, _ = (batch[key].to(device, non_blocking=True) for key in ("image", "label"))
        count += len(images)
    _finish(device)
    return count


def _finish(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def _copy(stored: NDArray[np.uint16], batch: NDArray[np.float32], epoch: int) -> int:
    """Converts the images one batch after the other into the same memory, over and over."""
    count = 0
    while count < epoch:
        for start in range(0, len(stored), BATCH):
            part = stored[start : start + BATCH]
            np.copyto(batch[: len(part)], part)
        count += len(stored)
    return count


def _torchgeo(data: Data) -> EuroSAT | str:
    """Its dataset as it ships, or why it cannot be had."""
    try:
        import_torchvision()
        from torchgeo.datasets import EuroSAT
    except (ImportError, RuntimeError) as error:
        return str(error)
    return EuroSAT(str(data.tiff_root))


def _require_same(samples: Samples, peer: EuroSAT) -> None:
    """Images and classes of a batch must be those that torchgeo reads from the same files."""
    batch = next(iter(samples.to_batches(BATCH, shuffle=True)))
    places = {path.rpartition("/")[2]: k for k, (path, _) in enumerate(peer.samples)}
    if len(places) != len(samples):
        raise AssertionError(f"torchgeo sees {len(places)} of {len(samples)} files")
    for image, label, index in zip(batch.images, batch.labels, batch.indices, strict=True):
        name = samples.ids[int(index)]
        theirs = peer[places[f"{name}.tif"]]
        same_class = samples.classes[int(label)] == peer.classes[int(theirs["label"])]
        if not same_class or not torch.equal(image, theirs["image"]):
            raise AssertionError(f"{name}: torchgeo reads other pixels or another class")
