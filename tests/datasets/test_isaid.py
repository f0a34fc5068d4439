"""iSAID: COCO labels and coloured masks beside DOTA's images, in the publisher's two layouts."""

import io
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from satimnet.builder import build, search, validate
from satimnet.builder.chipping import chip
from satimnet.builder.datasets import installed, recognise
from satimnet.builder.errors import SatimnetError
from satimnet.builder.exports import export
from satimnet.builder.imagery.annotations import objects_in
from satimnet.builder.imagery.object_shapes import box_of
from satimnet.builder.layouts.read_coco import CocoFiles
from satimnet.builder.query.index import Index
from satimnet.builder.samples import Problem, Sample
from satimnet.builder.sources import Source
from satimnet.builder.storage.assets import read_bytes
from satimnet.training import open_samples
from stactools.dota.miniature import write_miniature as write_dota
from stactools.isaid import create_collection, create_item, dataset
from stactools.isaid.miniature import COLOURS, write_miniature

# The colours of eight masks in the publisher's repository (CAPTAIN-WHU/iSAID_Devkit, samples of
# P0002 to P0005), as PIL reads them: red, green, blue.
SEEN = {(0, 0, 127): "Small_Vehicle", (0, 127, 127): "Large_Vehicle", (0, 63, 63): "storage_tank"}


@pytest.fixture(scope="module")
def miniature(tmp_path_factory) -> Path:
    (folder,) = write_miniature(tmp_path_factory.mktemp("isaid"))
    return folder


