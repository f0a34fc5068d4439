"""Questions about facts of files, such as numbers of bands or rows, as conditions in CQL2.

`satimnet.builder.catalog.file_facts` makes the properties that they ask for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from satimnet.builder.arguments import hint
from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.catalog.file_facts import format_of
from satimnet.builder.errors import ArgumentError, BadQueryError
from satimnet.builder.query.cql2_text import Node

Range = int | Sequence[int | None]
"""A number, or the least and the most, of which one may be None."""

_LARGEST = 2**63 - 1
_FEW = 30  # names that a message lists
_LISTS = {
    "file_format": ("satimnet:formats", "a_overlaps", "format"),
    "data_type": ("satimnet:data_types", "a_overlaps", "data type"),
    "band_count": ("satimnet:band_counts", "a_overlaps", "number of bands"),
    "bands": ("satimnet:band_names", "a_contains", "band"),
}
_RANGES = {"rows": "satimnet:rows", "columns": "satimnet:columns", "bytes": "satimnet:bytes"}
_FLAGS = ("has_mask", "has_annotation", "georeferenced", "has_nodata")
_FORMATS = {"geotiff": "tif", "gtiff": "tif"}


def fact_conditions(
    asked: Mapping[str, Any], documents: Collection[CollectionDocument]
) -> list[Node]:
    """The conditions for what is not None in ``asked``, arguments of a search by their names.

    Raises:
        ArgumentError: a range or a name cannot be.
        BadQueryError: no Item of the collections has one of the values.
    """
    conditions: list[Node] = []
    for argument, (name, op, word) in _LISTS.items():
        if (value := asked[argument]) is not None:
            values = _values(argument, value)
            _require_known(values, name, word, documents)
            conditions.append({"op": op, "args": [{"property": name}, values]})
    for argument, name in _RANGES.items():
        if (value := asked[argument]) is not None:
            conditions += _within(argument, {"property": name}, value)
    for argument in _FLAGS:
        if (value := asked[argument]) is not None:
            args = [{"property": f"satimnet:{argument}"}, bool(value)]
            conditions.append({"op": "=", "args": args})
    return conditions


def known_format(name: str) -> str:
    """The format that is meant: the ending of a file, a name or a media type.

    Example:
        >>> known_format(".JPEG"), known_format("GeoTIFF"), known_format("image/png")
        ('jpg', 'tif', 'png')
    """
    plain = format_of(name.strip().lstrip("."))
    return _FORMATS.get(plain, plain)


def _values(argument: str, given: Any) -> list[Any]:
    """The values of a list; names are those of files, without blanks."""
    values: list[Any] = [given] if isinstance(given, str | int) else list(given)
    if argument == "band_count":
        for number in values:
            if not 1 <= number <= _LARGEST:
                raise ArgumentError(f"{argument} {number!s:.20}: must be 1 or more", argument)
        return [int(number) for number in values]
    names = [value.strip() for value in values]
    if "" in names:
        raise ArgumentError(f"{argument} has an empty name; give {_SUCH_AS[argument]}", argument)
    return [known_format(name) for name in names] if argument == "file_format" else names


_SUCH_AS = {
    "file_format": "one such as jpg",
    "data_type": "one such as uint16",
    "bands": "names such as B02,B08",
}


def _require_known(
    values: Sequence[Any], name: str, word: str, documents: Collection[CollectionDocument]
) -> None:
    """Raises `BadQueryError` for a value that no collection has, if all say which they have."""
    tables = [document.summary(name) for document in documents]
    if not all(tables):
        return
    known = sorted({value for table in tables for value in table if value is not None}, key=str)
    for value in values:
        if value not in known:
            texts = [str(one) for one in known]
            there = (
                f"there are {', '.join(texts)}" if len(texts) <= _FEW else hint(str(value), texts)
            )
            raise BadQueryError(f"no Item has the {word} {value!s:.80}; {there}")


def _within(argument: str, name: Node, given: Range) -> list[Node]:
    ends = [given, given] if isinstance(given, int) else list(given)
    shown = ":".join("" if end is None else f"{end!s:.20}" for end in ends)
    if len(ends) != 2 or ends == [None, None]:
        raise ArgumentError(
            f"{argument} {shown}: give a number, or the least and the most, one of which may be "
            "left out",
            argument,
        )
    low, high = ends
    if any(end is not None and not 0 <= end <= _LARGEST for end in ends):
        raise ArgumentError(f"{argument} {shown}: no file has so many", argument)
    if low is not None and high is not None and low > high:
        raise ArgumentError(
            f"{argument} {shown}: the first number is larger than the last", argument
        )
    conditions = [] if low is None else [{"op": ">=", "args": [name, int(low)]}]
    return conditions + ([] if high is None else [{"op": "<=", "args": [name, int(high)]}])
