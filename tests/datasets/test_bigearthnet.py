"""BigEarthNet: what its folders, labels and lists say, and what becomes of what is wrong."""

import bz2
import io
import json
import random
import re
import tarfile
from itertools import pairwise
from pathlib import Path

import pytest
import rasterio
from published import home_of
from pyproj import Transformer

from satimnet.builder import build
from satimnet.builder.errors import BadFileError, SatimnetError
from satimnet.builder.samples import Problem, Sample
from satimnet.builder.sources import Source
from stactools.bigearthnet import create_collection, create_item, dataset
from stactools.bigearthnet.miniature import ARCHIVE, write_miniature

REAL = Path(__file__).parents[3] / "shared" / "data" / "bigearthnet"
BANDS = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]
SHAPES = {"B02": 120, "B03": 120, "B04": 120, "B08": 120, "B01": 20, "B09": 20}
PATCH = "S2A_MSIL2A_20170613T101031_40_12"
OTHER = "S2B_MSIL2A_20180204T94161_57_40"
LABELS = {
    "labels": ["Pastures", "Airports"],
    "coordinates": {"ulx": 348000, "uly": 5385600, "lrx": 349200, "lry": 5384400},
    "projection": "",
    "tile_source": "S2A_MSIL1C_20170613T101031_N0205_R022_T33UUP_20170613T101608.SAFE",
    "acquisition_date": "2017-06-13 10:10:31",
}


@pytest.fixture(scope="module")
def miniature(tmp_path_factory) -> list[Path]:
    return write_miniature(tmp_path_factory.mktemp("bigearthnet"))