@pytest.fixture(scope="module")
def catalog(miniature, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("built") / "catalog"
    (report,) = build([miniature], out, overview=False)
    assert (report.dataset, report.items) == ("isaid", 6)
    return out


def scan(*paths: Path) -> tuple[dict[str, Sample], list[Problem]]:
    found = list(dataset.scan(Source(paths)))
    samples = {item.id: item for item in found if isinstance(item, Sample)}
    return samples, [item for item in found if isinstance(item, Problem)]


def labels_of(miniature: Path, split: str) -> dict:
    return json.loads((miniature / split / "Annotations" / f"iSAID_{split}.json").read_bytes())


def tools_layout(miniature: Path, folder: Path) -> Path:
    """The same files in one folder a split, unpacked, as the publisher's tools want them."""
    from zipfile import ZipFile

    for archive in miniature.rglob("*.zip"):
        split = archive.relative_to(miniature).parts[0]
        ZipFile(archive).extractall(folder / split)
    for file in miniature.rglob("iSAID_train.json"):
        (folder / "train" / file.name).write_bytes(file.read_bytes())
    for file in miniature.rglob("iSAID_val.json"):
        (folder / "val" / file.name).write_bytes(file.read_bytes())
    return folder


def test_every_scene_has_its_objects_and_masks(miniature):
    samples, problems = scan(miniature)
    assert Counter(one.split for one in samples.values()) == {
        "train": 3,
        "validation": 2,
        "test": 1,
    }
    for one in samples.values():
        labelled = one.split != "test"
        assets = ["image", "instances", "mask"] if labelled else ["image"]
        assert [member.asset for member in one.members] == assets
        assert (one.objects is not None) == labelled
    (problem,) = problems  # the edition with a date
    assert problem.kind == "foreign"
    assert "iSAID_train.json was taken" in problem.reason


def test_the_report_names_no_folder_above_the_source(miniature, catalog):
    (report,) = catalog.glob("isaid/*/build-report.json")
    (row,) = json.loads(report.read_text())["ignored"]
    assert row["path"].startswith(f"{miniature.name}/train/")
    where = f"{miniature.name}/train/Annotations/iSAID_train.json"
    assert (miniature.parent / where).exists()
    assert row["reason"] == f"a second copy; {where} was taken"


def test_objects_are_those_that_pycocotools_reads(miniature):
    """Classes go by name: the ids of training and validation differ, as in the real files."""
    samples, _ = scan(miniature)
    ids = []
    for split in ("train", "val"):
        api = COCO(str(miniature / split / "Annotations" / f"iSAID_{split}.json"))
        ids.append({row["name"]: row["id"] for row in api.cats.values()})
        for number, about in api.imgs.items():
            objects = samples[about["file_name"].removesuffix(".png")].objects
            theirs = api.loadAnns(api.getAnnIds(number))
            assert len(theirs) == len(objects)
            for one, item in zip(theirs, objects, strict=True):
                assert api.cats[one["category_id"]]["name"] == one["category_name"] == item.name
                left, top, width, height = one["bbox"]
                assert box_of(item) == (left, top, left + width, top + height)
                assert len(item.parts) == len(one["segmentation"])
    assert ids[0].keys() == ids[1].keys()
    assert ids[0] != ids[1]


def test_an_object_of_two_outlines_is_one(catalog):
    (item,) = search(catalog, ids="P0000")
    (harbour,) = [
        one
        for one in objects_in(read_bytes(item["assets"]["annotation"]), "P0000")
        if one.name == "Harbor"
    ]
    assert len(harbour.polygons) == 2
    counts = {row["class"]: row["count"] for row in item["properties"]["satimnet:statistics"]}
    assert counts == {"ship": 5, "Harbor": 1}


def test_masks_are_the_published_ones(catalog, miniature):
    from zipfile import ZipFile

    values = {entry.name: entry.value for entry in dataset.record.classes}
    for item in search(catalog, split=["train", "validation"]):
        split = "train" if item["properties"]["satimnet:split"] == "train" else "val"
        with ZipFile(miniature / split / "Semantic_masks" / "images.zip") as archive:
            data = archive.read(f"images/{item['id']}_instance_color_RGB.png")
        colours = np.asarray(Image.open(io.BytesIO(data)))
        wanted = np.zeros(colours.shape[:2], np.uint8)
        for name, colour in COLOURS.items():
            wanted[(colours == colour).all(axis=-1)] = values[name]
        mask = np.asarray(Image.open(io.BytesIO(read_bytes(item["assets"]["mask"]))))
        assert np.array_equal(mask, wanted)
        assert wanted.any()
        with ZipFile(miniature / split / "Instance_masks" / "images.zip") as archive:
            data = archive.read(f"images/{item['id']}_instance_id_RGB.png")
        assert read_bytes(item["assets"]["instances"]) == data


def test_colours_are_those_of_the_publishers_samples():
    hints = {entry.name: entry.row["color_hint"] for entry in dataset.record.classes}
    for colour, name in SEEN.items():
        assert hints[name] == bytes(colour).hex().upper()
    assert {name: bytes(colour).hex().upper() for name, colour in COLOURS.items()}.items() <= (
        hints.items()
    )


def test_the_layout_of_the_publishers_tools_says_the_same(miniature, tmp_path):
    samples, _ = scan(miniature)
    again, problems = scan(tools_layout(miniature, tmp_path))
    assert problems == []
    assert again.keys() == samples.keys()
    for name, one in samples.items():
        assert again[name].objects == one.objects
        assert [m.path for m in again[name].members] == [m.path for m in one.members]


def test_it_is_told_apart_from_dota(miniature, tmp_path):
    """Its images have DOTA's names: labels decide, also where DOTA's files come first."""
    folder = tools_layout(miniature, tmp_path / "both" / "isaid")
    (dota,) = write_dota(tmp_path / "both" / "DOTA")
    for given in ([tmp_path / "both"], [dota, folder]):
        groups, unknown = recognise(given, installed())
        assert {name: list(source.paths) for name, source in groups.items()} == {
            "dota": [dota],
            "isaid": [folder],
        }
        assert unknown == []
    for path in (folder, miniature):  # its test images alone are DOTA's
        groups, unknown = recognise([path], installed())
        assert list(groups) == ["isaid"]
        assert groups["isaid"].paths == (path,)


def test_what_is_wrong_with_labels_is_told(miniature, tmp_path):
    folder = tools_layout(miniature, tmp_path)
    content = labels_of(miniature, "val")
    content["categories"].append({"id": 99, "name": "wind_turbine"})
    content["annotations"][0]["category_id"] = 99
    content["images"][1]["file_name"] = "P9999.png"
    (folder / "val" / "iSAID_val.json").write_text(json.dumps(content))
    (folder / "train" / "images" / "P0777_instance_id_RGB.png").write_bytes(b"")
    samples, problems = scan(folder)
    told = {Path(one.path).name: one for one in problems}
    assert all(one.kind == "incomplete" for one in problems)
    assert "1 of 'wind_turbine'" in told["P0003.png"].reason
    assert told["P0004.png"].reason == "image without a label"
    assert "P9999.png" in told["iSAID_val.json"].reason or "of no image" in (
        told["iSAID_val.json"].reason
    )
    assert told["P0777_instance_id_RGB.png"].reason == "a mask without its image"
    assert samples["P0004"].objects is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"images": 5}', b"\xff\xfe", b"[" * 100_000]
)
def test_a_broken_label_file_is_one_line(miniature, tmp_path, content):
    folder = tools_layout(miniature, tmp_path / "set")
    (folder / "val" / "iSAID_val.json").write_bytes(content)
    with pytest.raises(SatimnetError, match=r"iSAID_val\.json") as error:
        build([folder], tmp_path / "catalog", overview=False)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "catalog" / "catalog.json").exists()


