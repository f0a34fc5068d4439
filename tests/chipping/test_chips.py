"""Chips: against a cut by brute force with rasterio and shapely, out of the publishers' files."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from rasterio.windows import Window

from satimnet.builder.catalog.validation import validate
from satimnet.builder.chipping import chip
from satimnet.builder.errors import ArgumentError, NotFoundError, SatimnetError
from satimnet.builder.pipeline import build
from satimnet.builder.query.search import search
from satimnet.builder.storage.assets import gdal_path, read_bytes
from satimnet.builder.transfer.mirror import copy_catalog
from satimnet.cli.chip_command import chip as command
from satimnet.training import open_samples

DATA = Path(__file__).parents[3] / "shared" / "data"
REAL = {
    "dota": DATA / "dota" / "train",
    "airbus-ship": DATA / "airbus-ship",
    "inria": DATA / "inria" / "AerialImageDataset",
}


def items_of(catalog, collection) -> dict[str, dict]:
    return {item["id"]: item for item in search(catalog, collections=[collection])}


def objects_of(item) -> list[dict]:
    return json.loads(read_bytes(item["assets"]["annotation"]))["features"]


def starts(length: int, size: int, step: int) -> list[int]:
    """Where chips begin, by a rule of its own: every step, and the end."""
    if length <= size:
        return [0]
    return sorted({*range(0, length - size, step), length - size})


def same_shape(one, other) -> bool:
    return shapely.symmetric_difference(shapely.make_valid(one), shapely.make_valid(other)).area < (
        1e-6 * max(one.area, 1)
    )


def require_cut(catalog, source: str, chips: str, size: int, overlap: int, share: float) -> int:
    """Every chip against the source; how many objects were cut."""
    sources, made = items_of(catalog, source), items_of(catalog, chips)
    truncated, seen = 0, set()
    for id_, item in sources.items():
        image = next(key for key in ("image", "rgb") if key in item["assets"])
        with rasterio.open(gdal_path(item["assets"][image])) as file:
            scene, transform, crs = file.read(), file.transform, file.crs
        mask = None
        if "mask" in item["assets"]:
            with rasterio.open(gdal_path(item["assets"]["mask"])) as file:
                mask = file.read()
        for top in starts(scene.shape[1], size, size - overlap):
            for left in starts(scene.shape[2], size, size - overlap):
                cut = made[f"{id_}_y{top}_x{left}"]
                seen.add(cut["id"])
                with rasterio.open(gdal_path(cut["assets"][image])) as file:
                    assert (file.read() == padded(scene, top, left, size)).all()
                    if crs is not None:
                        assert file.crs == crs
                        at = rasterio.windows.transform(Window(left, top, size, size), transform)
                        assert file.transform.almost_equals(at, 1e-9)
                if mask is not None:
                    with rasterio.open(gdal_path(cut["assets"]["mask"])) as file:
                        assert (file.read() == padded(mask, top, left, size)).all()
                        shown = file.read(1)
                    statistics = cut["properties"].get("satimnet:statistics", [])
                    told = {row["class"]: row for row in statistics}
                    assert sum(row["pixels"] for row in told.values()) == (shown > 0).sum()
                assert ("annotation" in item["assets"]) == ("annotation" in cut["assets"])
                if "annotation" in item["assets"]:
                    truncated += require_objects(item, cut, left, top, size, share)
    assert seen == set(made)
    return truncated


def padded(scene, top, left, size):
    out = np.zeros((len(scene), size, size), scene.dtype)
    part = scene[:, top : top + size, left : left + size]
    out[:, : part.shape[1], : part.shape[2]] = part
    return out


def require_objects(item, cut, left, top, size, share) -> int:
    window = shapely.box(left, top, left + size, top + size)
    wanted = []
    for feature in objects_of(item):
        whole = shapely.make_valid(shapely.geometry.shape(feature["geometry"]))
        inside = whole.intersection(window)
        if whole.area and inside.area / whole.area >= share:
            wanted.append((feature, shapely.affinity.translate(inside, -left, -top), whole))
    found = objects_of(cut)
    assert len(found) == len(wanted)
    counts = cut["properties"].get("satimnet:statistics", [])
    assert sum(row.get("count", 0) for row in counts) == len(found)
    truncated = 0
    for feature, (origin, inside, whole) in zip(found, wanted, strict=True):
        assert same_shape(shapely.geometry.shape(feature["geometry"]), inside)
        properties = dict(feature["properties"])
        if window.covers(whole):
            assert properties == origin["properties"]
        else:
            truncated += 1
            assert properties.pop("truncated") is True
            assert properties.pop("inside") == pytest.approx(inside.area / whole.area, abs=1e-4)
            assert properties == origin["properties"]
    return truncated


@pytest.fixture(scope="module")
def real_chips(tmp_path_factory) -> Path:
    """The real DOTA, Airbus and Inria samples, and chips of them of 256 pixels; read-only."""
    if not DATA.is_dir():
        pytest.skip("needs the real samples in ../shared/data")
    catalog = tmp_path_factory.mktemp("real") / "catalog"
    folder = tmp_path_factory.mktemp("sources")
    shutil.copytree(REAL["dota"], folder / "dota" / "train")
    shutil.copytree(REAL["inria"], folder / "inria")
    ships = folder / "ships"
    shutil.copytree(REAL["airbus-ship"] / "train_v2", ships / "train_v2")
    name = "train_ship_segmentations_v2.csv"
    shutil.copy(REAL["airbus-ship"] / name, ships / name)
    build([folder / "dota", folder / "inria", ships], catalog, overview=False)
    for source in REAL:
        chip(catalog, source, (256, 256), overlap=(32, 32))
    return catalog


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("source", REAL)
def test_real_chips_are_what_rasterio_and_shapely_cut(real_chips, source):
    truncated = require_cut(real_chips, source, f"{source}-chips", 256, 32, 0.5)
    assert (truncated > 10) == (source != "inria")


@pytest.fixture(scope="module")
def catalog(demo, tmp_path_factory) -> Path:
    """A copy of the demo's catalog with chips of 96 pixels; read-only."""
    catalog = Path(shutil.copytree(demo / "catalog", tmp_path_factory.mktemp("chips") / "catalog"))
    chip(catalog, "dota", (96, 96), overlap=(16, 16), min_inside=0.3)
    chip(catalog, "inria", (96, 96), keep_empty=1)
    return catalog


