"""Workers that share nothing but an object store; processes on this machine stand for machines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from satimnet.builder import build
from satimnet.builder.errors import SatimnetError
from satimnet.builder.storage import objects

from .machines import Cluster, can_isolate, running
from .trials import every_form, make_buckets, reached, trial, upload

pytestmark = pytest.mark.slow
SHARD_SIZE = 2**20


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two workers, and an S3 server that this process reaches too."""
    pytest.importorskip("moto.server")
    folder = tmp_path_factory.mktemp("cluster")
    with running(folder, isolated=can_isolate()) as made, reached(made):
        make_buckets()
        yield made


def test_a_build_is_that_of_the_disk_also_when_a_worker_is_killed(tmp_path):
    """Of zips, a ``.tar.gz`` and a prefix of images; nothing but its shard is made again."""
    pytest.importorskip("moto.server")
    if not can_isolate():
        pytest.skip("needs root, to give processes a read-only file system")
    sources = every_form(tmp_path / "sources")
    seen = trial(tmp_path, sources, shard_size=SHARD_SIZE, kill=True, isolated=True)
    assert seen.wrong == []
    assert seen.shards > 10


def test_a_worker_without_credentials_is_named(cluster, sources):
    """The others have some; which of them takes the first shard is not known."""
    place = upload(sources["eurosat"][0].parent, "s3://src/unsigned")
    poor = cluster.add_worker(
        "poor", isolated=False, more={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    )
    try:
        cluster.wait(3)
        with pytest.raises(SatimnetError) as told:
            build([place], "s3://cat/poor", scheduler=cluster.scheduler, shard_size=SHARD_SIZE)
    finally:
        cluster.remove(poor)
    said = str(told.value)
    assert said.startswith("worker poor (tcp://127.0.0.1:")
    assert "no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in said
    assert "\n" not in said
    assert not objects.exists("s3://cat/poor/catalog.json")


def test_a_worker_of_another_version_is_named(cluster, miniature, tmp_path):
    info = tmp_path / "site" / "satimnet-0.0.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: satimnet\nVersion: 0.0.9\n")
    old = cluster.add_worker("old", isolated=False, first_on_path=tmp_path / "site")
    try:
        cluster.wait(3)
        with pytest.raises(SatimnetError) as told:
            build([miniature], tmp_path / "catalog", scheduler=cluster.scheduler)
    finally:
        cluster.remove(old)
    said = str(told.value)
    assert said.startswith("worker old (tcp://127.0.0.1:")
    assert "has satimnet 0.0.9" in said
    assert "install the same version" in said
    assert "\n" not in said
    assert not (tmp_path / "catalog").exists()
