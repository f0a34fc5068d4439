"""Objects in batches: in the form that torchvision's detectors take, cut with their images."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import shapely
import torch
from affine import Affine
from rasterio.features import rasterize
from torch.utils.data import DataLoader

from satimnet.builder.errors import ArgumentError, SatimnetError
from satimnet.builder.query.search import search
from satimnet.builder.storage.assets import read_bytes
from satimnet.builder.transfer.mirror import copy_catalog
from satimnet.training import open_samples

KNOWN = "satimnet:classes IS NOT NULL"
SIZE = (200, 240)


@pytest.fixture
def samples(demo):
    return open_samples(demo / "catalog").search(collections="dota", filter=KNOWN)


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def features_of(demo, collection) -> dict[str, tuple[tuple[int, int], list[dict]]]:
    """By id, rows and columns of the image and its objects."""
    found = {}
    for item in search(demo / "catalog", collections=[collection]):
        if "annotation" in item["assets"]:
            features = json.loads(read_bytes(item["assets"]["annotation"]))["features"]
            found[item["id"]] = item["properties"]["proj:shape"], features
    return found


def cut_by_hand(shape, features, size):
    """Names and shapes of the objects in the middle of an image."""
    top, left = (
        (have - want) // 2 if have >= want else -((want - have) // 2)
        for have, want in zip(shape, size, strict=True)
    )
    window = shapely.box(left, top, left + size[1], top + size[0])
    kept = []
    for feature in features:
        whole = shapely.make_valid(shapely.geometry.shape(feature["geometry"]))
        inside = whole.intersection(window)
        if inside.area >= 0.5 * whole.area:
            areas = [part for part in getattr(inside, "geoms", [inside]) if part.area]
            moved = shapely.affinity.translate(shapely.union_all(areas), -left, -top)
            kept.append((feature["properties"]["class"], moved))
    return kept


@pytest.mark.parametrize(("collection", "size"), [("dota", SIZE), ("airbus-ship", (600, 800))])
def test_targets_are_those_cut_by_hand(demo, collection, size):
    samples = open_samples(demo / "catalog").search(collections=collection, filter=KNOWN)
    by_id, count = features_of(demo, collection), 0
    for batch in samples.to_batches(3, size=size, objects="masks", shuffle=True, labels=None):
        assert len(batch.objects) == len(batch.indices)
        for row, target in zip(batch.indices.tolist(), batch.objects, strict=True):
            wanted = cut_by_hand(*by_id[samples.ids[row]], size)
            assert target["boxes"].dtype == torch.float32
            assert target["labels"].dtype == torch.int64
            assert target["masks"].dtype == torch.uint8
            assert target["masks"].shape == (len(wanted), *size)
            names = [samples.classes[label - 1] for label in target["labels"].tolist()]
            assert names == [name for name, _ in wanted]
            for box, mask, (_, shape) in zip(
                target["boxes"].tolist(), target["masks"].numpy(), wanted, strict=True
            ):
                assert np.abs(np.subtract(box, shape.bounds)).max() < 1e-3
                drawn = rasterize([shape], size, transform=Affine.identity())
                assert (mask != drawn).sum() <= 2  # of edges that go through centres of pixels
                count += 1
    assert count > 10


def test_whole_images_have_whole_objects(demo):
    samples = open_samples(demo / "catalog").search(collections="airbus-ship", filter=KNOWN)
    by_id = features_of(demo, "airbus-ship")
    for batch in samples.to_batches(4, objects="polygons", labels=None):
        for row, target in zip(batch.indices.tolist(), batch.objects, strict=True):
            _, features = by_id[samples.ids[row]]
            assert len(target["polygons"]) == len(features)
            for rings, feature in zip(target["polygons"], features, strict=True):
                shape = shapely.geometry.shape(feature["geometry"])
                parts = getattr(shape, "geoms", [shape])
                count = sum(1 + len(part.interiors) for part in parts)
                assert len(rings) == count
                assert rings[0].tolist() == [list(point) for point in feature_ring(feature)]


def feature_ring(feature) -> list:
    coordinates = feature["geometry"]["coordinates"]
    ring = coordinates[0] if feature["geometry"]["type"] == "Polygon" else coordinates[0][0]
    return ring[:-1]


def test_oriented_boxes_keep_their_corners(demo, samples):
    by_id = features_of(demo, "dota")
    one = samples.subset(np.array([0]))
    (batch,) = one.to_batches(1, objects="oriented", labels=None)
    _, features = by_id[one.ids[0]]
    wanted = [np.array(feature_ring(f), float).ravel().tolist() for f in features]
    assert batch.objects[0]["corners"].tolist() == wanted


def test_every_way_of_reading_gives_the_same(samples):
    options = {"size": SIZE, "objects": "oriented", "shuffle": True, "seed": 3, "labels": None}
    batches = list(samples.to_batches(3, **options))
    others = [
        list(samples.to_batches(3, **options, scheduler="direct", threads=0)),
        list(DataLoader(samples.to_dataset(3, **options), batch_size=None)),
    ]
    for other in others:
        for one, same in zip(batches, other, strict=True):
            assert one.indices.tolist() == same.indices.tolist()
            for target, copy in zip(one.objects, same.objects, strict=True):
                assert target.keys() == copy.keys()
                assert all((target[key] == copy[key]).all() for key in target)


def test_a_catalog_in_a_store_gives_the_same(demo, bucket, samples):
    place = f"{bucket}/objects"
    copy_catalog(demo / "catalog", place, collections=["dota"])
    far = open_samples(place).search(collections="dota", filter=KNOWN)
    options = {"size": SIZE, "objects": "boxes", "labels": None}
    for one, same in zip(
        samples.to_batches(3, **options), far.to_batches(3, **options), strict=True
    ):
        assert (one.images == same.images).all()
        for target, copy in zip(one.objects, same.objects, strict=True):
            assert all((target[key] == copy[key]).all() for key in target)


def test_what_cannot_be_is_refused(demo, samples, tmp_path):
    catalog = open_samples(demo / "catalog")
    with pytest.raises(ArgumentError, match="objects"):
        samples.to_batches(2, size=SIZE, objects="circles")
    with pytest.raises(ArgumentError, match=r"none of the .* has objects"):
        catalog.search(collections="eurosat").to_batches(2, objects="boxes")
    with pytest.raises(ArgumentError, match="have no objects, as nobody"):
        catalog.search(collections="dota").to_batches(2, size=SIZE, objects="boxes", labels=None)
    broken = Path(shutil.copytree(demo / "catalog", tmp_path / "catalog"))
    own = open_samples(broken).search(collections="dota", filter=KNOWN)
    batches = own.to_batches(1, size=SIZE, objects="boxes", labels=None)
    for shard in broken.glob("dota/shards/*.zip"):
        data = shard.read_bytes().replace(b'"features"', b'"featurez"')
        shard.write_bytes(data)
    with pytest.raises(SatimnetError, match="no annotation of satimnet"):
        list(batches)
