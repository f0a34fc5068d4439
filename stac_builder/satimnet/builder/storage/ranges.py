"""Byte ranges of files in stores, many at a time.

What one planner decides for all stores: ranges that lie near each other come in one request.
Requests run side by side on threads, small ones of a file several in one call of obstore's; each is
tried again as `satimnet.builder.storage.stores` says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from queue import SimpleQueue
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from satimnet.builder.storage.objects import Object, is_unusual, look, read_parts
from satimnet.builder.storage.stores import refuse_fork

P = ParamSpec("P")
R = TypeVar("R")

GAP = 64 * 1024
"""Bytes between two ranges that cost less than a second request for them."""
BLOCK = 8 * 1024 * 1024
"""Bytes of one request at most, unless a single range is longer."""
AT_ONCE = 64
"""Requests in flight of one who fetches. 64 single ranges took 38 ms at a latency of 20 ms,
obstore's own call for many ranges 160 (it has ten in flight), fsspec 87."""
_TOGETHER = 8
"""Requests of one call: with eight threads that make it, as many are in flight as with 64 threads
that make single calls, for half of the processor time (107 kB each: 107 to 188 us against 188 to
337), as far fewer threads are woken."""
_SMALL = 1024 * 1024
"""Bytes of a request that may share a call; obstore would join larger ones that touch."""


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
    found: list[memoryview] = [memoryview(b"")] * len(hrefs)
    fetch_each(hrefs, starts, sizes, found.__setitem__)
    return found


def fetch_each(
    hrefs: Sequence[str],
    starts: Sequence[int],
    sizes: Sequence[int],
    use: Callable[[int, memoryview], object],
) -> None:
    """Hands over ranges of files one by one, as they arrive: few of them are in memory at a time.

    Args:
        hrefs: the URL of each range's file.
        starts: its first byte.
        sizes: its length in bytes.
        use: called with the number of a range and its bytes, in any order, in this thread: in
            those that fetch it would take a tenth to a third more processor time, as they would
            wait for each other.

    Raises:
        StorageError: a range cannot be read.
        NotFoundError: a file is not there.
    """
    if not hrefs:
        return
    refuse_fork(hrefs[0])  # such a process has none of the threads
    calls = list(_calls(plan(hrefs, starts, sizes)))
    waiting = deque(enumerate(calls))
    arrived = SimpleQueue[tuple[int, "list[memoryview] | BaseException"]]()

    def work() -> None:
        while waiting:
            try:
                number, call = waiting.popleft()
            except IndexError:  # another thread was faster
                return
            try:
                spans = [request.first for request in call], [request.size for request in call]
                arrived.put((number, read_parts(call[0].href, *spans)))
            except BaseException as error:  # whatever it is, somebody waits for it
                arrived.put((number, error))

    threads = AT_ONCE * len(calls) // sum(map(len, calls))
    for _ in range(min(threads, len(calls))):
        begin(work)
    failures: dict[int, BaseException] = {}
    left = len(calls)
    try:
        while left:
            number, answers = arrived.get()
            left -= 1
            try:
                if isinstance(answers, BaseException):
                    raise answers
                for request, answer in zip(calls[number], answers, strict=True):
                    for k in request.ranges:
                        at = starts[k] - request.first
                        use(k, answer[at : at + sizes[k]])
            except Exception as error:
                failures[number] = error
                left -= _emptied(waiting)  # nobody wants the others any more
    finally:
        waiting.clear()
    if failures:
        raise failures[min(failures)]  # whichever came first by the clock


def _emptied(waiting: deque[Any]) -> int:
    """How many are taken away, while threads take some as well."""
    count = 0
    with suppress(IndexError):
        while True:
            waiting.pop()
            count += 1
    return count


def _calls(requests: Sequence[Request]) -> Iterator[list[Request]]:
    """The requests by the calls that they are made in."""
    call: list[Request] = []
    for request in requests:
        alike = call and call[0].href == request.href and len(call) < _TOGETHER
        single = request.size > _SMALL or is_unusual(request.href)
        if call and (single or not alike):
            yield call
            call = []
        call.append(request)
        if single:
            yield call
            call = []
    if call:
        yield call


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
