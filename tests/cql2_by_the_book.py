"""CQL2 over one Item by the book, and random filters to try it with."""

import json
import math
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from functools import cache, partial

import shapely
from hypothesis import strategies as st
from trial_catalog import CLASSES, ODD

# --- CQL2 over one Item, by the book -------------------------------------------------------------


@cache
def shape_from(text):
    return shapely.geometry.shape(json.loads(text))


def instant_of(text):
    return datetime.fromisoformat(text if "T" in text else f"{text}T00:00:00+00:00")


def negation(value):
    return None if value is None else not value


def conjunction(values):
    if any(value is False for value in values):
        return False
    return None if any(value is None for value in values) else True


def disjunction(values):
    return negation(conjunction([negation(value) for value in values]))


def look_up(name, item):
    if name in ("id", "collection"):
        return item[name]
    if name == "geometry":
        return item["geometry"] and shape_from(json.dumps(item["geometry"]))
    value = item["properties"].get(name.removeprefix("properties."))
    return instant_of(value) if value and name.endswith("datetime") else value


def matches_pattern(text, pattern):
    parts = re.findall(r"\\.|[^\\]", pattern, re.DOTALL)
    table = {"%": ".*", "_": "."}
    regex = "".join(table.get(part) or re.escape(part[-1]) for part in parts)
    return re.fullmatch(regex, text, re.DOTALL) is not None


def without_accents(text):
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


def divide(operator, a, b):
    if b == 0:
        return None
    if operator == "%":
        return math.fmod(a, b)
    return math.trunc(a / b) if operator == "div" else a / b


def power(a, b):
    try:
        result = a**b
    except (ZeroDivisionError, OverflowError):
        return None
    return None if isinstance(result, complex) else result


SCALAR = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": partial(divide, "/"),
    "%": partial(divide, "%"),
    "div": partial(divide, "div"),
    "^": power,
    "like": matches_pattern,
    "casei": str.casefold,
    "accenti": without_accents,
    "a_contains": lambda a, b: set(a) >= set(b),
    "a_containedBy": lambda a, b: set(a) <= set(b),
    "a_equals": lambda a, b: set(a) == set(b),
    "a_overlaps": lambda a, b: bool(set(a) & set(b)),
}
ALLEN = {  # signs of a0 - b0, a0 - b1, a1 - b0, a1 - b1
    "t_after": {1: [1]},
    "t_before": {2: [-1]},
    "t_contains": {0: [-1], 3: [1]},
    "t_during": {0: [1], 3: [-1]},
    "t_equals": {0: [0], 3: [0]},
    "t_finishedBy": {0: [-1], 3: [0]},
    "t_finishes": {0: [1], 3: [0]},
    "t_intersects": {1: [-1, 0], 2: [0, 1]},
    "t_meets": {2: [0]},
    "t_metBy": {1: [0]},
    "t_overlappedBy": {0: [1], 1: [-1], 3: [1]},
    "t_overlaps": {0: [-1], 2: [1], 3: [-1]},
    "t_startedBy": {0: [0], 3: [1]},
    "t_starts": {0: [0], 3: [-1]},
}
FOREVER = [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]


def end_of(node, item, side):
    if node == "..":
        return FOREVER[side]
    if isinstance(node, dict):
        node = node.get("date", node.get("timestamp", node))
    if isinstance(node, str):
        whole_day = timedelta(days=side, microseconds=-side) if "T" not in node else timedelta(0)
        return instant_of(node) + whole_day
    return look_up(node["property"], item)


def relate_times(op, a, b, item):
    a, b = ([end_of(end, item, side) for side, end in enumerate(span)] for span in (a, b))
    if op == "t_disjoint":
        parts = [relate_times_known(name, a, b) for name in ("t_before", "t_after")]
        return disjunction(parts)
    return relate_times_known(op, a, b)


def relate_times_known(op, a, b):
    pairs = [(a[0], b[0]), (a[0], b[1]), (a[1], b[0]), (a[1], b[1])]
    signs = [None if None in (x, y) else (x > y) - (x < y) for x, y in pairs]
    wanted = ALLEN[op].items()
    return conjunction([None if signs[k] is None else signs[k] in good for k, good in wanted])


