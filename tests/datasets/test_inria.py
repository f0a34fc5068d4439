"""Inria: images and masks paired, recoded without loss, and placed where the publisher says."""

import zipfile
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from published import home_of
from rasterio.io import MemoryFile

from satimnet.builder import build
from satimnet.builder.errors import SatimnetError
from satimnet.builder.samples import Problem, Sample
from satimnet.builder.sources import Source
from satimnet.builder.storage.assets import read_bytes
from stactools.inria import dataset
from stactools.inria.miniature import geotiff, write_miniature

REAL = Path(__file__).parents[3] / "shared" / "data" / "inria"
TRAIN = ("austin1", "austin2", "vienna1", "vienna12")


@pytest.fixture(scope="module")
def miniature(tmp_path_factory) -> list[Path]:
    return write_miniature(tmp_path_factory.mktemp("inria"))


@pytest.fixture(scope="module")
def catalog(miniature, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("built") / "catalog"
    build(miniature, out, datasets={dataset.id: dataset}, overview=False)
    return out


@pytest.fixture(scope="module")
def real() -> Path:
    if not REAL.is_dir():
        pytest.skip("needs the real samples in ../shared/data/inria")
    return REAL


def scan(*paths: Path) -> tuple[dict[str, Sample], list[Problem]]:
    found = list(dataset.scan(Source(paths)))
    samples = {item.id: item for item in found if isinstance(item, Sample)}
    problems = [item for item in found if isinstance(item, Problem)]
    assert len(samples) + len(problems) == len(found)
    return samples, problems


def write(folder: Path, *names: str, data: bytes = b"") -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def items_of(catalog: Path) -> dict[str, pystac.Item]:
    files = home_of(catalog, "inria").glob("t*/*/*.json")
    items = [pystac.Item.from_file(str(f)) for f in files if f.name != "catalog.json"]
    return {item.id: item for item in items}


def read(data: bytes) -> tuple[np.ndarray, dict]:
    """Pixels and profile of a GeoTIFF."""
    with MemoryFile(data) as memory, memory.open() as image:
        return image.read(), dict(image.profile)


# --- the miniature ------------------------------------------------------------------------------


def test_miniature_is_what_it_says(miniature):
    samples, problems = scan(*miniature)
    assert sorted(samples) == sorted((*TRAIN, "bellingham1"))
    for id in TRAIN:
        assert samples[id].split == "train"
        assert [m.asset for m in samples[id].members] == ["image", "mask"]
    test = samples["bellingham1"]
    assert (test.split, test.level) == ("test", ("test", "bellingham"))
    assert [m.asset for m in test.members] == ["image"]
    assert samples["vienna12"].level == ("train", "vienna")
    assert samples["vienna12"].properties == {"inria:city": "vienna", "satimnet:country": "Austria"}
    assert all(s.objects is None and s.classes is None for s in samples.values())
    assert [(p.kind, p.path.rpartition("/")[2]) for p in problems] == [
        ("incomplete", "kitsap3.tif")
    ]


def test_miniature_is_the_same_every_time(miniature, tmp_path):
    again = write_miniature(tmp_path)
    assert again[0].read_bytes() == miniature[0].read_bytes()


def test_images_and_masks_are_recoded_without_loss(miniature, catalog):
    items = items_of(catalog)
    assert set(items) == {*TRAIN, "bellingham1"}
    with zipfile.ZipFile(miniature[0]) as archive:
        for id, item in items.items():
            split = item.properties["satimnet:split"]
            for key, folder, factor in (("image", "images", 1), ("mask", "gt", 255)):
                if key not in item.assets:
                    assert (split, key) == ("test", "mask")
                    continue
                published = archive.read(f"AerialImageDataset/{split}/{folder}/{id}.tif")
                pixels, profile = read(read_bytes(item.assets[key]))
                expected, original = read(published)
                np.testing.assert_array_equal(pixels * factor, expected)
                assert profile["crs"] == original["crs"]
                assert profile["transform"] == original["transform"]
                assert profile["tiled"]
                recorded = item.assets[key].extra_fields["satimnet:original"]
                assert recorded["file:size"] == len(published)


def test_items_tell_classes_town_and_place(miniature, catalog):
    items = items_of(catalog)
    with zipfile.ZipFile(miniature[0]) as archive:
        for id in TRAIN:
            properties = items[id].properties
            gt, _ = read(archive.read(f"AerialImageDataset/train/gt/{id}.tif"))
            assert properties["satimnet:classes"] == ["building"]
            statistics = [{"class": "building", "pixels": int((gt == 255).sum())}]
            assert properties["satimnet:statistics"] == statistics
    test = items["bellingham1"].properties
    assert "satimnet:classes" not in test
    assert test["inria:city"] == "bellingham"
    west, south, east, north = items["vienna1"].bbox
    assert 16.3 < west < east < 16.5
    assert 48.1 < south < north < 48.3


def test_a_mask_with_a_strange_value_is_broken(tmp_path):
    image = geotiff(np.full((400, 400, 3), 90, np.uint8), "austin", 1)
    mask = geotiff(np.full((400, 400), 7, np.uint8), "austin", 1)
    write(tmp_path / "source", "train/images/austin1.tif", data=image)
    write(tmp_path / "source", "train/gt/austin1.tif", data=mask)
    out = tmp_path / "catalog"
    report = build([tmp_path / "source"], out, datasets={dataset.id: dataset}, bad_files="any")
    assert [(p.kind, Path(p.path).parent.name) for p in report[0].problems] == [("broken", "gt")]
    assert set(items_of(out)["austin1"].assets) == {"image"}


def test_a_mask_of_another_size_is_broken(tmp_path):
    """Also without being decoded: it may be far larger than the image."""
    image = geotiff(np.full((400, 400, 3), 90, np.uint8), "austin", 1)
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", width=400, height=500, count=1, dtype="uint8") as mask:
            mask.write(np.full((1, 500, 400), 255, np.uint8))
        write(tmp_path / "source", "train/gt/austin1.tif", data=bytes(memory.getbuffer()))
    write(tmp_path / "source", "train/images/austin1.tif", data=image)
    out = tmp_path / "catalog"
    report = build([tmp_path / "source"], out, datasets={dataset.id: dataset}, bad_files="any")
    assert [p.reason for p in report[0].problems] == ["(500, 400) pixels, its image has (400, 400)"]
    assert set(items_of(out)["austin1"].assets) == {"image"}


def test_an_image_that_gdal_sees_otherwise_is_broken(tmp_path):
    """Colours of CIELAB come out of GDAL as four bands."""
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", width=40, height=50, count=3, dtype="uint8", photometric="CIELAB"
        ) as image:
            image.write(np.full((3, 50, 40), 90, np.uint8))
        write(tmp_path / "source", "test/images/sfo36.tif", data=bytes(memory.getbuffer()))
    with pytest.raises(SatimnetError, match=r"sfo36\.tif: GDAL takes it for another image"):
        build([tmp_path / "source"], tmp_path / "catalog")


