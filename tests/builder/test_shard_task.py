"""Shard tasks: what a worker refuses."""

from dataclasses import replace

from satimnet.builder.packing.shard_plans import plan
from satimnet.builder.samples import Sample
from satimnet.builder.shard_task import ShardTask, make_shard, this_version
from satimnet.builder.sources import Source
from stactools.eurosat import dataset


def test_a_worker_of_another_version_makes_nothing(miniature, tmp_path):
    found = dataset.scan(Source((miniature,)))
    samples = [one for one in found if isinstance(one, Sample)]
    for name in ("rows", "made/shards", "made"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    task = ShardTask(
        plan(samples)[0], dataset.record, None, tmp_path / "made", tmp_path / "rows", "none", 2**32
    )
    said = make_shard(replace(task, made_by="0.1.0"))
    assert said == (
        f"a worker has satimnet {this_version()}, and the build 0.1.0; "
        "install the same version for both"
    )
    assert not task.shard.exists()
    assert make_shard(task) == []
    assert task.shard.exists()
    assert task.rows_file.exists()
