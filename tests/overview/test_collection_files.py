"""What lies beside a collection for people: contact sheet, class histogram, notebook."""

import json
import xml.etree.ElementTree as ET

import nbformat
import pyarrow as pa
import pytest

from satimnet.builder.overview.class_histogram import write_histogram
from satimnet.builder.overview.notebook_stub import write_notebook

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def home(catalog):
    (collection,) = catalog.glob("eurosat/*/collection.json")
    return collection.parent


def table(*classes):
    return pa.table({"satimnet:classes": pa.array(classes, pa.list_(pa.string()))})


def collection_of(*names, title="Made up"):
    rows = [{"name": name, "value": at} for at, name in enumerate(("background", *names))]
    summaries = {"classification:classes": rows}
    return {"id": "made-up", "title": title, "license": "MIT", "description": "<i>one</i>"} | {
        "summaries": summaries
    }


def drawn(path):
    """The title, and the number of each class in order."""
    texts = [text.text for text in ET.parse(path).getroot().findall(f"{SVG}text")]
    return texts[0], dict(zip(texts[1::2], texts[2::2], strict=True))


def test_the_collection_links_what_is_made_of_it(home):
    assets = json.loads((home / "collection.json").read_text())["assets"]
    roles = {key: (asset["type"], asset["roles"]) for key, asset in assets.items()}
    assert roles["overview"] == ("image/png", ["overview", "thumbnail"])
    assert roles["class-histogram"] == ("image/svg+xml", ["graphic"])
    assert roles["notebook"] == ("application/x-ipynb+json", ["example"])
    for asset in assets.values():
        assert (home / asset["href"]).is_file()
    copy = json.loads((home.parent / "collection.json").read_text())["assets"]
    assert (home.parent / copy["class-histogram"]["href"]).samefile(home / "class-histogram.svg")


def test_the_histogram_counts_the_items_of_each_class(home):
    title, numbers = drawn(home / "class-histogram.svg")
    assert title == "EuroSAT: items of each class"
    assert numbers["Annual crop"] == "4"
    assert len(numbers) == 10
    bars = ET.parse(home / "class-histogram.svg").getroot().findall(f"{SVG}rect")[1:]
    assert {bar.get("width") for bar in bars} == {"460"}


def test_a_histogram_of_several_classes_an_item(tmp_path):
    said = collection_of("<ship>", "crane", "plane", title="A & B")
    tables = [table(["<ship>", "crane"], ["<ship>"], None), table([], ["<ship>"])]
    assert write_histogram(said, tables, tmp_path)
    title, numbers = drawn(tmp_path / "class-histogram.svg")
    assert title == "A & B: items of each class"
    assert numbers == {"<ship>": "3", "crane": "1", "plane": "0"}


def test_without_classes_there_is_no_histogram(tmp_path):
    assert not write_histogram(collection_of("ship"), [table(None, [])], tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_notebook_runs_where_it_lies(home, monkeypatch):
    monkeypatch.chdir(home)
    notebook = nbformat.read(home / "first-look.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[0].source.startswith("# EuroSAT\n")
    names = {}
    for cell in notebook.cells[1:]:
        exec(compile(cell.source, "cell", "exec"), names)
    assert len(names["samples"]) == 40
    assert names["sample"].image.shape == (13, 64, 64)


def test_names_in_a_notebook_are_texts(tmp_path):
    write_notebook(collection_of() | {"id": "it's {top}"}, tmp_path)
    source = nbformat.read(tmp_path / "first-look.ipynb", as_version=4).cells[1].source
    assert """collections="it's {top}\"""" in source
