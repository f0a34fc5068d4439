"""A catalog is read in the same way wherever it lies: on disk, on the web, in an object store.

`TABLE` has every command that reads one; a command that is not in it makes a test fail.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest
import rasterio
from click.testing import CliRunner
from faulty_host import hosting
from mini_masks import make_patches, write_masked_catalog
from places import RECIPE, files_of, upload
from serving import served
from stactools.cli.cli import cli

from satimnet.builder import gdal_path, open, read_bytes, search
from satimnet.builder.exports import FORMATS
from satimnet.builder.query.index import Index
from satimnet.builder.storage import objects
from satimnet.builder.storage.stores import web_address
from satimnet.builder.transfer.subset import copy_found, save_found
from satimnet.cli.group import satimnet
from satimnet.training import open_samples

KINDS = ("disk", "http", "s3")
SIGNED = "?sig=a/b%3D"
NAME = "my data+ü"
HOW = ("--epochs", "1", "--width", "2", "--batch-size", "16", "--device", "cpu", "-q")
TABLE = (
    "info {catalog}",
    "info {catalog} --attributes",
    "concepts --catalog {catalog}",
    "concepts water --catalog {catalog} --format json",
    "search {catalog} --class River",
    "search {catalog} --class River --count",
    "search {catalog} --facets",
    "search {catalog} --concept water --limit 2 --format json",
    "search {catalog} --class River --sortby -id --format ndjson",
    "search {catalog} --class River --format geoparquet --out {out}/found.parquet",
    "search {catalog} --class River --save {out}/part",
    "search {catalog} --class River --copy {out}/part",
    "validate {catalog}",
    "validate {catalog} --checksums",
    "validate {masks} --checksums",
    "validate {broken} --checksums",
    "quality {catalog} --out {out}/report --scheduler threads",
    "quality {broken} --out {out}/report --scheduler threads --fail-on error",
    *(f"export {{catalog}} --format {form} --out {{out}}" for form in FORMATS),
    "copy {catalog} {out}/copy",
    "versions {catalog}",
    "diff {catalog} {catalog}",
    "diff {catalog} {catalog}/eurosat/collection.json",
    "serve {catalog}",
    "explorer {catalog} --index",  # which is there, so that nothing is written
    "browser --out {out}/browser --catalog {catalog}",
    "fuse {recipe} {catalog} --out {out}/fused --without-masks",
    f"train {{catalog}} --bands B04,B11 --holdout 0.5 --out {{out}} {' '.join(HOW)}",
    "evaluate {masks} --checkpoint {network} --device cpu --out {out}",
    f"crossvalidate {{masks}} --bands B02,B03,B04 --out {{out}} {' '.join(HOW)}",
    f"tune {{masks}} --bands B02,B03;B04 --folds 2 --out {{out}} {' '.join(HOW)}",
    "picture {masks} --checkpoint {network} --count 2 --out {out}/picture.png",
    "map {scene} --checkpoint {network} --device cpu --out {out}",
)
SLOW = {"fuse", "train", "evaluate", "crossvalidate", "tune", "picture", "map"}
NO_CATALOG = {"demo", "download", "harvest", "build", "new-dataset", "prune", "split", "chip"}
"""Commands that read no catalog, but sources or nothing, or that write to one: these have tests of
their own, on disk and in a store."""


_VERSION = re.compile(r"\b[0-9a-f]{12}\b")
"""The name of a version: what a search makes says where it was made from."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ(?= │)")
"""When a version was published: copies have a time of their own."""


@dataclass(frozen=True)
class Place:
    """Where the catalogs lie."""

    root: str
    """Path or URL of the folder."""
    folder: Path
    """The same files on disk."""

    def at(self, name: str) -> str:
        """The place of a file or folder."""
        return f"{self.root}/{name}"

    @property
    def catalog(self) -> str:
        """The catalog of the miniature."""
        return self.at("catalog")

    def plain(self, text: str, out: Path) -> str:
        """The text as it would be whichever place this was, and wherever it was written."""
        bare = self.root.removeprefix("s3://")
        for far in (f"/vsicurl/{self.root}", self.root, f"/vsis3/{bare}", web_address(self.root)):
            text = text.replace(far, "PLACE")
        here = str(self.folder)
        for path in (here, quote(here), json.dumps(here)[1:-1]):
            common = os.path.commonpath([path, str(out)])
            below = re.escape(os.path.relpath(path, common))
            text = re.sub(rf"(\.\.?/)+{below}", "PLACE", text)
            text = text.replace(path, "PLACE")
        text = _VERSION.sub("VERSION", text.replace(str(out), "OUT"))
        return _TIME.sub("TIME", text)


