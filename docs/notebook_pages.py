"""Notebooks as pages of the site: Markdown, with pictures as files beside it."""

from __future__ import annotations

import base64
import html
import re
from pathlib import Path

import nbformat

_PICTURES = {"image/png": "png", "image/jpeg": "jpg"}
_STYLE = re.compile(r"<style.*?</style>\s*", re.DOTALL)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def write_page(notebook: Path, page: Path) -> None:
    """Writes the page of a notebook.

    Args:
        notebook: the ``.ipynb``, with its outputs.
        page: where the page goes, with ``.md`` in place of its suffix; pictures go into a folder
            of its name.
    """
    parts = []
    pictures = page.with_suffix("")
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        elif cell.cell_type == "code":
            parts.append(_fenced(cell.source, "python"))
            for output in cell.outputs:
                parts.append(_shown(output, pictures))
    parts.insert(1, f"[Download this notebook]({notebook.name}){{: download }}")
    page.with_suffix(".md").write_text("\n\n".join(filter(None, parts)) + "\n")


def _shown(output: nbformat.NotebookNode, pictures: Path) -> str:
    """An output of a cell: a picture, a table or text."""
    data = output.get("data", {})
    for kind, suffix in _PICTURES.items():
        if kind in data:
            pictures.mkdir(exist_ok=True)
            name = f"{len(list(pictures.iterdir())) + 1}.{suffix}"
            (pictures / name).write_bytes(base64.b64decode(data[kind]))
            return f"![What this code draws]({pictures.name}/{name})"
    if "text/html" in data:
        shown = _STYLE.sub("", data["text/html"])
        lines = (line for line in shown.splitlines() if line.strip())  # an empty one ends a block
        return '<div class="output">\n' + "\n".join(lines) + "\n</div>"
    text = _COLOUR.sub("", output.get("text") or data.get("text/plain", ""))
    text = "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")
    return f'<pre class="output">{html.escape(text)}</pre>' if text else ""


def _fenced(source: str, language: str) -> str:
    """A block of code, between fences that it does not have."""
    fence = "```"
    while fence in source:
        fence += "`"
    return f"{fence}{language}\n{source}\n{fence}"
