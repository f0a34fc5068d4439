"""Reading BigEarthNet, 12 files a patch: satimnet at native sizes, torchgeo, and through dask."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import dask.config
import numpy as np
import torch
from dask.base import compute
from examples.networks.torchvision_cpu import import_torchvision
from torch.utils.data import DataLoader, Subset

from benchmarks.building import catalog_of
from benchmarks.data import Data
from benchmarks.reading import BATCH, read_ours
from benchmarks.table import Row
from benchmarks.timing import Contender, race
from satimnet.training import Samples, open_samples

if TYPE_CHECKING:
    from torchgeo.datasets import BigEarthNet

_EPOCH = 24_000
_PASSES = 10  # of dask, which is given the patches as they are
_SKIPPED = 6  # torchgeo reads each sixth, which is time enough
_FINE = ("B02", "B03", "B04", "B08")  # 10 m: torchgeo resamples the others to it
_TORCHGEO_ORDER = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11"]
_TORCHGEO_ORDER += ["B12"]
_TORCHGEO_CONTRACT = 150
_DASK_CONTRACT = 0.8


def patch_rows(data: Data, rounds: int) -> Iterator[Row]:
    """Rows for batches of all 12 bands, and for lazy arrays of them."""
    torch.set_num_threads(1)
    catalog = data.folder / "patches"
    catalog_of(data.patches[0].parent, catalog)
    samples = open_samples(catalog).search(collections=["bigearthnet"])
    if len(samples) != len(data.patches):
        raise AssertionError(f"{len(samples)} of {len(data.patches)} patches are in the catalog")
    epoch = samples.subset(np.resize(np.arange(len(samples)), _EPOCH))
    arrays = samples.to_xarray()
    contenders = {
        "no threads": Contender(partial(read_ours, epoch, "cpu", 0)),
        "dask": Contender(lambda: _read_by_dask(arrays, len(samples))),
        "copy": Contender(partial(_copy, samples)),
    }
    name, peer = "torchgeo, workers 0", _torchgeo(data)
    if isinstance(peer, str):
        name = f"{name}: cannot be had here ({peer})"
    else:
        _require_same(samples, peer)
        part = Subset(peer, np.arange(0, len(peer), _SKIPPED).tolist())
        loader = DataLoader(part, BATCH, shuffle=True)
        contenders["torchgeo"] = Contender(lambda: sum(len(batch["image"]) for batch in loader))
    for contender in contenders.values():
        contender.work()
    laps = race(contenders, rounds)
    what, ours = "12-file batches, no threads: patches", laps["no threads"]
    yield Row(what, name, ours, laps.get("torchgeo"), _TORCHGEO_CONTRACT)
    yield Row(what, "copy in memory", ours, laps["copy"])
    yield Row(
        "12-file arrays through dask: patches", "to_batches", laps["dask"], ours, _DASK_CONTRACT
    )


def _read_by_dask(arrays: Any, count: int) -> int:
    """Reads all chunks in this thread, one after the other, as `to_batches` does."""
    blocks = [
        array.data.map_blocks(_size, chunks=(1,) * 4, dtype=np.int64) for array in arrays.values()
    ]
    with dask.config.set(scheduler="synchronous"):
        for _ in range(_PASSES):
            for sizes in compute(*blocks):
                if int(sizes.sum()) != count:
                    raise AssertionError(f"{sizes.sum()} of {count} patches were read")
    return count * _PASSES


def _size(block: Any) -> Any:
    return np.full((1,) * block.ndim, len(block))


def _copy(samples: Samples) -> int:
    """Converts as many pixels, one batch after the other into the same memory."""
    sizes = samples.bands_by_size()
    stored = [np.full((len(samples), len(b), *s), 1000, np.uint16) for s, b in sizes.items()]
    batch = [np.ones((BATCH, *x.shape[1:]), np.float32) for x in stored]
    count = 0
    while count < _EPOCH:
        for start in range(0, len(samples), BATCH):
            for source, target in zip(stored, batch, strict=True):
                part = source[start : start + BATCH]
                np.copyto(target[: len(part)], part)
        count += len(samples)
    return count


def _torchgeo(data: Data) -> BigEarthNet | str:
    try:
        import_torchvision()
        from torchgeo.datasets import BigEarthNet
    except (ImportError, RuntimeError) as error:
        return str(error)
    return BigEarthNet(str(data.patches[0].parents[1]), bands="s2", num_classes=43)


def _require_same(samples: Samples, peer: BigEarthNet) -> None:
    """The bands of 10 m, which torchgeo does not resample, and the number of classes."""
    columns = [_TORCHGEO_ORDER.index(band) for band in _FINE]
    places = {str(folder["s2"]).rpartition("/")[2]: k for k, folder in enumerate(peer.folders)}
    batch = next(iter(samples.to_batches(24, bands=_FINE, shuffle=True, labels="classes")))
    for image, label, index in zip(batch.images, batch.labels, batch.indices, strict=True):
        theirs = peer[places[samples.ids[int(index)]]]
        if not torch.equal(image, theirs["image"][columns]) or label.sum() != theirs["label"].sum():
            raise AssertionError(
                f"{samples.ids[int(index)]}: torchgeo reads other pixels or classes"
            )