@pytest.fixture(scope="session")
def shelf(catalog, once):
    """A folder with catalogs: a sound one, one with masks, one with faults, and a network."""

    def make(folder: Path) -> None:
        home = folder / NAME
        shutil.copytree(catalog, home / "catalog")
        shutil.copytree(catalog, home / "broken")
        spoil(home / "broken")
        (home / "masks").mkdir()
        write_masked_catalog(home / "masks", make_patches(4))

    return once("shelf", make) / NAME


@pytest.fixture(scope="session")
def network(shelf, once):
    """A trained network, with a map's scene beside it."""

    def make(folder: Path) -> None:
        how = ("--model", "dual", "--bands", "B02,B03,B04", "--windows", "500", "--holdout", "0.25")
        run("train", shelf / "masks", *how, *HOW, "--out", folder)
        patch = make_patches(1, side=128)[0]["image"].transpose(2, 0, 1)
        profile = {"height": 128, "width": 128, "count": 3, "dtype": patch.dtype}
        profile |= {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 6e5, 0, -10, 5e6)}
        with rasterio.open(folder / "scene.tif", "w", driver="GTiff", **profile) as file:
            file.write(patch)
            for number, name in enumerate(("B02", "B03", "B04"), 1):
                file.set_band_description(number, name)

    return once("network", make)


def spoil(catalog: Path) -> None:
    """Faults of all kinds: of shards, members, directories, files of Items."""

    def shard(name: str) -> Path:
        return next(catalog.rglob(f"{name}-00000*.zip"))

    def change(name: str, edit) -> None:
        path = shard(name)
        data = bytearray(path.read_bytes())
        edit(data)
        path.write_bytes(data)

    def other_bytes(data: bytearray) -> None:
        with zipfile.ZipFile(shard("Forest")) as file:
            data[file.infolist()[1].header_offset + 400] ^= 255

    def other_directory(data: bytearray) -> None:
        at = data.index(b"PK\x01\x02")
        size = struct.unpack_from("<I", data, at + 20)[0]
        struct.pack_into("<I", data, at + 20, size + 1)

    change("Forest", other_bytes)
    change("Highway", other_directory)
    change("Pasture", lambda data: data.__delitem__(slice(-1000, None)))
    shard("Residential").unlink()
    items = sorted(catalog.rglob("SeaLake_*.json"))
    items[0].unlink()
    items[1].write_text("{")
    item = json.loads(items[2].read_bytes())
    item["properties"]["satimnet:split"] = "val"
    item["links"].append({"rel": "about", "href": "./none.html"})
    items[2].write_text(json.dumps(item))


