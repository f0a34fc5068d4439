"""The table of results, on the screen and as JSON."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from benchmarks.timing import Lap, Laps, clock_ratios, rate, ratios

COLUMNS = ("what", "peer", "peer /s", "satimnet /s", "ratio", "by clock", "contract")
_SMALL = 10  # rates below it have decimals
_LIBRARIES = (
    *("numpy", "torch", "torchvision", "rasterio", "pyarrow", "duckdb", "obstore", "fsspec"),
    *("simplejpeg", "imagecodecs", "pillow", "opencv-python-headless", "PyTurboJPEG", "pystac"),
    *("torchgeo", "webdataset", "litdata", "mosaicml-streaming", "taco-eo", "rumi-eo"),
)


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
    least: float | None = None
    """Things per core-second, or per second where the clock counts, that were promised."""


def table_of(rows: Sequence[Row]) -> Table:
    """The rows as a table for the screen."""
    table = Table(
        caption="/s: per core-second, where only the clock counts per second; medians of the "
        "rounds, in brackets the extremes"
    )
    for name in COLUMNS[:2]:
        table.add_column(name)
    for name in COLUMNS[2:]:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(row.what, row.peer, *figures_of(row))
    return table


def json_of(rows: Sequence[Row], settings: dict[str, Any]) -> dict[str, Any]:
    """The rows with every lap, what was set, and where and with what it ran."""
    return {
        **where(),
        "versions": versions(),
        **settings,
        "rows": [
            asdict(row) | {"ratios": row.theirs and ratios(row.ours, row.theirs)} for row in rows
        ],
    }


def rows_of(content: dict[str, Any]) -> list[Row]:
    """The rows that `json_of` wrote."""
    names = {field.name for field in fields(Row)}
    rows = []
    for entry in content["rows"]:
        given = {name: value for name, value in entry.items() if name in names}
        laps = [
            value and [Lap(**lap) for lap in value] for value in (entry["ours"], entry["theirs"])
        ]
        rows.append(Row(**given | {"ours": laps[0], "theirs": laps[1]}))
    return rows


def where() -> dict[str, Any]:
    """The day, the commit that is checked out, and the machine."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": revision(),
        "machine": machine(),
    }


def revision() -> str | None:
    """The commit, with "+" if files differ from it; None where there is no history."""
    command = ["git", "describe", "--always", "--abbrev=7", "--exclude=*", "--dirty=+"]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=Path(__file__).parent
        )
    except OSError:
        return None
    return done.stdout.strip() or None


def versions() -> dict[str, str]:
    """Versions of the peers, and of libraries that figures depend on, as far as they are here."""
    found = {}
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def machine() -> str:
    """The machine and the interpreter, in words."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((x.partition(":")[2].strip() for x in lines if "model name" in x), model)
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}"


def figures_of(row: Row) -> list[str]:
    """The peer's rate, ours, the ratio, that by the clock, and what was promised."""
    reached = rate(row.ours, by_clock=row.by_clock)
    ours = f"{reached:,.0f}" if reached >= _SMALL else f"{reached:.3g}"
    if row.least is not None:
        kept = "met" if reached >= row.least else "MISSED"
        return ["", ours, "", "", f"≥ {row.least:,g} /s {kept}"]
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