@pytest.mark.parametrize(("source", "overlap", "share"), [("dota", 16, 0.3), ("inria", 0, 0.5)])
def test_chips_are_what_rasterio_and_shapely_cut(catalog, source, overlap, share):
    require_cut(catalog, source, f"{source}-chips", 96, overlap, share)


def test_a_collection_of_chips_is_valid_cites_its_source_and_trains(catalog):
    found = validate(catalog)
    assert [str(one) for one in found.problems if "chips" in str(one)] == []
    item = next(iter(items_of(catalog, "inria-chips").values()))
    (origin,) = [link for link in item["links"] if link["rel"] == "derived_from"]
    assert item["properties"]["chip:item"] in origin["href"]
    items_of_dota, grey = items_of(catalog, "dota-chips"), False
    document = next(catalog.glob("dota-chips/*/collection.json"))
    collection = json.loads(document.read_bytes())
    (link,) = [link for link in collection["links"] if link["rel"] == "derived_from"]
    assert (document.parent / link["href"]).resolve().is_file()
    recipe = collection["satimnet:recipe"]
    assert recipe["sha256"] == hashlib.sha256(recipe["text"].encode()).hexdigest()
    batch = next(open_samples(catalog).search(collections="inria-chips").to_batches(4, labels=None))
    assert batch.images.shape == (4, 3, 96, 96)
    assert "satimnet:pixels" in item["assets"]["image"]  # read without decoding
    mixed = open_samples(catalog).search(collections="dota-chips")  # grey chips among others
    for batch in mixed.to_batches(16, labels=None):
        for row, image in zip(batch.indices.tolist(), batch.images.numpy(), strict=True):
            asset = items_of_dota[mixed.ids[row]]["assets"]["image"]
            with rasterio.open(gdal_path(asset)) as file:
                assert (image == file.read()).all()
                grey = grey or file.count == 1
    assert grey


def test_empty_chips_are_thinned_by_seed_and_the_same_again(demo, tmp_path):
    made = []
    for number, seed in enumerate((1, 1, 2)):
        catalog = Path(shutil.copytree(demo / "catalog", tmp_path / f"{number}"))
        done = chip(catalog, "airbus-ship", (192, 192), keep_empty=0.2, seed=seed)
        assert 0 < done.thinned < done.empty
        assert abs(done.thinned / done.empty - 0.8) < 0.1
        assert done.report.items == done.chips - done.thinned
        shards = sorted(path.name for path in catalog.glob("airbus-ship-chips/shards/*"))
        made.append((shards, set(items_of(catalog, "airbus-ship-chips"))))
    assert made[0] == made[1]
    assert made[0] != made[2]


def test_chips_of_masks_alone_are_thinned_as_well(demo, tmp_path):
    catalog = Path(shutil.copytree(demo / "catalog", tmp_path / "catalog"))
    done = chip(catalog, "inria", (32, 32), keep_empty=0)
    assert 0 < done.empty == done.thinned < done.chips
    for item in items_of(catalog, "inria-chips").values():
        if "mask" in item["assets"]:
            with rasterio.open(gdal_path(item["assets"]["mask"])) as file:
                assert file.read().any()


BAD = [
    (["--size", "0"], "size"),
    (["--size", "64", "--overlap", "64"], "overlap"),
    (["--size", "64", "--keep-empty", "2"], "--keep-empty"),
    (["--size", "64", "--min-inside", "0"], "--min-inside"),
    (["--size", "64", "--id", "eurosat"], "no collection of chips"),
    (["--size", "64", "--id", "../up"], "cannot name"),
    (["--size", "huge"], "give pixels"),
]


