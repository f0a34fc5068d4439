"""Ranges of files on other machines, many at a time."""

from __future__ import annotations

import bisect
import time
from collections.abc import Sequence
from typing import Any

from satimnet.builder.errors import SatimnetError

_GAP = 64 * 1024
_BLOCK = 8 * 1024 * 1024
"""Ranges nearer to each other than a gap are one request of at most a block."""
_AT_ONCE = 32
_ATTEMPTS = 3
_PAUSE = 0.5  # seconds, doubled after each attempt


def fetch(hrefs: Sequence[str], starts: Sequence[int], sizes: Sequence[int]) -> list[memoryview]:
    """Fetches ranges of files; neighbouring ranges come in one request, and requests run at once.

    A request that fails is repeated twice.

    Args:
        hrefs: URLs of the files, one for each range.
        starts: first bytes of the ranges.
        sizes: their sizes in bytes.

    Raises:
        SatimnetError: a range cannot be read.
    """
    import fsspec
    from fsspec.utils import merge_offset_ranges

    file_system = fsspec.core.url_to_fs(hrefs[0])[0]
    ends = [start + size for start, size in zip(starts, sizes, strict=True)]
    merged = merge_offset_ranges(
        list(hrefs), list(starts), ends, max_gap=_GAP, max_block=_BLOCK, sort=True
    )
    requests = list(zip(*merged, strict=True))
    blocks = _cat(file_system, requests)
    for (href, first, end), block in zip(requests, blocks, strict=True):
        if len(block) != end - first:
            raise SatimnetError(
                f"{href}: {end - first} bytes were asked for, {len(block)} came; "
                "the server must answer byte ranges"
            )
    views = [memoryview(block) for block in blocks]
    keys = sorted((href, first, k) for k, (href, first, _) in enumerate(requests))
    found = []
    for href, start, end in zip(hrefs, starts, ends, strict=True):
        _, first, k = keys[bisect.bisect_right(keys, (href, start, len(keys))) - 1]
        found.append(views[k][start - first : end - first])
    return found


def _cat(file_system: Any, requests: Sequence[tuple[str, int, int]]) -> list[bytes]:
    """The bytes of each request: file, first byte, end."""
    answers: list[Any] = [None] * len(requests)
    waiting = list(range(len(requests)))
    for attempt in range(_ATTEMPTS):
        paths, starts, ends = zip(*(requests[k] for k in waiting), strict=True)
        came = file_system.cat_ranges(
            list(paths), list(starts), list(ends), on_error="return", batch_size=_AT_ONCE
        )
        for k, answer in zip(waiting, came, strict=True):
            answers[k] = answer
        waiting = [k for k in waiting if isinstance(answers[k], Exception)]
        if not waiting:
            return answers
        if any(isinstance(answers[k], FileNotFoundError) for k in waiting):
            break
        if attempt + 1 < _ATTEMPTS:
            time.sleep(_PAUSE * 2**attempt)
    href, _, _ = requests[waiting[0]]
    error = answers[waiting[0]]
    raise SatimnetError(f"{href}: cannot be read ({error or type(error).__name__})") from error
