"""Prefixes: what lies below one in an object store, as if it were a folder."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

from satimnet.builder.storage.objects import Object


def in_order_of_folders(found: Iterable[Object], prefix: str) -> Iterator[tuple[str, Object]]:
    """The files below ``prefix``, by path, in the order in which folders on disk are gone through.

    Stores list keys in the order of their bytes, in which ``a.txt`` is before ``a/b`` and
    ``a-1/b``; folders are sorted by name. So a file waits until nothing can come that is before it.
    Markers, empty objects that stand for a folder, are left out.

    Args:
        found: the files in the order of their places.
        prefix: that of their places, with a slash at its end.

    Example:
        >>> names = ["a-1/x", "a.txt", "a/b", "b"]
        >>> found = (Object(f"s3://bucket/{name}", 1) for name in names)
        >>> [path for path, _ in in_order_of_folders(found, "s3://bucket/")]
        ['a/b', 'a-1/x', 'a.txt', 'b']
    """
    waiting: list[tuple[list[str], Object]] = []
    bounds: list[str] = []  # when those that wait may go, the latest first
    for file in _without_markers(found, prefix):
        path = file.place[len(prefix) :]
        if not bounds or path >= bounds[0]:
            bounds.clear()
            while waiting:
                parts, one = heapq.heappop(waiting)
                yield "/".join(parts), one
        heapq.heappush(waiting, (path.split("/"), file))
        bounds[:] = [max([_bound(path), *bounds])]
    while waiting:
        parts, one = heapq.heappop(waiting)
        yield "/".join(parts), one


def _bound(path: str) -> str:
    """The first path after which nothing comes that folders would have before this one.

    Only what is below ``x/`` would be, where the path goes on after ``x`` with a character that
    sorts before the slash.
    """
    for at, character in enumerate(path):
        if character < "/" and at and path[at - 1] != "/":
            return path[:at] + "0"  # the character after the slash
    return path


def _without_markers(found: Iterable[Object], prefix: str) -> Iterator[Object]:
    last: Object | None = None
    for file in found:
        if last is not None and (last.size or not file.place.startswith(f"{last.place}/")):
            yield last
        last = file if file.place.startswith(prefix) else None
    if last is not None:
        yield last
