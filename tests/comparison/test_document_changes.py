"""Fields of two Collections that differ."""

import pytest

from satimnet.builder.comparison.document_changes import field_changes

SHIP = {"name": "ship", "value": 1}
QUAY = {"name": "quay", "value": 2}


def changes(old, new):
    """What differs of two documents without links."""
    found = field_changes({"links": [], **old}, {"links": [], **new})
    return [(change.field, change.old, change.new) for change in found]


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1}, {"a": True}, [("a", 1, True)]),
        ({"a": [0, 1]}, {"a": [False, 1]}, [("a", [0, 1], [False, 1])]),
        ({"a": None}, {}, []),
        ({"a": {"b": 1, "c": [1]}}, {"a": {"b": 2, "c": [1]}}, [("a.b", 1, 2)]),
        ({"a": {"b": 1}}, {"a": "text"}, [("a", {"b": 1}, "text")]),
        ({}, {"a": {"b": 1}}, [("a", None, {"b": 1})]),
        ({"t": [SHIP, QUAY]}, {"t": [QUAY]}, [("t[ship]", SHIP, None)]),
        (
            {"t": [SHIP, QUAY]},
            {"t": [QUAY, SHIP]},
            [("t (order)", ["ship", "quay"], ["quay", "ship"])],
        ),
        ({"t": [SHIP, SHIP]}, {"t": [SHIP]}, [("t", [SHIP, SHIP], [SHIP])]),
        ({"assets": {"overview": {"href": "a"}}}, {"assets": {}}, []),
    ],
)
def test_values(old, new, wanted):
    assert changes(old, new) == wanted


def test_links_count_if_they_say_something_of_the_dataset():
    tree = [
        {"rel": "root", "href": "../catalog.json"},
        {"rel": "child", "href": "./a/catalog.json"},
    ]
    version = {"rel": "predecessor-version", "href": "../1/collection.json"}
    licence = {"rel": "license", "href": "https://example.org/licence"}
    assert changes({"links": tree}, {"links": [version]}) == []
    assert changes({"links": [*tree, licence]}, {"links": [version, licence]}) == []
    assert changes({"links": tree}, {"links": [licence]}) == [("links", None, [licence])]
