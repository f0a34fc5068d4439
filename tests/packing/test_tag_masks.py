"""Masks of samples whose label is a tag of the whole patch."""

from __future__ import annotations

import io

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from PIL import Image

from satimnet.builder import gdal_path, search
from satimnet.builder.catalog.validation import validate
from satimnet.builder.datasets import installed
from satimnet.builder.packing.sample_files import Contents, contents
from satimnet.builder.packing.tag_masks import TAG_MASK, why_no_tag_masks, with_tag_masks
from satimnet.builder.query.index import Index
from satimnet.builder.samples import Member, Object, Sample
from satimnet.builder.sources import Reader
from satimnet.cli.group import satimnet
from stactools.eurosat import dataset as eurosat
from stactools.uc_merced import dataset as uc_merced

RECORD = with_tag_masks(uc_merced.record)


def made(sample_classes, record=RECORD, shape=(20, 30), objects=None, **options) -> Contents:
    file = io.BytesIO()
    Image.fromarray(np.zeros((*shape, 3), np.uint8)).save(file, "TIFF")
    member = Member("image", "forest/x.tif", file.getvalue())
    sample = Sample("x", ("forest",), (member,), classes=sample_classes, objects=objects)
    with Reader(None) as reader:
        return contents(sample, reader, record, **options)


def mask_of(found: Contents) -> np.ndarray:
    (mask,) = (file for file in found.files if file.asset == "mask")
    assert mask.header is not None
    assert mask.path == "forest/x_mask.png"
    return np.asarray(Image.open(io.BytesIO(bytes(mask.data))))


def test_the_tag_fills_the_mask():
    found = made(("forest",))
    value = next(entry.value for entry in uc_merced.record.classes if entry.name == "forest")
    assert np.array_equal(mask_of(found), np.full((20, 30), value))
    assert found.classes == ("forest",)
    assert found.statistics == ({"class": "forest", "pixels": 600},)
    assert found.problems == ()


def test_without_being_asked_for_there_is_none():
    found = made(("forest",), uc_merced.record)
    assert [file.asset for file in found.files] == ["image"]
    assert [file.asset for file in made(("forest",), as_published=True).files] == ["image"]


def test_several_tags_do_not_say_where_they_are():
    found = made(("forest", "river"))
    assert [file.asset for file in found.files] == ["image"]
    assert found.classes == ("forest", "river")
    (problem,) = found.problems
    assert problem.kind == "incomplete"
    assert problem.reason == "2 tags do not say where their classes are: it gets no mask"


@pytest.mark.parametrize("classes", [None, ()])
def test_no_tag_no_mask(classes):
    found = made(classes)
    assert [file.asset for file in found.files] == ["image"]
    assert found.problems == ()


def test_objects_are_drawn_by_their_own_asset_alone():
    corners = ((0, 0), (10, 0), (10, 10), (0, 10))
    found = made(("forest",), objects=(Object("forest", outline=corners),))
    assert [file.asset for file in found.files] == ["image"]
    assert found.statistics[0]["count"] == 1


def test_a_large_image_is_filled_in_strips(monkeypatch, tmp_path):
    monkeypatch.setattr("satimnet.builder.packing.sample_files.MAX_IMAGE_SIZE", 1000)
    monkeypatch.setattr("satimnet.builder.packing.sample_files.STRIP", 7)
    found = made(("river",), scratch=tmp_path)
    (mask,) = (file for file in found.files if file.asset == "mask")
    assert mask.path == "forest/x_mask.tif"
    value = next(entry.value for entry in uc_merced.record.classes if entry.name == "river")
    with rasterio.open(io.BytesIO(bytes(mask.data))) as image:
        assert np.array_equal(image.read(1), np.full((20, 30), value))


def test_which_datasets_have_some():
    reasons = {name: why_no_tag_masks(dataset.record) for name, dataset in installed().items()}
    assert {name for name, reason in reasons.items() if reason is None} == {"eurosat", "uc-merced"}
    assert "not where" in reasons["bigearthnet"]
    others = reasons.keys() - {"eurosat", "uc-merced", "bigearthnet"}
    assert {reasons[name] for name in others} == {"it has masks anyway"}
    for name, dataset in installed().items():
        assert (with_tag_masks(dataset.record) is dataset.record) is (reasons[name] is not None)


def test_the_record_says_what_was_done():
    record = with_tag_masks(eurosat.record)
    assert record.assets["mask"].derive == TAG_MASK
    assert record.attributes["satimnet:class_conversion"] == {
        "converted": True,
        "from": "tags",
        "to": "png",
    }
    sources = record.attributes["satimnet:attribute_sources"]
    assert "--masks" in sources["satimnet:class_conversion"]
    assert sources.items() >= eurosat.record.attributes["satimnet:attribute_sources"].items()
    values = [{**row, "value": row["value"] + 250} for row in eurosat.record["classes"]]
    assert why_no_tag_masks(eurosat.record.changed(classes=values)) is not None


# --- a build


def test_a_build_with_masks_of_tags_and_one_without(sources, tmp_path):
    paths = [str(path) for name in ("eurosat", "bigearthnet") for path in sources[name]]
    catalogs = {}
    for option in ("--masks", "--quiet"):
        catalogs[option] = tmp_path / option.strip("-")
        arguments = ["build", *paths, "--out", str(catalogs[option]), option, "--no-overview"]
        done = CliRunner().invoke(satimnet, arguments)
        assert done.exit_code == 0, done.output
        said = "bigearthnet: no masks were made of tags: its tags say which classes occur"
        assert (said in done.output) is (option == "--masks")
        assert "eurosat: no masks" not in done.output
    table = eurosat.record.classes
    values = {entry.name: entry.value for entry in table}
    found = search(catalogs["--masks"], collections="eurosat")
    assert len(found) > 0
    for item in found:
        (name,) = item["properties"]["satimnet:classes"]
        with rasterio.open(gdal_path(item["assets"]["mask"])) as mask:
            assert np.unique(mask.read(1)).tolist() == [values[name]]
    assert validate(catalogs["--masks"], checksums=True).problems == []
    for catalog, collection in (("--masks", "bigearthnet"), ("--quiet", "eurosat")):
        document = Index(str(catalogs[catalog])).collections[collection].document
        assert document.masks == []
        assert document.json["satimnet:class_conversion"] == {"converted": False}
