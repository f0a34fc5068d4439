"""Files that are made of a collection are attached to it: a new version links them."""

import hashlib
import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import pytest
from click.testing import CliRunner
from places import upload

from satimnet import builder
from satimnet.builder.errors import ArgumentError, NotFoundError, StorageError
from satimnet.builder.exports.attached_exports import attach_export
from satimnet.builder.publishing.attaching import Attachment, attach
from satimnet.builder.storage import objects
from satimnet.builder.storage.hrefs import join
from satimnet.cli.group import satimnet


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def run(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(satimnet, [str(one) for one in arguments])
    assert done.exit_code == code, done.output
    return done.output


def current(home: Path) -> tuple[str, Path, dict[str, dict[str, object]]]:
    """Name and folder of the current version, and its assets."""
    (version,) = (one for one in builder.versions(home) if one.current)
    document = json.loads(Path(version.href).read_text())
    assert document["version"] == version.name
    return version.name, Path(version.href).parent, document["assets"]


@pytest.fixture
def home(catalog: Path, tmp_path: Path) -> Path:
    return shutil.copytree(catalog, tmp_path / "catalog")


def test_an_export_is_attached_as_a_new_version(home: Path, tmp_path: Path) -> None:
    first, old, _ = current(home)
    before = digests(home)
    made = attach_export(home, "croissant")
    name, folder, assets = current(home)
    assert made == {"eurosat": name}
    assert name != first
    assert assets["croissant"] == {
        "href": "./attached/eurosat.croissant.json",
        "type": "application/ld+json",
        "title": "Croissant (MLCommons)",
        "roles": ["metadata"],
    }
    said = json.loads((folder / "attached" / "eurosat.croissant.json").read_text())
    urls = [one["contentUrl"] for one in said["distribution"] if "contentUrl" in one]
    assert urls
    for url in urls:
        assert (folder / "attached" / unquote(url)).resolve().is_relative_to(folder.parent)
        assert (folder / "attached" / unquote(url)).is_file()
    # nothing that was published is another, and no shard is there twice
    after = digests(home)
    changing = {"catalog.json", "eurosat/collection.json"}
    assert {path for path in before if after.get(path) != before[path]} == changing
    assert {path for path in after if "/shards/" in path} <= set(before)
    assert (folder / "items.parquet").samefile(old / "items.parquet")
    links = json.loads((folder / "collection.json").read_text())["links"]
    earlier = [link["href"] for link in links if link["rel"] == "predecessor-version"]
    assert earlier == [f"../{first}/collection.json"]
    assert builder.validate(home, checksums=True).problems == []
    assert len(builder.search(home)) == 40
    run("copy", home, tmp_path / "copy", "--quiet")
    assert digests(tmp_path / "copy")[f"eurosat/{name}/attached/eurosat.croissant.json"]
    assert builder.validate(tmp_path / "copy").problems == []
    assert not builder.diff(home, home, old_version=first).differs


def stored(root: str) -> dict[str, bytes]:
    return {
        one.place.removeprefix(f"{root}/"): objects.read(one.place)
        for one in objects.files_below(root)
    }


def in_store(root: str) -> tuple[str, dict[str, dict[str, object]]]:
    """Folder of the current version of a catalog in a store, and its assets."""
    (version,) = (one for one in builder.versions(root) if one.current)
    document = json.loads(objects.read(version.href))
    assert document["version"] == version.name
    return version.href.rpartition("/")[0], document["assets"]


@pytest.fixture
def far(catalog: Path, bucket: str, request: pytest.FixtureRequest) -> str:
    root = f"{bucket}/{request.node.name}"
    upload(catalog, root)
    return root


def test_what_is_attached_in_a_store_is_what_is_attached_on_disk(home: Path, far: str) -> None:
    first, _ = in_store(far)
    before = stored(far)
    (name,) = attach_export(far, "croissant").values()
    folder, assets = in_store(far)
    assert folder != first
    assert {"eurosat": name} == attach_export(home, "croissant")
    after = stored(far)
    made = {str(p.relative_to(home)): p.read_bytes() for p in home.rglob("*") if p.is_file()}
    assert after == made
    changing = {"catalog.json", "eurosat/collection.json"}
    assert {path for path in before if after.get(path) != before[path]} == changing
    assert assets["croissant"]["href"] == "./attached/eurosat.croissant.json"
    assert builder.validate(far, checksums=True).problems == []


def test_a_quality_report_in_a_store_leads_to_its_items(far: str) -> None:
    said = run("quality", far, "--attach", "eurosat")
    folder, assets = in_store(far)
    assert f"quality-report of eurosat@{folder.rpartition('/')[2]} shows all of it" in said
    report = f"{folder}/attached/quality/report.html"
    assert assets["quality-report"]["href"] == "./attached/quality/report.html"
    links = re.findall(r'<a href="([^"#]+\.json)">', objects.read(report).decode())
    assert links
    for link in links:
        assert link.startswith("../../")
        assert objects.exists(join(unquote(link), report))
    run("export", far, "--format", "bibtex", "--attach")
    _, assets = in_store(far)
    assert {"bibtex", "quality-report"} <= assets.keys()
    before = stored(far)
    run("export", far, "--format", "bibtex", "--attach")
    assert stored(far) == before
    assert objects.exists(join(str(assets["quality-report"]["href"]), f"{in_store(far)[0]}/x"))
    assert builder.validate(far).problems == []


def test_another_version_in_the_store_meanwhile_is_not_lost(far: str) -> None:
    root = f"{far}/catalog.json"

    def slow(document: object, folder: Path) -> list[Attachment]:
        name = in_store(far)[0].rpartition("/")[2].encode()
        objects.write(root, objects.read(root).replace(name, b"0123456789ab"))
        (folder / "a.txt").write_text("a")
        return [Attachment("a", "a.txt", "text/plain", "A")]

    with pytest.raises(StorageError, match="got another version meanwhile"):
        attach(far, "eurosat", slow)
    assert b"0123456789ab" in objects.read(root)


def test_attaching_twice_and_more(home: Path) -> None:
    (first,) = attach_export(home, "bibtex").values()
    assert attach_export(home, "bibtex") == {"eurosat": first}
    attach_export(home, "citation")
    _, folder, assets = current(home)
    assert {"bibtex", "citation"} <= assets.keys()
    for key in ("bibtex", "citation"):
        assert (folder / str(assets[key]["href"])).is_file()
    assert len(builder.versions(home)) == 3
    document = json.loads((folder / "collection.json").read_text())
    rels = [link["rel"] for link in document["links"]]
    assert rels.count("predecessor-version") == 1
    concepts = json.loads((home / "concepts.json").read_text())
    run("prune", home, "--keep", 1, "--older-than", 0, "--quiet")
    assert len(builder.versions(home)) == 1
    assert builder.validate(home, checksums=True).problems == []
    assert json.loads((home / "concepts.json").read_text()) == concepts


def test_a_quality_report_is_attached(home: Path) -> None:
    said = run("quality", home, "--attach", "eurosat")
    name, folder, assets = current(home)
    assert f"quality-report of eurosat@{name} shows all of it" in said
    report = folder / str(assets["quality-report"]["href"])
    assert assets["quality-report"]["type"] == "text/html"
    for link in re.findall(r'<a href="([^"#]+\.json)">', report.read_text()):
        assert (report.parent / unquote(link)).resolve().is_relative_to(folder)
        assert (report.parent / unquote(link)).is_file()
    assert builder.validate(home).problems == []
    assert not list(folder.parent.glob(".attaching*"))
    assert not list(folder.rglob(".*"))


def test_a_failure_or_a_kill_leaves_the_catalog_as_it_is(home: Path) -> None:
    before = digests(home)
    (home / "eurosat" / ".attaching").mkdir()
    (home / "eurosat" / ".attaching" / "rest").write_text("of a run that was killed")

    def fail(document: object, folder: Path) -> list[Attachment]:
        (folder / "half").write_text("half")
        raise ArgumentError("no more")

    with pytest.raises(ArgumentError, match="no more"):
        attach(home, "eurosat", fail)
    assert digests(home) == before


def test_another_version_meanwhile_is_not_lost(home: Path) -> None:
    def slow(document: object, folder: Path) -> list[Attachment]:
        text = (home / "catalog.json").read_text()
        (home / "catalog.json").write_text(text.replace(current(home)[0], "0123456789ab"))
        (folder / "a.txt").write_text("a")
        return [Attachment("a", "a.txt", "text/plain", "A")]

    with pytest.raises(StorageError, match="got another version meanwhile"):
        attach(home, "eurosat", slow)
    assert "0123456789ab" in (home / "catalog.json").read_text()


def test_errors(home: Path) -> None:
    with pytest.raises(NotFoundError, match="no collection dota; there are: eurosat"):
        attach_export(home, "bibtex", collections=("dota",))
    with pytest.raises(ArgumentError, match="no description of a collection"):
        attach_export(home, "dcat")
    with pytest.raises(ArgumentError, match="say where the catalog will lie"):
        attach_export(home, "gdal-parquet")
    with pytest.raises(StorageError, match="not on this machine"):
        attach("https://example.org/catalog.json", "eurosat", lambda document, folder: [])
    said = run("export", home, "--format", "bibtex", "--attach", "--out", home, code=1)
    assert "attach: goes with" in said
