"""Features of a large GeoJSON file one by one, each with the place of its bytes in the file.

https://www.rfc-editor.org/rfc/rfc7946#section-3.3
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

_WINDOW = 2**20  # bytes decoded at once; a feature of xView has about 600
_MOST_DIGITS = 1000  # Python itself refuses a few thousand
_SPACE = re.compile(rb"[ \t\n\r]*")


@dataclass(frozen=True, slots=True)
class Feature:
    """One member of ``features``, parsed, and where it stands: ``data[start:end]``."""

    content: Any
    """None if it holds what JSON does not have: NaN, say, or bytes that are no UTF-8."""
    start: int
    end: int


def read_features(data: bytes) -> Iterator[Feature]:
    """The features of a FeatureCollection in their order; memory for one of them at a time.

    Text outside of ASCII is not decoded: it comes as Latin-1.

    Raises:
        ValueError: not a whole FeatureCollection; what is wrong and where. Features before that
            place have been given out by then.
    """
    try:
        yield from _collection(_Text(data), len(codecs.BOM_UTF8) * data.startswith(codecs.BOM_UTF8))
    except RecursionError:
        raise ValueError("not GeoJSON: nested too deeply") from None


def _collection(text: _Text, start: int) -> Iterator[Feature]:
    kind, found = None, False
    at = text.mark(start, b"{")
    while True:
        key, at = text.value(at)
        at = text.mark(at, b":")
        if not isinstance(key, str):
            raise ValueError(f"not GeoJSON: a name that is no text (before byte {at})")
        if key == "features":
            if found:
                raise ValueError(f"not GeoJSON: features a second time (byte {at})")
            found = True
            at = yield from _features(text, at)
        else:
            value, at = text.value(at)
            kind = value if key == "type" else kind
        at = text.mark(at, b",}")
        if text.data[at - 1 : at] == b"}":
            break
    if text.skip(at) != len(text.data):
        raise ValueError(f"not GeoJSON: more after its end (byte {at})")
    if kind != "FeatureCollection" or not found:
        raise ValueError("not a FeatureCollection")


def _features(text: _Text, at: int) -> Generator[Feature, None, int]:
    """Returns where the array ends."""
    at = text.mark(at, b"[")
    start = text.skip(at)
    if text.data[start : start + 1] == b"]":
        return start + 1
    while True:
        start = text.skip(at)
        strange = text.strange
        content, end = text.value(start)
        sound = text.strange == strange and text.is_utf8(start, end)
        yield Feature(content if sound else None, start, end)
        at = text.mark(end, b",]")
        if text.data[at - 1 : at] == b"]":
            return at


class _Text:
    """JSON as bytes, of which a window is decoded; all places are those of the bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._ascii = data.isascii()
        self._start = 0
        self._window = ""
        self.strange = 0
        """Numbers met so far that JSON does not have, or nobody can hold."""
        decoder = json.JSONDecoder(parse_constant=self._count, parse_int=self._integer)
        self._decode = decoder.raw_decode

    def is_utf8(self, start: int, end: int) -> bool:
        """Whether the bytes between two places are UTF-8."""
        if self._ascii:
            return True
        try:
            self.data[start:end].decode()
        except UnicodeDecodeError:
            return False
        return True

    def _count(self, constant: str) -> None:
        self.strange += 1

    def _integer(self, digits: str) -> int:
        if len(digits) < _MOST_DIGITS:
            return int(digits)
        self.strange += 1
        return 0

    def skip(self, at: int) -> int:
        """The next place that is no white space."""
        space = _SPACE.match(self.data, at)
        return space.end() if space else at

    def mark(self, at: int, marks: bytes) -> int:
        """The place behind one of these marks, which must come next."""
        at = self.skip(at)
        if at >= len(self.data):
            raise ValueError(f"truncated after {at} bytes")
        if self.data[at] not in marks:
            expected = " or ".join(map(repr, marks.decode()))
            raise ValueError(f"not GeoJSON: {expected} expected (byte {at})")
        return at + 1

    def value(self, at: int) -> tuple[Any, int]:
        """The JSON value that comes next, and the place behind it."""
        at = self.skip(at)
        end = self._start + len(self._window)
        if self._start <= at < end:
            try:
                found, stop = self._decode(self._window, at - self._start)
            except ValueError:
                pass  # it may only leave the window
            else:
                # a number that touches the window's end may go on behind it
                if self._start + stop < end or end == len(self.data):
                    return found, self._start + stop
        self._start = at
        self._window = self.data[at : at + _WINDOW].decode("latin-1")
        try:
            found, stop = self._decode(self._window)
        except json.JSONDecodeError as error:
            if at + len(self._window) == len(self.data) and error.pos >= len(self._window) - 1:
                raise ValueError(f"truncated after {len(self.data)} bytes") from error
            raise ValueError(f"not GeoJSON: {error.msg} (byte {at + error.pos})") from error
        return found, at + stop
