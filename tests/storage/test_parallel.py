"""Tasks on a cluster: clients that the caller has open, and what is said of workers that fail."""

import os
from contextlib import suppress

import pytest
from distributed import LocalCluster

from satimnet.builder.errors import StorageError
from satimnet.builder.progress import silent
from satimnet.builder.storage.parallel import connected, run_tasks

HERE = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}


def test_a_client_that_the_caller_has_open_is_used_and_left_open():
    """Nobody else can talk to this cluster, as to one behind a gateway: the keys are new."""
    pytest.importorskip("cryptography")
    with LocalCluster(processes=False, protocol="tls", security=True, **HERE) as cluster:
        address = cluster.scheduler_address
        with pytest.raises((StorageError, TypeError)), connected(address):
            pass
        with cluster.get_client() as client:
            assert sorted(run_tasks(abs, [(-1,), (-2,)], address, "Counting", silent)) == [1, 2]
            assert client.status == "running"
            with connected(address) as used:
                assert used is client


def test_a_client_of_another_cluster_is_not_used():
    with (
        LocalCluster(processes=False, protocol="tcp", **HERE) as one,
        LocalCluster(processes=False, protocol="tcp", **HERE) as other,
        one.get_client() as client,
        connected(other.scheduler_address) as used,
    ):
        assert used is not client
        assert used.scheduler.address == other.scheduler_address


def test_a_task_that_ends_its_workers_is_told_in_one_line():
    cluster = LocalCluster(protocol="tcp", **HERE)
    try:
        with pytest.raises(StorageError) as told:
            list(run_tasks(os._exit, [(1,)], cluster.scheduler_address, "Ending", silent))
    finally:
        with suppress(AssertionError):  # dask joins a worker that is just being started again
            cluster.close()
    said = str(told.value)
    assert said.startswith("worker 0 (tcp://127.0.0.1:")
    assert "ended while it worked, as 4 did at the same piece" in said
    assert "\n" not in said
