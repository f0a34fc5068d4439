"""A catalog is read in the same way wherever it lies: on disk, on the web, in an object store."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import rasterio
from click.testing import CliRunner
from faulty_host import hosting
from serving import served
from stactools.cli.cli import cli

from satimnet.builder import diff, gdal_path, open, read_bytes, search
from satimnet.builder.exports import export
from satimnet.builder.query.index import Index
from satimnet.builder.storage import objects
from satimnet.builder.transfer.mirror import copy_catalog
from satimnet.builder.transfer.subset import copy_found, save_found
from satimnet.training import open_samples

KINDS = ("disk", "http", "s3")
SIGNED = "?sig=a/b%3D"


@dataclass
class Place:
    """Where the catalog of the miniature lies."""

    root: str
    folder: Path
    """The same files on disk."""

    def here(self, text: str) -> str:
        """The text as it would be if the catalog lay on disk."""
        return text.replace(self.root, str(self.folder))


@pytest.fixture(scope="session", params=KINDS)
def place(request, catalog, serve):
    if request.param == "disk":
        yield Place(str(catalog), catalog)
    elif request.param == "http":
        with serve(catalog) as url:
            yield Place(url, catalog)
    else:
        root = f"{request.getfixturevalue('bucket')}/my data+ü"
        for file in objects.files_below(str(catalog)):
            objects.write(f"{root}/{os.path.relpath(file.place, catalog)}", Path(file.place))
        yield Place(root, catalog)


def run(*arguments: object) -> str:
    done = CliRunner().invoke(cli, ["satimnet", *(str(one) for one in arguments)])
    assert done.exit_code == 0, done.output
    return done.output


def test_versions_are_compared(place):
    found = diff(place.folder, place.root)
    (collection,) = found.collections
    assert (collection.old_items, collection.new_items, found.differs) == (40, 40, False)
    alone = Index(place.root).collections["eurosat"].href
    assert not diff(alone, place.folder).differs
    assert not diff(alone, alone).differs


@pytest.mark.parametrize(
    "arguments",
    [
        ("info",),
        ("info", "--attributes"),
        ("search", "--class", "River", "--count"),
        ("search", "--class", "River", "--limit", "2", "--format", "json"),
    ],
    ids=" ".join,
)
def test_commands_say_the_same(place, arguments):
    command, *options = arguments
    here = run(command, place.folder, *options)
    assert place.here(run(command, place.root, *options)) == here


def test_concepts(place):
    assert run("concepts", "--catalog", place.root) == run("concepts", "--catalog", place.folder)


def test_items_lead_to_their_files(place):
    theirs = list(search(place.root, sortby="id", limit=9))
    ours = list(search(place.folder, sortby="id", limit=9))
    assert len(theirs) == 9
    for there, here in zip(theirs, ours, strict=True):
        assert place.here(json.dumps(there, ensure_ascii=False)) == json.dumps(
            here, ensure_ascii=False
        )
        for key, asset in there["assets"].items():
            assert read_bytes(asset) == read_bytes(here["assets"][key])
    with rasterio.open(gdal_path(theirs[0]["assets"]["rgb"])) as image:
        assert image.shape == (64, 64)


def test_clients(place):
    client = open(place.root)
    (item,) = client.search(ids=["River_2"]).items()
    (here,) = open(place.folder).search(ids=["River_2"]).items()
    assert read_bytes(item.assets["rgb"]) == read_bytes(here.assets["rgb"])
    assert [one.id for one in client.get_collections()] == ["eurosat"]
    (child,) = client.get_children()
    assert child.get_self_href() == f"{place.root}/eurosat/collection.json"
    assert child.get_root() is client


def test_copies(place, tmp_path):
    copied = copy_catalog(place.root, tmp_path / "copy")
    files = {str(p.relative_to(place.folder)) for p in place.folder.rglob("*") if p.is_file()}
    there = {
        str(p.relative_to(tmp_path / "copy")) for p in (tmp_path / "copy").rglob("*") if p.is_file()
    }
    assert there <= files
    assert "eurosat/shards/River-00000.zip" in there
    assert copied.files == len(there)
    for name in there:
        assert (tmp_path / "copy" / name).read_bytes() == (place.folder / name).read_bytes()


def test_what_is_found_is_saved(place, tmp_path):
    found = search(place.root, classes="River")
    save_found(found, tmp_path / "saved")
    again = list(search(tmp_path / "saved"))
    assert [item["id"] for item in again] == [item["id"] for item in found]
    for item, before in zip(again, found, strict=True):
        assert read_bytes(item["assets"]["rgb"]) == read_bytes(before["assets"]["rgb"])
    copy_found(found, tmp_path / "packed")
    shutil.copytree(tmp_path / "packed", tmp_path / "elsewhere")
    assert len(list(search(tmp_path / "elsewhere"))) == len(again)


def test_exports(place, tmp_path):
    (theirs,) = export(Index(place.root), "trainingdml", tmp_path / "there")
    (ours,) = export(Index(place.folder), "trainingdml", tmp_path / "here")
    assert len(json.loads(theirs.read_text())["data"]) == len(json.loads(ours.read_text())["data"])


def test_batches(place):
    options = {"bands": ["B04", "B11"], "shuffle": True, "seed": 5}
    theirs = open_samples(place.root).search().to_batches(7, **options)
    ours = open_samples(place.folder).search().to_batches(7, **options)
    for there, here in zip(theirs, ours, strict=True):
        assert there.images.equal(here.images)
        assert there.labels.equal(here.labels)


@pytest.mark.slow
def test_a_network_is_trained_and_judged(place, tmp_path, one_thread):
    options = ("--bands", "B04,B11", "--device", "cpu")
    run("train", place.root, *options, "--epochs", 1, "--holdout", 0.5, "--out", tmp_path, "-q")
    checkpoint = tmp_path / "checkpoint.pt"
    run(
        *("evaluate", place.root, "--checkpoint", checkpoint, "--device", "cpu"),
        *("--out", tmp_path / "judged"),
    )
    assert list((tmp_path / "judged").iterdir())


def test_it_is_served(place):
    import urllib.request

    with served(place.root) as (url, _):
        with urllib.request.urlopen(f"{url}collections/eurosat/items/River_2") as answer:
            item = json.load(answer)
        assert item["id"] == "River_2"
        with urllib.request.urlopen(f"{url}thumbnails/eurosat/River_2.png") as answer:
            assert answer.read(4) == b"\x89PNG"


def test_signed_urls(catalog):
    files = {
        f"/{path.relative_to(catalog)}": path.read_bytes()
        for path in catalog.rglob("*")
        if path.is_file()
    }
    with hosting(files, "token") as host:
        url = f"{host.url}/catalog.json{SIGNED}"
        assert run("search", url, "--count") == run("search", catalog, "--count")
        client = open(url)
        (item,) = client.search(ids=["River_2"]).items()
        assert item.get_root() is client
        assert [one.id for one in client.get_children()] == ["eurosat"]
        (here,) = open(catalog).search(ids=["River_2"]).items()
        assert read_bytes(item.assets["rgb"]) == read_bytes(here.assets["rgb"])
        assert item.assets["rgb"].href.endswith(SIGNED)
        batches = open_samples(url).search().to_batches(8, bands=["B04"])
        assert sum(len(batch.indices) for batch in batches) == len(list(search(catalog)))


RECIPE = """
id = "fused"
title = "Fused"
description = "Some patches."
seed = 3
folds = 2
bands = ["B04", "B02"]
size = [64, 64]

[[classes]]
value = 1
name = "River"
concept = "water"

[[draws]]
collection = "eurosat"
classes = ["River"]
number = 3
to = "River"
"""


@pytest.mark.slow
def test_training_sets_are_made_of_it(place, tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE)
    run("fuse", tmp_path / "recipe.toml", place.root, "--out", tmp_path / "made", "--without-masks")
    assert len(list(search(tmp_path / "made"))) == 3
