"""What quality control found is shown by the explorer: files, facet, and samples side by side."""

import json
import shutil

import pytest
from click.testing import CliRunner
from explorer_tab import Page
from published import home_of
from stactools.cli.cli import cli

from satimnet.builder import search
from satimnet.builder.errors import BadCatalogError, NotFoundError
from satimnet.builder.explorer import report_findings
from satimnet.builder.explorer.preview_shards import draw_previews
from satimnet.builder.explorer.report_findings import show_findings

PAIR = ["River_1", "River_2"]


@pytest.fixture(scope="module")
def reported(shown, tmp_path_factory):
    """The catalog, and a report that names a pair of one collection, and one across two."""
    folder = tmp_path_factory.mktemp("reported")
    catalog = shutil.copytree(shown, folder / "catalog")
    write_report(
        folder / "quality",
        [
            ("near-duplicate", [("eurosat", one) for one in PAIR]),
            ("overlap", [("eurosat", "River_1"), ("uc-merced", "river00")]),
            ("overlap", [("eurosat", "no such Item")]),
        ],
    )
    return catalog, folder / "quality"


def write_report(folder, findings):
    folder.mkdir()
    names = sorted({check for check, _ in findings})
    checks = [{"name": name, "title": f"Found: {name}", "severity": "info"} for name in names]
    (folder / "report.json").write_text(json.dumps({"checks": checks}))
    lines = [
        {
            "check": check,
            "message": f"<b>{check}</b> of {len(items)}",
            "items": [{"collection": one, "id": id_, "split": None} for one, id_ in items],
        }
        for check, items in findings
    ]
    (folder / "findings.ndjson").write_text("".join(json.dumps(one) + "\n" for one in lines))


def header_of(catalog, collection):
    return json.loads((home_of(catalog, collection) / "explorer.json").read_bytes())


def findings_of(catalog, collection):
    return json.loads((home_of(catalog, collection) / "findings.json").read_bytes())


def rows_of(catalog, collection):
    return [item["id"] for item in search(catalog, collections=[collection])]


def test_findings_name_the_rows_of_their_items(reported):
    catalog, report = reported
    told = {one.collection: one for one in show_findings(catalog, report)}
    assert (told["eurosat"].findings, told["eurosat"].items, told["eurosat"].unknown) == (2, 2, 1)
    assert (told["uc-merced"].findings, told["uc-merced"].items) == (1, 1)
    assert told["dota"].findings == 0
    content = findings_of(catalog, "eurosat")
    rows = {name: rows_of(catalog, name) for name in ("eurosat", "uc-merced")}
    named = [
        (content["checks"][check]["name"], [(name, rows[name][row]) for name, row in items])
        for check, _, items in content["findings"]
    ]
    assert named == [
        ("near-duplicate", [("eurosat", one) for one in PAIR]),
        ("overlap", [("eurosat", "River_1"), ("uc-merced", "river00")]),
    ]
    assert header_of(catalog, "eurosat")["findings"] == {"href": "./findings.json", "items": 2}
    assert "findings" not in header_of(catalog, "dota")


def test_previews_drawn_afterwards_leave_findings_where_they_are(reported):
    catalog, report = reported
    show_findings(catalog, report)
    shutil.rmtree(home_of(catalog, "inria") / "previews")
    draw_previews(catalog, collections=["eurosat", "inria"])
    assert header_of(catalog, "eurosat")["findings"]["items"] == 2


def test_a_later_report_replaces_an_earlier_one(reported, tmp_path):
    catalog, report = reported
    show_findings(catalog, report)
    write_report(tmp_path / "clean", [])
    assert all(one.findings == 0 for one in show_findings(catalog, tmp_path / "clean"))
    assert "findings" not in header_of(catalog, "eurosat")


def test_what_is_beyond_the_most_is_counted(reported, monkeypatch):
    catalog, report = reported
    monkeypatch.setattr(report_findings, "_MOST_FINDINGS", 1)
    (told,) = show_findings(catalog, report, collections=["eurosat"])
    assert (told.findings, told.left_out) == (1, 1)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("report.json", "{"),
        ("report.json", '{"checks": [{"name": "x"}]}'),
        ("findings.ndjson", '{"check": "overlap"}\n'),
        ("findings.ndjson", "[" * 10_000),
    ],
)
def test_what_is_no_report_is_refused(reported, tmp_path, name, text):
    catalog, report = reported
    spoilt = shutil.copytree(report, tmp_path / "report")
    (spoilt / name).write_text(text)
    with pytest.raises(BadCatalogError, match=name):
        show_findings(catalog, spoilt)


def test_a_report_that_is_not_there_says_how_to_write_one(reported, tmp_path):
    with pytest.raises(NotFoundError, match="satimnet quality --out"):
        show_findings(reported[0], tmp_path)


def test_the_command_tells_how_many(reported):
    catalog, report = reported
    words = ["satimnet", "explorer", str(catalog), "--report", str(report), "-q"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert "eurosat: 2 findings of 2 items, 1 about items that" in done.output


def test_near_duplicates_are_shown_side_by_side(driver, reported, serve):
    catalog, report = reported
    show_findings(catalog, report)
    with serve(catalog) as url:
        page = Page(driver, f"{url}/explore/index.html")
        page.size(1400, 900)
        page.open("#finding=near-duplicate")
        page.counts(2)
        assert page.command().endswith("# and, in the quality report: near-duplicate")
        page.open("#item=eurosat/River_1")
        page.find(".finding")
        told = [one.text for one in driver.find_elements("css selector", ".finding p")]
        assert told[:2] == [
            "Found: near-duplicate <b>near-duplicate</b> of 2",
            "Found: overlap <b>overlap</b> of 2",
        ]
        page.wait(lambda: page.pixels(".beside a:nth-child(2) canvas").std() > 1, "no picture")
        beside = driver.find_elements("css selector", ".finding:first-of-type .beside a")
        assert [one.text for one in beside] == ["this one", "River_2"]
        page.keep("explorer-side-by-side")
        beside[1].click()
        page.wait(lambda: page.find("dialog h2").text == "River_2", "the other one is not opened")
        page.sample()
        page.done()
