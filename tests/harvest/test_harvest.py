"""Descriptions of four forms become records; those that satimnet exports keep every attribute."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from stactools.cli.cli import cli

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.catalog.collections import collection_of
from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.datasets import installed
from satimnet.builder.errors import SatimnetError
from satimnet.builder.exports import export
from satimnet.builder.exports.paper_tables import tables
from satimnet.builder.harvest import Description, Record, read_description, record_of
from satimnet.builder.harvest.reading import MAX_SIZE
from satimnet.builder.publishing.layout import version_of
from satimnet.builder.query.index import Index
from satimnet.cli.package_skeleton import skeleton
from satimnet.extension import SCHEMA_URI

ROOT = Path(__file__).parents[2]
EXAMPLES = Path(__file__).with_name("descriptions")
NAMES = tuple(installed())


def template() -> str:
    files = skeleton("city-trees", Path("x"), layout="harvested")
    return next(text for path, text in files.items() if path.name == "dataset.toml")


def harvested(place: Any) -> tuple[Description, dict[str, Any], Record]:
    said = read_description(str(place))
    record = record_of(said, "city-trees", template())
    content = tomllib.loads(record.text)
    DatasetRecord.of(content, "dataset.toml")
    return said, content, record


def harvest(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["satimnet", "harvest", *map(str, arguments)])


# --- what satimnet writes itself ------------------------------------------------------------------


@pytest.fixture(scope="module")
def croissants(demo, tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("croissant")
    export(Index(str(demo / "catalog")), "croissant", folder)
    return folder


@pytest.fixture(params=["croissant", "stac"])
def described(request, demo, croissants, tmp_path) -> Callable[[str], Path]:
    """A function that gives the description of a dataset."""

    def of(name: str) -> Path:
        if request.param == "croissant":
            return croissants / f"{name}.croissant.json"
        document = Index(str(demo / "catalog")).collections[name].document.json
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(document))
        return path

    return of


def cells(record: dict[str, Any]) -> dict[str, tuple[str, str]]:
    document = CollectionDocument.of(json.loads(json.dumps(collection_of(record))), "x")
    return {
        row.attribute: (row.cells[0].text, row.cells[0].note)
        for table in tables([document])
        for row in table.rows
    }


FROM_ITEMS = {"bbox", "start_datetime", "end_datetime"}  # narrower, where Items say more


@pytest.mark.parametrize("name", NAMES)
def test_a_round_trip_keeps_every_attribute(name, described):
    original = dict(installed()[name].record)
    said, record, _ = harvested(described(name))
    assert said.left_out == []
    for key in ("license", "providers"):
        assert record[key] == original[key], key
    assert record["keywords"] == [*original["keywords"], "synthetic"]
    assert record["links"] == [link for link in original["links"] if link["rel"] != "self"]
    attributes, before = dict(record["collection"]), dict(original["collection"])
    assert attributes.pop("satimnet:synthetic")
    sources, named = (one.pop("satimnet:attribute_sources") for one in (attributes, before))
    assert attributes == before
    assert sources.items() >= named.items()
    assert record["properties"].items() >= original["properties"].items()
    kept = ("value", "name", "title", "description", "color_hint")
    assert record["classes"] == [
        {key: row[key] for key in kept if key in row} for row in original["classes"]
    ]
    assert record["assets"].keys() == original["assets"].keys()
    for key, asset in original["assets"].items():
        of_builds = ("derive", "other_bands", "classes", "own_datetime")
        ours = {k: v for k, v in asset.items() if k not in of_builds}
        theirs = record["assets"][key]
        assert {name: theirs.get(name) for name in ours} == ours, key
    from_items = {  # which the summaries of a Collection have, and no record
        "gsd": original["properties"].get("gsd"),
    }
    record["properties"] = {
        k: v for k, v in record["properties"].items() if k not in from_items or from_items[k]
    }
    assert cells(record) == cells(original)


@pytest.mark.parametrize("name", NAMES)
def test_every_value_names_its_source(name, described):
    said, record, _ = harvested(described(name))
    sources = record["collection"]["satimnet:attribute_sources"]
    for field in record["collection"].keys() - {
        "satimnet:attribute_sources",
        "satimnet:attribute_notes",
    }:
        assert sources[field]
    assert said.place in sources.values()


def test_the_terms_of_croissant_alone_say_a_part(croissants, tmp_path):
    document = json.loads((croissants / "eurosat.croissant.json").read_text())
    del document["satimnet:collection"]
    path = tmp_path / "eurosat.json"
    path.write_text(json.dumps(document))
    _, record, made = harvested(path)
    original = installed()["eurosat"].record
    assert record["license"] == "MIT"
    assert record["keywords"] == [*original.keywords, "synthetic"]
    assert [row["name"] for row in record["classes"]] == [row.name for row in original.classes]
    assert record["collection"]["satimnet:release_date"] == "2017-08-31"
    assert record["collection"]["sci:doi"] == "10.5281/zenodo.7711810"
    assert record["collection"]["satimnet:verification_method"] == ["visual"]
    assert record["start_datetime"] == "2015-06-23T00:00:00Z"
    assert "Data type per band" in made.open


# --- descriptions in the forms of others ----------------------------------------------------------


def test_a_croissant_description():
    said, record, made = harvested(EXAMPLES / "harbours.croissant.json")
    assert said.id == "harbours-of-the-world"
    assert record["title"] == "Harbours of the World"
    assert record["license"] == "CC-BY-4.0"
    assert record["keywords"] == ["ports", "ships", "aerial images"]
    assert [(row["value"], row["name"], row.get("title")) for row in record["classes"]] == [
        (1, "quay", None),
        (2, "Open-water", "Open water"),
    ]
    assert record["providers"] == [
        {"name": "A. Author", "roles": ["producer"], "url": "https://example.org/author"},
        {"name": "Example Archive", "roles": ["host"]},
    ]
    attributes = record["collection"]
    assert attributes["satimnet:data_volume"] == 1_500_000_000 + 2 * 1024**2
    assert attributes["satimnet:annotation_description"] == "drawn by two people each"
    assert attributes["satimnet:attribute_sources"]["license"] == "harbours.croissant.json"
    assert {"Spatial resolution", "Way of verification", "bbox"} <= set(made.open)
    assert "Data volume" not in made.open


def test_a_collection_of_stac_1_0():
    said, record, made = harvested(EXAMPLES / "fields.stac.json")
    assert said.id == "fields"
    assert record["bbox"] == [5.0, 45.0, 11.0, 48.0]
    assert record["end_datetime"] == "2020-12-31T23:59:59Z"  # open, so that of the example
    assert {"end_datetime", "layout", "Licence"} <= set(made.open)
    image = record["assets"]["image"]
    assert [band["name"] for band in image["bands"]] == ["B02", "B08"]
    assert image["bands"][1]["eo:common_name"] == "nir"
    assert image["data_type"] == "uint16"
    assert record["properties"] == {
        "gsd": 10,
        "constellation": "sentinel-2",
        "instruments": ["msi"],
    }
    assert "satimnet:data_volume: is not as the extension has it" in said.left_out
    assert [link["rel"] for link in record["links"]] == ["about"]


@pytest.mark.parametrize(
    ("stated", "kept"),
    [("0940c227647d", None), ("2.0-0940c227647d", "2.0"), ("2.0", "2.0")],
)
def test_the_digest_of_a_catalog_is_no_version_of_the_dataset(stated, kept, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(STAC | {"version": stated, "stac_extensions": [SCHEMA_URI]}))
    assert harvested(path)[1]["collection"].get("version") == kept
    path.write_text(json.dumps(STAC | {"version": stated, "stac_extensions": []}))
    assert harvested(path)[1]["collection"]["version"] == stated


def test_a_dataset_card_of_hugging_face():
    said, record, made = harvested(EXAMPLES / "README.md")
    assert record["title"] == "Roofs and Trees"
    assert said.id == "roofs-and-trees"
    assert record["license"] == "CC-BY-NC-SA-4.0"
    assert [row["name"] for row in record["classes"]] == ["roof", "tree", "anything-else"]
    attributes = record["collection"]
    assert attributes["satimnet:classification_problem"] == ["pixel-based classification"]
    assert attributes["satimnet:annotation_method"] == ["expert", "crowdsourced"]
    assert attributes["satimnet:data_volume"] == 123_456
    assert record["keywords"][:2] == ["earth-observation", "roofs"]
    assert {"URL", "description", "Timestamp"} <= set(made.open)


def test_a_record_of_zenodo():
    said, record, made = harvested(EXAMPLES / "zenodo.json")
    assert said.id == "landslides-in-two-valleys"
    assert record["description"] == "Landslides, drawn by hand & checked.\n\nTwo valleys: one, two."
    assert record["license"] == "CC-BY-4.0"
    assert record["providers"][0] == {"name": "Author, A.; Other, B.", "roles": ["producer"]}
    assert record["downloads"] == [
        {
            "url": "https://zenodo.org/api/records/1234567/files/images.zip/content",
            "size": 1_000_000,
            "checksum": "md5:" + 32 * "a",
        },
        {"url": "https://zenodo.org/api/records/1234567/files/labels.zip/content", "size": 2_000},
    ]
    attributes = record["collection"]
    assert attributes["sci:doi"] == "10.5281/zenodo.1234567"
    assert attributes["satimnet:release_date"] == "2021-03-04"
    assert attributes["satimnet:data_volume"] == 1_002_000
    assert attributes["satimnet:timestamp"] == "2019-05-01 to 2019-09-30"
    assert attributes["satimnet:geographic_coverage"] == "Val Ferret, Val Veny"
    assert [link["href"] for link in record["links"]] == [
        "https://zenodo.org/records/1234567",
        "https://doi.org/10.1000/182",
    ]
    assert "Number of classes" in made.open


def test_over_the_web(serve, tmp_path):
    (tmp_path / "zenodo.json").write_text((EXAMPLES / "zenodo.json").read_text())
    with serve(tmp_path) as url:
        said = read_description(f"{url}/zenodo.json?token=secret")
    assert said.title == "Landslides in two valleys"
    assert "secret" not in said.place


# --- what is not to be trusted --------------------------------------------------------------------

STAC: dict[str, Any] = json.loads((EXAMPLES / "fields.stac.json").read_text())
ZENODO: dict[str, Any] = json.loads((EXAMPLES / "zenodo.json").read_text())
CROISSANT: dict[str, Any] = json.loads((EXAMPLES / "harbours.croissant.json").read_text())
JUNK: list[Any] = [None, True, 3, -1, 1e308, "x", "", [], {}, [None], [[[]]], {"x": {"x": 1}}]


@pytest.mark.parametrize("junk", JUNK, ids=repr)
@pytest.mark.parametrize("document", [STAC, ZENODO, CROISSANT], ids=["stac", "zenodo", "croissant"])
def test_junk_is_left_out_or_an_error_of_one_line(document, junk, tmp_path):
    path = tmp_path / "x.json"
    for key in document:
        for changed in (
            document | {key: junk},
            *(
                document | {key: document[key] | {inner: junk}}
                for inner in (document[key] if isinstance(document[key], dict) else ())
            ),
        ):
            path.write_text(json.dumps(changed))
            with suppress(SatimnetError):  # any other error is a fault
                harvested(path)


NASTY = 'a"""\n\x1b[31m\\", b = 1\n[x]\ny = """ \u2028 \ud800'


def test_no_text_breaks_out_of_the_record(tmp_path):
    document = json.loads(json.dumps(STAC))
    document |= dict.fromkeys(("title", "description", "sci:citation", "id"), NASTY)
    document["keywords"] = [NASTY]
    document["item_assets"]["image"]["title"] = NASTY
    document["satimnet:attribute_sources"] = {NASTY: NASTY}
    path = tmp_path / "x.json"
    path.write_text(json.dumps(document).replace("\\ud800", ""))
    _, record, made = harvested(path)
    assert "x" not in record
    assert record["title"].startswith('a""" [31m\\", b = 1 [x] y = """')
    assert all(line.isprintable() for line in made.text.splitlines())


@pytest.mark.parametrize("version", ["../../x", "/x", "1.0 / final", "..", "ü", 300 * "9"])
def test_a_version_names_a_folder_of_the_collection(version, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(STAC | {"version": version}))
    collection = collection_of(harvested(path)[1])
    folder = version_of(collection, tmp_path, ("x.json",), "json")
    assert re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]{,59}-)?[0-9a-f]{12}", folder)


