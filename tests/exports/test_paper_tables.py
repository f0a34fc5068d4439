"""The paper's tables: what Collections say of themselves, against what the paper prints."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from printed_tables import COLUMNS, FOOTNOTES, PAPER

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.catalog.collections import collection_of
from satimnet.builder.datasets import installed
from satimnet.builder.errors import SatimnetError
from satimnet.builder.exports.paper_tables import (
    AttributeTable,
    Cell,
    as_json,
    as_markdown,
    tables,
)
from satimnet.builder.query.index import Index
from satimnet.cli.attribute_lines import print_attributes

ROOT = Path(__file__).parents[2]
REASONS = ROOT / "docs" / "paper-tables.md"
FROM_IMAGES = {  # which the miniatures of the demo have smaller
    ("Image dimensions (rows × cols)", "dota"),  # noqa: RUF001
    ("Image dimensions (rows × cols)", "xview"),  # noqa: RUF001
    ("Image dimensions (rows × cols)", "inria"),  # noqa: RUF001
    ("Spatial resolution", "dota"),
}


def record(name: str) -> dict[str, Any]:
    datasets = installed()
    if name not in datasets:
        pytest.skip(f"needs the dataset {name}")
    return dict(datasets[name].record)


def tables_of(*collections: dict[str, Any]) -> list[AttributeTable]:
    return tables([CollectionDocument.of(LEAST | collection, "x") for collection in collections])


def cells_of(collection: dict[str, Any]) -> dict[str, Cell]:
    return {row.attribute: row.cells[0] for table in tables_of(collection) for row in table.rows}


LEAST = {
    "type": "Collection",
    "stac_version": "1.1.0",
    "description": "",
    "license": "other",
    "links": [],
    "extent": {
        "spatial": {"bbox": [[-180, -90, 180, 90]]},
        "temporal": {"interval": [[None, None]]},
    },
}
"""What STAC asks of every Collection, but for the id: attributes of the paper are none of it."""


@pytest.fixture
def eurosat() -> dict[str, Any]:
    collection: dict[str, Any] = json.loads(json.dumps(collection_of(record("eurosat"))))
    return collection


# --- against the paper


def test_rows_are_those_of_the_paper(eurosat):
    made = tables_of(eurosat)
    assert [table.title for table in made] == [
        "Attributes related to the scope of the training data",
        "Attributes related to the usage and sustainability of the training data",
        "Intrinsic image attributes",
        "Additional informative features",
    ]
    assert [[row.attribute for row in table.rows] for table in made] == [
        [
            "Classification problem",
            "Intended application",
            "Definition of classes",
            "Conversion of class representation",
            "Way of annotation",
            "Way of verification",
            "Licence",
            "URL",
        ],
        [
            "Geographic coverage",
            "Timestamp",
            "Data volume",
            "Pre-processing",
            "Number of classes",
            "Name of classes",
            "Naming convention",
            "Quality of documentation",
            "Continuous development",
        ],
        [
            "Spatial resolution",
            "Spectral resolution",
            "Type of original imagery",
            "Orientation",
            "File format",
            "Image dimensions (rows × cols)",  # noqa: RUF001
            "Number of bands",
            "Name of bands",
            "Data type per band",
            "No data value",
            "Metadata",
        ],
        ["Usage in other research", "Number of citations", "Impact", "Release date"],
    ]
    assert {row.attribute for table in made[:3] for row in table.rows} == set(PAPER)
    assert sum(len(cells) for cells in PAPER.values()) == 196


def reasons() -> dict[tuple[str, str], tuple[str, str]]:
    """What the documentation lists: of a cell, what the paper has and what stands here."""
    rows = re.findall(
        r"^\| ([^|]+) \| `([a-z0-9-]+)` \| (.+?) \| (.+?) \| (.+?) \|$", REASONS.read_text(), re.M
    )
    found = {(attribute, name): (paper, here) for attribute, name, paper, here, _ in rows}
    assert len(found) == len(rows)
    assert all(why.strip() for *_, why in rows)
    return found


def shown(text: str) -> str:
    """A cell as the list of reasons has it."""
    return text if len(text) <= 90 else f"{text[:88].rstrip()} …"


@pytest.mark.parametrize("name", COLUMNS)
def test_every_cell_is_that_of_the_paper_or_has_a_reason_in_the_documentation(name):
    cells = cells_of(collection_of(record(name)))
    different = {
        attribute: (shown(values[COLUMNS.index(name)]), shown(cells[attribute].text))
        for attribute, values in PAPER.items()
        if cells[attribute].text != values[COLUMNS.index(name)]
    }
    assert different == {
        attribute: texts for (attribute, dataset), texts in reasons().items() if dataset == name
    }


@pytest.mark.parametrize("name", COLUMNS)
def test_footnotes_of_the_paper_are_kept(name):
    cells = cells_of(collection_of(record(name)))
    kept = {attribute: note for (attribute, dataset), note in FOOTNOTES.items() if dataset == name}
    assert {attribute: cells[attribute].note for attribute in kept} == kept


@pytest.mark.parametrize("name", COLUMNS)
def test_what_the_paper_does_not_have_is_not_without_a_source(name):
    """A value where it has none, and a note that is no footnote of it."""
    cells = cells_of(collection_of(record(name)))
    for attribute, values in PAPER.items():
        cell, printed = cells[attribute], values[COLUMNS.index(name)]
        added = cell.note not in ("", FOOTNOTES.get((attribute, name)), printed)
        if added or (printed == "-" and cell.text != "-"):
            assert cell.sources, attribute
    for attribute in ("Usage in other research", "Impact", "Release date"):
        assert cells[attribute].sources or cells[attribute].text == "-", attribute


@pytest.mark.parametrize("name", COLUMNS)
def test_every_dataset_says_who_used_it_and_what_it_brought_about(name):
    cells = cells_of(collection_of(record(name)))
    assert "https://doi.org/10.3390/rs12203358" in cells["Usage in other research"].text
    assert cells["Impact"].text != "-"
    assert cells["Number of citations"].text == "-"  # nobody was found who counts and says when


def test_the_command_prints_the_cells_of_the_paper(demo):
    from satimnet.cli.group import satimnet

    done = CliRunner().invoke(
        satimnet, ["info", str(demo / "catalog"), "--attributes", "--format", "json"]
    )
    assert done.exit_code == 0, done.output
    printed = {
        attribute: cells
        for table in json.loads(done.output)
        for attribute, cells in table["attributes"].items()
    }
    index = Index(str(demo / "catalog"))
    for attribute, values in PAPER.items():
        for name, paper in zip(COLUMNS, values, strict=True):
            title = index.collections[name].document.title
            cell = printed[attribute][title]
            value = cell["value"] or "-"
            if (attribute, name) in FROM_IMAGES:  # the paper's words are a note of the miniature's
                value = cell["note"]
            expected = reasons().get((attribute, name), (paper, shown(paper)))[1]
            assert shown(value) == expected, (attribute, name)


@pytest.mark.parametrize("name", [name for name in COLUMNS if name != "bigearthnet"])
def test_all_classes_of_the_paper_are_there(name):
    printed = PAPER["Name of classes"][COLUMNS.index(name)].replace("(and one additional: ", ", ")
    expected = re.split(r"[,;]\s+" if "," in printed or ";" in printed else "/", printed.strip(")"))
    ours = cells_of(collection_of(record(name)))["Name of classes"].text
    names = {plain(one) for one in re.split(r", " if "," in ours else "/", ours)}
    assert {plain(one) for one in expected} - names == set()
    assert "background" not in names


def plain(name: str) -> str:
    """The name of a class without its value, without what is a matter of spelling."""
    name = re.sub(r"^\d+:", "", name.strip()).lower().replace("-", " ")
    return name.replace("fylon", "pylon")  # a misprint


def test_places_are_notes_as_in_the_paper(eurosat):
    places = "EU countries except Croatia plus Belarus, Iceland, Ireland, Holy See, North"
    assert cells_of(eurosat)["Geographic coverage"].note.startswith(places)


def test_sources_of_eurosat(eurosat):
    cells = cells_of(eurosat)
    assert {name for name, cell in cells.items() if cell.sources} == {
        "Licence",
        "Timestamp",
        "Pre-processing",
        "Naming convention",
        "Spectral resolution",
        "Name of bands",
        "Usage in other research",
        "Impact",
        "Release date",
    }
    assert cells["Licence"].sources == ("https://github.com/phelber/EuroSAT/blob/HEAD/LICENSE",)


# --- single values


def with_band(collection: dict[str, Any], **changes: Any) -> dict[str, Any]:
    image = {"bands": [{"name": "x"}], "roles": ["data"], **changes}
    return collection | {"item_assets": {"image": image}}


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (999_600, "1 MB"),
        (123_000_000, "123 MB"),
        (2_880_000_000, "2.88 GB"),
        (1_500_000_000_000, "1.5 TB"),
        (10**20, "1e+05 PB"),
    ],
)
def test_data_volume(size, text, eurosat):
    assert cells_of(eurosat | {"satimnet:data_volume": size})["Data volume"].text == text


@pytest.mark.parametrize(
    ("summary", "text"),
    [
        ([0.3], "0.3 m"),
        ([60, 10], "10 m; 60 m"),
        ({"minimum": 0.1, "maximum": 4.5}, "variable, 0.1 m to 4.5 m"),
        ([0.1, 0.2, 0.3, 0.4, 4.5], "variable, 0.1 m to 4.5 m"),
        ([], "-"),
    ],
)
def test_spatial_resolution_of_items(summary, text, eurosat):
    collection = with_band(eurosat) | {"summaries": {"gsd": summary}}
    assert cells_of(collection)["Spatial resolution"].text == text


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        ([[5000, 5000]], "5000 × 5000"),  # noqa: RUF001
        ([[900, 800], [4000, 4000], [800, 800]], "from 800 × 800 to 4000 × 4000"),  # noqa: RUF001
        ([], "-"),
    ],
)
def test_dimensions_of_items(shapes, text, eurosat):
    collection = with_band(eurosat) | {"summaries": {"proj:shape": shapes}}
    cells = cells_of(collection)
    assert cells["Image dimensions (rows × cols)"].text == text  # noqa: RUF001


@pytest.mark.parametrize(
    ("media_type", "text"),
    [
        ("image/png", "png"),
        ("image/jpeg", "jpg"),
        ("image/tiff", "TIFF"),
        ("image/tiff; application=geotiff", "GeoTIFF"),
        ("image/tiff; application=geotiff; profile=cloud-optimized", "GeoTIFF (COG)"),
        ("application/x-hdf5", "application/x-hdf5"),
        ("application/zip", "-"),
    ],
)
def test_file_format(media_type, text, eurosat):
    collection = with_band(eurosat, type="application/zip", **{"satimnet:member_type": media_type})
    assert cells_of(collection)["File format"].text == text
    assert cells_of(with_band(eurosat, type=media_type))["File format"].text == text


@pytest.mark.parametrize(
    ("data_type", "text"),
    [
        ("uint8", "8-bits"),
        ("uint16", "16-bits"),
        ("int16", "16-bits signed"),
        ("float32", "32-bits float"),
        ("cfloat64", "64-bits cfloat"),
        ("other", "other"),
    ],
)
def test_data_type(data_type, text, eurosat):
    assert cells_of(with_band(eurosat, data_type=data_type))["Data type per band"].text == text


@pytest.mark.parametrize(("nodata", "text"), [(0, "0"), (-9999.0, "-9999"), ("nan", "nan")])
def test_nodata(nodata, text, eurosat):
    assert cells_of(with_band(eurosat, nodata=nodata))["No data value"].text == text


def test_background_and_masks_do_not_count(eurosat):
    rows = [{"value": 0, "name": "background"}, {"value": 1, "name": "plane", "title": "Plane"}]
    collection = with_band(eurosat) | {"summaries": {"classification:classes": rows}}
    collection["item_assets"]["mask"] = {"bands": [{"name": "class"}], "roles": ["mask"]}
    cells = cells_of(collection)
    assert cells["Number of classes"].text == "1"
    assert cells["Name of classes"].text == "Plane"
    assert cells["Number of bands"].text == "1"


def test_temporal_resolution_has_a_row_where_it_is_known(eurosat):
    assert "Temporal resolution" not in cells_of(eurosat)
    cells = cells_of(eurosat | {"satimnet:temporal_resolution": "P5D"})
    assert cells["Temporal resolution"].text == "P5D"


def test_a_bare_collection_knows_nothing():
    cells = cells_of({"type": "Collection", "id": "x"})
    assert {name for name, cell in cells.items() if cell != Cell("-")} == set()


# --- what is no Collection

JUNK: list[Any] = [None, 3, "x", [], {}, [None], [3], {"x": 3}, ["x"], [[]], [{}], True, [[1, 2]]]


@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_junk_is_an_error_of_one_line_or_a_value(junk, eurosat):
    for key in eurosat:
        read(eurosat | {key: junk})
    for level in ("summaries", "item_assets", "satimnet:attribute_sources"):
        for key in eurosat[level]:
            read(eurosat | {level: eurosat[level] | {key: junk}})
    asset = eurosat["item_assets"]["multispectral"]
    for key in asset:
        read(eurosat | {"item_assets": {"x": asset | {key: junk}}})


def read(collection: dict[str, Any]) -> None:
    try:
        made = tables_of(collection)
    except SatimnetError as error:
        message = str(error)
    else:
        message = "".join(cell.text for table in made for row in table.rows for cell in row.cells)
        as_markdown(made)
        json.dumps(as_json(made))
    assert "\n" not in message


def test_texts_are_on_one_line_and_give_terminals_no_orders(eurosat):
    nasty = "a\x1b[31m|b\n\nc\x9b2J"
    cells = cells_of(eurosat | {"satimnet:intended_application": nasty})
    assert cells["Intended application"].text == "a [31m|b c 2J"


# --- printed


@pytest.fixture
def small() -> list[AttributeTable]:
    document = {
        "id": "x",
        "title": "X [bold]",
        "license": "MIT",
        "satimnet:intended_application": "a|b",
        "satimnet:geographic_coverage": "two places: here, there",
        "satimnet:timestamp": "a long story of when it was " + "very " * 10 + "late",
        "satimnet:attribute_sources": {"license": "https://a", "satimnet:timestamp": "https://b"},
    }
    return tables_of(document, {"id": "y"})


def test_marks_and_notes(small):
    scope, usage, *_ = small
    rows, remarks = scope.printed()
    assert rows[6] == ("Licence", "MIT*", "-")
    assert remarks == ["* X [bold], Licence: https://a"]
    rows, remarks = usage.printed()
    assert rows[:2] == [
        ("Geographic coverage", "two places (1)", "-"),
        ("Timestamp", "(2)*", "-"),
    ]
    assert remarks[0] == "(1) here, there"
    assert remarks[1].startswith("(2) a long story")
    assert remarks[2] == "* X [bold], Timestamp: https://b"


def test_equal_notes_are_written_once(eurosat):
    usage = tables_of(eurosat, eurosat)[1]
    rows, remarks = usage.printed()
    assert rows[0][1:] == 2 * ("cities from 34 European countries (1)",)
    assert len([remark for remark in remarks if remark.startswith("(1)")]) == 1


def test_markdown(small):
    lines = as_markdown(small).splitlines()
    assert lines[:5] == [
        "### Attributes related to the scope of the training data",
        "",
        r"|  | X \[bold\] | y |",
        "| --- | --- | --- |",
        "| Classification problem | - | - |",
    ]
    assert r"| Intended application | a\|b | - |" in lines
    assert r"| Licence | MIT\* | - |" in lines
    assert r"\* X \[bold\], Licence: https://a" in lines


def test_json(small):
    made = as_json(small)
    assert json.loads(json.dumps(made)) == made
    assert made[0]["collections"] == ["X [bold]", "y"]
    assert made[0]["attributes"]["Licence"] == {
        "X [bold]": {"value": "MIT", "sources": ["https://a"]},
        "y": {"value": None},
    }
    assert made[1]["attributes"]["Geographic coverage"]["X [bold]"] == {
        "value": "two places",
        "note": "here, there",
    }


@pytest.mark.parametrize("form", ["table", "markdown", "json"])
def test_print_attributes(form, catalog, capsys):
    print_attributes(Index(catalog), form)
    output = capsys.readouterr().out
    assert "EuroSAT" in output
    assert "land use and land cover classification" in re.sub(r"\s+", " ", output)
    assert "https://github.com/phelber/EuroSAT/issues/12" in output
    if form == "json":
        assert len(json.loads(output)) == 4


def test_markup_in_a_catalog_is_text(small, capsys, tmp_path: Path):
    document = {"id": "x", "title": "[red]X[/]", "satimnet:orientation": "[link=https://a]b"}
    collection = SimpleNamespace(document=CollectionDocument.of(LEAST | document, "x"))
    index = SimpleNamespace(collections={"x": collection})
    print_attributes(index, "table")  # type: ignore[arg-type]
    output = capsys.readouterr().out
    assert "[red]X[/]" in output
    assert "[link=https://a]b" in output
