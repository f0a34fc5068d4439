"""``python -m benchmarks``: satimnet against its peers, in one table. See README.md."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks.building import building_rows
from benchmarks.data import Data, sources
from benchmarks.decoding import decoding_rows
from benchmarks.markdown import keep
from benchmarks.patches import patch_rows
from benchmarks.reading import reading_rows
from benchmarks.remote import remote_rows
from benchmarks.schedulers import scheduler_rows
from benchmarks.searching import searching_rows
from benchmarks.starting import starting_rows
from benchmarks.table import Row, json_of, machine, table_of
from benchmarks.validating import validating_rows
from benchmarks.windows import window_rows

_EVERYTHING = 270
"""Files of each class that all groups work on."""
_ALSO_BUILT = (3, 30)
"""Files of each class that are built as well: a small dataset has other costs than a large one."""
_QUICK = 30
_WHOLE = 2700
_ROUNDS = 5
_FEW_ROUNDS = 3
_WIDTH = 120  # columns, where the table goes to a file
_GROUPS = {
    "building": building_rows,
    "reading": reading_rows,
    "patches": patch_rows,
    "decoding": decoding_rows,
    "schedulers": scheduler_rows,
    "remote": remote_rows,
    "windows": window_rows,
    "validating": validating_rows,
    "searching": searching_rows,
    "starting": starting_rows,
}


def main() -> None:
    """Runs everything and prints the table."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few patches, one round: a smoke test")
    parser.add_argument(
        "--only", nargs="+", choices=_GROUPS, metavar="GROUP", help=f"some of {', '.join(_GROUPS)}"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures of every round")
    parser.add_argument(
        "--publish", action="store_true", help="put all figures and tables into the pages"
    )
    arguments = parser.parse_args()
    if arguments.publish and (arguments.quick or arguments.only):
        parser.error("--publish: takes a run of everything")
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    entries: list[tuple[str, Row]] = []
    origins: dict[int, str] = {}
    with console.status("Preparing") as status:
        for per_class, rounds, names in _runs(arguments):
            with sources(per_class, patches=names != ["building"]) as data:
                origins[len(data.tiffs)] = data.origin
                for name, row in _rows(names, data, rounds):
                    # So few patches in one round show that it runs, and not how fast.
                    shown = replace(row, contract=None, least=None) if arguments.quick else row
                    entries.append((name, shown))
                    status.update(f"Measured {row.what} ({row.peer})")
    rows = [row for _, row in entries]
    console.print(table_of(rows))
    console.print(f"{machine()}. {_sentence(origins)}")
    content = json_of(rows, {"data": _sentence(origins)})
    for entry, (name, _) in zip(content["rows"], entries, strict=True):
        entry["group"] = name
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(content, indent=1))
    if arguments.publish:
        keep(content, "comparisons")


def _runs(arguments: argparse.Namespace) -> Iterator[tuple[int, int, list[str]]]:
    """Files of each class, rounds, and which groups work on them."""
    names = list(arguments.only or _GROUPS)
    if arguments.quick:
        yield _QUICK, 1, names
        return
    if "building" in names:
        for per_class in _ALSO_BUILT:
            yield per_class, _ROUNDS, ["building"]
        yield _WHOLE, _FEW_ROUNDS, ["building"]
    yield _EVERYTHING, _ROUNDS, names


def _rows(names: list[str], data: Data, rounds: int) -> Iterator[tuple[str, Row]]:
    """The rows of the groups; those of building say how many files there are."""
    for name in names:
        for row in _GROUPS[name](data, rounds):
            if name == "building":
                work, _, counted = row.what.rpartition(":")
                row = replace(row, what=f"{work}, {len(data.tiffs):,} files:{counted}")
            yield name, row


def _sentence(origins: dict[int, str]) -> str:
    """What the files are, in words."""
    listed = "; ".join(f"{count:,} files of each edition: {x}" for count, x in origins.items())
    return f"{listed}."


if __name__ == "__main__":
    main()
