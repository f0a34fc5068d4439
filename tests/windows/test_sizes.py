"""Batches and arrays of one size, of images whose sizes differ."""

import warnings

import numpy as np
import pytest
import rasterio

from satimnet.builder.errors import ArgumentError
from satimnet.builder.query.search import search
from satimnet.builder.storage.assets import gdal_path
from satimnet.training import open_samples
from satimnet.training.data.image_sizes import SizeWarning

COLLECTIONS = ["airbus-ship", "clouds-s2-taiwan", "dota", "eurosat", "inria", "uc-merced", "xview"]


def by_hand(scene: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The middle (band, y, x), with zeros around it."""
    out = scene
    for axis, want in enumerate(size, 1):
        have = out.shape[axis]
        if have > want:
            first = (have - want) // 2
            out = np.take(out, range(first, first + want), axis)
        elif have < want:
            before = (want - have) // 2
            widths = [(0, 0)] * 3
            widths[axis] = (before, want - have - before)
            out = np.pad(out, widths)
    return out


def scenes_of(demo, collection, key):
    found = {}
    for item in search(demo / "catalog", collections=[collection]):
        if key not in item["assets"]:
            continue
        with rasterio.open(gdal_path(item["assets"][key])) as file:
            found[item["id"]] = file.read()
    return found


@pytest.mark.parametrize("size", [(256, 256), (300, 120)])
@pytest.mark.parametrize(("collection", "mask"), [("uc-merced", None), ("dota", None)])
def test_images_are_cropped_or_padded_in_the_middle(demo, collection, mask, size):
    samples = open_samples(demo / "catalog").search(collections=collection)
    scenes = scenes_of(demo, collection, "image")
    with pytest.warns(SizeWarning) as said:
        batches = list(samples.to_batches(7, size=size, labels=None))
    fit = samples.count_fit(*size)
    shapes = [scene.shape[1:] for scene in scenes.values()]
    assert fit.same == sum(shape == size for shape in shapes)
    assert fit.cropped == sum(shape[0] > size[0] or shape[1] > size[1] for shape in shapes)
    assert fit.padded == sum(shape[0] < size[0] or shape[1] < size[1] for shape in shapes)
    assert f"{fit.cropped} are cropped" in str(said[0].message)
    grey = 0
    for batch in batches:
        for row, image in zip(batch.indices.tolist(), batch.images.numpy(), strict=True):
            scene = scenes[samples.ids[row]]
            grey += len(scene) == 1
            wanted = by_hand(scene if len(scene) == 3 else np.repeat(scene, 3, 0), size)
            assert (image == wanted).all()
    assert (grey > 0) == (collection == "dota")


def test_masks_are_cropped_with_their_images(demo):
    catalog = open_samples(demo / "catalog")
    samples = catalog.search(collections="dota", split="train")
    masks = scenes_of(demo, "dota", "mask")
    with pytest.warns(SizeWarning):
        (batch,) = samples.to_batches(8, size=(250, 310), mask="mask", labels=None)
    for id_, mask in zip(samples.ids, batch.masks.numpy(), strict=True):
        assert (mask == by_hand(masks[id_], (250, 310))[0]).all()


def test_nothing_is_said_or_decoded_where_all_have_the_size(demo):
    samples = open_samples(demo / "catalog").search(collections="eurosat", bands=["B02", "B03"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (sized,) = samples.to_batches(len(samples), size=(64, 64), bands=["B02", "B03"])
        (plain,) = samples.to_batches(len(samples), bands=["B02", "B03"])
    assert (sized.images == plain.images).all()


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_to_xarray_reads_every_collection(demo, collection):
    samples = open_samples(demo / "catalog").search(collections=collection)
    array = samples.to_xarray(size=(64, 64))
    assert array.shape[2:] == (64, 64)
    assert len(array.compute()) == len(samples)
    names = array.coords["class" if "class" in array.coords else "classes"].values.tolist()
    own = {row["id"]: row["satimnet:classes"] for row in samples.table.to_pylist()}
    for id_, text in zip(array.coords["id"].values.tolist(), names, strict=True):
        assert text == ", ".join(sorted(own[id_] or (), key=samples.classes.index))


@pytest.mark.parametrize("size", [(0, 64), (-3, 8)])
def test_a_size_without_pixels_is_refused(demo, size):
    samples = open_samples(demo / "catalog").search(collections="dota")
    with pytest.raises(ArgumentError, match="at least 1 x 1"):
        samples.to_batches(2, size=size)
    with pytest.raises(ArgumentError, match="at least 1 x 1"):
        samples.to_xarray(size=size)
