"""Quality control: every planted fault is found, nothing else is called an error."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import planted
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from click.testing import CliRunner

from satimnet.builder.errors import BadFileError, SatimnetError
from satimnet.builder.explorer.page_files import write_page
from satimnet.builder.pipeline import build
from satimnet.builder.quality import assess, assessment
from satimnet.builder.quality.dataset_versions import Places, find_versions
from satimnet.builder.quality.duplicates import find_duplicates
from satimnet.builder.quality.findings import CHECKS
from satimnet.builder.quality.footprint_overlaps import find_overlaps
from satimnet.builder.quality.item_links import ItemLinks
from satimnet.builder.quality.label_checks import Labelled, check_objects, check_tags
from satimnet.builder.quality.measuring import result_schema
from satimnet.builder.quality.member_contents import Shards, read_content
from satimnet.builder.quality.pixel_statistics import (
    band_statistics,
    digest,
    empty_share,
    small_copy,
)
from satimnet.builder.quality.report_files import Report
from satimnet.builder.quality.similarity import find_similar
from satimnet.builder.query.search import search
from satimnet.cli.quality_command import quality
from stactools.eurosat.miniature import write_miniature


def found(report: Report) -> set[tuple[str, str]]:
    """Check and Item, or collection where it is not about Items, of all findings."""
    return {
        (finding.check, name)
        for finding in report.findings
        for name in ([item["id"] for item in report.items_of(finding)] or finding.collections)
    }


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog whose source has the faults `planted.IN_SOURCE`; read-only."""
    folder = tmp_path_factory.mktemp("faulty")
    assigned = planted.write_source(folder / "source", faults=True)
    build([], folder / "catalog", assigned=assigned, overview=False)
    return folder / "catalog"


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clean")
    assigned = planted.write_source(folder / "source", faults=False)
    build([], folder / "catalog", assigned=assigned, overview=False)
    return folder / "catalog"


