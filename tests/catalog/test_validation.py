"""Validation finds what is wrong, and says what it could not check."""

import doctest
import json
import shutil
from pathlib import Path

import pystac
import pystac.validation
import pytest
from click.testing import CliRunner
from published import home_of, shard_of
from pystac.validation import JsonSchemaSTACValidator
from stactools.cli.cli import cli

from satimnet.builder.catalog.validation import validate
from satimnet.builder.errors import SatimnetError
from satimnet.builder.query.search import count, search
from satimnet.builder.transfer.subset import save_found as save
from satimnet.extension import SCHEMA_URI, schema


@pytest.fixture
def copy(catalog, tmp_path) -> Path:
    return Path(shutil.copytree(catalog, tmp_path / "copy"))


def edit(file: Path, change) -> None:
    content = json.loads(file.read_bytes())
    change(content)
    file.write_text(json.dumps(content))


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """No schema from a cache of an earlier run, none from the network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")


def test_a_whole_catalog_is_checked_against_all_declared_schemas(catalog, schemas, no_network):
    findings = validate(catalog, schemas=schemas, checksums=True)
    assert findings.problems == []
    assert findings.unavailable == []
    assert dict(findings.objects) == {"Catalog": 11, "Collection": 1, "Feature": 40}
    assert findings.members == 80
    index = json.loads((schemas / "index.json").read_text())
    declared = {
        uri
        for file in catalog.rglob("*.json")
        for uri in json.loads(file.read_bytes()).get("stac_extensions", [])
    }
    assert declared - {SCHEMA_URI} <= set(index)
    assert declared <= set(findings.checked)


def test_the_example_runs(catalog, monkeypatch, no_network):
    monkeypatch.chdir(catalog.parent)
    (example,) = doctest.DocTestFinder(recurse=False).find(validate, "validate", globs={})
    assert doctest.DocTestRunner().run(example).failed == 0


def test_what_cannot_be_checked_is_said(catalog, no_network):
    findings = validate(catalog)
    assert findings.problems == []
    assert SCHEMA_URI in findings.checked
    assert any("/archive/" in uri for uri in findings.unavailable)


def test_members_elsewhere_are_counted(catalog, serve, tmp_path, no_network):
    with serve(catalog) as url:
        save(search(url, classes="River"), tmp_path / "saved")
    findings = validate(tmp_path / "saved", checksums=True)
    assert (findings.problems, findings.members, findings.elsewhere) == ([], 0, 8)
    assert validate(catalog, checksums=True).elsewhere == 0
    result = CliRunner().invoke(cli, ["satimnet", "validate", str(tmp_path / "saved")])
    assert result.exit_code == 0
    assert "NOT checked, as the catalog leaves them where they are, at URLs: 8 members" in (
        result.output
    )


def pystac_validator(schemas: Path) -> JsonSchemaSTACValidator:
    validator = JsonSchemaSTACValidator()
    index = json.loads((schemas / "index.json").read_text())
    for uri, name in index.items():
        validator.schema_cache[uri] = json.loads((schemas / name).read_text())
    validator.schema_cache[SCHEMA_URI] = schema()
    import pyproj

    projjson = Path(pyproj.datadir.get_data_dir(), "projjson.schema.json")
    content = json.loads(projjson.read_text())
    validator.schema_cache[content["$id"]] = content
    return validator


def check_with_pystac(catalog: Path, schemas: Path, step: int) -> int:
    """One in so many Items is validated; how many are found below the root."""
    pystac.validation.set_validator(pystac_validator(schemas))
    tree = pystac.Catalog.from_file(str(catalog / "catalog.json"))
    for at, item in enumerate(tree.get_items(recursive=True)):
        if at % step == 0:
            item.validate()
    for node in tree.get_children():
        node.validate()
    tree.validate()
    return at + 1


def test_pystac_agrees(catalog, schemas):
    assert check_with_pystac(catalog, schemas, 7) == count(catalog) == 40


@pytest.mark.real
def test_real_catalog_is_valid(real_catalog, schemas):
    findings = validate(real_catalog, schemas=schemas)
    assert (findings.count, findings.unavailable) == (0, [])
    assert findings.objects["Feature"] == 22_950
    assert check_with_pystac(real_catalog, schemas, 400) == count(real_catalog) == 22_950


FOREST = "Forest/Forest_1.json"


def wrong_split(item):
    item["properties"]["satimnet:split"] = "val"


def no_date(item):
    del item["properties"]["datetime"]


def bad_range(item):
    item["assets"]["rgb"]["archive"][0]["range"][1] += 1


def bad_checksum(item):
    item["assets"]["rgb"]["archive"][0]["file:checksum"] = "1220" + 64 * "0"


def other_id(item):
    item["id"] = "Forest_2"


def lost_shard(item):
    item["assets"]["rgb"]["href"] = "../shards/none.zip"


def lost_parent(item):
    item["links"][1]["href"] = "./none.json"


def text_instead_of_number(item):
    item["assets"]["multispectral"]["file:size"] = "big"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (wrong_split, "properties.*'val' is not one of"),
        (no_date, "datetime"),
        (bad_range, "asset rgb: range of Forest/Forest_1.jpg does not fit"),
        (bad_checksum, "asset rgb: checksum of Forest/Forest_1.jpg differs"),
        (other_id, "Forest_2"),
        (lost_shard, "asset rgb: no file ../shards/none.zip"),
        (lost_parent, "link parent leads to no file: ./none.json"),
        (text_instead_of_number, "assets/multispectral"),
    ],
)
def test_faults_are_found_and_worded(change, message, copy, schemas):
    edit(home_of(copy) / FOREST, change)
    findings = validate(copy, schemas=schemas, checksums=True)
    assert findings.count >= 1
    import re

    assert any(re.search(message, problem) for problem in findings.problems), findings.problems


def test_an_index_that_says_otherwise_is_found(copy, schemas):
    """Search and training read only the parquet: a valid but stale row must not pass."""
    edit(
        home_of(copy) / FOREST,
        lambda item: item["properties"].update({"satimnet:classes": ["River"]}),
    )
    (problem,) = validate(copy, schemas=schemas).problems
    assert problem.endswith("items.parquet: Forest_1 is not what its own file says")


def test_lost_and_broken_files_are_found(copy, schemas):
    (home_of(copy) / FOREST).unlink()
    (home_of(copy) / "River/River_1.json").write_text("{")
    shard = shard_of(copy, "SeaLake-00000")
    data = bytearray(shard.read_bytes())
    data[200] ^= 255
    shard.write_bytes(data)
    problems = "\n".join(validate(copy, schemas=schemas, checksums=True).problems)
    assert "Forest_1.json: cannot be read" in problems
    assert "River_1.json: cannot be read as JSON" in problems
    assert "2 items only in the parquet, as Forest_1" in problems
    assert "checksum of SeaLake/SeaLake_1.jpg differs" in problems


def test_a_truncated_shard_is_found_without_reading_it(copy, schemas):
    shard = shard_of(copy, "SeaLake-00000")
    shard.write_bytes(shard.read_bytes()[:-1])
    problems = validate(copy, schemas=schemas).problems
    assert any(f"{shard.name} has" in problem for problem in problems)


def test_no_catalog_is_an_error(tmp_path):
    with pytest.raises(SatimnetError, match="no such file; give a catalog's folder"):
        validate(tmp_path)


def test_a_folder_without_schemas_is_an_error(catalog, tmp_path):
    with pytest.raises(SatimnetError, match="no folder of schemas"):
        validate(catalog, schemas=tmp_path)


def test_links_that_no_file_system_takes_lead_to_no_file(catalog, tmp_path):
    shutil.copytree(catalog, tmp_path / "copy")
    path = tmp_path / "copy/catalog.json"
    root = json.loads(path.read_text())
    root["links"].append({"rel": "about", "href": f"./{'x' * 5000}"})
    path.write_text(json.dumps(root))
    assert [problem for problem in validate(tmp_path / "copy").problems if "about" in str(problem)]
