"""Columns of the explorer's data file: numbers and names of many rows in a few bytes each.

Browsers expand gzip by themselves (``DecompressionStream``), so every column is one gzip stream.
Differences of neighbours, then planes of bytes, make numbers that grow slowly nearly free.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satimnet.builder.errors import BadCatalogError

NONE = 2**31 - 1
"""Stands in a column of numbers where a row has none."""
_LEVEL = 9
_LONGEST = 255  # of a shared prefix, so that its length is one byte
_AT_ONCE = 2**14  # names that are compared as one array, of 4 MB at most


def packed(data: bytes) -> bytes:
    """The bytes as a gzip stream, which is the same whenever it is made."""
    return gzip.compress(data, _LEVEL, mtime=0)


def small_numbers(values: NDArray[Any]) -> tuple[str, bytes]:
    """Codes below 256, or below 65,536: the name of the encoding and the stream."""
    if not len(values) or int(values.max()) < 2**8:
        return "u8", packed(values.astype(np.uint8).tobytes())
    return "u16", packed(_planes(values.astype("<u2")))


def numbers(values: NDArray[Any]) -> tuple[str, bytes]:
    """Numbers of 32 bits, signed or not: the name of the encoding and the stream.

    What is stored are the differences of neighbours modulo 2^32, folded so that small negative ones
    are small numbers too (zigzag), all their lowest bytes first, then the next ones.
    """
    whole = values.astype(np.int64).astype(np.uint32)
    steps = np.diff(whole, prepend=np.uint32(0)).view(np.int32)
    folded = (steps << 1) ^ (steps >> 31)
    return "delta32", packed(_planes(folded.view(np.uint32).astype("<u4")))


def names(values: Sequence[str], where: str) -> tuple[str, bytes]:
    """Names, of each only what differs from the one before it.

    The stream has a byte for each row, how many bytes are shared, and then the rests, which end
    with a line end each.

    Raises:
        BadCatalogError: a name has a line end; ``where`` tells of which file.
    """
    encoded = [value.encode() for value in values]
    if any(b"\n" in name for name in encoded):
        value = next(value for value in values if "\n" in value)
        raise BadCatalogError(f"{where}: the id {value!r:.80} has a line end; rename the Item")
    before = [b"", *encoded]
    parts = [_shared(before[at : at + _AT_ONCE + 1]) for at in range(0, len(encoded), _AT_ONCE)]
    shared = np.concatenate([np.zeros(0, np.uint8), *parts])
    rests = [name[common:] for name, common in zip(encoded, shared.tolist(), strict=True)]
    return "names", packed(shared.tobytes() + b"".join(rest + b"\n" for rest in rests))


def _shared(names: Sequence[bytes]) -> NDArray[np.uint8]:
    """How many bytes each name but the first shares with the one before it."""
    letters = np.array([name[:_LONGEST] for name in names], "S")
    letters = letters.view(np.uint8).reshape(len(names), -1)
    lengths = np.array([len(name) for name in names]).clip(max=_LONGEST)
    differ = letters[1:] != letters[:-1]
    common = np.where(differ.any(1), differ.argmax(1), _LONGEST)
    shared: NDArray[np.uint8] = np.minimum(common, np.minimum(lengths[1:], lengths[:-1])).astype(
        np.uint8
    )
    return shared


def _planes(values: NDArray[Any]) -> bytes:
    """The lowest bytes of all values, then the next ones: little-endian values are given."""
    return values.view(np.uint8).reshape(len(values), values.itemsize).T.tobytes()