@pytest.fixture(scope="module")
def assessed(faulty: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    out = tmp_path_factory.mktemp("assessed") / "quality"
    return assess(faulty, out), out


# --- what must be found -------------------------------------------------------------------------


def test_faults_of_the_source_are_found(assessed: tuple[Report, Path]) -> None:
    report, _ = assessed
    assert found(report) >= planted.IN_SOURCE
    assert report.count("error") == 0  # the catalog is right about its faulty images


def test_duplicates_name_both(assessed: tuple[Report, Path]) -> None:
    report, _ = assessed
    pairs = {
        tuple(sorted(item["id"] for item in report.items_of(finding)))
        for finding in report.findings
        if "duplicate" in finding.check
    }
    assert pairs == {
        ("AnnualCrop_1", "AnnualCrop_90"),
        ("Forest_1", "Forest_90"),
        ("Highway_90", "Pasture_1"),
        ("Industrial_1", "Industrial_90"),
        ("Pasture_89", "Pasture_90"),
        ("Highway_2", "PermanentCrop_90"),
    }


def test_faults_of_the_catalog_are_found(faulty: Path, tmp_path: Path) -> None:
    catalog = tmp_path / "catalog"
    shutil.copytree(faulty, catalog)
    planted.spoil(catalog)
    report = assess(catalog, tmp_path / "quality")
    assert found(report) >= planted.IN_CATALOG
    html = (tmp_path / "quality/report.html").read_text()
    assert "&lt;b&gt;Atlantis" in html
    assert "<b>Atlantis" not in html


def test_a_clean_catalog_has_no_errors_or_warnings(clean: Path, tmp_path: Path) -> None:
    report = assess(clean, tmp_path / "quality")
    assert [f for f in report.findings if f.severity != "info"] == []
    assert report.items == 42


def test_every_check_is_planted() -> None:
    planted_checks = {check for check, _ in planted.IN_SOURCE | planted.IN_CATALOG}
    own_tests = {"too-large", "sources-differ", "two-versions"}
    assert planted_checks | own_tests == set(CHECKS)


@pytest.mark.parametrize("roles", [["data"], ["mask"]])
def test_a_sound_image_that_is_too_large_is_counted_but_not_decoded(
    tmp_path: Path, roles: list[str]
) -> None:
    path = tmp_path / "shard.zip"
    path.write_bytes(data := planted.large_png())
    entry = {"href": "scene.png", "range": [0, len(data) - 1]}
    asset = {"href": str(path), "roles": roles, "bands": [{"name": "a"}], "archive": [entry]}
    with Shards() as shards:
        content = read_content({"assets": {"image": asset}}, shards)
    assert (content.members, content.size) == (1, len(data))
    assert not content.images
    assert not content.masks
    assert [check for check, *_ in content.said] == ["too-large"]


@pytest.mark.slow
def test_miniatures_have_no_errors(sources: dict[str, list[Path]], tmp_path: Path) -> None:
    build([], tmp_path / "catalog", assigned=sources, overview=False)
    report = assess(tmp_path / "catalog", tmp_path / "quality")
    assert [f for f in report.findings if f.severity == "error"] == []


@pytest.mark.real
@pytest.mark.slow
def test_eurosat_patches_that_show_the_same_ground(real_catalog: Path, tmp_path: Path) -> None:
    report = assess(real_catalog, tmp_path / "quality", scheduler="processes")
    assert not [f for f in report.findings if f.check.startswith("duplicate")]
    pairs = [{i["id"] for i in report.items_of(f)} for f in report.findings if "near" in f.check]
    # both seen: the same bend of a river, one pixel apart, and the same junction
    assert {"River_492", "River_597"} in pairs
    assert {"Highway_291", "Highway_513"} in pairs
    assert report.count("error") == 0


# --- what is written ----------------------------------------------------------------------------


def test_what_is_written(assessed: tuple[Report, Path]) -> None:
    report, out = assessed
    names = {"findings.ndjson", "items.parquet", "report.html", "report.json", "report.md"}
    assert {path.name for path in out.iterdir()} == names
    lines = [json.loads(line) for line in (out / "findings.ndjson").read_text().splitlines()]
    assert len(lines) == len(report.findings)
    content = json.loads((out / "report.json").read_text())
    assert {c["name"]: c["findings"] for c in content["checks"]} == {
        name: len(report.of(name)) for name in CHECKS
    }
    html = (out / "report.html").read_text()
    assert 'src="http' not in html  # one file, no network
    assert 'href="http' not in html
    assert html.count("data:image/jpeg;base64,") > 20
    links = set(re.findall(r'<a href="([^"#]+\.json)">', html))
    assert len(links) > 10
    for link in links:
        item = json.loads((out / unquote(link)).read_text())
        assert item["type"] == "Feature"
        assert item["id"] in html


def test_where_items_are_no_files_pictures_lead_to_the_explorer(tmp_path: Path) -> None:
    sources = write_miniature(tmp_path / "source", 1, bands=False)
    build(sources, tmp_path / "catalog", items="none", overview=False)
    (item,) = search(tmp_path / "catalog", ids="River_1")
    home = str(tmp_path / "catalog" / "catalog.json")
    assert ItemLinks(home, tmp_path / "quality").to(item) is None
    write_page(tmp_path / "catalog" / "explore", tmp_path / "catalog")
    link = ItemLinks(home, tmp_path / "quality").to(item)
    assert link == "../catalog/explore/index.html#item=eurosat%2FRiver_1"
    build(sources, tmp_path / "files", overview=False)
    (item,) = search(tmp_path / "files", ids="River_1")
    assert (
        ItemLinks(str(tmp_path / "files/catalog.json"), tmp_path)
        .to(item)
        .endswith("/River/River_1.json")
    )


def test_results_of_every_item(assessed: tuple[Report, Path], faulty: Path) -> None:
    report, out = assessed
    rows = {row["id"]: row for row in pq.read_table(out / "items.parquet").to_pylist()}
    assert len(rows) == report.items
    assert rows["SeaLake_1"]["checks"] == ["constant"]
    assert rows["AnnualCrop_1"]["pixels"] == rows["AnnualCrop_90"]["pixels"]
    red = next(band for band in rows["AnnualCrop_1"]["bands"] if band["band"] == "red")
    pixels = planted.decoded(planted.jpeg(planted.scene(1)))[..., 0]
    assert red["minimum"] == pixels.min()
    assert red["mean"] == pytest.approx(pixels.mean())
    assert red["stddev"] == pytest.approx(pixels.std(), rel=1e-5)


def test_the_same_catalog_gives_the_same_bytes(
    assessed: tuple[Report, Path], faulty: Path, tmp_path: Path
) -> None:
    assess(faulty, tmp_path / "again", scheduler="processes")
    for path in assessed[1].iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


def test_rows_of_a_group_are_read_in_parts(
    faulty: Path,
    assessed: tuple[Report, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A group has more Items than a worker should hold; the report is the same in any parts."""
    report, out = assessed
    monkeypatch.setattr(assessment, "_ROWS_OF_TASK", 3)
    again = assess(faulty, tmp_path / "out")
    assert len(again.tasks) > len(report.tasks)
    for name in ("findings.ndjson", "report.json", "report.html"):
        assert (tmp_path / "out" / name).read_bytes() == (out / name).read_bytes()
    rows = [pq.read_table(folder / "items.parquet") for folder in (tmp_path / "out", out)]
    assert rows[0].equals(rows[1])


def test_a_killed_run_goes_on(clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    out = tmp_path / "quality"
    with monkeypatch.context() as context:
        context.setattr(assessment, "_compare", kill)
        with pytest.raises(Killed):
            assess(clean, out)
    parts = sorted((tmp_path / ".quality.assessing").glob("*.arrow"))
    times = [path.stat().st_mtime_ns for path in parts]
    seen: list[int] = []
    original = assessment._compare

    def compare(*arguments: object) -> Report:
        seen.extend(path.stat().st_mtime_ns for path in parts)
        return original(*arguments)

    monkeypatch.setattr(assessment, "_compare", compare)
    assess(clean, out)
    assert len(parts) == 2  # one for each collection, which are small
    assert seen == times  # nothing was measured again
    assert not (tmp_path / ".quality.assessing").exists()


def test_a_member_larger_than_one_read_is_said_to_be_too_large(tmp_path: Path) -> None:
    size = 2**31 - 2**12 + 1  # read(2) gives one byte less
    with (tmp_path / "a.zip").open("wb") as file:
        file.truncate(size)
    with Shards() as shards, pytest.raises(BadFileError, match="too many to be read into memory"):
        shards.read(str(tmp_path / "a.zip"), (0, size), "a")


def test_other_folders_are_left_alone(clean: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SatimnetError, match="is no report"):
        assess(clean, tmp_path)
    with pytest.raises(SatimnetError, match="nothing is there"):
        assess(tmp_path / "none", tmp_path / "quality")
    with pytest.raises(SatimnetError, match="cannot be used here"):
        assess("ftp://host/catalog.json", tmp_path / "quality")
    assert not (tmp_path / "quality").exists()


@pytest.mark.parametrize(
    ("options", "code"), [([], 0), (["--fail-on", "error"], 0), (["--fail-on", "warning"], 1)]
)
def test_command(faulty: Path, tmp_path: Path, options: list[str], code: int) -> None:
    out = tmp_path / "quality"
    arguments = [str(faulty), "--out", str(out), "--scheduler", "threads", *options]
    result = CliRunner().invoke(quality, arguments)
    assert result.exit_code == code, result.output
    assert "Duplicates across splits" in result.output
    assert (out / "report.html").exists()


# --- the parts ----------------------------------------------------------------------------------


def test_statistics_of_a_band() -> None:
    band = np.array([[1, 2], [3, 65535]], np.uint16)
    statistics = band_statistics(band)
    assert statistics["saturated"] == 0.25
    assert (statistics["minimum"], statistics["maximum"]) == (1, 65535)
    floats = band_statistics(np.array([[1.0, np.nan], [3.0, np.nan]], np.float32))
    assert (floats["minimum"], floats["maximum"], floats["mean"]) == (1, 3, 2)
    assert np.isnan(band_statistics(np.full((2, 2), np.nan))["mean"])


def test_empty_pixels_are_those_empty_in_all_bands() -> None:
    image = np.ones((2, 2, 2), np.uint8)
    image[0, 0] = 0
    assert empty_share(image) == 0
    image[1, 0, 0] = 0
    assert empty_share(image) == 0.25
    assert empty_share(np.where(image, image, np.nan).astype(np.float32)) == 0.25


def test_the_hash_is_that_of_the_pixels() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    interleaved = np.ascontiguousarray(np.moveaxis(image, 0, -1))
    assert digest(image) == digest(np.moveaxis(interleaved, -1, 0))
    assert digest(image) != digest(image.reshape(2, 4, 3))
    assert digest(image) != digest(image.astype(np.uint16))


def copies_of(scenes: Iterator[np.ndarray]) -> np.ndarray:
    return np.stack([small_copy(np.moveaxis(pixels, -1, 0)) for pixels in scenes])


def test_small_copies_do_not_know_brightness_size_or_type() -> None:
    pixels = planted.scene(5, 128)
    plain = small_copy(np.moveaxis(pixels, -1, 0)).astype(int)
    scaled = small_copy(np.moveaxis(pixels.astype(np.uint16) * 20 + 300, -1, 0)).astype(int)
    large = small_copy(np.moveaxis(pixels.repeat(2, 0).repeat(2, 1), -1, 0)).astype(int)
    assert abs(plain - scaled).max() <= 1
    assert abs(plain - large).max() <= 1


def test_shifts_are_found_and_told() -> None:
    large = planted.scene(6, 256)
    shifts = [(0, 0), (3, -5), (-20, 8), (0, 31)]
    scenes = [large[100 + y : 164 + y, 100 + x : 164 + x] for y, x in shifts]
    others = [planted.scene(seed) for seed in range(200)]
    copies = copies_of(iter([*scenes, *others]))
    similar = {(s.first, s.second): s for s in find_similar(copies, np.arange(len(copies)))}
    agreeing = {pair for pair, s in similar.items() if s.agreement > 0.55}
    assert {pair for pair in agreeing if max(pair) > 3} == set()
    for at, shift in enumerate(shifts[1:], 1):
        assert (0, at) in agreeing
        assert similar[0, at].shift == shift


def test_nothing_is_similar_to_nothing() -> None:
    copies = np.full((3, 64, 64), 128, np.uint8)
    assert find_similar(copies, np.arange(0)) == []
    assert [s for s in find_similar(copies, np.arange(3)) if s.agreement > 0] == []


def results(**columns: list[object]) -> pa.Table:
    """Rows with these columns, others null."""
    length = len(next(iter(columns.values())))
    schema = result_schema()
    return pa.table(
        {f.name: pa.array(columns.get(f.name, [None] * length), f.type) for f in schema}, schema
    )


def test_what_was_made_from_a_collection_is_no_duplicate_of_it() -> None:
    rows = results(
        collection=["a", "b", "c"],
        split=["train", "test", None],
        classes=[["x"], ["y"], ["z"]],
        pixels=["same"] * 3,
        comparable=[True] * 3,
    )
    copies = np.full((3, 64, 64), 128, np.uint8)
    (finding,) = find_duplicates(rows, copies, ())  # classes of collections are not compared
    assert (finding.check, finding.rows) == ("duplicate-across-splits", (0, 1, 2))
    (finding,) = find_duplicates(rows.slice(1), copies[1:], {frozenset("ab")})
    assert finding.check == "duplicate"
    assert list(find_duplicates(rows.slice(0, 2), copies[:2], {frozenset("ab")})) == []


def versions(**columns: list[object]) -> pa.Table:
    """A patch of version 1, the same of version 2, and a stranger of version 1: all alike."""
    ground = shapely.to_wkb(shapely.box(0, 0, 1, 1))
    return results(
        collection=["one", "two", "one"],
        id=["a", "a2", "b"],
        predecessor=[None, "one/a", None],
        geometry=[ground, ground, ground],
        comparable=[True] * 3,
        **columns,
    )


def test_versions_of_a_place_are_no_leak() -> None:
    rows = versions(split=["train", "test", "train"], pixels=["same", "same", "other"])
    copies = np.full((3, 64, 64), 128, np.uint8)
    pair, places = rows.slice(0, 2), Places(rows.slice(0, 2))
    assert [f.check for f in find_duplicates(pair, copies[:2], ())] == ["duplicate-across-splits"]
    assert [f.check for f in find_overlaps(pair, ())] == ["overlap-across-splits"]
    assert list(find_duplicates(pair, copies[:2], (), places)) == []
    assert list(find_overlaps(pair, (), places)) == []
    (finding,) = find_versions(pair, places)
    assert (finding.check, finding.severity, finding.rows) == ("two-versions", "info", (0, 1))
    assert finding.message == "1 place: one in train, two in test"


def test_a_stranger_beside_two_versions_is_a_leak() -> None:
    rows = versions(split=["train", "test", "train"], pixels=["same"] * 3)
    copies, places = np.full((3, 64, 64), 128, np.uint8), Places(rows)
    (finding,) = find_duplicates(rows, copies, (), places)
    assert (finding.check, finding.rows) == ("duplicate-across-splits", (0, 1, 2))
    (overlap,) = find_overlaps(rows, (), places)
    assert overlap.rows == (1, 2)  # not the one of version 1


def test_versions_that_look_alike_are_no_near_duplicates() -> None:
    picture = np.random.default_rng(2).integers(0, 255, (64, 64), np.uint8)
    copies = np.stack([picture, picture // 2 + 60, picture])
    rows = versions(split=["train", "test", "train"], pixels=["x", "y", "z"])
    assert len(list(find_duplicates(rows, copies, ()))) == 1
    assert list(find_duplicates(rows.slice(0, 2), copies[:2], (), Places(rows.slice(0, 2)))) == []
    (finding,) = find_duplicates(rows, copies, (), Places(rows))
    assert (finding.check, finding.rows) == ("near-duplicate-across-splits", (0, 1, 2))


def test_versions_may_be_missing_follow_each_other_or_go_round() -> None:
    rows = results(
        collection=["one", "two", "three", "two", "four", "five"],
        id=["a", "a", "a", "b", "c", "c"],
        predecessor=[None, "one/a", "two/a", "one/b", "five/c", "four/c"],
    )
    places = Places(rows)
    assert places.numbers[:4].tolist() == [0, 0, 0, 3]
    assert places.same(0, 2)
    assert not places.same(1, 3)
    said = [f.message for f in find_versions(rows.slice(0, 4), Places(rows.slice(0, 4)))]
    assert said == [
        "1 place: one in no split, three in no split",
        "1 place: one in no split, two in no split",
    ]


def test_constant_images_are_no_duplicates() -> None:
    rows = results(collection=["a", "a"], pixels=["same"] * 2, comparable=[False] * 2)
    assert list(find_duplicates(rows, np.full((2, 64, 64), 128, np.uint8), ())) == []


def test_overlaps_are_those_that_brute_force_finds() -> None:
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, 12, (150, 2))
    outlines = shapely.box(*corners.T, *(corners + 1).T)
    splits = rng.choice(["train", "validation", "test", ""], 150).tolist()
    rows = results(
        collection=["a"] * 150,
        split=[split or None for split in splits],
        geometry=shapely.to_wkb(outlines).tolist(),
    )
    order = ["train", "validation", "test"]
    expected = {}
    for at, split in enumerate(splits):
        others = [
            k
            for k in range(150)
            if split in order
            and splits[k] in order[: order.index(split)]
            and outlines[at].intersection(outlines[k]).area >= 0.01
        ]
        if others:
            expected[at] = others
    found = {finding.rows[0]: finding for finding in find_overlaps(rows, ())}
    assert found.keys() == expected.keys()
    for at, others in expected.items():
        assert found[at].message.startswith(f"{len(others)} of ")
        assert set(found[at].rows[1:]) <= set(others)


def box(left: float, top: float, right: float, bottom: float, name: str = "ship") -> Labelled:
    return Labelled(name, (((left, top), (right, top), (right, bottom), (left, bottom)),))


@pytest.mark.parametrize(
    ("objects", "checks"),
    [
        ([box(0, 0, 10, 10), box(90, 40, 100, 50)], set()),
        ([box(-1, 0, 101, 50)], set()),
        ([box(-1.5, 0, 10, 10)], {"object-outside"}),
        ([box(200, 200, 300, 300)], {"object-outside"}),
        ([box(5, 5, 6, 20)], {"object-tiny"}),
        ([box(5, 5, 5, 20)], {"object-empty"}),
        ([Labelled("ship", ())], {"object-empty"}),
        ([box(5, 5, 9, 9), box(5, 5, 9, 9, "plane")], {"object-identical"}),
        ([box(5, 5, 9, 9, "submarine")], {"unknown-class"}),
    ],
)
def test_objects(objects: list[Labelled], checks: set[str]) -> None:
    assert {check for check, *_ in check_objects(objects, (50, 100), ["ship", "plane"])} == checks


def test_tags_against_mask_and_statistics() -> None:
    table = {"background": 0, "ship": 1, "plane": 2}
    mask = np.array([[0, 1], [1, 1]], np.uint8)
    right = {
        "satimnet:classes": ["ship"],
        "satimnet:statistics": [{"class": "ship", "count": 1, "pixels": 3}],
    }
    objects = [box(0, 0, 2, 2)]
    assert list(check_tags(right, table, objects, mask)) == []
    assert list(check_tags({}, table, None, None)) == []
    # an object under others has no pixel
    hidden = {
        "satimnet:classes": ["ship", "plane"],
        "satimnet:statistics": [
            {"class": "ship", "count": 1, "pixels": 3},
            {"class": "plane", "count": 1, "pixels": 0},
        ],
    }
    assert list(check_tags(hidden, table, [*objects, box(0, 0, 2, 2, "plane")], mask)) == []
    for wrong in (
        right | {"satimnet:classes": []},
        right | {"satimnet:classes": ["ship", "plane"]},
        right | {"satimnet:statistics": [{"class": "ship", "count": 2, "pixels": 3}]},
        right | {"satimnet:statistics": [{"class": "ship", "count": 1, "pixels": 2}]},
    ):
        said = list(check_tags(wrong, table, objects, mask))
        assert [check for check, *_ in said] == ["label-mismatch"]
    unknown = mask + (mask > 0) * 6
    checks = {check for check, *_ in check_tags(right, table, objects, unknown)}
    assert checks == {"unknown-class", "label-mismatch"}
