"""CQL2 filters as DuckDB SQL, exact in every operator and in SQL's three-valued logic.

`satimnet.builder.query.cql2_text` reads the text form, `satimnet.builder.query.cql2_json` checks
the JSON form, and here that is compiled: https://docs.ogc.org/is/21-065r2/21-065r2.html. Where the
standard leaves a choice:

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

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from satimnet.builder.errors import BadQueryError, TooLargeError
from satimnet.builder.query.cql2_json import excerpt, is_scalar
from satimnet.builder.query.cql2_operators import (
    ARITHMETIC,
    ARITHMETIC_FUNCTIONS,
    ARRAYS,
    COMPARISONS,
    TEMPORAL,
    TEXT,
    TEXT_FUNCTIONS,
)
from satimnet.builder.query.cql2_text import Node
from satimnet.builder.query.freetext import Phrase, folded_sql
from satimnet.builder.query.geometry import (
    BETWEEN_COLUMNS,
    CONVERSE,
    RELATIONS,
    box_of,
    geometry_of,
    relation_to,
)
from satimnet.builder.query.rfc3339 import period_of
from satimnet.builder.query.statements import Function, Statement, Value, quoted

if TYPE_CHECKING:
    import shapely

_SHORT = 4000  # characters of SQL whose conditions DuckDB may take apart
_SQL_TYPES = {"text": "VARCHAR", "number": "DOUBLE", "boolean": "BOOLEAN", "time": "TIMESTAMPTZ"}
_FEW = 8  # values that stand in the SQL one by one, where DuckDB holds them against statistics
_MOST_OF_ARRAY = 1000  # values of a list that is held against the list of each Item


def compile_filter(node: Node, kinds: Mapping[str, str], statement: Statement) -> str:
    """CQL2-JSON as a boolean SQL expression over columns of ``kinds`` (`kind_of`).

    Values, functions and columns go into ``statement``. The rows also need a column ``bbox``
    (struct of xmin, ymin, xmax, ymax) where the filter asks for their ``geometry``.

    Raises:
        BadQueryError: a property or an operator is unknown, or the kinds of two values differ.
    """
    try:
        sql = _Compiler(kinds, statement).boolean(node)
        # In one piece to DuckDB, which takes the square of the number of conditions to plan them.
        return f"({sql} = TRUE)" if len(sql) > _SHORT else sql
    except RecursionError:
        raise TooLargeError("the filter is nested too deeply; write it flatter") from None


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
            raise BadQueryError(
                f"a filter has {excerpt(node)} ({term.kind}) where {kind} must stand"
            )
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
        raise BadQueryError(f"a filter cannot have {excerpt(node)} here")

    def _property(self, name: str) -> _Term:
        plain = name if name in self._kinds else name.removeprefix("properties.")
        if plain not in self._kinds:
            known = ", ".join(sorted(self._kinds))
            raise BadQueryError(f"no Item searched has a property {name!r:.99}; there are: {known}")
        return _Term(self._statement.column(plain), self._kinds[plain])

    def _phrase(self, phrase: Phrase) -> _Term:
        text = self._of_kind({"property": phrase.property}, "text").sql
        pattern = self._statement.bind(phrase.pattern())
        return _Term(f"regexp_matches({folded_sql(text)}, {pattern})", "boolean")

    def _list(self, nodes: list[Node]) -> _Term:
        terms = [self._term(node) for node in nodes]
        kinds = {term.kind for term in terms} - {"null"}
        if len(kinds) > 1:
            raise BadQueryError(f"a filter has a list of mixed kinds: {excerpt(nodes)}")
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
        if op in COMPARISONS:
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
        if op in TEXT:
            return self._text(op, *self._take(op, args, 1))
        if op in ("+", "-", "*") or op in ARITHMETIC:
            return self._calculation(op, *self._take(op, args, 2))
        if op in ARRAYS:
            return self._array(op, *self._take(op, args, 2))
        if op in TEMPORAL:
            return self._temporal(op, *self._take(op, args, 2))
        if op.startswith("s_") and op[2:] in RELATIONS:
            return self._spatial(op[2:], *self._take(op, args, 2))
        raise BadQueryError(f"a filter uses {op!r:.100}, which is no operator of CQL2")

    def _take(self, op: str, args: list[Node], count: int) -> list[Node]:
        if len(args) != count:
            raise BadQueryError(f"{op!r} takes {count} arguments in a filter, not {len(args)}")
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
                f"{excerpt(node)} ({term.kind})" for node, term in zip(nodes, terms, strict=True)
            )
            raise BadQueryError(f"a filter cannot compare with {op!r}: {shown}")
        return terms

    def _in(self, item: Node, choices: Node) -> _Term:
        if not isinstance(choices, list):
            raise BadQueryError(f"'in' wants a list in a filter, not {excerpt(choices)}")
        if len(choices) > _FEW and all(choice is None or is_scalar(choice) for choice in choices):
            return self._in_many(item, choices)
        if len(choices) > _MOST_OF_ARRAY:
            raise BadQueryError(f"'in' takes at most {_MOST_OF_ARRAY:,} of what is no plain value")
        term, *others = self._comparable("in", [item, *choices])
        # SQL has no empty list; DuckDB wants every value that is bound to be used.
        within = f"IN ({_joined(others)})" if others else "IS NULL AND FALSE"
        self._statement.joins |= len(others) > 1
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
        self._statement.joins = True
        return _Term(f"({self._term(item).sql} IN (SELECT unnest({array})))", "boolean")

    def _like(self, text: Node, pattern: Node) -> _Term:
        term, literal = self._of_kind(text, "text"), self._of_kind(pattern, "text")
        if not isinstance(literal.value, str):
            raise BadQueryError(f"'like' wants a pattern in a filter, not {excerpt(pattern)}")
        if re.search(r"(?<!\\)(\\\\)*\\$", literal.value):
            raise BadQueryError(f"the pattern {literal.value!r:.100} ends with a bare backslash")
        return _Term(f"({term.sql} LIKE {literal.sql} ESCAPE '\\')", "boolean")

    def _text(self, op: str, node: Node) -> _Term:
        term = self._of_kind(node, "text")
        if isinstance(term.value, str):
            value = TEXT[op](term.value)
            return _Term(self._statement.rebind(term.sql, value), "text", value)
        return _Term(self._statement.call(TEXT_FUNCTIONS[op], term.sql), "text")

    def _calculation(self, op: str, left: Node, right: Node) -> _Term:
        a, b = (f"{self._of_kind(node, 'number').sql}::DOUBLE" for node in (left, right))
        if op not in ARITHMETIC:
            return _Term(f"({a} {op} {b})", "number")
        return _Term(self._statement.call(ARITHMETIC_FUNCTIONS[op], a, b), "number")

    def _array(self, op: str, left: Node, right: Node) -> _Term:
        if any(isinstance(node, list) and len(node) > _MOST_OF_ARRAY for node in (left, right)):
            raise BadQueryError(f"{op!r} takes a list of at most {_MOST_OF_ARRAY:,} values")
        a, b = self._term(left), self._term(right)
        kinds = {a.kind, b.kind} - {"null", "list of null"}
        if len(kinds) > 1 or not all(kind.startswith("list of ") for kind in kinds):
            raise BadQueryError(
                f"{op!r} wants two lists of one kind in a filter, not "
                f"{excerpt(left)} ({a.kind}) and {excerpt(right)} ({b.kind})"
            )
        return _Term(ARRAYS[op].format(a=a.sql, b=b.sql), "boolean")

    def _temporal(self, op: str, left: Node, right: Node) -> _Term:
        (a0, a1), (b0, b1) = self._period(left), self._period(right)
        ends = {"a0": a0, "a1": a1, "b0": b0, "b1": b1}

        def sql_of(match: re.Match[str]) -> str:
            end = ends[match[0]]
            return self._time(end) if isinstance(end, datetime) else end

        return _Term(f"({re.sub(r'[ab][01]', sql_of, TEMPORAL[op])})", "boolean")

    def _period(self, node: Node) -> tuple[datetime | str, datetime | str]:
        """Start and end of an instant or interval: a time, or SQL for one."""
        if isinstance(node, dict) and "interval" in node:
            if len(node["interval"]) != 2:
                raise BadQueryError(f"an interval has two ends, not {excerpt(node)}")
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
            return _Term(self._statement.call(BETWEEN_COLUMNS[relation], a.sql, b.sql), "boolean")
        if a.value is None:
            a, b, relation = b, a, CONVERSE.get(relation, relation)
        function = Function(relation_to(relation, a.value), ("BLOB",), "BOOLEAN")
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