@pytest.fixture(scope="module")
def catalog(miniature, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("bigearthnet-built") / "catalog"
    build(miniature, out, overview=False)
    return out


@pytest.fixture(scope="module")
def real_bigearthnet() -> Path:
    if not REAL.is_dir():
        pytest.skip("needs the real samples in ../shared/data/bigearthnet")
    return REAL


def scan(*paths: Path) -> tuple[dict[str, Sample], list[Problem]]:
    found = list(dataset.scan(Source(paths)))
    samples = {item.id: item for item in found if isinstance(item, Sample)}
    problems = [item for item in found if isinstance(item, Problem)]
    assert len(samples) + len(problems) == len(found)
    return samples, problems


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def patch_files(patch: str = PATCH, labels: bytes | dict | None = None) -> dict[str, bytes]:
    """A patch with empty bands: a scan reads no pixels."""
    content = LABELS if labels is None else labels
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    files = {f"{patch}/{patch}_{band}.tif": b"" for band in BANDS}
    return files | {f"{patch}/{patch}_labels_metadata.json": data}


def items_of(catalog: Path) -> dict[str, tuple[dict, dict[str, bytes]]]:
    """Ids to Items and the bytes of their assets."""
    found = {}
    for file in home_of(catalog, "bigearthnet").rglob("S2*.json"):
        item = json.loads(file.read_bytes())
        files = {}
        for key, asset in item["assets"].items():
            first, last = asset["archive"][0]["range"]
            files[key] = (file.parent / asset["href"]).read_bytes()[first : last + 1]
        found[item["id"]] = item, files
    return found


# --- the record ---------------------------------------------------------------------------------


def test_the_class_table_is_that_of_corine():
    rows = dataset.record["classes"]
    assert len(rows) == len({row["name"] for row in rows}) == 43
    assert [row["value"] for row in rows] == sorted(row["value"] for row in rows)
    by_title = {row["title"]: row["value"] for row in rows}
    assert by_title["Discontinuous urban fabric"] == 112
    assert by_title["Transitional woodland/shrub"] == 324
    assert by_title["Sea and ocean"] == 523


def test_the_nomenclature_of_19_joins_32_classes():
    names = {row["name"]: row["value"] for row in dataset.record["classes"]}
    joined = [name for row in dataset.record["nomenclature_19"] for name in row["classes"]]
    assert len(dataset.record["nomenclature_19"]) == 19
    assert len(joined) == len(set(joined)) == 32
    without = sorted(names[name] for name in names.keys() - set(joined))
    assert without == [122, 123, 124, 131, 132, 133, 141, 142, 332, 334, 423]


@pytest.mark.parametrize(
    ("path", "known"),
    [
        (f"BigEarthNet-v1.0/{PATCH}/{PATCH}_B8A.tif", True),
        (f"{OTHER}/{OTHER}_labels_metadata.json", True),
        ("metadata/s1_s2_name_country_season.csv.bz2", True),
        (f"{PATCH}/{PATCH}_B10.tif", False),
        (f"{PATCH}/{OTHER}_B02.tif", False),
        ("train.csv", False),
    ],
)
def test_signature(path, known):
    assert dataset.recognises(path) == known


# --- the miniature ------------------------------------------------------------------------------


def test_miniature_is_scanned(miniature):
    samples, problems = scan(*miniature)
    assert len(samples) == 13
    assert [(p.kind, p.path.rpartition("/")[2]) for p in problems] == [
        ("incomplete", "S2A_MSIL2A_20170818T103021_50_44_labels_metadata.json"),
        ("incomplete", "S2A_MSIL2A_20180508T104031_14_61_B02.tif"),
        ("incomplete", "S2B_MSIL2A_20170927T094019_66_58_B01.tif"),
        ("foreign", "S1A_IW_GRDH_1SDV_20170613T165809_33UUP_40_12_VV.tif"),
    ]
    snowy = samples["S2B_MSIL2A_20180204T94161_57_40"]
    assert snowy.datetime == "2018-02-04T09:41:56Z"  # its name says 9 o'clock 41 and 61 seconds
    assert snowy.level == ("2018", "02", "35VPK")
    assert snowy.classes == ("coniferous-forest", "water-bodies")
    assert snowy.split is None
    assert snowy.properties == {
        "platform": "sentinel-2b",
        "bigearthnet:cloud_or_shadow": False,
        "bigearthnet:seasonal_snow": True,
        "satimnet:country": "Finland",
        "bigearthnet:season": "Winter",
        "bigearthnet:tile": "35VPK",
        "bigearthnet:source_product": "S2B_MSIL1C_20180204T94161_N0205_R022_T35VPK_"
        "20180204T94161.SAFE",
        "bigearthnet:classes_19": ["coniferous-forest", "inland-waters"],
    }
    assert [m.asset for m in snowy.members] == [*BANDS, "labels"]
    assert snowy.members[8].path == f"{OTHER}/{OTHER}_B8A.tif"
    splits = [s.split for s in samples.values()]
    assert (splits.count("train"), splits.count("validation"), splits.count("test")) == (5, 2, 3)


def test_miniature_is_always_the_same(miniature, tmp_path):
    write_miniature(tmp_path)
    assert (tmp_path / ARCHIVE).read_bytes() == (miniature[0] / ARCHIVE).read_bytes()


def test_archive_and_folder_say_the_same(miniature, tmp_path):
    (source,) = miniature
    with tarfile.open(source / ARCHIVE) as tar:
        tar.extractall(tmp_path, filter="data")
    for file in source.rglob("*.csv*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    packed, _ = scan(source)
    open_, _ = scan(tmp_path)
    key = ("id", "level", "classes", "split", "datetime", "properties")
    assert packed.keys() == open_.keys()
    for patch, sample in packed.items():
        assert all(getattr(sample, k) == getattr(open_[patch], k) for k in key)


# --- labels -------------------------------------------------------------------------------------


def test_labels_and_time(tmp_path):
    samples, problems = scan(write(tmp_path, patch_files()))
    sample = samples[PATCH]
    assert problems == []
    assert sample.classes == ("pastures", "airports")
    assert sample.properties["bigearthnet:classes_19"] == ["pastures"]  # airports have none
    assert "bigearthnet:seasonal_snow" not in sample.properties  # nobody said
    assert "satimnet:country" not in sample.properties


def test_unknown_labels_are_left_out(tmp_path):
    labels = LABELS | {"labels": ["Pastures", "Transitional woodland, shrub", "x" * 500]}
    samples, (problem,) = scan(write(tmp_path, patch_files(labels=labels)))
    assert samples[PATCH].classes == ("pastures",)
    assert problem.kind == "incomplete"
    assert "'Transitional woodland, shrub'" in problem.reason
    assert len(problem.reason) < 300


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"labels": "Pastures"}, "labels"),
        ({"labels": [1]}, "labels"),
        ({"labels": None}, "labels"),
        ({"acquisition_date": "2017-06-13"}, "acquisition_date"),
        ({"acquisition_date": "2017-06-31 10:10:31"}, "acquisition_date"),
        ({"acquisition_date": "2017-06-13 10:10:61"}, "acquisition_date"),
        ({"acquisition_date": 20170613}, "acquisition_date"),
        ({"tile_source": "../../T33UUP_"}, "tile_source"),
        ({"tile_source": ["S2A"]}, "tile_source"),
    ],
)
def test_wrong_labels_are_broken_and_the_image_stays(tmp_path, change, reason):
    samples, (problem,) = scan(write(tmp_path, patch_files(labels=LABELS | change)))
    assert problem.kind == "broken"
    assert reason in problem.reason
    assert problem.path.endswith(f"{PATCH}_labels_metadata.json")
    sample = samples[PATCH]
    assert sample.classes is None
    assert sample.datetime is None
    assert sample.level == ("2017", "06")
    assert [m.asset for m in sample.members] == BANDS
    assert sample.properties == {
        "platform": "sentinel-2a",
        "start_datetime": "2017-06-13T00:00:00Z",
        "end_datetime": "2017-06-13T23:59:59Z",
    }


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"\xff", b"[" * 10_000, b'{"labels": ["\\ud800"]}', b" " * 10**5],
)
def test_what_is_no_json_is_broken(tmp_path, data):
    samples, (problem,) = scan(write(tmp_path, patch_files(labels=data)))
    assert problem.kind == "broken"
    assert samples[PATCH].classes is None


