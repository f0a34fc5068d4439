"""The tutorials: they run, and what readers see of them is what they do."""

import base64
import re
import runpy
import shutil
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs the extra docs")
pytest.importorskip("nbclient", reason="needs the extra docs")
pytest.importorskip("ipykernel", reason="needs the extra docs")

DOCS = Path(__file__).parents[2] / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
LARGEST = 150_000  # bytes of a picture

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def folder(demo, tmp_path_factory):
    """Where all of them run, as they do for a reader who has the demo: else the first makes it."""
    folder = tmp_path_factory.mktemp("notebooks")
    shutil.copytree(demo, folder / "demo")
    return folder


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds_of(cell):
    """What a cell shows: the kinds of its outputs, in order."""
    return [
        output.get("name") or ", ".join(sorted(output.get("data", {}))) for output in cell.outputs
    ]


def test_all_tutorials_are_there():
    names = {path.stem for path in NOTEBOOKS}
    assert names == {
        *("querying", "metalayer", "fusion", "chips", "training", "mapping", "publishing")
    }


@pytest.mark.slow
@every_notebook
def test_runs_and_shows_what_was_kept(path, folder):
    executed = runpy.run_path(str(DOCS / "run_notebooks.py"))["executed"]
    now = executed(path, folder)  # its error has the cell that failed
    kept = nbformat.read(path, as_version=4)
    for cell, earlier in zip(code_of(now), code_of(kept), strict=True):
        assert kinds_of(cell) == kinds_of(earlier), cell.source


@every_notebook
def test_outputs_are_kept_and_tell_nothing_of_the_machine(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = code_of(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert all(cell.metadata == {} for cell in notebook.cells)  # no times, no marks of editors
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    data = [output.data for output in outputs if "data" in output]
    pictures = [
        base64.b64decode(content)
        for one in data
        for kind, content in one.items()
        if kind in ("image/png", "image/jpeg")
    ]
    assert pictures
    assert max(map(len, pictures)) < LARGEST
    texts = [output.text for output in outputs if "text" in output]
    texts += [
        str(content)
        for one in data
        for kind, content in one.items()
        if not kind.startswith("image/")
    ]
    for text in texts:
        assert "\x1b[2K" not in text  # a progress bar that was wiped away
        assert not re.search(
            r"/(tmp|root|home|Users|var|usr|work)/|site-packages|0x[0-9a-f]{8}", text
        )


@every_notebook
def test_begins_with_what_one_learns(path):
    first = nbformat.read(path, as_version=4).cells[0]
    assert first.cell_type == "markdown"
    title, _, paragraph = first.source.partition("\n\n")
    assert title.startswith("# ")
    assert paragraph.startswith("You learn ")
