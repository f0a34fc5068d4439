"""The garbage collector, held back where a build has many live objects and hardly any garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_RARELY = 50_000
"""New objects between two collections; by default 700, of which a patch of BigEarthNet has 60."""


@contextmanager
def without_collector() -> Iterator[None]:
    """Stops the garbage collector: it would only go through thousands of live objects again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextmanager
def rarely_collected() -> Iterator[None]:
    """Collects garbage more rarely.

    A scan takes a fifth of its time for collections of the samples that wait to be planned, by
    default.
    """
    first, *others = gc.get_threshold()
    gc.set_threshold(max(first, _RARELY) if first else 0, *others)
    try:
        yield
    finally:
        gc.set_threshold(first, *others)
