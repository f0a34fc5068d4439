"""Batches by dask's threads, by a cluster and without dask: the same bits in the same order."""

import os
import threading
import time
from functools import partial

import dask
import pytest
import torch
from mini_catalog import make_samples, write_catalog
from torch import Tensor

from satimnet.builder.errors import ArgumentError, BadCatalogError, StorageError
from satimnet.training import open_samples
from satimnet.training.data import reading_ahead
from satimnet.training.data.pixels import Reader

pytestmark = pytest.mark.usefixtures("one_thread")

LONG = 60  # seconds that the machine is given, however busy it is
KINDS = {
    "uncompressed": {"bands": ["B8A", "B02", "B05"], "scale": 0.0001},
    "JPEG": {"bands": ["red", "blue"]},
    "all bands": {},
    "a share": {"bands": ["red"], "rank": 1, "world_size": 3, "drop_last": True},
}


@pytest.fixture(scope="module")
def source():
    return make_samples(10)


@pytest.fixture(scope="module")
def samples(tmp_path_factory, source):
    return open_samples(write_catalog(tmp_path_factory.mktemp("catalog"), source)).search()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The address of a cluster of two processes."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="tcp://127.0.0.1",
        dashboard_address="127.0.0.1:0",
        local_directory=str(tmp_path_factory.mktemp("workers")),
    ) as cluster:
        yield cluster


def broken(tmp_path, source):
    """Samples of a catalog, one shard of which holds something else now."""
    catalog = write_catalog(tmp_path / "catalog", source)
    found = open_samples(catalog).search()
    shard = next(catalog.parent.glob("**/Field-00001.zip"))
    shard.write_bytes(b"\xff\xd8" + bytes(2**21))
    return found


def tensors(batch):
    """All that a batch holds."""
    images = batch.images if isinstance(batch.images, tuple) else (batch.images,)
    return [t for t in (*images, batch.labels, batch.indices, batch.masks) if t is not None]


def require_same(batches, others):
    batches, others = list(batches), list(others)
    assert len(batches) == len(others) > 1
    for batch, other in zip(batches, others, strict=True):
        for one, two in zip(tensors(batch), tensors(other), strict=True):
            assert isinstance(one, Tensor)
            assert one.dtype == two.dtype
            assert one.stride() == two.stride()
            assert torch.equal(one, two)


def until(condition):
    """Waits until it holds."""
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_dasks_threads_give_the_same_bits(samples, kind, threads):
    options = KINDS[kind] | {"shuffle": True, "seed": 3, "threads": threads}
    direct = samples.to_batches(2, scheduler="direct", **options)
    require_same(samples.to_batches(2, **options), direct)


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_come_in_the_planned_order_though_some_take_longer(samples, monkeypatch, threads):
    read = Reader.read

    def read_slowly(self, rows, *others):
        time.sleep(0.02 * (rows[0] % 3))
        read(self, rows, *others)

    monkeypatch.setattr(Reader, "read", read_slowly)
    batches = samples.to_batches(3, bands=["red"], threads=threads)
    indices = [row for batch in batches for row in batch.indices.tolist()]
    assert indices == list(range(len(samples)))


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_no_more_batches_are_read_ahead_than_there_are_threads(samples, monkeypatch, threads):
    """Nor is there memory for more: one more is the caller's, and one its last."""
    read, begun, rooms = Reader.read, [], set()

    def noted(self, rows, out, scale=None):
        begun.append(rows)
        rooms.add(out.ctypes.data)
        read(self, rows, out, scale)

    monkeypatch.setattr(Reader, "read", noted)
    for k, _ in enumerate(samples.to_batches(1, bands=["red"], threads=threads), 1):
        if k == 5:
            until(lambda: len(begun) == 5 + threads)
            time.sleep(0.1)
        assert len(begun) <= k + threads
    assert len(begun) == len(samples)
    assert len(rooms) <= threads + 2


def test_large_batches_are_two_ahead_at_most(samples, monkeypatch):
    monkeypatch.setattr(reading_ahead, "_AHEAD", 0)
    read, begun = Reader.read, []

    def noted(self, rows, *others):
        begun.append(rows)
        read(self, rows, *others)

    monkeypatch.setattr(Reader, "read", noted)
    for k, _ in enumerate(samples.to_batches(1, bands=["red"], threads=4), 1):
        assert len(begun) <= k + 2


@pytest.mark.parametrize("scheduler", ["threads", "direct"])
def test_closing_early_leaves_no_threads(samples, scheduler):
    before = set(threading.enumerate())
    batches = samples.to_batches(1, threads=3, scheduler=scheduler)
    next(batches)
    assert set(threading.enumerate()) > before
    batches.close()
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("scheduler", ["threads", "direct"])
@pytest.mark.parametrize("threads", [0, 2])
def test_an_error_names_the_shard_and_leaves_no_threads(tmp_path, source, scheduler, threads):
    found, before = broken(tmp_path, source), set(threading.enumerate())
    with pytest.raises(BadCatalogError, match=r"Field-00001\.zip: sample Field_\d") as caught:
        list(found.to_batches(1, bands=["red"], threads=threads, scheduler=scheduler))
    assert "\n" not in str(caught.value)
    assert set(threading.enumerate()) == before


