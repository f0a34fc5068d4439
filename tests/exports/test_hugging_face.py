"""The folder for Hugging Face, loaded by ``datasets`` and looked into without it."""

import io
import json
import os
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
import yaml
from PIL import Image
from published import home_of

from satimnet.builder import build, gdal_path, read_bytes, search, split
from satimnet.builder.errors import SatimnetError
from satimnet.builder.exports import export, hugging_face
from satimnet.builder.exports.dataset_card import escaped, size_category
from satimnet.builder.imagery.annotations import objects_in
from satimnet.builder.query.index import Index

COLLECTIONS = ("eurosat", "dota", "bigearthnet", "clouds-s2-taiwan")


@pytest.fixture(scope="module")
def catalog(sources, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("hub") / "catalog"
    build([], out, assigned={name: sources[name] for name in COLLECTIONS}, overview=False)
    return out


@pytest.fixture(scope="module")
def folder(catalog, tmp_path_factory) -> Path:
    (made,) = export(Index(catalog), "hugging-face", tmp_path_factory.mktemp("exported"))
    return made


@pytest.fixture(scope="module")
def load(folder):
    """`load_dataset` of the folder, without a network and without a cache."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("HF_HUB_OFFLINE", "1")
        datasets = pytest.importorskip("datasets", reason="datasets is not installed")
        yield lambda name: datasets.load_dataset(str(folder), name, streaming=True)


def items_of(catalog: Path, name: str) -> dict[str, dict]:
    return {item["id"]: item for item in search(catalog, collections=[name])}


@pytest.mark.parametrize("name", COLLECTIONS)
def test_datasets_streams_counts_classes_and_pixels(load, catalog, name):
    items = items_of(catalog, name)
    splits = load(name)
    found = 0
    for part, rows in splits.items():
        labels = rows.features.get("label") or rows.features["labels"].feature
        for row in rows:
            item = items[row["id"]]
            found += 1
            assert item["properties"].get("satimnet:split", "train") == part
            classes = item["properties"].get("satimnet:classes")
            if "label" in row:
                assert [labels.int2str(row["label"])] == classes
            else:
                numbers = row["labels"]
                assert (numbers and [labels.int2str(n) for n in numbers]) == classes
            for key, asset in item["assets"].items():
                if isinstance(row.get(key), Image.Image):
                    with rasterio.open(gdal_path(asset)) as image:
                        pixels = np.moveaxis(image.read(), 0, -1).squeeze()
                    shown = np.asarray(row[key]).astype(int)
                    if asset["archive"][0]["type"] != "image/jpeg":  # its decoders differ
                        assert (shown == pixels).all()
                    assert shown.shape == pixels.shape
    assert found == len(items)


def test_what_pillow_cannot_open_is_there_as_bytes(load, catalog):
    items = items_of(catalog, "eurosat")
    row = next(iter(load("eurosat")["train"]))
    asset = items[row["id"]]["assets"]["multispectral"]
    found = row["multispectral"]
    assert found["bytes"] == read_bytes(asset)
    assert (found["width"], found["height"], found["dtype"]) == (64, 64, "uint16")
    with rasterio.MemoryFile(found["bytes"]) as file, file.open() as image:
        assert image.count == len(found["bands"]) == 13
        assert image.dtypes[0] == found["dtype"]
    assert found["bands"][-1] == "B8A"
    assert found["path"] == asset["archive"][0]["href"]
    assert row["bbox"] == items[row["id"]]["bbox"]


def test_objects_are_boxes_and_categories(load, catalog):
    items = items_of(catalog, "dota")
    checked = 0
    for rows in load("dota").values():
        names = rows.features["objects"]["category"].feature
        for row in rows:
            asset = items[row["id"]]["assets"].get("annotation")
            if asset is None:
                assert row["objects"] is None
                continue
            objects = objects_in(read_bytes(asset), row["id"])
            assert [names.int2str(n) for n in row["objects"]["category"]] == [
                one.name for one in objects
            ]
            for (x, y, width, height), one in zip(row["objects"]["bbox"], objects, strict=True):
                points = np.array(one.outline)
                assert (x, y) == tuple(points.min(0))
                assert (x + width, y + height) == pytest.approx(tuple(points.max(0)))
                checked += 1
    assert checked > 10


# --- without datasets -----------------------------------------------------------------------------


def head_of(folder: Path) -> dict:
    _, head, _ = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(head)


def test_the_card_names_what_there_is(catalog, folder):
    head = head_of(folder)
    assert head["license"] == "other"  # there are four
    assert (folder / head["license_link"]).read_text().count("\n- ") == len(COLLECTIONS)
    assert head["size_categories"] == ["n<1K"]
    tasks = ["image-classification", "image-segmentation", "object-detection"]
    assert head["task_categories"] == tasks
    named = {path for c in head["configs"] for one in c["data_files"] for path in one["path"]}
    assert named == {str(path.relative_to(folder)) for path in folder.rglob("*.parquet")}
    assert {config["config_name"] for config in head["configs"]} == set(COLLECTIONS)


def test_a_card_of_one_collection(catalog, tmp_path):
    (folder,) = export(Index(catalog), "hugging-face", tmp_path, collections=["eurosat"])
    head = head_of(folder)
    assert head["license"] == "mit"
    assert head["pretty_name"] == Index(catalog).collections["eurosat"].document.title
    text = (folder / "README.md").read_text()
    assert "10.1109/JSTARS.2019.2918242" in text
    assert "| 1 | Forest | 2 | Forest |" in text
    files = [pq.ParquetFile(path) for path in sorted(folder.rglob("*.parquet"))]
    assert sum(file.metadata.num_rows for file in files) == len(items_of(catalog, "eurosat"))
    file = files[0]
    said = json.loads(file.schema_arrow.metadata[b"huggingface"])["info"]["features"]
    assert list(said) == file.schema_arrow.names
    first = file.read_row_group(0).to_pylist()[0]
    with Image.open(io.BytesIO(first["rgb"]["bytes"])) as image:
        assert image.size == (64, 64)


def test_foreign_text_is_no_markdown_and_no_yaml(catalog, tmp_path):
    evil = 'x: "y"\n---\n# [a](javascript:b) <script>|`` ![](http://e/?q)\n\n- one\x1b[2J'
    broken = Path(shutil.copytree(catalog, tmp_path / "broken"))
    path = home_of(broken, "eurosat") / "collection.json"
    document = json.loads(path.read_bytes())
    document |= {"title": evil, "description": evil, "keywords": [evil], "sci:citation": evil}
    document["summaries"]["classification:classes"][0]["title"] = evil
    path.write_text(json.dumps(document))
    (folder,) = export(Index(broken), "hugging-face", tmp_path, collections=["eurosat"])
    head = head_of(folder)
    assert head["tags"][0] == head["pretty_name"]
    assert head["pretty_name"].startswith('x: "y" --- # [a]')
    text = (folder / "README.md").read_text()
    assert "\x1b" not in text
    body = text.split("---\n", 2)[2]
    outside = re.sub(r"(?s)(```+)[a-z]+\n.*?\n\1\n", "", body)
    assert "<script" not in outside
    assert not re.search(r"(?<!\\)\[", outside)
    assert len(re.findall(r"^# ", outside, re.MULTILINE)) == 1


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a_b*c*", r"a\_b\*c\*"),
        ("1. one", r"1\. one"),
        ("- one", r"\- one"),
        ("a|b <c> & d", r"a\|b &lt;c&gt; &amp; d"),
    ],
)
def test_escaped(text, plain):
    assert escaped(text) == plain


def test_sizes():
    assert [size_category(n) for n in (999, 1000, 590_326)] == [
        "n<1K",
        "1K<n<10K",
        "100K<n<1M",
    ]


@pytest.mark.parametrize("how", [{"shares": (0.5, 0.25, 0.25)}, {"folds": 2}])
def test_the_splits_of_a_catalog(catalog, tmp_path, how):
    copy = Path(shutil.copytree(catalog, tmp_path / "copy"))
    split(copy, name="mine", collections=["eurosat"], images=False, **how)
    index = Index(copy, splits="mine")
    (folder,) = export(index, "hugging-face", tmp_path, collections=["eurosat"])
    expected = {
        item["id"]: (
            item["properties"].get("satimnet:split", "train"),
            item["properties"].get("satimnet:fold"),
        )
        for item in search(index, collections=["eurosat"])
    }
    found = {}
    for config in head_of(folder)["configs"]:
        for one in config["data_files"]:
            for path in one["path"]:
                for row in pq.read_table(folder / path).to_pylist():
                    found[row["id"]] = (one["split"], row.get("fold"))
    assert found == expected
    splits, folds = map(set, zip(*found.values(), strict=True))
    assert folds == {0, 1} if "folds" in how else len(splits) == 3


# --- files ----------------------------------------------------------------------------------------


def test_rows_go_into_several_files_and_a_second_run_takes_those_that_are_there(
    catalog, tmp_path, monkeypatch
):
    monkeypatch.setattr(hugging_face, "_PART", 1_000_000)
    monkeypatch.setattr(hugging_face, "_GROUP", 300_000)
    index = Index(catalog)
    (whole,) = export(index, "hugging-face", tmp_path / "a", collections=["eurosat"])
    parts = sorted(whole.rglob("*.parquet"))
    assert len(parts) > 3
    assert max(path.stat().st_size for path in parts) < 1_100_000
    assert sum(pq.ParquetFile(path).num_row_groups for path in parts) > len(parts)

    broken = Path(shutil.copytree(catalog, tmp_path / "broken"))
    shard = sorted((broken / "eurosat" / "shards").glob("*.zip"))[-1]
    data = shard.read_bytes()
    shard.unlink()
    with pytest.raises(SatimnetError):
        export(Index(broken), "hugging-face", tmp_path / "b", collections=["eurosat"])
    made = tmp_path / "b" / ".hugging-face.exporting" / "made" / "eurosat"
    kept = {path.name: path.stat().st_ino for path in made.glob("*.parquet")}
    assert kept
    shard.write_bytes(data)
    (again,) = export(Index(broken), "hugging-face", tmp_path / "b", collections=["eurosat"])
    assert {path.name: path.read_bytes() for path in sorted(again.rglob("*.parquet"))} == {
        path.name: path.read_bytes() for path in parts
    }
    for name, inode in kept.items():
        assert (again / "eurosat" / name).stat().st_ino == inode
    assert os.listdir(tmp_path / "b") == ["hugging-face"]


def test_files_of_their_own(catalog, tmp_path, monkeypatch):
    """As another program's catalog may have them, which says no sizes either."""
    monkeypatch.setattr(hugging_face, "_ROWS", 2)  # row groups
    other = Path(shutil.copytree(catalog, tmp_path / "other"))
    home = home_of(other, "clouds-s2-taiwan")
    table = pq.read_table(home / "items.parquet")
    rows = table["assets"].to_pylist()
    for number, row in enumerate(rows):
        for key, asset in row.items():
            if asset is None:
                continue
            place = os.path.normpath(home / asset["href"])
            data = read_bytes({"href": place, "archive": asset.pop("archive")})
            asset["href"] = f"./{number}-{key}.tif"
            (home / asset["href"]).write_bytes(data)
    kinds = [
        (asset.name, pa.struct([field for field in asset.type if field.name != "archive"]))
        for asset in table["assets"].type
    ]
    plain = pa.array(rows, pa.struct(kinds))
    pq.write_table(
        table.drop_columns("assets").append_column("assets", plain), home / "items.parquet"
    )
    for where in (catalog, other):
        export(
            Index(where), "hugging-face", tmp_path / where.name, collections=["clouds-s2-taiwan"]
        )
    found = [
        pq.read_table(tmp_path / name / "hugging-face/clouds-s2-taiwan/train-00000.parquet")
        for name in (catalog.name, other.name)
    ]
    ours, theirs = (
        [(row["id"], row["image"]["bytes"], row["mask"]) for row in one.to_pylist()]
        for one in found
    )
    assert [row[:2] for row in ours] == [row[:2] for row in theirs]
    assert [row[2] and row[2]["bytes"] for row in ours] == [
        row[2] and row[2]["bytes"] for row in theirs
    ]


def test_rows_that_are_none_end_with_one_line(catalog, tmp_path):
    broken = Path(shutil.copytree(catalog, tmp_path / "broken"))
    path = home_of(broken, "eurosat") / "items.parquet"
    table = pq.read_table(path)
    rows = table["assets"].to_pylist()
    for row in rows:
        row["multispectral"]["archive"][0]["range"] = [5, 1]
    spoilt = pa.array(rows, table["assets"].type)
    pq.write_table(table.drop_columns("assets").append_column("assets", spoilt), path)
    with pytest.raises(SatimnetError) as error:
        export(Index(broken), "hugging-face", tmp_path / "out", collections=["eurosat"])
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out" / "hugging-face").exists()


def test_images_are_asked_for(sources, tmp_path):
    build([], tmp_path / "catalog", assigned={"uc-merced": sources["uc-merced"]}, overview=False)
    path = home_of(tmp_path / "catalog", "uc-merced") / "collection.json"
    document = json.loads(path.read_bytes())
    del document["item_assets"]
    path.write_text(json.dumps(document))
    with pytest.raises(SatimnetError, match="uc-merced: has no images to write"):
        export(Index(tmp_path / "catalog"), "hugging-face", tmp_path / "out")
    assert not (tmp_path / "out").exists()
