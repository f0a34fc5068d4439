"""Memory of batches that are gone, kept for those of the next epoch.

Fresh memory costs more than the reading: the system clears each page, and a batch of 256 images of
13 bands is 55 MB. In epochs of ten batches, read from other machines, that took 10 to 30 % of the
processor time.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from satimnet.training.data.array_types import Array

MOST_SPARE = 256 * 1024 * 1024
"""Bytes that this process keeps at most when nobody reads batches."""

# The last one that was kept is at the end. There is no lock, as memory may be given back at any
# moment, by whichever thread lets go of a batch: each step below is one that cannot be interrupted.
_spare: deque[Array] = deque()


def keep(buffer: Array) -> None:
    """Keeps memory that nobody uses any more; what was kept longest goes if it gets too much."""
    if buffer.nbytes > MOST_SPARE:
        return  # it would only push out the others
    _spare.append(buffer)
    while sum(one.nbytes for one in list(_spare)) > MOST_SPARE:
        try:
            _spare.popleft()
        except IndexError:  # another thread was faster
            return


def memory(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An array with any content: memory that was kept if there is some of this shape, else new."""
    for _ in range(len(_spare)):
        try:
            buffer = _spare.pop()
        except IndexError:  # another thread was faster
            break
        if buffer.shape == shape and buffer.dtype == dtype:
            return buffer
        _spare.appendleft(buffer)
    return np.empty(shape, dtype)
