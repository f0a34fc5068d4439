"""Values of Arrow columns as JSON has them, made column by column.

A row of BigEarthNet has 350 leaves. Looking at each of them, row by row, takes several times as
long as taking each column to Python once and zipping what belongs together.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise, repeat
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_ABSENT = object()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000}  # datetime has no nanoseconds


def json_values(column: pa.Array) -> list[Any]:
    """The values of a column: None for null, times as RFC 3339 text.

    In an object what is null is absent. A float that JSON has no number for, such as NaN, is None.
    No two values share a list or an object.

    Raises:
        ValueError: a text is no UTF-8, or an object has two fields of one name.
        OverflowError: a time is none that Python has.

    Example:
        >>> import pyarrow as pa
        >>> json_values(pa.array([{"a": 1, "b": None}, {"a": None, "b": [float("nan"), 2.0]}]))
        [{'a': 1}, {'b': [None, 2.0]}]
    """
    import pyarrow as pa

    kinds, type_ = pa.types, column.type
    if kinds.is_struct(type_):
        names = [field.name for field in type_]
        if len(set(names)) < len(names):  # Arrow says so
            return list(map(_plain, column.to_pylist()))
        return _with_nulls(json_objects(names, column.flatten(), len(column)), column)
    if kinds.is_list(type_) or kinds.is_large_list(type_):
        return _lists(column)
    if kinds.is_timestamp(type_) and type_.tz and type_.unit in _PER_SECOND:
        # Arrow would import pandas for the first instant, which takes longer than a search.
        per_second = _PER_SECOND[type_.unit]
        counts = column.cast(pa.int64()).to_pylist()
        return [None if count is None else _instant(count, per_second) for count in counts]
    values: list[Any] = column.to_pylist()
    if kinds.is_string(type_) or kinds.is_integer(type_) or kinds.is_boolean(type_):
        return values
    if kinds.is_float64(type_) and all(map(isfinite, filter(None, values))):
        return values
    return list(map(_plain, values))


def json_objects(names: Iterable[str], columns: Iterable[pa.Array], rows: int) -> list[Any]:
    """For each row an object with the values of these columns that are not null."""
    keys, parts, gaps = [], [], False
    for name, column in zip(names, columns, strict=True):
        if column.null_count == rows:
            continue
        values = json_values(column)
        if column.null_count:
            gaps = True
            present = column.is_valid().to_pylist()
            values = [v if there else _ABSENT for v, there in zip(values, present, strict=True)]
        keys.append(name)
        parts.append(values)
    if not parts:
        return [{} for _ in range(rows)]
    if not gaps:
        return list(map(dict, map(zip, repeat(keys), zip(*parts, strict=True))))
    return [
        {key: v for key, v in zip(keys, row, strict=True) if v is not _ABSENT}
        for row in zip(*parts, strict=True)
    ]


def _lists(column: pa.ListArray | pa.LargeListArray) -> list[Any]:
    if column.null_count == len(column):
        return [None] * len(column)
    places = column.offsets.to_pylist()
    first = places[0]
    inner = json_values(column.values.slice(first, places[-1] - first))
    if first:
        places = [place - first for place in places]
    found = [inner[start:end] for start, end in pairwise(places)]
    return _with_nulls(found, column)


def _with_nulls(values: list[Any], column: pa.Array) -> list[Any]:
    """The values, None where the column is null."""
    if column.null_count == 0:
        return values
    present = column.is_valid().to_pylist()
    return [v if there else None for v, there in zip(values, present, strict=True)]


def _plain(value: Any) -> Any:
    """A value of any other type."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, datetime):
        return _time_text(value)
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


@lru_cache(1024)
def _instant(count: int, per_second: int) -> str:
    """The text of a time given as a number since 1970."""
    return _time_text(_EPOCH + timedelta(microseconds=count * (1_000_000 // per_second)))


def _time_text(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
