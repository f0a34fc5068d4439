"""Any asset opens: by GDAL path, as a file, from disk and over HTTP, with the source's pixels."""

import json
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pystac
import pystac_client
import pytest
import rasterio
from odc.stac import load
from published import home_of
from rasterio.io import MemoryFile
from serving import served

from satimnet.builder.errors import SatimnetError
from satimnet.builder.pipeline import build
from satimnet.builder.query.client import open as open_catalog
from satimnet.builder.storage.assets import gdal_path, open_asset, read_bytes, resolve
from stactools.bigearthnet.miniature import write_miniature


def items_by_class(catalog: Path, served_at: str | None = None) -> dict[str, pystac.Item]:
    """An Item with both images of each class, opened from disk or from where it is served."""
    found = {}
    for file in sorted(home_of(catalog).glob("*/*_*.json")):
        if file.parent.name not in found and len(json.loads(file.read_bytes())["assets"]) == 2:
            href = f"{served_at}/{file.relative_to(catalog)}" if served_at else str(file)
            found[file.parent.name] = pystac.Item.from_file(href)
    return found


def bare_range_request(url: str, first: int, last: int) -> bytes:
    request = urllib.request.Request(url, headers={"Range": f"bytes={first}-{last}"})
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 206
        return answer.read()


def check_every_class(items: dict[str, pystac.Item], source: dict[str, bytes]) -> None:
    """Every way to the bytes and the pixels of an asset ends at the source's."""
    assert len(items) == 10
    for item in items.values():
        for key, suffix in (("rgb", "jpg"), ("multispectral", "tif")):
            asset = item.assets[key]
            wanted = source[f"{item.id}.{suffix}"]
            with MemoryFile(wanted) as memory, memory.open() as image:
                pixels, crs, transform = image.read(), image.crs, image.transform
            with rasterio.open(gdal_path(asset)) as image:
                np.testing.assert_array_equal(image.read(), pixels)
                assert (image.crs, image.transform) == (crs, transform)
            assert read_bytes(asset) == open_asset(asset).read() == wanted
            assert read_bytes(asset.to_dict() | {"href": asset.get_absolute_href()}) == wanted
            href = asset.get_absolute_href()
            if href.startswith("http"):
                data = bare_range_request(href, *asset.extra_fields["archive"][0]["range"])
                with MemoryFile(data) as memory, memory.open() as image:
                    np.testing.assert_array_equal(image.read(), pixels)


@pytest.fixture(scope="module")
def source(miniature: Path) -> dict[str, bytes]:
    files = {}
    for archive in miniature.glob("*.zip"):
        with zipfile.ZipFile(archive) as opened:
            files |= {Path(name).name: opened.read(name) for name in opened.namelist()}
    return files


def test_on_disk(catalog, source):
    check_every_class(items_by_class(catalog), source)


def test_over_http(catalog, source, serve):
    with serve(catalog) as url:
        check_every_class(items_by_class(catalog, url), source)


@pytest.mark.real
def test_real_samples_of_every_class(real, real_catalog, serve):
    files = {path.name: path.read_bytes() for path in real.glob("ds/**/*.tif")}
    with zipfile.ZipFile(real / "EuroSAT.zip") as archive:
        names = {Path(name).name: name for name in archive.namelist()}
        files |= {
            name: archive.read(names[name])
            for name in (Path(tif).stem + ".jpg" for tif in list(files))
            if name in names
        }
    check_every_class(items_by_class(real_catalog), files)
    with serve(real_catalog) as url:
        check_every_class(items_by_class(real_catalog, url), files)


def test_zip_path_where_there_is_no_range(catalog):
    item = items_by_class(catalog)["Forest"]
    asset = item.assets["rgb"].to_dict() | {"href": item.assets["rgb"].get_absolute_href()}
    wanted = read_bytes(asset)
    del asset["archive"][0]["range"]
    assert gdal_path(asset).startswith("/vsizip/{")
    with MemoryFile(wanted) as memory, memory.open() as image:
        pixels = image.read()
    with rasterio.open(gdal_path(asset)) as image:
        np.testing.assert_array_equal(image.read(), pixels)


