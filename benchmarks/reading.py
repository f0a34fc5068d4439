"""Reading shuffled batches: satimnet, torchgeo's dataset in a DataLoader, and a copy in memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from benchmarks.building import catalog_of
from benchmarks.data import Data
from benchmarks.table import Row
from benchmarks.timing import Contender, race
from benchmarks.torchvision_cpu import import_torchvision
from satimnet.training import Samples, open_samples

if TYPE_CHECKING:
    from torchgeo.datasets import EuroSAT

_BATCH = 256
_SHAPE = (64, 64, 13)
_EPOCH = 27_000
"""Images of the real dataset. Where there are fewer they are read again and again: what is done
once an epoch shall weigh as it does in the real one. torchgeo has no such costs, it reads less."""
_THREADS = {"no threads": 0, "default": None}
_TORCHGEO_CONTRACT = 40
_COPY_CONTRACT = 0.4


def reading_rows(data: Data, rounds: int) -> Iterator[Row]:
    """Rows for batches on the CPU, and on the GPU where there is one."""
    # Threads of torch wait in a loop, which would count against whoever uses them.
    torch.set_num_threads(1)
    catalog = data.folder / "catalog"
    catalog_of(data.tiff_source, catalog)
    samples = open_samples(catalog).search(collections=["eurosat"])
    peer = _torchgeo(data)
    if isinstance(peer, str):
        name = f"torchgeo cannot be had here ({peer})"
    else:
        name = "torchgeo, DataLoader"
        _require_same(samples, peer)
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    for device in devices:
        contenders = _contenders(samples, peer, device)
        for contender in contenders.values():
            contender.work()
        laps = race(contenders, rounds)
        for ours, threads in _THREADS.items():
            # Work done per core is promised of one thread: more only make the clock run faster.
            promised = device == "cpu" and threads == 0
            what = f"batches to {device}, {ours}: images"
            contract: float | None = _TORCHGEO_CONTRACT if promised else None
            yield Row(what, name, laps[ours], laps.get("torchgeo"), contract)
            if "copy" in laps:
                contract = _COPY_CONTRACT if promised else None
                yield Row(what, "copy in memory", laps[ours], laps["copy"], contract)


def _contenders(samples: Samples, peer: EuroSAT | str, device: str) -> dict[str, Contender]:
    epoch = samples.subset(np.resize(np.arange(len(samples)), _EPOCH))
    contenders = {
        name: Contender(partial(_read, epoch, device, threads))
        for name, threads in _THREADS.items()
    }
    if not isinstance(peer, str):
        loader = DataLoader(peer, _BATCH, shuffle=True, pin_memory=device != "cpu")
        contenders["torchgeo"] = Contender(lambda: _read_by_torchgeo(loader, device))
    if device == "cpu":
        stored = np.full((len(samples), *_SHAPE), 1000, np.uint16)
        batch = np.ones((_BATCH, *_SHAPE), np.float32)
        contenders["copy"] = Contender(lambda: _copy(stored, batch, _EPOCH))
    return contenders


def _read(samples: Samples, device: str, threads: int | None) -> int:
    batches = samples.to_batches(_BATCH, shuffle=True, device=device, threads=threads)
    count = sum(len(batch.images) for batch in batches)
    _finish(device)
    return count


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
        for start in range(0, len(stored), _BATCH):
            part = stored[start : start + _BATCH]
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
    batch = next(iter(samples.to_batches(_BATCH, shuffle=True)))
    places = {path.rpartition("/")[2]: k for k, (path, _) in enumerate(peer.samples)}
    if len(places) != len(samples):
        raise AssertionError(f"torchgeo sees {len(places)} of {len(samples)} files")
    for image, label, index in zip(*batch[:3], strict=True):
        name = samples.ids[int(index)]
        theirs = peer[places[f"{name}.tif"]]
        same_class = samples.classes[int(label)] == peer.classes[int(theirs["label"])]
        if not same_class or not torch.equal(image, theirs["image"]):
            raise AssertionError(f"{name}: torchgeo reads other pixels or another class")
