"""The file for programs that know nothing of ours, as they read it: from disk, the web and S3."""

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pystac
import pytest
import rasterio
from click.testing import CliRunner
from published import home_of
from rasterio.io import MemoryFile
from stac_geoparquet.arrow import stac_table_to_items
from stactools.cli.cli import cli

from satimnet.builder import build, resolve, search
from satimnet.builder.catalog.geoparquet import PARQUET_NAME
from satimnet.builder.errors import ArgumentError, BadCatalogError, BadFileError, CatalogWarning
from satimnet.builder.exports import export, gdal_parquet
from satimnet.builder.exports.relocation import Relocation
from satimnet.builder.query.index import Index
from satimnet.builder.storage.assets import read_bytes
from satimnet.builder.storage.gdal_paths import gdal_place, member_path
from satimnet.builder.transfer.subset import save_found

CHOSEN = ("bigearthnet", "dota", "eurosat", "uc-merced")
"""Many assets an Item, tables and no places, two kinds of images, runs of pixels."""


@pytest.fixture(scope="module")
def some(sources, tmp_path_factory) -> Path:
    """A catalog of four miniatures, in a folder whose name no URL has."""
    out = tmp_path_factory.mktemp("gdal") / "a b,#1%20{ü}" / "catalog"
    build([], out, assigned={name: sources[name] for name in CHOSEN}, overview=False)
    return out


@pytest.fixture(scope="module")
def exported(some, tmp_path_factory) -> dict[str, Path]:
    """The files, by the collections' ids."""
    paths = export(Index(some), "gdal-parquet", tmp_path_factory.mktemp("exported"))
    assert [path.name for path in paths] == [f"{name}.gdal.parquet" for name in CHOSEN]
    return dict(zip(CHOSEN, paths, strict=True))


def assets_of(path: Path) -> list[dict]:
    """The assets of each Item, without what is null."""
    return [without_nulls(assets) for assets in pq.read_table(path)["assets"].to_pylist()]


def without_nulls(value):
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return [without_nulls(v) for v in value] if isinstance(value, list) else value


# --- what is in it ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHOSEN)
def test_assets_are_those_that_resolve_makes(some, exported, name):
    found = [resolve(item, allow_outside=True) for item in search(some, collections=[name])]
    assert assets_of(exported[name]) == [item["assets"] for item in found]


@pytest.mark.parametrize("name", CHOSEN)
def test_other_columns_stay_as_they_are(some, exported, name):
    table = pq.read_table(exported[name])
    source = pq.read_table(home_of(some, name) / PARQUET_NAME)
    assert table.column_names == source.column_names
    others = ["assets", "links"]
    assert table.drop_columns(others).equals(source.drop_columns(others))
    found = list(search(some, collections=[name]))
    assert [without_nulls(links) for links in table["links"].to_pylist()] == [
        item["links"] for item in found
    ]


@pytest.mark.parametrize("name", CHOSEN)
def test_its_collection_describes_members(some, exported, name):
    metadata = pq.read_schema(exported[name]).metadata
    collection = json.loads(metadata[b"stac-geoparquet"])["collections"][name]
    types = {key: asset["type"] for key, asset in collection["item_assets"].items()}
    used = {(k, a["type"]) for row in assets_of(exported[name]) for k, a in row.items()}
    assert "application/zip" not in {*types.values(), *(kind for _, kind in used)}
    assert {key for key, _ in used} <= types.keys()
    assert "assets" not in collection
    assert all(re.match("https?://", link["href"]) for link in collection["links"])
    pystac.Collection.from_dict(collection)


@pytest.mark.parametrize("name", CHOSEN)
def test_geopandas_reads_it(exported, name):
    frame = geopandas.read_parquet(exported[name])
    assert frame.crs == "OGC:CRS84"
    table = pq.read_table(exported[name])
    assert frame["id"].tolist() == table["id"].to_pylist()
    for shape, box in zip(frame.geometry, table["bbox"].to_pylist(), strict=True):
        assert (shape is None) == (box is None)
        if shape is not None:
            assert list(shape.bounds) == list(box.values())
    if name == "eurosat":
        west, south, east, north = frame.geometry.dropna().iloc[0].bounds
        few = geopandas.read_parquet(exported[name], bbox=(west, south, east, north))
        assert 0 < len(few) < len(frame)


