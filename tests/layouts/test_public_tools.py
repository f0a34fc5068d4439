"""Sets that public tools write are built, and what is exported of them loads in these tools.

Boxes stay where they are to a hundredth of a pixel, all the way. The folders of Ultralytics are
those of its documentation (https://docs.ultralytics.com/datasets/detect/); the package itself is
not needed.
"""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from examples.networks.torchvision_cpu import import_torchvision
from PIL import Image

from satimnet.builder import build, search, split
from satimnet.builder.exports import OBJECT_FORMATS, export
from satimnet.builder.imagery.annotations import objects_in
from satimnet.builder.imagery.object_shapes import box_of
from satimnet.builder.layouts import layout_dataset
from satimnet.builder.query.index import Index
from satimnet.builder.storage.assets import read_bytes
from satimnet.cli.group import satimnet

globox = pytest.importorskip("globox")
pycoco = pytest.importorskip("pycocotools.coco")

NAMES = ["ship", "storage tank", "harbour"]
SLUGS = {name: name.replace(" ", "-") for name in NAMES}
SIZES = {"train": (700, 1100), "val": (640, 480), "test": (333, 517)}  # rows, columns
Boxes = dict[str, list[tuple[str, float, float, float, float]]]
"""Class, left, top, right and bottom by the name of the image."""


