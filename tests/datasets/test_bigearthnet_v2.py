"""BigEarthNet v2.0: what its archives and tables say together, and what is told where some lack."""

from __future__ import annotations

import bz2
import csv
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from published import home_of
from rasterio.io import MemoryFile

from satimnet.builder import build, search, validate
from satimnet.builder.datasets import installed, recognise
from satimnet.builder.errors import BadFileError
from satimnet.builder.samples import Problem, Sample
from satimnet.builder.sources import Source
from satimnet.builder.storage.assets import read_bytes
from stactools.bigearthnet.miniature import PATCHES
from stactools.bigearthnet.miniature import write_miniature as write_first_version
from stactools.bigearthnet_v2 import create_collection, dataset
from stactools.bigearthnet_v2.miniature import (
    OTHER_TABLE,
    TABLE,
    patch_files,
    write_miniature,
    write_table,
)
from stactools.bigearthnet_v2.patch_table import PatchTable

REAL = Path(__file__).parents[3] / "shared" / "data" / "bigearthnet" / "metadata"
BANDS = ["B02", "B03", "B04", "B08", "B05", "B06", "B07", "B8A", "B11", "B12", "B01", "B09"]
PRODUCT = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP"
PATCH = f"{PRODUCT}_40_12"
RADAR_PRODUCT = "S1A_IW_GRDH_1SDV_20170613T165809"
RADAR = f"{RADAR_PRODUCT}_33UUP_40_12"
ROW = {
    "patch_id": PATCH,
    "labels": ["Arable land", "Urban fabric"],
    "split": "train",
    "country": "Austria",
    "s1_name": RADAR,
    "s2v1_name": "S2A_MSIL2A_20170613T101031_40_12",
    "contains_seasonal_snow": False,
    "contains_cloud_or_shadow": True,
}


@pytest.fixture(scope="module")
def miniature(sources) -> Path:
    (folder,) = sources["bigearthnet-v2"]
    return folder