def test_an_impossible_day_is_no_day(tmp_path):
    patch = "S2A_MSIL2A_20170231T101031_40_12"
    samples, _ = scan(write(tmp_path, patch_files(patch, b"")))
    assert samples[patch].level == ("2017", "02")
    assert "start_datetime" not in samples[patch].properties


# --- files --------------------------------------------------------------------------------------


def test_missing_files(tmp_path):
    files = patch_files() | patch_files(OTHER)
    del files[f"{PATCH}/{PATCH}_B02.tif"], files[f"{PATCH}/{PATCH}_B11.tif"]
    del files[f"{OTHER}/{OTHER}_labels_metadata.json"]
    samples, problems = scan(write(tmp_path, files))
    assert [(p.kind, p.reason) for p in problems] == [
        ("incomplete", "its patch lacks B02, B11"),
        ("incomplete", "its patch lacks labels"),
    ]
    assert [m.asset for m in samples[PATCH].members] == [
        *(band for band in BANDS if band not in ("B02", "B11")),
        "labels",
    ]
    assert samples[OTHER].classes is None


def test_labels_without_an_image(tmp_path):
    files = {k: v for k, v in patch_files().items() if k.endswith("json")}
    samples, (problem,) = scan(write(tmp_path, files))
    assert samples == {}
    assert problem.kind == "incomplete"


def test_foreign_files_and_second_copies(tmp_path):
    copy = {f"copy/{name}": data for name, data in patch_files().items()}
    files = {f"original/{name}": data for name, data in patch_files().items()}
    files[f"copy/{PATCH}/{PATCH}_B10.tif"] = b""
    files["README.md"] = b"hello"
    for number in range(3):
        files[f"radar/S1A_{number}/S1A_{number}_VV.tif"] = b""
    samples, problems = scan(write(tmp_path, files | copy))
    assert list(samples) == [PATCH]
    assert {p.kind for p in problems} == {"foreign"}
    reasons = sorted(p.reason for p in problems)
    assert "not one of the 13 files" in reasons[2]
    assert reasons[0].startswith("a second copy")
    assert "so are 2 folders beside it" in reasons[1]


# --- lists --------------------------------------------------------------------------------------


