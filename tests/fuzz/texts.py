"""Spoilt bytes and texts: label files, tables, JSON and GeoJSON."""

from __future__ import annotations

import bz2
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from random import Random
from typing import Any

Spoil = Callable[[Random, bytes], bytes]

NUMBERS = (
    *("-1", "0", "-0", "0.0", "1e308", "-1e308", "1e999", "1e-320", "NaN", "Infinity", "-inf"),
    *("255", "65536", "2147483648", "4294967296", "18446744073709551616", "1" + "0" * 18),
    *("9" * 400, "9" * 5000, "0." + "3" * 5000, "-" + "9" * 30, "0x10", "1_000", "+5", "1,5", ""),
    *("٣", "\uff11\uff12", "²", "½", "\u200b7", "true", "null", "[]", '"7"', "1e", "--1", "7 7"),
)  # fmt: skip
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_WORD = re.compile(rb"[A-Za-z]{3,}")
_WORDS = (
    *("", "\0", "\n", "\r", "\x1b[31m", "\u202e", "\x85", "\u2028", "é", "\U0001f6a2", "a" * 300),
    *("../../x", "/etc/passwd", "C:\\x", "%s%n", "{0}", "$(id)", "'; --", '"', "\\", "ship\t"),
    *("x" * 100_000, "None", "NaN", "__class__", "\ufeff", "İ", "ß"),
)  # fmt: skip


# --- of any bytes -------------------------------------------------------------------------------


def _flip(rng: Random, data: bytes) -> bytes:
    spoilt = bytearray(data)
    for _ in range(rng.choice((1, 1, 4, 64)) if data else 0):
        spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
    return bytes(spoilt)


def _flip_early(rng: Random, data: bytes) -> bytes:
    head = min(len(data), 256)
    return _flip(rng, data[:head]) + data[head:]


def _span(rng: Random, data: bytes) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 2, 16, 500, 20_000)))


