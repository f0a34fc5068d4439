"""What lies far away is read by many requests at a time, and by workers without a common disk."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from faulty_host import Host, hosting
from places import files_of, upload

from satimnet.builder import validate
from satimnet.builder.errors import BadCatalogError, NotFoundError, StorageError
from satimnet.builder.quality.assessment import _tasks, assess
from satimnet.builder.quality.measuring import measure
from satimnet.builder.query.index import Index
from satimnet.builder.storage.digests import sha256_of
from satimnet.training import load
from satimnet.training.networks import checkpoints
from satimnet.training.networks.outputs import Class, Output

LATENCY = 0.02


class Crowded:
    """How many requests a host had at a time, which it answers after a while."""

    def __init__(self, host: Host, monkeypatch) -> None:
        self.most = self._now = 0
        lock, answer = threading.Lock(), host.RequestHandlerClass._answer

        def slowly(handler) -> None:
            with lock:
                self._now += 1
                self.most = max(self.most, self._now)
            time.sleep(LATENCY)
            with lock:
                self._now -= 1
            answer(handler)

        monkeypatch.setattr(host.RequestHandlerClass, "_answer", slowly)


@pytest.fixture
def far(catalog, monkeypatch):
    """The miniature behind some latency, its URL, and what is known of the requests."""
    with hosting(files_of(catalog)) as host:
        yield f"{host.url}/catalog.json", host, Crowded(host, monkeypatch)


def of_shards(host: Host) -> Counter[str]:
    return Counter(path for _, path, _ in host.requests if path.endswith(".zip"))


def test_validation_has_many_requests_on_the_way(far, schemas):
    url, host, crowded = far
    findings = validate(url, schemas=schemas, checksums=True)
    assert (findings.problems, findings.members) == ([], 80)
    assert crowded.most >= 10
    # its size, its directory, and its members: no request for each of the eight members
    assert set(of_shards(host).values()) <= set(range(6))
    files = Counter(path for _, path, _ in host.requests if path.endswith(".json"))
    assert max(files.values()) <= 3  # the start is looked for before it is read


def test_quality_reads_members_together(far, tmp_path):
    url, host, _ = far
    assess(url, tmp_path / "report", scheduler="threads")
    pictured = sum(of_shards(host).values()) - 10 * 2
    assert pictured <= 60  # of findings; of the 80 members all of a shard come at once


def test_workers_of_a_cluster_share_no_disk(bucket, catalog, tmp_path):
    distributed = pytest.importorskip("distributed")
    upload(catalog, f"{bucket}/cluster")
    here = tmp_path / "here"
    assess(f"{bucket}/cluster", here, scheduler="threads")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True
    ) as cluster:
        there = tmp_path / "there"
        assess(f"{bucket}/cluster", there, scheduler=cluster.scheduler_address)
    for path in here.iterdir():
        assert (there / path.name).read_bytes() == path.read_bytes(), path.name


def test_what_a_worker_does_needs_no_folder(bucket, catalog):
    upload(catalog, f"{bucket}/task")
    task = _tasks(Index(f"{bucket}/task"), Path("/nowhere"), ["eurosat"])[0]
    measured = measure(task)
    assert (len(measured.rows), measured.copies.shape) == (40, (40, 64, 64))
    assert not task.part.parent.exists()


def test_a_catalog_that_is_replaced_while_it_is_assessed_is_told(bucket, catalog, tmp_path):
    root = f"{bucket}/replaced"
    upload(catalog, root)

    def replace(what: str, done: int, total: int | None, unit: str) -> None:
        if what == "Comparing images" and done == 0:
            from satimnet.builder.storage import objects

            place = Index(root).collections["eurosat"].parquet
            objects.write(place, objects.read(place) + b"PAR1")

    with pytest.raises(BadCatalogError, match="was changed while it was read"):
        assess(root, tmp_path / "report", scheduler="threads", progress=replace)
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("size", [0, 1, 2**23, 2**23 + 1, 10 * 2**23])
def test_digests_of_large_files(size, tmp_path):
    import hashlib

    data = b"\x01" + bytes(size)
    (tmp_path / "a").write_bytes(data)
    with hosting({"/a": data}) as host:
        for place in (str(tmp_path / "a"), f"{host.url}/a"):
            assert sha256_of(place) == (hashlib.sha256(data).hexdigest(), size + 1)
            assert sha256_of(place, 1, size) == (hashlib.sha256(data[1:]).hexdigest(), size)


# --- networks -------------------------------------------------------------------------------------


@pytest.fixture
def network(tmp_path) -> Path:
    outputs = (Output("class", (Class(1, "a"), Class(2, "b"))),)
    model = checkpoints.build("cnn-class", 1, outputs, 2)
    made = checkpoints.Checkpoint(model, "cnn-class", 2, ("B02",), outputs, (0.0,), (1.0,))
    made.save(tmp_path / "checkpoint.pt")
    return tmp_path / "checkpoint.pt"


def test_a_network_from_the_web_is_bounded_and_runs_no_code(network, tmp_path, monkeypatch):
    class Code:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    torch.save({"format": "satimnet checkpoint 1", "state": Code()}, tmp_path / "code.pt")
    names = ("checkpoint.pt", "code.pt")
    with hosting({f"/{name}": (tmp_path / name).read_bytes() for name in names}) as host:
        assert load(f"{host.url}/checkpoint.pt").digest() == load(network).digest()
        with pytest.raises(BadCatalogError, match="not a checkpoint of satimnet"):
            load(f"{host.url}/code.pt")
        with pytest.raises(NotFoundError, match="nothing is there"):
            load(f"{host.url}/none.pt")
        monkeypatch.setattr(checkpoints, "LARGEST", 1000)
        with pytest.raises(StorageError, match="more than 1000 bytes"):
            load(f"{host.url}/checkpoint.pt")
        assert load(network).kind == "cnn-class"
    assert not (tmp_path / "ran").exists()
