"""The same band in several sources: distances, findings, scenes that are compared, the picture."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
import rasterio
from click.testing import CliRunner
from numpy.typing import NDArray

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.errors import SatimnetError
from satimnet.builder.pipeline import build
from satimnet.builder.quality import assess
from satimnet.builder.quality.comparison_picture import draw_comparison
from satimnet.builder.quality.measuring import result_schema
from satimnet.builder.quality.pixel_statistics import band_statistics
from satimnet.builder.quality.source_comparison import (
    SourceBands,
    bands_of_collection,
    compare_sources,
    find_differences,
    wasserstein,
)
from satimnet.cli.quality_command import quality

DATA = Path(__file__).parents[3] / "shared" / "data"


def collection(name: str, bands: list[dict], **summaries: list) -> CollectionDocument:
    content = {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": name,
        "description": "Made up",
        "license": "other",
        "links": [],
        "extent": {
            "spatial": {"bbox": [[0, 0, 1, 1]]},
            "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]},
        },
        "item_assets": {"image": {"roles": ["data"], "bands": bands}},
        "summaries": {"constellation": ["sentinel-2"]} | summaries,
    }
    return CollectionDocument.of(content, f"{name}/collection.json")


def rows_of(images: Mapping[str, NDArray]) -> pa.Table:
    """Results of Items; images: by band, (item, y, x)."""
    count = len(next(iter(images.values())))
    rows = [
        {
            "bands": [
                {"asset": "image", "band": band, **band_statistics(values[at])}
                for band, values in images.items()
            ]
        }
        for at in range(count)
    ]
    return pa.Table.from_pylist(rows, result_schema())


def made_up(shift: float = 0, factor: float = 1, count: int = 30, seed: int = 0) -> NDArray:
    """Images whose values are nearly normal, of mean 1,000 and standard deviation 100."""
    values = np.random.default_rng(seed).normal(1000, 100, (count, 32, 32))
    return (values * factor + shift).astype(np.float32)


def source(name: str, images: Mapping[str, NDArray], scale: object = None, **summaries: list):
    row = {"raster:scale": scale} if scale is not None else {}
    bands = [{"name": band} | row for band in images]
    return bands_of_collection(collection(name, bands, **summaries), rows_of(images))


def compared(*sources: SourceBands, families: tuple = ()) -> dict[str, float]:
    """The largest distance of each band, in standard deviations."""
    return {
        one.band: max(distance.deviations for distance in one.distances)
        for one in compare_sources(sources, families)
    }


# --- distances ----------------------------------------------------------------------------------


def test_the_distance_is_the_area_between_the_distribution_functions() -> None:
    rng = np.random.default_rng(5)
    first, second = np.sort(rng.gamma(2, 300, 5000)), np.sort(rng.normal(800, 90, 5000))
    grid = np.linspace(-1000, 9000, 200_001)
    below = [np.searchsorted(values, grid, side="right") / 5000 for values in (first, second)]
    area = np.abs(below[0] - below[1]).sum() * (grid[1] - grid[0])
    assert wasserstein(first, second) == pytest.approx(area, rel=1e-3)


def test_a_shift_is_its_own_distance() -> None:
    first = source("a", {"B09": made_up()})
    second = source("b", {"B09": made_up(shift=250, seed=1)})
    (comparison,) = compare_sources([first, second])
    (distance,) = comparison.distances
    assert distance.wasserstein == pytest.approx(250, rel=0.02)
    assert distance.deviations == pytest.approx(2.5, rel=0.02)
    assert comparison.differs


def test_pooled_percentiles_are_those_of_all_pixels() -> None:
    images = made_up() + np.linspace(0, 3000, 30, dtype=np.float32)[:, None, None]
    distribution = source("a", {"B02": images}).bands["B02"]
    for share in (0.02, 0.25, 0.5, 0.75, 0.98):
        assert distribution.quantile(share) == pytest.approx(np.quantile(images, share), rel=0.02)
    assert distribution.mean == pytest.approx(np.median(images.mean((1, 2))), rel=1e-5)


def test_what_differs_is_a_finding_and_what_does_not_is_none() -> None:
    first = source("a", {"B02": made_up(), "B09": made_up()}, **{"processing:level": ["L1C"]})
    second = source("b", {"B02": made_up(seed=1), "B09": made_up(shift=900)})
    (finding,) = find_differences(compare_sources([first, second]))
    assert finding.check == "sources-differ"
    assert finding.collections == ("a", "b")
    assert "B09 is usually 1,001 in a (L1C), 1,901 in b: 9.0" in finding.message
    assert "B02" not in finding.message


def test_values_are_compared_in_one_unit() -> None:
    first = source("a", {"B02": made_up()}, scale=0.0001)
    second = source("b", {"B02": made_up(factor=0.0001, seed=1)}, scale=1)
    assert compared(first, second)["B02"] < 0.1
    third = source("c", {"B02": made_up(factor=0.0001, seed=1)})  # says no unit
    assert compared(first, third)["B02"] > 10


def test_only_the_same_instrument_is_compared_and_nothing_with_its_own_source() -> None:
    first, second = source("a", {"B02": made_up()}), source("b", {"B02": made_up(shift=900)})
    assert compared(first, second)["B02"] > 5
    assert not compared(first, second, families=(frozenset(("a", "b")),))
    other = source("c", {"B02": made_up(shift=900)}, constellation=["landsat"])
    nobody = source("d", {"B02": made_up(shift=900)}, constellation=[])
    assert not compared(first, other, nobody)


def test_a_handful_of_items_is_not_compared() -> None:
    first = source("a", {"B02": made_up()})
    assert not compared(first, source("b", {"B02": made_up(shift=900, count=9)}))


def test_images_without_pixels_do_not_count() -> None:
    images = made_up()
    images[3] = np.nan
    distribution = source("a", {"B02": images}).bands["B02"]
    assert distribution.images == 29
    assert np.isfinite(distribution.quantiles).all()


def test_constant_sources() -> None:
    first = source("a", {"B10": np.full((12, 4, 4), 7, np.uint16)})
    same = source("b", {"B10": np.full((12, 4, 4), 7, np.uint16)})
    other = source("c", {"B10": np.full((12, 4, 4), 8, np.uint16)})
    assert compared(first, same) == {"B10": 0}
    assert compared(first, other) == {"B10": float("inf")}


# --- the picture --------------------------------------------------------------------------------


def test_the_picture_names_every_source_and_band_and_escapes_them() -> None:
    first = source("a<b>", {"B02": made_up(), "B09": made_up()})
    second = source("c", {"B02": made_up(seed=1), "B09": made_up(shift=900)})
    svg = draw_comparison(compare_sources([first, second]))
    assert "<b>" not in svg
    root = ElementTree.fromstring(svg)
    texts = {node.text: node.get("class") for node in root.iter() if node.tag.endswith("text")}
    assert {"a<b>", "c"} <= set(texts)
    bands = {text.split()[0]: look for text, look in texts.items() if text and "sd" in text}
    assert bands == {"B02": "plain", "B09": "differs"}
    left = [float(n.get("x", 0)) for n in root.iter() if n.tag.endswith("rect")]
    assert min(left) >= 150


# --- scenes -------------------------------------------------------------------------------------

BANDS = (*(f"B{k:02d}" for k in range(1, 13)), "B8A")


@pytest.fixture(scope="module")
def eurosat(tmp_path_factory: pytest.TempPathFactory, miniature: Path) -> Path:
    folder = tmp_path_factory.mktemp("eurosat")
    archive = next(miniature.glob("*allBands*"), None) or next(miniature.glob("*MS*"))
    build([archive], folder / "catalog", overview=False)
    return folder / "catalog"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, eurosat: Path) -> Path:
    """The images of the catalog side by side, B09 with 5,000 more, and where nobody looked 0."""
    from satimnet.training import open_samples

    images = open_samples(eurosat).search().to_xarray().values  # (sample, band, y, x)
    mosaic = np.concatenate(list(images), axis=2)
    mosaic[BANDS.index("B09")] += 5000
    path = tmp_path_factory.mktemp("scene") / "T32<i>.tif"
    profile = {"height": mosaic.shape[1], "width": mosaic.shape[2], "count": 13, "nodata": 0}
    profile |= {"dtype": "uint16", "crs": "EPSG:32632"}
    transform = rasterio.Affine(10, 0, 600000, 0, -10, 5000040)
    with rasterio.open(path, "w", driver="GTiff", transform=transform, **profile) as file:
        file.write(mosaic)
        for at, name in enumerate(BANDS, 1):
            file.set_band_description(at, name)
    return path


def test_a_scene_is_compared_with_the_collections(
    eurosat: Path, scene: Path, tmp_path: Path
) -> None:
    out = tmp_path / "quality"
    done = CliRunner().invoke(
        quality, [str(eurosat), "--out", str(out), "--compare", str(scene)], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    assert "Sources that differ" in done.output
    lines = [json.loads(line) for line in (out / "findings.ndjson").read_text().splitlines()]
    (finding,) = [line for line in lines if line["check"] == "sources-differ"]
    assert finding["collections"] == ["eurosat"]
    assert "B09 is usually" in finding["message"]
    assert "in the scene T32<i>" in finding["message"]
    assert finding["message"].count("usually") == 1
    rows = json.loads((out / "report.json").read_text())["comparisons"]
    assert {row["band"] for row in rows} == set(BANDS)
    near = [row["distances"][0]["standard_deviations"] for row in rows if row["band"] != "B09"]
    assert max(near) < 0.3
    html = (out / "report.html").read_text()
    assert "T32&lt;i&gt;" in html
    assert "T32<i>" not in html
    assert html.count("<svg") == 1
    assert "| B09 | `T32<i>` |" in (out / "report.md").read_text()


def test_names_of_bands_and_an_offset_can_be_given(
    eurosat: Path, scene: Path, tmp_path: Path
) -> None:
    plain = tmp_path / "plain.tif"
    shutil.copy(scene, plain)
    with rasterio.open(plain, "r+") as file:
        file.descriptions = [None] * 13
    with pytest.raises(SatimnetError, match=r"plain\.tif: its 13 bands have no names"):
        assess(eurosat, tmp_path / "q", compare=[str(plain)])
    names = [*BANDS[:8], "B10", "B09", *BANDS[10:]]  # the two changed
    report = assess(
        eurosat,
        tmp_path / "q",
        compare=[str(plain)],
        bands=names,
        offset=-5000,
        scheduler="threads",
    )
    usual = {one.band: one.distributions[1].mean for one in report.comparisons if one.band != "B10"}
    assert usual["B02"] == 0  # no value is below 0


def test_a_sentinel_2_product_of_several_resolutions_is_compared(
    eurosat: Path, tmp_path: Path
) -> None:
    product = tmp_path / "S2A_MSIL2A_20221005T115411_N0509_R023_T32TQM_20221005T164454.SAFE"
    images = product / "GRANULE" / "L2A_T32TQM_A038058_20221005T115407" / "IMG_DATA"
    for band, size, value in (("B02", 10, 2000), ("B09", 60, 4200)):
        (images / f"R{size}m").mkdir(parents=True)
        side = 600 // size
        with rasterio.open(
            images / f"R{size}m" / f"T32TQM_20221005T115411_{band}_{size}m.jp2",
            "w",
            driver="JP2OpenJPEG",
            **{"width": side, "height": side, "count": 1, "dtype": "uint16"},
            **{"crs": "EPSG:32632", "QUALITY": 100, "REVERSIBLE": "YES"},
            transform=rasterio.Affine(size, 0, 600000, 0, -size, 5000040),
        ) as file:
            stored = np.full((side, side), value, np.uint16)
            stored[0, 0] = 0  # nobody saw it
            file.write(stored, 1)
    offsets = "".join(f'<BOA_ADD_OFFSET band_id="{k}">-1000</BOA_ADD_OFFSET>' for k in range(13))
    (product / "MTD_MSIL2A.xml").write_text(
        "<Product><PRODUCT_START_TIME>2022-10-05T11:54:11.024Z</PRODUCT_START_TIME>"
        "<PROCESSING_LEVEL>Level-2A</PROCESSING_LEVEL>"
        "<PROCESSING_BASELINE>05.09</PROCESSING_BASELINE>"
        f"<BOA_QUANTIFICATION_VALUE>10000</BOA_QUANTIFICATION_VALUE>{offsets}</Product>"
    )
    report = assess(eurosat, tmp_path / "q", compare=[str(product)])
    found = {one.band: one.distributions[1] for one in report.comparisons}
    assert {band: one.mean for band, one in found.items()} == {"B02": 1000, "B09": 3200}
    assert {one.level for one in found.values()} == {"L2A"}
    (finding,) = report.of("sources-differ")
    assert "B09 is usually" in finding.message
    assert f"3,200 in the scene {product.stem} (L2A)" in finding.message


def test_two_scenes_of_one_name_are_told_apart(eurosat: Path, scene: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(scene, tmp_path / folder / "eurosat.tif")
    paths = [str(tmp_path / folder / "eurosat.tif") for folder in ("a", "b")]
    report = assess(eurosat, tmp_path / "q", compare=paths)
    sources = [one.source for one in report.comparisons[0].distributions]
    assert sources == ["eurosat", "eurosat 2", "eurosat 3"]


def test_bad_scenes_are_refused_before_anything_is_written(
    eurosat: Path, scene: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.tif").write_text("no image")
    foreign = tmp_path / "foreign.tif"
    shutil.copy(scene, foreign)
    with rasterio.open(foreign, "r+") as file:
        file.descriptions = [f"radar {at}" for at in range(13)]
    empty = tmp_path / "empty.tif"
    with rasterio.open(scene) as file:
        profile = file.profile | {"count": 1}
    with rasterio.open(empty, "w", **profile) as file:
        file.set_band_description(1, "B02")
    for options, words in (
        (["--compare", tmp_path / "none.tif"], "none.tif: no image that GDAL can read"),
        (["--compare", tmp_path / "text.tif"], "text.tif: no image that GDAL can read"),
        (["--compare", foreign], "foreign.tif: its bands (radar 0, "),
        (["--compare", empty], "empty.tif: none of its pixels was observed"),
        (["--compare", scene, "--bands", "B02"], "there are 13 bands, and --bands has 1 names"),
        (["--compare", tmp_path], "no Sentinel-2 product"),
        (
            ["--bands", "B02"],
            "--bands is said of a scene that collections are compared with; give --compare",
        ),
        (
            ["--offset", "-1000"],
            "--offset is said of a scene that collections are compared with; give --compare",
        ),
    ):
        before = sorted(tmp_path.rglob("*"))
        out = tmp_path / "quality"
        done = CliRunner().invoke(
            quality, [str(eurosat), "--out", str(out), *map(str, options), "--quiet"]
        )
        assert done.exit_code == 1, (options, done.output)
        assert words in done.output
        assert done.output.count("\n") == 1
        assert sorted(tmp_path.rglob("*")) == before


# --- the real samples ---------------------------------------------------------------------------


@pytest.mark.real
def test_b09_of_eurosat_is_not_that_of_bigearthnet(tmp_path: Path) -> None:
    """Section 3.1 of the paper names B09 and B10; BigEarthNet has no B10."""
    places = [DATA / "eurosat" / "ds", DATA / "bigearthnet"]
    if not all(place.is_dir() for place in places):
        pytest.skip("needs the real samples in ../shared/data")
    build(places, tmp_path / "catalog", overview=False)
    report = assess(tmp_path / "catalog", tmp_path / "quality")
    (finding,) = report.of("sources-differ")
    words = "B09 is usually 3,232 in bigearthnet (L2A), 699 in eurosat (L1C): 2."
    assert finding.message.startswith(words)
    far = {one.band: one.distances[0].deviations for one in report.comparisons}
    assert max(far, key=far.__getitem__) == "B09"
    assert {band for band, one in far.items() if one > 1} == {"B09", "B01"}
    assert "B09" in (tmp_path / "quality/report.html").read_text().split("<svg")[1]
