"""Tables of figures say when, with which code and of what they were measured, and are not stale.

Above each table stands a comment, such as ``<!-- measures: stac_builder/satimnet/cli -->``: the
files, or folders of files, whose speed or result it shows. Its revision is the one named in the
table, or else the last one named above it in the section. Figures are stale when a later commit
changed the code of those files. Comments, docstrings and imports are no code. A commit is left out
if a line of its message begins with ``Figures: unchanged``; that is for whoever has seen that speed
and results stay.
"""

import ast
import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "benchmarks/README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Tables of numbers that nobody measured: what a network is made of, and limits that are set.
GIVEN = {"Training the three networks", "Limits"}
REVISION = re.compile(r"revision\s+([0-9a-f]{7,40})\b", re.IGNORECASE)
DATE = re.compile(r"\b20\d\d-\d\d-\d\d\b")
FIGURE = re.compile(r"^\W*\d[\d.,]*( ?%|(\W.*)?)$")
TABLE = re.compile(
    r"^(?:<!-- measures: ([^>]+) -->\s+)?^\|.*\n\|[-:| ]+\|\n((?:\|.*\n?)+)", re.MULTILINE
)
UNCHANGED = "^Figures: unchanged"


@dataclass(frozen=True)
class Table:
    page: str
    title: str
    section: str
    above: str
    text: str
    paths: tuple[str, ...]

    @property
    def rows(self):
        return [
            [cell.strip() for cell in row.strip("|\n").split("|")] for row in self.text.splitlines()
        ]

    @property
    def has_figures(self):
        """Whether a column, other than the first, is of numbers in most rows."""
        columns = list(zip(*self.rows))[1:]
        return any(sum(bool(FIGURE.match(cell)) for cell in c) * 2 >= len(c) for c in columns)

    @property
    def revisions(self):
        return set(REVISION.findall(self.text)) or set(REVISION.findall(self.above)[-1:])

    def __str__(self):
        return f"{self.page}, {self.title}: {self.rows[0][0]}"


def tables(page):
    for section in re.split(r"^(?=##+ )|^(?=# )", page.read_text(), flags=re.MULTILINE):
        title = section.partition("\n")[0].lstrip("# ").strip()
        for found in TABLE.finditer(section):
            paths = tuple((found[1] or "").split())
            above = section[: found.start()]
            yield Table(str(page.relative_to(ROOT)), title, section, above, found[2], paths)


MEASURED = [
    pytest.param(table, id=str(table))
    for page in PAGES
    for table in tables(page)
    if table.has_figures and table.title not in GIVEN
]


def git(*arguments):
    return subprocess.run(
        ["git", "-C", str(ROOT), *arguments], check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture(scope="module")
def history():
    if not (ROOT / ".git").exists() or "true" in git("rev-parse", "--is-shallow-repository"):
        pytest.skip("needs the whole history of the repository")


def newer(revision, paths):
    """The last commit after the revision that changed the code of the paths, in words."""
    after = ("log", "--no-merges", "--format=%h", "--invert-grep", f"--grep={UNCHANGED}")
    for commit in git(*after, f"{revision}..HEAD", "--", *paths).split():
        changed = git("diff-tree", "-r", "--no-commit-id", "--name-only", commit, "--", *paths)
        for path in changed.splitlines():
            if code_of(f"{commit}^:{path}") != code_of(f"{commit}:{path}"):
                return f"{git('log', '-1', '--format=%h of %cs (%s)', commit).strip()}, {path}"
    return None


@cache
def code_of(blob):
    """What a file of a commit does: comments, docstrings and imports do nothing by themselves."""
    shown = subprocess.run(["git", "-C", str(ROOT), "show", blob], check=False, capture_output=True)
    if shown.returncode:
        return None
    return without_words(shown.stdout.decode()) if blob.endswith(".py") else shown.stdout


def without_words(code):
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(getattr(node, "body", None), list):
            node.body = [one for one in node.body if not is_word_or_import(one)]
    return ast.dump(tree)


def is_word_or_import(statement):
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return True
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def test_there_are_figures():
    assert len(MEASURED) >= 8


@pytest.mark.parametrize("table", MEASURED)
def test_a_table_of_figures_names_day_and_revision(table):
    assert DATE.search(table.section)
    assert table.revisions


@pytest.mark.parametrize("table", MEASURED)
def test_a_table_of_figures_says_what_it_measures(table):
    assert table.paths, "put <!-- measures: paths --> above it"
    assert [path for path in table.paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("table", MEASURED)
def test_figures_are_not_older_than_what_they_measure(table, history):
    for revision in sorted(table.revisions):
        commit = newer(revision, table.paths)
        if commit is not None:
            pytest.fail(f"{table}: measured at {revision}, changed by {commit}", pytrace=False)


def test_words_make_no_figure_stale():
    code = 'def f(x):\n    """Adds."""\n    return x + 1\n'
    reworded = 'import a\ndef f(x):\n    """Adds one."""\n    # to x\n    return x + 1\n'
    assert without_words(code) == without_words(reworded)
    assert without_words(code) != without_words(code.replace("1", "2"))


def test_revisions_are_of_this_repository(history):
    named = {r for page in PAGES for r in REVISION.findall(page.read_text())}
    assert named
    for revision in named:
        # A commit of a branch that was never merged is known here, and to nobody else.
        command = ["git", "-C", str(ROOT), "merge-base", "--is-ancestor", revision, "HEAD"]
        assert subprocess.run(command, check=False).returncode == 0, revision