# --- where the files lie ------------------------------------------------------------------------


def test_what_is_incomplete_is_told(tmp_path):
    write(tmp_path, "train/images/austin1.tif", "train/gt/austin2.tif", "test/images/sfo36.tif")
    samples, problems = scan(tmp_path)
    assert {s.id: len(s.members) for s in samples.values()} == {"austin1": 1, "sfo36": 1}
    assert sorted((p.kind, p.reason) for p in problems) == [
        ("incomplete", "image without a mask"),
        ("incomplete", "mask without an image"),
    ]


def test_only_the_publishers_names_count(tmp_path):
    good = "train/images/tyrol-w7.tif", "train/gt/tyrol-w7.tif"
    foreign = "train/images/paris1.tif", "train/images/austin01.tif", "train/gt/austin.tif"
    silent = "extras/sample_color.jpg", "train/images/._austin1.tif", "images/austin1.tif"
    write(tmp_path, *good, *foreign, *silent)
    samples, problems = scan(tmp_path)
    assert list(samples) == ["tyrol-w7"]
    assert samples["tyrol-w7"].properties["satimnet:country"] == "Austria"
    assert [p.kind for p in problems] == ["foreign"] * 3
    assert all(p.reason == "not named as Inria names its files" for p in problems)


def test_a_second_copy(tmp_path):
    write(tmp_path, "a/train/images/austin1.tif", "a/train/gt/austin1.tif")
    write(tmp_path, "b/train/images/austin1.tif", "b/train/gt/austin1.tif")
    samples, problems = scan(tmp_path)
    assert [(s.id, s.split, len(s.members)) for s in samples.values()] == [("austin1", "train", 2)]
    assert [p.kind for p in problems if "second copy" in p.reason] == ["foreign"] * 2
    write(tmp_path, "b/test/images/austin1.tif")
    samples, problems = scan(tmp_path)
    assert [(s.id, s.split, len(s.members)) for s in samples.values()] == [("austin1", None, 2)]
    assert sum("gets no split" in p.reason for p in problems) == 1


def test_images_of_a_town_are_in_the_order_of_their_numbers(tmp_path):
    write(tmp_path, *(f"test/images/{id}.tif" for id in ("sfo10", "sfo9", "sfo1", "tyrol-e2")))
    samples, problems = scan(tmp_path)
    assert list(samples) == ["sfo1", "sfo9", "sfo10", "tyrol-e2"]
    assert problems == []


def test_it_is_recognised():
    for path in (
        "AerialImageDataset/train/images/austin1.tif",
        "NEW2-AerialImageDataset/AerialImageDataset/test/images/tyrol-e36.tif",
        "train/gt/vienna12.tif",
    ):
        assert dataset.recognises(path), path
    for path in ("train/images/P0706.png", "train_images/2355.tif", "train/images/austin1.png"):
        assert not dataset.recognises(path), path


# --- real samples -------------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_real_crops_have_no_place_and_no_mask(real, tmp_path):
    out = tmp_path / "catalog"
    (report,) = build([real], out, datasets={dataset.id: dataset}, overview=False)
    (problem,) = report.problems
    assert problem.path.endswith("extras/sample_color.jpg")
    assert problem.kind == "foreign"
    items = items_of(out)
    assert set(items) == {"bellingham1", "bellingham9"}
    for id, item in items.items():
        assert item.geometry is None
        assert set(item.assets) == {"image"}
        assert "proj:code" not in item.properties
        pixels, _ = read(read_bytes(item.assets["image"]))
        with rasterio.open(real / f"AerialImageDataset/test/images/{id}.tif") as original:
            np.testing.assert_array_equal(pixels, original.read())
