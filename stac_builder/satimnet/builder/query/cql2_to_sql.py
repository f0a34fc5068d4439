"""CQL2 filters as DuckDB SQL, exact in every operator and in SQL's three-valued logic.

`satimnet.builder.query.cql2_text` reads the text form; what it yields, CQL2-JSON, is compiled here:
https://docs.ogc.org/is/21-065r2/21-065r2.html. Filters come from anybody, so all of them are
bounded, in `parse_filter`, before anything is compiled. Where the standard leaves a choice:

- A property that an Item lacks is null, and a comparison with null is neither true nor false, so
  ``not (x = 'a')`` leaves out the Items without x. Division by zero gives null, too.
- ``datetime`` is the property as it stands, null for an Item that spans a time; the Item's span is
  ``INTERVAL(start_datetime, end_datetime)``.
- A DATE is midnight UTC in a plain comparison and the whole day in the ``t_`` operators. Those
  take an instant as an interval of no length wherever they want an interval.
- Arrays are compared as sets. Text sorts by code point; ``casei`` is Unicode's full case folding,
  ``accenti`` drops the combining marks of the decomposed text.
- Geometries are planar, in longitude and latitude; one that crosses the antimeridian goes on
  beyond 180 degrees or is cut there (RFC 7946, 3.1.9). In a bbox west may be the larger number.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import threading
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from satimnet.builder.errors import SatimnetError
from satimnet.builder.imagery.lonlat import normalised, spans, turned
from satimnet.builder.query.cql2_text import DEEPEST, Node, TooLargeError, parse_text

if TYPE_CHECKING:
    import pyarrow as pa
    import shapely

Value = float | str | bool | None

_NUMBERS = itertools.count()
_MAX_LONGITUDE = 540.0  # maps that are panned around the Earth count on


class Function(NamedTuple):
    """A function over Arrow columns, nulls included, to be registered with DuckDB."""

    call: Callable[..., pa.Array]
    takes: tuple[str, ...]
    gives: str


@dataclass
class Statement:
    """What an SQL text under construction refers to.

    ``values`` are bound to its ``$v0``, ``$v1``…, ``functions`` must be registered under their
    names before it runs, and ``columns`` are those that it reads.
    """

    values: dict[str, Any] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    columns: set[str] = field(default_factory=set)

    def bind(self, value: Value | list[Value]) -> str:
        """The parameter that stands for ``value``."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f"${name}"

    def rebind(self, parameter: str, value: float | str) -> str:
        """The same parameter, standing for another value."""
        self.values[parameter.removeprefix("$")] = value
        return parameter

    def call(self, function: Function, *arguments: str) -> str:
        """A call of ``function`` with SQL expressions as arguments."""
        names = [name for name, known in self.functions.items() if known is function]
        # No two statements share a name: DuckDB has one set of functions for all connections.
        name = names[0] if names else f"satimnet_{next(_NUMBERS)}"
        self.functions[name] = function
        return f"{name}({', '.join(arguments)})"

    def column(self, name: str) -> str:
        """The quoted column."""
        self.columns.add(name)
        return quoted(name)


@dataclass(frozen=True)
class Phrase:
    """A condition beyond CQL2: a text has one of these phrases.

    `satimnet.builder.query.freetext` makes them.

    ``phrases`` are folded, with a space before each word; the last may be the beginning of one.
    """

    property: str
    phrases: tuple[str, ...]


