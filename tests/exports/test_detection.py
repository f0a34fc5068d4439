"""Objects in the formats of detectors, read back by the tools that have these formats."""

import json
import shutil
import warnings
from pathlib import Path

import globox
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner
from pycocotools.coco import COCO

from satimnet.builder.chipping import chip
from satimnet.builder.errors import ArgumentError, SatimnetError
from satimnet.builder.exports import OBJECT_FORMATS, export
from satimnet.builder.imagery.masks import draw
from satimnet.builder.imagery.object_shapes import box_of, corners_of
from satimnet.builder.pipeline import build
from satimnet.builder.query.index import Index
from satimnet.builder.query.search import search
from satimnet.builder.samples import Member, Object, Sample
from satimnet.builder.storage.assets import read_bytes
from satimnet.cli.export_command import export as command

DATA = Path(__file__).parents[3] / "shared" / "data"
COLLECTIONS = ["dota", "airbus-ship", "ships"]
SPLITS = {"train": "train", "validation": "val", "test": "test", None: "train"}
HOLED = Object(
    "ship",
    properties={"difficult": 1, "truncated": True},
    polygons=(
        (((5, 5), (45, 5), (45, 35), (5, 35)), ((15, 12), (15, 20), (30, 20), (30, 12))),
        (((50, 40), (58, 40), (58, 47), (50, 47)),),
    ),
)


@pytest.fixture(scope="module")
def catalog(demo, tmp_path_factory) -> Path:
    """The demo's catalog, chips of DOTA, and an image with an object with a hole; read-only."""
    from satimnet.builder.datasets import Dataset
    from satimnet.builder.imagery.encoding import encode_geotiff
    from satimnet.builder.imagery.grids import Grid
    from stactools.airbus_ship import dataset

    catalog = Path(shutil.copytree(demo / "catalog", tmp_path_factory.mktemp("det") / "catalog"))
    chip(catalog, "dota", (96, 96), min_inside=0.3)
    record = json.loads(json.dumps(dataset.record.content)) | {"id": "ships"}
    (image,) = [key for key, one in record["assets"].items() if "bands" in one and key != "mask"]
    record["assets"][image] |= {"type": "image/tiff; application=geotiff"}
    record["assets"][image].pop("shape", None)
    pixels = np.arange(3 * 50 * 60, dtype=np.uint8).reshape(3, 50, 60)
    member = Member(image, "one.tif", encode_geotiff(pixels, Grid((50, 60), None, None)))
    plain = Object("ship", ((0.25, 1.5), (9.75, 1.5), (9.75, 8.125), (0.25, 8.125)))
    sample = Sample("one", (), (member,), objects=(HOLED, plain))
    made = Dataset(record, lambda *_: iter([sample]))
    build([], catalog, assigned={"ships": ()}, datasets={"ships": made}, overview=False)
    return catalog


