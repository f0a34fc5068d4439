"""SQL under construction: its text in pieces, and the values, functions and columns in it.

DuckDB's names for types and what filters call them stand here as well.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

Value = float | str | bool | None
"""A plain value of a filter."""

_NUMBERS = itertools.count()


class Function(NamedTuple):
    """A function over Arrow columns, nulls included, to be registered with DuckDB."""

    call: Callable[..., pa.Array]
    takes: tuple[str, ...]
    gives: str


@dataclass
class Statement:
    """What an SQL text under construction refers to.

    ``values`` are bound to its ``$v0``, ``$v1``…, ``functions`` must be registered under their
    names before it runs, and ``columns`` are those that it reads. With ``joins`` it looks values up
    in a list, which DuckDB makes a join that does not keep the order of rows.
    """

    values: dict[str, Any] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    columns: set[str] = field(default_factory=set)
    joins: bool = False

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