def quoted(name: str) -> str:
    """``name`` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def kind_of(duckdb_type: str) -> str:
    """What filters call a DuckDB type: text, number, time, geometry, list of text…, or other."""
    if duckdb_type.endswith("[]"):
        return f"list of {kind_of(duckdb_type[:-2])}"
    for pattern, kind in _KINDS.items():
        if re.fullmatch(pattern, duckdb_type):
            return kind
    return "other"


_KINDS = {
    "VARCHAR": "text",
    "BOOLEAN": "boolean",
    r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*": "number",
    "DATE|TIMESTAMP.*": "time",
    "BLOB": "geometry",  # well-known binary: other binary columns do not occur in STAC
}


def parse_filter(text: str | Mapping[str, Any]) -> Node:
    """CQL2 text, CQL2-JSON as text, or CQL2-JSON, as CQL2-JSON with the bounds of a filter.

    Values that one property is compared with by ``=`` and ``or`` become one list, however many.

    Raises:
        SatimnetError: it is neither, or too long, too deep or of too many conditions.
    """
    shown = f"filter {text!r:.300}" if isinstance(text, str) else "the filter"
    try:
        if isinstance(text, str):
            if len(text) > _LONGEST:
                raise TooLargeError(f"it has more than {_LONGEST:,} characters")
            is_json = text.lstrip().startswith("{")
            return _Checker().whole(json.loads(text) if is_json else parse_text(text))
        return _Checker().whole(text)
    except RecursionError:
        raise SatimnetError(f"{shown} is nested too deeply; write it flatter") from None
    except TooLargeError as error:
        raise SatimnetError(f"{shown} is too large: {error}") from None
    except (SatimnetError, ValueError) as error:
        raise SatimnetError(f"{shown} is not valid CQL2: {error!s:.300}") from None


_LONGEST = 2**20  # characters of a filter
_MOST_CONDITIONS = 2000
_MOST_NODES = 200_000  # operations, properties and values
_SHORT = 4000  # characters of SQL whose conditions DuckDB may take apart
_MOST_POINTS = 50_000  # and rings of a geometry


class _Checker:
    """CQL2-JSON from anybody, made sure of and put in order; counts what it has seen."""

    def __init__(self) -> None:
        self._nodes = self._conditions = 0

    def whole(self, node: Any) -> Node:
        checked = self._checked(node, 0)
        if self._conditions > _MOST_CONDITIONS:
            raise TooLargeError(
                f"it has more than {_MOST_CONDITIONS:,} conditions; give many values of a property "
                "as a list, with IN"
            )
        return checked

    def _checked(self, node: Any, depth: int) -> Node:
        self._nodes += 1
        if depth > DEEPEST:
            raise TooLargeError("it is nested too deeply; write it flatter")
        if self._nodes > _MOST_NODES:
            raise TooLargeError(f"it has more than {_MOST_NODES:,} values")
        if isinstance(node, str | bool | float | None):
            return node
        if isinstance(node, int):
            return _as_float(node)
        if isinstance(node, list | tuple):
            return self._all(node, depth)
        if isinstance(node, Mapping):
            return self._object(node, depth)
        raise SatimnetError(f"it has {node!r:.80}, which is not JSON")

    def _all(self, nodes: Sequence[Any], depth: int) -> list[Node]:
        return [self._checked(node, depth + 1) for node in nodes]

    def _object(self, node: Mapping[str, Any], depth: int) -> Node:
        match node:
            case {"op": str(op), "args": list(args) | tuple(args)}:
                return self._operation(op, args, depth)
            case {"interval": list(ends) | tuple(ends)}:
                return {"interval": self._all(ends, depth)}
            case {"timestamp": str(text)}:
                return {"timestamp": text}
            case {"date": str(text)}:
                return {"date": text}
            case {"property": str(name)}:
                return {"property": name}
            case {"bbox": list(numbers) | tuple(numbers)} if len(numbers) <= 6:
                return {"bbox": self._all(numbers, depth)}
            case {"type": str()}:
                return geometry_node(node)
        raise SatimnetError(f"it has {_show(node)}, which is no expression")

    def _operation(self, name: str, args: Sequence[Any], depth: int) -> Node:
        op = _NAMES.get(name.lower(), name)
        checked = self._all(args, depth)
        self._conditions += 1
        if op in ("and", "or"):
            nested = [_args_of(arg, op) or [arg] for arg in checked]
            checked = [arg for own in nested for arg in own]
            joined = _joined_values(checked) if op == "or" else checked
            self._conditions -= len(checked) - len(joined)
            self._conditions += sum(not _is_operation(arg) for arg in joined)
            checked = joined
        return {"op": op, "args": checked}


def _is_operation(node: Node) -> bool:
    return isinstance(node, dict) and "op" in node


def _args_of(node: Node, op: str) -> list[Node]:
    return node["args"] if _is_operation(node) and node["op"] == op else []


def _joined_values(alternatives: Sequence[Node]) -> list[Node]:
    """Alternatives of which those that compare a property with values are one for a property."""
    values: dict[str, list[Node]] = {}
    joined: list[Node] = []
    for node in alternatives:
        match node:
            case {"op": "=", "args": [{"property": name}, value]} if _is_scalar(value):
                own = [value]
            case {"op": "in", "args": [{"property": name}, list(own)]} if all(map(_is_scalar, own)):
                pass
            case _:
                joined.append(node)
                continue
        if name not in values:
            values[name] = []
            property_ = {"property": name}
            joined.append({"op": "in", "args": [property_, values[name]]})
        values[name] += own
    return joined


def _is_scalar(node: Node) -> bool:
    return isinstance(node, str | bool | float)


def _as_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        raise TooLargeError("it has a number of more than 300 digits") from None


def compile_filter(node: Node, kinds: Mapping[str, str], statement: Statement) -> str:
    """CQL2-JSON as a boolean SQL expression over columns of ``kinds`` (`kind_of`).

    Values, functions and columns go into ``statement``. The rows also need a column ``bbox``
    (struct of xmin, ymin, xmax, ymax) where the filter asks for their ``geometry``. Raises
    `SatimnetError` for an unknown property or operator, and where kinds do not fit.
    """
    try:
        sql = _Compiler(kinds, statement).boolean(node)
        # In one piece to DuckDB, which takes the square of the number of conditions to plan them.
        return f"({sql} = TRUE)" if len(sql) > _SHORT else sql
    except RecursionError:
        raise SatimnetError("the filter is nested too deeply; write it flatter") from None


# --- times --------------------------------------------------------------------------------------

_INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(?:\.(\d+))?(?:([Zz])|([+-]\d\d:\d\d))", re.ASCII
)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DAY = timedelta(days=1, microseconds=-1)


def period_of(text: str) -> tuple[datetime, datetime]:
    """First and last microsecond (UTC) of an RFC 3339 timestamp or date.

    https://www.rfc-editor.org/rfc/rfc3339#section-5.6. Raises `SatimnetError` for anything else.
    """
    try:
        if _DATE.fullmatch(text):
            day = datetime.fromisoformat(f"{text}T00:00:00+00:00")
            return day, day + _DAY
        if match := _INSTANT.fullmatch(text):
            date, minute, second, fraction, _, offset = match.groups()
            leap = second == "60"  # a leap second is the first of the next minute
            instant = datetime.fromisoformat(
                f"{date}T{minute}:{59 if leap else second}"
                f".{(fraction or '0')[:6]:0<6}{offset or '+00:00'}"
            )
            instant = (instant + timedelta(seconds=leap)).astimezone(UTC)
            return instant, instant
    except (ValueError, OverflowError):
        pass  # a 30th of February, an hour 25, a year 0
    raise SatimnetError(
        f"time {text!r:.100} is not RFC 3339; write 2018-07-01T12:00:00Z, or 2018-07-01 for the day"
    )


# --- geometries ---------------------------------------------------------------------------------


def geometry_of(geojson: Mapping[str, Any]) -> shapely.Geometry:
    """A GeoJSON geometry (or Feature), within 180 degrees.

    What lies beyond them, as in longitudes of 0 to 360, is cut off and moved there. Raises
    `SatimnetError` if it is no geometry, empty or invalid.
    """
    import shapely

    require_small(geojson)
    try:
        geometry = shapely.from_geojson(json.dumps(geojson))
    except (shapely.errors.GEOSException, TypeError, ValueError) as error:
        raise SatimnetError(f"this is no GeoJSON geometry ({error}): {geojson!r:.200}") from None
    if shapely.is_empty(geometry) or not shapely.is_valid(geometry):
        reason = shapely.is_valid_reason(geometry)
        raise SatimnetError(f"geometry is empty or invalid ({reason}): {geojson!r:.200}")
    west, _, east, _ = shapely.bounds(geometry)
    _require_longitudes(west, east, f"geometry {geojson!r:.200}")
    return shapely.union_all(turned(geometry)) if west < -180 or east > 180 else geometry


def geometry_node(geojson: Mapping[str, Any]) -> Node:
    """A GeoJSON geometry as it may stand in a filter; raises `SatimnetError` if it is too large."""
    require_small(geojson)
    return {key: geojson[key] for key in ("type", "coordinates", "geometries") if key in geojson}


def require_small(geojson: Mapping[str, Any]) -> None:
    """Raises `SatimnetError` if a geometry has too many points or levels to be compared with."""
    level: list[Any] = [geojson]
    seen = 0
    for _ in range(DEEPEST):
        parts = (part.values() if isinstance(part, Mapping) else part for part in level)
        level = [one for part in parts for one in part if isinstance(one, Mapping | list | tuple)]
        seen += len(level)
        if seen > _MOST_POINTS:
            raise SatimnetError(f"a geometry has more than {_MOST_POINTS:,} points; simplify it")
        if not level:
            return
    raise SatimnetError("a geometry is nested too deeply")


def box_of(bbox: Sequence[float]) -> shapely.Geometry:
    """A bbox of west, south, east, north in degrees, of six numbers without its heights.

    East of 180 degrees it goes on from the west: two boxes where west exceeds east. Longitudes may
    also count from 0 to 360. Raises `SatimnetError` if it is no bbox.
    """
    import shapely

    try:
        numbers = [float(number) for number in bbox]
    except (TypeError, ValueError, OverflowError):
        numbers = []
    if len(numbers) not in (4, 6) or not all(map(math.isfinite, numbers)):
        raise SatimnetError(f"bbox {bbox!r:.100} needs 4 numbers (west, south, east, north) or 6")
    half = len(numbers) // 2
    (west, south), (east, north) = numbers[:2], numbers[half : half + 2]
    if 180 < west <= 360 and 0 <= east < west:  # across Greenwich, in longitudes of 0 to 360
        west -= 360
    if south > north or (west > east and (west > 180 or east < -180)):
        raise SatimnetError(f"bbox {bbox!r:.100} is not in the order west, south, east, north")
    if south < -90 or north > 90:
        raise SatimnetError(f"bbox {bbox!r:.100} reaches beyond a pole: latitudes are -90 to 90")
    _require_longitudes(west, east, f"bbox {bbox!r:.100}")
    ranges = spans(*normalised(west, east))
    return shapely.union_all([_box(w, south, e, north) for w, e in ranges])


def _require_longitudes(west: float, east: float, label: str) -> None:
    if west < -_MAX_LONGITUDE or east > _MAX_LONGITUDE:
        raise SatimnetError(f"{label} has no longitudes: they are -180 to 180, or 0 to 360")


def _box(west: float, south: float, east: float, north: float) -> shapely.Geometry:
    """A rectangle; where it has no width or height a line or a point, which are valid."""
    import shapely

    if west < east and south < north:
        return shapely.box(west, south, east, north)
    corners = dict.fromkeys([(west, south), (east, north)])
    return shapely.Point(*corners) if len(corners) == 1 else shapely.LineString(list(corners))


_CONVERSE = {"contains": "within", "within": "contains"}  # the other relations are symmetric
_RELATIONS = frozenset(
    ("intersects", "disjoint", "contains", "within", "touches", "crosses", "overlaps", "equals")
)


def _relate_to(relation: str, literal: shapely.Geometry) -> Callable[[pa.ChunkedArray], pa.Array]:
    """Whether the relation holds from ``literal`` to each of a column of geometries."""
    import pyarrow as pa
    import shapely

    shapely.prepare(literal)
    # A prepared geometry builds its index when first used. DuckDB calls from several threads and
    # shapely gives up the interpreter's lock, so without this one the process may crash.
    lock = threading.Lock()

    def holds(column: pa.ChunkedArray) -> pa.Array:
        geometries = shapely.from_wkb(column.to_numpy())
        with lock:
            # GEOS uses the preparation of the first operand only.
            result = getattr(shapely, relation)(literal, geometries)
        return pa.array(result, pa.bool_(), mask=shapely.is_missing(geometries))

    return holds


def _relate(relation: str, a: pa.ChunkedArray, b: pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa
    import shapely

    left, right = shapely.from_wkb(a.to_numpy()), shapely.from_wkb(b.to_numpy())
    missing = shapely.is_missing(left) | shapely.is_missing(right)
    return pa.array(getattr(shapely, relation)(left, right), pa.bool_(), mask=missing)


# --- numbers and text ---------------------------------------------------------------------------

_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "/": np.divide,
    "%": np.fmod,
    "div": lambda a, b: np.trunc(np.divide(a, b)),
    "^": np.power,
}


def _arithmetic(operator: str, a: pa.ChunkedArray, b: pa.ChunkedArray) -> pa.Array:
    """What SQL could only guard against zero by naming an operand twice, doubling at each level."""
    import pyarrow as pa

    left, right = a.to_numpy(), b.to_numpy()  # with NaN for null
    with np.errstate(all="ignore"):
        result = _ARITHMETIC[operator](left, right)
    # 1 ^ NaN is 1 to NumPy.
    return pa.array(result, pa.float64(), mask=~np.isfinite(result + left + right))


def _casei(text: str) -> str:
    return text.casefold()


def _accenti(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text)
    plain = "".join(c for c in decomposed if not unicodedata.combining(c))
    return unicodedata.normalize("NFC", plain)


_TEXT: dict[str, Callable[[str], str]] = {"casei": _casei, "accenti": _accenti}


def _map_text(function: Callable[[str], str], column: pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    texts = [None if text is None else function(text) for text in column.to_pylist()]
    return pa.array(texts, pa.string())


_TEXT_FUNCTIONS = {
    op: Function(partial(_map_text, call), ("VARCHAR",), "VARCHAR") for op, call in _TEXT.items()
}
_CALCULATIONS = {
    op: Function(partial(_arithmetic, op), ("DOUBLE", "DOUBLE"), "DOUBLE") for op in _ARITHMETIC
}
_BETWEEN_COLUMNS = {
    relation: Function(partial(_relate, relation), ("BLOB", "BLOB"), "BOOLEAN")
    for relation in _RELATIONS
}


# --- the compiler -------------------------------------------------------------------------------

_COMPARISONS = frozenset(("=", "<>", "<", "<=", ">", ">="))

# https://www.w3.org/TR/owl-time/#topology with a from a0 to a1 and b from b0 to b1, ends included
_TEMPORAL = {
    "t_after": "a0 > b1",
    "t_before": "a1 < b0",
    "t_contains": "a0 < b0 AND a1 > b1",
    "t_disjoint": "a0 > b1 OR a1 < b0",
    "t_during": "a0 > b0 AND a1 < b1",
    "t_equals": "a0 = b0 AND a1 = b1",
    "t_finishedBy": "a0 < b0 AND a1 = b1",
    "t_finishes": "a0 > b0 AND a1 = b1",
    "t_intersects": "a0 <= b1 AND a1 >= b0",
    "t_meets": "a1 = b0",
    "t_metBy": "a0 = b1",
    "t_overlappedBy": "a0 > b0 AND a0 < b1 AND a1 > b1",
    "t_overlaps": "a0 < b0 AND a1 > b0 AND a1 < b1",
    "t_startedBy": "a0 = b0 AND a1 > b1",
    "t_starts": "a0 = b0 AND a1 < b1",
}

_ARRAYS = {
    "a_contains": "list_has_all({a}, {b})",
    "a_containedBy": "list_has_all({b}, {a})",
    "a_equals": "(list_has_all({a}, {b}) AND list_has_all({b}, {a}))",
    "a_overlaps": "list_has_any({a}, {b})",
}


_NAMES = {
    name.lower(): name
    for name in (
        *("and", "or", "not", "isNull", "between", "in", "like", *_TEXT, *_COMPARISONS),
        *("+", "-", "*", *_ARITHMETIC, *_ARRAYS, *_TEMPORAL),
        *(f"s_{relation}" for relation in _RELATIONS),
    )
}
"""The operators of CQL2, by their names in lower case."""
_NAMES |= {f"st_{relation}": f"s_{relation}" for relation in _RELATIONS} | {"!=": "<>"}

_SQL_TYPES = {"text": "VARCHAR", "number": "DOUBLE", "boolean": "BOOLEAN", "time": "TIMESTAMPTZ"}
_FEW = 8  # values that stand in the SQL one by one, where DuckDB holds them against statistics
_MOST_OF_ARRAY = 1000  # values of a list that is held against the list of each Item


def _kind_of_value(value: Value) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return "text" if isinstance(value, str) else "number"


@dataclass(frozen=True)
class _Term:
    """An SQL expression, its kind and, of a literal, its value."""

    sql: str
    kind: str
    value: Any = None


class _Compiler:
    def __init__(self, kinds: Mapping[str, str], statement: Statement) -> None:
        self._kinds = kinds
        self._statement = statement

    def boolean(self, node: Node) -> str:
        return self._of_kind(node, "boolean").sql

    def _of_kind(self, node: Node, kind: str) -> _Term:
        term = self._term(node)
        if term.kind not in (kind, "null"):
            raise SatimnetError(f"a filter has {_show(node)} ({term.kind}) where {kind} must stand")
        return term

    def _term(self, node: Node) -> _Term:
        if node is None:
            return _Term("NULL", "null")
        if isinstance(node, bool):
            return _Term(str(node).upper(), "boolean", node)
        if isinstance(node, int | float):
            return _Term(self._statement.bind(float(node)), "number", node)
        if isinstance(node, str):
            return _Term(self._statement.bind(node), "text", node)
        if isinstance(node, list):
            return self._list(node)
        if isinstance(node, Phrase):
            return self._phrase(node)
        if "property" in node:
            return self._property(node["property"])
        if "op" in node:
            return self._operation(node["op"], node.get("args", []))
        if text := node.get("timestamp") or node.get("date"):
            return _Term(self._time(period_of(text)[0]), "time")
        if "bbox" in node:
            return _Term("NULL", "geometry", box_of(node["bbox"]))
        if "type" in node:
            return _Term("NULL", "geometry", geometry_of(node))
        raise SatimnetError(f"a filter cannot have {_show(node)} here")

    def _property(self, name: str) -> _Term:
        plain = name if name in self._kinds else name.removeprefix("properties.")
        if plain not in self._kinds:
            known = ", ".join(sorted(self._kinds))
            raise SatimnetError(f"no Item searched has a property {name!r:.99}; there are: {known}")
        return _Term(self._statement.column(plain), self._kinds[plain])

    def _phrase(self, phrase: Phrase) -> _Term:
        text = self._of_kind({"property": phrase.property}, "text").sql
        words = f"regexp_replace(strip_accents(lower({text})), '[^\\pL\\pN]+', ' ', 'g')"
        # As one pattern, which costs the same however many there are; letters and digits alone
        # need no escape.
        looked_for = self._statement.bind("|".join(phrase.phrases))
        return _Term(f"regexp_matches(' ' || {words} || ' ', {looked_for})", "boolean")

    def _list(self, nodes: list[Node]) -> _Term:
        terms = [self._term(node) for node in nodes]
        kinds = {term.kind for term in terms} - {"null"}
        if len(kinds) > 1:
            raise SatimnetError(f"a filter has a list of mixed kinds: {_show(nodes)}")
        return _Term(f"[{_joined(terms)}]", f"list of {kinds.pop() if kinds else 'null'}")

    def _time(self, time: datetime) -> str:
        return f"{self._statement.bind(time.isoformat())}::TIMESTAMPTZ"

    def _as_time(self, text: _Term) -> str:
        time = period_of(text.value)[0]
        return f"{self._statement.rebind(text.sql, time.isoformat())}::TIMESTAMPTZ"

    def _operation(self, op: str, args: list[Node]) -> _Term:
        if op in ("and", "or"):
            parts = f" {op.upper()} ".join(self.boolean(arg) for arg in args)
            return _Term(f"({parts})" if args else str(op == "and").upper(), "boolean")
        if op == "not":
            return _Term(f"(NOT {self.boolean(*self._take(op, args, 1))})", "boolean")
        if op == "isNull":
            return _Term(f"({self._term(*self._take(op, args, 1)).sql} IS NULL)", "boolean")
        if op in _COMPARISONS:
            a, b = self._comparable(op, self._take(op, args, 2))
            return _Term(f"({a.sql} {op} {b.sql})", "boolean")
        if op == "between":
            if len(args) == 2 and isinstance(args[1], list):  # so drafts of CQL2-JSON had it
                args = [args[0], *args[1]]
            a, low, high = self._comparable(op, self._take(op, args, 3))
            return _Term(f"({a.sql} BETWEEN {low.sql} AND {high.sql})", "boolean")
        if op == "in":
            return self._in(*self._take(op, args, 2))
        if op == "like":
            return self._like(*self._take(op, args, 2))
        if op in _TEXT:
            return self._text(op, *self._take(op, args, 1))
        if op in ("+", "-", "*") or op in _ARITHMETIC:
            return self._calculation(op, *self._take(op, args, 2))
        if op in _ARRAYS:
            return self._array(op, *self._take(op, args, 2))
        if op in _TEMPORAL:
            return self._temporal(op, *self._take(op, args, 2))
        if op.startswith("s_") and op[2:] in _RELATIONS:
            return self._spatial(op[2:], *self._take(op, args, 2))
        raise SatimnetError(f"a filter uses {op!r:.100}, which is no operator of CQL2")

    def _take(self, op: str, args: list[Node], count: int) -> list[Node]:
        if len(args) != count:
            raise SatimnetError(f"{op!r} takes {count} arguments in a filter, not {len(args)}")
        return args

    def _comparable(self, op: str, nodes: list[Node]) -> list[_Term]:
        """Terms of one scalar kind; a text among times is read as a time."""
        terms = [self._term(node) for node in nodes]
        if any(term.kind == "time" for term in terms):
            terms = [
                _Term(self._as_time(term), "time") if isinstance(term.value, str) else term
                for term in terms
            ]
        kinds = {term.kind for term in terms} - {"null"}
        if len(kinds) > 1 or not kinds <= {"number", "text", "boolean", "time"}:
            shown = ", ".join(
                f"{_show(node)} ({term.kind})" for node, term in zip(nodes, terms, strict=True)
            )
            raise SatimnetError(f"a filter cannot compare with {op!r}: {shown}")
        return terms

    def _in(self, item: Node, choices: Node) -> _Term:
        if not isinstance(choices, list):
            raise SatimnetError(f"'in' wants a list in a filter, not {_show(choices)}")
        if len(choices) > _FEW and all(choice is None or _is_scalar(choice) for choice in choices):
            return self._in_many(item, choices)
        if len(choices) > _MOST_OF_ARRAY:
            raise SatimnetError(f"'in' takes at most {_MOST_OF_ARRAY:,} of what is no plain value")
        term, *others = self._comparable("in", [item, *choices])
        # SQL has no empty list; DuckDB wants every value that is bound to be used.
        within = f"IN ({_joined(others)})" if others else "IS NULL AND FALSE"
        return _Term(f"({term.sql} {within})", "boolean")

    def _in_many(self, item: Node, values: list[Value]) -> _Term:
        """One list is bound and hashed, which takes thousands of values."""
        one_of_each = {_kind_of_value(value): value for value in values}
        aside = _Compiler(self._kinds, Statement())
        terms = aside._comparable("in", [item, *one_of_each.values()])
        (kind,) = {term.kind for term in terms} - {"null"} or {"text"}
        if kind == "time":
            values = [v and period_of(str(v))[0].isoformat() for v in values]
        array = f"{self._statement.bind(values)}::{_SQL_TYPES[kind]}[]"
        return _Term(f"({self._term(item).sql} IN (SELECT unnest({array})))", "boolean")

    def _like(self, text: Node, pattern: Node) -> _Term:
        term, literal = self._of_kind(text, "text"), self._of_kind(pattern, "text")
        if not isinstance(literal.value, str):
            raise SatimnetError(f"'like' wants a pattern in a filter, not {_show(pattern)}")
        if re.search(r"(?<!\\)(\\\\)*\\$", literal.value):
            raise SatimnetError(f"the pattern {literal.value!r:.100} ends with a bare backslash")
        return _Term(f"({term.sql} LIKE {literal.sql} ESCAPE '\\')", "boolean")

    def _text(self, op: str, node: Node) -> _Term:
        term = self._of_kind(node, "text")
        if isinstance(term.value, str):
            value = _TEXT[op](term.value)
            return _Term(self._statement.rebind(term.sql, value), "text", value)
        return _Term(self._statement.call(_TEXT_FUNCTIONS[op], term.sql), "text")

    def _calculation(self, op: str, left: Node, right: Node) -> _Term:
        a, b = (f"{self._of_kind(node, 'number').sql}::DOUBLE" for node in (left, right))
        if op not in _ARITHMETIC:
            return _Term(f"({a} {op} {b})", "number")
        return _Term(self._statement.call(_CALCULATIONS[op], a, b), "number")

    def _array(self, op: str, left: Node, right: Node) -> _Term:
        if any(isinstance(node, list) and len(node) > _MOST_OF_ARRAY for node in (left, right)):
            raise SatimnetError(f"{op!r} takes a list of at most {_MOST_OF_ARRAY:,} values")
        a, b = self._term(left), self._term(right)
        kinds = {a.kind, b.kind} - {"null", "list of null"}
        if len(kinds) > 1 or not all(kind.startswith("list of ") for kind in kinds):
            raise SatimnetError(
                f"{op!r} wants two lists of one kind in a filter, not "
                f"{_show(left)} ({a.kind}) and {_show(right)} ({b.kind})"
            )
        return _Term(_ARRAYS[op].format(a=a.sql, b=b.sql), "boolean")

    def _temporal(self, op: str, left: Node, right: Node) -> _Term:
        (a0, a1), (b0, b1) = self._period(left), self._period(right)
        ends = {"a0": a0, "a1": a1, "b0": b0, "b1": b1}

        def sql_of(match: re.Match[str]) -> str:
            end = ends[match[0]]
            return self._time(end) if isinstance(end, datetime) else end

        return _Term(f"({re.sub(r'[ab][01]', sql_of, _TEMPORAL[op])})", "boolean")

    def _period(self, node: Node) -> tuple[datetime | str, datetime | str]:
        """Start and end of an instant or interval: a time, or SQL for one."""
        if isinstance(node, dict) and "interval" in node:
            if len(node["interval"]) != 2:
                raise SatimnetError(f"an interval has two ends, not {_show(node)}")
            start, end = node["interval"]
            return (
                "'-infinity'::TIMESTAMPTZ" if start == ".." else self._period(start)[0],
                "'infinity'::TIMESTAMPTZ" if end == ".." else self._period(end)[1],
            )
        if isinstance(node, dict):
            node = node.get("timestamp") or node.get("date") or node
        if isinstance(node, str):
            return period_of(node)
        term = self._of_kind(node, "time")
        return term.sql, term.sql

    def _spatial(self, relation: str, left: Node, right: Node) -> _Term:
        import shapely

        a, b = self._of_kind(left, "geometry"), self._of_kind(right, "geometry")
        if a.value is not None and b.value is not None:
            return self._term(bool(getattr(shapely, relation)(a.value, b.value)))
        if a.value is None and b.value is None:
            return _Term(self._statement.call(_BETWEEN_COLUMNS[relation], a.sql, b.sql), "boolean")
        if a.value is None:
            a, b, relation = b, a, _CONVERSE.get(relation, relation)
        function = Function(_relate_to(relation, a.value), ("BLOB",), "BOOLEAN")
        exact = self._statement.call(function, b.sql)
        if b.sql != quoted("geometry"):
            return _Term(exact, "boolean")
        return _Term(self._bbox_first(relation, a.value, exact), "boolean")

    def _bbox_first(self, relation: str, literal: shapely.Geometry, exact: str) -> str:
        """``exact``, but decided by the Item's bbox where that suffices.

        Boxes apart: disjoint is true and every other relation false. A box within a rectangle:
        the two intersect. A bbox across the antimeridian has xmin > xmax and decides nothing.
        """
        import shapely

        west, south, east, north = map(self._statement.bind, shapely.bounds(literal).tolist())
        box = self._statement.column("bbox")
        apart = (
            f"{box}.ymax < {south} OR {box}.ymin > {north} OR "
            f"({box}.xmin <= {box}.xmax AND ({box}.xmax < {west} OR {box}.xmin > {east}))"
        )
        cases = f"WHEN {apart} THEN {str(relation == 'disjoint').upper()}"
        if relation in ("intersects", "disjoint") and shapely.equals(
            literal, shapely.envelope(literal)
        ):
            cases += (
                f" WHEN {box}.xmin <= {box}.xmax AND {box}.xmin >= {west} AND {box}.xmax <= {east}"
                f" AND {box}.ymin >= {south} AND {box}.ymax <= {north}"
                f" THEN {str(relation == 'intersects').upper()}"
            )
        return f'CASE WHEN "geometry" IS NULL THEN NULL {cases} ELSE {exact} END'


def _joined(terms: list[_Term]) -> str:
    return ", ".join(term.sql for term in terms)


def _show(node: Node) -> str:
    """A piece of a filter as an error message shows it."""
    if isinstance(node, dict) and "property" in node:
        return repr(node["property"])
    return f"{json.dumps(node, ensure_ascii=False, default=str):.80}"
