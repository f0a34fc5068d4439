"""Progress where there is no terminal, such as in a log: a line of text now and then."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TextIO

from satimnet.builder.errors import printable

_FIRST, _NEXT = 10.0, 30.0
"""Seconds until a line of work is told of first, and then again."""
_LOOK = 0.5  # seconds between two looks at what is due
_MEGA = 1_000_000


@dataclass(slots=True)
class _Work:
    """A line of work: how far it is, and when it is told of."""

    done: float
    total: float | None
    unit: str
    begun: float
    due: float
    told: bool = False

    @property
    def ended(self) -> bool:
        return self.done == self.total


class ProgressLines:
    """Writes how far lines of work are, by a thread of its own: steps that cannot be counted, too.

    Work that is done within seconds leaves no line.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._works: dict[str, _Work] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def show(self, what: str, done: int, total: int | None, unit: str) -> None:
        """Notes how far a line is: the `Progress` of the command."""
        now = time.monotonic()
        with self._lock:
            work = self._works.get(what)
            if work is None or work.ended or done < work.done:  # it may begin again
                work = self._works[what] = _Work(done, total, unit, now, now + _FIRST)
            work.done, work.total = done, total
        if self._thread is None:
            self._thread = threading.Thread(target=self._tell_now_and_then, daemon=True)
            self._thread.start()

    def tell(self, now: float) -> None:
        """Writes the lines that are due at this moment of `time.monotonic`."""
        with self._lock:
            for what, work in self._works.items():
                if now >= work.due and not work.ended:
                    self._write(what, work, now)
                    work.told, work.due = True, now + _NEXT
                elif work.ended and work.told:
                    self._write(what, work, now)
                    work.told = False

    def end(self) -> None:
        """Writes the ends of lines that were told of."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self.tell(time.monotonic())

    def _tell_now_and_then(self) -> None:
        while not self._over.wait(_LOOK):
            self.tell(time.monotonic())

    def _write(self, what: str, work: _Work, now: float) -> None:
        parts = [amount_of(work.done, work.total, work.unit)]
        parts.append(f"{timedelta(seconds=int(now - work.begun))}")
        parts.append("done" if work.ended else "")
        said = ", ".join(filter(None, parts))
        print(f"{printable(what)}: {said}", file=self._stream, flush=True)


def amount_of(done: float, total: float | None, unit: str) -> str:
    """How much is done, with its unit: ``3/12 shards``, ``1.5/20.0 MB``; nothing of a mere step.

    Example:
        >>> amount_of(3, 12, "shards"), amount_of(1_500_000, None, "bytes")
        ('3/12 shards', '1.5 MB')
    """
    if unit == "steps" and total in (None, 1):
        return ""
    if unit == "bytes":
        of = "" if total is None else f"/{total / _MEGA:,.1f}"
        return f"{done / _MEGA:,.1f}{of} MB"
    of = "" if total is None else f"/{total:,.0f}"
    return f"{done:,.0f}{of} {unit}"
