"""What must hold of every dataset, seen on the catalog of all miniatures together."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pystac
import pytest
from click.testing import CliRunner
from published import home_of
from rasterio.io import MemoryFile
from stactools.cli.cli import cli

from satimnet.builder import build, search, validate
from satimnet.builder.datasets import installed, recognise
from satimnet.builder.samples import Sample
from satimnet.builder.sources import Entry, Source
from satimnet.builder.storage.assets import read_bytes

DATASETS = sorted(installed())
# What a publisher vouches for; elsewhere a time or a place would be made up.
TIMED = {"bigearthnet", "bigearthnet-v2"}
PLACED = {"bigearthnet", "bigearthnet-v2", "clouds-s2-taiwan", "eurosat", "inria", "xview"}


@pytest.fixture(scope="module")
def top(sources) -> Path:
    return next(path for path in next(iter(sources.values()))[0].parents if path.name == "all")


@pytest.fixture(scope="module")
def everything(top, tmp_path_factory) -> Path:
    """The catalog of all, each folder recognised by its layout."""
    out = tmp_path_factory.mktemp("built") / "catalog"
    reports = build(sorted(top.iterdir()), out)
    assert {report.dataset for report in reports} == set(DATASETS)
    return out


@pytest.fixture(scope="module")
def items(everything) -> dict[str, list[dict]]:
    return {name: list(search(everything, collections=[name])) for name in DATASETS}


def pixels(asset: dict) -> tuple[np.ndarray, object, object]:
    """Pixels, CRS and transform of a member, read out of its shard."""
    with MemoryFile(read_bytes(asset)) as memory, memory.open() as image:
        return image.read(), image.crs, image.transform


def test_every_dataset_has_a_miniature(sources):
    assert sorted(sources) == DATASETS


def test_datasets_beside_each_other_are_told_apart(top):
    """A folder of several datasets counts as so many sources, one of a dataset alone as one."""
    groups, unknown = recognise([top], installed())
    assert unknown == []
    assert groups == recognise(sorted(top.iterdir()), installed())[0]
    assert sorted(groups) == DATASETS
    for folder in top.iterdir():
        groups, _ = recognise([folder], installed())
        assert [source.paths for source in groups.values()] == [(folder,)]


def test_sources_of_which_nothing_comes_are_warned_of(sources, tmp_path):
    labels = next(path for path in sources["xview"][0].parent.rglob("xView_train.geojson"))
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / labels.name).write_bytes(labels.read_bytes())
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange/notes.txt").write_text("nothing")
    good = sources["uc-merced"][0]
    arguments = ["satimnet", "build", good, tmp_path / "labels", tmp_path / "strange", "-q"]
    arguments += ["--scheduler", "threads"]
    done = CliRunner().invoke(cli, list(map(str, [*arguments, "--out", tmp_path / "catalog"])))
    assert done.exit_code == 0, done.output
    first, second = done.stderr.splitlines()
    assert first.startswith("Warning: xview: no item, so no collection: ")
    assert second == f"Warning: {tmp_path / 'strange'}: not the layout of a known dataset; left out"


def test_the_catalog_is_valid(everything, schemas):
    findings = validate(everything, schemas=schemas, checksums=True)
    assert findings.problems == []


@pytest.mark.parametrize("name", DATASETS)
def test_counts_agree(name, everything, items):
    folder = home_of(everything, name)
    report = json.loads((folder / "build-report.json").read_text())
    tree = [
        path.stem
        for path in folder.rglob("*.json")
        if json.loads(path.read_text()).get("type") == "Feature"
    ]
    rows = pq.read_table(folder / "items.parquet", columns=["id"])["id"].to_pylist()
    collection = pystac.Collection.from_file(str(folder / "collection.json"))
    linked = {item.id for item in collection.get_items(recursive=True)}
    assert Counter(tree) == Counter(rows) == Counter(item["id"] for item in items[name])
    assert len(linked) == len(rows) == report["items"] > 0


@pytest.mark.parametrize("name", DATASETS)
def test_no_place_and_no_time_is_made_up(name, items):
    placed = [item for item in items[name] if item["geometry"] is not None]
    assert bool(placed) == (name in PLACED)
    for item in placed:
        parts = (item["properties"], *item["assets"].values())
        assert any("proj:transform" in part for part in parts)
    properties = [item["properties"] for item in items[name]]
    assert any(fields["datetime"] for fields in properties) == (name in TIMED)
    for fields in properties:
        if fields["datetime"] is None:
            assert fields["start_datetime"] < fields["end_datetime"]


@pytest.mark.parametrize("name", DATASETS)
def test_masks_lie_on_their_images(name, items):
    record = installed()[name].record
    masks = {key for key, spec in record["assets"].items() if "mask" in spec["roles"]}
    images = [k for k, spec in record["assets"].items() if "bands" in spec and k not in masks]
    seen = 0
    for item in items[name]:
        for key in masks & set(item["assets"]):
            spec = record["assets"][key]
            values = {row["value"] for row in spec.get("classes", record["classes"])} | {0}
            mask, crs, transform = pixels(item["assets"][key])
            image, image_crs, image_transform = pixels(
                item["assets"][next(k for k in images if k in item["assets"])]
            )
            assert mask.shape == (1, *image.shape[1:])
            assert mask.dtype == np.uint8
            assert set(np.unique(mask).tolist()) <= values
            if image_crs is not None:
                assert (crs, transform) == (image_crs, image_transform)
            seen += 1
    assert (seen > 0) == bool(masks)


@pytest.mark.parametrize("name", DATASETS)
def test_there_is_an_overview_to_look_at(name, everything):
    collection = json.loads((home_of(everything, name) / "collection.json").read_text())
    (asset,) = (a for a in collection["assets"].values() if "overview" in a["roles"])
    with (
        MemoryFile((home_of(everything, name) / asset["href"]).read_bytes()) as m,
        m.open() as image,
    ):
        assert image.driver == "PNG"
        assert min(image.shape) > 300
        assert image.read().std() > 10


@pytest.mark.parametrize("name", DATASETS)
def test_commands_of_each(name, sources, tmp_path):
    def stac(*arguments: object) -> None:
        done = CliRunner().invoke(cli, [name, *map(str, arguments)])
        assert done.exit_code == 0, done.output

    stac("create-collection", tmp_path / "collection.json")
    collection = pystac.Collection.from_file(str(tmp_path / "collection.json"))
    assert collection.id == name
    dataset = installed()[name]
    (tmp_path / "unpacked").mkdir()
    source = Source(tuple(sources[name]), tmp_path / "unpacked")
    sample = next(found for found in dataset.scan(source) if isinstance(found, Sample))
    with source.reader() as reader:
        for entry in (member.entry for member in sample.members):
            if isinstance(entry, Entry):
                path = tmp_path / "open" / entry.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(reader.read(entry))
    files = sorted(path for path in (tmp_path / "open").rglob("*") if path.is_file())
    stac("create-item", *files, tmp_path / "item.json")
    item = pystac.Item.from_file(str(tmp_path / "item.json"))
    assert item.id == sample.id
    assert item.assets
