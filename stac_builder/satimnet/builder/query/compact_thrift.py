"""Numbers and structs in Thrift's compact protocol, as the headers and footers of Parquet have.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from typing import Any

_BOOLEANS, _BYTE, _INTEGERS, _DOUBLE, _TEXT = (1, 2), 3, (4, 5, 6), 7, 8
_LISTS, _STRUCT = (9, 10), 12


def integer(number: int) -> bytes:
    """An integer as a field of a struct holds it.

    Example:
        >>> integer(-1), integer(300)
        (b'\\x01', b'\\xd8\\x04')
    """
    return length(number << 1 if number >= 0 else (-number << 1) - 1)


def length(number: int) -> bytes:
    """A number that is not negative, such as how many bytes a text has."""
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


def text(value: bytes) -> bytes:
    """A text, with how long it is."""
    return length(len(value)) + value


def list_of(kind: int, count: int) -> bytes:
    """The beginning of a list of so many values of a kind."""
    return bytes([count << 4 | kind]) if count < 15 else bytes([0xF0 | kind]) + length(count)


def number_at(data: bytes, at: int) -> tuple[int, int]:
    """A number as `length` writes it, and where it ends."""
    found = shift = 0
    while True:
        byte = data[at]
        at += 1
        found |= (byte & 127) << shift
        if byte < 128:
            return found, at
        shift += 7


def fields_at(data: bytes, at: int) -> tuple[dict[int, Any], dict[int, int], int]:
    """The fields of a struct by their ids, where each one ends, and where the struct does.

    Integers and structs are read; of other fields it is only said that they are there. It takes
    as many steps as there are bytes, at most.

    Raises:
        ValueError: these bytes are no struct.
        IndexError: they end before it does.
    """
    fields: dict[int, Any] = {}
    ends: dict[int, int] = {}
    id_ = 0
    while True:
        head = data[at]
        at += 1
        if head == 0:
            return fields, ends, at
        if head >> 4:
            id_ += head >> 4
        else:
            id_, at = _integer_at(data, at)
        fields[id_], at = _value_at(data, at, head & 15)
        ends[id_] = at


def _integer_at(data: bytes, at: int) -> tuple[int, int]:
    number, at = number_at(data, at)
    return (number >> 1) ^ -(number & 1), at


def _value_at(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    """The value of a field that begins there, and where it ends."""
    if kind in _BOOLEANS:
        return None, at
    if kind == _BYTE:
        return None, at + 1
    if kind in _INTEGERS:
        return _integer_at(data, at)
    if kind == _DOUBLE:
        return None, at + 8
    if kind == _TEXT:
        count, at = number_at(data, at)
        return None, at + count
    if kind in _LISTS:
        head = data[at]
        count, at = (head >> 4, at + 1) if head >> 4 < 15 else number_at(data, at + 1)
        inner = head & 15
        if inner in (*_BOOLEANS, _BYTE):  # a boolean in a list is a byte
            return None, at + count
        if inner == _DOUBLE:
            return None, at + 8 * count
        for _ in range(count):
            _, at = _value_at(data, at, inner)
        return None, at
    if kind == _STRUCT:
        fields, _, at = fields_at(data, at)
        return fields, at
    raise ValueError(f"{kind} is no kind of field")