@pytest.mark.parametrize("name", CHOSEN)
def test_stac_geoparquet_reads_items_of_it(exported, name):
    table = pq.read_table(exported[name])
    table = table.filter(table["bbox"].is_valid())  # its reader takes no Items without a place
    items = [pystac.Item.from_dict(item) for item in stac_table_to_items(table)] if table else []
    assert [item.id for item in items] == table["id"].to_pylist()
    assert bool(items) == (name in ("bigearthnet", "eurosat"))
    for item in items:
        for asset in item.assets.values():
            assert asset.get_absolute_href() == asset.href
            assert asset.href.startswith("/vsisubfile/")


def test_rows_come_in_groups_that_fit_into_memory(some, exported, tmp_path, monkeypatch):
    monkeypatch.setattr(gdal_parquet, "_SIZE", 1)
    monkeypatch.setattr("satimnet.builder.exports.item_batches._ROWS", 3)
    (path,) = export(Index(some), "gdal-parquet", tmp_path, collections=["eurosat"])
    file = pq.ParquetFile(path)
    sizes = [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)]
    assert max(sizes) == 3
    assert file.read().equals(pq.read_table(exported["eurosat"]))


# --- programs that know nothing of ours ---------------------------------------------------------

STRANGER = """
import importlib.metadata
import sys

all_of_them = importlib.metadata.entry_points

def others(**asked):  # pystac looks for its extensions, one of which is ours
    found = all_of_them(**asked)
    if not asked:
        return found
    ours = [one for one in found if one.value.startswith("satimnet")]
    return importlib.metadata.EntryPoints(one for one in found if one not in ours)

importlib.metadata.entry_points = others

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "satimnet":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Nothing())

import geopandas
import numpy
import odc.stac
import pyarrow.parquet
import pystac
import rasterio
from stac_geoparquet.arrow import stac_table_to_items

out, *paths = sys.argv[1:]
pixels = {}
for path in paths:
    for id_, assets in geopandas.read_parquet(path)[["id", "assets"]].itertuples(index=False):
        for key, asset in assets.items():
            if asset is not None and asset["type"].startswith("image/"):
                with rasterio.open(asset["href"]) as image:
                    pixels[f"{id_} {key}"] = image.read()
    if "bigearthnet" in path:
        table = pyarrow.parquet.read_table(path)
        (item,) = stac_table_to_items(table.slice(0, 1))
        cube = odc.stac.load([pystac.Item.from_dict(item)], bands=["B02", "B09"])
        pixels |= {f"cube {key}": cube[key].values for key in ("B02", "B09")}
numpy.savez(out, **pixels)
"""


