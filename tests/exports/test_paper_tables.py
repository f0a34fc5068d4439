"""The paper's tables: what Collections say of themselves, against what the paper prints."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

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

COLUMNS = (
    "dota",
    "xview",
    "airbus-ship",
    "clouds-s2-taiwan",
    "inria",
    "bigearthnet",
    "eurosat",
)
LAND_COVER = "patch-based land cover classification"
DETECTION = "object detection"

# Tables 1 to 3 of https://doi.org/10.3390/rs12203358 as printed, line breaks and references to
# footnotes taken out.
PAPER: dict[str, tuple[str, ...]] = {
    "Classification problem": (
        DETECTION,
        DETECTION,
        DETECTION,
        "pixel-based detection",
        "pixel-based & object detection",
        LAND_COVER,
        LAND_COVER,
    ),
    "Intended application": (
        "object detection in aerial images",
        "enables discovery of more object classes; improves detection of fine-grained classes",
        "locate ships in images",
        "clouds classification",
        "building classification",
        "land cover classification",
        "land use and land cover classification",
    ),
    "Definition of classes": (
        "bounding boxes in txt",
        "bounding boxes in geojson",
        "boxes encoding in csv",
        "GeoTIFF images",
        "GeoTIFF images",
        "tags in json",
        "name of the files: RGB jpg; 13-band GeoTIFF",
    ),
    "Conversion of class representation": (
        "txt to png",
        "geojson to GeoTIFF",
        "csv to png",
        *4 * ("no conversion",),
    ),
    "Way of annotation": (
        "manual; experts",
        "-",
        "-",
        "manual",
        "combines public domain imagery with public domain official building footprints",
        "based on CORINE Land Cover database 2018",
        "manual",
    ),
    "Way of verification": ("visual", "-", "-", "-", "visual", "visual", "visual"),
    "Licence": (
        "For academic purposes only",
        "Agreed terms and conditions",
        "Agreed terms and conditions",
        *4 * ("-",),
    ),
    "URL": (
        "https://captain-whu.github.io/DOTA/dataset.html",
        "http://xviewdataset.org",
        "https://www.kaggle.com/c/airbus-ship-detection/overview",
        "https://www.mdpi.com/2072-4292/11/2/119/htm",
        "https://project.inria.fr/aerialimagelabeling/",
        "http://bigearth.net",
        "https://github.com/phelber/eurosat",
    ),
    "Geographic coverage": (
        "variable",
        "1,415 km²",
        "variable",
        "Taiwan",
        "810 km²",
        "10 European countries",
        "cities from 34 European countries",
    ),
    "Timestamp": ("-", "-", "-", "May 2018", "-", "June 2017-May 2018", "different points in time"),
    "Data volume": ("19.9 GB", "36.4 GB", "29.5 GB", "123 MB", "25.3 GB", "106 GB", "2.88 GB"),
    "Pre-processing": (*5 * ("-",), "sen2cor", "Sentinel-2 L1C"),
    "Number of classes": ("15", "60", "2", "2", "2", "12", "10"),
    "Naming convention": ("no", "no", "no", "yes", "yes", "yes", "at class level"),
    "Quality of documentation": (
        "good",
        "moderate",
        "not detailed",
        "good",
        "good",
        "very good",
        "good",
    ),
    "Continuous development": ("-", "-", "no", "no", "no", "yes", "-"),
    "Type of original imagery": (
        "multiple sensors; non geo-referenced",
        "WV-3; geo-referenced",
        "non geo-referenced",
        "geo-referenced",
        "geo-referenced",
        "Sentinel-2 patches; geo-referenced",
        "Sentinel-2 patches; geo-referenced",
    ),
    "Orientation": (
        "variable",
        "ortho-images",
        "ortho-images",
        "S2 L1C ortho-images",
        "ortho-images",
        "S2 L2A ortho-images",
        "S2 L1C ortho-images",
    ),
    "File format": (
        "png",
        "GeoTIFF",
        "jpg",
        "GeoTIFF",
        "GeoTIFF",
        "GeoTIFF",
        "RGB: jpg; 13-band: GeoTIFF",
    ),
    "Number of bands": ("3", "3", "3", "10", "3", "12", "13-band & RGB"),
    "Data type per band": (
        *3 * ("8-bits",),
        "16-bits",
        "8-bits",
        "16-bits",
        "RGB: 8-bits; 13-band: 16-bits",  # printed there as 8 bits and 16 bits
    ),
    "No data value": ("-", "0", "-", "-", "0", "-", "-"),
    "Metadata": ("no", "yes", "no", "yes", "yes", "yes", "yes"),
    "Image dimensions (rows × cols)": (  # noqa: RUF001
        "from 800 × 800 to about 4000 × 4000",  # noqa: RUF001
        "various small patches",
        "768 × 768",  # noqa: RUF001
        "224 × 224",  # noqa: RUF001
        "5000 × 5000",  # noqa: RUF001
        "120 × 120 pixels for 10 m bands; 60 × 60 pixels for 20 m bands; "  # noqa: RUF001
        "20 × 20 pixels for 60 m bands",  # noqa: RUF001
        "RGB: 64 × 64; 13-band: 64 × 64",  # noqa: RUF001
    ),
    "Spatial resolution": (
        "variable",
        "0.3 m",
        "-",
        "20 m",
        "30 cm",
        "10 m; 20 m; 60 m",
        "10 m; 20 m; 60 m",
    ),
    # The paper gives the name of the instrument, or once "class name", and never a wavelength.
    "Name of bands": (
        "RGB",
        "RGB and 8-band",
        "RGB",
        "Sentinel-2 bands",
        "RGB",
        "Sentinel-2 L2A bands",
        "",
    ),
}

# The same in other words, or what depends on the samples that were built.
OTHERWISE = {
    ("Licence", "dota"): "For academic purposes only; images of Google Earth under the terms of "
    "Google Earth",
    ("Spatial resolution", "inria"): "0.3 m",
    ("Type of original imagery", "xview"): "WorldView-3; geo-referenced",
    # The paper counts the RGB edition alone, and names the other one among the bands.
    ("File format", "xview"): "RGB: GeoTIFF (COG); 8-band: GeoTIFF (COG)",
    ("Number of bands", "xview"): "8-band & RGB",
    ("Name of bands", "xview"): "RGB; WorldView-3 bands",
    ("Data type per band", "xview"): "RGB: 8-bits; 8-band: 16-bits",
    ("No data value", "xview"): "RGB: 0",
    ("File format", "inria"): "GeoTIFF (COG)",
    ("Spatial resolution", "dota"): "-",
    ("Image dimensions (rows × cols)", "dota"): "-",  # noqa: RUF001
    ("Image dimensions (rows × cols)", "xview"): "-",  # noqa: RUF001
    ("Image dimensions (rows × cols)", "inria"): "-",  # noqa: RUF001
    ("Name of bands", "eurosat"): "RGB; Sentinel-2 L1C bands",
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
    ]
    assert {row.attribute for table in made for row in table.rows} - set(PAPER) == {
        "Name of classes",
        "Spectral resolution",
    }


@pytest.mark.parametrize("name", COLUMNS)
def test_values_are_the_paper_s_or_carry_a_source(name):
    """Whatever differs from the paper was added with its source, or stands in OTHERWISE."""
    cells = cells_of(collection_of(record(name)))
    odd = {
        attribute: (cells[attribute].text, values[COLUMNS.index(name)])
        for attribute, values in PAPER.items()
        if cells[attribute].text
        not in (values[COLUMNS.index(name)], OTHERWISE.get((attribute, name)))
        and not cells[attribute].sources
    }
    assert odd == {}


@pytest.mark.parametrize("name", COLUMNS)
def test_what_was_added_is_not_without_a_source(name):
    cells = cells_of(collection_of(record(name)))
    for attribute, values in PAPER.items():
        if values[COLUMNS.index(name)] == "-" and cells[attribute].text != "-":
            assert cells[attribute].sources, attribute


CLASSES = {  # Table 2, footnotes 6, 7 and 9: the first and the last of each
    "dota": ("plane", "container-crane"),
    "xview": ("Fixed-wing Aircraft", "Tower"),
    "airbus-ship": ("ship", "no ship"),
    "clouds-s2-taiwan": ("cloud", "no cloud"),
    "inria": ("building", "no building"),
    "bigearthnet": ("Sclerophyllous vegetation", "Non-irrigated arable land"),
    "eurosat": ("Annual crop", "Sea & lake"),
}


@pytest.mark.parametrize(("name", "expected"), CLASSES.items())
def test_names_of_classes(name, expected):
    names = [re.sub(r"[ -]", "-", n.lower()) for n in class_names(name)]
    assert [n for n in expected if re.sub(r"[ -]", "-", n.lower()) not in names] == []
    assert "background" not in names


def class_names(name: str) -> list[str]:
    return re.split(
        r"/"
        if "/no " in (text := cells_of(collection_of(record(name)))["Name of classes"].text)
        else r", (?=[A-Z])",
        text,
    )


def test_places_are_notes_as_in_the_paper(eurosat):
    places = "EU countries except Croatia plus Belarus, Iceland, Ireland, Holy See, North"
    assert cells_of(eurosat)["Geographic coverage"].note.startswith(places)


def test_sources_of_eurosat(eurosat):
    cells = cells_of(eurosat)
    assert {name for name, cell in cells.items() if cell.sources} == {
        "Licence",
        "Timestamp",
        "Pre-processing",
        "Spectral resolution",
        "Name of bands",
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
    scope, usage, _ = small
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
        assert len(json.loads(output)) == 3


def test_markup_in_a_catalog_is_text(small, capsys, tmp_path: Path):
    document = {"id": "x", "title": "[red]X[/]", "satimnet:orientation": "[link=https://a]b"}
    collection = SimpleNamespace(document=CollectionDocument.of(LEAST | document, "x"))
    index = SimpleNamespace(collections={"x": collection})
    print_attributes(index, "table")  # type: ignore[arg-type]
    output = capsys.readouterr().out
    assert "[red]X[/]" in output
    assert "[link=https://a]b" in output
