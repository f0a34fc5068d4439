"""Workers that share nothing but an object store; processes on this machine stand for machines."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from mini_scene import OUTPUTS, SENSED, texture, trained, write_scene

from satimnet.builder import build
from satimnet.builder.errors import SatimnetError
from satimnet.builder.quality import assess
from satimnet.builder.storage import objects
from satimnet.training import map_scene, read_recipe
from satimnet.training.fusion.fusing import fuse

from .machines import Cluster, can_isolate, running
from .trials import digests, every_form, make_buckets, reached, trial, upload

pytestmark = pytest.mark.slow
SHARD_SIZE = 2**20
EXAMPLE = Path(__file__).parents[2] / "examples" / "cluster"


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
    place = upload(home(sources["eurosat"]), "s3://src/unsigned")
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


# --- what reads a catalog in a store --------------------------------------------------------------


@pytest.fixture(scope="module")
def catalogs(cluster, sources, tmp_path_factory):
    """The same catalog on the disk and in the store."""
    here = tmp_path_factory.mktemp("here") / "catalog"
    both = [home(sources[name]) for name in ("eurosat", "bigearthnet")]
    places = [upload(folder, f"s3://src/both/{folder.name}") for folder in both]
    there = "s3://cat/both"
    how = {"shard_size": SHARD_SIZE, "overview": False, "scheduler": cluster.scheduler}
    build(both, here, shard_size=SHARD_SIZE, overview=False)
    build(places, there, **how)
    assert shards(there) == shards(str(here))
    return here, there


def home(paths):
    """The folder of a miniature, in which the paths of its sources lie."""
    return next(one for one in (paths[0], *paths[0].parents) if one.parent.name == "all")


def shards(place):
    found = {path: digest for path, digest in digests(place).items() if path.endswith(".zip")}
    assert found
    return found


def test_quality_of_a_catalog_in_the_store(cluster, catalogs, tmp_path):
    here, there = catalogs
    calm = assess(here, tmp_path / "calm")
    found = assess(there, tmp_path / "found", scheduler=cluster.scheduler)
    assert found.findings == calm.findings
    for name in ("findings.ndjson", "items.parquet"):
        assert (tmp_path / "found" / name).read_bytes() == (tmp_path / "calm" / name).read_bytes()


def test_fusing_from_the_store_into_the_store(cluster, catalogs, tmp_path):
    here, there = catalogs
    recipe = read_recipe("demo")
    fuse(recipe, here, tmp_path / "fused", available=True)
    fuse(recipe, there, "s3://cat/fused", available=True, scheduler=cluster.scheduler)
    assert shards("s3://cat/fused") == shards(str(tmp_path / "fused"))


def test_fusing_from_the_store_onto_a_disk_here(catalogs, tmp_path):
    here, there = catalogs
    recipe = read_recipe("demo")
    fuse(recipe, here, tmp_path / "calm", available=True)
    fuse(recipe, there, tmp_path / "fused", available=True)
    assert shards(str(tmp_path / "fused")) == shards(str(tmp_path / "calm"))


def test_a_map_of_a_scene_in_the_store(cluster, tmp_path):
    scene = tmp_path / "T32TQM.tif"
    write_scene(scene, texture(531, 205))
    checkpoint = tmp_path / "segm.pt"
    trained("cnn-segm", OUTPUTS["cnn-segm"]).save(checkpoint)
    objects.write("s3://src/scenes/T32TQM.tif", scene)
    calm = map_scene(str(scene), checkpoint, tmp_path / "calm", sensed=SENSED, picture=False)
    place = "s3://src/scenes/T32TQM.tif"
    how = {"sensed": SENSED, "scheduler": cluster.scheduler, "picture": False}
    found = map_scene(place, checkpoint, tmp_path / "found", **how)
    assert found.images[0].read_bytes() == calm.images[0].read_bytes()
    assert place in found.item.read_text()


def test_a_map_whose_scene_workers_do_not_see(cluster, tmp_path):
    checkpoint = tmp_path / "segm.pt"
    trained("cnn-segm", OUTPUTS["cnn-segm"]).save(checkpoint)
    place = "s3://src/gone/T32TQM.tif"
    objects.write(place, write_scene(tmp_path / "T32TQM.tif", texture(531, 205)))
    how = {"scheduler": cluster.scheduler, "picture": False}
    how |= {"progress": lambda *_: objects.delete(place)}
    with pytest.raises(SatimnetError) as told:
        map_scene(place, checkpoint, tmp_path / "maps", **how)
    said = str(told.value)
    assert said.startswith("worker worker-")
    assert place in said
    assert "\n" not in said
    assert not list((tmp_path / "maps").glob("*.tif"))


# --- what users are shown -------------------------------------------------------------------------


def test_the_example_builds_a_catalog_in_a_store():
    pytest.importorskip("moto.server")
    command = [sys.executable, str(EXAMPLE / "try_it.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "eurosat: 40 items with 80 files" in done.stdout
    assert "2 items" in done.stdout


def test_the_compose_file_has_the_commands_of_the_example():
    services = yaml.safe_load((EXAMPLE / "compose.yml").read_text())["services"]
    script = runpy.run_path(str(EXAMPLE / "try_it.py"))
    assert services["worker-1"] == services["worker-2"]
    worker = services["worker-1"]
    assert worker["command"].split()[3:] == [
        *("worker", "tcp://scheduler:8786", *script["WORKER"], "--local-directory", "/scratch"),
    ]
    for service in (worker, services["client"]):
        assert script["ENVIRONMENT"].items() <= service["environment"].items()
    assert services["s3"]["command"].startswith("python -m moto.server -H ")
    assert services["scheduler"]["command"].startswith("python -m dask scheduler --port ")
