"""A build on a cluster beside the same one on the disk, and what was seen of it."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

from satimnet.builder import build
from satimnet.builder.datasets import miniatures
from satimnet.builder.storage import objects, stores

from .machines import Cluster, running

CATALOG = "s3://cat/catalog"
_FINISHED = 3
"""Shards that are done when a worker is killed."""


@dataclass(frozen=True)
class Seen:
    """What a trial showed."""

    wrong: list[str]
    """What should not be."""
    seconds: float
    seconds_of_cluster: float
    peak: int
    """Bytes, of the worker that had most."""
    shards: int
    puts_of_shards: int
    puts_of_rows: int
    requests: dict[str, int]
    """That the S3 server answered, by their method."""
    steps: dict[str, float]
    """Seconds of each step of the build on the cluster."""


def eurosat(folder: Path, per_class: int) -> dict[str, Path]:
    """Two zips in a prefix."""
    from stactools.eurosat.miniature import write_miniature

    write_miniature(folder / "eurosat", per_class)
    return {"eurosat": folder / "eurosat"}


def every_form(folder: Path) -> dict[str, Path]:
    """Zips, a ``.tar.gz``, and images in folders, by what they are called in the bucket."""
    found = eurosat(folder, 12)
    for name in ("bigearthnet", "dota"):
        miniatures()[name](folder / name)
        found[name] = folder / name
    return found


def trial(
    folder: Path,
    sources: Mapping[str, Path],
    *,
    shard_size: int,
    kill: bool,
    isolated: bool,
    apart: bool = False,
) -> Seen:
    """Builds the same sources on the disk, then on a cluster; see the package's docstring."""
    seconds = _timed(lambda: build(list(sources.values()), folder / "calm", shard_size=shard_size))
    with running(folder, isolated=isolated, apart=apart) as cluster, reached(cluster):
        make_buckets()
        places = [upload(path, f"s3://src/{name}") for name, path in sources.items()]
        before = _requests(cluster)
        scheduler = cluster.scheduler
        with _killing(cluster) if kill else _nothing() as killed:
            steps = _Steps()
            how: dict[str, Any] = {
                "shard_size": shard_size,
                "scheduler": scheduler,
                "progress": steps,
            }
            seconds_of_cluster = _timed(lambda: build(places, CATALOG, **how))
            done = steps.seconds()
        requests = _requests(cluster) - before
        wrong = _differences(digests(str(folder / "calm")), digests(CATALOG))
        if kill and not killed.is_set():
            wrong.append("the build was over before a worker was killed")
        peak = max(worker.peak() for worker in cluster.workers)
        puts = _puts()
        shards = {key: count for key, count in puts.items() if "/shards/" in key}
        rows = {key: count for key, count in puts.items() if key.endswith(".arrow")}
        # each worker has one thread: the killed one had one shard in hand
        wrong += _too_many(shards, 1 if kill else 0) + _too_many(rows, 1 if kill else 0)
        for worker in cluster.workers:
            worker.end()
            wrong += [f"{path}: left in a scratch folder" for path in worker.left()]
        wrong += _restarts(cluster, expected=0)
    counts = len(shards), sum(shards.values()), sum(rows.values())
    return Seen(wrong, seconds, seconds_of_cluster, peak, *counts, dict(requests), done)


class _Steps:
    """A progress that notes when each step began."""

    def __init__(self) -> None:
        self._began: list[tuple[str, float]] = []

    def __call__(self, what: str, done: int, total: int | None, unit: str) -> None:
        if not self._began or self._began[-1][0] != what:
            self._began.append((what, time.monotonic()))

    def seconds(self) -> dict[str, float]:
        """How long each took, all together; the last one until now."""
        ends = [began for _, began in self._began[1:]] + [time.monotonic()]
        found: dict[str, float] = {}
        for (what, began), end in zip(self._began, ends, strict=True):
            step = what.split()[0]
            found[step] = found.get(step, 0.0) + end - began
        return found


