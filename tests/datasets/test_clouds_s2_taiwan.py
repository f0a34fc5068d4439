"""clouds-s2-taiwan: which files make a pair, and what becomes of those that make none."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from published import home_of

from satimnet.builder import build
from satimnet.builder.samples import Problem, Sample
from satimnet.builder.sources import Source
from stactools.clouds_s2_taiwan import create_collection, create_item, dataset
from stactools.clouds_s2_taiwan.miniature import write_miniature

NAME = "20180516_S2_20m_2240_36"


@pytest.fixture(scope="module")
def miniature(tmp_path_factory) -> list[Path]:
    return write_miniature(tmp_path_factory.mktemp("clouds"))


@pytest.fixture(scope="module")
def catalog(miniature, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("clouds-built") / "catalog"
    build(miniature, out, overview=False)
    return out


def scan(*paths: Path) -> tuple[dict[str, Sample], list[Problem]]:
    found = list(dataset.scan(Source(paths)))
    samples = {item.id: item for item in found if isinstance(item, Sample)}
    problems = [item for item in found if isinstance(item, Problem)]
    assert len(samples) + len(problems) == len(found)
    return samples, problems


def scan_files(folder: Path, *names: str) -> tuple[dict[str, Sample], list[Problem]]:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return scan(folder)


def assets_of(sample: Sample) -> dict[str, str]:
    """Asset keys to the paths in the source."""
    return {m.asset: m.entry.path for m in sample.members}


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        (f"Image/{NAME}.tif", f"Cloud_Mask/{NAME}.tif"),
        (f"Image_Cloud_Mask/images/{NAME}.tiff", f"Image_Cloud_Mask/MASKS/{NAME}.tif"),
        (f"Image/{NAME}.tif", f"other/{NAME}_mask.tif"),
        (f"{NAME}.tif", f"{NAME}_mask.tif"),
        (f"somewhere/{NAME}.tif", f"somewhere/{NAME}_mask.tif"),
    ],
)
def test_pairs(tmp_path, image, mask):
    samples, problems = scan_files(tmp_path, image, mask)
    assert problems == []
    sample = samples[NAME]
    assert assets_of(sample) == {"image": image.replace(".tiff", ".tif"), "mask": mask}
    assert [m.path for m in sample.members] == [f"{NAME}.tif", f"{NAME}_mask.tif"]
    assert sample.level == ("2018-05-16",)
    assert sample.datetime is None
    assert sample.properties == {
        "start_datetime": "2018-05-16T00:00:00Z",
        "end_datetime": "2018-05-16T23:59:59Z",
    }


@pytest.mark.parametrize(
    ("files", "kinds", "found"),
    [
        ([f"Image/{NAME}.tif"], ["incomplete"], ["image"]),
        ([f"Cloud_Mask/{NAME}.tif"], ["incomplete"], []),
        ([f"a/{NAME}.tif", f"b/{NAME}.tif"], ["foreign", "foreign"], []),
        ([f"a/{NAME}.tif", f"b/{NAME}_mask.tif"], ["foreign", "incomplete"], []),
        ([f"x/Image/{NAME}.tif", f"y/Image/{NAME}.tif"], ["foreign", "incomplete"], ["image"]),
        (
            [f"Image/{NAME}.tif", f"Mask/{NAME}.tif", f"a/{NAME}.tif"],
            ["foreign"],
            ["image", "mask"],
        ),
        (["Image/20180532_S2_20m_2240_36.tif"], ["foreign"], []),
        (["Image/tile.tif", "Image/notes.txt"], ["foreign"], []),
    ],
)
def test_what_makes_no_pair_is_said(tmp_path, files, kinds, found):
    samples, problems = scan_files(tmp_path, *files)
    assert [p.kind for p in problems] == kinds
    assert [list(assets_of(sample)) for sample in samples.values()] == ([found] if found else [])


@pytest.mark.parametrize(
    ("path", "known"),
    [
        (f"Image_Cloud_Mask/Image/{NAME}.tif", True),
        (f"{NAME}_mask.tiff", True),
        (f"x{NAME}.tif", False),
        (f"{NAME}.png", False),
    ],
)
def test_signature(path, known):
    assert dataset.recognises(path) == known


def test_miniature_is_scanned(miniature):
    samples, problems = scan(*miniature)
    assert len(samples) == 6
    assert [p.kind for p in problems] == ["incomplete", "incomplete"]
    assert {s.level for s in samples.values()} == {
        ("2018-05-11",),
        ("2018-05-16",),
        ("2018-05-26",),
    }


def test_miniature_is_built(catalog, miniature):
    (source,) = miniature
    items = {path.stem: path for path in home_of(catalog, "clouds-s2-taiwan").glob("*/*_S2_*.json")}
    assert len(items) == 6
    clear = cloudy = 0
    for name, path in items.items():
        item = json.loads(path.read_bytes())
        files = {}
        for key, asset in item["assets"].items():
            first, last = asset["archive"][0]["range"]
            files[key] = (path.parent / asset["href"]).read_bytes()[first : last + 1]
        folder = source / "Image_Cloud_Mask"
        assert files["image"] == (folder / "Image" / f"{name}.tif").read_bytes()
        day = f"{name[:4]}-{name[4:6]}-{name[6:8]}"
        assert item["properties"]["datetime"] is None
        assert item["properties"]["start_datetime"] == f"{day}T00:00:00Z"
        if "mask" not in files:
            assert "satimnet:classes" not in item["properties"]
            continue
        with rasterio.open(folder / "Cloud_Mask" / f"{name}.tif") as file:
            published, place = file.read(1), (file.crs, file.transform)
        with rasterio.open(io.BytesIO(files["mask"])) as file:
            assert np.array_equal(file.read(1), published == 255)
            assert (file.crs, file.transform) == place
        found = item["properties"].get("satimnet:statistics", [])
        pixels = int((published == 255).sum())
        assert found == ([{"class": "cloud", "pixels": pixels}] if pixels else [])
        assert item["properties"]["satimnet:classes"] == (["cloud"] if pixels else [])
        clear, cloudy = clear + (not pixels), cloudy + bool(pixels)
    assert (clear, cloudy) == (1, 4)


@pytest.mark.parametrize(("value", "dtype"), [(1, "uint8"), (255, "uint8"), (1, "int32")])
def test_masks_of_either_spelling(tmp_path, miniature, value, dtype):
    """Nobody documents what stands for cloud: 1 and 255 both give 1."""
    folder = miniature[0] / "Image_Cloud_Mask"
    source, out = tmp_path / "source", tmp_path / "catalog"
    (source / "Image").mkdir(parents=True)
    (source / "Image" / f"{NAME}.tif").write_bytes((folder / f"Image/{NAME}.tif").read_bytes())
    with rasterio.open(folder / f"Cloud_Mask/{NAME}.tif") as file:
        clouds, profile = file.read(1) > 0, file.profile
    (source / "Cloud_Mask").mkdir()
    profile.update(dtype=dtype)
    with rasterio.open(source / f"Cloud_Mask/{NAME}.tif", "w", **profile) as file:
        file.write((clouds * value).astype(dtype), 1)
    build([source], out, overview=False)
    home = home_of(out, "clouds-s2-taiwan") / "2018-05-16"
    item = json.loads((home / f"{NAME}.json").read_bytes())
    mask = item["assets"]["mask"]
    assert mask["data_type"] == "uint8"
    assert ("satimnet:original" in mask) == ((value, dtype) != (1, "uint8"))
    first, last = mask["archive"][0]["range"]
    data = (home / mask["href"]).read_bytes()[first : last + 1]
    with rasterio.open(io.BytesIO(data)) as file:
        assert file.dtypes == ("uint8",)
        assert np.array_equal(file.read(1), clouds)


def test_stactools_functions(miniature):
    folder = miniature[0] / "Image_Cloud_Mask"
    item = create_item(str(folder / f"Image/{NAME}.tif"), str(folder / f"Cloud_Mask/{NAME}.tif"))
    assert item.id == NAME
    assert item.properties["start_datetime"] == "2018-05-16T00:00:00Z"
    assert list(item.assets) == ["image", "mask"]
    assert create_collection().id == "clouds-s2-taiwan"
