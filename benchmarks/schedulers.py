"""Batches by dask's threads and by a cluster of two workers, beside the reader without dask."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import rasterio
import torch
from distributed import LocalCluster

from benchmarks.building import catalog_of
from benchmarks.data import Data
from benchmarks.reading import BATCH
from benchmarks.slow_host import LATENCY, slow_host, store_at
from benchmarks.table import Row
from benchmarks.timing import Contender, race
from satimnet.builder.storage.hrefs import is_url
from satimnet.training import Samples, open_samples

_EPOCHS = {"13-band TIFFs": 6_400, "JPEGs": 5_120, "deflated 13-band TIFFs": 2_560}
"""Images of a lap, where there is more than one. What lies uncompressed is read fastest."""
_REMOTE_EPOCH = 2_560
_CONTRACT = 0.8  # where files are compressed
_BUCKET = "scheduled"
_WORKERS = 2


def scheduler_rows(data: Data, rounds: int) -> Iterator[Row]:
    """Rows for images that lie open, JPEGs and deflated TIFFs; compressed ones by s3, too."""
    torch.set_num_threads(1)
    folders = dict(zip(_EPOCHS, (data.tiff_source, data.jpeg_source, _deflated(data)), strict=True))
    root = data.folder / "schedulers"
    with (
        slow_host(root, LATENCY) as host,
        store_at(host),  # for the workers, too
        LocalCluster(
            n_workers=_WORKERS,
            threads_per_worker=1,
            host="tcp://127.0.0.1",
            dashboard_address="127.0.0.1:0",
            local_directory=str(data.folder / "workers"),
        ) as cluster,
    ):
        ways = {"direct": "direct", "threads": "threads", "cluster": cluster.scheduler_address}
        for number, (kind, source) in enumerate(folders.items()):
            compressed = number > 0
            catalog = root / _BUCKET / str(number)
            catalog_of(source, catalog)
            yield from _rows(kind, str(catalog), ways, rounds, _EPOCHS[kind], compressed)
            if compressed:
                place = f"s3://{_BUCKET}/{number}"
                what = f"{kind} by s3, {LATENCY * 1000:.0f} ms,"
                yield from _rows(what, place, ways, rounds, _REMOTE_EPOCH, compressed)


def _rows(
    kind: str, place: str, ways: dict[str, str], rounds: int, count: int, compressed: bool
) -> Iterator[Row]:
    """Rows for the samples of a catalog; from elsewhere only the clock counts."""
    samples = open_samples(place).search(collections=["eurosat"])
    _require_same(samples, ways)
    if rounds > 1:
        samples = samples.subset(np.resize(np.arange(len(samples)), count))
    contenders = {name: Contender(partial(_read, samples, way)) for name, way in ways.items()}
    for contender in contenders.values():
        contender.work()
    laps = race(contenders, rounds)
    what = f"{kind} by dask's threads: images"
    contract = _CONTRACT if compressed else None
    yield Row(what, "direct", laps["threads"], laps["direct"], contract, by_clock=is_url(place))
    # the core-seconds of its workers are not seen here
    what = f"{kind} by {_WORKERS} workers (clock only): images"
    yield Row(what, "direct", laps["cluster"], laps["direct"], by_clock=True)


def _read(samples: Samples, scheduler: str) -> int:
    batches = samples.to_batches(BATCH, shuffle=True, scheduler=scheduler)
    return sum(len(batch.indices) for batch in batches)


def _require_same(samples: Samples, ways: dict[str, str]) -> None:
    """All batches must be the same, bit for bit."""
    readers = [samples.to_batches(BATCH, shuffle=True, scheduler=way) for way in ways.values()]
    for batches in zip(*readers, strict=True):
        for name, batch in zip(ways, batches, strict=True):
            if not (
                torch.equal(batch.images, batches[0].images)
                and torch.equal(batch.labels, batches[0].labels)
                and torch.equal(batch.indices, batches[0].indices)
            ):
                raise AssertionError(f"{name} gives other batches than direct")


def _deflated(data: Data) -> Path:
    """The 13-band edition with compressed files, in the same layout."""
    root = data.folder / "deflated" / data.tiff_source.name
    for path in data.tiffs:
        copy = root / path.relative_to(data.tiff_source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with rasterio.open(path) as image:
            profile = image.profile | {"compress": "deflate", "predictor": 2}
            with rasterio.open(copy, "w", **profile) as out:
                out.write(image.read())
    return root
