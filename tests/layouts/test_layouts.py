"""Training sets of one's own, in the layouts that everybody has, are built without any code."""

from __future__ import annotations

import csv
import doctest
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from satimnet.builder import build, search, validate
from satimnet.builder.errors import ArgumentError, BadFileError, SatimnetError
from satimnet.builder.exports import export
from satimnet.builder.layouts import (
    LAYOUTS,
    layout_dataset,
    layout_datasets,
    made_up_sets,
    write_set,
)
from satimnet.builder.pipeline import Report
from satimnet.builder.query.index import Index
from satimnet.builder.storage.assets import read_bytes
from satimnet.cli.group import satimnet
from satimnet.training import open_samples

SIZE = (48, 64)  # rows, columns


def picture(path: Path, seed: int = 0, shape: tuple[int, ...] = (*SIZE, 3)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def made(folder: Path, layout: str, **more: Any) -> tuple[Path, Report]:
    """The catalog of a set in ``folder/set``, and what the build says."""
    dataset = layout_dataset([folder / "set"], layout, "my-set", **more)
    (report,) = build(
        [],
        folder / "catalog",
        assigned={"my-set": [folder / "set"]},
        datasets={"my-set": dataset},
        overview=False,
        bad_files="any",
    )
    return folder / "catalog", report


def items_of(catalog: Path) -> dict[str, dict[str, Any]]:
    return {item["id"]: item for item in search(catalog)}


def objects_of(item: dict[str, Any]) -> list[tuple[str, list[list[float]]]]:
    """Classes of objects, and the corners of all their outlines."""
    found = []
    for one in json.loads(read_bytes(item["assets"]["annotation"]))["features"]:
        shape = one["geometry"]
        several = shape["type"] == "MultiPolygon"
        parts = shape["coordinates"] if several else [shape["coordinates"]]
        corners = [point for outer, *_ in parts for point in outer[:-1]]
        found.append((one["properties"]["class"], corners))
    return found


def boxes_of(item: dict[str, Any]) -> list[tuple[str, float, float, float, float]]:
    found = []
    for name, ring in objects_of(item):
        x, y = zip(*ring, strict=True)
        found.append((name, min(x), min(y), max(x), max(y)))
    return found


def mask_of(item: dict[str, Any]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(read_bytes(item["assets"]["mask"]))))


def splits_of(catalog: Path) -> dict[str, str | None]:
    return {item["id"]: item["properties"].get("satimnet:split") for item in search(catalog)}


# --- folders --------------------------------------------------------------------------------------


def test_image_folder(tmp_path: Path, schemas: Path) -> None:
    for split in ("train", "val", "test"):
        for name in ("Dense forest", "water"):
            for number in range(2):
                picture(tmp_path / f"set/{split}/{name}/{split}{number}.png", number)
    text(tmp_path / "set/README.txt", "for people")
    catalog, report = made(tmp_path, "image-folder")
    assert report.problems == ()
    found = items_of(catalog)
    assert len(found) == 8 + 4
    counts = search(catalog).facets()
    assert counts["class"] == {"Dense-forest": 6, "water": 6}
    assert counts["split"] == {"test": 4, "train": 4, "validation": 4}
    item = found["Dense-forest-train0"]
    assert item["properties"]["satimnet:classes"] == ["Dense-forest"]
    assert (
        read_bytes(item["assets"]["image"])
        == (tmp_path / "set/train/Dense forest/train0.png").read_bytes()
    )
    assert validate(catalog, schemas=schemas).count == 0
    samples = open_samples(catalog).search(split="train")
    batch = next(samples.to_batches(4, device="cpu"))
    assert batch.images.shape == (4, 3, *SIZE)
    table = {row.name: row.title for row in samples.collections["my-set"].document.classes}
    assert table == {"Dense-forest": "Dense forest", "water": "water"}


def test_image_folder_with_lists_and_several_kinds(tmp_path: Path) -> None:
    picture(tmp_path / "set/forest/1.png")
    picture(tmp_path / "set/forest/2.JPEG", 1)
    picture(tmp_path / "set/forest/3.jpg", 2, SIZE)
    picture(tmp_path / "set/water/4.png", 3, (*SIZE, 4))
    picture(tmp_path / "set/stray.png", 4)
    text(tmp_path / "set/train.txt", "forest/1.png\n2\n")
    text(tmp_path / "set/test.txt", "3.jpg\n2.jpg\n")
    catalog, report = made(tmp_path, "image-folder")
    assert splits_of(catalog) == {"1": "train", "2": None, "3": "test", "4": None}
    found = items_of(catalog)
    assert set(found["1"]["assets"]) == set(found["4"]["assets"]) == {"image-png"}
    assert set(found["2"]["assets"]) == set(found["3"]["assets"]) == {"image-jpg"}
    assert [(p.kind, Path(p.path).name) for p in report.problems] == [("foreign", "stray.png")]


