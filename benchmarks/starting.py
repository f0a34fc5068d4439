"""Starting: the command's help, and a first search, each in a new process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from benchmarks.building import catalog_of
from benchmarks.data import Data
from benchmarks.table import Row
from benchmarks.timing import Contender, race

_SECONDS = {"satimnet --help": 0.4, "a search from the command": 1.0}
"""Core-seconds that each may take at most."""


def starting_rows(data: Data, rounds: int) -> Iterator[Row]:
    """A row for each command. Its files lie in the page cache."""
    catalog = data.folder / "started"
    catalog_of(data.jpeg_source, catalog)
    commands = {
        "satimnet --help": ["--help"],
        "a search from the command": ["search", str(catalog), "--class", "Forest", "--limit", "10"],
    }
    contenders = {name: Contender(partial(_start, options)) for name, options in commands.items()}
    for contender in contenders.values():
        contender.work()
    laps = race(contenders, rounds)
    for name, seconds in _SECONDS.items():
        yield Row(f"{name}: starts", "", laps[name], None, least=1 / seconds)


def _start(options: list[str]) -> int:
    command = [sys.executable, "-m", "satimnet.cli", *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return 1
