"""Pictures of samples, Items and arrays: what is drawn is what the files have."""

import doctest
import importlib
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from satimnet import builder
from satimnet.builder.errors import ArgumentError, SatimnetError, WrongTypeError
from satimnet.builder.imagery.colours import natural
from satimnet.training import open_samples, plot
from satimnet.training.plot import item_pictures

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def catalog(demo):
    return open_samples(demo / "catalog")


def pictures(figure):
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes]


def titles(figure):
    return [axes.get_title() for axes in figure.axes]


def legend(figure):
    """Titles and colours."""
    (found,) = figure.legends
    colours = [to_hex(patch.get_facecolor()) for patch in found.get_patches()]
    return dict(zip([text.get_text().strip() for text in found.get_texts()], colours, strict=True))


def colours_of(samples):
    (home,) = samples.collections.values()
    return {row.label: f"#{row.color_hint.lower()}" for row in home.document.classes}


def test_pixels_of_eight_bits_are_drawn_as_they_are(catalog):
    samples = catalog.search(collections="uc-merced", limit=3)
    drawn = pictures(samples.plot())
    for one, picture in zip(samples, drawn, strict=True):
        np.testing.assert_array_equal(picture, one.image.transpose(1, 2, 0))


def test_measured_values_are_stretched_alike(catalog):
    samples = catalog.search(collections="eurosat", ids=["River_1", "Forest_2"])
    bands = ["B08", "B04", "B03"]
    figure = samples.plot(bands=bands, overlay=None)
    expected = natural([one.read(bands).astype(np.float32) for one in samples])
    np.testing.assert_array_equal(pictures(figure), expected)
    assert titles(figure) == [one.titles[0] for one in samples]
    (picture,) = pictures(samples[0].plot(bands=["B08"]))
    assert (picture[..., :1] == picture).all()


def test_classes_are_mixed_and_drawn_by_the_seed(catalog):
    samples = catalog.search(collections="eurosat")
    first = titles(samples.plot(10))
    assert len(set(first)) == 10

    def notes(figure):
        return [axes.texts[0].get_text() for axes in figure.axes]

    assert notes(samples.plot(10)) == notes(samples.plot(10)) != notes(samples.plot(10, seed=1))


