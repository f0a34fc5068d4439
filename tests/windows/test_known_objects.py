"""Boxes that are made without outlines, and objects that are kept once they were parsed."""

import os
import shutil
import warnings

import numpy as np
import pytest
import torch

from satimnet.builder.chipping.chip_grid import Window
from satimnet.builder.chipping.clipping import Clipper
from satimnet.builder.errors import SatimnetError
from satimnet.builder.imagery.object_shapes import box_of
from satimnet.builder.samples import Object
from satimnet.training import open_samples

KNOWN = "satimnet:classes IS NOT NULL"


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def drawn(generator, count):
    """Rectangles along the axes from each corner and both ways round, turned ones, lines, a point,
    and objects of several parts."""
    objects = []
    for number in range(count):
        x, y = generator.integers(-10, 90, 2) / generator.choice([1.0, 3.0])
        w, h = generator.integers(1, 40, 2).astype(float)
        ring = [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
        kind = number % 6
        if kind < 3:
            ring = ring[number % 4 :] + ring[: number % 4]
            outline = tuple(ring[::-1] if kind == 1 else ring)
        elif kind == 3:
            outline = ((x + w / 2, y), (x + w, y + h / 2), (x + w / 2, y + h), (x, y + h / 2))
        elif kind == 4:
            outline = ((x, y), (x + w, y), (x + w, y), (x, y)) if number % 2 else ((x, y),) * 4
        else:
            hole = ((x + 0.2, y + 0.2), (x + 0.4, y + 0.2), (x + 0.4, y + 0.4))
            objects.append(Object(f"c{kind}", polygons=((tuple(ring), hole), ((*ring[:3],),))))
            continue
        objects.append(Object(f"c{kind}", outline))
    return objects


@pytest.mark.parametrize("share", [0.001, 0.5, 1.0])
def test_boxes_are_those_of_the_outlines_that_are_cut(share):
    generator, kept = np.random.default_rng(1), 0
    clipper = Clipper(drawn(generator, 120))
    for _ in range(60):
        left, top = generator.integers(-20, 90, 2).tolist()
        window = Window(left, top, *generator.integers(5, 60, 2).tolist())
        wanted = clipper.inside(window, share)
        names, boxes = clipper.boxes_inside(window, share)
        assert names == [item.name for item in wanted]
        assert boxes.shape == (len(wanted), 4)
        expected = np.array([box_of(item) for item in wanted], float).reshape(-1, 4)
        np.testing.assert_allclose(boxes, expected, rtol=0, atol=1e-9)
        kept += len(wanted)
    assert kept > 100


@pytest.mark.parametrize("options", [{}, {"size": (150, 170)}, {"window": 96, "snap": False}])
def test_boxes_alone_are_those_beside_polygons(demo, options):
    samples = open_samples(demo / "catalog").search(collections="airbus-ship", filter=KNOWN)
    own = {"labels": None, "shuffle": True, **options}
    for _ in range(2):  # parsed, then known
        pairs = zip(
            samples.to_batches(3, objects="boxes", **own),
            samples.to_batches(3, objects="polygons", **own),
            strict=True,
        )
        for one, other in pairs:
            for boxes, polygons in zip(one.objects, other.objects, strict=True):
                assert torch.equal(boxes["boxes"], polygons["boxes"])
                assert torch.equal(boxes["labels"], polygons["labels"])


def test_a_batch_is_its_callers_own(demo):
    samples = open_samples(demo / "catalog").search(collections="airbus-ship", filter=KNOWN)
    options = {"objects": "boxes", "labels": None}
    first = [batch.objects for batch in samples.to_batches(4, **options)]
    before = [target["boxes"].clone() for targets in first for target in targets]
    for targets in first:
        for target in targets:
            target["boxes"].zero_()
    again = [batch.objects for batch in samples.to_batches(4, **options)]
    after = [target["boxes"] for targets in again for target in targets]
    assert all(map(torch.equal, before, after))
    assert any(len(boxes) for boxes in after)


def test_a_shard_that_was_changed_is_parsed_again(demo, tmp_path):
    shutil.copytree(demo / "catalog", tmp_path / "catalog")
    samples = open_samples(tmp_path / "catalog").search(collections="airbus-ship", filter=KNOWN)
    options = {"objects": "boxes", "labels": None}
    assert list(samples.to_batches(4, **options))
    for shard in (tmp_path / "catalog/airbus-ship/shards").glob("*.zip"):
        stat = os.stat(shard)
        shard.write_bytes(shard.read_bytes().replace(b'"features"', b'"featurez"'))
        os.utime(shard, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(SatimnetError, match="no annotation of satimnet"):
        list(samples.to_batches(4, **options))
