"""What the benchmarks publish: figures that are kept, and tables that are made of them."""

import json

import pytest
from benchmarks import growth, markdown
from benchmarks.table import Row, json_of, rows_of
from benchmarks.timing import Lap

OURS = [Lap(600, 1.0, 2.0), Lap(300, 1.0, 1.0), Lap(800, 2.0, 2.0)]
THEIRS = [Lap(100, 1.0, 1.0)] * 3
ROWS = [
    Row("batches: images", "a peer", OURS, THEIRS, 3),
    Row("batches: images", "another: cannot be had here", OURS, None, 6),
    Row("by http: images", "a peer", OURS, THEIRS, 5, by_clock=True),
    Row("help: starts", "", [Lap(1, 0.25, 1.0)] * 3, None, least=2.5),
]
PAGE = """# A page

<!-- figures: comparisons reading -->
Typed.

<!-- measures: a b -->
| old |
<!-- end of figures -->
After it.

<!-- figures: comparisons headlines -->
<!-- end of figures -->
"""


@pytest.fixture
def kept(tmp_path, monkeypatch):
    content = json.loads(json.dumps(json_of(ROWS, {"data": "none"})))
    for entry, group in zip(content["rows"], ["reading", "reading", "remote", "starting"]):
        entry["group"] = group
    content |= {"date": "2026-12-01T00:00:00", "revision": "0123abc", "machine": "a machine"}
    monkeypatch.setattr(markdown, "FIGURES", tmp_path)
    (tmp_path / "comparisons.json").write_text(json.dumps(content))
    return content


def test_rows_come_back_from_json(kept):
    assert rows_of(kept) == ROWS


def test_a_page_gets_the_tables_of_its_figures(kept):
    found = markdown.filled(PAGE)
    first, second = found.split("After it.")
    assert "Typed" not in first
    assert "2026-12-01, revision 0123abc, a machine; medians of 3 rounds" in first
    assert [line for line in first.splitlines() if line.startswith(("|", "<!-- m"))] == [
        "<!-- measures: a b -->",
        "| what | peer | peer /s | satimnet /s | ratio | by clock | contract |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
        "| batches: images | a peer | 100 | 400 | 4 (3 to 6) | 3 | ≥ 3 met |",
        "| batches: images | another: cannot be had here |  | 400 |  |  | ≥ 6 not measured |",
    ]
    assert [line for line in second.splitlines() if line.startswith("|")][2:] == [
        "| batches: images | a peer | 4 (3 to 6) | 3 | ≥ 3 met |",
        "| by http: images | a peer | 4 | 3 (3 to 4) | clock ≥ 5 MISSED |",
        "| help: starts |  | 4 /s |  | ≥ 2.5 /s met |",
    ]
    assert markdown.filled(found) == found


def test_what_was_not_measured_stays_as_it_is(kept):
    page = PAGE.replace("comparisons", "growth")
    assert markdown.filled(page) == page


@pytest.mark.parametrize("page", markdown.pages(), ids=lambda page: page.name)
def test_tables_of_the_pages_are_those_of_the_figures(page):
    text = page.read_text()
    assert markdown.filled(text) == text, "run python -m benchmarks.markdown"


def test_growth_is_an_exponent():
    known = {
        "build every 10": {"items": 100, "seconds": 3.0, "files": 7},
        "build every 1": {"items": 1000, "seconds": 30.0, "files": 7},
        "search every 1": {"items": 1000, "warm": 0.1},
    }
    found = growth._lines(known)
    assert found["sizes"] == [100, 1000]
    lines = {line["what"]: line for line in found["lines"]}
    assert lines["seconds"]["exponent"] == pytest.approx(1)
    assert lines["files"]["exponent"] == pytest.approx(0, abs=1e-9)
    assert lines["warm"] == {"what": "warm", "values": [None, 0.1], "exponent": None}


def test_growth_is_shown_by_size(kept):
    found = growth._lines({"a": {"items": 10, "s": 0.5}, "b": {"items": 20_000, "s": 1000.0}})
    _, table = markdown._growth({**kept, **found}, [])
    assert table.splitlines()[0] == "| what | 10 | 20,000 | exponent |"
    assert table.splitlines()[2] == "| s | 0.5 | 1,000 | 1.00 |"


def test_searches_of_a_larger_catalog_are_so_many_times_as_long(kept):
    small = {
        "items": 100,
        "cold_used": 0.5,
        "warm_used": 0.0625,
        "made": 0.02,
        "read": 0.02,
        "peak": 0.4,
    }
    large = {
        "items": 100,
        "cold_used": 0.75,
        "warm_used": 0.125,
        "made": 0.03,
        "read": 0.02,
        "peak": 0.5,
    }
    one = {"items": 1, "cold_used": 0.5, "warm_used": 0.04, "made": 0.01, "read": 0.1, "peak": 0.4}
    content = {
        **kept,
        "versions": {"duckdb": "2.0", "pyarrow": "26"},
        "catalogs": {"1": {"items": 1000}, "10": {"items": 10_000}},
        "questions": {"text": {"1": small, "10": large}, "id": {"1": one, "10": one}},
    }
    said, table = markdown._searches(content, [])
    assert said.endswith("duckdb 2.0, pyarrow 26.")
    head, _, text, id_ = table.splitlines()
    assert head.split(" | ")[1:6] == [
        *(f"{size}: {word}" for size in ("1,000", "10,000") for word in ("first", "then")),
        "times, first",
    ]
    assert text == "| text | 0.5 | 0.0625 | 0.75 | 0.125 | 1.5 | 2 | 0.3 | 0.5 | 0.5 |"
    assert id_ == "| id | 0.5 | 0.04 | 0.5 | 0.04 | 1 | 1 |  |  | 0.4 |"


def test_rows_are_as_many_as_promised_or_not(kept):
    line = {
        "dataset": "eurosat",
        "rows": 27_000,
        "made_per_core_second": 49_000.0,
        "promised": 50_000,
        "written_per_core_second": 200_000.4,
        "bytes_of_row": 149.2,
        "footer": 60_000,
        "core_seconds_to_read": {"1": 0.01, "100": 0.0204},
        "peak": 0.25,
    }
    lines = [line, {**line, "promised": 12_000}]
    _, table = markdown._item_rows({**kept, "versions": {"pyarrow": "26"}, "lines": lines}, [])
    found = [row.split(" | ")[2:4] for row in table.splitlines()[2:]]
    assert found == [["49,000", "≥ 50,000 MISSED"], ["49,000", "≥ 12,000 met"]]
    assert table.splitlines()[2].endswith("| 200,000 | 149 | 0.06 | 10.0 | 20.4 | 0.25 |")