@pytest.mark.parametrize("kind", ["values", "names", "colours", "voids"])
def test_masks(tmp_path: Path, kind: str) -> None:
    values = np.zeros(SIZE, np.uint8)
    values[:20], values[30:, :10] = 1, 2
    mask, expected = values, values
    if kind == "names":
        text(tmp_path / "set/classes.txt", "background\nroad\nbuilding\n")
    if kind == "colours":
        mask = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 16)], np.uint8)[values]
        text(tmp_path / "set/class_dict.csv", "name,r,g,b\nroad,255,0,0\nbuilding,0,255,16\n")
    if kind == "voids":
        mask = values.copy()
        mask[0] = 255
        expected = mask
    for split in ("train", "val"):
        picture(tmp_path / f"set/images/{split}/a_{split}.png")
        path = tmp_path / f"set/masks/{split}/a_{split}.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(mask).save(path)
    catalog, report = made(tmp_path, "masks")
    assert report.problems == ()
    assert splits_of(catalog) == {"a_train": "train", "a_val": "validation"}
    item = items_of(catalog)["a_train"]
    names = ["road", "building"] if kind in ("names", "colours") else ["class-1", "class-2"]
    assert item["properties"]["satimnet:classes"][:2] == names
    assert np.array_equal(mask_of(item), expected)
    samples = open_samples(catalog).search()
    batch = next(samples.to_batches(2, mask="mask", labels=None, device="cpu"))
    assert np.array_equal(batch.masks[0].numpy(), expected)


def test_masks_of_voc(tmp_path: Path) -> None:
    """Palettes, lists of splits and 255 along the edges, as VOC has them."""
    home = tmp_path / "set/VOCdevkit/VOC2012"
    values = np.zeros(SIZE, np.uint8)
    values[:9], values[9], values[20:30] = 15, 255, 1
    for at, split in enumerate(("train", "val")):
        picture(home / f"JPEGImages/2007_00{at}.jpg", at)
        text(home / f"ImageSets/Segmentation/{split}.txt", f"2007_00{at}\n")
        text(home / f"Annotations/2007_00{at}.xml", VOC.format(name=f"2007_00{at}"))
        path = home / f"SegmentationClass/2007_00{at}.png"
        path.parent.mkdir(exist_ok=True)
        mask = Image.fromarray(values, "P")
        mask.putpalette([at % 256 for at in range(768)])
        mask.save(path)
    catalog, report = made(tmp_path, "masks")
    assert report.problems == ()
    assert splits_of(catalog) == {"2007_000": "train", "2007_001": "validation"}
    mask = mask_of(items_of(catalog)["2007_000"])
    assert set(np.unique(mask[values == 15])) == {2}
    assert set(np.unique(mask[values == 1])) == {1}
    assert set(np.unique(mask[values == 255])) == {255}


