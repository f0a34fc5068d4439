"""The page is in the package as it is built, and is put where a catalog lies."""

import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner
from places import upload
from serving import served_here
from stactools.cli.cli import cli

from satimnet import builder
from satimnet.builder.errors import ArgumentError
from satimnet.builder.explorer.page_files import page_file, page_for, write_page
from satimnet.builder.exports.attached_exports import attach_export

ROOT = Path(__file__).parent.parent.parent
SOURCES = ROOT / "stac_builder" / "explorer-page"
BUILT = ROOT / "stac_builder" / "satimnet" / "builder" / "explorer" / "page"
NAMES = {"index.html", "explorer.css", "explorer.js"}


def run(*arguments):
    return CliRunner().invoke(cli, ["satimnet", "explorer", *map(str, arguments)])


def test_the_built_page_is_that_of_the_sources(tmp_path):
    """A page that was built before the sources changed would go unnoticed."""
    if shutil.which("npm") is None:
        pytest.skip("needs npm")
    copy = tmp_path / "page"
    shutil.copytree(SOURCES, copy, ignore=shutil.ignore_patterns("node_modules"))
    done = subprocess.run(["npm", "ci"], cwd=copy, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("npm cannot fetch esbuild and typescript")
    subprocess.run(["npm", "run", "check"], cwd=copy, check=True, capture_output=True)
    subprocess.run(["node", "build.mjs", str(tmp_path / "out")], cwd=copy, check=True)
    made = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert made == {path.name: path.read_bytes() for path in BUILT.iterdir()}
    assert made.keys() == {*NAMES, "land.txt"}


def test_the_page_is_small_and_names_no_host():
    for name in NAMES:
        text = (page_file(name) or b"").decode()
        assert len(text) < 100_000
        hosts = set(re.findall(r"https?://([\w.-]+)", text))
        assert hosts <= {"www.w3.org", "doi.org"}, name  # names of SVG, links that people follow
    assert "unsafe" not in (page_file("index.html") or b"").decode()


def test_the_page_is_in_the_wheel(tmp_path):
    build = pytest.importorskip("hatchling.build", reason="needs hatchling")
    import os

    before = os.getcwd()
    os.chdir(ROOT)
    try:
        wheel = build.build_wheel(str(tmp_path))
    finally:
        os.chdir(before)
    with zipfile.ZipFile(tmp_path / wheel) as file:
        names = set(file.namelist())
    assert {f"satimnet/builder/explorer/page/{name}" for name in NAMES} <= names
    assert not [name for name in names if "explorer-page" in name or name.endswith(".ts")]


def test_the_catalog_is_named_without_markup():
    page = page_for('"><script>alert(1)</script>').decode()
    assert "<script>alert" not in page
    assert 'name="satimnet-catalog" content="&quot;&gt;' in page


def test_the_page_is_put_beside_a_catalog_and_inside(catalog, tmp_path):
    copy = shutil.copytree(catalog, tmp_path / "catalog")
    for out, href in ((copy / "explore", "../catalog.json"), (copy, "catalog.json")):
        done = run(copy, "--out", out)
        assert done.exit_code == 0, done.output
        assert {path.name for path in out.iterdir()} >= NAMES
        assert f'content="{href}"' in (out / "index.html").read_text()
    write_page(tmp_path / "page", copy)
    assert 'content="../catalog/catalog.json"' in (tmp_path / "page" / "index.html").read_text()
    write_page(tmp_path / "page", "https://host.org/data/")
    assert (
        'content="https://host.org/data/catalog.json"'
        in (tmp_path / "page" / "index.html").read_text()
    )


def pages_of(root):
    return [link["href"] for link in root["links"] if link["rel"] == "alternate"]


def test_a_catalog_links_the_page_in_its_folder(catalog, tmp_path, monkeypatch):
    copy = shutil.copytree(catalog, tmp_path / "catalog")
    before = (copy / "catalog.json").read_bytes()
    write_page(tmp_path / "page", copy)
    assert (copy / "catalog.json").read_bytes() == before, "from elsewhere it is not linked"
    monkeypatch.chdir(copy)
    write_page("explore", "catalog.json")
    linked = json.loads((copy / "catalog.json").read_bytes())
    assert linked["links"][-2] == {  # the last one is that of the concepts
        "rel": "alternate",
        "type": "text/html",
        "title": "Explorer",
        "href": "./explore/index.html",
    }
    others = [link for link in linked["links"] if link["rel"] != "alternate"]
    assert linked | {"links": others} == json.loads(before)
    after = (copy / "catalog.json").read_bytes()
    write_page(copy / "explore", copy)
    assert (copy / "catalog.json").read_bytes() == after
    assert builder.validate(copy).problems == []
    attach_export(copy, "bibtex")
    assert pages_of(json.loads((copy / "catalog.json").read_bytes())) == ["./explore/index.html"]
    arguments = ["satimnet", "copy", str(copy), str(tmp_path / "copied"), "-q"]
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    assert {path.name for path in (tmp_path / "copied" / "explore").iterdir()} == NAMES
    assert builder.validate(tmp_path / "copied").problems == []


def test_a_catalog_of_others_stays_as_it_is(catalog, tmp_path):
    copy = shutil.copytree(catalog, tmp_path / "catalog")
    root = json.loads((copy / "catalog.json").read_bytes()) | {"id": "of-others"}
    (copy / "catalog.json").write_text(json.dumps(root))
    write_page(copy / "explore", copy)
    assert json.loads((copy / "catalog.json").read_bytes()) == root


def test_a_catalog_in_a_store_links_its_page(catalog, bucket):
    from satimnet.builder.storage import objects

    upload(catalog, f"{bucket}/linked")
    write_page(f"{bucket}/linked/explore", f"{bucket}/linked")
    root = json.loads(objects.read(f"{bucket}/linked/catalog.json"))
    assert pages_of(root) == ["./explore/index.html"]
    assert builder.validate(f"{bucket}/linked").problems == []


def test_a_page_in_a_store_finds_the_catalog_there_only(catalog, bucket):
    from satimnet.builder.storage import objects

    place = write_page(f"{bucket}/data/explore", f"{bucket}/data/catalog")
    assert b'content="../catalog/catalog.json"' in objects.read(place)
    with pytest.raises(ArgumentError, match="no page finds"):
        write_page(f"{bucket}/data/explore", catalog)


def test_the_command_writes_columns_and_previews(catalog, tmp_path):
    copy = shutil.copytree(catalog, tmp_path / "catalog")
    done = run(copy, "--index")
    assert done.exit_code == 0, done.output
    assert re.search(r"eurosat: 40 items in [\d,]+ bytes", done.output), done.output
    done = run(copy)
    assert done.exit_code == 0, done.output
    done = run(copy, "--collection", "nothing")
    assert done.exit_code == 1
    assert "no collection nothing" in done.output
    done = run(tmp_path / "nowhere")
    assert done.exit_code == 1
    assert len(done.output.splitlines()) == 1


def test_the_server_shows_it(catalog):
    with served_here(catalog) as place:
        url = place.rstrip("/")
        page = requests.get(f"{url}/explore")
        assert page.url == f"{url}/explore/"
        assert 'name="satimnet-catalog" content="../catalog/catalog.json"' in page.text
        assert "default-src 'none'" in page.text
        assert requests.get(f"{url}/explore/index.html").text == page.text
        for name in ("explorer.js", "explorer.css"):
            answer = requests.get(f"{url}/explore/{name}")
            assert answer.content == page_file(name)
            assert answer.headers["content-type"].startswith("text/")
        assert requests.get(f"{url}/explore/nothing.js").status_code == 404
        assert requests.get(f"{url}/explore/..%2fpage_files.py").status_code == 404
        prefix = {"X-Forwarded-Prefix": "/stac"}
        moved = requests.get(f"{url}/explore?catalog=x", headers=prefix, allow_redirects=False)
        assert moved.headers["location"].endswith("/stac/explore/?catalog=x")
