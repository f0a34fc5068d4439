"""Boxes that are made without outlines, and objects that are kept once they were parsed."""

import os
import shutil
import warnings
from dataclasses import fields

import numpy as np
import pytest
import torch

from satimnet.builder.chipping.chip_grid import Window
from satimnet.builder.chipping.clipping import Clipper, boxes_inside, corners_inside
from satimnet.builder.chipping.outlines import Outlines
from satimnet.builder.errors import SatimnetError
from satimnet.builder.imagery.annotations import annotation, objects_in
from satimnet.builder.imagery.headers import Header
from satimnet.builder.imagery.object_shapes import box_of, corners_of
from satimnet.builder.samples import Object
from satimnet.training import open_samples
from satimnet.training.data.known_objects import outlines_in

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
        x, y = (generator.integers(-10, 90, 2) / generator.choice([1.0, 3.0])).tolist()
        w, h = generator.integers(1, 40, 2).astype(float).tolist()
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
    """Bit for bit, of several images at once."""
    generator, kept = np.random.default_rng(1), 0
    images = [drawn(generator, 120), drawn(generator, 7), []]
    clippers, outlines = list(map(Clipper, images)), list(map(Outlines.of, images))
    chosen = generator.integers(0, 3, 90).tolist()
    corner, size = generator.integers(-20, 90, (90, 2)), generator.integers(5, 60, (90, 2))
    windows = np.concatenate([corner, size], axis=1)
    some = [outlines[k] for k in chosen]
    found = boxes_inside(some, windows, share)
    corners = corners_inside(some, windows, share, found)
    at = 0
    for k, window, count in zip(chosen, windows.tolist(), found.counts.tolist(), strict=True):
        wanted = clippers[k].inside(Window(*window), share)
        own = slice(at, at + count)
        names = [outlines[k].names[code] for code in outlines[k].codes[found.rows[own]]]
        assert names == [item.name for item in wanted]
        assert found.boxes[own].tolist() == [list(box_of(item)) for item in wanted]
        assert corners[own].tolist() == [list(map(list, corners_of(item))) for item in wanted]
        at, kept = at + count, kept + count
    assert at == len(found.boxes)
    assert kept > 100


def test_outlines_are_the_objects_that_they_are_made_of():
    objects = drawn(np.random.default_rng(2), 60)
    outlines = Outlines.of(objects)
    for row, item in enumerate(objects):
        assert outlines.at(row) == item
        assert outlines.bounds[row].tolist() == list(box_of(item))
    assert outlines.upright.tolist() == [k % 6 < 3 for k in range(60)]
    data = annotation(objects, Header((200, 200), 3, "|u1"))
    parsed = outlines_in(data)
    made = Outlines.of(objects_in(data, "a"))
    for one in fields(Outlines):
        assert np.array_equal(getattr(parsed, one.name), getattr(made, one.name))


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"class":"c0"', b'"class":0'), (b"Polygon", b"Point"), (b"[[[", b"[[[true,1],[")],
)
def test_files_that_are_not_as_they_should_be_are_left_to_whoever_says_why(old, new):
    data = annotation([Object("c0", ((1, 2), (3, 4), (3, 2)))], Header((9, 9), 3, "|u1"))
    assert outlines_in(data) is not None
    assert old in data
    assert outlines_in(data.replace(old, new)) is None


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