@pytest.fixture(scope="module")
def catalog(miniature, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("bigearthnet-v2-built") / "catalog"
    build([miniature], out, overview=False)
    return out


def scan(*paths: Path) -> tuple[dict[str, Sample], list[Problem]]:
    found = list(dataset.scan(Source(paths)))
    samples = {item.id: item for item in found if isinstance(item, Sample)}
    problems = [item for item in found if isinstance(item, Problem)]
    assert len(samples) + len(problems) == len(found)
    return samples, problems


def write(folder: Path, *kinds: str, rows: list[dict] | None = None) -> Path:
    """Parts of one patch with empty files, which a scan does not open, and its table."""
    files = {
        "S2": [f"BigEarthNet-S2/{PRODUCT}/{PATCH}/{PATCH}_{band}.tif" for band in BANDS],
        "S1": [f"BigEarthNet-S1/{RADAR_PRODUCT}/{RADAR}/{RADAR}_{b}.tif" for b in ("VV", "VH")],
        "map": [f"Reference_Maps/{PRODUCT}/{PATCH}/{PATCH}_reference_map.tif"],
    }
    for name in (name for kind in kinds for name in files[kind]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    if rows is not None:
        folder.mkdir(exist_ok=True)
        write_table(folder / TABLE, rows)
    return folder


def pixels(asset: dict) -> np.ndarray:
    with MemoryFile(read_bytes(asset)) as memory, memory.open() as image:
        return image.read(1)


# --- the record ---------------------------------------------------------------------------------


def test_the_classes_are_those_of_the_first_version():
    """Tags join its 43 classes, the reference map has them and one more."""
    first = installed()["bigearthnet"].record
    nineteen = first["nomenclature_19"]
    assert [entry.name for entry in dataset.record.classes] == [row["name"] for row in nineteen]
    assert [entry.title for entry in dataset.record.classes] == [row["title"] for row in nineteen]
    table = dataset.record["assets"]["reference_map"]["classes"]
    codes = {row["source_value"]: row["name"] for row in table if row["value"]}
    assert codes.pop(335) == "glaciers-and-perpetual-snow"
    assert codes == {entry.value: entry.name for entry in first.classes}
    assert [row["value"] for row in table] == list(range(45))
    assert table[0]["source_value"] == [0, 999]


@pytest.mark.parametrize(
    ("path", "known"),
    [
        (f"BigEarthNet-S2/{PRODUCT}/{PATCH}/{PATCH}_B8A.tif", True),
        (f"BigEarthNet-S1/{RADAR_PRODUCT}/{RADAR}/{RADAR}_VH.tif", True),
        (f"{PATCH}/{PATCH}_reference_map.tif", True),
        (OTHER_TABLE, True),
        (f"BigEarthNet-S1-v1.0/{RADAR}/{RADAR}_VH.tif", False),  # of version 1.0
        (TABLE, False),  # anybody's
        ("S2A_MSIL2A_20170613T101031_40_12/S2A_MSIL2A_20170613T101031_40_12_B02.tif", False),
    ],
)
def test_signature(path, known):
    assert dataset.recognises(path) == known
    assert not (known and installed()["bigearthnet"].recognises(path))


def test_collection_and_its_assets():
    collection = create_collection().to_dict()
    assert collection["license"] == "CDLA-Permissive-1.0"
    assets = collection["item_assets"]
    assert (assets["VV"]["data_type"], assets["VV"]["constellation"]) == ("float32", "sentinel-1")
    assert "nodata" not in assets["VV"]
    assert (assets["B02"]["data_type"], assets["B02"]["nodata"]) == ("uint16", 0)
    assert "own_datetime" not in assets["VV"]
    sources = collection["satimnet:attribute_sources"]
    added = {key for key in collection if key.startswith("satimnet:")}
    assert added - sources.keys() == {"satimnet:attribute_sources", "satimnet:attribute_notes"}


# --- the miniature ------------------------------------------------------------------------------


def test_miniature_is_scanned(miniature):
    samples, problems = scan(miniature)
    assert len(samples) == 5
    assert [(p.kind, p.reason) for p in problems] == [
        ("incomplete", "its patch lacks reference_map"),
        ("incomplete", "its patch lacks VV, VH"),
        ("incomplete", "in no row of metadata.parquet, so its labels and split are not known"),
        ("incomplete", "no row of metadata.parquet says which patch this Sentinel-1 image is of"),
        ("incomplete", "1 of 5 patches have no image in the source"),
    ]
    sample = samples[PATCH]
    assert sample.level == ("2017", "06", "33UUP")
    assert [m.asset for m in sample.members] == [*BANDS, "VV", "VH", "reference_map"]
    assert sample.classes == ("arable-land", "urban-fabric")
    assert sample.split == "train"
    assert sample.datetime == "2017-06-13T10:10:31Z"
    assert sample.datetimes == dict.fromkeys(("VV", "VH"), "2017-06-13T16:58:09Z")
    assert sample.properties == {
        "platform": "sentinel-2a",
        "bigearthnet:tile": "33UUP",
        "satimnet:country": "Austria",
        "satimnet:predecessor": "bigearthnet/S2A_MSIL2A_20170613T101031_40_12",
        "bigearthnet:sentinel1_patch": RADAR,
        "bigearthnet:seasonal_snow": False,
        "bigearthnet:cloud_or_shadow": False,
    }
    (unknown,) = (s for s in samples.values() if s.classes is None)
    assert (unknown.split, unknown.datetimes) == (None, {})


def test_miniature_is_always_the_same(miniature, tmp_path):
    write_miniature(tmp_path)
    for path in miniature.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_archives_and_folders_say_the_same(miniature, tmp_path):
    for path in miniature.iterdir():
        if path.suffix == ".zst":
            with (
                pa.CompressedInputStream(str(path), "zstd") as stream,
                tarfile.open(fileobj=io.BytesIO(stream.read())) as tar,
            ):
                tar.extractall(tmp_path, filter="data")
        else:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    packed, problems = scan(miniature)
    unpacked, others = scan(tmp_path)
    assert packed.keys() == unpacked.keys()
    assert [p.reason for p in problems] == [p.reason for p in others]
    for id_, sample in packed.items():
        other = unpacked[id_]
        assert [m.path for m in sample.members] == [m.path for m in other.members]
        for key in ("level", "classes", "split", "datetime", "properties", "datetimes"):
            assert getattr(sample, key) == getattr(other, key)


# --- the catalog --------------------------------------------------------------------------------


def test_the_catalog_is_valid(catalog, schemas):
    assert validate(catalog, schemas=schemas, checksums=True).problems == []


def test_items_say_what_differs_between_the_satellites(catalog):
    """In the files of Items, and in the rows that searches read."""
    (file,) = home_of(catalog, "bigearthnet-v2").rglob(f"{PATCH}.json")
    (found,) = search(catalog, ids=[PATCH])
    for item in (json.loads(file.read_bytes()), found):
        optical, radar, mask = (item["assets"][key] for key in ("B02", "VV", "reference_map"))
        assert item["properties"]["datetime"] == "2017-06-13T10:10:31Z"
        assert radar["datetime"] == "2017-06-13T16:58:09Z"
        assert (radar["data_type"], optical["data_type"]) == ("float32", "uint16")
        assert (optical["nodata"], mask["nodata"]) == (0, 0)
        assert "nodata" not in radar
        assert "datetime" not in optical
        assert "mask" in mask["roles"]


def test_pixels_are_the_publishers(catalog):
    (item,) = search(catalog, ids=[PATCH])
    files = patch_files(PATCHES[0], 0)
    table = dataset.record["assets"]["reference_map"]["classes"]
    codes = np.array([0, *(row["source_value"] for row in table[1:])])
    for archive, own in files.items():
        for path, data in own.items():
            with MemoryFile(data) as memory, memory.open() as image:
                expected = image.read(1)
            asset = item["assets"][path.removesuffix(".tif").split("12_", 1)[1].split("12_")[-1]]
            found = pixels(asset)
            if archive == "Reference_Maps":
                assert expected.dtype == np.uint16
                np.testing.assert_array_equal(codes[found], expected)
            else:
                assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
                np.testing.assert_array_equal(found, expected)
    said = {row["class"]: row["pixels"] for row in item["properties"]["satimnet:statistics"]}
    values = pixels(item["assets"]["reference_map"])
    assert said == {row["name"]: n for row in table if (n := int((values == row["value"]).sum()))}


def test_batches_of_each_satellite(catalog):
    pytest.importorskip("torch", reason="needs the extra training")
    from satimnet.training import open_samples

    samples = open_samples(catalog).search(classes=["arable-land"], bands=["VV", "VH"])
    optical = next(iter(samples.to_batches(4, bands=["B02", "B03", "B04", "B08"])))
    assert optical.images.shape[1:] == (4, 120, 120)
    radar = next(iter(samples.to_batches(4, bands=["VV", "VH"])))
    assert radar.images.shape[1:] == (2, 120, 120)
    assert optical.images.min() >= 0 > radar.images.mean()  # reflectance and decibels


# --- what is missing ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "assets", "told"),
    [
        (["S2", "S1", "map"], 15, []),
        (["S2", "S1"], 14, ["no reference map is in the source, so there are no masks"]),
        (
            ["S2"],
            12,
            [
                "no Sentinel-1 patch is in the source",
                "no reference map is in the source, so there are no masks",
            ],
        ),
        (
            ["S1"],
            2,
            [
                "no Sentinel-2 patch is in the source",
                "no reference map is in the source, so there are no masks",
            ],
        ),
    ],
)
def test_parts_of_the_dataset(tmp_path, kinds, assets, told):
    samples, problems = scan(write(tmp_path, *kinds, rows=[ROW]))
    assert [p.reason for p in problems] == told
    (sample,) = samples.values()
    assert (sample.id, len(sample.members), sample.split) == (PATCH, assets, "train")
    assert sample.properties["bigearthnet:cloud_or_shadow"] is True


def test_radar_alone_says_so(tmp_path):
    (sample,) = scan(write(tmp_path, "S1", rows=[ROW]))[0].values()
    assert sample.datetime == "2017-06-13T16:58:09Z"
    assert sample.datetimes == {}
    assert sample.properties["constellation"] == "sentinel-1"
    assert sample.properties["platform"] == "sentinel-1a"
    assert sample.properties["processing:software"] is None


def test_a_catalog_of_radar_alone(miniature, tmp_path, schemas):
    out = tmp_path / "catalog"
    (report,) = build([miniature / "BigEarthNet-S1.tar.zst", miniature / OTHER_TABLE], out)
    assert validate(out, schemas=schemas, checksums=True).problems == []
    (item,) = search(out)
    assert set(item["assets"]) == {"VV", "VH"}
    assert item["properties"]["instruments"] == ["c-sar"]
    assert "processing:software" not in item["properties"]
    assert sum("3 such patches" in p.reason for p in report.problems) == 1


def test_a_reference_map_alone_is_no_sample(tmp_path):
    samples, problems = scan(write(tmp_path, "map", rows=[ROW]))
    assert samples == {}
    assert "a reference map without an image" in [p.reason for p in problems]
    assert problems[-1].reason == "1 of 1 patches have no image in the source"


def test_without_a_table(tmp_path):
    samples, problems = scan(write(tmp_path, "S2", "S1", "map"))
    (sample,) = samples.values()
    assert (sample.classes, sample.split, len(sample.members)) == (None, None, 13)
    assert [(p.path.rpartition("/")[2], p.reason[:20]) for p in problems] == [
        ("metadata.parquet", "not in the source, s"),
        (f"{RADAR}_VH.tif", "no row of metadata.p"),
    ]


def test_single_files_that_lack_or_are_there_twice(tmp_path):
    folder = write(tmp_path, "S2", "S1", "map", rows=[ROW])
    (folder / f"BigEarthNet-S2/{PRODUCT}/{PATCH}/{PATCH}_B05.tif").unlink()
    (folder / f"BigEarthNet-S2/{PRODUCT}/{PATCH}/{PATCH}_B10.tif").write_bytes(b"")
    other = folder / f"more/{PATCH}"
    other.mkdir(parents=True)
    (other / f"{PATCH}_B02.tif").write_bytes(b"")
    samples, problems = scan(folder)
    assert len(samples[PATCH].members) == 14
    assert sorted((p.kind, p.reason[:30]) for p in problems) == [
        ("foreign", "a second copy; " + problems[1].reason[15:30]),
        ("foreign", "not one of the 15 files of a p"),
        ("incomplete", "its patch lacks B05"),
    ]


@pytest.mark.parametrize("held", [1, 2])
def test_the_source_is_gone_through_as_often_as_needed(miniature, monkeypatch, held):
    once, problems = scan(miniature)
    monkeypatch.setattr("stactools.bigearthnet_v2.source._MOST_HELD", held)
    often, others = scan(miniature)
    assert often == once
    assert sorted(p.reason for p in others) == sorted(p.reason for p in problems)


# --- tables -------------------------------------------------------------------------------------


def test_odd_rows_are_counted(tmp_path):
    rows = [
        ROW,
        ROW | {"country": "Utopia"},
        ROW | {"patch_id": f"../{PATCH}"},
        ROW | {"patch_id": f"{PRODUCT}_01_01", "split": "dev", "country": "<b>", "s1_name": "x"},
        ROW | {"patch_id": f"{PRODUCT}_01_02", "s1_name": None, "labels": ["Glaciers", "Pastures"]},
    ]
    samples, problems = scan(write(tmp_path, "S2", "S1", rows=rows))
    assert samples[PATCH].properties["satimnet:country"] == "Austria"
    assert [p.reason for p in problems if p.path.endswith(TABLE)] == [
        "2 rows that are not understood, wholly or in part",
        "1 rows with a patch that an earlier row has, which counts",
        "not in the class table, left out: 'Glaciers' (1)",
        "2 of 3 patches have no image in the source",
    ]


def broken_tables() -> dict[str, bytes]:
    def stored(table: pa.Table) -> bytes:
        sink = io.BytesIO()
        pq.write_table(table, sink)
        return sink.getvalue()

    whole = pa.Table.from_pylist([ROW])
    number = whole.set_column(0, "patch_id", [[1]])
    return {
        "magic bytes|too small|smaller": b"no parquet",
        "no column split": stored(whole.drop_columns(["split"])),
        "column patch_id is of int64": stored(number),
        "": stored(whole)[:-30] + bytes(30),
    }


@pytest.mark.parametrize("reason", list(broken_tables()))
def test_a_table_that_cannot_be_read_is_an_error(tmp_path, reason):
    folder = write(tmp_path, "S2")
    (folder / TABLE).write_bytes(broken_tables()[reason])
    with pytest.raises(BadFileError, match=rf"{TABLE}: .*({reason}).*get the table again"):
        scan(folder)


# --- versions -----------------------------------------------------------------------------------


def test_both_versions_lie_beside_each_other(miniature, tmp_path):
    """They are told apart, each knows its own, and quality finds no leak between them."""
    from satimnet.builder.quality import assess

    first = tmp_path / "first"
    write_first_version(first)
    groups, unknown = recognise([first, miniature], installed())
    assert (sorted(groups), unknown) == (["bigearthnet", "bigearthnet-v2"], [])
    build([first, miniature], tmp_path / "catalog", overview=False)
    newer = list(search(tmp_path / "catalog", collections=["bigearthnet-v2"]))
    linked = [item["properties"].get("satimnet:predecessor") for item in newer]
    older = {f"bigearthnet/{item['id']}" for item in search(tmp_path / "catalog")}
    assert sum(name in older for name in linked) == 4
    report = assess(tmp_path / "catalog", tmp_path / "quality", scheduler="synchronous")
    places = {finding.message: len(finding.rows) for finding in report.of("two-versions")}
    assert places["1 place: bigearthnet in train, bigearthnet-v2 in test"] == 2
    assert sum(places.values()) == 2 * 4
    leaks = ("near-duplicate-across-splits", "duplicate-across-splits", "overlap-across-splits")
    assert [report.of(check) for check in leaks] == [[], [], []]


# --- the real tables ----------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.slow
def test_the_real_tables_join_the_names_of_version_1(tmp_path):
    """The counts that docs/quality.md has."""
    if not REAL.is_dir():
        pytest.skip("needs the real tables in ../shared/data/bigearthnet/metadata")
    for name in (TABLE, OTHER_TABLE):
        data = (REAL / f"bigearthnet_v2_{name}").read_bytes()
        (tmp_path / name).write_bytes(data)
    table = PatchTable.of(dataset.record)
    source = Source((tmp_path,))
    sizes = []
    with source.reader() as reader:
        for entry in source.entries():
            assert list(table.add(entry, reader)) == []
            sizes.append(len(table.rows))
    assert sizes == [480_038, 480_038 + 69_450]
    with bz2.open(REAL / "s1_s2_name_country_season.csv.bz2", "rt") as lines:
        first = {row["s2_name"]: row for row in csv.DictReader(lines)}
    assert len(first) == 590_326
    named = [row.first_version for row in table.rows.values()]
    assert len(set(named)) == len(named) == sum(name in first for name in named)
    assert all(first[str(row.first_version)]["s1_name"] == row.radar for row in table.rows.values())
    assert len(first) - len(named) == 40_838
    assert all(row.classes and row.split and row.country for row in table.rows.values())
    splits = {}
    for name, split in (("train", "train"), ("val", "validation"), ("test", "test")):
        with bz2.open(REAL / f"{name}.csv.bz2", "rt") as lines:
            splits |= dict.fromkeys((line.partition(",")[0].strip() for line in lines), split)
    both = [
        (splits[n], row.split) for row in table.rows.values() if (n := row.first_version) in splits
    ]
    assert len(both) == 480_038
    assert sum(one == other for one, other in both) == 125_699 + 29_855 + 29_670
    assert both.count(("train", "test")) == 60_886
    assert both.count(("test", "train")) == 56_532
