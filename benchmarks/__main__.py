"""``python -m benchmarks``: satimnet against its peers, in one table. See README.md."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from itertools import chain
from pathlib import Path

from rich.console import Console

from benchmarks.building import building_rows
from benchmarks.data import sources
from benchmarks.decoding import decoding_rows
from benchmarks.patches import patch_rows
from benchmarks.reading import reading_rows
from benchmarks.remote import remote_rows
from benchmarks.schedulers import scheduler_rows
from benchmarks.searching import searching_rows
from benchmarks.table import json_of, machine, table_of
from benchmarks.validating import validating_rows

_FULL = {"per_class": 270, "rounds": 5}
_QUICK = {"per_class": 30, "rounds": 1}
_WHOLE = {"per_class": 2700, "rounds": 1}
_WIDTH = 120  # columns, where the table goes to a file
_GROUPS = {
    "building": building_rows,
    "reading": reading_rows,
    "patches": patch_rows,
    "decoding": decoding_rows,
    "schedulers": scheduler_rows,
    "remote": remote_rows,
    "validating": validating_rows,
    "searching": searching_rows,
}


def main() -> None:
    """Runs everything and prints the table."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--quick", action="store_true", help="few patches, one round: a smoke test")
    sizes.add_argument("--whole", action="store_true", help="only building, all 27,000 patches")
    parser.add_argument(
        "--only", nargs="+", choices=_GROUPS, metavar="GROUP", help=f"some of {', '.join(_GROUPS)}"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures of every round")
    arguments = parser.parse_args()
    size = _QUICK if arguments.quick else _WHOLE if arguments.whole else _FULL
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    with console.status("Preparing") as status, sources(size["per_class"]) as data:
        names = ["building"] if arguments.whole else arguments.only or _GROUPS
        groups = chain(*(_GROUPS[name](data, size["rounds"]) for name in names))
        rows = []
        for row in groups:
            # So few patches in one round show that it runs, and not how fast.
            rows.append(replace(row, contract=None) if arguments.quick else row)
            status.update(f"Measured {row.what} ({row.peer})")
        content = {"data": data.origin, "files": len(data.tiffs), "rounds": size["rounds"]}
    console.print(table_of(rows))
    console.print(f"{machine()}. {len(data.tiffs):,} files of each edition: {data.origin}.")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(json_of(rows, content), indent=1))


if __name__ == "__main__":
    main()
