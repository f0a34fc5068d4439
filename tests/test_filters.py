from __future__ import annotations

from datetime import UTC, datetime

import pytest
import shapely

from satimnet.builder.errors import SatimnetError
from satimnet.builder.filters import (
    Statement,
    box_of,
    compile_filter,
    geometry_of,
    kind_of,
    parse_filter,
    period_of,
)

KINDS = {
    "id": "text",
    "gsd": "number",
    "when": "time",
    "tags": "list of text",
    "ok": "boolean",
    "geometry": "geometry",
}


def compiled(text):
    statement = Statement()
    return compile_filter(parse_filter(text), KINDS, statement), statement


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("2018-07-01T12:00:00Z", datetime(2018, 7, 1, 12, tzinfo=UTC)),
        ("2018-07-01t12:00:00z", datetime(2018, 7, 1, 12, tzinfo=UTC)),
        ("2018-07-01 12:00:00Z", datetime(2018, 7, 1, 12, tzinfo=UTC)),
        ("2018-07-01T12:00:00.5Z", datetime(2018, 7, 1, 12, 0, 0, 500_000, tzinfo=UTC)),
        ("2018-07-01T12:00:00.123456789Z", datetime(2018, 7, 1, 12, 0, 0, 123_456, tzinfo=UTC)),
        ("2018-07-01T12:00:00+02:30", datetime(2018, 7, 1, 9, 30, tzinfo=UTC)),
        ("2018-07-01T12:00:00-00:00", datetime(2018, 7, 1, 12, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
    ],
)
def test_an_instant_is_one_microsecond(text, first):
    assert period_of(text) == (first, first)


def test_a_date_is_the_whole_day():
    first, last = period_of("2020-02-29")
    assert first == datetime(2020, 2, 29, tzinfo=UTC)
    assert last == datetime(2020, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2018",
        "2018-7-1",
        "2018-02-30",
        "20180701T120000Z",
        "2018-07-01T12:00:00",
        "2018-07-01T25:00:00Z",
        "2018-07-01T12:00Z",
        "0001-01-01T00:00:00+14:00",
        "2018-07-01T12:00:00Z ",
        "٢٠١٨-07-01",
    ],
)
def test_other_times_are_refused(text):
    with pytest.raises(SatimnetError, match="RFC 3339"):
        period_of(text)


def test_boxes():
    assert box_of([1, 2, 3, 4]).equals(shapely.box(1, 2, 3, 4))
    assert box_of([1, 2, 100, 3, 4, 200]).equals(shapely.box(1, 2, 3, 4))
    assert box_of(["1", "2", "3", "4"]).equals(shapely.box(1, 2, 3, 4))
    assert box_of([1, 2, 1, 2]).equals(shapely.Point(1, 2))
    assert box_of([1, 2, 1, 4]).equals(shapely.LineString([(1, 2), (1, 4)]))
    assert box_of([1, 2, 3, 2]).equals(shapely.LineString([(1, 2), (3, 2)]))
    edge = box_of([180, 0, -170, 5])
    assert shapely.is_valid(edge)
    assert shapely.intersects(edge, shapely.Point(180, 3))
    assert not shapely.intersects(edge, shapely.Point(179, 3))
    crossing = shapely.union(shapely.box(170, 0, 180, 5), shapely.box(-180, 0, -160, 5))
    assert box_of([170, 0, -160, 5]).equals(crossing)


@pytest.mark.parametrize(
    "bbox",
    [
        [],
        [1, 2, 3],
        [1, 2, 3, 4, 5],
        [1, 4, 3, 2],
        ["a", 2, 3, 4],
        [1, 2, 3, float("nan")],
        [1, 2, float("inf"), 4],
        [190, 0, -170, 5],
        [170, 0, -190, 5],
        [None] * 4,
    ],
)
def test_other_boxes_are_refused(bbox):
    with pytest.raises(SatimnetError, match="bbox"):
        box_of(bbox)


@pytest.mark.parametrize(
    "geojson",
    [
        {},
        {"type": "Point"},
        {"type": "Point", "coordinates": "x"},
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 1], [1, 0], [0, 0]]]},
        {"type": "Point", "coordinates": [{1, 2}]},
    ],
)
def test_other_geometries_are_refused(geojson):
    with pytest.raises(SatimnetError, match=r"geometry|GeoJSON"):
        geometry_of(geojson)