def test_masks_lie_over_the_image_in_the_colours_of_their_classes(catalog):
    samples = catalog.search(collections="inria", split="train", limit=1)
    figure = samples.plot(overlay="mask")
    ((picture,), (plain,)) = pictures(figure), pictures(samples.plot(overlay=None))
    known = colours_of(samples)
    assert legend(figure) == {"building": known["building"]}
    mask = samples[0].mask[:: samples[0].mask.shape[0] // len(picture)]
    assert len(picture) == 384  # the scene has 400
    changed = (picture != plain).any(axis=2)
    assert 0 < changed.mean() < 1
    assert abs(changed.mean() - (mask != 0).mean()) < 0.02
    colour = np.array(list(bytes.fromhex(known["building"][1:])), float)
    mixed = plain[changed] + 0.45 * (colour - plain[changed])
    np.testing.assert_allclose(picture[changed], mixed, atol=1)


def test_objects_are_outlined_where_they_lie(catalog):
    samples = catalog.search(collections="dota", ids="P0001")
    figure = samples.plot()
    (axes,) = figure.axes
    drawn = [path.vertices for lines in axes.collections for path in lines.get_paths()]
    picture = pictures(figure)[0]
    scale = picture.shape[1] / samples[0].image.shape[2]
    expected = [np.array(thing.outline) * scale - 0.5 for thing in samples[0].objects]
    assert len(drawn) == len(expected) > 0
    for ring, path in zip(expected, drawn, strict=True):
        np.testing.assert_allclose(path[:-1], ring)
    assert set(legend(figure).items()) <= set(colours_of(samples).items())


def test_of_cropped_samples_the_middle_is_drawn(catalog):
    samples = catalog.search(collections="dota", ids="P0001").cropped(100, 80)
    figure = samples.plot(overlay="mask")
    assert pictures(figure)[0].shape == (100, 80, 3)
    (plain,) = pictures(samples.plot(overlay=None))
    np.testing.assert_array_equal(plain, samples[0].image.transpose(1, 2, 0))
    changed = (pictures(figure)[0] != plain).any(axis=2)
    assert not changed[samples[0].mask == 0].any()


def test_every_collection_of_the_demo_can_be_drawn(catalog, tmp_path):
    everything = catalog.search()
    figure = everything.plot(30)
    assert len(figure.axes) == 30
    notes = {text.get_text().partition(":")[0] for axes in figure.axes for text in axes.texts}
    assert notes == set(catalog.collections)
    figure.savefig(tmp_path / "all.png")


def test_items_are_drawn_as_dicts_and_as_those_of_pystac(demo):
    found = builder.search(demo / "catalog", collections="bigearthnet", limit=2)
    ids = [item["id"] for item in found]
    client = builder.open(demo / "catalog")
    same = sorted(client.search(ids=ids).items(), key=lambda item: ids.index(item.id))
    as_dicts, as_objects = plot.items(found), plot.items(same)
    assert len(as_dicts.axes) == 2
    np.testing.assert_array_equal(pictures(as_dicts), pictures(as_objects))
    assert titles(plot.items(found, titles=["$a_", "_b$^"])) == ["$a_", "_b$^"]


def test_an_item_leads_to_no_collection_outside_of_its_catalog(demo, tmp_path):
    (item,) = builder.search(demo / "catalog", ids="River_1")
    for link in item["links"]:
        if link["rel"] == "collection":
            link["href"] = str(tmp_path / "collection.json")
    with pytest.raises(SatimnetError, match="outside"):
        plot.items([item])


def test_texts_of_a_catalog_are_no_formulas(tmp_path):
    plot.images(np.zeros((1, 1, 8, 8)), ["$\\frac"]).savefig(tmp_path / "one.png")
    table = pd.DataFrame({"$x_": [0, 2]}, index=["_$", "b\n"])
    plot.matrix(table, "$\\int").savefig(tmp_path / "table.png")


def test_arrays_of_several_kinds():
    whole = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    bands = whole.transpose(2, 0, 1)
    grey = np.linspace(0, 1, 16).reshape(4, 4)
    drawn = pictures(plot.images([whole, bands, grey], colours=["red", "green", "black"]))
    np.testing.assert_array_equal(drawn[0], whole)
    np.testing.assert_array_equal(drawn[1], whole)
    assert drawn[2][0, 0, 0] == 0
    assert drawn[2][-1, -1, 0] == 255


def test_what_cannot_be_read_has_a_place_that_says_so(demo, tmp_path):
    shutil.copytree(demo / "catalog" / "dota", tmp_path / "dota")
    catalog = demo / "catalog" / "catalog.json"
    shutil.copy(catalog, tmp_path)
    with pytest.warns(UserWarning, match="catalog"):  # of collections that were not copied
        samples = open_samples(tmp_path).search(collections="dota")
    shard = samples[0].item["assets"]["image"]["href"]
    first, last = samples[0].item["assets"]["image"]["archive"][0]["range"]
    with open(shard, "r+b") as file:
        file.seek(first)
        file.write(bytes(last - first + 1))
    figure = samples.plot()
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert sum(text.startswith("cannot be read") for text in said) == 1
    with pytest.raises(SatimnetError, match="none of the 1 can be shown"):
        samples[:1].plot()


def test_an_enormous_image_without_overviews_is_not_decoded(catalog, monkeypatch):
    monkeypatch.setattr(item_pictures, "_LARGEST", 10_000)
    with pytest.raises(SatimnetError, match="without overviews"):
        catalog.search(collections="dota", limit=1).plot()


def test_errors_say_what_to_do(catalog):
    samples = catalog.search(collections="eurosat")
    for options, message in (
        ({"overlay": "mask"}, "none of the 12 has a mask; give overlay=None"),
        ({"overlay": "objects"}, "none of the 12 has objects; give overlay=None"),
        ({"bands": ["B04", "B99", "B01"]}, "it has no band B99; there are"),
        ({"bands": ["B04", "B03"]}, "2 bands: give one, or three"),
        ({"n": 0}, "n 0: must be 1 or more"),
        ({"n": 101}, "100 pictures at most"),
        ({"columns": 0}, "columns 0: must be 1 or more"),
    ):
        with pytest.raises(SatimnetError, match=message):
            samples.plot(**options)
    with pytest.raises(ArgumentError, match="no samples"):
        samples[:0].plot()
    with pytest.raises(ArgumentError, match="none to draw"):
        plot.items([])
    with pytest.raises(WrongTypeError, match="give Items"):
        plot.items([3])
    with pytest.raises(ArgumentError, match="2 titles for 1 pictures"):
        plot.images(np.zeros((1, 3, 4, 4)), ["a", "b"])
    with pytest.raises(ArgumentError, match="of one or three bands"):
        plot.images(np.zeros((1, 2, 4, 4)))


def test_the_examples_of_docstrings_are_true(demo, monkeypatch):
    monkeypatch.chdir(demo)
    done = doctest.testmod(importlib.import_module("satimnet.training.plot.figures"))
    assert done.attempted > 5
    assert done.failed == 0


def test_matplotlib_is_loaded_with_the_first_figure():
    code = (
        "import sys, satimnet.training as t; t.plot.items; t.Samples; "
        "print([n for n in ('matplotlib', 'torch', 'rasterio') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