def test_the_name_of_the_file_breaks_out_of_nothing(tmp_path):
    path = tmp_path / "a\nx = 1\nb.json"
    path.write_text(json.dumps(ZENODO))
    _, record, _ = harvested(path)
    assert "x" not in record


@pytest.mark.parametrize(
    ("stated", "named"),
    [
        ("mit", "MIT"),
        ("https://choosealicense.com/licenses/apache-2.0/", "Apache-2.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ({"@type": "CreativeWork", "name": "CC BY-NC-SA 4.0"}, "CC-BY-NC-SA-4.0"),
        (["ask us", "https://spdx.org/licenses/ODbL-1.0.html"], "ODbL-1.0"),
        ("ask us", "other"),
        (100 * "(" + "MIT" + 100 * ")", "other"),
        ("MIT OR GPL-2.0-only", "other"),
    ],
)
def test_licences(stated, named, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(CROISSANT | {"license": stated}))
    _, record, made = harvested(path)
    assert record["license"] == named
    notes = record["collection"].get("satimnet:attribute_notes", {})
    words = isinstance(stated, list) or named == "other"  # what has no identifier is kept
    assert ("license" in notes) is words
    assert "Licence" not in made.open


def test_the_code_of_the_package_has_no_word_of_the_description(tmp_path):
    document = STAC | {"title": '"""\nimport os\n"""', "id": "../../evil"}
    path = tmp_path / "x.json"
    path.write_text(json.dumps(document))
    done = harvest(path, tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert os.listdir(tmp_path / "out") == ["evil"]
    for file in (tmp_path / "out").rglob("*.py"):
        assert "import os" not in file.read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no description that is known"),
        ("<html></html>", "no description that is known"),
        ("{}", "no description that is known"),
        ('{"type": "Collection"', "not JSON"),
        ("---\n- a\n---\n", "its head has no fields"),
        (f"---\na: {600_000 * 'x'}\n---\n", "its head has more than 524288 characters"),
        ("---\na: [\n---\n", "its head is no YAML"),
        ("---\na: &x [1]\nb: [*x, *x]\n---\n", "its head has a YAML alias"),
        (f"---\na: {30 * '['}{30 * ']'}\n---\n", "its head has more than 20 levels"),
        ("---\n!!python/object/apply:os.system ['true']\n---\n", "its head is no YAML"),
        (f"---\na: {5000 * '9'}\n---\n", "its head is no YAML"),
        (f"{200 * '['}{200 * ']'}", "no description that is known"),
        (b"\xff\xfe\x00", "no description that is known"),
    ],
)
def test_what_is_no_description_is_one_line_and_writes_nothing(content, message, tmp_path):
    path = tmp_path / "described"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = harvest(path, tmp_path / "out", "--name", "city-trees")
    assert done.exit_code == 1
    (line,) = done.output.splitlines()
    assert re.match(r"Error: (described|more|\S+described): ", line), line
    assert message in line or "more than 100 objects" in line
    assert os.listdir(tmp_path) == ["described"]