@pytest.fixture(scope="module", params=KINDS)
def place(request, shelf, serve) -> Iterator[Place]:
    if request.param == "disk":
        yield Place(str(shelf), shelf)
    elif request.param == "http":
        with serve(shelf.parent) as url:
            yield Place(f"{url}/{quote(NAME)}", shelf)
    else:
        root = f"{request.getfixturevalue('bucket')}/{NAME}"
        upload(shelf, root)
        yield Place(root, shelf)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch, tmp_path):
    """No schema from a cache of an earlier run, none from the network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")


def run(*arguments: object) -> str:
    done = CliRunner().invoke(cli, ["satimnet", *(str(one) for one in arguments)])
    assert done.exit_code == 0, done.output
    return done.output


# --- the table ------------------------------------------------------------------------------------


OURS: dict[str, dict[str, object]] = {}
"""What was answered of the catalogs on disk."""


def is_slow(line: str) -> bool:
    return line.split()[0] in SLOW


@pytest.mark.parametrize(
    "line",
    [pytest.param(line, id=line, marks=[pytest.mark.slow] * is_slow(line)) for line in TABLE],
)
def test_every_command_says_the_same(place, line, tmp_path, request, monkeypatch):
    here = Place(str(place.folder), place.folder)
    if place == here:
        pytest.skip("is what the others are compared with")
    if line.startswith("browser"):  # its build takes minutes, and is not what is looked at
        built = tmp_path / "built"
        built.mkdir()
        (built / "index.html").touch()
        monkeypatch.setattr("satimnet.builder.server.browser.build", lambda progress: built)
    theirs = answer(place, line, tmp_path / "there", request)
    if line not in OURS:
        OURS[line] = answer(here, line, tmp_path / "here", request)
    ours = OURS[line]
    assert theirs["said"] == ours["said"]
    assert theirs.keys() == ours.keys()
    for name in ours:
        assert theirs[name] == ours[name], name
    assert len(ours) > 1 or "{out}" not in line


def answer(place: Place, line: str, out: Path, request) -> dict[str, object]:
    """What a command says and writes, by the names of files."""
    out.mkdir()
    words = {"catalog": place.catalog, "masks": place.at("masks"), "broken": place.at("broken")}
    words |= {"out": str(out), "recipe": str(out.parent / "recipe.toml")}
    (out.parent / "recipe.toml").write_text(RECIPE)
    if "{network}" in line:
        network = request.getfixturevalue("network")
        words |= {"network": str(network / "checkpoint.pt"), "scene": str(network / "scene.tif")}
        if place.root != str(place.folder):  # it is trained after the others were brought there
            if "://" in place.root and not place.root.startswith("http"):
                words["network"] = place.at("networks/checkpoint.pt")
                objects.write(words["network"], network / "checkpoint.pt")
            else:
                served_here = request.getfixturevalue("serve")(network)
                words["network"] = f"{served_here.__enter__()}/checkpoint.pt"
                request.addfinalizer(lambda: served_here.__exit__(None, None, None))
    if line.startswith("serve"):
        return {"said": from_server(place, out)}
    arguments = [word.format(**words) for word in line.split()]
    done = CliRunner().invoke(cli, ["satimnet", *arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    said = place.plain(f"exit {done.exit_code}: {done.stdout}", out)
    if line.startswith("tune"):
        said = without_times(said)
    files = {path for path in out.rglob("*") if path.is_file()}
    read = {
        _VERSION.sub("VERSION", str(path.relative_to(out))): content_of(place, path, out)
        for path in sorted(files)
    }
    return {"said": said, **read}


_SECONDS = re.compile(r"(\d+\.\d\d (?:\| )?) *\d+\.\d\b(?= *(?:\||$))", re.MULTILINE)
"""The last column of a table of trials: how long each of them took."""


def without_times(table: str) -> str:
    """The table of `tune` without how long a trial took."""
    return _SECONDS.sub(r"\1TIME", table)


def content_of(place: Place, path: Path, out: Path) -> object:
    if path.suffix == ".pt":
        from satimnet.training import load

        return load(path).digest()
    if path.suffix == ".parquet":
        return place.plain(repr(pq.read_table(path).to_pylist()), out)
    data = path.read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return data
    if path.suffix == ".json":  # what was saved of a store points into the store, and is not sealed
        found = without(json.loads(text), "outside", "seconds", "datetime")
        if path.name == "explorer.json":  # the index points there, too, so its digest differs
            del found["index"]
        text = json.dumps(found, ensure_ascii=False)
    if path.name == "report.html":  # no browser opens an Item of a store by its address
        text = "".join(re.sub(r"</?a\b[^>]*>", "", text).split())
    if path.name == "times.md":
        text = without_times(text)
    text = re.sub(r'[^"]*/checkpoint\.pt', "NETWORK", text)
    return place.plain(text, out)


def without(value, *names):
    """The JSON without fields of these names, that tell a time or a key."""
    if isinstance(value, dict):
        return {key: without(one, *names) for key, one in value.items() if key not in names}
    if isinstance(value, list):
        return [without(one, *names) for one in value if not is_origin(one)]
    return value


def is_origin(link) -> bool:
    """Whether it is the link to the whole of a part, which a copy has of places alone."""
    return isinstance(link, dict) and str(link.get("title")).startswith("All of ")


def from_server(place: Place, out: Path) -> list[object]:
    """What `serve` answers to a few questions."""
    paths = ("", "collections", "collections/eurosat/items?limit=3", "search?ids=River_2")
    answers: list[object] = []
    with served(place.catalog) as (url, _):
        for path in paths:
            with urllib.request.urlopen(f"{url}{path}") as asked:
                text = place.plain(asked.read().decode(), out)
            # a catalog on disk is served as files, too, and its files by the server
            answers.append(text.replace(f"{url}catalog", "PLACE/catalog").replace(url, "URL/"))
        with urllib.request.urlopen(f"{url}thumbnails/eurosat/River_2.png") as asked:
            answers.append(asked.read())
    return answers


def test_no_command_is_missing():
    """A new command is in the table, or in the list of those that read no catalog."""
    in_table = {line.split()[0] for line in TABLE}
    assert in_table | NO_CATALOG == set(satimnet.commands)
    assert not in_table & NO_CATALOG
    for name in NO_CATALOG:
        parameters = {parameter.name for parameter in satimnet.commands[name].params}
        assert name in ("prune", "split", "chip") or not parameters & {
            "catalog",
            "checkpoint",
            "checkpoints",
        }, name


@pytest.mark.parametrize("name", sorted({line.split()[0] for line in TABLE}))
def test_every_place_of_a_command_is_in_the_table(name):
    """Each argument and option that takes a catalog or a network."""
    lines = [line for line in TABLE if line.split()[0] == name]
    for parameter in satimnet.commands[name].params:
        if parameter.name == "catalog":
            assert all(re.search(r"\{(catalog|masks|broken)\}", line) for line in lines)
        if parameter.name in ("checkpoint", "checkpoints"):
            assert all("{network}" in line for line in lines)


# --- Python ---------------------------------------------------------------------------------------


def test_items_lead_to_their_files(place, tmp_path):
    theirs = list(search(place.catalog, sortby="id", limit=9))
    ours = list(search(place.folder / "catalog", sortby="id", limit=9))
    assert len(theirs) == 9
    here = Place(str(place.folder), place.folder)
    for there, one in zip(theirs, ours, strict=True):
        told = [json.dumps(item, ensure_ascii=False) for item in (there, one)]
        assert place.plain(told[0], tmp_path) == here.plain(told[1], tmp_path)
        for key, asset in there["assets"].items():
            assert read_bytes(asset) == read_bytes(one["assets"][key])
    with rasterio.open(gdal_path(theirs[0]["assets"]["rgb"])) as image:
        assert image.shape == (64, 64)


def test_clients(place):
    client = open(place.catalog)
    (item,) = client.search(ids=["River_2"]).items()
    (here,) = open(place.folder / "catalog").search(ids=["River_2"]).items()
    assert read_bytes(item.assets["rgb"]) == read_bytes(here.assets["rgb"])
    assert [one.id for one in client.get_collections()] == ["eurosat"]
    (child,) = client.get_children()
    assert child.get_self_href() == Index(place.catalog).collections["eurosat"].href
    assert child.get_root() is client


def test_what_is_found_is_saved(place, tmp_path):
    found = search(place.catalog, classes="River")
    save_found(found, tmp_path / "saved")
    again = list(search(tmp_path / "saved"))
    assert [item["id"] for item in again] == [item["id"] for item in found]
    for item, before in zip(again, found, strict=True):
        assert read_bytes(item["assets"]["rgb"]) == read_bytes(before["assets"]["rgb"])
    copy_found(found, tmp_path / "packed")
    shutil.copytree(tmp_path / "packed", tmp_path / "elsewhere")
    assert len(list(search(tmp_path / "elsewhere"))) == len(again)


def test_batches(place):
    options = {"bands": ["B04", "B11"], "shuffle": True, "seed": 5}
    theirs = open_samples(place.catalog).search().to_batches(7, **options)
    ours = open_samples(place.folder / "catalog").search().to_batches(7, **options)
    for there, here in zip(theirs, ours, strict=True):
        assert there.images.equal(here.images)
        assert there.labels.equal(here.labels)


def test_signed_urls(catalog):
    with hosting(files_of(catalog), "token") as host:
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
