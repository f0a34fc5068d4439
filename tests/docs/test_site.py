"""The documentation site: builds without a warning, leads nowhere that is not there."""

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

pytest.importorskip("zensical", reason="needs the extra docs")

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, ROOT / "docs/build_site.py", folder]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def pages(site):
    return {path: path.read_text() for path in site.rglob("*.html")}


def test_every_page_of_the_navigation_is_there(site):
    def listed(entries):
        for entry in entries:
            value = next(iter(entry.values())) if isinstance(entry, dict) else entry
            yield from listed(value) if isinstance(value, list) else [value]

    names = list(listed(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    folders = [site / ("" if name == "index.md" else name.removesuffix(".md")) for name in names]
    assert [folder.name for folder in folders if not (folder / "index.html").is_file()] == []
    own = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    own |= {f"notebooks/{path.stem}.md" for path in (ROOT / "docs/notebooks").glob("*.ipynb")}
    assert own <= set(names), "put it into nav of mkdocs.yml"


def test_no_page_asks_another_host(pages):
    """Links are for people; what a browser loads by itself lies in the site."""
    loaded = r'<(?:script|img|iframe|source)[^>]* src="(https?:)?//|<link[^>]* href="(https?:)?//'
    assert [path.name for path, text in pages.items() if re.search(loaded, text)] == []


def test_notebooks_have_their_code_and_outputs(site):
    for path in (ROOT / "docs/notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text())["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", ())]
        drawn = [o for o in outputs if {"image/png", "image/jpeg"} & o.get("data", {}).keys()]
        folder = site / "notebooks" / path.stem
        page = (folder / "index.html").read_text()
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        assert page.count('alt="What this code draws"') == len(drawn) == len(os.listdir(folder)) - 1
        assert page.count('class="language-python highlight"') == len(code)


def test_relative_links_lead_to_files(pages):
    missing = set()
    for page, text in pages.items():
        if page.name == "404.html":
            continue  # its links begin at the root of the host
        for link in re.findall(r'(?:href|src)="([^"#]+)"', text):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve()
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                missing.add((page.parent.name, link))
    assert not missing


@pytest.mark.parametrize("package", ["builder", "training", "extension"])
def test_the_reference_has_every_public_name(site, package):
    page = (site / "reference/index.html").read_text()
    module = f"satimnet.{package}"
    names = import_module(module).__all__
    assert [name for name in names if f'id="{module}.{name}"' not in page] == []


def test_the_reference_has_what_dataset_packages_import(site):
    page = (site / "reference/index.html").read_text()
    packages = {path.parent for path in (ROOT / "collections/stactools").glob("*/dataset.toml")}
    code = "\n".join(path.read_text() for folder in packages for path in folder.glob("*.py"))
    imports = re.findall(r"from (satimnet\.builder\.\w+) import (.+)", code)
    names = {f"{module}.{name}" for module, listed in imports for name in listed.split(", ")}
    assert "satimnet.builder.sources.Source" in names
    assert [name for name in sorted(names) if f'id="{name}"' not in page] == []


def test_every_command_is_described(site):
    from satimnet.cli.group import satimnet

    page = (site / "commands/index.html").read_text()
    assert [name for name in satimnet.commands if f">satimnet {name}<" not in page] == []


def test_pages_of_the_repository_have_their_place(site):
    assert "Two commands" in (site / "index.html").read_text()
    assert "SatImNet Extension Specification" in (site / "extension/index.html").read_text()
    assert "contract" in (site / "benchmarks/index.html").read_text()