def test_a_plain_file_is_itself(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"abc")
    assert gdal_path({"href": str(tmp_path / "a.bin")}) == str(tmp_path / "a.bin")
    assert gdal_path({"href": "https://host/a.tif"}) == "/vsicurl/https://host/a.tif"
    assert read_bytes({"href": str(tmp_path / "a.bin")}) == b"abc"


def test_errors_name_the_file(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"abc")
    asset = {"href": str(tmp_path / "a.zip"), "archive": [{"href": "m", "range": [0, 9]}]}
    with pytest.raises(SatimnetError, match=r"a\.zip: 3 bytes where the catalog says 10"):
        read_bytes(asset)
    with pytest.raises(SatimnetError, match="no member 1"):
        read_bytes(asset, member=1)
    with pytest.raises(SatimnetError, match=r"gone\.zip"):
        read_bytes(asset | {"href": str(tmp_path / "gone.zip")})
    with pytest.raises(SatimnetError, match="without an owner"):
        gdal_path(pystac.Asset("./a.zip"))


def test_no_virtual_path_stands_in_the_catalog(catalog):
    for file in catalog.rglob("*.json"):
        assert "/vsi" not in json.dumps(json.loads(file.read_bytes()))


def test_resolved_assets_open_by_their_href_alone(catalog, serve):
    """As an Item, an ItemCollection, a dict of either, and as pystac-client hands them over."""
    with serve(catalog) as url:
        items = items_by_class(catalog, url)
        wanted = {item.id: read_bytes(item.assets["multispectral"]) for item in items.values()}
        as_dict = items["Forest"].to_dict(include_self_link=True)
        for asset in as_dict["assets"].values():
            asset["href"] = items["Forest"].assets["rgb"].get_absolute_href()
        whole = pystac.ItemCollection([items["River"].clone()])
        whole.items[0].set_self_href(items["River"].get_self_href())
        alone = items["Highway"]
        resolved = [as_dict, {"type": "FeatureCollection", "features": [as_dict]}, whole, alone]
        for found in resolved:
            assert resolve(resolve(found)) is found  # again changes nothing
        found = [as_dict, whole.items[0].to_dict(), alone.to_dict()]
        assert {item["assets"]["rgb"]["type"] for item in found} == {"image/jpeg"}
        for item in found:
            asset = item["assets"]["multispectral"]
            assert not {"archive", "satimnet:pixels"} & asset.keys()
            assert asset["file:size"] == len(wanted[item["id"]])
            with MemoryFile(wanted[item["id"]]) as memory, memory.open() as image:
                pixels = image.read()
            with rasterio.open(asset["href"]) as image:
                np.testing.assert_array_equal(image.read(), pixels)


def test_resolve_leaves_the_rest(catalog):
    collection = pystac.Collection.from_file(home_of(catalog) / "collection.json")
    for other in (collection, collection.to_dict(), {"features": []}):
        before = json.dumps(other if isinstance(other, dict) else other.to_dict())
        assert resolve(other) is other
        assert json.dumps(other if isinstance(other, dict) else other.to_dict()) == before
    plain = {"type": "Feature", "assets": {"a": {"href": "a.tif", "type": "image/tiff"}}}
    assert resolve(plain)["assets"] == {"a": {"href": "a.tif", "type": "image/tiff"}}


@pytest.fixture(scope="module")
def bigearthnet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bigearthnet")
    build(write_miniature(folder / "source"), folder / "catalog", overview=False)
    return folder / "catalog"


@pytest.mark.slow  # the default run has odc-stac load what gdal-parquet exports
def test_odc_stac_loads_what_is_resolved(bigearthnet):
    """Bands of 10, 20 and 60 m, from their own files in a shard, on one grid; local and served."""
    search = open_catalog(bigearthnet).search(max_items=1)
    with served(bigearthnet) as (url, _):
        client = pystac_client.Client.open(url, modifier=resolve)
        for items in (resolve(search.item_collection()), client.search(max_items=1).items()):
            (item,) = items
            cube = load([item])
            assert len(cube.data_vars) == 12
            assert cube.odc.crs == item.properties["proj:code"]
            for name, times in (("B02", 1), ("B11", 2), ("B09", 6)):
                with rasterio.open(item.assets[name].href) as image:
                    expected = image.read(1).repeat(times, 0).repeat(times, 1)
                np.testing.assert_array_equal(cube[name].values[0], expected)