def read_as_a_stranger(paths: list[Path], out: Path, **environment: str) -> dict[str, np.ndarray]:
    """Pixels of all images of the files, as a process without satimnet reads them."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", STRANGER, str(out), *map(str, paths)],
        env={**os.environ, "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with np.load(out) as found:
        return dict(found)


@pytest.fixture(scope="module")
def wanted(some) -> dict[str, np.ndarray]:
    """Pixels of all images, decoded from the bytes of the members."""
    pixels = {}
    for item in search(some):
        for key, asset in item["assets"].items():
            if asset["archive"][0]["type"].startswith("image/"):
                with MemoryFile(read_bytes(asset)) as memory, memory.open() as image:
                    pixels[f"{item['id']} {key}"] = image.read()
    first = next(iter(search(some, collections=["bigearthnet"])))["id"]
    pixels["cube B02"] = pixels[f"{first} B02"]
    pixels["cube B09"] = pixels[f"{first} B09"].repeat(6, 1).repeat(6, 2)
    return pixels


def same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert found.keys() == wanted.keys()
    assert len(found) > 150
    for name, pixels in wanted.items():
        np.testing.assert_array_equal(found[name], pixels, name)


def test_strangers_read_the_pixels_from_disk(exported, wanted, tmp_path):
    same(read_as_a_stranger(list(exported.values()), tmp_path / "pixels.npz"), wanted)


@pytest.mark.slow
def test_strangers_read_the_pixels_from_the_web(some, exported, wanted, serve, tmp_path):
    with serve(some.parents[1]) as url:
        base = f"{url}/a%20b%2C%231%2520%7B%C3%BC%7D/catalog"
        paths = export(Index(some), "gdal-parquet", tmp_path, base=f"{base}/")
        assert (
            assets_of(paths[0])[0]["B01"]["href"]
            .partition(",")[2]
            .startswith(f"/vsicurl/{base}/bigearthnet/")
        )
        same(read_as_a_stranger(paths, tmp_path / "pixels.npz"), wanted)


@contextmanager
def bucket_with(folder: Path, prefix: str, monkeypatch):
    """A bucket on this machine with the files of a folder; gives what GDAL must be told."""
    boto3 = pytest.importorskip("boto3", reason="needs the extra test")
    moto = pytest.importorskip("moto.server", reason="needs the extra test")
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
        client.create_bucket(Bucket="bucket")
        for path in sorted(folder.rglob("*.zip")):
            key = f"{prefix}/{path.relative_to(folder).as_posix()}"
            client.upload_file(str(path), "bucket", key)
        yield {
            **keys,
            "AWS_S3_ENDPOINT": f"{host}:{port}",
            "AWS_HTTPS": "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE",
        }
    finally:
        server.stop()


@pytest.mark.slow
def test_strangers_read_the_pixels_from_s3(some, wanted, tmp_path, monkeypatch):
    prefix = "a b,#1%20{ü}/catalog"  # keys are not quoted
    with bucket_with(some, prefix, monkeypatch) as environment:
        paths = export(Index(some), "gdal-parquet", tmp_path, base=f"s3://bucket/{prefix}")
        assert (
            assets_of(paths[0])[0]["B01"]["href"]
            .partition(",")[2]
            .startswith(f"/vsis3/bucket/{prefix}/bigearthnet/")
        )
        same(read_as_a_stranger(paths, tmp_path / "pixels.npz", **environment), wanted)


# --- where the catalog will lie -----------------------------------------------------------------


def test_before_or_after_the_upload_it_is_the_same_file(catalog, serve, tmp_path):
    with serve(catalog) as url:
        (before,) = export(Index(catalog), "gdal-parquet", tmp_path / "before", base=url)
        (after,) = export(Index(url), "gdal-parquet", tmp_path / "after")
        assert before.read_bytes() == after.read_bytes()
        (copied,) = export(Index(url), "gdal-parquet", tmp_path / "copied", base=catalog)
    (there,) = export(Index(catalog), "gdal-parquet", tmp_path / "there")
    assert copied.read_bytes() == there.read_bytes()


@pytest.mark.parametrize(
    ("base", "path"),
    [
        ("https://host/x y/", "/vsicurl/https://host/x%20y/e/a%20%25%C3%BC.zip"),
        ("http://host:80", "/vsicurl/http://host:80/e/a%20%25%C3%BC.zip"),
        ("s3://bucket/x y/", "/vsis3/bucket/x y/e/a %ü.zip"),
        ("s3://bucket", "/vsis3/bucket/e/a %ü.zip"),
        ("gs://bucket/x", "/vsigs/bucket/x/e/a %ü.zip"),
        ("az://container/x", "/vsiaz/container/x/e/a %ü.zip"),
        ("/srv/x/", "/srv/x/e/a %ü.zip"),
        ("/", "/e/a %ü.zip"),
    ],
)
def test_places_below_a_base(base, path):
    on_disk = Relocation.of("/data/catalog/catalog.json", base)
    assert gdal_place(on_disk.to("/data/catalog/e/a %ü.zip")) == path
    on_web = Relocation.of("https://old/c/catalog.json?token=1", base)
    assert gdal_place(on_web.to("https://old/c/e/a%20%25%C3%BC.zip?token=1")) == path
    for elsewhere in ("https://other/c/a.zip", "https://old/c/%2e%2e/a.zip"):
        assert on_web.to(elsewhere) == elsewhere


@pytest.mark.parametrize(
    "base",
    [
        *("", "ftp://host/x", "file:///x", "s3://", "https://", "http://[", "memory://x"),
        *("https://host/x?sig=hidden", "https://me:hidden@host/x", "https://host/x#hidden"),
    ],
)
def test_a_base_that_cannot_be_is_refused(catalog, base, tmp_path):
    with pytest.raises(ArgumentError, match=r"^base .*give a ") as caught:
        export(Index(catalog), "gdal-parquet", tmp_path / "out", base=base)
    assert "hidden" not in str(caught.value)
    assert caught.value.arguments == ("base",)
    assert not (tmp_path / "out").exists()


def test_only_this_format_has_a_base(catalog, tmp_path):
    with pytest.raises(ArgumentError, match="base is for the format gdal-parquet, not for dcat"):
        export(Index(catalog), "dcat", tmp_path / "out", base="https://host/x")


def test_what_is_not_of_the_catalog_cannot_move_with_it(catalog, tmp_path):
    save_found(search(catalog, classes=["Forest"]), tmp_path / "saved")
    (path,) = export(Index(tmp_path / "saved"), "gdal-parquet", tmp_path)
    for assets in assets_of(path):
        assert str(catalog / "eurosat/shards") in assets["rgb"]["href"]
        with rasterio.open(assets["rgb"]["href"]) as image:
            assert image.shape == (64, 64)
    with pytest.raises(ArgumentError, match="will not lie below https://host/x; copy the catalog"):
        export(Index(tmp_path / "saved"), "gdal-parquet", tmp_path / "x", base="https://host/x")


# --- what catalogs may say ----------------------------------------------------------------------


@pytest.fixture
def changed(catalog, tmp_path):
    """A function that exports a copy of the catalog whose assets were changed."""

    def run(edit, kind=None) -> list[dict]:
        shutil.copytree(catalog, tmp_path / "changed", ignore=shutil.ignore_patterns("*_*.json"))
        path = home_of(tmp_path / "changed") / PARQUET_NAME
        table = pq.read_table(path)
        rows = table["assets"].to_pylist()
        for row in rows:
            edit(row)
        column = pa.array(rows, kind or table.schema.field("assets").type)
        at = table.column_names.index("assets")
        pq.write_table(table.set_column(at, "assets", column), path)
        (made,) = export(Index(tmp_path / "changed"), "gdal-parquet", tmp_path / "out")
        return assets_of(made)

    return run


def of_member(**fields):
    def edit(row):
        row["rgb"]["archive"][0] |= fields

    return edit


def test_without_a_range_the_path_leads_through_the_zip(changed):
    for assets in changed(of_member(range=None, **{"file:size": None, "file:checksum": None})):
        asset = assets["rgb"]
        assert re.fullmatch(r"/vsizip/\{.*/shards/\w+-00000-\w+\.zip\}/\w+/\w+\.jpg", asset["href"])
        assert not {"file:size", "file:checksum"} & asset.keys()  # the shard's are not its own
        with rasterio.open(asset["href"]) as image:
            assert image.driver == "JPEG"


def test_an_empty_member_is_not_all_that_follows(changed):
    for assets in changed(of_member(range=[64, 63])):
        assert assets["rgb"]["href"].startswith("/vsizip/")


def test_what_a_member_does_not_say(changed):
    for assets in changed(of_member(type=None, **{"file:size": None})):
        asset = assets["rgb"]
        assert asset["type"] == "application/octet-stream"
        first_size, _, shard = asset["href"].removeprefix("/vsisubfile/").partition(",")
        assert asset["file:size"] == int(first_size.partition("_")[2])
        assert Path(shard).is_file()


def test_files_of_their_own_stay_what_they_are(changed):
    def edit(row):
        row["rgb"] |= {"archive": None, "href": "https://host/a b.jpg", "type": "image/jpeg"}
        row["rgb"] |= {"file:size": 7}

    for assets in changed(edit):
        asset = assets["rgb"]
        assert asset["href"] == "/vsicurl/https://host/a%20b.jpg"
        assert (asset["type"], asset["file:size"]) == ("image/jpeg", 7)


def test_the_first_of_several_members_counts_and_a_warning_says_so(changed, catalog):
    def edit(row):
        row["rgb"]["archive"] *= 2

    count = len(list(search(catalog)))
    with pytest.warns(CatalogWarning, match=f"eurosat: {count} assets have several files"):
        found = changed(edit)
    assert all(assets["rgb"]["href"].startswith("/vsisubfile/") for assets in found)


@pytest.mark.parametrize("span", [[-1, 5], [5, 3], [0, 2**62], [0], [0, 1, 2], [None, 3], []])
def test_a_byte_range_that_cannot_be_is_an_error(changed, span, tmp_path):
    with pytest.raises(BadFileError, match=r"items\.parquet: asset rgb of \w+: its byte range"):
        changed(of_member(range=span))
    assert not list((tmp_path / "out").iterdir())


def test_what_assets_lack_is_an_error(changed, tmp_path):
    def no_href(row):
        row["rgb"]["href"] = None

    def no_member(row):
        row["rgb"]["archive"] = [None]

    for edit, lacks in (
        (no_href, r"asset rgb of \w+ has no href"),
        (no_member, r"the member that is asset rgb of \w+ has no entry"),
        (of_member(href=None), r"the member that is asset rgb of \w+ has no name"),
    ):
        with pytest.raises(BadCatalogError, match=lacks):
            changed(edit)
        shutil.rmtree(tmp_path / "changed")


def test_columns_as_other_programs_write_them(changed, catalog, tmp_path):
    """Large lists, texts in a dictionary, small numbers, fewer fields."""
    member = {"href": pa.large_string(), "range": pa.list_(pa.uint32(), 2)}
    fields = {
        "href": pa.dictionary(pa.int8(), pa.string()),
        "archive": pa.large_list(pa.struct(member)),
        "title": pa.large_string(),
    }
    found = changed(lambda row: None, pa.struct({"rgb": pa.struct(fields)}))
    for assets, item in zip(found, search(catalog), strict=True):
        wanted = resolve(item, allow_outside=True)["assets"]["rgb"]
        href = assets["rgb"]["href"].replace(str(tmp_path / "changed"), str(catalog))
        assert href == wanted["href"]
        assert assets["rgb"]["file:size"] == wanted["file:size"]


def test_no_items(catalog, tmp_path):
    shutil.copytree(catalog, tmp_path / "c", ignore=shutil.ignore_patterns("*_*.json"))
    path = home_of(tmp_path / "c") / PARQUET_NAME
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    (made,) = export(Index(tmp_path / "c"), "gdal-parquet", tmp_path / "out")
    assert len(geopandas.read_parquet(made)) == 0


def test_paths_of_members():
    assert member_path("/a{b}.zip", "m/x.tif", 3, 4) == "/vsisubfile/3_4,/a{b}.zip"
    assert (
        member_path("/vsis3/b/k.zip", "m/x.tif", None, None) == "/vsizip/{/vsis3/b/k.zip}/m/x.tif"
    )


# --- the command --------------------------------------------------------------------------------


def test_the_command(some, tmp_path):
    arguments = ["satimnet", "export", str(some), "--format", "gdal-parquet"]
    arguments += ["--collection", "dota", "--out", str(tmp_path)]
    result = CliRunner().invoke(cli, [*arguments, "--base", "gs://bucket/c"])
    assert result.exit_code == 0, result.output
    path = tmp_path / "dota.gdal.parquet"
    assert str(path) in result.output
    assert "/vsigs/bucket/c/dota/shards/" in assets_of(path)[0]["image"]["href"]
    links = pq.read_table(path)["links"].to_pylist()[0]
    assert links[0]["href"] == "gs://bucket/c/catalog.json"
    result = CliRunner().invoke(cli, [*arguments, "--base", "ftp://host/x"])
    assert result.exit_code == 1
    assert result.output.strip() == (
        "Error: --base 'ftp://host/x': give a folder, or a URL with https, http, s3, gs or az"
    )
