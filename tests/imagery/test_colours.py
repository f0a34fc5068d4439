"""Colours of pictures: as one would see the land, and classes that can be told apart."""

import numpy as np
import pytest
import rasterio
from mini_masks import MASK, make_patches, write_masked_catalog

from satimnet.builder.imagery.colours import (
    class_colours,
    natural,
    plain,
    true_colour_names,
    unlike,
)

# Middle values of red, green and blue in Sentinel-2 Level-1C, in which the air is blue
LAND = {
    "forest": (388, 657, 820),
    "hazy forest": (456, 722, 970),
    "field": (1128, 1141, 1155),
    "grass": (577, 921, 906),
    "water": (249, 470, 770),
}


def patch(name, seed=0):
    generator = np.random.default_rng(seed)
    values = np.array(LAND[name], float)[:, None, None]
    texture = generator.normal(1, 0.15, (1, 40, 40))  # all bands alike, and more of it in the light
    return (values + (values - np.array([230, 440, 700])[:, None, None]) * (texture - 1)).clip(0)


def middle(picture):
    return np.median(picture, axis=(0, 1))


@pytest.mark.parametrize("names", [list(LAND), ["forest"], ["forest", "hazy forest"]])
def test_forest_is_dark_green(names):
    pictures = dict(zip(names, natural([patch(name) for name in names]), strict=True))
    red, green, blue = middle(pictures["forest"])
    assert green > red
    assert green > blue
    assert green < 110


def test_fields_are_bright_and_water_is_dark():
    pictures = dict(zip(LAND, natural([patch(name) for name in LAND]), strict=True))
    assert middle(pictures["field"]).min() > 2 * middle(pictures["water"]).max()
    red, green, blue = middle(pictures["grass"])
    assert green > max(red, blue)


def test_snow_does_not_darken_all_others():
    images = [patch("field", seed) for seed in range(12)]
    before = middle(natural(images)[0])
    images[-1] = np.full((3, 40, 40), 20_000.0)
    after = natural(images)
    assert middle(after[0]).mean() > before.mean() / 2
    assert (after[-1] == 255).all()


def test_a_real_forest_is_dark_green(real):
    folder = real / "ds/images/remote_sensing/otherDatasets/sentinel_2/tif"
    files = {name: sorted((folder / name).glob("*.tif"))[:6] for name in ("Forest", "AnnualCrop")}
    images = {}
    for name, paths in files.items():
        for path in paths:
            with rasterio.open(path) as image:
                images[path.stem, name] = image.read([4, 3, 2])
    pictures = dict(zip(images, natural(list(images.values())), strict=True))
    for (_, name), picture in pictures.items():
        red, green, blue = picture.mean(axis=(0, 1))
        if name == "Forest":
            assert green == max(red, green, blue) < 100
        else:
            assert max(red, green) >= blue


def test_a_single_band_is_stretched_and_what_nobody_saw_counts_for_nothing():
    values = np.arange(100.0).reshape(1, 10, 10)
    seen = np.ones((10, 10), bool)
    seen[0] = False
    values[0, 0] = np.nan
    (picture,) = natural([values])
    assert picture.shape == (10, 10, 3)
    assert picture[-1, -1].tolist() == [255] * 3
    assert (natural([np.nan_to_num(values, nan=1e6)], [seen])[0][seen] == picture[seen]).all()
    (nothing,) = natural([np.full((3, 4, 4), np.nan)])
    assert (nothing == 0).all()
    grey = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)
    assert (plain(grey) == grey.transpose(1, 2, 0)).all()


def test_bands_that_can_be_seen_are_known_by_name():
    assert true_colour_names(["B02", "B03", "B04", "B08"]) == ["B04", "B03", "B02"]
    assert true_colour_names(["blue", "red", "green", "B04"]) == ["red", "green", "blue"]
    assert true_colour_names(["B02", "B03", "B08"]) == []


@pytest.mark.parametrize("hints", [["C8C8C8"], ["000000", "FFFFFF"], ["FF00FF", None, "00FFFF"]])
def test_what_is_no_class_looks_like_none(hints):
    colours = class_colours(hints)
    assert len(set(colours)) == len(hints)
    assert all(np.abs(np.subtract(unlike(colours), colour)).sum() > 150 for colour in colours)


def test_other_and_unobserved_differ_and_titles_are_those_of_the_table(tmp_path):
    pytest.importorskip("torch", reason="needs the extra training")
    from satimnet.training import find_mask, open_samples
    from satimnet.training.networks.plots import _Column, _legend

    titled = [row | {"title": row["name"].replace("-", " ").title()} for row in MASK]
    catalog = write_masked_catalog(tmp_path, make_patches(2), titled)
    mask = find_mask(open_samples(catalog).search())
    every = np.array([[[0, 1, 2, 255]]], np.uint8)
    column = _Column("mask", mask.classes, every, mask.unobserved)
    assert [entry.get_label() for entry in _legend([column])] == [
        *("Water", "Built Up", "Other", "No Observation")
    ]
    assert column.picture(0).tolist() == [[[0, 0, 255], [255, 0, 0], [200, 200, 200], [0, 0, 0]]]
    # a table that has another class in the colour of what was not observed
    titled[3]["color_hint"] = "000000"
    catalog = write_masked_catalog(tmp_path / "black", make_patches(2), titled)
    mask = find_mask(open_samples(catalog).search())
    column = _Column("mask", mask.classes, every, mask.unobserved)
    assert len({tuple(colour) for colour in column.picture(0)[0].tolist()}) == 4
