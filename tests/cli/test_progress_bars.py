"""What long work says of its progress, and how the command draws it."""

import io
import os
import pty
import re
import subprocess
import sys
import time

import pytest
from rich.console import Console

from satimnet.builder.catalog.validation import validate
from satimnet.builder.exports import export
from satimnet.builder.pipeline import build
from satimnet.builder.quality import assess
from satimnet.builder.query.index import Index
from satimnet.builder.query.search import search
from satimnet.builder.transfer import mirror, subset
from satimnet.cli.progress_bars import _Bars, progress_bar
from satimnet.cli.progress_lines import ProgressLines


class Seen(list):
    def __call__(self, what: str, done: int, total: int | None, unit: str) -> None:
        assert done >= 0
        assert total is None or done <= total
        assert unit == "bytes" or unit.endswith("s")
        self.append((what, done, total, unit))


def test_each_line_of_work_ends_at_its_true_total(miniature, catalog, tmp_path):
    seen = Seen()
    build([miniature], tmp_path / "catalog", scheduler="threads", progress=seen)
    validate(catalog, progress=seen)
    assess(catalog, tmp_path / "report", progress=seen)
    for form in ("croissant", "trainingdml"):
        export(Index(catalog), form, tmp_path, progress=seen)
    mirror.copy_catalog(catalog, tmp_path / "copy", progress=seen)
    subset.copy_found(search(catalog, limit=3), tmp_path / "subset", progress=seen)
    last = {what: (done, total, unit) for what, done, total, unit in seen}
    assert last["Scanning eurosat"] == (40, 40, "samples")
    assert last["Describing eurosat"] == (1, 1, "steps")
    assert last["Validating items"][1:] == (last["Validating items"][0], "items")
    assert last["Writing eurosat"] == (3, 3, "items")
    assert len(last) == 12
    for what, (done, total, _) in last.items():
        assert done == total, what
        ends = [entry for entry in seen if entry[0] == what and entry[1] == entry[2]]
        assert len(ends) == 1, what


def drawn(*calls: tuple[str, int, int | None, str]) -> str:
    """The last picture of a wide terminal after the calls."""
    screen = io.StringIO()
    bars = _Bars(Console(file=screen, force_terminal=True, width=120))
    for call in calls:
        bars.show(*call)
    assert bars._drawn is not None
    bars._drawn.refresh()
    quiet = Console(file=io.StringIO(), width=120)
    quiet.print(bars._drawn.get_renderable())
    bars.end()
    return quiet.file.getvalue()


def test_bars_have_amounts_with_units():
    picture = drawn(
        ("Scanning dota", 22_000, None, "samples"),
        ("Packing dota", 3, 12, "shards"),
        ("DOTA.zip", 1_500_000, 20_000_000, "bytes"),
        ("Publishing", 0, 1, "steps"),
    )
    lines = picture.splitlines()
    assert [line.split(" ")[0] for line in lines] == [
        "Scanning",
        "Packing",
        "DOTA.zip",
        "Publishing",
    ]
    assert "22,000 samples" in lines[0]
    assert "3/12 shards" in lines[1]
    assert "1.5/20.0 MB" in lines[2]
    assert "/1" not in lines[3]


def test_lines_that_ended_make_room():
    picture = drawn(
        ("Scanning dota", 5, None, "samples"),
        ("Scanning dota", 5, 5, "samples"),
        ("Packing dota", 1, 2, "shards"),
    )
    assert "Scanning" not in picture


def test_a_line_may_begin_again():
    picture = drawn(("a.zip", 5_000_000, 5_000_000, "bytes"), ("a.zip", 0, 5_000_000, "bytes"))
    assert "0.0/5.0 MB" in picture


def test_where_no_terminal_is_short_work_leaves_no_line(capsys):
    with progress_bar(False) as progress:
        progress("Packing", 1, 2, "shards")
    assert capsys.readouterr() == ("", "")


def test_where_no_terminal_is_long_work_is_told_of_now_and_then():
    stream = io.StringIO()
    lines = ProgressLines(stream)
    now = time.monotonic()

    def told(after: float) -> list[str]:
        begin = stream.tell()
        lines.tell(now + after)
        return [re.sub(r"\d:\d\d:\d\d", "TIME", x) for x in stream.getvalue()[begin:].splitlines()]

    lines.show("Building STAC Browser", 0, 1, "steps")
    lines.show("Packing\x1b", 0, 12, "shards")
    assert told(0) == []
    assert told(60) == ["Building STAC Browser: TIME", "Packing\\x1b: 0/12 shards, TIME"]
    assert told(61) == []
    lines.show("Packing\x1b", 3, 12, "shards")
    lines.show("Building STAC Browser", 1, 1, "steps")
    assert told(62) == ["Building STAC Browser: TIME, done"]
    assert told(300) == ["Packing\\x1b: 3/12 shards, TIME"]
    lines.show("Packing\x1b", 12, 12, "shards")
    lines.end()
    assert stream.getvalue().splitlines()[-1].startswith("Packing\\x1b: 12/12 shards, ")
    assert stream.getvalue().count("\n") == 5


@pytest.mark.parametrize("terminal", [True, False])
def test_no_empty_line_stands_before_an_error(tmp_path, terminal):
    master, slave = pty.openpty()
    script = "from stactools.cli.cli import run_cli; run_cli()"
    command = (sys.executable, "-c", script, "satimnet", "build", "nowhere", "--out", "x")
    stream = slave if terminal else subprocess.PIPE
    done = subprocess.run(command, cwd=tmp_path, stdin=slave, stdout=slave, stderr=stream)
    os.close(slave)
    text = os.read(master, 10_000).decode() if terminal else done.stderr.decode()
    os.close(master)
    assert done.returncode == 1
    if terminal:  # the last bar is wiped out
        text = text.rpartition("\x1b[1A\x1b[2K")[2]
    assert text.startswith("Error: nowhere: no such file or folder")