def test_kinds_of_duckdb_types():
    assert kind_of("VARCHAR") == "text"
    assert kind_of("BIGINT") == kind_of("UTINYINT") == kind_of("DECIMAL(18,3)") == "number"
    assert kind_of("TIMESTAMP WITH TIME ZONE") == "time"
    assert kind_of("VARCHAR[]") == "list of text"
    assert kind_of("STRUCT(a DOUBLE)[]") == "list of other"
    assert kind_of("STRUCT(a DOUBLE)") == "other"


@pytest.mark.parametrize(
    "text",
    ["", "gsd = ", "gsd = 'x", "gsd = 1; DROP TABLE x", {"op": "="}, {"x": 1}, '{"op":"="}'],
)
def test_what_is_no_cql2_is_refused(text):
    with pytest.raises(SatimnetError, match="not valid CQL2") as caught:
        compiled(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gsdd = 1", "'gsdd'.*geometry, gsd, id, ok, tags, when"),
        ("gsd = 'x'", r"'gsd' \(number\), \"x\" \(text\)"),
        ("id > 3", "cannot compare"),
        ("ok = 1", "cannot compare"),
        ("tags = ('a')", "cannot compare"),
        ("geometry = 1", "cannot compare"),
        ("gsd", "boolean must stand"),
        ("not gsd", "boolean must stand"),
        ("gsd and ok", "boolean must stand"),
        ("gsd like 'x'", "text must stand"),
        ("id like id", "wants a pattern"),
        ("id like 'x\\'", "bare backslash"),
        ("id like 'x\\\\\\'", "bare backslash"),
        ("casei(gsd) = 'x'", "text must stand"),
        ("id + 1 > 2", "number must stand"),
        ({"op": "a_contains", "args": [{"property": "tags"}, "x"]}, "two lists"),
        ("a_contains(tags, (1))", "two lists"),
        ("a_contains(tags, (1, 'x'))", "mixed kinds"),
        ("t_after(gsd, DATE('2020-01-01'))", "time must stand"),
        ("t_after(when, '2020')", "RFC 3339"),
        ("when > TIMESTAMP('yesterday')", "RFC 3339"),
        ("when = 'yesterday'", "RFC 3339"),
        ("s_intersects(id, POINT(1 2))", "geometry must stand"),
        ("s_intersects(geometry, BBOX(1, 2, 3))", "bbox"),
        ("s_near(geometry, POINT(1 2))", "no operator"),
        ("buffer(geometry, 1)", "no operator"),
        ({"op": "=", "args": [1]}, "takes 2 arguments"),
        ({"op": "not", "args": [True, True]}, "takes 1 arguments"),
        ({"op": "in", "args": [{"property": "gsd"}, 1]}, "wants a list"),
        ({"interval": ["..", ".."]}, "cannot have"),
        ({"op": "t_after", "args": [{"interval": [".."]}, {"property": "when"}]}, "two ends"),
    ],
)
def test_what_does_not_fit_is_refused(text, message):
    with pytest.raises(SatimnetError, match=message):
        compiled(text)


def test_deep_nesting_is_an_error_of_ours():
    tree = {"property": "ok"}
    for _ in range(5000):
        tree = {"op": "not", "args": [tree]}
    with pytest.raises(SatimnetError, match="deeply"):
        compile_filter(tree, KINDS, Statement())


@pytest.mark.parametrize("value", ["'; DROP TABLE x; --", 'x" OR 1=1', "\\", "$v0", "é\0", "%"])
def test_values_never_stand_in_the_sql(value):
    tree = {"op": "=", "args": [{"property": "id"}, value]}
    sql, statement = compiled(tree)
    assert sql == '("id" = $v0)'
    assert statement.values == {"v0": value}
    sql, statement = compiled({"op": "like", "args": [{"property": "id"}, f"{value}x"]})
    assert sql == "(\"id\" LIKE $v0 ESCAPE '\\')"


def test_names_are_quoted():
    name = "a\" = '' OR 1=1; --"
    sql = compile_filter(
        {"op": "isNull", "args": [{"property": name}]}, {name: "text"}, Statement()
    )
    assert sql == '("a"" = \'\' OR 1=1; --" IS NULL)'


def test_literals_meet_without_a_row():
    assert compiled("s_within(POINT(1 1), POLYGON((0 0, 2 0, 2 2, 0 2, 0 0)))")[0] == "TRUE"
    assert compiled("s_disjoint(POINT(1 1), POLYGON((0 0, 2 0, 2 2, 0 2, 0 0)))")[0] == "FALSE"
