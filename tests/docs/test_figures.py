"""Every table of figures in README and docs says when and with which code they were measured."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "benchmarks/README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Tables of numbers that nobody measured: what a network is made of, and limits that are set.
GIVEN = {"Training the three networks", "Limits"}
REVISION = re.compile(r"revision\s+([0-9a-f]{7,40})\b")
DATE = re.compile(r"\b20\d\d-\d\d-\d\d\b")
FIGURE = re.compile(r"^\W*\d[\d.,]*( ?%|(\W.*)?)$")


def tables(page):
    """Heading of the section, all of the section's text, and the rows, for each table."""
    for section in re.split(r"^(?=##+ )|^(?=# )", page.read_text(), flags=re.MULTILINE):
        title = section.partition("\n")[0].lstrip("# ").strip()
        for table in re.findall(r"^\|.*\n\|[-:| ]+\|\n((?:\|.*\n?)+)", section, re.MULTILINE):
            rows = [
                [cell.strip() for cell in row.strip("|\n").split("|")] for row in table.splitlines()
            ]
            yield title, section, rows


def has_figures(rows):
    """Whether a column, other than the first, is of numbers in most rows."""
    columns = list(zip(*rows))[1:]
    return any(sum(bool(FIGURE.match(cell)) for cell in c) * 2 >= len(c) for c in columns)


MEASURED = [
    pytest.param(section, id=f"{page.parent.name}-{page.stem}: {title}")
    for page in PAGES
    for title, section, rows in tables(page)
    if has_figures(rows) and title not in GIVEN
]


def test_there_are_figures():
    assert len(MEASURED) >= 8


@pytest.mark.parametrize("section", MEASURED)
def test_a_table_of_figures_names_day_and_revision(section):
    assert DATE.search(section)
    assert REVISION.search(section)


def test_revisions_are_of_this_repository():
    named = {r for page in PAGES for r in REVISION.findall(page.read_text())}
    assert named
    shallow = ["git", "-C", str(ROOT), "rev-parse", "--is-shallow-repository"]
    if not (ROOT / ".git").exists() or "true" in subprocess.check_output(shallow, text=True):
        pytest.skip("needs the whole history of the repository")
    for revision in named:
        # A commit of a branch that was never merged is known here, and to nobody else.
        command = ["git", "-C", str(ROOT), "merge-base", "--is-ancestor", revision, "HEAD"]
        assert subprocess.run(command, check=False).returncode == 0, revision