def test_it_is_valid_and_can_be_trained_on(catalog, schemas):
    assert validate(catalog, schemas=schemas, checksums=True).problems == []
    samples = open_samples(catalog).search(split="train")
    (batch,) = samples.to_batches(3, size=(128, 128), objects="boxes", mask="mask")
    assert batch.images.shape == (3, 3, 128, 128)
    assert batch.masks.shape == (3, 128, 128)
    assert len(batch.objects) == 3
    assert create_collection().id == "isaid"


def test_chips_have_its_masks_and_objects(catalog, tmp_path):
    """An object of two outlines stays one, where both lie in the chip."""
    copy = Path(shutil.copytree(catalog, tmp_path / "catalog"))
    chip(copy, "isaid", (128, 128), overlap=(32, 32))
    document = Index(copy).collections["isaid-chips"].document
    assert [task.name for task in document.tasks] == dataset.record.attributes["satimnet:tasks"]
    values = {entry.name: entry.value for entry in dataset.record.classes}
    both = 0
    for item in search(copy, collections="isaid-chips"):
        if "annotation" not in item["assets"]:
            continue
        mask = np.asarray(Image.open(io.BytesIO(read_bytes(item["assets"]["mask"]))))
        objects = objects_in(read_bytes(item["assets"]["annotation"]), item["id"])
        assert {values[one.name] for one in objects} <= set(np.unique(mask).tolist()) | {0}
        both += sum(len(one.polygons) == 2 for one in objects)
    assert both


def test_coco_out_of_coco_says_the_same(catalog, miniature, tmp_path):
    (folder,) = export(Index(catalog), "coco", tmp_path)
    for split in ("train", "val"):
        first = COCO(str(miniature / split / "Annotations" / f"iSAID_{split}.json"))
        second = COCO(str(folder / "annotations" / f"instances_{split}.json"))
        assert said(first) == said(second)


def said(api: COCO) -> list:
    """What a COCO file says, without its numbers: image, class, box and the pixels of each."""
    return sorted(
        (
            api.imgs[one["image_id"]]["file_name"],
            api.cats[one["category_id"]]["name"],
            tuple(one["bbox"]),
            api.annToMask(one).tobytes(),
        )
        for one in api.anns.values()
    )


def test_one_item_of_open_files(miniature, tmp_path):
    folder = tools_layout(miniature, tmp_path)
    images = sorted(map(str, (folder / "train" / "images").glob("P0000*.png")))
    item = create_item(*images, str(folder / "train" / "iSAID_train.json"))
    assert item.id == "P0000"
    assert {"image", "mask", "instances"} <= item.assets.keys()


def test_coco_reading_is_shared():
    from stactools.isaid import source

    assert source.CocoFiles is CocoFiles
