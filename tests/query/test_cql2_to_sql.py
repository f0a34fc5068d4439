from __future__ import annotations

from datetime import UTC, datetime

import cql2
import pytest
import shapely
from cql2_by_the_book import op, trees
from hypothesis import HealthCheck, given, settings

from satimnet.builder.errors import SatimnetError
from satimnet.builder.query.cql2_json import parse_filter
from satimnet.builder.query.cql2_text import parse_text
from satimnet.builder.query.cql2_to_sql import compile_filter
from satimnet.builder.query.geometry import box_of, geometry_of
from satimnet.builder.query.rfc3339 import period_of
from satimnet.builder.query.statements import Statement, kind_of

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


# --- text, and its bounds -------------------------------------------------------------------------

TEXTS = [
    "id = 'a' = 'b'",
    "gsd < 1 = ok",
    "gsd + 2 * 3 - 4 / 5 % 6 ^ 2 ^ 2 > -gsd DIV 2",
    "gsd = - - 2 or gsd = +3 or gsd = -(1) or gsd = 1 -1",
    "not ok and not not (ok or TRUE) and Null is null",
    "(ok and ok) and (ok or id is not null)",
    "id not like 'it''s%' and id like '' and \"o\"\"dd; name\" <> 1",
    "gsd not between 1 + 1 and gsd * 2 and id != 'x' or ok",
    "gsd in (1) and gsd not in (1, 2, null) and in(gsd, 1, 2) and between(gsd, 1, 2)",
    "a_contains(tags, 'x') and A_OVERLAPS(tags, ('x')) and a_containedby(tags, ('x', 'y'))",
    "casei(id) = casei('X') and avg(gsd, 1) = f()",
    "t_after(when, INTERVAL('..', '2020-01-01'))",
    "T_METBY(when, TIMESTAMP('2020-01-01T00:00:00Z'))",
    "when = DATE('2020-01-01') and timestamp = 1 and date.x:y = 2 and point = 3 and order = 4",
    "gsd = 1.5e-3 and gsd = 1. and gsd = 2E5",
    "ok=TRUE and gsd=1and\n\tid='x'\r\n",
    "ST_Intersects(geometry, point(1 -2)) or s_within(geometry, POINT Z (1 2 3))",
    "s_equals(geometry, LINESTRING(0 0,1 +1 , 2 2)) or s_touches(geometry, BBOX(1, 2, 3, 4))",
    "s_within(geometry, MULTIPOLYGON(((0 0,1 0,1 1,0 0)),((5 5,6 5,6 6,5 5),(1 1,2 1,2 2,1 1))))",
    "s_within(geometry, MULTIPOINT((1 2),(3 4))) or s_within(geometry, MULTIPOINT(1 2, 3 4))",
    "s_within(geometry, GEOMETRYCOLLECTION(POINT(1 2), POLYGON ((0 0,1 0,1 1,0 0))))",
]


def flat(node):
    """With chains of one connective as one, as a filter is checked."""
    if isinstance(node, dict) and "args" in node:
        args = [flat(arg) for arg in node["args"]]
        op = node["op"]
        same = [a["args"] if isinstance(a, dict) and a.get("op") == op else [a] for a in args]
        joined = [arg for own in same for arg in own]
        return {"op": op, "args": joined if op in ("and", "or") else args}
    return [flat(part) for part in node] if isinstance(node, list) else node


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_read_as_the_cql2_package_reads_it(text):
    theirs = cql2.Expr(text).to_json()
    assert parse_filter(parse_text(text)) == parse_filter(theirs)
    if " or gsd" not in text:
        assert parse_filter(text) == flat(theirs)


@settings(max_examples=200, derandomize=True, deadline=None, suppress_health_check=[*HealthCheck])
@given(trees)
def test_any_text_is_read_as_the_cql2_package_reads_it(tree):
    text = cql2.Expr(tree if isinstance(tree, dict) else op("and", tree)).to_text()
    if "()" not in text:  # it writes empty lists, and does not read them
        assert parse_filter(text) == parse_filter(cql2.Expr(text).to_json())


