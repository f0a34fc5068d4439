"""A hook of MkDocs: pages of the site that lie elsewhere in the repository.

They stay where a reader of the repository looks for them; here they get their place in the site,
with the files that they link to, and their links are turned so that they lead there.
https://www.mkdocs.org/user-guide/configuration/#hooks
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_ROOT = Path(__file__).parents[1]
_PAGES = {
    "index.md": "README.md",
    "benchmarks.md": "benchmarks/README.md",
    "extension.md": "extensions/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}
_FILES = (
    "LICENSE",
    "extensions/CHANGELOG.md",
    "extensions/examples/*.json",
    "extensions/satimnet/extension/schema.json",
    "training/satimnet/training/fusion/recipes/*.toml",
)
_LINK = re.compile(r"(\]\(|\]: )(?!\w+:|#|/)([^)\s#]+)")  # relative, up to the fragment
_HREF = re.compile(r'(<a [^>]*?href=")(?!\w+:|#|/)([^"#]+)')


def on_files(files: Files, config: Any) -> Files:
    """The files of the site, with those from elsewhere."""
    for page, source in _PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(_ROOT / source)))
    for pattern in _FILES:
        for path in sorted(_ROOT.glob(pattern)):
            name = path.relative_to(_ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """The page's text, its relative links leading to where their targets are in the site."""
    here = page.file.src_uri
    source = _PAGES.get(here, f"docs/{here}")

    def turned(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2]))
        place = next((ours for ours, theirs in _PAGES.items() if theirs == target), None)
        place = place or target.removeprefix("docs/")
        return match[1] + posixpath.relpath(place, posixpath.dirname(here) or ".")

    return _LINK.sub(turned, markdown)


def on_page_content(html: str, page: Page, files: Files, **_: Any) -> str:
    """The page of a notebook, whose relative links MkDocs leaves as they are."""
    here = page.file.src_uri
    if not here.endswith(".ipynb"):
        return html

    def turned(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(here), match[2]))
        elsewhere = target.removeprefix("../")
        place = next((ours for ours, theirs in _PAGES.items() if theirs == elsewhere), target)
        file = files.get_file_from_path(place)
        return match[1] + file.url_relative_to(page.file) if file else match[0]

    return _HREF.sub(turned, html)