def test_masks_of_black_and_white(tmp_path: Path) -> None:
    picture(tmp_path / "set/images/1.png")
    white = np.zeros(SIZE, np.uint8)
    white[:9] = 255
    (tmp_path / "set/masks").mkdir()
    Image.fromarray(white).save(tmp_path / "set/masks/1.png")
    catalog, _ = made(tmp_path, "masks")
    (item,) = items_of(catalog).values()
    assert np.array_equal(mask_of(item), white // 255)
    assert item["properties"]["satimnet:classes"] == ["class-255"]


def test_masks_beside_images_and_a_record(tmp_path: Path) -> None:
    picture(tmp_path / "set/1.png")
    picture(tmp_path / "set/2_sat.png", 1)
    picture(tmp_path / "set/3.png", 1)
    for name in ("1_mask", "2_mask"):
        mask = np.full((*SIZE, 3), (0, 0, 255), np.uint8)
        Image.fromarray(mask).save(tmp_path / f"set/{name}.png")
    with pytest.raises(SatimnetError, match="a mask of colours; put a table of them beside"):
        layout_dataset([tmp_path / "set"], "masks", "my-set")
    text(
        tmp_path / "my.toml",
        'title = "Lakes of mine"\nlicense = "CC-BY-4.0"\nstart_datetime = "2020-01-01T00:00:00Z"\n'
        '[[classes]]\nvalue = 4\nname = "lake"\nconcept = "lake"\nsource_color = "#0000FF"\n'
        '[assets.image]\ntitle = "Aerial picture"\n',
    )
    catalog, report = made(tmp_path, "masks", record=tmp_path / "my.toml")
    assert [(p.kind, p.reason) for p in report.problems] == [
        ("incomplete", "an image without its mask")
    ]
    found = items_of(catalog)
    assert set(found) == {"1", "2_sat", "3"}
    assert found["1"]["properties"]["satimnet:classes"] == ["lake"]
    document = next(iter(open_samples(catalog).collections.values())).document
    assert (document.title, document.license) == ("Lakes of mine", "CC-BY-4.0")
    assert document.item_assets["image"].title == "Aerial picture"
    assert len(search(catalog, concept="water")) == 2


# --- COCO -----------------------------------------------------------------------------------------


def coco(folder: Path) -> dict[str, Any]:
    """A COCO set as pycocotools reads it: a box, outlines, run lengths in both forms."""
    picture(folder / "images/val/1.jpg")
    picture(folder / "images/val/2.jpg", 1)
    content: dict[str, Any] = {
        "images": [
            {"id": at, "file_name": f"{at}.jpg", "height": SIZE[0], "width": SIZE[1]}
            for at in (1, 2)
        ],
        "categories": [{"id": 7, "name": "ship"}, {"id": 3, "name": "storage tank"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "bbox": [2.5, 3.25, 10, 20.125]},
            {
                "id": 2,
                "image_id": 1,
                "category_id": 3,
                "bbox": [0, 0, 9, 9],
                "segmentation": [[0, 0, 9, 0, 9, 9], [20, 20, 30.5, 20, 30, 31, 20, 30]],
            },
        ],
    }
    (folder / "annotations").mkdir()
    (folder / "annotations/instances_val2017.json").write_text(json.dumps(content))
    return content


def test_coco(tmp_path: Path) -> None:
    coco(tmp_path / "set")
    catalog, report = made(tmp_path, "coco")
    assert report.problems == ()
    found = items_of(catalog)
    assert boxes_of(found["1"]) == [
        ("ship", 2.5, 3.25, 12.5, 23.375),
        ("storage-tank", 0, 0, 30.5, 31),  # two outlines of one object
    ]
    statistics = found["1"]["properties"]["satimnet:statistics"]
    assert {row["class"]: row["count"] for row in statistics} == {"ship": 1, "storage-tank": 1}
    assert objects_of(found["2"]) == []
    assert splits_of(catalog) == {"1": "validation", "2": "validation"}
    assert found["1"]["properties"]["satimnet:classes"] == ["ship", "storage-tank"] or set(
        found["1"]["properties"]["satimnet:classes"]
    ) == {"ship", "storage-tank"}


def test_coco_of_pycocotools(tmp_path: Path) -> None:
    """Run lengths as pycocotools writes them give the pixels that it decodes."""
    tool = pytest.importorskip("pycocotools.mask")
    content = coco(tmp_path / "set")
    rng = np.random.default_rng(0)
    drawn = (rng.random(SIZE) < 0.3).astype(np.uint8)
    encoded = tool.encode(np.asfortranarray(drawn))
    plain = [int(n) for n in np.diff(np.flatnonzero(np.diff(drawn.T.ravel(), prepend=2, append=2)))]
    plain = plain if drawn.T.ravel()[0] == 0 else [0, *plain]
    for image, counts in ((1, encoded["counts"].decode()), (2, plain)):
        one = {"id": 10 + image, "image_id": image, "category_id": 7, "iscrowd": 1}
        one |= {"bbox": [0, 0, 64, 48], "segmentation": {"size": list(SIZE), "counts": counts}}
        content["annotations"] = [*content["annotations"], one]
    content["annotations"] = [one for one in content["annotations"] if one["id"] > 10]
    (tmp_path / "set/annotations/instances_val2017.json").write_text(json.dumps(content))
    catalog, report = made(tmp_path, "coco")
    assert report.problems == ()
    (folder,) = export(Index(catalog), "coco", tmp_path / "out")
    again = json.loads((folder / "annotations/instances_val.json").read_bytes())
    assert [one["iscrowd"] for one in again["annotations"]] == [1, 1]
    for item in items_of(catalog).values():
        mask = mask_of(item)
        value = int(mask.max())
        assert np.array_equal(mask == value, tool.decode(encoded).astype(bool))


def test_coco_says_the_same_to_pycocotools(tmp_path: Path) -> None:
    """A set of random boxes and outlines: what its own API reads of each image is what is built."""
    tool = pytest.importorskip("pycocotools.coco")
    content = coco(tmp_path / "set")
    rng = np.random.default_rng(1)
    content["annotations"] = []
    for number in range(1, 41):
        x, y = sorted(rng.uniform(0, 60, 2)), sorted(rng.uniform(0, 44, 2))
        left, top, width, height = x[0], y[0], x[1] - x[0] + 1, y[1] - y[0] + 1
        one: dict[str, Any] = {"id": number, "image_id": 1 + number % 2, "iscrowd": 0}
        one |= {"category_id": (7, 3)[number % 3 == 0], "bbox": [left, top, width, height]}
        one |= {"area": width * height}
        if number % 4 == 0:
            ring = [left, top, left + width, top, left + width / 2, top + height]
            one["segmentation"] = [ring]
        content["annotations"].append(one)
    file = tmp_path / "set/annotations/instances_val2017.json"
    file.write_text(json.dumps(content))
    catalog, report = made(tmp_path, "coco")
    assert report.problems == ()
    api = tool.COCO(str(file))
    names = {"ship": "ship", "storage tank": "storage-tank"}
    for image in (1, 2):
        theirs = []
        for one in api.loadAnns(api.getAnnIds(imgIds=[image])):
            left, top, width, height = one["bbox"]
            name = names[api.loadCats(one["category_id"])[0]["name"]]
            theirs.append((name, left, top, left + width, top + height))
        ours = boxes_of(items_of(catalog)[str(image)])
        assert [box[0] for box in ours] == [box[0] for box in theirs]
        gap = np.abs(np.array([b[1:] for b in ours]) - np.array([b[1:] for b in theirs]))
        assert gap.max() < 0.01


def test_labels_say_what_they_are_for(tmp_path: Path) -> None:
    from satimnet.builder.catalog.collection_document import CollectionDocument

    wanted = {
        "image-folder": ["scene-classification"],
        "masks": ["semantic-segmentation"],
        "coco": ["object-detection"],
        "csv": ["scene-classification"],
    }
    for layout, names in wanted.items():
        write_set(tmp_path / layout, layout, ["ship", "harbour"])
        record = layout_dataset([tmp_path / layout], layout, "my-set").record
        assert record.attributes["satimnet:tasks"] == names
    coco(tmp_path / "set")  # with outlines
    catalog, _ = made(
        tmp_path, "coco", record={"collection": {"satimnet:release_date": "2020-01-01"}}
    )
    (path,) = catalog.glob("my-set/collection.json")
    document = CollectionDocument.read(str(path))
    assert [task.name for task in document.tasks] == ["object-detection", "instance-segmentation"]
    with pytest.raises(BadFileError, match="did you mean regression"):
        made(tmp_path, "coco", record={"collection": {"satimnet:tasks": ["regresion"]}})


def test_outlines_that_are_none_leave_the_others(tmp_path: Path) -> None:
    outlines = [[0, 0, 9, 0, 9, 9], [1, 2, 3, 4], [20, 20, 30, 20, 30, 30]]
    one = {"id": 1, "image_id": 1, "category_id": 7, "segmentation": outlines}
    coco(tmp_path / "set")
    file = tmp_path / "set/annotations/instances_val2017.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"annotations": [one]}))
    catalog, report = made(tmp_path, "coco")
    assert boxes_of(items_of(catalog)["1"]) == [("ship", 0, 0, 30, 30)]
    (problem,) = report.problems
    assert problem.kind == "incomplete"
    assert problem.reason == (
        "outlines left out of objects that have others: 1: an outline of 4 numbers"
    )


def test_roboflow_puts_the_json_beside_the_images(tmp_path: Path) -> None:
    for at, split in enumerate(("train", "valid")):
        picture(tmp_path / f"set/{split}/x{at}.png", at)
        content = {
            "images": [{"id": 0, "file_name": f"x{at}.png"}],
            "categories": [{"id": 0, "name": "things"}, {"id": 1, "name": "car"}],
            "annotations": [{"id": 0, "image_id": 0, "category_id": 1, "bbox": [1, 1, 5, 5]}],
        }
        text(tmp_path / f"set/{split}/_annotations.coco.json", json.dumps(content))
    catalog, report = made(tmp_path, "coco")
    assert report.problems == ()
    assert splits_of(catalog) == {"x0": "train", "x1": "validation"}


# --- YOLO, VOC, tables ----------------------------------------------------------------------------


def test_yolo(tmp_path: Path) -> None:
    for split in ("train", "val"):
        picture(tmp_path / f"set/images/{split}/{split}1.jpg")
        picture(tmp_path / f"set/images/{split}/{split}2.jpg", 1)
        text(
            tmp_path / f"set/labels/{split}/{split}1.txt",
            "1 0.5 0.25 0.25 0.125\n0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.4\n",
        )
    text(
        tmp_path / "set/data.yaml",
        "path: ../datasets/mine\ntrain: images/train\nval: images/val\nnames:\n  0: ship\n"
        "  1: small car\n",
    )
    catalog, report = made(tmp_path, "yolo")
    assert report.problems == ()
    found = items_of(catalog)
    rows, columns = SIZE
    boxes = boxes_of(found["train1"])
    assert boxes[0][0] == "small-car"
    assert boxes[0][1:] == pytest.approx(
        (0.375 * columns, 0.1875 * rows, 0.625 * columns, 0.3125 * rows)
    )
    assert boxes[1][0] == "ship"
    assert np.array(objects_of(found["train1"])[1][1]) == pytest.approx(
        np.array([(0.1, 0.1), (0.5, 0.1), (0.5, 0.5), (0.1, 0.4)]) * (columns, rows)
    )
    assert objects_of(found["val2"]) == []
    assert splits_of(catalog) == {
        "train1": "train", "train2": "train", "val1": "validation", "val2": "validation",
    }  # fmt: skip


VOC = """<annotation><folder>VOC2012</folder><filename>{name}.jpg</filename>
<size><width>64</width><height>48</height><depth>3</depth></size>
<object><name>aeroplane</name><difficult>1</difficult>
<bndbox><xmin>3</xmin><ymin>5</ymin><xmax>20</xmax><ymax>31</ymax></bndbox></object>
</annotation>"""


def test_voc(tmp_path: Path) -> None:
    home = tmp_path / "set/VOCdevkit/VOC2012"
    for at, name in enumerate(("2007_000027", "2007_000032")):
        picture(home / f"JPEGImages/{name}.jpg", at)
        label = VOC.format(name=name)
        if at:  # as tools write edges
            label = label.replace("<ymin>5<", "<ymin>5.50<")
        text(home / f"Annotations/{name}.xml", label)
    text(home / "ImageSets/Main/train.txt", "2007_000027\n")
    text(home / "ImageSets/Main/val.txt", "2007_000032\n")
    text(home / "ImageSets/Main/aeroplane_train.txt", "2007_000027  1\n")
    catalog, report = made(tmp_path, "voc")
    assert report.problems == ()
    found = items_of(catalog)
    assert boxes_of(found["2007_000027"]) == [("aeroplane", 2, 4, 20, 31)]
    assert boxes_of(found["2007_000032"]) == [("aeroplane", 3.0, 5.5, 20.0, 31.0)]
    assert splits_of(catalog) == {"2007_000027": "train", "2007_000032": "validation"}


def test_csv_of_classes(tmp_path: Path) -> None:
    for at in range(3):
        picture(tmp_path / f"set/images/{at}.png", at)
    rows = [
        ("path", "labels", "split", "datetime"),
        ("images/0.png", "forest;water", "train", "2020-05-06"),
        ("1.png", "forest", "val", "2020-05-06T12:00:00+02:00"),
        ("images/2.png", "", "test", ""),
    ]
    with (tmp_path / "set/table.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    catalog, report = made(tmp_path, "csv")
    assert report.problems == ()
    found = {id_: item["properties"] for id_, item in items_of(catalog).items()}
    assert [found[str(at)]["satimnet:classes"] for at in range(3)] == [
        ["forest", "water"], ["forest"], [],
    ]  # fmt: skip
    assert found["1"]["datetime"] == "2020-05-06T10:00:00Z"
    assert splits_of(catalog) == {"0": "train", "1": "validation", "2": "test"}


def test_csv_of_boxes(tmp_path: Path) -> None:
    picture(tmp_path / "set/a.jpg")
    picture(tmp_path / "set/b.jpg", 1)
    text(
        tmp_path / "set/train_labels.csv",
        "filename,width,height,class,xmin,ymin,xmax,ymax\n"
        "a.jpg,64,48,ship,1,2,11,22\na.jpg,64,48,car,3,3,9,9\nb.jpg,64,48,,,,,\n",
    )
    catalog, report = made(tmp_path, "csv")
    assert report.problems == ()
    assert boxes_of(items_of(catalog)["a"]) == [("ship", 1, 2, 11, 22), ("car", 3, 3, 9, 9)]
    assert splits_of(catalog) == {"a": "train", "b": "train"}


# --- the command ----------------------------------------------------------------------------------


def test_the_command_builds_and_info_says_what_is_open(tmp_path: Path) -> None:
    coco(tmp_path / "set")
    words = ["build", str(tmp_path / "set"), "--layout", "coco", "--id", "my-set"]
    words += ["--out", str(tmp_path / "catalog"), "--scheduler", "threads", "--no-overview"]
    done = CliRunner().invoke(satimnet, words)
    assert done.exit_code == 0, done.output
    assert "my-set: 2 items" in done.output
    done = CliRunner().invoke(satimnet, ["info", str(tmp_path / "catalog")])
    assert done.exit_code == 0
    said = done.output.split("not stated: ")[1]
    assert "Intended application" in said


def test_a_set_goes_beside_others(catalog: Path, tmp_path: Path) -> None:
    shutil.copytree(catalog, tmp_path / "catalog")
    picture(tmp_path / "set/forest/1.png")
    made(tmp_path, "image-folder")
    assert {item["collection"] for item in search(tmp_path / "catalog")} == {"eurosat", "my-set"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--layout coco", "--layout wants SOURCES and --id"),
        ("--id x", "--id and --record are for --layout"),
        ("--layout coco --id X", "id 'X': take lower-case letters"),
        ("--layout coco --id a/../b", "take lower-case letters"),
        ("--layout coco --id my-set", "no COCO file"),
        ("--layout yolo --id my-set", "no label is there"),
        ("--layout voc --id my-set", "no label (Annotations/1.xml) is there"),
        ("--layout csv --id my-set", "no table (.csv with"),
        ("--layout masks --id my-set", "no mask is there"),
        ("--layout coco --id my-set --option eurosat.splits=x", "no --dataset or --option"),
        ("--layout nothing --id my-set", "--layout"),
    ],
)
def test_bad_options(tmp_path: Path, words: str, said: str) -> None:
    picture(tmp_path / "set/forest/1.png")
    out = tmp_path / "catalog"
    arguments = ["build", str(tmp_path / "set"), "--out", str(out), *words.split()]
    done = CliRunner().invoke(satimnet, arguments)
    assert done.exit_code != 0
    assert said in done.stderr
    assert not out.exists()
    assert "Traceback" not in done.output


def test_images_larger_than_other_files_may_be(tmp_path: Path, monkeypatch: Any) -> None:
    """What any file may have is less than what an image may have."""
    picture(tmp_path / "set/forest/1.png")
    monkeypatch.setattr("satimnet.builder.sources.Source.read.__defaults__", (1000,))
    _, report = made(tmp_path, "image-folder")
    assert report.items == 1
    with pytest.raises(SatimnetError, match=r"1\.png: \d+ bytes, over the limit 2000; for images"):
        layout_dataset([tmp_path / "set"], "image-folder", "my-set", max_scene_size=2000)


def test_the_example_runs() -> None:
    for module in (layout_datasets, made_up_sets):
        assert doctest.testmod(module).failed == 0


def test_names_of_layouts() -> None:
    with pytest.raises(ArgumentError, match="did you mean coco"):
        layout_dataset(["x"], "cocoo", "my-set")
    assert LAYOUTS == ("image-folder", "masks", "coco", "yolo", "voc", "csv")
    for command in ("build", "new-dataset"):
        named = {"build": "layout", "new-dataset": "like"}[command]
        (option,) = (p for p in satimnet.commands[command].params if p.name == named)
        assert tuple(option.type.choices) == LAYOUTS


@pytest.mark.parametrize("layout", LAYOUTS)
def test_made_up_sets_are_built(layout: str, tmp_path: Path) -> None:
    write_set(tmp_path / "set", layout, ["forest", "open water"])
    catalog, report = made(tmp_path, layout)
    assert report.problems == ()
    assert search(catalog).facets()["split"] == {"test": 2, "train": 2, "validation": 2}
    names = {"class-1": 3, "class-2": 3} if layout == "masks" else {"forest": 3, "open-water": 3}
    assert search(catalog).facets()["class"] == names
    if layout in ("coco", "yolo", "voc"):
        boxes = {box[1:] for item in items_of(catalog).values() for box in boxes_of(item)}
        assert np.array(list(boxes)) == pytest.approx(np.array([(12, 20, 44, 52)] * len(boxes)))


@pytest.mark.parametrize(
    "layout", [pytest.param(one, marks=[pytest.mark.slow] * (one != "coco")) for one in LAYOUTS]
)
def test_a_package_like_a_layout_passes_its_own_test(layout: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(satimnet, ["new-dataset", "my-set", str(tmp_path), "--like", layout])
    assert done.exit_code == 0, done.output
    package = tmp_path / "my-set"
    assert not [p for p in package.rglob("*") if p.is_file() and "{{" in p.read_text()]
    root = Path(__file__).parents[2] / "pyproject.toml"
    for check in (("check",), ("format", "--check")):
        clean = [sys.executable, "-m", "ruff", *check, "--config", str(root), "."]
        said = subprocess.run(clean, cwd=package, capture_output=True, text=True)
        assert said.returncode == 0, said.stdout
    path = os.pathsep.join([str(package / "src"), os.environ.get("PYTHONPATH", "")])
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            *("-p", "no:cacheprovider", "-p", "no:schemathesis"),
        ],
        cwd=package,
        env=os.environ | {"PYTHONPATH": path.rstrip(os.pathsep)},
        capture_output=True,
        text=True,
    )
    assert "3 passed" in ran.stdout, ran.stdout