CHAINS = (
    "=",
    "<",
    "<>",
    ">=",
    "like",
    "not like",
    "in",
    "div",
    "+",
    "-",
    "*",
    "^",
    "%",
    "is null =",
)
ENDLESS = {
    **{f"a chain of {name}": "gsd " + f"{name} 1 " * 20_000 for name in CHAINS},
    "negations": "not " * 50_000 + "ok",
    "signs": "gsd = " + "-" * 50_000 + "1",
    "brackets": "(" * 50_000 + "ok" + ")" * 50_000,
    "brackets never closed": "(" * 40 + "ok",
    "brackets closed around nonsense": "(" * 40 + "ok !" + ")" * 40,
    "functions": "casei(" * 5000 + "id" + ")" * 5000 + " = 'x'",
    "lists": "id in (" * 200 + "1" + ")" * 200,
    "betweens": "gsd between " * 5000 + "1 and 2" * 5000,
    "a text never closed": "id = '" + "''" * 50_000,
    "a name never closed": '"' + '""' * 50_000,
    "polygons": "s_within(geometry, " + "POLYGON(" * 5000,
    "collections": "s_within(geometry, " + "GEOMETRYCOLLECTION(" * 5000 + "POINT(1 2)" + ")" * 5001,
    "points": f"s_within(geometry, MULTIPOINT({', '.join(['1 2'] * 60_000)}))",
    "values": f"gsd in ({', '.join(['1'] * 200_000)})",
    "conditions": " or ".join(["id like 'a%'"] * 3000),
    "conjunctions": " and ".join(["ok"] * 3000),
    "characters": "id = 'x'" + " " * 2**20,
    "JSON": '{"op":"not","args":[' * 50_000,
    "JSON closed": '{"op":"not","args":[' * 100 + "true" + "]}" * 100,
}


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
def test_filters_without_end_are_refused_in_a_line(text):
    with pytest.raises(SatimnetError, match=r"deeply|not valid CQL2|more than") as caught:
        parse_filter(text)
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "node",
    [
        {"op": "and", "args": [{"op": "=", "args": [{"property": "gsd"}, 10**400]}]},
        {"op": "=", "args": [{"property": "gsd"}, {1}]},
        {"op": ["="], "args": []},
        {"property": 5},
        {"timestamp": 5},
        {"bbox": [0] * 7},
        {"type": "MultiPoint", "coordinates": [[1, 2]] * 50_001},
        {"type": "GeometryCollection", "geometries": [[[[[[]]]]]] * 9},
    ],
    ids=str,
)
def test_json_of_the_wrong_kind_is_refused(node):
    with pytest.raises(SatimnetError):
        compile_filter(parse_filter(node), KINDS, Statement())


def test_where_a_text_goes_wrong_is_told():
    for text, told in {
        "gsd = 1 = (2": "ends too early",
        "gsd = 'x": "the ' at character 7 is never closed",
        "gsd = ! 1": "'!' at character 7 was not expected",
        "gsd = 1 2": "'2' at character 9",
        "s_within(geometry, POINT EMPTY)": "empty",
    }.items():
        with pytest.raises(SatimnetError, match=told):
            parse_filter(text)


def test_values_of_one_property_become_one_list():
    wanted = [f"n{n}" for n in range(5000)]
    many = {"op": "in", "args": [{"property": "id"}, wanted]}
    assert parse_filter(" or ".join(f"id = '{name}'" for name in wanted)) == op("or", many)
    half = f"id in ({', '.join(repr(name) for name in wanted[:2500])})"
    rest = " or ".join(f"id = '{name}'" for name in wanted[2500:])
    assert parse_filter(f"ok or {half} or {rest}") == op("or", {"property": "ok"}, many)
    sql, statement = compiled(many)
    assert len(sql) < 100
    assert list(statement.values.values()) == [wanted]


def test_values_of_a_list_are_all_of_the_kind_of_the_property():
    many = [*(f"2020-01-{day:02}" for day in range(1, 20)), None]
    _, statement = compiled({"op": "in", "args": [{"property": "when"}, many]})
    (bound,) = statement.values.values()
    assert bound[0] == "2020-01-01T00:00:00+00:00"
    assert bound[-1] is None
    for values in ([*range(20), "x"], ["x"] * 20, [True] * 20):
        with pytest.raises(SatimnetError, match="cannot compare"):
            compiled({"op": "in", "args": [{"property": "gsd"}, values]})
