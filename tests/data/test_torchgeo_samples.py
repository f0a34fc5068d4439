"""Batches as torchgeo's dictionaries: its keys and types, and places that rasterio says."""

import warnings
from functools import partial

import numpy as np
import pytest
import rasterio
import torch
from rasterio.windows import Window
from torch.utils.data import DataLoader

from satimnet.builder.errors import ArgumentError
from satimnet.builder.query.search import search
from satimnet.builder.storage.assets import gdal_path
from satimnet.training import open_samples, to_torchgeo

KNOWN = "satimnet:classes IS NOT NULL"


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_patches_have_images_labels_and_places(demo):
    samples = open_samples(demo / "catalog").search(collections="eurosat")
    batch = next(samples.to_batches(4, shuffle=True))
    made = to_torchgeo(batch, samples)
    assert made.keys() == {"image", "label", "bounds", "transform"}
    assert (made["image"] == batch.images).all()
    assert made["label"].dtype == torch.int64
    items = {item["id"]: item for item in search(demo / "catalog", collections=["eurosat"])}
    for row, index in enumerate(batch.indices.tolist()):
        item = items[samples.ids[index]]
        with rasterio.open(gdal_path(item["assets"]["multispectral"])) as file:
            require_place(made, row, file.transform, file.shape)
        first, last = (item["properties"][f"{end}_datetime"] for end in ("start", "end"))
        wanted = [
            np.datetime64(at.rstrip("Z")).astype("M8[ms]").astype(float) / 1e3
            for at in (first, last)
        ]
        assert made["bounds"][row, 6:].tolist() == pytest.approx([*wanted, 1])


def require_place(made, row, transform, shape):
    a, _, _, _, e, _ = transform[:6]
    left, bottom, right, top = rasterio.transform.array_bounds(*shape, transform)
    assert made["bounds"][row, :6].tolist() == pytest.approx([left, right, a, bottom, top, -e])
    assert made["transform"][row].tolist() == pytest.approx(list(transform))
    assert made["bounds"].dtype == torch.float64


@pytest.mark.parametrize("how", [{"window": 96, "snap": False}, {"size": (300, 500)}])
def test_windows_and_middles_have_their_own_places(demo, how):
    samples = open_samples(demo / "catalog").search(collections="inria", split="train")
    batch = next(samples.to_batches(3, mask="mask", labels=None, shuffle=True, **how))
    made = to_torchgeo(batch, samples)
    assert made.keys() == {"image", "mask", "bounds", "transform"}
    assert made["mask"].dtype == torch.int64
    items = {item["id"]: item for item in search(demo / "catalog", collections=["inria"])}
    for row, index in enumerate(batch.indices.tolist()):
        with rasterio.open(gdal_path(items[samples.ids[index]]["assets"]["image"])) as file:
            if "window" in how:
                window = Window(*batch.windows[row].tolist())
            else:  # 400 x 400 pixels: rows are cropped, columns are padded
                window = Window(-50, 50, 500, 300)
            transform = rasterio.windows.transform(window, file.transform)
            require_place(made, row, transform, (window.height, window.width))
            pixels = file.read(window=window, boundless=True, fill_value=0)
        assert (made["image"][row].numpy() == pixels).all()


def test_bands_of_another_size_have_the_places_of_their_own_images(demo):
    samples = open_samples(demo / "catalog").search(collections="bigearthnet", filter=KNOWN)
    batch = next(samples.to_batches(2, bands=["B05", "B06"]))
    made = to_torchgeo(batch, samples, bands=["B05", "B06"])
    assert made["label"].shape == (2, len(samples.classes))
    assert made["label"].dtype == torch.int64
    assert made["bounds"][0, 2] == 20
    with pytest.raises(ArgumentError, match="bands of one size"):
        to_torchgeo(next(samples.to_batches(2, bands=["B04", "B05"])), samples)


def test_objects_are_lists_and_have_no_place_where_the_catalog_knows_none(demo):
    samples = open_samples(demo / "catalog").search(collections="dota", filter=KNOWN)
    how = {"size": (256, 256), "objects": "masks"}
    batch = next(samples.to_batches(3, labels=None, **how))
    made = to_torchgeo(batch, samples)
    assert made.keys() == {"image", "bbox_xyxy", "label", "mask"}
    for row, target in enumerate(batch.objects):
        assert (made["bbox_xyxy"][row] == target["boxes"]).all()
        assert (made["label"][row] == target["labels"]).all()
        assert made["mask"][row].shape == (len(target["labels"]), 256, 256)
    with pytest.raises(ArgumentError, match="one key, label, for objects and for whole samples"):
        to_torchgeo(next(samples.to_batches(3, **how)), samples)


def test_a_loader_gives_them(demo):
    samples = open_samples(demo / "catalog").search(collections="eurosat")
    made = partial(to_torchgeo, samples=samples)
    loader = DataLoader(samples.to_dataset(50), None, collate_fn=made, num_workers=1)
    assert sum(len(batch["label"]) for batch in loader) == len(samples)
