"""Byte ranges of files in stores, many at a time.

What one planner decides for all stores: ranges that lie near each other come in one request.
Requests run side by side on threads; each is tried again as `satimnet.builder.storage.stores` says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from satimnet.builder.storage.objects import Object, look, read
from satimnet.builder.storage.stores import refuse_fork

P = ParamSpec("P")
R = TypeVar("R")

GAP = 64 * 1024
"""Bytes between two ranges that cost less than a second request for them."""
BLOCK = 8 * 1024 * 1024
"""Bytes of one request at most, unless a single range is longer."""
AT_ONCE = 64
"""Requests in flight. 64 single ranges took 38 ms at a latency of 20 ms, obstore's own call for
many ranges 160 (it has about ten in flight), fsspec 87."""


class Request(NamedTuple):
    """One request, and the ranges that are in its answer."""

    href: str
    first: int
    size: int
    ranges: tuple[int, ...]
    """Numbers of the ranges, as they were given."""


def plan(
    hrefs: Sequence[str],
    starts: Sequence[int],
    sizes: Sequence[int],
    *,
    gap: int = GAP,
    block: int = BLOCK,
) -> list[Request]:
    """The requests for some ranges of files; each range is in exactly one of them.

    Args:
        hrefs: the file of each range.
        starts: its first byte.
        sizes: its length in bytes.
        gap: ranges that are no further apart are one request.
        block: bytes of a request at most, unless a single range is longer.

    Returns:
        The requests, by file and first byte.

    Example:
        >>> [(r.first, r.size, r.ranges) for r in plan(["a"] * 3, [90, 0, 50], [10, 10, 5], gap=40)]
        [(0, 100, (1, 2, 0))]
    """
    order = sorted(range(len(hrefs)), key=lambda k: (hrefs[k], starts[k], sizes[k]))
    requests: list[Request] = []
    href, first, end, ranges = "", 0, 0, list[int]()
    for k in order:
        start, stop = starts[k], starts[k] + sizes[k]
        near = hrefs[k] == href and start <= end + gap
        if ranges and near and (max(end, stop) - first <= block or stop <= end):
            end = max(end, stop)
            ranges.append(k)
            continue
        if ranges:
            requests.append(Request(href, first, end - first, tuple(ranges)))
        href, first, end, ranges = hrefs[k], start, stop, [k]
    if ranges:
        requests.append(Request(href, first, end - first, tuple(ranges)))
    return requests


def fetch(hrefs: Sequence[str], starts: Sequence[int], sizes: Sequence[int]) -> list[memoryview]:
    """Ranges of files, in the order in which they are asked for.

    Args:
        hrefs: the URL of each range's file.
        starts: its first byte.
        sizes: its length in bytes.

    Returns:
        The bytes of each range; those of near ones share memory.

    Raises:
        StorageError: a range cannot be read.
        NotFoundError: a file is not there.
    """
    requests = plan(hrefs, starts, sizes)
    coming = [soon(read, request.href, request.first, request.size) for request in requests]
    found: list[memoryview] = [memoryview(b"")] * len(hrefs)
    try:
        for request, future in zip(requests, coming, strict=True):
            answer = memoryview(future.result())
            for k in request.ranges:
                at = starts[k] - request.first
                found[k] = answer[at : at + sizes[k]]
    finally:
        for future in coming:
            future.cancel()
    return found


def begin(work: Callable[..., R], *arguments: Any) -> Future[R]:
    """Has one of the threads for requests do it; it must not wait for another one of them."""
    return _pool().submit(work, *arguments)


def look_at_parts(url: str, first: int, size: int) -> tuple[bytes, Object]:
    """As `satimnet.builder.storage.objects.look`; a long range in several requests at a time."""
    if size <= BLOCK:
        return look(url, first, size)
    refuse_fork(url)
    starts = range(first, first + size, BLOCK)
    parts = [begin(look, url, at, min(BLOCK, first + size - at)) for at in starts]
    answers = [part.result() for part in parts]
    return b"".join(data for data, _ in answers), answers[0][1]


def soon(
    work: Callable[Concatenate[str, P], R], place: str, *args: P.args, **options: P.kwargs
) -> Future[R]:
    """What ``work`` returns for a place; up to `AT_ONCE` places are worked on side by side.

    ``work`` reads, and must not ask for anything here itself, for which no thread may be left.

    Raises:
        StorageError: this process was forked from one that used a store.
    """
    refuse_fork(place)  # such a process has none of the threads
    return _pool().submit(work, place, *args, **options)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(AT_ONCE, thread_name_prefix="satimnet-ranges")
