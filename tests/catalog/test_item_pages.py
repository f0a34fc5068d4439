"""Catalogs of collections too large for a file an Item: pages, or the parquet alone."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from published import home_of, shard_of
from stactools.cli.cli import cli

from satimnet.builder import build, search, validate
from satimnet.builder.catalog import item_pages as pages
from satimnet.builder.transfer.mirror import copy_catalog as copy

PER_CLASS = 4  # of the miniature in conftest.py


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(pages, "PAGE_SIZE", 3)


@pytest.fixture
def paged(miniature, small_pages, tmp_path) -> Path:
    out = tmp_path / "paged"
    build([miniature], out, items="pages", shard_size=150_000, overview=False)
    return out


@pytest.fixture
def bare(miniature, tmp_path) -> Path:
    out = tmp_path / "bare"
    build([miniature], out, items="none", overview=False)
    return out


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def linked(page: dict) -> dict[str, str]:
    return {link["rel"]: link["href"] for link in page["links"]}


def test_pages_hold_what_files_would(paged, catalog):
    for node in sorted(home_of(catalog).glob("*/catalog.json")):
        folder = home_of(paged) / node.parent.name
        (start,) = (
            link for link in read(folder / "catalog.json")["links"] if link["rel"] == "items"
        )
        assert not [
            link for link in read(folder / "catalog.json")["links"] if link["rel"] == "item"
        ]
        features, path = [], folder / start["href"]
        for number in range(2):
            page = read(path)
            assert (page["numberMatched"], page["numberReturned"]) == (PER_CLASS, (3, 1)[number])
            features += page["features"]
            assert ("prev" in linked(page), "next" in linked(page)) == (number == 1, number == 0)
            path = folder / linked(page).get("next", "")
        files = [read(path) for path in sorted(node.parent.glob(f"{node.parent.name}_*.json"))]
        for feature in features:  # the paged catalog has other shards
            for asset in feature["assets"].values():
                assert (folder / asset["href"]).resolve().is_file()
        assert [f["id"] for f in features] == [f["id"] for f in files]
        assert [f["properties"] for f in features] == [f["properties"] for f in files]
        assert [f["links"] for f in features] == [f["links"] for f in files]


@pytest.mark.parametrize("form", ["paged", "bare"])
def test_they_are_valid_found_and_copied(form, request, schemas, tmp_path):
    catalog = request.getfixturevalue(form)
    findings = validate(catalog, schemas=schemas, checksums=True)
    assert findings.problems == []
    assert findings.objects["Feature"] == 10 * PER_CLASS
    assert findings.members == 20 * PER_CLASS
    assert len(search(catalog, classes="River")) == PER_CLASS
    copy(catalog, tmp_path / "copy")
    needed = [*home_of(catalog).rglob("*"), *catalog.rglob("*.zip")]
    files = {path.relative_to(catalog) for path in needed if path.is_file()}
    copied = {path.relative_to(tmp_path / "copy") for path in (tmp_path / "copy").rglob("*")}
    assert files <= copied


def test_faults_in_pages_are_found(paged):
    path = home_of(paged) / "River/items-00001.json"
    page = read(path)
    page["features"][0]["properties"]["satimnet:split"] = "test"
    page["features"][0]["stac_version"] = "0.9"
    path.write_text(json.dumps(page))
    problems = validate(paged).problems
    assert any("items-00001.json" in problem for problem in problems)
    assert any("is not what its own file says" in problem for problem in problems)


def test_faults_in_the_parquet_alone_are_found(bare):
    shard = shard_of(bare, "River-00000")
    shard.write_bytes(shard.read_bytes()[:-200_000])
    assert any(f"{shard.name} has" in problem for problem in validate(bare).problems)


def test_pages_that_lead_in_circles_end(paged):
    path = home_of(paged) / "River/items-00001.json"
    page = read(path)
    page["links"].append({"rel": "next", "href": "./items-00000.json"})
    path.write_text(json.dumps(page))
    assert validate(paged).problems == []


def test_large_collections_are_paged_by_default(miniature, monkeypatch, tmp_path):
    monkeypatch.setattr(pages, "MOST_FILES", 10 * PER_CLASS - 1)
    build([miniature], tmp_path / "catalog", overview=False)
    folder = home_of(tmp_path / "catalog")
    assert not list(folder.glob("*/River_*.json"))
    assert (folder / "River/items-00000.json").is_file()


def test_command(miniature, tmp_path):
    arguments = ["build", miniature, "--out", tmp_path / "catalog", "--items", "none", "--quiet"]
    arguments += ["--scheduler", "threads"]
    done = CliRunner().invoke(cli, ["satimnet", *map(str, arguments)])
    assert (done.exit_code, done.output) == (0, "")
    folder = home_of(tmp_path / "catalog") / "River"
    assert {path.name for path in folder.iterdir()} == {"catalog.json"}