def evaluate(node, item):
    """The value of CQL2-JSON for one Item: a scalar, a list, a shape, a bool or None."""
    if isinstance(node, list):
        return [evaluate(part, item) for part in node]
    if not isinstance(node, dict):
        return node
    if "property" in node:
        return look_up(node["property"], item)
    if "date" in node or "timestamp" in node:
        return end_of(node, item, 0)
    if "bbox" in node:
        west, south, east, north = node["bbox"]
        if west <= east:
            return shapely.box(west, south, east, north)
        return shapely.MultiPolygon(
            [shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)]
        )
    if "type" in node:
        return shapely.geometry.shape(node)
    op, args = node["op"], node["args"]
    if op.startswith("t_"):
        spans = [arg.get("interval", [arg, arg]) for arg in args]
        return relate_times(op, *spans, item)
    values = [evaluate(arg, item) for arg in args]
    if op == "and":
        return conjunction(values)
    if op == "or":
        return disjunction(values)
    if op == "not":
        return negation(values[0])
    if op == "isNull":
        return values[0] is None
    if op == "in":
        return disjunction([None if None in (values[0], v) else values[0] == v for v in values[1]])
    if op == "between":
        x, low, high = values
        return conjunction(
            [None if None in (x, low) else x >= low, None if None in (x, high) else x <= high]
        )
    if any(value is None for value in values):
        return None
    if any(isinstance(value, datetime) for value in values):
        values = [instant_of(value) if isinstance(value, str) else value for value in values]
    if op.startswith("s_"):
        return getattr(values[0], op[2:])(values[1])
    return SCALAR[op](*values)


def brute_force(items, tree):
    return [item for item in items if evaluate(tree, item) is True]


# --- what else a search asks for ----------------------------------------------------------------


def in_period(item, first, last):
    properties = item["properties"]
    if properties["datetime"]:
        start = stop = instant_of(properties["datetime"])
    else:
        start, stop = (instant_of(properties[f"{end}_datetime"]) for end in ("start", "end"))
    return (first is None or stop >= first) and (last is None or start <= last)


def at(day, *clock):
    return datetime(2018, 1, day, *clock, tzinfo=UTC)


def sorted_by(items, *keys):
    def rank(item):
        return (item["collection"], item["id"])

    ordered = sorted(items, key=rank)  # stable: rows of the same id stay in order
    for name, downwards in reversed(keys):
        have = [item for item in ordered if look_up(name, item) is not None]
        lack = [item for item in ordered if look_up(name, item) is None]
        ordered = sorted(have, key=lambda item: look_up(name, item), reverse=downwards)
        if downwards:  # sorted(reverse=True) keeps ties in order, as is wanted
            assert ordered == sorted(have, key=lambda item: look_up(name, item), reverse=True)
        ordered += lack
    return ordered


# --- random CQL2 ---------------------------------------------------------------------------------


def op(name, *args):
    return {"op": name, "args": list(args)}


def operation(names, *parts):
    return st.builds(lambda name, *args: op(name, *args), st.sampled_from(names), *parts)


def properties(*names):
    prefixed = [name for full in names for name in (full, f"properties.{full}")]
    plain = [name for name in prefixed if not name.startswith(("properties.id", "properties.coll"))]
    return st.sampled_from([{"property": name} for name in plain])


numbers = st.recursive(
    properties("gsd", "eo:cloud_cover", "satimnet:fold")
    | st.sampled_from([0, 1, -1, 2, 3, 10, 20.0, 0.5, -2.5, 30, 50]),
    lambda inner: (
        operation(["+", "-", "*", "/", "%", "div"], inner, inner)
        | operation(["^"], inner, st.sampled_from([0, 1, 2, -1]))
    ),
    max_leaves=4,
)
words = st.sampled_from(
    [
        "train",
        "test",
        "forêt %",
        "FORET_",
        "straße",
        "strasse",
        "",
        "n1",
        "b'; --",
        "clouds_3",
        "\\",
    ]
)
texts = st.recursive(
    properties("id", "collection", "title", "satimnet:split", "proj:code", ODD) | words,
    lambda inner: operation(["casei", "accenti"], inner),
    max_leaves=2,
)
pattern_parts = st.sampled_from(["%", "_", "\\%", "\\_", "\\\\", "a", "n", "ê", "FOR", "ss"])
patterns = st.recursive(
    st.lists(
        st.sampled_from(["%", "_", "\\%", "\\_", "\\\\", "a", "n", "ê", "FOR", "ss"]), max_size=4
    ).map("".join),
    lambda inner: operation(["casei", "accenti"], inner),
    max_leaves=2,
)
moments = st.sampled_from(
    ["2018-01-01T00:00:00Z", "2018-01-10T00:00:00Z", "2018-01-10T06:30:00.25+02:00"]
)
days = st.sampled_from(["2018-01-05", "2018-01-10", "2018-01-20"])
time_properties = properties("datetime", "start_datetime", "end_datetime")
time_literals = st.builds(lambda t: {"timestamp": t}, moments) | st.builds(
    lambda d: {"date": d}, days
)
times = time_properties | time_literals
end = time_properties | moments | days
spans = st.builds(
    lambda a, b: {"interval": [a, b]}, end | st.just(".."), end | st.just("..")
) | st.just({"interval": [{"property": "start_datetime"}, {"property": "end_datetime"}]})
class_lists = st.lists(st.sampled_from(CLASSES), max_size=3)
number_lists = st.lists(st.sampled_from([64, 32, 10.0, -10, 0]), max_size=3)