def test_lists_in_all_their_forms(tmp_path):
    files = patch_files() | patch_files(OTHER, b"")
    files["a/train.csv"] = f"{PATCH},S1A_IW_GRDH_1SDV_1\r\n".encode()
    files["z/test.csv.bz2"] = bz2.compress(f"{OTHER}\n\n".encode())
    files["patches_with_cloud_and_shadow.csv"] = b""
    files["patches_with_seasonal_snow.csv.bz2"] = bz2.compress(OTHER.encode())
    files["s1_s2_name_country_season.csv"] = (
        "s1_name,s2_name,country,season\n"
        f"S1A_IW_GRDH_1SDV_20180204T165809_35VPK_57_40,{OTHER},Finland,Winter\n"
    ).encode()
    samples, problems = scan(write(tmp_path, files))
    assert [p.kind for p in problems] == ["broken"]  # the empty JSON
    assert (samples[PATCH].split, samples[OTHER].split) == ("train", "test")
    assert samples[PATCH].properties["bigearthnet:cloud_or_shadow"] is False
    assert samples[OTHER].properties["bigearthnet:seasonal_snow"] is True
    assert samples[OTHER].properties["satimnet:country"] == "Finland"
    assert samples[OTHER].level == ("2018", "02", "35VPK")  # the table knows the tile


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("train.csv", f"patch\n{PATCH}\n".encode(), "1 of 2 lines"),
        ("train.csv", f"../{PATCH}\n{PATCH}/x\n{PATCH}".encode(), "2 of 3 lines"),
        (
            "s1_s2_name_country_season.csv",
            f"s1_name,s2_name,country,season\n,{PATCH},<b>,Winter\n{PATCH}".encode(),
            "2 of 3 lines",
        ),
    ],
)
def test_wrong_lines_are_one_problem(tmp_path, name, data, reason):
    samples, problems = scan(write(tmp_path, patch_files() | {name: data}))
    assert [p.kind for p in problems] == ["broken"]
    assert reason in problems[0].reason
    assert problems[0].path.endswith(name)
    assert list(samples) == [PATCH]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("train.csv.bz2", b"BZh9 no", "no whole bzip2 file"),
        ("train.csv.bz2", bz2.compress(b"x" * 1000)[:-5], "no whole bzip2 file"),
        ("train.csv.bz2", bz2.compress(bytes(2**27 + 1)), "unpacks to more"),
        ("train.csv", b"\xff\xfe", "no text"),
        ("s1_s2_name_country_season.csv", b"", "first line"),
        ("s1_s2_name_country_season.csv", b"a,b\n", "first line"),
    ],
)
def test_a_list_that_cannot_be_read_is_an_error(tmp_path, name, data, reason):
    """It says something of every patch."""
    with pytest.raises(BadFileError, match=f"{name}: .*{reason}.*get the list again"):
        scan(write(tmp_path, patch_files() | {name: data}))


def test_a_patch_on_two_split_lists_has_no_split(tmp_path):
    files = patch_files() | {f"{name}.csv": PATCH.encode() for name in ("test", "train")}
    samples, (problem,) = scan(write(tmp_path, files))
    assert samples[PATCH].split is None
    assert "in lists of several splits: 1 names" in problem.reason


def test_the_radar_images_are_told_by_name(tmp_path):
    radar = "S1A_IW_GRDH_1SDV_20170613T165809_33UUP_40_12"
    write(tmp_path / "s", {f"BigEarthNet-S1-v1.0/{radar}/{radar}_VV.tif": b"1"})
    with pytest.raises(SatimnetError, match=r"version 1\.0 are not read; version 2\.0 has them"):
        build([tmp_path / "s"], tmp_path / "out")


# --- the order of the files ---------------------------------------------------------------------


