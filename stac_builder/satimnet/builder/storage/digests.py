"""Digests of files and of parts of them, read piece by piece, several pieces ahead."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator

from satimnet.builder.storage.objects import read, size_of
from satimnet.builder.storage.ranges import BLOCK, soon
from satimnet.builder.storage.stores import is_url

_AHEAD = 8
"""Pieces that are asked for before the one that is looked at."""


def sha256_of(place: str, first: int = 0, size: int | None = None) -> tuple[str, int]:
    """The SHA-256 of a file, and the number of its bytes.

    Args:
        place: path or URL.
        first: where to begin, in bytes.
        size: how many bytes; by default all that follow.

    Returns:
        The digest in hex, and how many bytes it is of.

    Raises:
        NotFoundError: nothing is there.
        SizeError: it is shorter than ``first + size``.
        StorageError: it cannot be read.
    """
    if size is None:
        size = max(0, size_of(place) - first)
    digest = hashlib.sha256()
    for piece in _pieces(place, first, size):
        digest.update(piece)
    return digest.hexdigest(), size


def _pieces(place: str, first: int, size: int) -> Iterator[bytes]:
    spans = [(at, min(BLOCK, first + size - at)) for at in range(first, first + size, BLOCK)]
    if not is_url(place):
        yield from (read(place, *span) for span in spans)
        return
    coming = deque(soon(read, place, *span) for span in spans[:_AHEAD])
    for span in [*spans[_AHEAD:], *[None] * len(coming)]:
        yield coming.popleft().result()
        if span is not None:
            coming.append(soon(read, place, *span))
