"""The crosswalk, read as its specification says, and by sssom-py where that is installed."""

import csv
import io
import re
from pathlib import Path

import pytest
import yaml

from satimnet.builder.datasets import installed
from satimnet.builder.exports.sssom import crosswalk
from satimnet.builder.vocabulary.concepts import Concept, MappedClass, Scheme, scheme_of

RECORDS = {name: dataset.record.content for name, dataset in installed().items()}


def read(text: str) -> tuple[dict, list[dict[str, str]]]:
    lines = text.splitlines(keepends=True)
    head = [line[1:] for line in lines if line.startswith("#")]
    body = text[sum(map(len, head)) + len(head) :]
    return yaml.safe_load("".join(head)), list(csv.DictReader(io.StringIO(body), delimiter="\t"))


@pytest.fixture(scope="module")
def whole() -> str:
    return crosswalk(scheme_of(RECORDS.values()), RECORDS)


def test_every_class_has_its_concept(whole):
    metadata, rows = read(whole)
    assert {"mapping_set_id", "license", "curie_map"} <= metadata.keys()
    for row in rows:
        for slot in ("subject_id", "predicate_id", "object_id", "mapping_justification"):
            assert row[slot].partition(":")[0] in metadata["curie_map"]
    mapped = [
        (row["subject_id"], row["object_id"].removeprefix("concept:"))
        for row in rows
        if row["object_id"].startswith("concept:")
    ]
    assert dict(mapped) == {
        f"class.{name}:{row['name']}": row["concept"]
        for name, record in RECORDS.items()
        for row in record["classes"]
    }
    assert len(mapped) == len(dict(mapped))


def test_bigearthnet_has_the_classes_of_corine(whole):
    """Its labels are those of CORINE, level 3, so they tell whether the codes are right."""
    _, rows = read(whole)
    found = {
        row["subject_label"]: row
        for row in rows
        if row["subject_id"].startswith("class.bigearthnet:") and row["object_id"][:4] == "clc:"
    }

    def plain(text: str) -> str:
        return re.sub(r"s\b|[^a-z]", "", text.lower())

    third = [row for row in found.values() if len(row["object_id"]) == len("clc:111")]
    same = [row for row in third if plain(row["subject_label"]) == plain(row["object_label"])]
    assert len(same) == 43
    assert {row["predicate_id"] for row in same} == {"skos:exactMatch", "skos:closeMatch"}


def test_what_follows_from_two_mappings_and_what_does_not():
    concepts = {
        "water": Concept("water", "water"),
        "river": Concept("river", "river", "water"),
        "pond": Concept("pond", "pond", "water"),
    }
    classes = (
        MappedClass("a", "Water", "Water", 1, "water", exact=True),
        MappedClass("a", "Brook", "Brook", 2, "river", exact=False),
        MappedClass("a", "Pond", "Pond", 3, "pond", exact=True),
        MappedClass("b", "Sea", "Sea", 1, "water", exact=True),
    )
    _, rows = read(crosswalk(Scheme(concepts, classes), ["a"]))
    found = {(row["subject_id"], row["predicate_id"], row["object_id"]) for row in rows}
    assert {row for row in found if "concept:" not in row[2]} == {
        ("class.a:Water", "skos:exactMatch", "clc:5"),
        ("class.a:Water", "skos:closeMatch", "worldcover:80"),
        ("class.a:Brook", "skos:broadMatch", "clc:511"),  # and nothing of a close match
        ("class.a:Pond", "skos:broadMatch", "clc:5"),
        ("concept:water", "skos:exactMatch", "clc:5"),
        ("concept:water", "skos:closeMatch", "worldcover:80"),
        ("concept:river", "skos:exactMatch", "clc:511"),
    }


def test_foreign_text_stays_in_its_cell():
    title = '#a\t"b"\r\n=c \x1b[2J\x9b | d'
    scheme = Scheme(
        {"x": Concept("x", title)}, (MappedClass("a", "X", title, 1, "x", exact=False),)
    )
    text = crosswalk(scheme, ["a"])
    assert "\x1b" not in text
    _, (row,) = read(text)
    assert row["subject_label"] == row["object_label"] == '#a "b" =c \\x1b[2J\\x9b | d'


def test_sssom_py_reads_it(whole, tmp_path):
    parsers = pytest.importorskip("sssom.parsers", reason="sssom is not installed")
    path = Path(tmp_path / "crosswalk.sssom.tsv")
    path.write_text(whole)
    assert len(parsers.parse_sssom_table(str(path)).df) == len(read(whole)[1])