def test_what_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "large.json"
    path.write_bytes(b"[" + b"1," * (MAX_SIZE // 2) + b"1]")
    done = harvest(path, tmp_path / "out")
    assert done.exit_code == 1
    assert "more than 8388608 bytes" in done.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.json",), "nothing is there"),
        (("ftp://host/a.json",), "ftp"),
        (("/etc",), "no regular file"),
        ((EXAMPLES / "README.md", "out", "--name", "../x"), "no name for a dataset"),
        ((EXAMPLES / "README.md", "out", "--name", "eurosat"), "is taken"),
    ],
)
def test_other_mistakes(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = harvest(*arguments)
    assert done.exit_code == 1
    assert len(done.output.splitlines()) == 1
    assert message in done.output
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_description_without_a_name_asks_for_one(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("---\nlicense: mit\n---\n")
    done = harvest(path, tmp_path / "out")
    assert done.exit_code == 1
    assert "give --name" in done.output


# --- the package ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("harvested")
    done = harvest(EXAMPLES / "harbours.croissant.json", folder, "--name", "harbours")
    assert done.exit_code == 0, done.output
    assert "  Spatial resolution\n" in done.output
    assert "  layout\n" in done.output
    return folder / "harbours"


PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis")


def run(*command: object, folder: Path) -> subprocess.CompletedProcess[str]:
    paths = [str(folder / "src"), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )


def test_the_package_is_clean_python(package):
    for check in (("check",), ("format", "--check")):
        done = run("-m", "ruff", *check, "--config", ROOT / "pyproject.toml", ".", folder=package)
        assert done.returncode == 0, done.stdout


def test_the_same_again_is_refused_and_changes_nothing(package):
    before = {path: path.read_bytes() for path in package.rglob("*") if path.is_file()}
    done = harvest(EXAMPLES / "zenodo.json", package.parent, "--name", "harbours")
    assert done.exit_code == 1
    assert "is there already" in done.output
    assert before == {path: path.read_bytes() for path in package.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_the_package_passes_its_own_test(package):
    done = run(*PYTEST, folder=package)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


@pytest.mark.slow
def test_a_package_of_large_scenes_and_masks_passes_its_own_test(croissants, tmp_path):
    done = harvest(croissants / "inria.croissant.json", tmp_path, "--name", "towns")
    assert done.exit_code == 0, done.output
    done = run(*PYTEST, folder=tmp_path / "towns")
    assert done.returncode == 0, done.stdout
