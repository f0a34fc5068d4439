"""The progress bar of long commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from satimnet.builder.errors import printable
from satimnet.builder.progress import Progress, silent


@contextmanager
def progress_bar(quiet: bool, *, of_bytes: bool = False) -> Iterator[Progress]:
    """A progress bar on the terminal's error stream, which leaves the output to results.

    ``of_bytes``: what is counted are bytes that arrive.
    """
    if quiet:
        yield silent
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        ProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bar

    counted: tuple[ProgressColumn, ...] = (MofNCompleteColumn(), TimeElapsedColumn())
    if of_bytes:
        counted = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), *counted)
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(printable(what), total=None)
            bar.update(tasks[what], completed=done, total=total or None)

        yield show
