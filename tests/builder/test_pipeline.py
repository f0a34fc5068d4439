"""Builds: nothing lost, the same bytes every time, whole or not there at all."""

import csv
import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import dask.config
import pyarrow.parquet as pq
import pystac
import pytest
import stac_geoparquet.arrow
from click.testing import CliRunner, Result
from published import home_of
from stactools.cli.cli import cli

from satimnet.builder.catalog.rows_to_items import items_of
from satimnet.builder.errors import SatimnetError
from satimnet.builder.pipeline import build
from satimnet.builder.samples import Problem, Sample
from satimnet.builder.sources import Source
from satimnet.builder.storage.assets import read_bytes
from satimnet.builder.storage.staging import lock
from stactools.bigearthnet.miniature import write_miniature as bigearthnet
from stactools.eurosat import dataset
from stactools.eurosat.miniature import write_miniature

PER_CLASS = 4


def digest(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def item_files(catalog: Path) -> dict[str, dict]:
    files = home_of(catalog).glob("*/*_*.json")
    return {item["id"]: item for item in (json.loads(f.read_bytes()) for f in files)}


def without_nulls(value: object) -> object:
    """The value without nulls, which the reference reader leaves inside assets."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return [without_nulls(v) for v in value] if isinstance(value, list) else value


@pytest.fixture
def unpacked(miniature, tmp_path) -> Path:
    """Both editions as folders, to be spoilt."""
    folder = tmp_path / "unpacked"
    for archive in miniature.glob("*.zip"):
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
    return folder


# --- what a catalog holds -----------------------------------------------------------------------


def test_every_image_is_in_one_item_with_the_sources_bytes(miniature, catalog):
    wanted = {}
    for archive in miniature.glob("*.zip"):
        with zipfile.ZipFile(archive) as opened:
            for name in opened.namelist():
                wanted[Path(name).name] = opened.read(name)
    found = {}
    tree = pystac.Catalog.from_file(str(catalog / "catalog.json"))
    items = list(tree.get_items(recursive=True))
    for item in items:
        assert set(item.assets) == {"rgb", "multispectral"}
        for asset in item.assets.values():
            name = Path(asset.extra_fields["archive"][0]["href"]).name
            assert name not in found
            found[name] = read_bytes(asset)
    assert len(items) == 10 * PER_CLASS
    assert found == wanted


def test_editions_alone_and_together(miniature, tmp_path):
    for editions, keys in (
        (["EuroSAT.zip"], {"rgb"}),
        (["EuroSATallBands.zip"], {"multispectral"}),
        (["EuroSATallBands.zip", "EuroSAT.zip"], {"rgb", "multispectral"}),
    ):
        out = tmp_path / "-".join(editions)
        build([miniature / name for name in editions], out, overview=False)
        items = item_files(out)
        assert len(items) == 10 * PER_CLASS
        assert {frozenset(item["assets"]) for item in items.values()} == {frozenset(keys)}
        georeferenced = "multispectral" in keys
        assert all((item["geometry"] is not None) == georeferenced for item in items.values())
        assert all(("bbox" in item) == georeferenced for item in items.values())


def test_a_sample_with_one_edition_is_an_item_too(unpacked, tmp_path):
    next(unpacked.rglob("Forest_1.jpg")).unlink()
    next(unpacked.rglob("Forest_2.tif")).unlink()
    build([unpacked], tmp_path / "out", overview=False)
    items = item_files(tmp_path / "out")
    assert set(items["Forest_1"]["assets"]) == {"multispectral"}
    assert set(items["Forest_2"]["assets"]) == {"rgb"}
    assert len(items) == 10 * PER_CLASS


def test_parquet_and_item_files_say_the_same(catalog):
    file = home_of(catalog) / "items.parquet"
    table = pq.read_table(file)
    rows = items_of(table, str(file))
    reference = list(stac_geoparquet.arrow.stac_table_to_items(table))
    files = item_files(catalog)
    assert len(rows) == len(files) == 10 * PER_CLASS
    for row, other in zip(rows, reference, strict=True):
        item = files[row["id"]]
        for asset in item["assets"].values():
            href = home_of(catalog) / "Forest" / asset["href"]
            asset["href"] = str(Path(os.path.normpath(href)))
        del item["links"], row["links"], other["links"]
        assert row == item
        for asset in other["assets"].values():
            asset["href"] = str(Path(os.path.normpath(home_of(catalog) / asset["href"])))
        text = json.dumps(other, default=list).replace(".000000Z", "Z")
        assert without_nulls(json.loads(text)) == without_nulls(item)


def test_links_are_relative_and_the_catalog_can_be_moved(catalog, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(catalog, moved)
    for file in moved.rglob("*.json"):
        for link in json.loads(file.read_bytes()).get("links", []):
            if link["rel"] in ("root", "parent", "child", "item", "collection"):
                assert link["href"].startswith(("./", "../"))
                assert (file.parent / link["href"]).is_file()
    tree = pystac.Catalog.from_file(str(moved / "catalog.json"))
    item = next(tree.get_items(recursive=True))
    assert str(moved) in item.assets["rgb"].get_absolute_href()
    assert read_bytes(item.assets["rgb"])[:2] == b"\xff\xd8"


def test_pixels_lie_where_the_catalog_says(catalog):
    import numpy as np
    import rasterio

    from satimnet.builder.storage.assets import gdal_path

    for item in item_files(catalog).values():
        asset = item["assets"]["multispectral"]
        shard = home_of(catalog) / item["id"].split("_")[0] / asset["href"]
        pixels = asset["satimnet:pixels"]
        count = int(np.prod(pixels["shape"]))
        with shard.open("rb") as file:
            raw = np.fromfile(file, pixels["dtype"], count, offset=pixels["offset"])
        with rasterio.open(gdal_path(asset | {"href": str(shard)})) as image:
            np.testing.assert_array_equal(
                raw.reshape(pixels["shape"]).transpose(2, 0, 1), image.read()
            )


def test_footprints_are_the_corners_of_the_image(catalog):
    import rasterio.warp

    for item in item_files(catalog).values():
        a, _, c, _, e, f = item["properties"]["proj:transform"]
        xs, ys = [c, c, c + 64 * a, c + 64 * a, c], [f, f + 64 * e, f + 64 * e, f, f]
        lon, lat = rasterio.warp.transform(item["properties"]["proj:code"], "EPSG:4326", xs, ys)
        ring = item["geometry"]["coordinates"][0]
        assert ring == [pytest.approx(corner, abs=1e-7) for corner in zip(lon, lat, strict=True)]
        assert item["bbox"] == pytest.approx([min(lon), min(lat), max(lon), max(lat)], abs=1e-7)


def test_split_lists_of_copies_are_read(unpacked, tmp_path):
    with (unpacked / "kaggle_train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["", "Filename", "Label", "ClassName"])
        writer.writerow([0, "Forest/Forest_1.jpg", 1, "Forest"])
    (unpacked / "eurosat-val.txt").write_text("Forest_2.jpg\nRiver_1.jpg\n")
    (unpacked / "test.csv").write_text(",Filename,Label,ClassName\n7,River/River_2.jpg,8,River\n")
    build([unpacked], tmp_path / "out", overview=False)
    splits = {
        k: v["properties"].get("satimnet:split") for k, v in item_files(tmp_path / "out").items()
    }
    assert splits["Forest_1"] == "train"
    assert splits["Forest_2"] == splits["River_1"] == "validation"
    assert splits["River_2"] == "test"
    assert splits["SeaLake_1"] is None


def write_lists(folder: Path, lists: dict[str, str]) -> None:
    for name, names in lists.items():
        (folder / name).write_text("".join(f"{one}.jpg\n" for one in names.split()))


FAMILIES = {
    "eurosat-train.txt": "Forest_1 Forest_2 River_1",
    "eurosat-test.txt": "River_2",
    "eurosat-spatial-train.txt": "Forest_1 River_2",
    "eurosat-spatial-test.txt": "Forest_2",
}


def splits_of(report_and_samples: list[Sample | Problem]) -> tuple[dict[str, str], list[Problem]]:
    samples = [found for found in report_and_samples if isinstance(found, Sample)]
    problems = [found for found in report_and_samples if isinstance(found, Problem)]
    return {s.id: s.split for s in samples if s.split}, problems


def test_lists_that_contradict_each_other_give_no_split(unpacked):
    write_lists(
        unpacked, {"train.txt": "Forest_1 Forest_2 River_1", "test.txt": "Forest_1 River_1"}
    )
    splits, (problem,) = splits_of(list(dataset.scan(Source((unpacked,)))))
    assert splits == {"Forest_2": "train"}
    assert "in lists of several splits: 2 names, first Forest_1" in problem.reason
    assert problem.kind == "incomplete"


def test_families_of_lists_are_told_apart_and_chosen(unpacked):
    write_lists(unpacked, FAMILIES)
    source = Source((unpacked,))
    splits, (problem,) = splits_of(list(dataset.scan(source)))
    assert splits == {"Forest_1": "train", "River_1": "train"}  # the lists agree on these
    assert "the lists random and spatial differ: 2 names, first Forest_2" in problem.reason
    assert "unless you choose one by the option eurosat.splits" in problem.reason
    chosen = {}
    for family in ("random", "spatial"):
        chosen[family], problems = splits_of(
            list(dataset.with_options({"splits": family}).scan(source))
        )
        assert problems == []
    assert chosen["random"] == {
        **dict.fromkeys(("Forest_1", "Forest_2", "River_1"), "train"),
        "River_2": "test",
    }
    assert chosen["spatial"] == {"Forest_1": "train", "River_2": "train", "Forest_2": "test"}
    with pytest.raises(SatimnetError, match=r"splits=kaggle: .* no such lists; there are random"):
        list(dataset.with_options({"splits": "kaggle"}).scan(source))


def test_options_are_given_to_the_command(unpacked, tmp_path):
    write_lists(unpacked, FAMILIES)
    arguments = ["satimnet", "build", str(unpacked), "--out", str(tmp_path / "out"), "-q"]
    arguments += ["--scheduler", "threads"]

    def run(*options: str) -> Result:
        return CliRunner().invoke(cli, [*arguments, *options])

    assert run("--option", "eurosat.splits=spatial").exit_code == 0
    items = item_files(tmp_path / "out")
    assert items["Forest_2"]["properties"]["satimnet:split"] == "test"
    assert run("--option", "eurosat.splits=random").exit_code == 0
    items = item_files(tmp_path / "out")
    assert items["Forest_2"]["properties"]["satimnet:split"] == "train"
    for option, message in {
        "eurosat.splits=best": "give one of random, spatial, kaggle",
        "eurosat.colour=red": "no such option; there are splits",
        "dota.splits=random": "no such option; dota has none",
        "nothing.splits=random": "no such dataset",
        "splits": "give NAME.OPTION=VALUE",
    }.items():
        done = run("--option", option)
        assert done.exit_code != 0
        assert message in done.output
    twice = run(*["--option", "eurosat.splits=random"] * 2)
    assert "give it once" in twice.output


def test_a_split_table_that_cannot_be_read_is_an_error(unpacked):
    (unpacked / "train.csv").write_bytes(b"Filename\n" + b"x" * 200_000)
    with pytest.raises(SatimnetError, match=r"train\.csv: no table"):
        list(dataset.scan(Source((unpacked,))))


def test_tar_gz_source(miniature, unpacked, catalog, tmp_path):
    with tarfile.open(tmp_path / "EuroSAT.tar.gz", "w:gz") as archive:
        archive.add(unpacked, "EuroSAT")
    build([tmp_path / "EuroSAT.tar.gz"], tmp_path / "out", shard_size=2**20, overview=False)
    ours, others = item_files(tmp_path / "out"), item_files(catalog)
    assert ours.keys() == others.keys()
    for name, item in ours.items():
        for key, asset in item["assets"].items():
            checksum = asset["archive"][0]["file:checksum"]
            assert checksum == others[name]["assets"][key]["archive"][0]["file:checksum"]


# --- again and again ----------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_building_again_gives_the_same_bytes(scheduler, miniature, catalog, tmp_path):
    build([miniature], tmp_path / "again", scheduler=scheduler)
    assert digest(tmp_path / "again") == digest(catalog)


def test_shards_are_packed_while_the_scan_goes_on(miniature, tmp_path):
    """Neither when they are, nor where, changes a byte."""
    said: list[tuple[str, int, int | None]] = []

    def note(what: str, done: int, total: int | None, unit: str) -> None:
        said.append((unit, done, total))

    how = {"items": "pages", "shard_size": 2**18, "progress": note}
    build([miniature], tmp_path / "threads", **how)
    samples = 10 * PER_CLASS
    scanned = said.index(("samples", samples, samples))
    assert any(unit == "tasks" and done for unit, done, _ in said[:scanned])
    with dask.config.set(num_workers=1):
        build([miniature], tmp_path / "one", **how)
    build([miniature], tmp_path / "processes", scheduler="processes", **how)
    assert digest(tmp_path / "threads") == digest(tmp_path / "one")
    assert digest(tmp_path / "threads") == digest(tmp_path / "processes")


def test_building_on_a_dask_cluster_gives_the_same_bytes(miniature, catalog, tmp_path):
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, protocol="tcp"
    ) as cluster:
        build([miniature], tmp_path / "again", scheduler=cluster.scheduler_address)
    assert digest(tmp_path / "again") == digest(catalog)


def test_building_into_a_catalog_replaces_only_what_is_built(miniature, catalog, tmp_path):
    out = tmp_path / "out"
    build([miniature / "EuroSAT.zip"], out)
    other = out / "other"
    other.mkdir()
    collection = json.loads((home_of(out) / "collection.json").read_text())
    (other / "collection.json").write_text(json.dumps(collection | {"id": "other"}))
    root = json.loads((out / "catalog.json").read_text())
    link = {"rel": "child", "href": "./other/collection.json", "title": "Other"}
    (out / "catalog.json").write_text(json.dumps(root | {"links": [*root["links"], link]}))
    build([miniature], out)
    assert (other / "collection.json").exists()
    links = json.loads((out / "catalog.json").read_text())["links"]
    assert [link["href"] for link in links if link["rel"] == "child"] == [
        f"./eurosat/{home_of(catalog).name}/collection.json",
        "./other/collection.json",
    ]
    wanted, found = digest(home_of(catalog)), digest(home_of(out))
    assert {name for name in wanted if found[name] != wanted[name]} == {"collection.json"}
    shards = digest(out / "eurosat" / "shards")
    assert digest(catalog / "eurosat" / "shards").items() <= shards.items()


def test_the_picture_of_a_collection_can_be_left_out(miniature, catalog, tmp_path):
    build([miniature], tmp_path / "catalog", overview=False)
    wanted, found = digest(home_of(catalog)), digest(home_of(tmp_path / "catalog"))
    assert set(wanted) - set(found) == {"overview.png"}
    differing = {name for name in found if found[name] != wanted[name]}
    assert differing == {"collection.json"}
    path = tmp_path / "catalog/eurosat/collection.json"
    assets = json.loads(path.read_text())["assets"]
    assert set(assets) == {
        *("geoparquet-items", "build-report", "explorer", "explorer-columns"),
        *("class-histogram", "notebook"),
    }


@pytest.mark.slow
def test_a_killed_build_goes_on_to_the_same_result(tmp_path):
    """SIGKILL to the build and all its workers, at many moments, over a build of many shards."""
    write_miniature(tmp_path / "source", 12)
    script = "from stactools.cli.cli import run_cli; run_cli()"
    command = [sys.executable, "-c", script, "satimnet", "build", str(tmp_path / "source")]
    command += ["--shard-size", "500kB", "--quiet", "--out"]
    subprocess.run([*command, str(tmp_path / "calm")], check=True)
    out, kills = tmp_path / "out", 0
    finished: dict[str, int] = {}
    for attempt in range(40):
        process = subprocess.Popen([*command, str(out)], start_new_session=True)
        began = time.monotonic()
        done = len(finished)
        # the first kills strike while it starts, the later ones after some more shards
        while process.poll() is None and time.monotonic() - began < 60:
            try:
                now = {p.name: p.stat().st_mtime_ns for p in rows_in(tmp_path)}
            except FileNotFoundError:  # it is whole, and cleaning up
                continue
            assert all(finished.get(k, v) == v for k, v in now.items()), "done again"
            finished |= now
            if time.monotonic() - began > 0.1 * attempt and (attempt < 3 or len(now) > done + 4):
                os.killpg(process.pid, signal.SIGKILL)
                kills += 1
                assert not out.exists()
                break
            time.sleep(0.002)
        if process.wait() == 0:
            break
    assert kills >= 5
    assert digest(out) == digest(tmp_path / "calm")
    assert not list(tmp_path.glob(".out.*"))


def rows_in(folder: Path) -> Iterator[Path]:
    """The rows of finished shards that builds of the catalog ``out`` keep in their workspaces."""
    return folder.glob(".out.building-*/eurosat-*/rows/*.arrow")


@pytest.mark.parametrize("items", ["json", "pages"])
def test_leftovers_of_another_source_are_not_mixed_in(items, miniature, tmp_path, monkeypatch):
    """What a killed build of other files left must not reach the catalog."""
    source, out = tmp_path / "source", tmp_path / "out"
    write_miniature(source, 2, seed=3)
    with monkeypatch.context() as patch:
        patch.setattr("satimnet.builder.pipeline._publish", killed)
        with pytest.raises(KeyboardInterrupt):
            build([source], out, items=items)
    assert list(rows_in(tmp_path))
    shutil.rmtree(source)
    shutil.copytree(miniature, source)
    build([source], out, items=items)
    build([miniature], tmp_path / "calm", items=items)
    assert digest(out) == digest(tmp_path / "calm")


def test_finished_shards_are_kept_where_the_scan_goes_on_meanwhile(
    miniature, tmp_path, monkeypatch
):
    """A build that was killed before it had scanned everything packs no shard twice."""
    out, made = tmp_path / "out", {}
    with monkeypatch.context() as patch:
        patch.setattr("satimnet.builder.pipeline.passed_over", killed)  # at the end of the scan
        with pytest.raises(KeyboardInterrupt):
            build([miniature], out, items="pages", shard_size=2**18)
    for rows in rows_in(tmp_path):
        made[rows.name] = rows.stat().st_mtime_ns
    assert made
    with monkeypatch.context() as patch:
        patch.setattr("satimnet.builder.pipeline._publish", killed)
        with pytest.raises(KeyboardInterrupt):
            build([miniature], out, items="pages", shard_size=2**18)
    again = {rows.name: rows.stat().st_mtime_ns for rows in rows_in(tmp_path)}
    assert len(again) > len(made)
    assert again.items() >= made.items()
    build([miniature], out, items="pages", shard_size=2**18)
    build([miniature], tmp_path / "calm", items="pages", shard_size=2**18)
    assert digest(out) == digest(tmp_path / "calm")


@pytest.mark.parametrize("listed", [True, False])
def test_shards_of_a_tar_are_known_again(listed, tmp_path, monkeypatch):
    """By the same digests, whether names come from its headers or from the listing of a killed
    run."""
    bigearthnet(tmp_path / "source", 12)
    out, options = tmp_path / "out", {"items": "pages", "shard_size": 300_000}
    rows = ".out.building-*/bigearthnet-*/rows/*.arrow"

    def made(step: str) -> dict[str, int]:
        with monkeypatch.context() as patch:
            patch.setattr(f"satimnet.builder.pipeline.{step}", killed)
            with pytest.raises(KeyboardInterrupt):
                build([tmp_path / "source"], out, **options)
        return {path.name: path.stat().st_mtime_ns for path in tmp_path.glob(rows)}

    first = made("_judge")
    assert len(first) > 3
    gone = sorted(tmp_path.glob(rows))[1]
    gone.unlink()
    listings = list(tmp_path.glob(".out.building-*/indexes/*.listing"))
    assert listings
    for listing in () if listed else listings:
        listing.unlink()
    again = made("_publish")
    assert again.keys() == first.keys()
    assert {name for name in first if first[name] != again[name]} == {gone.name}
    build([tmp_path / "source"], out, **options)
    build([tmp_path / "source"], tmp_path / "calm", **options)
    assert digest(out) == digest(tmp_path / "calm")


def test_what_another_version_left_is_done_again(miniature, catalog, tmp_path, monkeypatch):
    """A killed build leaves finished shards; those of another format must not be read."""
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("satimnet.builder.pipeline._publish", killed)
        with pytest.raises(KeyboardInterrupt):
            build([miniature], out)
    rows = sorted(rows_in(tmp_path))
    assert rows
    (staging,) = tmp_path.glob(".out.building-*")
    for path in rows:
        path.write_bytes(b"rows as another version keeps them")
    (staging / "format").unlink()  # satimnet 0.1.0 wrote none
    build([miniature], out)
    assert digest(out) == digest(catalog)
    assert not staging.exists()


def killed(*_: object) -> None:
    raise KeyboardInterrupt


# --- bad input ----------------------------------------------------------------------------------


def fails(sources, out, match, **options):
    before = set(out.parent.iterdir())
    with pytest.raises(SatimnetError, match=match) as error:
        build(sources, out, **options)
    assert "\n" not in str(error.value)
    assert set(out.parent.iterdir()) == before, "something was left behind"


@pytest.fixture
def out(tmp_path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder / "catalog"


def test_an_empty_folder(tmp_path, out):
    (tmp_path / "empty").mkdir()
    fails([tmp_path / "empty"], out, "empty: an empty source")


def test_a_folder_of_another_dataset(tmp_path, out):
    (tmp_path / "other" / "images").mkdir(parents=True)
    (tmp_path / "other" / "images" / "P0001.png").write_bytes(b"png")
    fails([tmp_path / "other"], out, "other: not the layout of a known dataset.*eurosat")


def test_a_truncated_zip(miniature, tmp_path, out):
    path = tmp_path / "EuroSAT.zip"
    path.write_bytes((miniature / "EuroSAT.zip").read_bytes()[:10_000])
    fails([path], out, r"EuroSAT\.zip: not a whole archive.*download it again")


def test_an_unsafe_zip(miniature, tmp_path, out):
    path = tmp_path / "EuroSAT.zip"
    shutil.copy(miniature / "EuroSAT.zip", path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../Forest/Forest_77.jpg", b"x")
    fails([path], out, r"EuroSAT\.zip: member '\.\./Forest/Forest_77\.jpg' would leave")


def broken_tiff(folder: Path) -> Path:
    file = next(folder.rglob("Forest_1.tif"))
    file.write_bytes(file.read_bytes()[:5000])
    return file


def small_jpeg(folder: Path) -> Path:
    from PIL import Image

    file = next(folder.rglob("Forest_1.jpg"))
    Image.new("RGB", (32, 64)).save(file)
    return file


BROKEN = [(broken_tiff, "truncated TIFF"), (small_jpeg, r"64x32 pixels, not \[64, 64\]")]


@pytest.mark.parametrize(("spoil", "reason"), BROKEN)
def test_a_source_of_one_broken_file(spoil, reason, unpacked, out):
    file = spoil(unpacked)
    fails([file], out, f"{file.name}: {reason}.*no sample is left")


@pytest.mark.parametrize(("spoil", "reason"), BROKEN)
def test_more_broken_files_than_one_in_a_hundred(spoil, reason, unpacked, out):
    file = spoil(unpacked)
    fails([unpacked], out, f"{file.name}: {reason}.*more than 1 in 100.*bad_files='any'")


@pytest.mark.parametrize(("spoil", "reason"), BROKEN)
def test_a_broken_file_among_many_is_left_out_and_reported(spoil, reason, tmp_path, out):
    write_miniature(tmp_path / "many", 12)
    folder = tmp_path / "unpacked"
    for archive in (tmp_path / "many").glob("*.zip"):
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
    file = spoil(folder)
    fails([folder], out, f"{file.name}: {reason}", bad_files="stop")
    (report,) = build([folder], out, overview=False)
    (left_out,) = report.problems
    assert (report.items, report.members, left_out.kind) == (120, 239, "broken")
    assert left_out.path == str(file)
    written = json.loads((home_of(out) / "build-report.json").read_text())
    assert written["left_out"][0]["path"].endswith(file.name)
    assert str(tmp_path) not in (home_of(out) / "build-report.json").read_text()
    (survivor,) = item_files(out)["Forest_1"]["assets"]
    assert survivor == ("rgb" if file.suffix == ".tif" else "multispectral")


def test_any_number_of_broken_files_on_request(unpacked, out):
    for file in unpacked.rglob("Forest_*.tif"):
        file.write_bytes(b"II*\0")
    for file in unpacked.rglob("Forest_*.jpg"):
        file.write_bytes(b"")
    (report,) = build([unpacked], out, bad_files="any", overview=False)
    assert report.items == 9 * PER_CLASS
    assert not (home_of(out) / "Forest").exists() or not list((home_of(out) / "Forest").iterdir())
    assert not list((out / "eurosat" / "shards").glob("Forest*"))


def test_foreign_files_and_second_copies_are_ignored_and_reported(unpacked, out):
    lake = next(unpacked.rglob("SeaLake_1.tif"))
    shutil.copy(lake, lake.with_name("Bombay_7.tif"))
    shutil.copy(lake, lake.with_name("SeaLake_01.tif"))
    shutil.copytree(unpacked / "2750", unpacked / "copy")
    (report,) = build([unpacked], out, bad_files="stop")
    assert (report.items, report.members) == (10 * PER_CLASS, 20 * PER_CLASS)
    assert {problem.kind for problem in report.problems} == {"foreign"}
    reasons = {Path(p.path).name: p.reason for p in report.problems}
    assert reasons["Bombay_7.tif"] == reasons["SeaLake_01.tif"]
    assert len(report.problems) == 2 + 10 * PER_CLASS


def test_a_folder_that_is_no_catalog_is_not_touched(miniature, out):
    out.mkdir()
    (out / "thesis.tex").write_text("x")
    fails([miniature], out, "is there already and is no catalog")
    assert [p.name for p in out.iterdir()] == ["thesis.tex"]


def test_somebody_elses_catalog_is_not_touched(miniature, out):
    out.mkdir()
    (out / "catalog.json").write_text('{"type": "Catalog", "id": "mine"}')
    before = digest(out)
    fails([miniature], out, "is no catalog of satimnet")
    assert digest(out) == before


def test_a_folder_in_the_way_of_a_collection_is_not_touched(miniature, catalog, out):
    shutil.copytree(catalog, out)
    shutil.rmtree(out / "eurosat")
    (out / "eurosat").mkdir()
    (out / "eurosat" / "thesis.tex").write_text("x")
    before = digest(out)
    fails([miniature], out, "eurosat: is there already and is no collection")
    assert digest(out) == before


def test_a_catalog_inside_its_source_is_refused(unpacked):
    fails([unpacked], unpacked / "catalog", "catalog: lies inside the source")


def test_a_failed_build_leaves_the_old_catalog(miniature, tmp_path, out):
    build([miniature], out)
    before = digest(out)
    path = tmp_path / "EuroSAT.zip"
    path.write_bytes((miniature / "EuroSAT.zip").read_bytes()[:10_000])
    fails([path], out, "not a whole archive")
    assert digest(out) == before


def test_an_unwritable_place(miniature):
    # in /proc itself folders come and go with processes
    fails([miniature], Path("/proc/sys/catalog"), r"/proc/sys/catalog: cannot be written there")


def test_a_build_at_the_same_place_at_the_same_time(miniature, out, monkeypatch):
    """It waits for others only to publish, and only so long."""
    monkeypatch.setattr("satimnet.builder.publishing.protocol.WAITING", 0.1)
    with lock(out), pytest.raises(SatimnetError, match="another run is writing it"):
        build([miniature], out, overview=False)
    assert not out.exists()


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of a few MiB."""

    def mount(kib: int) -> Path:
        folder = tmp_path / "disk"
        folder.mkdir()
        options = f"size={kib}k"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True
        )
        if done.returncode:
            pytest.skip("needs the right to mount a tmpfs")
        return folder

    yield mount
    subprocess.run(["umount", str(tmp_path / "disk")], capture_output=True)