def polygon(*corners):
    return {"type": "Polygon", "coordinates": [[*map(list, corners), list(corners[0])]]}


shapes = st.sampled_from(
    [
        {"type": "Point", "coordinates": [3, 43]},
        {"type": "Point", "coordinates": [3.5, 43.5]},
        {"type": "MultiPoint", "coordinates": [[3, 43], [9.5, 48.5]]},
        {"type": "LineString", "coordinates": [[3, 43], [3, 44]]},
        {"type": "LineString", "coordinates": [[0, 40], [10, 50]]},
        polygon((3, 43), (4, 43), (4, 44), (3, 44)),
        polygon((3, 43), (5, 43), (5, 45), (3, 45)),
        polygon((3, 44), (4, 43), (5, 44), (4, 45)),
        polygon((0, 40), (9, 41), (5, 50)),
        polygon((-20, 0), (30, 0), (30, 60), (-20, 60)),
        {
            "type": "MultiPolygon",
            "coordinates": [
                polygon((3, 43), (4, 43), (4, 44), (3, 44))["coordinates"],
                polygon((179, 43), (180, 43), (180, 44), (179, 44))["coordinates"],
            ],
        },
        {"bbox": [2, 42, 6.5, 47]},
        {"bbox": [3, 43, 5, 45]},
        {"bbox": [-180, -90, 180, 90]},
        {"bbox": [179.5, 42, -179.5, 47]},
        {"bbox": [-175, 0, 175, 90]},
        {"bbox": [100, 0, 120, 10]},
    ]
)
geometry = st.just({"property": "geometry"})
RELATIONS = ["intersects", "contains", "within", "disjoint", "touches", "crosses", "overlaps"]
S_OPS = [f"s_{name}" for name in [*RELATIONS, "equals"]]
COMPARE = ["=", "<>", "<", "<=", ">", ">="]
A_OPS = ["a_contains", "a_containedBy", "a_equals", "a_overlaps"]
T_OPS = [*ALLEN, "t_disjoint"]
anything = texts | numbers | times | geometry | properties("reviewed", "satimnet:classes")
leaves = st.one_of(
    operation(COMPARE, numbers, numbers),
    operation(COMPARE, texts, texts),
    operation(COMPARE, times, times),
    operation(COMPARE, time_properties, moments),
    operation(["=", "<>"], properties("reviewed"), st.booleans()),
    properties("reviewed"),
    st.booleans(),
    operation(["between"], numbers, numbers, numbers),
    operation(["between"], times, times, times),
    operation(["between"], texts, texts, texts),
    operation(["in"], numbers, st.lists(numbers, max_size=3)),
    operation(["in"], texts, st.lists(texts, max_size=3)),
    operation(["in"], texts, st.just(["train", None])),
    operation(["like"], texts, patterns),
    operation(["isNull"], anything),
    operation(A_OPS, properties("satimnet:classes"), class_lists),
    operation(A_OPS, class_lists, properties("satimnet:classes")),
    operation(A_OPS, properties("proj:shape", "proj:transform"), number_lists),
    operation(T_OPS, times | spans, times | spans),
    operation(S_OPS, geometry, shapes),
    operation(S_OPS, shapes, geometry),
    operation(S_OPS, geometry, geometry),
    operation(S_OPS, shapes, shapes),
)
trees = st.recursive(
    leaves,
    lambda inner: (
        operation(["not"], inner)
        | st.builds(
            lambda name, args: op(name, *args),
            st.sampled_from(["and", "or"]),
            st.lists(inner, min_size=1, max_size=3),
        )
    ),
    max_leaves=6,
)