# --- hostile files --------------------------------------------------------------------------------


def coco_with(folder: Path, **changes: Any) -> None:
    content = coco(folder) | changes
    (folder / "annotations/instances_val2017.json").write_text(
        json.dumps(content), encoding="utf-8"
    )


BOX = {"id": 1, "image_id": 1, "category_id": 7}
BAD_ANNOTATIONS = {
    "huge": BOX | {"bbox": [1e300, 0, 5, 5]},
    "text": BOX | {"bbox": ["a", 0, 5, 5]},
    "short": BOX | {"bbox": [1, 2]},
    "null": BOX | {"bbox": None},
    "flat": BOX | {"bbox": [1, 1, 0, 5]},
    "backwards": BOX | {"bbox": [9, 9, -5, -5]},
    "no category": BOX | {"category_id": 99, "bbox": [1, 1, 5, 5]},
    "category list": BOX | {"category_id": [7], "bbox": [1, 1, 5, 5]},
    "odd outline": BOX | {"segmentation": [[1, 2, 3, 4, 5, 6, 7]]},
    "outline of texts": BOX | {"segmentation": [["1e999", 2, 3, 4, 5, 6]]},
    "outline of dicts": BOX | {"segmentation": [{"a": 1}]},
    "runs outside": BOX | {"segmentation": {"size": [48, 64], "counts": [0, 10**9]}},
    "runs below": BOX | {"segmentation": {"size": [48, 64], "counts": [-5, 48 * 64 + 5]}},
    "runs of text": BOX | {"segmentation": {"size": [48, 64], "counts": "\u00e9\u0000zz"}},
    "runs of another size": BOX | {"segmentation": {"size": [9, 9], "counts": [81]}},
    "runs of nothing": BOX | {"segmentation": {"size": [48, 64], "counts": [48 * 64]}},
}