@pytest.mark.parametrize(("kib", "message"), [(2000, "MiB needed"), (4640, "No space left")])
def test_a_full_disk(kib, message, miniature, tiny_disk):
    disk = tiny_disk(kib)
    fails([miniature], disk / "catalog", message)
    assert not list(disk.iterdir())


# --- real data ----------------------------------------------------------------------------------


@pytest.mark.real
def test_real_images_are_all_there_once_with_the_publishers_checksums(real, real_catalog):
    with gzip.open(real / "extras" / "sha256_manifest.tsv.gz", "rt") as file:
        rows = csv.DictReader(file, delimiter="\t")
        manifest = {Path(row["path"]).name: row["sha256"] for row in rows}
    with zipfile.ZipFile(real / "EuroSAT.zip") as archive:
        wanted = {Path(name).name for name in archive.namelist() if name.endswith(".jpg")}
    wanted |= {path.name for path in real.glob("ds/**/*.tif")}
    assert len(wanted) == 22_950 + 90
    items = item_files(real_catalog)
    found = {}
    for name, item in items.items():
        for key, asset in item["assets"].items():
            (member,) = asset["archive"]
            file = Path(member["href"]).name
            assert file not in found
            assert file == f"{name}.{'jpg' if key == 'rgb' else 'tif'}"
            shard = home_of(real_catalog) / name.split("_")[0] / asset["href"]
            with shard.open("rb") as opened:
                opened.seek(member["range"][0])
                data = opened.read(member["range"][1] - member["range"][0] + 1)
            found[file] = hashlib.sha256(data).hexdigest()
            assert member["file:checksum"] == "1220" + found[file]
    assert found.keys() == wanted
    assert all(manifest[name] == checksum for name, checksum in found.items())
    assert dataset.classes == sorted({name.split("_")[0] for name in items})


@pytest.mark.real
@pytest.mark.slow
def test_real_catalog_is_the_same_when_built_again(real, real_catalog, tmp_path):
    build([real], tmp_path / "again", scheduler="processes")
    assert digest(tmp_path / "again") == digest(real_catalog)
