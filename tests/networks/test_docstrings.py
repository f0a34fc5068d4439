"""The examples in the docstrings of networks, fusion and maps, run on a small catalog."""

import doctest
import importlib

import numpy as np
import pytest
import rasterio
from mini_masks import BANDS, make_patches, write_masked_catalog
from rasterio.transform import from_origin

from satimnet.training import fuse

MODULES = [
    *(f"networks.{name}" for name in ("checkpoints", "crossvalidation", "evaluation", "models")),
    *("networks.grids", "networks.scores", "networks.tuning"),
    *("networks.held_out", "networks.reports", "networks.training", "maps.mapping"),
    "maps.map_figures",
    "fusion.recipes",
]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Has what the examples name: ``catalog``, ``scene.tif`` and the folder ``run``."""
    folder = tmp_path_factory.mktemp("examples")
    write_masked_catalog(folder / "catalog", make_patches(8))
    (folder / "run").mkdir()
    place = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_000_000, 10, 10)}
    shape = {"width": 70, "height": 80, "count": len(BANDS), "dtype": "uint16"}
    with rasterio.open(folder / "scene.tif", "w", "GTiff", **shape, **place) as image:
        image.write(np.random.default_rng(0).integers(1, 5000, (len(BANDS), 80, 70), np.uint16))
        for number, name in enumerate(BANDS, 1):
            image.set_band_description(number, name)
    return folder


@pytest.mark.slow
def test_the_example_of_fuse_on_the_demo(demo, tmp_path, monkeypatch):
    (tmp_path / "demo").symlink_to(demo)
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(importlib.import_module(fuse.__module__))
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_examples_do_what_they_say(folder, monkeypatch, name):
    monkeypatch.chdir(folder)
    module = importlib.import_module(f"satimnet.training.{name}")
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0
