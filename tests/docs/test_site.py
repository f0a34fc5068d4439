"""The documentation site: builds without a warning, leads nowhere that is not there."""

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("mkdocs", reason="needs the extra docs")

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_relative_links_lead_to_files(site):
    missing = set()
    for page in site.rglob("*.html"):
        if page.name == "404.html":
            continue  # its links begin at the root of the host
        for link in re.findall(r'(?:href|src)="([^"#]+)"', page.read_text()):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve()
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                missing.add((str(page.relative_to(site)), link))
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