@pytest.mark.parametrize("name", BAD_ANNOTATIONS)
def test_bad_annotations_are_left_out(tmp_path: Path, name: str) -> None:
    good = BOX | {"id": 2, "bbox": [1, 1, 5, 5]}
    coco_with(tmp_path / "set", annotations=[BAD_ANNOTATIONS[name], good])
    catalog, report = made(tmp_path, "coco")
    (problem,) = report.problems
    assert problem.kind == "incomplete"
    assert "1 of its 2 objects are left out" in problem.reason
    assert "\n" not in problem.reason
    assert boxes_of(items_of(catalog)["1"]) == [("ship", 1, 1, 6, 6)]


@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/passwd",
        "/etc/hostname",
        "..\\..\\x.jpg",
        "",
        None,
        7,
        ["1.jpg"],
        "a\0b",
        "9.jpg",
    ],
)
def test_images_outside_of_the_source_are_not_read(tmp_path: Path, name: Any) -> None:
    picture(tmp_path / "x.jpg")
    images = [{"id": 1, "file_name": name}, {"id": 2, "file_name": "2.jpg"}]
    coco_with(tmp_path / "set", images=images, annotations=[])
    catalog, report = made(tmp_path, "coco")
    assert set(items_of(catalog)) == {"2"}
    reasons = [problem.reason for problem in report.problems]
    assert sum("which is not in the source" in reason for reason in reasons) == 1
    assert all("\n" not in reason for reason in reasons)


