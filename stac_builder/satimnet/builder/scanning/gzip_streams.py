"""The content of a ``.tar.gz``: read once from its beginning to its end, or by its seek points.

indexed_gzip inflates again from the seek point before it whenever it is asked for more, and makes
seek points by inflating, too. So a listing goes through the stream without it, and what lies
between two seek points is asked for at once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Self, cast

from satimnet.builder.scanning.unpacking import ENDLESS, SEEK_POINT_SPACING, Inflated
from satimnet.builder.storage.atomic_files import writing
from satimnet.builder.storage.hrefs import is_url

_LONGEST = 2 * SEEK_POINT_SPACING
"""Bytes that are inflated together; only a damaged or malicious file has so long a block."""


def opened_gzip(container: str, file: IO[bytes] | None, index: Path | None = None) -> IO[bytes]:
    """The content of a ``.tar.gz``, which seeks.

    Args:
        container: its path or URL.
        file: it, open, if it is in a store.
        index: the file of its seek points, if there is one.
    """
    from indexed_gzip import IndexedGzipFile

    how: dict[str, Any] = {"spacing": SEEK_POINT_SPACING}
    if is_url(container):
        # each read begins at a seek point; by default it has four times the spacing
        how |= {"fileobj": file, "buffer_size": SEEK_POINT_SPACING}
    else:
        how["filename"] = container
    if index is not None:
        return cast(IO[bytes], _BySeekPoints(IndexedGzipFile(**how, index_file=str(index))))
    return cast(IO[bytes], IndexedGzipFile(**how))


def write_seek_points(container: str, file: IO[bytes] | None, path: Path) -> None:
    """Makes the seek points of a ``.tar.gz``, for which all of it is read.

    Args:
        container: its path or URL.
        file: it, open, if it is in a store.
        path: the file that they are written to.
    """
    stream: Any = opened_gzip(container, file)
    with stream, writing(path) as part:
        stream.build_full_index()
        stream.export_index(str(part))


class _BySeekPoints:
    """A stream that inflates what lies between two seek points once, and keeps the latest."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._points = [offset for offset, _ in stream.seek_points()]
        self._at = 0
        self._first = 0  # of what is kept
        self._kept = b""

    def seek(self, at: int) -> int:
        """Goes to a place."""
        self._at = at
        return at

    def read(self, size: int) -> bytes:
        """So many bytes; fewer at the end."""
        found: list[bytes] = []
        while size > 0:
            begin = self._at - self._first
            if not 0 <= begin < len(self._kept):
                self._inflate()
                begin = self._at - self._first
            part = self._kept[begin : begin + size]
            if not part:
                break
            found.append(part)
            self._at += len(part)
            size -= len(part)
        return b"".join(found)

    def _inflate(self) -> None:
        """Keeps what is around the place."""
        number = bisect_right(self._points, self._at)
        first = self._points[number - 1] if number else 0
        if self._at - first >= _LONGEST:
            first = self._at
        end = self._points[number] if number < len(self._points) else ENDLESS
        self._first, self._kept = first, b""  # not two of them in memory
        raw = self._stream.raw  # in whose way no buffer is, which would ask for less
        raw.seek(first)
        self._kept = raw.read(min(end - first, _LONGEST))

    def close(self) -> None:
        """Closes the file."""
        self._kept = b""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Forwards:
    """A stream that is inflated once; only where it has to go far back it is opened to seek."""

    def __init__(self, chunks: Iterator[bytes], seeking: Callable[[], IO[bytes]]) -> None:
        self._inflated = Inflated(chunks)
        self._seeking = seeking
        self._opened: IO[bytes] | None = None
        self._at = 0

    def seek(self, at: int) -> int:
        """Goes to a place."""
        self._at = at
        return at

    def read(self, size: int) -> bytes:
        """So many bytes; fewer at the end."""
        if self._opened is None and not self._inflated.passed(self._at):
            self._inflated.seek(self._at)
            data = self._inflated.read(size)
        else:
            self._opened = self._opened or self._seeking()
            self._opened.seek(self._at)
            data = self._opened.read(size)
        self._at += len(data)
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._opened is not None:
            self._opened.close()
