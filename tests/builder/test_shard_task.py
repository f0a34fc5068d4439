"""Shard tasks: what a worker refuses."""

from dataclasses import replace
from pathlib import Path

from satimnet.builder.packing.shard_plans import plan
from satimnet.builder.samples import Sample
from satimnet.builder.shard_task import ShardTask, make_shard, this_version
from satimnet.builder.sources import Source
from stactools.eurosat import dataset


def test_a_worker_of_another_version_makes_nothing(miniature, tmp_path):
    found = dataset.scan(Source((miniature,)))
    samples = [one for one in found if isinstance(one, Sample)]
    shards, rows = tmp_path / "shards", tmp_path / "rows"
    for folder in (shards, rows):
        folder.mkdir()
    where = (str(shards), str(rows), None, "none")
    task = ShardTask(plan(samples)[0], dataset.record, None, *where, 2**32)
    said = make_shard(replace(task, made_by="0.1.0"))
    assert said == (
        f"satimnet {this_version()} is installed there, and 0.1.0 began the build; "
        "install the same version for both"
    )
    assert not list(shards.iterdir())
    assert make_shard(task) == []
    assert len(list(shards.iterdir())) == 1
    assert Path(task.rows_file).exists()
