"""Recipes: what comes along can be read, and every mistake is named in one line."""

import hashlib
import re
from pathlib import Path

import pytest

from satimnet.builder.errors import SatimnetError
from satimnet.builder.vocabulary.concepts import scheme_of
from satimnet.training.fusion.recipes import MASK_CLASSES, included, read_recipe
from stactools.bigearthnet import dataset as bigearthnet
from stactools.eurosat import dataset as eurosat

GOOD = """
id = "fused"
title = "Fused"
description = "Two classes."
seed = 3
bands = ["B02", "B08"]
size = [64, 64]

[[classes]]
value = 1
name = "Forest"
concept = "forest"

[[classes]]
value = 2
name = "Water"
concept = "water"

[[draws]]
collection = "eurosat"
classes = ["Forest"]
number = 2

[[draws]]
collection = "eurosat"
concept = "water"
at_most = 3
to = "Water"

[mask]
other = ["Forest"]

[[layers]]
name = "gsw"
classes = ["Water"]
values = { no-observation = [0, 255], other = [1], water = [2, 3] }
"""


def read(tmp_path: Path, text: str):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return read_recipe(path)


def test_what_a_recipe_says(tmp_path):
    recipe = read(tmp_path, GOOD)
    assert (recipe.id, recipe.seed, recipe.folds) == ("fused", 3, 10)
    assert (recipe.bands, recipe.size, recipe.resampling) == (("B02", "B08"), (64, 64), "bilinear")
    first, second = recipe.draws
    assert (first.classes, first.number, first.exact, first.to) == (("Forest",), 2, True, None)
    assert (second.concept, second.number, second.exact, second.to) == ("water", 3, False, "Water")
    assert recipe.fill == {"Forest": 3}
    assert recipe.layers[0].values == {0: 0, 255: 0, 1: 3, 2: 1, 3: 1}
    assert recipe.digest == hashlib.sha256(GOOD.encode()).hexdigest()


def test_paper_is_section_3():
    recipe = read_recipe("paper")
    assert [(d.collection, d.classes, d.number, d.to) for d in recipe.draws] == [
        ("eurosat", (), 27_000, None),
        ("bigearthnet", ("coastal-lagoons",), 1_000, "SeaLake"),
        ("bigearthnet", ("sea-and-ocean",), 1_000, "SeaLake"),
        ("bigearthnet", ("continuous-urban-fabric",), 500, "Residential"),
        ("bigearthnet", ("discontinuous-urban-fabric",), 500, "Residential"),
        ("bigearthnet", ("annual-crops-associated-with-permanent-crops",), 1_000, "AnnualCrop"),
        (
            "bigearthnet",
            ("broad-leaved-forest", "coniferous-forest", "mixed-forest"),
            1_000,
            "Forest",
        ),
    ]
    assert all(draw.exact for draw in recipe.draws)
    assert recipe.bands == ("B02", "B03", "B04", "B08")
    assert (recipe.size, recipe.resampling, recipe.folds) == ((64, 64), "bilinear", 10)
    assert {layer.name: layer.classes for layer in recipe.layers} == {
        "gsw": ("River", "SeaLake"),
        "esm": ("Industrial", "Residential"),
    }
    # each of the ten classes is in exactly one of the ways to a mask
    ways = [*recipe.fill, *(name for layer in recipe.layers for name in layer.classes)]
    assert sorted(ways) == sorted(recipe.class_names) == sorted(eurosat.classes)
    own = {row["name"]: row for row in eurosat.record["classes"]}
    for row in recipe.classes:
        assert row == {key: own[row["name"]][key] for key in row}
    assert all(name in bigearthnet.classes for d in recipe.draws[1:] for name in d.classes)


@pytest.mark.parametrize("name", included())
def test_included_recipes_can_be_read(name):
    recipe = read_recipe(name)
    scheme_of([{"id": recipe.id, "classes": recipe.classes}])


def test_values_of_masks():
    assert {row["value"]: row["name"] for row in MASK_CLASSES} == {
        0: "no-observation",
        1: "water",
        2: "built-up",
        3: "other",
    }


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('id = "fused"', "", "id is missing"),
        ('id = "fused"', 'id = "../x"', "id '../x': letters, digits"),
        ('id = "fused"', "id = 3", "id = 3: must be text"),
        ('title = "Fused"', 'title = "Fused', "this is not TOML"),
        ("seed = 3", "seed = -1", "seed = -1: must be at least 0"),
        ("seed = 3", "seed = true", "seed = True: must be a whole number"),
        ("seed = 3", "seeds = 3", "seed is missing"),
        ("seed = 3", "seed = 3\ncolour = 1", "unknown: colour; there are classes, id, title"),
        ("seed = 3", "seed = 3\nfolds = 1", "folds = 1: must be at least 2"),
        ('["B02", "B08"]', "[]", "bands: name at least one"),
        ('["B02", "B08"]', '["B02", "B02"]', "bands: one is there twice"),
        ('["B02", "B08"]', "[2, 8]", "bands: must be a list of texts"),
        ("[64, 64]", "[64]", "give rows and columns"),
        ("[64, 64]", "[64, 0]", "give rows and columns"),
        ("[64, 64]", "[64, 64000]", "give rows and columns"),
        ("[64, 64]", "[64, 64]\nresampling = 'fine'", "resampling 'fine': there are nearest"),
        ('name = "Water"', 'name = "Forest"', "two classes have the same name"),
        ("value = 2", "value = 1", "two classes, one value"),
        ("value = 2", "value = 0", "value = 0: must be at least 1"),
        ("value = 2", "value = 2\ncolor_hint = 'blue'", "six digits"),
        ("number = 2", "number = 0", r"\[\[draws\]\] 1: number = 0: must be at least 1"),
        ("number = 2", "number = 2\nat_most = 3", "give number or at_most, not both"),
        ("number = 2", "count = 2", r"\[\[draws\]\] 1: unknown: count"),
        ('to = "Water"', 'to = "Sea"', r"no class 'Sea' under \[\[classes\]\]; there are Forest"),
        ('other = ["Forest"]', 'others = ["Forest"]', "a mask has no 'others'; there are no-obs"),
        ('other = ["Forest"]', 'other = ["Water"]', "Water is filled under .mask. and has a layer"),
        ('other = ["Forest"]', "other = 'Forest'", "other: give a list"),
        ("other = [1]", "other = [2]", "values: 2 has two meanings"),
        ("other = [1]", "land = [1]", "a mask has no 'land'"),
        ("other = [1]", "other = [1.5]", "1.5 is no whole number"),
        ('classes = ["Water"]', 'classes = ["Sea"]', "no class 'Sea'"),
        ("[[draws]]", "[draws]", "this is not TOML"),
    ],
)
def test_mistakes_are_named(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(SatimnetError, match=message) as error:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert "recipe.toml" in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_recipe(tmp_path):
    with pytest.raises(SatimnetError, match=r"thesis: no recipe; .*demo, paper"):
        read_recipe("thesis")
    with pytest.raises(SatimnetError, match=re.escape(str(tmp_path / "x.toml"))):
        read_recipe(tmp_path / "x.toml")
    (tmp_path / "y.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SatimnetError, match="not TOML"):
        read_recipe(tmp_path / "y.toml")
