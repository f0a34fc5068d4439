"""The operators of CQL2: their names, and the SQL or the function that stands for each."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.query.arrow_columns import floats, numbers, texts
from satimnet.builder.query.geometry import RELATIONS
from satimnet.builder.query.statements import Function

if TYPE_CHECKING:
    import pyarrow as pa

COMPARISONS = frozenset(("=", "<>", "<", "<=", ">", ">="))

# https://www.w3.org/TR/owl-time/#topology with a from a0 to a1 and b from b0 to b1, ends included
TEMPORAL = {
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
"""SQL over two periods."""

ARRAYS = {
    "a_contains": "list_has_all({a}, {b})",
    "a_containedBy": "list_has_all({b}, {a})",
    "a_equals": "(list_has_all({a}, {b}) AND list_has_all({b}, {a}))",
    "a_overlaps": "list_has_any({a}, {b})",
}
"""SQL over two lists."""

ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "/": np.divide,
    "%": np.fmod,
    "div": lambda a, b: np.trunc(np.divide(a, b)),
    "^": np.power,
}
"""Beside plus, minus and times, which are SQL's own."""


def _arithmetic(operator: str, a: pa.ChunkedArray, b: pa.ChunkedArray) -> pa.Array:
    """The results, null where one is no finite number.

    SQL would have to name an operand twice to guard against zero: twice the text at each level.
    """
    left, right = numbers(a), numbers(b)
    with np.errstate(all="ignore"):
        result = ARITHMETIC[operator](left, right)
    # 1 ^ NaN is 1 to NumPy.
    return floats(result, ~np.isfinite(result + left + right))


def _casei(text: str) -> str:
    return text.casefold()


def _accenti(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text)
    plain = "".join(c for c in decomposed if not unicodedata.combining(c))
    return unicodedata.normalize("NFC", plain)


TEXT: dict[str, Callable[[str], str]] = {"casei": _casei, "accenti": _accenti}
"""What is done with a literal; `TEXT_FUNCTIONS` do it with a column."""


def _map_text(function: Callable[[str], str], column: pa.ChunkedArray) -> pa.Array:
    return texts([None if text is None else function(text) for text in column.to_pylist()])


TEXT_FUNCTIONS = {
    op: Function(partial(_map_text, call), ("VARCHAR",), "VARCHAR") for op, call in TEXT.items()
}
ARITHMETIC_FUNCTIONS = {
    op: Function(partial(_arithmetic, op), ("DOUBLE", "DOUBLE"), "DOUBLE") for op in ARITHMETIC
}


NAMES = {
    name.lower(): name
    for name in (
        *("and", "or", "not", "isNull", "between", "in", "like", *TEXT, *COMPARISONS),
        *("+", "-", "*", *ARITHMETIC, *ARRAYS, *TEMPORAL),
        *(f"s_{relation}" for relation in RELATIONS),
    )
}
NAMES |= {f"st_{relation}": f"s_{relation}" for relation in RELATIONS} | {"!=": "<>"}
"""The operators of CQL2, by their names in lower case."""