@pytest.mark.parametrize(("options", "said"), BAD)
def test_bad_options_are_one_line_and_change_nothing(demo, options, said):
    before = sorted((demo / "catalog").rglob("*"))
    done = CliRunner().invoke(command, [str(demo / "catalog"), "--collection", "dota", *options])
    assert done.exit_code != 0
    assert said in done.output
    assert "Traceback" not in done.output
    assert sorted((demo / "catalog").rglob("*")) == before


def test_what_is_not_there_or_broken_is_said(demo, tmp_path):
    with pytest.raises(NotFoundError, match="no collection 'doto'"):
        chip(demo / "catalog", "doto", (64, 64))
    catalog = Path(shutil.copytree(demo / "catalog", tmp_path / "catalog"))
    for shard in catalog.glob("dota/shards/*.zip"):
        shard.write_bytes(shard.read_bytes()[:200])
    with pytest.raises(SatimnetError) as error:
        chip(catalog, "dota", (64, 64))
    assert "\n" not in str(error.value)
    assert not list(catalog.glob("dota-chips/*/collection.json"))
    with pytest.raises(ArgumentError, match="give another id"):
        chip(demo / "catalog", "dota", (64, 64), id="dota")


SCENE = """
import sys
from pathlib import Path
import numpy as np, rasterio
from rasterio.windows import Window
from satimnet.builder.pipeline import build

folder, side = Path(sys.argv[1]), 10_000
random = np.random.default_rng(0)
tile = random.integers(0, 256, (3, 512, 512), np.uint8)
for kind, bands in (("images", 3), ("gt", 1)):
    path = folder / "AerialImageDataset" / "train" / kind / "austin1.tif"
    path.parent.mkdir(parents=True)
    with rasterio.open(path, "w", driver="GTiff", width=side, height=side, count=bands,
                       dtype="uint8", tiled=True, blockxsize=512, blockysize=512,
                       compress="deflate", zlevel=1, crs="EPSG:32614",
                       transform=rasterio.Affine(0.3, 0, 600_000, 0, -0.3, 3_400_000)) as out:
        for top in range(0, side, 512):
            for left in range(0, side, 512):
                size = min(512, side - top), min(512, side - left)
                number = top // 512 * 40 + left // 512
                block = np.full((bands, *size), number % 251, np.uint8)
                if bands == 1:
                    block[:] = 255 * (number % 3 == 0)
                elif number % 7 == 0:
                    block[:] = tile[:, : size[0], : size[1]]
                out.write(block, window=Window(left, top, size[1], size[0]))
build([folder / "AerialImageDataset"], folder / "catalog", overview=False)
"""
CUT = """
import sys
from pathlib import Path
from satimnet.builder.chipping import chip

done = chip(sys.argv[1] + "/catalog", "inria", (512, 512), overlap=(64, 64), keep_empty=0.1)
# proc(5); the peak of getrusage is at least that of the process that started this one
peak = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
print(done.chips, done.thinned, peak)
"""


@pytest.mark.slow
def test_a_scene_of_400_mb_is_not_held_whole_when_it_is_cut(tmp_path):
    for code in (SCENE, CUT):
        command = [sys.executable, "-c", code, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    chips, thinned, peak = map(int, done.stdout.split()[-3:])
    assert chips == 23**2
    assert thinned > 0
    assert peak * 1024 < 450 * 2**20
    items = items_of(tmp_path / "catalog", "inria-chips")
    scene = tmp_path / "AerialImageDataset" / "train" / "images" / "austin1.tif"
    with rasterio.open(scene) as file:
        for id_ in sorted(items)[::97]:
            at = items[id_]["properties"]
            window = Window(at["chip:column"], at["chip:row"], 512, 512)
            with rasterio.open(gdal_path(items[id_]["assets"]["image"])) as cut:
                assert (cut.read() == file.read(window=window)).all()
                assert cut.transform.almost_equals(file.window_transform(window), 1e-9)


@pytest.mark.parametrize("source", ["dota", "inria"])
def test_chips_in_a_store_are_those_of_the_disk(demo, bucket, tmp_path, source):
    place = f"{bucket}/chips-{source}"
    near = Path(shutil.copytree(demo / "catalog", tmp_path / "catalog"))
    copy_catalog(near, place, collections=[source])
    chip(near, source, (256, 256), overlap=(8, 8))
    done = chip(place, source, (256, 256), overlap=(8, 8))
    assert done.catalog == place
    there = items_of(place, f"{source}-chips")
    for id_, item in items_of(near, f"{source}-chips").items():
        for key, asset in item["assets"].items():
            (entry,), (copy,) = asset["archive"], there[id_]["assets"][key]["archive"]
            assert entry["file:checksum"] == copy["file:checksum"]
            assert read_bytes(there[id_]["assets"][key]) == read_bytes(asset)