@pytest.fixture(scope="module")
def exported(catalog, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("exported")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for form in OBJECT_FORMATS:
            export(Index(catalog), form, out, collections=[*COLLECTIONS, "dota-chips"])
    return out


def labelled(catalog, collection) -> dict[str, dict]:
    """Annotated Items by id, with their objects."""
    from satimnet.builder.imagery.annotations import objects_in

    found = {}
    for item in search(catalog, collections=[collection]):
        if "annotation" in item["assets"]:
            objects = objects_in(read_bytes(item["assets"]["annotation"]), item["id"])
            found[item["id"]] = item | {"objects": objects}
    assert found
    return found


def image_of(item) -> dict:
    return next(a for a in item["assets"].values() if a.get("bands") and "mask" not in a["roles"])


@pytest.mark.parametrize("collection", [*COLLECTIONS, "dota-chips"])
def test_pycocotools_reads_the_same_objects(catalog, exported, collection):
    wanted = labelled(catalog, collection)
    folder, seen = exported / f"{collection}.coco", set()
    for path in sorted((folder / "annotations").iterdir()):
        coco = COCO(str(path))
        split = path.stem.removeprefix("instances_")
        for number, about in coco.imgs.items():
            id_ = Path(about["file_name"]).stem
            item = wanted[id_]
            seen.add(id_)
            assert SPLITS[item["properties"].get("satimnet:split")] == split
            data = (folder / split / about["file_name"]).read_bytes()
            assert data == read_bytes(image_of(item))
            shape = (about["height"], about["width"])
            found = coco.loadAnns(coco.getAnnIds(number))
            assert len(found) == len(item["objects"])
            for one, origin in zip(found, item["objects"], strict=True):
                assert coco.cats[one["category_id"]]["name"] == origin.name
                left, top, width, height = one["bbox"]
                box = (left, top, left + width, top + height)
                assert np.abs(np.subtract(box, box_of(origin))).max() <= 0.01
                assert one.get("attributes", {}) == dict(origin.properties)
                drawn = next(draw([origin], {origin.name: 1}, shape))
                read = coco.annToMask(one)
                if isinstance(one["segmentation"], dict):
                    assert (read == drawn).all()
                else:  # pycocotools counts pixels at the edge otherwise
                    edge = 4 * (width + height) + 8
                    assert (read != drawn).sum() <= edge
                    assert one["area"] == pytest.approx(drawn.sum(), abs=edge)
    assert seen == set(wanted)


def test_holes_are_kept(exported):
    coco = COCO(str(exported / "ships.coco" / "annotations" / "instances_train.json"))
    holed = next(a for a in coco.anns.values() if isinstance(a["segmentation"], dict))
    assert holed["area"] == 40 * 30 - 15 * 8 + 8 * 7 == coco.annToMask(holed).sum()


def boxes_of(item) -> list[tuple]:
    rows, columns = image_of(item).get("proj:shape") or item["properties"]["proj:shape"]
    clipped = [
        (o.name, *np.clip(box_of(o), 0, [columns, rows, columns, rows])) for o in item["objects"]
    ]
    return [one for one in clipped if one[3] > one[1] and one[4] > one[2]]


def require_same(found, wanted) -> None:
    assert len(found) == len(wanted)
    for (name, *box), (origin, *other) in zip(found, wanted, strict=True):
        assert name == origin
        assert np.abs(np.subtract(box, other)).max() <= 0.01


@pytest.mark.parametrize("collection", [*COLLECTIONS, "dota-chips"])
def test_globox_reads_the_same_boxes_of_yolo_and_voc(catalog, exported, collection):
    wanted = labelled(catalog, collection)
    yolo, voc = exported / f"{collection}.yolo", exported / f"{collection}.voc"
    names = yaml.safe_load((yolo / "data.yaml").read_text())["names"]
    seen = set()
    for labels in sorted((yolo / "labels").iterdir()):
        images = yolo / "images" / labels.name
        endings = {path.suffix for path in images.iterdir()}
        (ending,) = endings
        read = globox.AnnotationSet.from_yolo_v5(
            labels, image_folder=images, image_extension=ending
        )
        for id_ in read.image_ids:
            item = wanted[Path(id_).stem]
            seen.add(item["id"])
            found = [(names[int(b.label)], *b.ltrb) for b in read[id_].boxes]
            require_same(found, boxes_of(item))
            assert (images / f"{item['id']}{ending}").read_bytes() == read_bytes(image_of(item))
    assert seen == set(wanted)
    read = globox.AnnotationSet.from_pascal_voc(voc / "Annotations")
    assert {Path(id_).stem for id_ in read.image_ids} == set(wanted)
    for id_ in read.image_ids:
        item = wanted[Path(id_).stem]
        found = [(b.label, *b.ltrb) for b in read[id_].boxes]
        require_same(found, [(o.name, *box_of(o)) for o in item["objects"]])
        assert (voc / "JPEGImages" / id_).is_file()
    listed = [
        name for path in (voc / "ImageSets" / "Main").iterdir() for name in path.read_text().split()
    ]
    assert sorted(listed) == sorted(wanted)


def test_corners_are_those_of_the_oriented_boxes(catalog, exported):
    for id_, item in labelled(catalog, "dota").items():
        (path,) = exported.glob(f"dota.yolo-obb/labels/*/{id_}.txt")
        rows, columns = image_of(item).get("proj:shape") or item["properties"]["proj:shape"]
        lines = path.read_text().splitlines()
        assert len(lines) == len(item["objects"])
        for line, origin in zip(lines, item["objects"], strict=True):
            corners = np.array(line.split()[1:], float).reshape(4, 2) * (columns, rows)
            inside = np.clip(corners_of(origin), 0, (columns, rows))
            assert np.abs(corners - inside).max() <= 0.01


def test_voc_says_what_is_truncated_and_difficult(exported):
    text = (exported / "ships.voc" / "Annotations" / "one.xml").read_text()
    assert text.count("<truncated>1</truncated>") == text.count("<difficult>1</difficult>") == 1


@pytest.mark.real
@pytest.mark.parametrize("form", ["coco", "yolo"])
def test_real_dota_keeps_every_box(tmp_path, form):
    source = DATA / "dota" / "train"
    if not source.is_dir():
        pytest.skip("needs the real samples in ../shared/data")
    shutil.copytree(source, tmp_path / "dota" / "train")
    build([tmp_path / "dota"], tmp_path / "catalog", overview=False)
    (folder,) = export(Index(tmp_path / "catalog"), form, tmp_path / "out")
    published = sorted(path for path in source.rglob("*.txt"))
    count = 0
    for path in published:
        rows = [line.split() for line in path.read_text().splitlines()]
        rows = [row for row in rows if len(row) >= 9]
        quads = np.array([row[:8] for row in rows], float).reshape(-1, 4, 2)
        wanted = np.concatenate([quads.min(axis=1), quads.max(axis=1)], axis=1)
        if form == "coco":
            coco = COCO(str(folder / "annotations" / "instances_train.json"))
            (image,) = [i for i in coco.imgs.values() if Path(i["file_name"]).stem == path.stem]
            boxes = np.array([a["bbox"] for a in coco.loadAnns(coco.getAnnIds(image["id"]))])
            found = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
        else:
            shape = {"P0706": (1111, 1182), "P1888": (712, 557)}[path.stem]
            text = (folder / "labels" / "train" / path.name).read_text()
            table = np.array([line.split()[1:] for line in text.splitlines()], float)
            table *= [*shape, *shape]
            half = table[:, 2:] / 2
            found = np.concatenate([table[:, :2] - half, table[:, :2] + half], axis=1)
            wanted = np.clip(wanted, 0, [*shape, *shape])
        assert np.abs(found - wanted).max() <= 0.01
        count += len(found)
    assert count == 536 + 64


def test_a_folder_is_there_as_a_whole_or_not_at_all(catalog, tmp_path):
    done = CliRunner().invoke(
        command, [str(catalog), "--format", "coco", "--collection", "eurosat", "--out", tmp_path]
    )
    assert done.exit_code != 0
    assert "has no objects" in done.output
    broken = Path(shutil.copytree(catalog, tmp_path / "broken"))
    (shard,) = broken.glob("ships/shards/*.zip")
    shard.write_bytes(shard.read_bytes()[:100])
    out = tmp_path / "out"
    for form in OBJECT_FORMATS:
        with pytest.raises(SatimnetError) as error:
            export(Index(broken), form, out, collections=["ships"])
        assert "\n" not in str(error.value)
    assert [path.name for path in out.iterdir() if not path.name.startswith(".")] == []
    (folder,) = export(Index(catalog), "voc", out, collections=["ships"])
    before = sorted(folder.rglob("*"))
    with pytest.raises(ArgumentError, match="is there already"):
        export(Index(catalog), "voc", out, collections=["ships"])
    assert sorted(folder.rglob("*")) == before


def test_splits_that_detectors_do_not_know_are_refused(tmp_path):
    from satimnet.builder.layouts import layout_dataset, write_set

    folder = write_set(tmp_path / "set", "coco", ["ship"])
    dataset = layout_dataset([folder], "coco", "ships")
    places, datasets = {"ships": [folder]}, {"ships": dataset}
    build([], tmp_path / "catalog", assigned=places, datasets=datasets, overview=False)
    (path,) = (tmp_path / "catalog" / "ships").rglob("items.parquet")
    table = pq.read_table(path)
    at = table.column_names.index("satimnet:split")
    splits = pa.array(["train"] * (len(table) - 1) + ["dev"])
    pq.write_table(table.set_column(at, "satimnet:split", splits), path)
    with pytest.raises(ArgumentError, match=r"ships/.*'dev' is none of train, validation, test"):
        export(Index(tmp_path / "catalog"), "coco", tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))
