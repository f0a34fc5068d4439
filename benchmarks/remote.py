"""Shuffled batches from a web server and from a store of S3's kind that answer late.

``python -m benchmarks --only remote``. Everybody reads from the same host (`slow_host`), in whose
way stand 20 ms for each request; what a connection costs to open is not added.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import fsspec
import numpy as np
import obstore
import torch
from examples.networks.torchvision_cpu import import_torchvision
from torch import Tensor
from torch.utils.data import DataLoader, Subset, default_collate

from benchmarks.building import catalog_of
from benchmarks.data import Data
from benchmarks.formats import Batches, of_dictionaries, open_taco, pack_litdata, pack_taco
from benchmarks.reading import BATCH, digest, read_ours
from benchmarks.slow_host import LATENCY, slow_host, store_at
from benchmarks.table import Row
from benchmarks.timing import Contender, Lap, race
from satimnet.builder.storage.stores import store_of
from satimnet.training import Samples, open_samples
from satimnet.training.data.layouts import locate
from satimnet.training.data.order import batches_of

IN_FLIGHT = 64
_MOST = 250e-6
"""Seconds of processor time an image."""
_FEW = 64
"""Images of a lap of those who wait for each one."""
_SOME = 256
"""Images of a lap of those who wait for some at a time."""
_BUCKET = "trial"
_BY_FSSPEC = "fsspec, each range opened"
_TACO_THREADS = 8


class Range(NamedTuple):
    """Where the pixels of a sample lie."""

    url: str
    first: int
    size: int
    row: int


def remote_rows(data: Data, rounds: int) -> Iterator[Row]:
    """Rows for the 13-band TIFFs, by the clock: most of the time is spent waiting."""
    torch.set_num_threads(1)
    root = data.folder / "host"
    bucket = root / _BUCKET
    catalog_of(data.tiff_source, bucket / "catalog")
    local = open_samples(bucket / "catalog").search(collections=["eurosat"])
    truth = digest((batch.images, batch.labels) for batch in local.to_batches(BATCH))
    labels = [local.classes.index(file.parent.name) for file in data.tiffs]
    absent = dict(_packed(data.tiffs, labels, bucket))
    with slow_host(root, LATENCY) as host, store_at(host), ThreadPoolExecutor(IN_FLIGHT) as pool:
        places = {"http": f"{host}/{_BUCKET}/catalog", "s3": f"s3://{_BUCKET}/catalog"}
        samples = {
            scheme: open_samples(place).search(collections=["eurosat"])
            for scheme, place in places.items()
        }
        contenders: dict[str, Contender] = {}
        for scheme, own in samples.items():
            found = digest((batch.images, batch.labels) for batch in own.to_batches(BATCH))
            if found != truth:
                raise AssertionError(f"other pixels or classes come by {scheme} than from disk")
            contenders[scheme] = Contender(partial(read_ours, own, "cpu", None))
            contenders[_by_shards(scheme)] = Contender(
                partial(read_ours, own, "cpu", None, "shards")
            )
            contenders[_bare(scheme)] = Contender(partial(_fetch_all, pool, own))
        peers = _by_fsspec(samples["http"])
        for name, open_peer in _FORMATS.items():
            if name not in absent:
                peers |= open_peer()
        for name, batches in peers.items():
            try:
                found = digest(batches())
            except ImportError as error:  # fsspec wants aiohttp
                absent[name] = f"{name}: cannot be had here ({error})"
                continue
            if not set(found) <= set(truth):
                raise AssertionError(f"{name} reads other pixels or other classes")
            contenders[name] = Contender(partial(_count, batches))
        laps = race(contenders, rounds)
    for scheme in places:
        what = f"batches by {scheme}, {LATENCY * 1000:.0f} ms: images"
        floor = [_without_bytes(lap.count) for lap in laps[scheme]]
        by_fsspec = absent.get(_BY_FSSPEC, _BY_FSSPEC)
        yield Row(what, by_fsspec, laps[scheme], laps.get(_BY_FSSPEC), 10, by_clock=True)
        yield Row(what, _bare(scheme), laps[scheme], laps[_bare(scheme)], 0.5, by_clock=True)
        yield Row(what, f"{IN_FLIGHT} in flight, latency alone", laps[scheme], floor, by_clock=True)
        most = f"{_MOST * 1e6:.0f} µs of processor time an image"
        yield Row(what, most, laps[scheme], _at_most(laps[scheme]), 1)
        by_shards = laps[_by_shards(scheme)]
        yield Row(f"{what}, by shards", most, by_shards, _at_most(by_shards), 1)
        yield Row(f"{what}, by shards", f"shuffled by samples, {scheme}", by_shards, laps[scheme])
    for name in dict.fromkeys([*peers, *absent]):
        if name != _BY_FSSPEC:
            yield Row(what, absent.get(name, name), laps["s3"], laps.get(name), by_clock=True)


# --- satimnet and what is possible ----------------------------------------------------------------


def _by_shards(scheme: str) -> str:
    return f"{scheme}, by shards"


def _at_most(laps: Sequence[Lap]) -> list[Lap]:
    """What the same would be if an image took the processor time that is allowed."""
    return [Lap(lap.count, _MOST * lap.count, lap.seconds) for lap in laps]


def _bare(scheme: str) -> str:
    return f"obstore, {IN_FLIGHT} in flight, {scheme}"


def _ranges(samples: Samples) -> list[Range]:
    """The ranges of an epoch in the order in which it is shuffled."""
    layout = locate(samples, None)
    rows = np.concatenate(batches_of(len(samples), BATCH, {"shuffle": True}))
    places = zip(layout.shard[rows, 0], layout.start[rows, 0], layout.size[rows, 0], rows)
    return [Range(layout.shards[k], int(at), int(size), int(row)) for k, at, size, row in places]


def _fetch_all(pool: ThreadPoolExecutor, samples: Samples) -> int:
    """Fetches each range by itself, and does nothing with it."""

    def fetch(wanted: Range) -> int:
        store, key = store_of(wanted.url)
        return len(obstore.get_range(store, key, start=wanted.first, length=wanted.size))

    ranges = _ranges(samples)
    if list(pool.map(fetch, ranges)) != [wanted.size for wanted in ranges]:
        raise AssertionError("a range is not as long as it should be")
    return len(ranges)


def _without_bytes(count: int) -> Lap:
    """What requests would take that only wait: no machine that has to move the bytes is faster."""
    seconds = LATENCY * count / IN_FLIGHT
    return Lap(count, seconds, seconds)


# --- peers ----------------------------------------------------------------------------------------


def _by_fsspec(samples: Samples) -> dict[str, Batches]:
    """The same loop over fsspec's files, and over its call for many ranges.

    Files are opened so that exactly what is wanted is read: by default 5 MB would be.
    """
    layout, labels = locate(samples, None), torch.from_numpy(samples.labels)
    ranges = _ranges(samples)

    def batch(wanted: Sequence[Range], contents: Sequence[bytes]) -> tuple[Tensor, Tensor]:
        shape = (len(wanted), *layout.shape)
        pixels = np.frombuffer(b"".join(contents), layout.dtype).reshape(shape)
        rows = torch.tensor([one.row for one in wanted])
        return torch.from_numpy(pixels.astype(np.float32)), labels[rows]

    def opened() -> Iterator[tuple[Tensor, Tensor]]:
        wanted, contents = ranges[:_FEW], []
        for one in wanted:
            with fsspec.open(one.url, "rb", cache_type="none") as file:
                file.seek(one.first)
                contents.append(file.read(one.size))
        yield batch(wanted, contents)

    def together() -> Iterator[tuple[Tensor, Tensor]]:
        files = fsspec.filesystem("http")
        for at in range(0, min(_SOME, len(ranges)), BATCH):
            wanted = ranges[at : at + BATCH]
            urls, starts, sizes = (list(x) for x in zip(*(one[:3] for one in wanted)))
            ends = [first + size for first, size in zip(starts, sizes)]
            yield batch(wanted, files.cat_ranges(urls, starts, ends))

    return {_BY_FSSPEC: opened, "fsspec, cat_ranges of a batch": together}


def _packed(
    files: Sequence[Path], labels: Sequence[int], bucket: Path
) -> Iterator[tuple[str, str]]:
    """Writes what the peers read; gives the names of those that are not here, and why."""
    for name, pack in {"LitData": pack_litdata, "TACO": pack_taco}.items():
        folder = bucket / name
        folder.mkdir()
        try:
            with suppress(ModuleNotFoundError):
                import_torchvision()  # LitData imports it if it is there
            pack(files, labels, folder)
        except (ImportError, RuntimeError) as error:
            yield name, f"{name}: cannot be had here ({error})"


def _litdata() -> dict[str, Batches]:
    """Chunks of 64 MB, which are fetched whole; with nothing kept from the epoch before."""
    from litdata import StreamingDataLoader, StreamingDataset
    from litdata.streaming import downloader

    downloader._OBSTORE_CLIENT_OPTIONS["allow_http"] = True  # it has no setting for that
    storage = {
        "endpoint_url": os.environ["AWS_ENDPOINT_URL"],
        "aws_access_key_id": "anybody",  # it cannot do without
        "aws_secret_access_key": "anything",
        "region_name": os.environ["AWS_REGION"],
    }

    def epoch() -> Iterator[tuple[Tensor, Tensor]]:
        with tempfile.TemporaryDirectory(
            dir="/dev/shm" if Path("/dev/shm").is_dir() else None
        ) as kept:
            dataset = StreamingDataset(
                f"s3://{_BUCKET}/LitData", shuffle=True, cache_dir=kept, storage_options=storage
            )
            loader = StreamingDataLoader(dataset, batch_size=BATCH, num_workers=0)
            yield from of_dictionaries(loader)

    return {"LitData": epoch}


def _taco() -> dict[str, Batches]:
    """Its GeoTIFFs through GDAL: one by one, and by threads that wait together.

    Threads, and not a DataLoader's workers: connections of GDAL's do not survive a fork.
    """
    dataset = open_taco(f"s3://{_BUCKET}/TACO/eurosat.zip")

    def order(count: int) -> list[int]:  # others every time: GDAL keeps some of what it read
        found: list[int] = torch.randperm(len(dataset))[:count].tolist()
        return found

    def alone() -> Iterator[tuple[Tensor, Tensor]]:
        return of_dictionaries(DataLoader(Subset(dataset, order(_FEW)), BATCH))

    def by_threads() -> Iterator[tuple[Tensor, Tensor]]:
        few = order(_SOME)
        with ThreadPoolExecutor(_TACO_THREADS) as pool:
            for at in range(0, len(few), BATCH):
                yield from of_dictionaries(
                    [default_collate(list(pool.map(dataset.__getitem__, few[at : at + BATCH])))]
                )

    return {"TACO, one by one": alone, f"TACO, {_TACO_THREADS} threads": by_threads}


_FORMATS: Mapping[str, Callable[[], dict[str, Batches]]] = {"LitData": _litdata, "TACO": _taco}


def _count(batches: Batches) -> int:
    return sum(len(images) for images, _ in batches())