def tar_of(path: Path, names: list[str], files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(files[name])
            archive.addfile(info, io.BytesIO(files[name]))
    return path


def test_a_problem_that_stands_for_many_files_is_one_row(tmp_path):
    """A second copy of a patch, and folders of strangers."""
    (folder,) = write_miniature(tmp_path / "s")
    copy = {f"copy/{name}": data for name, data in patch_files().items()}
    first = {f"another/{name}": data for name, data in patch_files().items()}
    stranger = {f"x/{n}/{n}_B0{b}.tif": b"1" for n in "abc" for b in range(1, 9)}
    write(folder, copy | first | stranger)
    (report,) = build([folder], tmp_path / "out", bad_files="any")
    assert sum("copy/" in p.path for p in report.of("foreign")) == 1
    (stranger,) = [p for p in report.of("foreign") if "/x/" in p.path]
    assert "so are 2 folders beside it" in stranger.reason


@pytest.mark.parametrize("held", [1, 100])
def test_files_of_a_patch_need_not_follow_each_other(tmp_path, monkeypatch, held):
    monkeypatch.setattr("stactools.bigearthnet.source._MOST_HELD", held)  # several passes
    third = PATCH[:-2] + "99"
    files = patch_files() | patch_files(OTHER) | patch_files(third)
    files["list/train.csv"] = "\n".join((PATCH, OTHER, third)).encode()
    ordered, none = scan(write(tmp_path / "folder", files))
    by_band = sorted(files, key=lambda name: name.rpartition("_")[2])
    mixed = [n for n in by_band if third not in n] + [n for n in by_band if third in n]
    for at, names in enumerate((by_band, mixed, by_band[::-1])):
        samples, problems = scan(tar_of(tmp_path / f"{at}.tar", names, files))
        assert problems == none == []
        assert samples.keys() == ordered.keys()
        for name, sample in samples.items():
            assert [m.path for m in sample.members] == [m.path for m in ordered[name].members]
            assert (sample.split, sample.datetime) == ("train", ordered[name].datetime)


def test_what_is_malformed_is_a_problem_or_one_error(tmp_path):
    rng = random.Random(0)
    good = json.dumps(LABELS).encode()
    table = (
        f"s1_name,s2_name,country,season\nS1A_IW_GRDH_1SDV_x,{PATCH},Austria,Summer\n" * 3
    ).encode()
    seeds = {
        f"{PATCH}/{PATCH}_labels_metadata.json": good,
        "train.csv": f"{PATCH}\r\n{OTHER}\r\n".encode(),
        "val.csv.bz2": bz2.compress(PATCH.encode()),
        "s1_s2_name_country_season.csv": table,
    }
    write(tmp_path, patch_files())
    for _ in range(400):
        name = rng.choice(list(seeds))
        data = bytearray(seeds[name])
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(data))
            data[at : at + rng.randint(0, 4)] = rng.randbytes(rng.randint(0, 4))
        write(tmp_path, {name: bytes(data)})
        try:
            samples, _ = scan(tmp_path)
        except BadFileError:
            continue
        assert list(samples) == [PATCH]
        for part in samples[PATCH].level:
            assert part.isalnum()


# --- built --------------------------------------------------------------------------------------


def test_miniature_is_built(catalog, miniature):
    items = items_of(catalog)
    assert len(items) == 13
    with tarfile.open(miniature[0] / ARCHIVE) as tar:
        for patch, (item, files) in items.items():
            for asset, data in files.items():
                ending = "labels_metadata.json" if asset == "labels" else f"{asset}.tif"
                published = tar.extractfile(f"BigEarthNet-v1.0/{patch}/{patch}_{ending}")
                assert published is not None
                assert data == published.read()
            shapes = {key: item["assets"][key].get("proj:shape") for key in files}
            assert shapes.get("B05") == [60, 60]
            assert "proj:shape" not in item["assets"]["B02"]  # the Item has it
            assert item["properties"]["proj:shape"] == [120, 120]
    without_labels, _ = items["S2B_MSIL2A_20170927T094019_66_58"]
    properties = without_labels["properties"]
    assert properties["datetime"] is None
    assert properties["start_datetime"] == "2017-09-27T00:00:00Z"
    assert properties["end_datetime"] == "2017-09-27T23:59:59Z"
    assert "satimnet:classes" not in properties
    collection = json.loads((home_of(catalog, "bigearthnet") / "collection.json").read_bytes())
    assert collection["summaries"]["bigearthnet:seasonal_snow"] == [False, True]
    assert {key: a["proj:shape"] for key, a in collection["item_assets"].items() if key in BANDS}


def test_bands_of_a_patch_are_one_range(catalog):
    for item, _ in items_of(catalog).values():
        assets = [item["assets"][band] for band in BANDS if band in item["assets"]]
        assert len({asset["href"] for asset in assets}) == 1
        ranges = [asset["archive"][0]["range"] for asset in assets]
        for (_, last), (first, _) in pairwise(ranges):
            assert 0 < first - last < 512  # headers of the archive


def test_stactools_functions(miniature, tmp_path):
    with tarfile.open(miniature[0] / ARCHIVE) as tar:
        tar.extractall(tmp_path, filter="data")
    folder = tmp_path / "BigEarthNet-v1.0" / PATCH
    item = create_item(*map(str, sorted(folder.iterdir())))
    assert item.id == PATCH
    assert item.datetime is not None
    assert list(item.assets) == [*BANDS, "labels"]
    assert create_collection().id == "bigearthnet"


