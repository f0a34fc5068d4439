"""CQL2-JSON from anybody, checked and put in order before anything is done with it.

Filters come from anybody, so each has bounds: on its length, its depth, its conditions and values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from satimnet.builder.errors import BadQueryError, TooLargeError
from satimnet.builder.query.cql2_operators import NAMES
from satimnet.builder.query.cql2_text import DEEPEST, Node, parse_text
from satimnet.builder.query.geometry import geometry_node

_LONGEST = 2**20  # characters of a filter
_MOST_CONDITIONS = 2000
_MOST_NODES = 200_000  # operations, properties and values


def parse_filter(text: str | Mapping[str, Any]) -> Node:
    """Reads a filter (CQL2 text, CQL2-JSON, or the latter as text) as checked CQL2-JSON.

    Alternatives that compare one property with values become one list, however many there are.

    Raises:
        TooLargeError: it is too long or too deep, or has too many conditions.
        BadQueryError: it is no CQL2.
    """
    name = f"filter {text!r:.300}" if isinstance(text, str) else "the filter"
    try:
        if isinstance(text, str):
            if len(text) > _LONGEST:
                raise TooLargeError(f"it has more than {_LONGEST:,} characters")
            is_json = text.lstrip().startswith("{")
            return _Checker().whole(json.loads(text) if is_json else parse_text(text))
        return _Checker().whole(text)
    except RecursionError:
        raise TooLargeError(f"{name} is nested too deeply; write it flatter") from None
    except TooLargeError as error:
        raise TooLargeError(f"{name} is too large: {error}") from None
    except ValueError as error:
        raise BadQueryError(f"{name} is not valid CQL2: {error!s:.300}") from None


class _Checker:
    """Checks CQL2-JSON and puts it in order; counts what it has seen."""

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
        raise BadQueryError(f"it has {node!r:.80}, which is not JSON")

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
        raise BadQueryError(f"it has {excerpt(node)}, which is no expression")

    def _operation(self, name: str, args: Sequence[Any], depth: int) -> Node:
        op = NAMES.get(name.lower(), name)
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
            case {"op": "=", "args": [{"property": name}, value]} if is_scalar(value):
                own = [value]
            case {"op": "in", "args": [{"property": name}, list(own)]} if all(map(is_scalar, own)):
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


def is_scalar(node: Node) -> bool:
    """Whether the node is a text, a number, true or false."""
    return isinstance(node, str | bool | float)


def _as_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        raise TooLargeError("it has a number of more than 300 digits") from None


def excerpt(node: Node) -> str:
    """A piece of a filter as an error message shows it."""
    if isinstance(node, dict) and "property" in node:
        return repr(node["property"])
    return f"{json.dumps(node, ensure_ascii=False, default=str):.80}"