_OF_GDAL = ("AWS_S3_ENDPOINT", "AWS_HTTPS", "AWS_VIRTUAL_HOSTING")
"""Variables that satimnet sets for GDAL, if they are not set."""


@contextmanager
def reached(cluster: Cluster) -> Iterator[None]:
    """This process reaches the S3 server of the cluster as long as the block runs."""
    old = {name: os.environ.get(name) for name in (*cluster.environment, *_OF_GDAL)}
    for name in _OF_GDAL:  # an earlier server's may stand there
        os.environ.pop(name, None)
    os.environ.update(cluster.environment)
    stores._store.cache_clear()  # a program reads its environment once, tests use several servers
    try:
        yield
    finally:
        for name, value in old.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        stores._store.cache_clear()


def make_buckets() -> None:
    """Makes the bucket ``src`` for sources, and ``cat`` for catalogs, which counts what is put."""
    client = _client()
    for name in ("src", "cat"):
        client.create_bucket(Bucket=name)
    versioning = {"Status": "Enabled"}
    client.put_bucket_versioning(Bucket="cat", VersioningConfiguration=versioning)


def upload(folder: Path, place: str) -> str:
    """Copies a folder to a place, which it returns."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        objects.write(f"{place}/{file.relative_to(folder).as_posix()}", file)
    return place


@contextmanager
def _killing(cluster: Cluster) -> Iterator[Event]:
    """Kills the first worker as soon as some shards are done, and starts it again."""
    killed, over = Event(), Event()

    def watch() -> None:
        while not over.is_set():
            below = objects.files_below(f"{CATALOG}/.building")
            if len([one for one in below if one.place.endswith(".arrow")]) >= _FINISHED:
                cluster.workers[0].kill()
                killed.set()
                cluster.workers[0].restart()
                return
            time.sleep(0.02)

    thread = Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


@contextmanager
def _nothing() -> Iterator[Event]:
    yield Event()


def _timed(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _puts() -> dict[str, int]:
    """How often each object of the catalog's bucket was put."""
    pages = _client().get_paginator("list_object_versions").paginate(Bucket="cat")
    return Counter(version["Key"] for page in pages for version in page.get("Versions", ()))


def _client() -> Any:
    import boto3  # type: ignore[import-untyped]

    return boto3.client("s3", region_name="us-east-1")


def _too_many(puts: Mapping[str, int], most: int) -> list[str]:
    more = {key: count for key, count in puts.items() if count > 1}
    return [f"put more than once: {more}"] if sum(more.values()) - len(more) > most else []


def _requests(cluster: Cluster) -> Counter[str]:
    """What the S3 server noted, by method."""
    noted = (cluster.folder / "s3.log").read_text(errors="replace")
    return Counter(re.findall(r'"([A-Z]+) /[^"]* HTTP/1\.1"', noted))


def _restarts(cluster: Cluster, expected: int) -> list[str]:
    """dask starts workers again that take too much memory."""
    wrong = []
    for worker in cluster.workers:
        with suppress(FileNotFoundError):
            found = worker.log.read_text(errors="replace").count("Restarting worker")
            if found > expected:
                wrong.append(f"{worker.name}: restarted {found} times, see {worker.log}")
    return wrong


def digests(place: str) -> dict[str, str]:
    """The checksums of all files of a folder or prefix, by their paths there."""
    return {
        one.place[len(place) + 1 :]: hashlib.sha256(objects.read(one.place)).hexdigest()
        for one in objects.files_below(place)
    }


def _differences(wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    lines = [f"{path}: is missing" for path in sorted(wanted.keys() - found.keys())]
    lines += [f"{path}: should not be there" for path in sorted(found.keys() - wanted.keys())]
    return lines + [
        f"{path}: differs"
        for path in sorted(wanted)
        if found.get(path, "") not in ("", wanted[path])
    ]
