"""Builds the documentation site: ``python docs/build_site.py [FOLDER]``, by default into ``build``.

First all pages become plain Markdown in ``FOLDER/pages``: those of ``docs``, those that lie
elsewhere in the repository because its readers look for them there, and the notebooks. Links are
turned so that they lead to where their targets are in the site. Then Zensical makes ``FOLDER/site``
of it by ``mkdocs.yml``; any other builder of Markdown could do that step.
"""

from __future__ import annotations

import argparse
import posixpath
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from notebook_pages import write_page

_ROOT = Path(__file__).parents[1]
_PAGES = {
    "index.md": "README.md",
    "benchmarks.md": "benchmarks/README.md",
    "extension.md": "extensions/README.md",
    "extensions/CHANGELOG.md": "extensions/CHANGELOG.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}
_FILES = (
    "CITATION.cff",
    "LICENSE",
    "extensions/examples/*.json",
    "extensions/satimnet/extension/schema.json",
    "training/satimnet/training/fusion/recipes/*.toml",
)
_LINK = re.compile(r"(\]\(|\]: )(?!\w+:|#|/)([^)\s#]+)")  # relative, up to the fragment


def write_pages(folder: Path) -> None:
    """Writes all pages of the site, and the files that they show or link to, as Markdown."""
    shutil.rmtree(folder, ignore_errors=True)
    docs = _ROOT / "docs"
    sources = {path.relative_to(docs).as_posix(): path for path in sorted(docs.rglob("*.*"))}
    sources |= {page: _ROOT / source for page, source in _PAGES.items()}
    for pattern in _FILES:
        sources |= {path.relative_to(_ROOT).as_posix(): path for path in _ROOT.glob(pattern)}
    for name, source in sources.items():
        target = folder / name
        if source.suffix in (".py", ".pyc") or "." in source.parent.name:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".ipynb":
            write_page(source, target)
            shutil.copyfile(source, target)  # the page has a link to it
            name, target = _as_page(name), target.with_suffix(".md")
        else:
            shutil.copyfile(source, target)
        if target.suffix == ".md":
            target.write_text(_turned(target.read_text(), name))


def _turned(markdown: str, name: str) -> str:
    """The text of a page, its relative links leading to where their targets are in the site."""
    here = posixpath.dirname(_PAGES.get(name, f"docs/{name}"))
    places = {source: page for page, source in _PAGES.items()}

    def turned(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(here, match[2]))
        place = places.get(target) or _as_page(target.removeprefix("docs/"))
        return match[1] + posixpath.relpath(place, posixpath.dirname(name) or ".")

    return _LINK.sub(turned, markdown)


def _as_page(name: str) -> str:
    """The page of a notebook; other names as they are."""
    return f"{name.removesuffix('.ipynb')}.md" if name.endswith(".ipynb") else name


def write_settings(folder: Path) -> Path:
    """Writes the settings of ``mkdocs.yml`` for a site in the folder; returns their path."""
    settings = yaml.safe_load((_ROOT / "mkdocs.yml").read_text())
    settings |= {"docs_dir": "pages", "site_dir": "site"}
    python = next(p["mkdocstrings"] for p in settings["plugins"] if "mkdocstrings" in p)
    handler = python["handlers"]["python"]
    handler["paths"] = [str(_ROOT / path) for path in handler["paths"]]
    options = handler["options"]
    options["extensions"] = [str(_ROOT / path) for path in options["extensions"]]
    path = folder / "mkdocs.yml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    return path


def main() -> None:
    """Build the site."""
    parser = argparse.ArgumentParser("python docs/build_site.py", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=_ROOT / "build")
    folder = parser.parse_args().folder.resolve()
    write_pages(folder / "pages")
    settings = write_settings(folder)
    shutil.rmtree(folder / "site", ignore_errors=True)
    build = ["zensical", "build", "--strict", "--config-file", str(settings)]
    command = [sys.executable, "-m", *build]
    sys.exit(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    main()
