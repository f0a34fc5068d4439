"""The garbage collector, held back where a build has many live objects and hardly any garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_RARELY = 50_000
"""New objects between two collections; by default 700, of which a patch of BigEarthNet has 60."""
_CHANGING = Lock()
_at_work = 0  # builds, which may be in several threads
_usual = gc.get_threshold()


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
    """Collects garbage more rarely, until the last of the builds at work is done.

    A scan takes a fifth of its time for collections of the samples that wait to be planned, by
    default.
    """
    global _at_work, _usual
    with _CHANGING:
        if not _at_work:
            _usual = gc.get_threshold()
            gc.set_threshold(max(_usual[0], _RARELY) if _usual[0] else 0, *_usual[1:])
        _at_work += 1
    try:
        yield
    finally:
        with _CHANGING:
            _at_work -= 1
            if not _at_work:
                gc.set_threshold(*_usual)