def images_of(folder: Path, suffix: str = ".jpg") -> dict[str, Path]:
    """Two images for each split in ``folder/<split>``, by their names."""
    made = {}
    for at, (name, (rows, columns)) in enumerate(SIZES.items()):
        for number in (1, 2):
            path = folder / name / f"{name}_{number}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            rng = np.random.default_rng([at, number])
            small = rng.integers(0, 255, (rows // 10, columns // 10, 3)).astype(np.uint8)
            Image.fromarray(small).resize((columns, rows)).save(path)
            made[path.stem] = path
    return made


def boxes_made(*, decimals: int = 3) -> Boxes:
    """Boxes of all sizes in each image, the last of them without any."""
    found: Boxes = {}
    for at, (name, (rows, columns)) in enumerate(SIZES.items()):
        for number in (1, 2):
            rng = np.random.default_rng([7, at, number])
            own = []
            for k in range(0 if (at, number) == (2, 2) else 25):
                left, right = np.sort(rng.uniform(0, columns, 2)).round(decimals)
                top, bottom = np.sort(rng.uniform(0, rows, 2)).round(decimals)
                if right - left > 0.5 and bottom - top > 0.5:
                    ends = (float(left), float(top), float(right), float(bottom))
                    own.append((NAMES[k % 3], *ends))
            found[f"{name}_{number}"] = own
    return found


def built(source: Path, layout: str, out: Path) -> Path:
    """The catalog of a set of which nothing is left out."""
    dataset = layout_dataset([source], layout, "mine")
    (report,) = build(
        [], out, assigned={"mine": [source]}, datasets={"mine": dataset}, overview=False
    )
    assert report.problems == ()
    return out


def boxes_in(catalog: Path) -> Boxes:
    return {
        item["id"]: [
            (one.name, *box_of(one))
            for one in objects_in(read_bytes(item["assets"]["annotation"]), item["id"])
        ]
        for item in search(catalog)
    }


def splits_in(catalog: Path) -> dict[str, str | None]:
    return {item["id"]: item["properties"].get("satimnet:split") for item in search(catalog)}


BY_NAME = {"train": "train", "val": "validation", "test": "test"}


def require_splits(catalog: Path) -> None:
    found = splits_in(catalog)
    assert found == {name: BY_NAME[name.partition("_")[0]] for name in found}
    assert len(found) == 6


def require_same(found: Boxes, wanted: Boxes, names: dict[str, str] = SLUGS) -> None:
    """The same boxes of the same classes, to a hundredth of a pixel."""
    assert found.keys() == wanted.keys()
    for name, own in wanted.items():
        assert [box[0] for box in found[name]] == [names.get(box[0], box[0]) for box in own]
        if own:
            gap = np.subtract([box[1:] for box in found[name]], [box[1:] for box in own])
            assert np.abs(gap).max() <= 0.01, name


# --- what the tools write -----------------------------------------------------------------------


def write_pycocotools(folder: Path, wanted: Boxes) -> None:
    """The dataset that `COCO.loadRes` makes of boxes; images as torchvision's CocoDetection."""
    paths = images_of(folder)
    for part in SIZES:
        own = [name for name in wanted if name.startswith(part)]
        api = pycoco.COCO()
        api.dataset = {
            "info": {"description": "made up"},
            "images": [
                {"id": at, "file_name": paths[name].name, "height": rows, "width": columns}
                for at, name in enumerate(own, 1)
                for rows, columns in [SIZES[part]]
            ],
            "categories": [{"id": 10 * at, "name": name} for at, name in enumerate(NAMES, 1)],
        }
        results = [
            {
                "image_id": at,
                "category_id": 10 * (NAMES.index(kind) + 1),
                "bbox": [left, top, right - left, bottom - top],
                "score": 1.0,
            }
            for at, name in enumerate(own, 1)
            for kind, left, top, right, bottom in wanted[name]
        ]
        api.createIndex()
        made = api.loadRes(results)
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "annotations" / f"instances_{part}.json").write_text(json.dumps(made.dataset))


def annotation_set(wanted: Boxes, paths: dict[str, Path]) -> Any:
    """globox's own form of the boxes."""
    found = globox.AnnotationSet()
    for name, own in wanted.items():
        rows, columns = SIZES[name.partition("_")[0]]
        boxes = [
            globox.BoundingBox(label=kind, xmin=left, ymin=top, xmax=right, ymax=bottom)
            for kind, left, top, right, bottom in own
        ]
        found.add(globox.Annotation(paths[name].name, (columns, rows), boxes))
    return found


def write_globox_coco(folder: Path, wanted: Boxes) -> None:
    paths = images_of(folder)
    for part in SIZES:
        own = {name: boxes for name, boxes in wanted.items() if name.startswith(part)}
        path = folder / "annotations" / f"{part}.json"
        path.parent.mkdir(exist_ok=True)
        annotation_set(own, paths).save_coco(path, auto_ids=True)


def write_globox_yolo(folder: Path, wanted: Boxes) -> None:
    paths = images_of(folder / "images")
    for part in SIZES:
        own = {name: boxes for name, boxes in wanted.items() if name.startswith(part)}
        labels = folder / "labels" / part
        labels.parent.mkdir(exist_ok=True)
        annotation_set(own, paths).save_yolo_v5(
            labels, label_to_id={name: at for at, name in enumerate(NAMES)}
        )
    lines = "".join(f"  - {name}\n" for name in NAMES)
    (folder / "data.yaml").write_text(
        f"train: images/train\nval: images/val\ntest: images/test\nnames:\n{lines}"
    )


def write_globox_voc(folder: Path, wanted: Boxes) -> None:
    """globox's XML in the folders of torchvision's VOCDetection."""
    home = folder / "VOCdevkit" / "VOC2012"
    paths = images_of(folder / "loose")
    (home / "JPEGImages").mkdir(parents=True)
    for path in paths.values():
        path.rename(home / "JPEGImages" / path.name)
    shutil.rmtree(folder / "loose")
    annotation_set(wanted, paths).save_pascal_voc(home / "Annotations")
    lists = home / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for part in SIZES:
        own = [name for name in wanted if name.startswith(part)]
        (lists / f"{part}.txt").write_text("".join(f"{name}\n" for name in own))
        (lists / f"ship_{part}.txt").write_text("".join(f"{name}  1\n" for name in own))
    (lists / "trainval.txt").write_text("train_1\ntrain_2\nval_1\nval_2\n")


TOOLS: dict[str, tuple[str, Callable[[Path, Boxes], None]]] = {
    "pycocotools": ("coco", write_pycocotools),
    "globox-coco": ("coco", write_globox_coco),
    "globox-yolo": ("yolo", write_globox_yolo),
    "globox-voc": ("voc", write_globox_voc),
}


@pytest.fixture(scope="module")
def catalogs(tmp_path_factory) -> dict[str, Path]:
    """What is built of each tool's set."""
    top, wanted = tmp_path_factory.mktemp("tools"), boxes_made()
    found = {}
    for name, (layout, write) in TOOLS.items():
        write(top / name, wanted)
        found[name] = built(top / name, layout, top / f"{name}.catalog")
    return found


@pytest.mark.parametrize("tool", TOOLS)
def test_what_a_tool_writes_is_built(catalogs, tool):
    require_same(boxes_in(catalogs[tool]), boxes_made())
    require_splits(catalogs[tool])


# --- the tools load what is exported ------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(catalogs, tmp_path_factory) -> dict[str, Path]:
    """The folders of one of the catalogs, by format."""
    out = tmp_path_factory.mktemp("exported")
    found = {}
    for form in OBJECT_FORMATS:
        (found[form],) = export(Index(catalogs["pycocotools"]), form, out)
    return found


def of_globox(read: Any, names: dict[str, str] | None = None) -> Boxes:
    return {
        Path(id_).stem: [((names or {}).get(b.label, b.label), *b.ltrb) for b in read[id_].boxes]
        for id_ in read.image_ids
    }


def test_pycocotools_loads_it(exported):
    found: Boxes = {}
    for path in (exported["coco"] / "annotations").iterdir():
        api = pycoco.COCO(str(path))
        for number, about in api.imgs.items():
            found[Path(about["file_name"]).stem] = [
                (api.cats[one["category_id"]]["name"], x, y, x + width, y + height)
                for one in api.loadAnns(api.getAnnIds(number))
                for x, y, width, height in [one["bbox"]]
            ]
    require_same(found, boxes_made())


@pytest.mark.parametrize("form", ["coco", "yolo", "voc"])
def test_globox_loads_it(exported, form):
    folder, found = exported[form], {}
    if form == "coco":
        for path in (folder / "annotations").iterdir():
            found |= of_globox(globox.AnnotationSet.from_coco(path))
    elif form == "voc":
        found = of_globox(globox.AnnotationSet.from_pascal_voc(folder / "Annotations"))
    else:
        ids = {str(at): SLUGS[name] for at, name in enumerate(NAMES)}
        for labels in (folder / "labels").iterdir():
            read = globox.AnnotationSet.from_yolo_v5(
                labels, image_folder=folder / "images" / labels.name, image_extension=".jpg"
            )
            found |= of_globox(read, ids)
    require_same(found, boxes_made())


@pytest.mark.parametrize("form", ["yolo", "yolo-obb"])
def test_ultralytics_would_find_every_image_and_label(exported, form):
    """By its rules: folders relative to ``data.yaml``, labels where ``images`` is ``labels``."""
    folder, wanted, seen = exported[form], boxes_made(), set()
    content = yaml.safe_load((folder / "data.yaml").read_text())
    assert content["names"] == {at: SLUGS[name] for at, name in enumerate(NAMES)}
    for part in SIZES:
        for image in (folder / content[part]).iterdir():
            head, tail = str(image.with_suffix(".txt")).rsplit("/images/", 1)
            lines = [
                line.split() for line in Path(f"{head}/labels/{tail}").read_text().splitlines()
            ]
            assert len(lines) == len(wanted[image.stem])
            assert {len(line) for line in lines} <= {5 if form == "yolo" else 9}
            assert all(0 <= float(value) <= 1 for line in lines for value in line[1:])
            seen.add(image.stem)
    assert seen == wanted.keys()


@pytest.fixture(scope="module")
def torchvision() -> Any:
    """torchvision, also where its operators do not fit torch."""
    pytest.importorskip("torch")
    if not __import__("importlib.util", fromlist=["util"]).find_spec("torchvision"):
        pytest.skip("needs the extra examples")
    import_torchvision()
    return sys.modules["torchvision"]


@pytest.mark.examples
def test_torchvisions_coco_detection_loads_it(exported, torchvision):
    found: Boxes = {}
    for part, (rows, columns) in SIZES.items():
        file = exported["coco"] / "annotations" / f"instances_{part}.json"
        data = torchvision.datasets.CocoDetection(exported["coco"] / part, file)
        assert len(data) == 2
        for at, (image, target) in enumerate(data):
            assert image.size == (columns, rows)
            name = Path(data.coco.loadImgs(data.ids[at])[0]["file_name"]).stem
            found[name] = [
                (data.coco.cats[one["category_id"]]["name"], x, y, x + width, y + height)
                for one in target
                for x, y, width, height in [one["bbox"]]
            ]
    require_same(found, boxes_made())


@pytest.mark.examples
def test_torchvisions_voc_detection_loads_it(exported, torchvision, tmp_path):
    """It wants the folder as ``VOCdevkit/VOC2007``, for which a link is enough."""
    (tmp_path / "VOCdevkit").mkdir()
    (tmp_path / "VOCdevkit" / "VOC2007").symlink_to(exported["voc"])
    found: Boxes = {}
    for part in SIZES:
        data = torchvision.datasets.VOCDetection(tmp_path, year="2007", image_set=part)
        assert len(data) == 2
        for image, target in data:
            said = target["annotation"]
            assert image.size == (int(said["size"]["width"]), int(said["size"]["height"]))
            found[Path(said["filename"]).stem] = [
                (one["name"], *(float(one["bndbox"][key]) for key in BOX))
                for one in said.get("object", [])
            ]
    require_same(found, boxes_made())


BOX = ("xmin", "ymin", "xmax", "ymax")


@pytest.mark.examples
def test_torchvisions_own_folders_are_built(catalogs, torchvision, tmp_path):
    """What its classes load of the sets of the tools is what is built of them."""
    wanted = boxes_made()
    write_globox_voc(tmp_path / "voc", wanted)
    data = torchvision.datasets.VOCDetection(tmp_path / "voc", year="2012", image_set="trainval")
    theirs = {
        Path(target["annotation"]["filename"]).stem: [
            (one["name"], *(float(one["bndbox"][key]) for key in BOX))
            for one in target["annotation"].get("object", [])
        ]
        for _, target in data
    }
    ours = boxes_in(catalogs["globox-voc"])
    require_same({name: ours[name] for name in theirs}, theirs)


@pytest.mark.parametrize("form", OBJECT_FORMATS)
def test_a_round_trip_keeps_every_box(exported, form, tmp_path):
    """Exported, built again and exported again: boxes, classes and splits stay."""
    layout = form.removesuffix("-obb")
    again = built(exported[form], layout, tmp_path / "again")
    require_same(boxes_in(again), boxes_made())
    require_splits(again)
    (folder,) = export(Index(again), form, tmp_path / "out")
    third = built(folder, layout, tmp_path / "third")
    require_same(boxes_in(third), boxes_made())


# --- the folders of Ultralytics -----------------------------------------------------------------


def yolo_set(folder: Path, stated: str, *, parts: dict[str, str] | None = None) -> None:
    """Images and labels in the folders of ``parts``, and the text of ``data.yaml``."""
    paths = images_of(folder / "images")
    for name, own in boxes_made().items():
        part = name.partition("_")[0]
        rows, columns = SIZES[part]
        lines = [
            f"{NAMES.index(kind)} {(x0 + x1) / 2 / columns:.9f} {(y0 + y1) / 2 / rows:.9f} "
            f"{(x1 - x0) / columns:.9f} {(y1 - y0) / rows:.9f}\n"
            for kind, x0, y0, x1, y1 in own
        ]
        where = (parts or {}).get(part, part)
        image = folder / "images" / where / paths[name].name
        image.parent.mkdir(parents=True, exist_ok=True)
        paths[name].rename(image)
        label = folder / "labels" / where / f"{name}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("".join(lines))
    (folder / "data.yaml").write_text(stated)
    for left in SIZES:
        if parts and parts.get(left, left) != left:
            (folder / "images" / left).rmdir()


LIST = "names: [ship, storage tank, harbour]\nnc: 3\n"
DICT = "names:\n  0: ship\n  1: storage tank\n  2: harbour\n"
LETTERS = {"train": "a", "val": "b", "test": "c"}
YAMLS = {
    "folders": ("train: images/train\nval: images/val\ntest: images/test\n" + DICT, None),
    "names as list": ("train: images/train\nval: images/val\ntest: images/test\n" + LIST, None),
    "path of another machine": (
        "path: /datasets/elsewhere\ntrain: images/train\nval: images/val\ntest: images/test\n"
        + DICT,
        None,
    ),
    "path above": (
        "path: ../datasets/mine\ntrain: images/a\nval: images/b\ntest: images/c\n" + DICT,
        LETTERS,
    ),
    "path is the folder": (
        "path: .\ntrain: images/a\nval: images/b\ntest: images/c\n" + LIST,
        LETTERS,
    ),
    "whole paths": (
        "train: /home/me/mine/images/a\nval: /home/me/mine/images/b\n"
        "test: /home/me/mine/images/c\n" + DICT,
        LETTERS,
    ),
    "lists of folders": (
        "path: .\ntrain: [images/a]\nval:\n  - images/b\ntest: ['images/c/']\n" + DICT,
        LETTERS,
    ),
    "Roboflow's": ("train: ../images/a\nval: ../images/b\ntest: ../images/c\n" + LIST, LETTERS),
    "list files": (
        "path: ../mine\ntrain: lists/first.txt\nval: lists/second.txt\ntest: lists/third.txt\n"
        + DICT,
        LETTERS,
    ),
}


@pytest.mark.parametrize("form", YAMLS)
def test_data_yaml_says_names_and_splits(form, tmp_path):
    stated, parts = YAMLS[form]
    yolo_set(tmp_path / "set", stated, parts=parts)
    if form == "list files":
        (tmp_path / "set" / "lists").mkdir()
        for name, letter in zip(("first", "second", "third"), "abc", strict=True):
            images = sorted((tmp_path / "set" / "images" / letter).iterdir())
            lines = [f"./images/{letter}/{images[0].name}", f"/data/mine/images/{images[1].name}"]
            (tmp_path / "set" / "lists" / f"{name}.txt").write_text("\n".join(lines))
    catalog = built(tmp_path / "set", "yolo", tmp_path / "catalog")
    require_same(boxes_in(catalog), boxes_made())
    require_splits(catalog)


@pytest.mark.parametrize(
    "stated",
    [
        "train: 5\nval: [7, null]\ntest: {a: b}\npath: [x]\n",
        "train: ../../../etc\nval: /etc\ntest: ''\npath: ../..\n",
        "train: nowhere\nval: nowhere.txt\ntest:\npath: /\n",
        "train: images\nval: images\ntest: images\n",  # every image is in all of them
    ],
)
def test_data_yaml_that_says_nothing_leaves_it_to_the_folders(stated, tmp_path):
    yolo_set(tmp_path / "set", stated + DICT)
    catalog = built(tmp_path / "set", "yolo", tmp_path / "catalog")
    require_splits(catalog)


def test_segments_and_oriented_boxes_of_yolo(tmp_path):
    """Lines of ``/segment`` and ``/obb``: outlines of any number of corners, in parts of sides."""
    rows, columns = SIZES["val"]
    image = tmp_path / "set" / "images" / "val" / "one.jpg"
    image.parent.mkdir(parents=True)
    Image.new("RGB", (columns, rows)).save(image)
    rng = np.random.default_rng(0)
    outlines = [rng.uniform(0, 1, (corners, 2)).round(9) for corners in (4, 3, 5, 17)]
    lines = [
        " ".join([str(at % 3), *(f"{value:.9f}" for value in points.ravel())])
        for at, points in enumerate(outlines)
    ]
    label = tmp_path / "set" / "labels" / "val" / "one.txt"
    label.parent.mkdir(parents=True)
    label.write_text("\n".join(lines))
    (tmp_path / "set" / "data.yaml").write_text("train: images/val\nval: images/val\n" + DICT)
    catalog = built(tmp_path / "set", "yolo", tmp_path / "catalog")
    (item,) = search(catalog)
    found = objects_in(read_bytes(item["assets"]["annotation"]), "one")
    for one, points in zip(found, outlines, strict=True):
        ours, theirs = np.array(one.outline), points * (columns, rows)
        turned = np.concatenate([ours[:1], ours[:0:-1]])  # outer rings turn one way in GeoJSON
        assert min(np.abs(way - theirs).max() for way in (ours, turned)) <= 0.01
    (folder,) = export(Index(catalog), "yolo-obb", tmp_path / "out")
    first = np.array((folder / "labels/val/one.txt").read_text().split()[1:9], float).reshape(4, 2)
    gaps = [np.abs(np.roll(first[::way], k, 0) - outlines[0]) for k in range(4) for way in (1, -1)]
    assert min(gap.max() * columns for gap in gaps) <= 0.01


# --- splits that were made ----------------------------------------------------------------------


def test_a_split_that_was_made_is_the_exports(catalogs, tmp_path):
    catalog = Path(shutil.copytree(catalogs["pycocotools"], tmp_path / "catalog"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        split(catalog, name="own", shares=[0.5, 0.25, 0.25], seed=3, images=False)
    index = Index(catalog, splits="own")
    wanted = {
        item["id"]: {"train": "train", "validation": "val", "test": "test"}[
            item["properties"]["satimnet:split"]
        ]
        for item in search(catalog, splits="own")
    }
    publishers = {name: name.partition("_")[0] for name in wanted}
    assert wanted != publishers
    words = ["export", str(catalog), "--format", "coco", "--splits", "own", "-q"]
    done = CliRunner().invoke(satimnet, [*words, "--out", str(tmp_path / "command")])
    assert done.exit_code == 0, done.output
    for form in (*OBJECT_FORMATS, None):
        if form is None:
            folder = tmp_path / "command" / "mine.coco"
        else:
            (folder,) = export(index, form, tmp_path / "out")
        if form == "voc":
            found = {
                name: path.stem
                for path in (folder / "ImageSets" / "Main").iterdir()
                for name in path.read_text().split()
            }
        else:
            found = {path.stem: path.parent.name for path in folder.rglob("*.jpg")}
        assert found == wanted