@pytest.mark.parametrize(
    "content",
    [
        b"{", b"\xff\xfe", b"[" * 100_000, b'{"images": NaN, "categories": []}',
        b'{"images": {}, "categories": []}', b'{"images": [], "categories": [{"id": 1}]}',
        b'{"images": [], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}',
        b'{"images": [], "categories": [{"id": ' + b"9" * 5000 + b', "name": "a"}]}',
        b'{"images": [], "categories": 5}', b"",
    ],
)  # fmt: skip
def test_broken_json_is_one_line(tmp_path: Path, content: bytes) -> None:
    coco(tmp_path / "set")
    (tmp_path / "set/annotations/instances_val2017.json").write_bytes(content)
    with pytest.raises(SatimnetError) as caught:
        layout_dataset([tmp_path / "set"], "coco", "my-set")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


BOMB = """<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">
<!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;">]>
<annotation><filename>&lol2;</filename></annotation>"""
XXE = """<!DOCTYPE foo [<!ENTITY x SYSTEM "file:///etc/hostname">]>
<annotation><filename>&x;</filename></annotation>"""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (BOMB, "document type"),
        (XXE, "document type"),
        (BOMB.encode("utf-16").decode("latin-1"), "document type"),
        ("<annotation>", "this is not XML"),
        ("<a>" * 200 + "</a>" * 200, "too many levels"),
        ("<other/>", "no label of VOC's"),
        ("\0\0", "this is not XML"),
    ],
)
def test_hostile_xml_is_one_line(tmp_path: Path, content: str, said: str) -> None:
    picture(tmp_path / "set/JPEGImages/1.jpg")
    picture(tmp_path / "set/JPEGImages/2.jpg")
    text(tmp_path / "set/Annotations/2.xml", VOC.format(name="2"))
    (tmp_path / "set/Annotations/1.xml").write_bytes(content.encode("latin-1"))
    catalog, report = made(tmp_path, "voc")
    assert set(items_of(catalog)) == {"2"}
    reasons = [problem.reason for problem in report.problems]
    assert any(said in reason for reason in reasons), reasons
    assert all("\n" not in reason for reason in reasons)


