"""The table of results, on the screen and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from benchmarks.timing import Laps, clock_ratios, rate, ratios


@dataclass(frozen=True)
class Row:
    """One comparison."""

    what: str
    """The work, and what of it is counted."""
    peer: str
    """Who or what satimnet is compared with."""
    ours: Laps
    theirs: Laps | None
    """None if the peer cannot be had; `peer` then says why."""
    contract: float | None = None
    """The ratio that was promised: per core-second, or by the clock."""
    by_clock: bool = False


def table_of(rows: Sequence[Row]) -> Table:
    """The rows as a table for the screen."""
    table = Table(
        caption="/s: per core-second, where only the clock counts per second; medians of the "
        "rounds, in brackets the extremes"
    )
    for name in ("what", "peer"):
        table.add_column(name)
    for name in ("peer /s", "satimnet /s", "ratio", "by clock", "contract"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(row.what, row.peer, *_figures(row))
    return table


def json_of(rows: Sequence[Row], settings: dict[str, Any]) -> dict[str, Any]:
    """The rows with every lap, what was set, and where it ran."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        **settings,
        "rows": [
            asdict(row) | {"ratios": row.theirs and ratios(row.ours, row.theirs)} for row in rows
        ],
    }


def machine() -> str:
    """The machine and the interpreter, in words."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((x.partition(":")[2].strip() for x in lines if "model name" in x), model)
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}"


def _figures(row: Row) -> list[str]:
    ours = f"{rate(row.ours, by_clock=row.by_clock):,.0f}"
    promised = "" if row.contract is None else f"≥ {row.contract:g}"
    if row.theirs is None:
        return ["", ours, "", "", promised and f"{promised} not measured"]
    each, clock = ratios(row.ours, row.theirs), clock_ratios(row.ours, row.theirs)
    reached = median(clock if row.by_clock else each)
    verdict = "met" if reached >= (row.contract or 0) else "MISSED"
    if promised and row.by_clock:
        promised = f"clock {promised}"
    return [
        f"{rate(row.theirs, by_clock=row.by_clock):,.0f}",
        ours,
        f"{median(each):.3g}" if row.by_clock else _with_extremes(each),
        _with_extremes(clock) if row.by_clock else f"{median(clock):.3g}",
        promised and f"{promised} {verdict}",
    ]


def _with_extremes(values: Sequence[float]) -> str:
    return f"{median(values):.3g} ({min(values):.3g} to {max(values):.3g})"
