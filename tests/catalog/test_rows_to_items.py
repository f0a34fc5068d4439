"""Items out of Arrow rows: column by column, with what a look at each value gives."""

from __future__ import annotations

import datetime as dt
import decimal
import math

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satimnet.builder.catalog.json_values import json_values
from satimnet.builder.catalog.rows_to_items import items_of
from satimnet.builder.errors import BadCatalogError

MEMBER = pa.struct({"href": pa.string(), "range": pa.list_(pa.int64()), "size": pa.int32()})
TYPE = pa.struct(
    {
        "title": pa.string(),
        "roles": pa.list_(pa.string()),
        "members": pa.list_(MEMBER),
        "numbers": pa.large_list(pa.float64()),
        "number": pa.float64(),
        "half": pa.float32(),
        "yes": pa.bool_(),
        "never": pa.string(),
        "empty": pa.struct([]),
        "when": pa.timestamp("ms", tz="UTC"),
        "day": pa.date32(),
        "sum": pa.decimal128(6, 2),
    }
)
texts, floats = st.text(max_size=3), st.floats(width=32)
members = st.fixed_dictionaries(
    {
        "href": st.none() | texts,
        "range": st.none() | st.lists(st.none() | st.integers(0, 9), max_size=2),
        "size": st.none() | st.integers(0, 9),
    }
)
rows = st.fixed_dictionaries(
    {},
    optional={
        "title": texts,
        "roles": st.lists(st.none() | texts, max_size=3),
        "members": st.lists(st.none() | members, max_size=2),
        "numbers": st.lists(st.none() | floats, max_size=3),
        "number": floats,
        "half": floats,
        "yes": st.booleans(),
        "empty": st.just({}),
        "when": st.datetimes(
            dt.datetime(1800, 1, 1), dt.datetime(2300, 1, 1), timezones=st.just(dt.UTC)
        ).map(lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000)),
        "day": st.dates(),
        "sum": st.integers(-999, 999).map(lambda n: decimal.Decimal(n) / 100),
    },
)


def by_the_book(value):
    """The value as JSON has it: absent instead of null, times as RFC 3339 text."""
    match value:
        case dict():
            return {k: by_the_book(v) for k, v in value.items() if v is not None}
        case list():
            return [by_the_book(v) for v in value]
        case dt.datetime():
            return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
        case float():
            return value if math.isfinite(value) else None
        case None | str() | int():
            return value
    return str(value)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.none() | rows, max_size=6), st.integers(0, 3))
def test_columns_give_what_a_look_at_each_value_gives(values, start):
    column = pa.array(values, TYPE)
    for part in (
        column,
        column.slice(start),
        column.take(pa.array(range(len(values))[::-1], pa.int64())),
    ):
        found = json_values(part)
        wanted = [by_the_book(value) for value in part.to_pylist()]
        assert found == wanted
        assert [list(v) for v in found if v] == [list(v) for v in wanted if v]  # in this order


def test_nothing_is_shared():
    found = json_values(pa.array([{"a": [{"b": 1}]}] * 2))
    found[0]["a"][0]["b"] = 2
    assert found[1] == {"a": [{"b": 1}]}


def table(**changes):
    row = {
        **{"type": "Feature", "stac_version": "1.1.0", "id": "a", "collection": "c"},
        **{"geometry": None, "bbox": None, "links": [{"rel": "root", "href": "./catalog.json"}]},
        "assets": {"x": {"href": "./x.zip"}, "y": {"href": "./x.zip"}, "z": None},
        **{"datetime": None, "number": math.nan, "none": None},
    }
    return pa.Table.from_pylist([row, row | changes])


def test_items_of_rows():
    asked = []

    def resolve(href, base):
        asked.append(href)
        return f"{base}:{href}"

    item, other = items_of(table(id="b", number=2.0), "/c/items.parquet", resolve)
    assert item == {
        **{"type": "Feature", "stac_version": "1.1.0", "stac_extensions": [], "id": "a"},
        **{"geometry": None, "properties": {"datetime": None, "number": None}},
        "links": [{"rel": "root", "href": "/c/catalog.json"}],
        "assets": {key: {"href": "/c/items.parquet:./x.zip"} for key in "xy"},
        "collection": "c",
    }
    assert other["properties"] == {"datetime": None, "number": 2.0}
    assert asked == ["./x.zip"]
    item["assets"]["x"]["title"] = item["links"][0]["title"] = "changed"
    assert "title" not in {**item["assets"]["y"], **other["assets"]["x"], **other["links"][0]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"links": [None]}, "a link or an asset of a has no href"),
        ({"links": [{"href": "./x"}]}, "a link of a has no rel"),
        ({"assets": {"x": {"href": None, "title": "x"}}}, "a link or an asset of a has no href"),
        ({"assets": {"x": {"href": "http://["}}}, r"points to http://\[, which is no path"),
        ({"assets": {"x": {"href": "x", "bands": [None, {"name": "r"}]}}}, "a band that is null"),
        *(
            (
                {"assets": {"x": {"href": "x", "archive": [None, {"href": "m", "range": r}]}}},
                "range",
            )
            for r in ([0, 1], [0], [5, 1], [-2, 5], [0, None])
        ),
        ({"type": "Collection"}, "an Item is a Feature of STAC 1"),
        ({"stac_version": "0.9.0"}, "an Item is a Feature of STAC 1"),
        ({"type": None}, "an Item has no type"),
        ({"geometry": b"no WKB"}, "its rows are no Items"),
    ],
)
def test_rows_that_are_no_items(changes, words):
    with pytest.raises(BadCatalogError, match=words):
        items_of(table(**changes), "/c/items.parquet")