# --- real samples -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_items(real_bigearthnet, tmp_path_factory) -> dict[str, tuple[dict, dict[str, bytes]]]:
    out = tmp_path_factory.mktemp("bigearthnet-real") / "catalog"
    (report,) = build([real_bigearthnet], out, overview=False)
    assert report.problems == ()
    return items_of(out)


def real_labels(folder: Path, patch: str) -> dict:
    return json.loads((folder / f"{patch}/{patch}_labels_metadata.json").read_bytes())


@pytest.mark.real
def test_real_patches(real_bigearthnet, real_items):
    folder = real_bigearthnet / "BigEarthNet-v1.0"
    titles = {row["name"]: row["title"] for row in dataset.record["classes"]}
    assert sorted(real_items) == sorted(path.name for path in folder.iterdir())
    for patch, (item, files) in real_items.items():
        labels = real_labels(folder, patch)
        properties = item["properties"]
        assert [titles[name] for name in properties["satimnet:classes"]] == labels["labels"]
        assert properties["datetime"] == labels["acquisition_date"].replace(" ", "T") + "Z"
        assert properties["bigearthnet:source_product"] == labels["tile_source"]
        assert f"_T{properties['bigearthnet:tile']}_" in labels["tile_source"]
        assert len(files) == 13
        for asset, data in files.items():
            ending = "labels_metadata.json" if asset == "labels" else f"{asset}.tif"
            assert data == (folder / patch / f"{patch}_{ending}").read_bytes()


@pytest.mark.real
def test_real_places(real_bigearthnet, real_items):
    folder = real_bigearthnet / "BigEarthNet-v1.0"
    for patch, (item, _) in real_items.items():
        box = real_labels(folder, patch)["coordinates"]
        west, north, east, south = (box[key] for key in ("ulx", "uly", "lrx", "lry"))
        properties = item["properties"]
        assert properties["proj:transform"] == [10, 0, west, 0, -10, north]
        lonlat = Transformer.from_crs(properties["proj:code"], "EPSG:4326", always_xy=True)
        corners = [(west, north), (west, south), (east, south), (east, north), (west, north)]
        expected = [lonlat.transform(*corner) for corner in corners]
        (ring,) = item["geometry"]["coordinates"]
        assert ring == [pytest.approx(corner, abs=1e-6) for corner in expected]
        for band in BANDS:
            asset = item["assets"][band]
            with rasterio.open(folder / patch / f"{patch}_{band}.tif") as image:
                assert tuple(image.bounds) == (west, south, east, north)
                assert image.crs == rasterio.CRS.from_user_input(properties["proj:code"])
                assert image.shape == (SHAPES.get(band, 60),) * 2
                place = asset.get("proj:transform", properties["proj:transform"])
                assert list(image.transform)[:6] == place
                assert list(image.shape) == asset.get("proj:shape", [120, 120])


@pytest.mark.real
def test_real_lists(real_bigearthnet, real_items):
    metadata = real_bigearthnet / "metadata"
    table = bz2.decompress((metadata / "s1_s2_name_country_season.csv.bz2").read_bytes()).decode()
    splits = {
        name: split
        for file, split in (("train", "train"), ("val", "validation"), ("test", "test"))
        for name in bz2.decompress((metadata / f"{file}.csv.bz2").read_bytes()).decode().split()
    }
    snow = (real_bigearthnet / "patches_with_seasonal_snow.csv").read_text().split()
    cloud = (real_bigearthnet / "patches_with_cloud_and_shadow.csv").read_text().split()
    for patch, (item, _) in real_items.items():
        properties = item["properties"]
        assert properties.get("satimnet:split") == splits.get(patch)
        row = re.search(rf"^(.*),{patch},(.*),(.*)$", table, re.MULTILINE)
        assert row is not None
        assert f"_{properties['bigearthnet:tile']}_" in row[1]
        assert properties["satimnet:country"] == row[2]
        assert properties["bigearthnet:season"] == row[3]
        assert properties["bigearthnet:seasonal_snow"] == (patch in snow)
        assert properties["bigearthnet:cloud_or_shadow"] == (patch in cloud)
    assert sum(item["properties"]["bigearthnet:seasonal_snow"] for item, _ in real_items.values())
