"""Shard tasks: what a worker refuses, and what it makes when shards are there."""

import json
from dataclasses import replace
from pathlib import Path

from satimnet.builder.packing.shard_plans import plan
from satimnet.builder.samples import Member, Sample
from satimnet.builder.shard_task import PagesTask, ShardTask, make, make_shard, this_version
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


def test_pages_are_made_of_shards_that_are_there(miniature, tmp_path):
    found = dataset.scan(Source((miniature,)))
    samples = [one for one in found if isinstance(one, Sample) and one.level == ("Forest",)]
    plans = plan(samples, 2**17)
    assert len(plans) > 1
    shards, rows = tmp_path / "shards", tmp_path / "rows"
    for folder in (shards, rows):
        folder.mkdir()
    pages = PagesTask(tuple(plans), rows, tmp_path / "tree" / "Forest")
    for one in plans:
        assert not pages.is_ready
        where = (str(shards), str(rows), None, "pages")
        assert make(ShardTask(one, dataset.record, None, *where, 2**32)) == []
    assert pages.is_ready
    assert make(pages) == []
    (page,) = map(json.loads, (path.read_text() for path in pages.folder.iterdir()))
    assert [item["id"] for item in page["features"]] == [sample.id for sample in samples]


def test_a_node_without_items_has_no_pages(tmp_path):
    (empty,) = plan([Sample("a", ("x",), (Member("rgb", "a.jpg", b"no JPEG"),))])
    shards, rows = tmp_path / "shards", tmp_path / "rows"
    for folder in (shards, rows):
        folder.mkdir()
    where = (str(shards), str(rows), None, "pages")
    (problem,) = make(ShardTask(empty, dataset.record, None, *where, 2**32))
    assert problem.path == "a.jpg"
    pages = PagesTask((empty,), rows, tmp_path / "tree" / "x")
    assert pages.is_ready
    assert make(pages) == []
    assert not pages.folder.exists()
