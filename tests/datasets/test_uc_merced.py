"""UC Merced: images by class and number, the split lists of its users, images of other sizes."""

import io
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from PIL import Image

from satimnet.builder import build, gdal_path, open, search, validate
from satimnet.builder.datasets import installed, recognise
from satimnet.builder.errors import BadFileError, SatimnetError
from satimnet.builder.samples import Problem, Sample
from satimnet.builder.sources import Source
from satimnet.cli.train_command import train
from satimnet.training import open_samples
from stactools.uc_merced import create_item, dataset
from stactools.uc_merced.miniature import ARCHIVE, ODD_SIZES, write_miniature

PER_CLASS = 2


@pytest.fixture(scope="module")
def miniature(tmp_path_factory) -> Path:
    (folder,) = write_miniature(tmp_path_factory.mktemp("uc-merced"), PER_CLASS)
    return folder


@pytest.fixture(scope="module")
def catalog(miniature, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("built") / "catalog"
    (report,) = build([miniature], out, datasets={dataset.id: dataset}, overview=False)
    assert report.items == PER_CLASS * len(dataset.classes)
    assert not report.problems
    return out


def scan(*paths: Path) -> tuple[list[Sample], list[Problem]]:
    found = list(dataset.scan(Source(paths)))
    samples = [item for item in found if isinstance(item, Sample)]
    return samples, [item for item in found if isinstance(item, Problem)]


def write(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def test_samples_of_every_class_are_read(miniature):
    samples, problems = scan(miniature)
    assert not problems
    assert Counter(sample.classes for sample in samples) == {
        (name,): PER_CLASS for name in dataset.classes
    }
    assert {sample.id: sample.split for sample in samples if sample.classes == ("beach",)} == {
        "beach00": "train",
        "beach01": None,
    }


def test_folders_and_archives_at_any_depth_are_recognised(miniature, tmp_path):
    with zipfile.ZipFile(miniature / ARCHIVE) as archive:
        archive.extractall(tmp_path / "unpacked")
    for path in (
        miniature,
        miniature / ARCHIVE,
        tmp_path / "unpacked",
        tmp_path / "unpacked/UCMerced_LandUse",
    ):
        groups, unknown = recognise([path], installed())
        assert (list(groups), unknown) == (["uc-merced"], [])


def test_strays_and_copies_are_named(tmp_path):
    write(tmp_path / "a", "forest/forest00.tif", "forest/oak00.tif", "forest/forest100.tif")
    write(tmp_path / "b", "Images/forest/forest00.tif", "moon/moon00.tif")
    samples, problems = scan(tmp_path / "a", tmp_path / "b")
    assert [sample.id for sample in samples] == ["forest00"]
    assert {Path(problem.path).name: problem.reason.partition(";")[0] for problem in problems} == {
        "forest00.tif": "a second copy",
        "forest100.tif": "not named as UC Merced names its files",
        "oak00.tif": "not named as UC Merced names its files",
    }


def test_all_three_split_lists_are_read(tmp_path):
    write(tmp_path, *(f"river/river0{n}.tif" for n in range(4)))
    for n, split in enumerate(("train", "val", "test")):
        (tmp_path / f"uc_merced-{split}.txt").write_text(f"river0{n}.tif\r\nriver99.tif\r\n")
    samples, _ = scan(tmp_path)
    assert [sample.split for sample in samples] == ["train", "validation", "test", None]


def test_a_list_that_is_none_is_named(tmp_path):
    write(tmp_path, "river/river00.tif")
    (tmp_path / "uc_merced-train.txt").write_bytes(bytes(2**20 + 1))
    with pytest.raises(BadFileError, match=r"uc_merced-train\.txt: .* far more than a list"):
        scan(tmp_path)


def test_an_image_on_two_lists_has_no_split(tmp_path):
    write(tmp_path, "river/river00.tif")
    write(tmp_path, "river/river01.tif")
    (tmp_path / "uc_merced-train.txt").write_text("river00.tif\nriver01.tif")
    (tmp_path / "uc_merced-test.txt").write_text("river00.tif")
    samples, (problem,) = scan(tmp_path)
    assert [sample.split for sample in samples] == [None, "train"]
    assert "1 names, first river00" in problem.reason


def test_the_catalog_is_valid_and_has_no_place(catalog):
    assert validate(catalog, checksums=True).problems == []
    for item in search(catalog, collections=["uc-merced"]):
        assert item["geometry"] is None
        assert item["properties"]["datetime"] is None


def test_pixels_are_the_publisher_s_whatever_their_size(miniature, catalog):
    shapes = {}
    with zipfile.ZipFile(miniature / ARCHIVE) as archive:
        for item in open(catalog).search(collections=["uc-merced"]).items():
            name = f"UCMerced_LandUse/Images/{item.id[:-2]}/{item.id}.tif"
            expected = np.asarray(Image.open(io.BytesIO(archive.read(name))))
            with rasterio.open(gdal_path(item.assets["image"])) as image:
                np.testing.assert_array_equal(image.read().transpose(1, 2, 0), expected)
            shapes[item.id] = expected.shape[:2]
    assert {id: shape for id, shape in shapes.items() if shape != (256, 256)} == ODD_SIZES


@pytest.mark.parametrize(
    ("term", "classes"),
    [
        ("golf courses", {"golfcourse"}),
        ("Road", {"freeway", "intersection"}),
        ("suburb", {"denseresidential", "mediumresidential"}),
        ("building", {"buildings", "denseresidential", "mobilehomepark", "sparseresidential"}),
    ],
)
def test_concepts_of_its_own_and_of_all(term, classes, catalog):
    found = {item["properties"]["satimnet:classes"][0] for item in search(catalog, concept=term)}
    assert classes <= found
    assert "beach" not in found


def test_create_item(miniature, tmp_path):
    with zipfile.ZipFile(miniature / ARCHIVE) as archive:
        archive.extract("UCMerced_LandUse/Images/runway/runway01.tif", tmp_path)
    item = create_item(str(tmp_path / "UCMerced_LandUse/Images/runway/runway01.tif"))
    assert item.properties["satimnet:classes"] == ["runway"]
    assert item.assets["image"].extra_fields["proj:shape"] == list(ODD_SIZES["runway01"])


def test_the_package_is_all_there_is():
    """An eighth dataset needs its folder, and nothing about it anywhere else in the code."""
    root = Path(__file__).parents[2]
    mentions = {
        path.relative_to(root).parts[2]
        for top in ("stac_builder", "collections", "extensions", "training")
        for path in (root / top).rglob("*")
        if path.suffix in (".py", ".toml", ".json") and "merced" in path.read_text().lower()
    }
    assert mentions == {"uc_merced"}


def test_images_of_several_sizes_are_refused_with_a_remedy(catalog):
    samples = open_samples(catalog).search(collections=["uc-merced"])
    with pytest.raises(SatimnetError) as error:
        samples.to_batches(4)
    for part in ("40 of 256 x 256", "samples.of_size(256, 256)", "samples.cropped(rows, columns)"):
        assert part in str(error.value)
    assert error.value.arguments == ("image_size", "crop")
    alike = samples.of_size(256, 256)
    assert len(alike) == len(samples) - len(ODD_SIZES)
    assert not set(alike.ids) & set(ODD_SIZES)
    assert sum(len(batch.images) for batch in alike.to_batches(16)) == len(alike)
    with pytest.raises(SatimnetError, match="none of the 42 samples has images of 10 x 256"):
        samples.of_size(10, 256)


def test_the_middle_of_images_of_any_size_is_read(miniature, catalog):
    samples = open_samples(catalog).search(collections=["uc-merced"]).cropped(64, 100)
    (batch,) = samples.to_batches(100)
    assert batch.images.shape == (42, 3, 64, 100)
    with zipfile.ZipFile(miniature / ARCHIVE) as archive:
        for name, image in zip(samples.ids, batch.images.numpy(), strict=True):
            path = f"UCMerced_LandUse/Images/{name[:-2]}/{name}.tif"
            whole = np.asarray(Image.open(io.BytesIO(archive.read(path))))
            top, left = (whole.shape[0] - 64) // 2, (whole.shape[1] - 100) // 2
            expected = whole[top : top + 64, left : left + 100]
            np.testing.assert_array_equal(image.transpose(1, 2, 0), expected)
    (green,) = samples.to_batches(100, bands=["green"])
    np.testing.assert_array_equal(green.images[:, 0], batch.images[:, 1])
    with pytest.raises(SatimnetError, match="smaller than the crop of 250 x 250"):
        samples.cropped(250, 250).to_batches(4)
    with pytest.raises(SatimnetError, match="give at least 1 x 1"):
        samples.cropped(0, 5)


def test_the_command_crops(catalog, tmp_path):
    arguments = [str(catalog), "--collection", "uc-merced", "--bands", "red,green,blue", "--quiet"]
    arguments += ["--width", "2", "--epochs", "1", "--holdout", "0.5", "--out", str(tmp_path)]
    result = CliRunner().invoke(train, [*arguments, "--image-size", "256x256"])
    assert "take only the middle of each, with --crop 64x64\n" in result.output
    result = CliRunner().invoke(train, [*arguments, "--crop", "64x64"])
    assert result.exit_code == 0, result.output
    assert "trained on 21, held out 21 samples" in result.output
    result = CliRunner().invoke(train, [*arguments, "--crop", "64x64", "--image-size", "256x256"])
    assert result.exit_code == 1  # other samples
    assert "another training" in result.output or "checkpoint" in result.output


def test_the_command_leaves_out_other_sizes_and_says_so(catalog, tmp_path):
    arguments = [str(catalog), "--collection", "uc-merced", "--bands", "red,green,blue", "--quiet"]
    arguments += ["--width", "2", "--epochs", "1", "--holdout", "0.5", "--out", str(tmp_path)]
    result = CliRunner().invoke(train, arguments)
    assert result.exit_code == 1
    assert "--image-size 256x256" in result.output
    result = CliRunner().invoke(train, [*arguments, "--image-size", "256x256"])
    assert "left out: 2 of uc-merced not of 256 x 256 pixels" in result.output
    result = CliRunner().invoke(train, [*arguments, "--image-size", "256"])
    assert "give rows and columns, as in 256x256" in result.output