@pytest.mark.parametrize(
    "line",
    [
        "0 nan 0.5 0.1 0.1", "0 inf 0.5 0.1 0.1", "0 1e400 0.5 0.1 0.1", "0 5 5 1 1",
        "99999999999999999999 0.5 0.5 0.1 0.1", "-1 0.5 0.5 0.1 0.1", "9 0.5 0.5 0.1 0.1", "ship",
        "0 0.5 0.5 -0.1 0.1", "0 0.5 0.5", "\u0663 0.5 0.5 0.1 0.1",
    ],
)  # fmt: skip
def test_hostile_lines_of_yolo(tmp_path: Path, line: str) -> None:
    picture(tmp_path / "set/images/1.jpg")
    text(tmp_path / "set/labels/1.txt", f"{line}\n0 0.5 0.5 0.5 0.5\n")
    text(tmp_path / "set/data.yaml", "names: [ship, car]\n")
    catalog, report = made(tmp_path, "yolo")
    (problem,) = report.problems
    assert "1 of its 2 objects are left out" in problem.reason
    assert len(boxes_of(items_of(catalog)["1"])) == 1


@pytest.mark.parametrize(
    "content",
    [
        "names: &a [x, *a]", "names: !!python/object/apply:os.system ['true']", "names: 5",
        "names: {a: b}", "names: [[1]]", "names: []", "{", "names:\n  - a\n - b", "names: [a, '']",
    ],
)  # fmt: skip
def test_hostile_yaml(tmp_path: Path, content: str) -> None:
    picture(tmp_path / "set/images/1.jpg")
    text(tmp_path / "set/labels/1.txt", "0 0.5 0.5 0.5 0.5\n")
    text(tmp_path / "set/data.yaml", content)
    with pytest.raises(BadFileError) as caught:
        layout_dataset([tmp_path / "set"], "yolo", "my-set")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    ["a.jpg,ship,nan,0,5,5", "a.jpg,ship,1,1,1e999,5", "a.jpg,,1,1,5,5", "a.jpg,ship,9,9,1,1",
     "a.jpg,x;y,1,1,5,5", "../a.jpg,ship,1,1,5,5"],
)  # fmt: skip
def test_hostile_tables(tmp_path: Path, line: str) -> None:
    picture(tmp_path / "set/a.jpg")
    text(tmp_path / "set/t.csv", f"path,class,xmin,ymin,xmax,ymax\n{line}\na.jpg,ship,1,1,5,5\n")
    catalog, report = made(tmp_path, "csv")
    (problem,) = report.problems
    assert "line 2" in problem.reason
    assert len(boxes_of(items_of(catalog)["a"])) == 1


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ("x", "no TOML"), ("title = 5", "title must be a text"), ("classes = 5", "classes must be"),
        ("assets = 5", "assets must be a table"), ("[assets]\nimage = 5", "must be a table"),
        ("[[classes]]\nname = 5", "classes"), ("bbox = 'x'", "bbox must be"),
        ("collection = 1", "collection must be a table"),
    ],
)  # fmt: skip
def test_bad_records(tmp_path: Path, record: str, said: str) -> None:
    picture(tmp_path / "set/forest/1.png")
    text(tmp_path / "my.toml", record)
    with pytest.raises(BadFileError, match=said) as caught:
        layout_dataset([tmp_path / "set"], "image-folder", "my-set", record=tmp_path / "my.toml")
    assert "\n" not in str(caught.value)


def test_names_that_are_no_names_of_files(tmp_path: Path) -> None:
    for name in ("a b!", "\u00e4\u00f6", "a-b", "..x"):
        picture(tmp_path / f"set/c 1/{name}.png")
    picture(tmp_path / "set/\u6c34/A-B.png")
    catalog, report = made(tmp_path, "image-folder")
    assert report.problems == ()
    ids = set(items_of(catalog))
    assert len(ids) == 5
    assert all(id_.replace("-", "").replace("_", "").isalnum() and id_.isascii() for id_ in ids)