def _truncate(rng: Random, data: bytes) -> bytes:
    return data[
        : rng.choice((0, 1, 7, 8, len(data) // 2, max(len(data) - 1, 0), _span(rng, data)[0]))
    ]


def _delete(rng: Random, data: bytes) -> bytes:
    start, end = _span(rng, data)
    return data[:start] + data[end:]


def _insert(rng: Random, data: bytes) -> bytes:
    start, _ = _span(rng, data)
    size = rng.choice((1, 2, 100, 5000))
    return (
        data[:start] + rng.choice((rng.randbytes(size), bytes(size), b"\xff" * size)) + data[start:]
    )


def _repeat(rng: Random, data: bytes) -> bytes:
    start, end = _span(rng, data)
    return data[:end] + data[start:end] * rng.choice((1, 2, 50)) + data[end:]


def _overwrite(rng: Random, data: bytes) -> bytes:
    start, end = _span(rng, data)
    return data[:start] + rng.choice((b"\0", b"\xff", b"\x7f", b"[")) * (end - start) + data[end:]


def _append(rng: Random, data: bytes) -> bytes:
    return data + rng.choice(
        (data, bytes(4096), rng.randbytes(64), b"\n\n\n", b"PK\5\6" + bytes(18))
    )


BYTES: Mapping[str, Spoil] = {
    "bits flipped": _flip,
    "bits flipped early": _flip_early,
    "truncated": _truncate,
    "bytes deleted": _delete,
    "bytes inserted": _insert,
    "bytes repeated": _repeat,
    "bytes overwritten": _overwrite,
    "bytes appended": _append,
    "other bytes": lambda rng, data: rng.randbytes(rng.choice((1, 100, 10_000))),
}


# --- of any text --------------------------------------------------------------------------------


def _replace(
    rng: Random, data: bytes, pattern: re.Pattern[bytes], values: tuple[str, ...]
) -> bytes:
    found = list(pattern.finditer(data))
    if not found:
        return data
    parts, at = [], 0
    chosen = rng.sample(found, min(len(found), rng.choice((1, 1, 1, 5, 50))))
    for match in sorted(chosen, key=lambda m: m.start()):
        parts += [data[at : match.start()], rng.choice(values).encode()]
        at = match.end()
    return b"".join(parts) + data[at:]


def _numbers(rng: Random, data: bytes) -> bytes:
    return _replace(rng, data, _NUMBER, NUMBERS)


def _words(rng: Random, data: bytes) -> bytes:
    return _replace(rng, data, _WORD, _WORDS)


def _encoding(rng: Random, data: bytes) -> bytes:
    text = data.decode("latin-1")
    match rng.randrange(6):
        case 0:
            return text.encode(rng.choice(("utf-16", "utf-16-le", "utf-32", "utf-7", "cp037")))
        case 1:
            return rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\xef\xbb\xbf" * 2)) + data
        case 2:  # a lone surrogate, an overlong slash, a byte that no UTF-8 has
            bad = rng.choice((b"\xed\xa0\x80", b"\xc0\xaf", b"\xff", b"\xf4\x90\x80\x80"))
            start, _ = _span(rng, data)
            return data[:start] + bad + data[start:]
        case 3:
            start, _ = _span(rng, data)
            return data[:start] + b"\0" * rng.choice((1, 1000)) + data[start:]
        case 4:
            return text.upper().encode("latin-1", "replace")
        case _:
            return text.translate({ord(d): chr(0x660 + int(d)) for d in "0123456789"}).encode()


def _lines(rng: Random, data: bytes) -> bytes:
    ends = rng.choice((b"\n", b"\n", b"\r\n", b"\r", b"\0", b"\x0b", b"\xc2\x85", b"\n\n"))
    lines = data.splitlines()
    match rng.randrange(7) if lines else -1:
        case 0:
            rng.shuffle(lines)
        case 1:
            del lines[rng.randrange(len(lines))]
        case 2:
            lines += [rng.choice(lines)] * rng.choice((1, 3, 5000))
        case 3:
            del lines[0]
        case 4:
            lines[rng.randrange(len(lines))] *= rng.choice((2, 2000))
        case 5:
            lines.insert(0, lines[-1])
        case 6:
            lines = [rng.choice(lines)[:200]] * 100_000
    return ends.join(lines) + rng.choice((b"", ends))


def _cells(rng: Random, data: bytes) -> bytes:
    """Commas and blanks: quoted, moved, doubled, gone."""
    lines = data.splitlines() or [b""]
    at = rng.randrange(len(lines))
    comma = rng.choice((b",", b" ", b";"))
    cells = lines[at].split(comma)
    match rng.randrange(7):
        case 0:
            cells = [b'"' + cell + b'"' for cell in cells]
        case 1:
            cells[0] = b'"' + cells[0]
        case 2:
            cells *= rng.choice((2, 50, 3000))
        case 3:
            cells.reverse()
        case 4:
            cells = cells[:-1]
        case 5:
            cells = [b"", *cells, b""]
        case 6:
            lines = [line.replace(comma, rng.choice((b"\t", b";", b""))) for line in lines]
            return b"\n".join(lines)
    lines[at] = comma.join(cells)
    return b"\n".join(lines) + b"\n"


TEXTS: Mapping[str, Spoil] = {
    "numbers": _numbers,
    "words": _words,
    "encoding": _encoding,
    "lines": _lines,
    "cells": _cells,
}


# --- of label files -----------------------------------------------------------------------------

_CODE = re.compile(rb"(?<=\.jpg,)[0-9 ]*")


@cache
def _every_other_pixel() -> str:
    return " ".join(f"{n} 1" for n in range(1, 589_824, 2))


def _runs(rng: Random, data: bytes) -> bytes:
    """A run-length code that leads out of the image, overlaps, never ends."""
    start, length = rng.choice((0, 1, 589_824, 589_825)), rng.choice((0, 1, 10**6, 10**18))
    return _replace(
        rng,
        data,
        _CODE,
        (
            f"{start} {length}",
            f"{rng.randrange(10**6)} {rng.randrange(10**6)}",
            "1 5 3 5",
            "1 5 6",
            "7 1 5 1",
            "1 589824",
            _every_other_pixel(),
            "1 1 " * 1_000_000,
            " ",
            "-5 10",
            "1.5 2",
            "1\t2",
        ),
    )


def _outlines(rng: Random, data: bytes) -> bytes:
    """Oriented boxes that cross themselves, have no area, lie far outside, are too many."""
    far = rng.choice(("999999", "-999999", "1e30", "nan", "1000000", "0.00000001"))
    rows = (
        "0 0 50 50 50 0 0 50 ship 0",
        "7 7 7 7 7 7 7 7 ship 1",
        "0 0 10 0 20 0 30 0 plane 0",
        f"{far} {far} {far} 0 0 0 0 {far} ship 0",
        "0 0 9 0 9 9 0 9 ship",
        "0 0 9 0 9 9 0 9 ship 0 0",
        "0 0 9 0 9 9 0 9 " + "ship" * 1000 + " 0",
        "-999999 -999999 999999 -999999 999999 999999 -999999 999999 harbor 0",
        "0.5 0.5 0.6 0.5 0.6 0.6 0.5 0.6 small-vehicle 9",
    )
    added = [rng.choice(rows) for _ in range(rng.choice((1, 1, 20)))] * rng.choice((1, 1, 2000))
    return data + "\r\n".join(["", *added, ""]).encode()


LABELS: Mapping[str, Mapping[str, Spoil]] = {
    ".csv": {"runs": _runs},
    ".txt": {"outlines": _outlines},
}


# --- JSON ---------------------------------------------------------------------------------------

_VALUES: tuple[Any, ...] = (
    *(None, True, [], {}, "", 0, -1, 1.5, 1e308, 10**18, 10**400, float("nan"), float("inf")),
    *("x" * 100_000, "\ud800", "\0", "\n", "NaN", [None], [[[[]]]], {"": {"": ""}}, "1,2,3,4"),
    *(["a"] * 10_000, list(range(1000)), "-999999,-999999,999999,999999", "9" * 7 + ",0,1,1"),
    *("0,0,1e3,1", "5,5,5,5", "٣,1,9,9", "9999-99-99 99:99:99", "2017-02-30 10:00:00"),
)  # fmt: skip


def _nodes(value: Any, limit: int) -> Iterator[tuple[Any, Any]]:
    """Containers and keys of everything inside, no more than ``limit`` in each container."""
    keys: list[Any] = list(value)[:limit] if isinstance(value, dict) else []
    if isinstance(value, list):
        keys = list(range(min(len(value), limit)))
    for key in keys:
        yield value, key
        yield from _nodes(value[key], limit)


def _value(rng: Random, data: bytes) -> bytes:
    """Values of other types, keys that are missing, there twice, or too many."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):  # spoilt before
        return data
    nodes = list(_nodes(content, 50))
    for _ in range(rng.choice((1, 1, 1, 10)) if nodes else 0):
        within, key = rng.choice(nodes)
        try:
            match rng.randrange(6):
                case 0:
                    del within[key]
                case 1:
                    within[key] = [within[key]]
                case 2:
                    within[key] = [within[key]] * rng.choice((2, 3000))
                case _:
                    within[key] = rng.choice(_VALUES)
        except (LookupError, TypeError):
            continue  # gone with what was spoilt before
    return json.dumps(content).encode()


def _nesting(rng: Random, data: bytes) -> bytes:
    opened = rng.choice(("[", '{"a":', '[{"a":'))
    depth = rng.choice((600, 1100, 30_000, 1_000_000))
    closed = "".join("]" if c == "[" else "}" for c in reversed(opened) if c in "[{")
    deep = opened * depth + rng.choice(("1", "", '""')) + rng.choice((closed * depth, ""))
    values = list(re.finditer(rb'(?<=: )("[^"]*"|\d+|null)', data))
    if not values or rng.random() < 0.2:
        return deep.encode()
    at = rng.choice(values)
    return data[: at.start()] + deep.encode() + data[at.end() :]


def _twice(rng: Random, data: bytes) -> bytes:
    """A key a second time, with another value."""
    keys = list(re.finditer(rb'"(\w+)": ', data))
    if not keys:
        return data
    at = rng.choice(keys)
    value = rng.choice((b"null", b"[]", b"1", b'"x"', b"{}"))
    return data[: at.start()] + at[0] + value + b", " + data[at.start() :]


@cache
def _ring(points: int) -> str:
    return ",".join(f"[{n % 7}, {n % 11}]" for n in range(points))


def _features(rng: Random, data: bytes) -> bytes:
    """Features that are far too many, or have a ring of far too many points."""
    head, found, rest = data.partition(b'"features": [')
    if not found:
        return data
    ring = _ring(rng.choice((3, 1_000_000)))
    properties = {
        "bounds_imcoords": rng.choice(("0,0,9,9", "-99999,-99999,99999,99999", "3,3,4,4")),
        "type_id": rng.choice((73, 73, 11, 0, 10**9)),
        "image_id": rng.choice(("10.tif", "104.tif", "1" * 9 + ".tif", "x.tif", "../10.tif")),
        "feature_id": rng.choice((1, 10**9, -1, 2**63)),
    }
    feature = (
        f'{{"type": "Feature", "properties": {json.dumps(properties)}, "geometry": '
        f'{{"type": "Polygon", "coordinates": [[{ring}]]}}}}'
    )
    count = 1 if len(ring) > 1000 else rng.choice((1, 100, 20_000))
    return head + found + ",\n".join([feature] * count).encode() + b",\n" + rest


JSON: Mapping[str, Spoil] = {
    "JSON value": _value,
    "JSON nesting": _nesting,
    "JSON key twice": _twice,
    "features": _features,
}


def packed_by_bzip2(spoil: Spoil) -> Spoil:
    """Spoils what is inside of a bzip2 file; now and then it becomes a bomb."""

    def spoilt(rng: Random, data: bytes) -> bytes:
        if rng.random() < 0.03:
            return bz2.compress(bytes(50_000_000)) * 12
        try:
            return bz2.compress(spoil(rng, bz2.decompress(data)))
        except (OSError, ValueError):  # spoilt before
            return data

    return spoilt
