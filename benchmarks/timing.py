"""Timing of contenders that take turns, by the clock and by the processor time they use."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Contender:
    """One way to do the work."""

    work: Callable[[], int]
    """Does it once; returns how many things (patches, images, items) were done."""
    before: Callable[[], None] = _nothing
    """Makes room for the next turn; not timed."""


@dataclass(frozen=True)
class Lap:
    """One turn of a contender."""

    count: int
    core_seconds: float
    """User and system time of this process, all its threads, and its ended children."""
    seconds: float

    @property
    def per_core_second(self) -> float:
        """Things done in a second of one core."""
        return self.count / self.core_seconds

    @property
    def per_second(self) -> float:
        """Things done in a second by the clock."""
        return self.count / self.seconds


Laps = list[Lap]


def race(contenders: Mapping[str, Contender], rounds: int) -> dict[str, Laps]:
    """Laps of each contender. In each round everybody has one turn, so all share the noise."""
    laps: dict[str, Laps] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            contender.before()
            gc.collect()
            laps[name].append(_lap(contender.work))
    return laps


def rate(laps: Laps, *, by_clock: bool = False) -> float:
    """Median of the things done per core-second, or per second by the clock."""
    return median(lap.per_second if by_clock else lap.per_core_second for lap in laps)


def ratios(laps: Laps, peer: Laps) -> list[float]:
    """How many times as much is done per core-second as by the peer, round by round."""
    pairs = zip(laps, peer, strict=True)
    return [lap.per_core_second / other.per_core_second for lap, other in pairs]


def clock_ratios(laps: Laps, peer: Laps) -> list[float]:
    """How many times as much is done per second by the clock, round by round."""
    pairs = zip(laps, peer, strict=True)
    return [lap.per_second / other.per_second for lap, other in pairs]


def _lap(work: Callable[[], int]) -> Lap:
    started, used = time.perf_counter(), _core_seconds()
    count = work()
    return Lap(count, _core_seconds() - used, time.perf_counter() - started)


def _core_seconds() -> float:
    usages = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