def test_what_is_no_scheduler_is_refused_before_the_first_batch(samples):
    with pytest.raises(ArgumentError, match="scheduler processes: must be threads, direct or") as e:
        samples.to_batches(2, scheduler="processes")
    assert e.value.arguments == ("scheduler",)
    with pytest.raises(ArgumentError, match="threads 2: the workers of a cluster") as caught:
        samples.to_batches(2, scheduler="tcp://127.0.0.1:9", threads=2)
    assert caught.value.arguments == ("threads",)
    with pytest.raises(ArgumentError, match="scheduler carrier://pigeon: not the address of a"):
        next(samples.to_batches(2, scheduler="carrier://pigeon"))


def test_an_address_where_nobody_answers(samples, monkeypatch):
    monkeypatch.setattr("satimnet.builder.storage.parallel._SECONDS_TO_ANSWER", 0.2)
    with pytest.raises(StorageError, match=r"^tcp://127\.0\.0\.1:9: no dask scheduler answers"):
        next(samples.to_batches(2, scheduler="tcp://127.0.0.1:9"))


# a cluster


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_cluster_gives_the_same_bits(samples, cluster, kind):
    options = KINDS[kind] | {"shuffle": True, "seed": 3}
    by_cluster = samples.to_batches(2, scheduler=cluster.scheduler_address, **options)
    require_same(by_cluster, samples.to_batches(2, scheduler="direct", **options))


@pytest.mark.slow
def test_workers_elsewhere_read_the_same_files(samples, cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the workers stay where they were started
    batches = samples.to_batches(8, scheduler=cluster.scheduler_address)
    require_same(batches, samples.to_batches(8))


@pytest.mark.slow
def test_a_cluster_is_asked_for_a_bounded_number_of_batches(samples, cluster, monkeypatch):
    from distributed import Client

    most, submit, asked = 2 * 2, Client.submit, []

    def noted(self, *work, **how):
        asked.append(work)
        return submit(self, *work, **how)

    monkeypatch.setattr(Client, "submit", noted)
    batches = samples.to_batches(1, bands=["red"], scheduler=cluster.scheduler_address)
    for k, _ in enumerate(batches, 1):
        assert len(asked) <= k + most
    assert len(asked) == k == len(samples)
    until(lambda: not cluster.scheduler.tasks)


@pytest.mark.slow
def test_closing_early_leaves_no_tasks(samples, cluster):
    batches = samples.to_batches(1, scheduler=cluster.scheduler_address)
    next(batches)
    batches.close()
    until(lambda: not cluster.scheduler.tasks)
    until(lambda: not any(s.processing for s in cluster.scheduler.workers.values()))
    until(lambda: len(cluster.scheduler.clients) <= 2)  # its own, and that of LocalCluster


@pytest.mark.slow
def test_an_error_of_a_worker_is_one_line_that_names_the_shard(tmp_path, source, cluster):
    batches = broken(tmp_path, source).to_batches(
        1, bands=["red"], scheduler=cluster.scheduler_address
    )
    with pytest.raises(BadCatalogError, match=r"Field-00001\.zip: sample Field_\d") as caught:
        list(batches)
    assert "\n" not in str(caught.value)
    until(lambda: not cluster.scheduler.tasks)


@pytest.mark.slow
def test_a_cluster_that_goes_away(samples, tmp_path):
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        host="tcp://127.0.0.1",
        protocol="tcp",
        dashboard_address="127.0.0.1:0",
        local_directory=str(tmp_path),
    ) as cluster:
        batches = samples.to_batches(1, scheduler=cluster.scheduler_address)
        next(batches)
    with pytest.raises(StorageError, match="the dask cluster has gone away"):
        list(batches)


@pytest.mark.slow
def test_workers_that_die_are_one_line_that_names_the_shard(samples, tmp_path, monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr(reading_ahead, "read_stored", os._exit)  # a worker ends when it reads
    monkeypatch.setattr(reading_ahead, "partial", lambda work, _: partial(work, 1))
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            host="tcp://127.0.0.1",
            dashboard_address="127.0.0.1:0",
            local_directory=str(tmp_path),
        ) as cluster,
    ):
        batches = samples.to_batches(1, bands=["red"], scheduler=cluster.scheduler_address)
        with pytest.raises(StorageError, match=r"Field-0000\d\.zip: workers of tcp://.* died"):
            next(batches)
