"""The progress bars of long commands: what the library says of its progress, drawn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from satimnet.builder.errors import printable
from satimnet.builder.progress import Progress, silent
from satimnet.cli.progress_lines import ProgressLines, amount_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import ProgressColumn, Task, TaskID

_MEGA = 1_000_000


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Progress]:
    """Says on the error stream how far work is: by bars, or by lines if that is no terminal.

    Output is left to results. Nothing is drawn before the first sign of progress, and no bar stays
    when the command ends. Lines come now and then, and none of work that is done at once.
    """
    from rich.console import Console

    if quiet:
        yield silent
        return
    console = Console(stderr=True)
    shown = _Bars(console) if console.is_terminal else ProgressLines(sys.stderr)
    try:
        yield shown.show
    finally:
        shown.end()


class _Bars:
    """Bars on a console: those that go on, and the last one that ended."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._drawn: Bars | None = None
        self._lines: dict[str, TaskID] = {}

    def show(self, what: str, done: int, total: int | None, unit: str) -> None:
        """Draws how far a line is: the `Progress` of the command."""
        if self._drawn is None:
            self._drawn = _new_bars(self._console)
            self._drawn.start()
        drawn = self._drawn
        if what not in self._lines:
            for other in drawn.tasks:
                drawn.update(other.id, visible=not other.finished)
            self._lines[what] = drawn.add_task(printable(what), total=total, unit=unit)
        line = self._lines[what]
        if done < drawn.tasks[drawn.task_ids.index(line)].completed:  # it was begun again
            drawn.reset(line, total=total)
        # One step that cannot be counted moves to and fro until it is done.
        known = None if unit == "steps" and total == 1 and not done else total
        drawn.update(line, completed=done, total=known)

    def end(self) -> None:
        """Takes the bars away."""
        if self._drawn is not None:
            self._drawn.stop()


def _new_bars(console: Console) -> Bars:
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    return Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        _text_column(amount),
        _text_column(rate),
        _text_column(times),
        console=console,
        transient=True,
    )


def amount(task: Task) -> str:
    """How much of a line is done, with its unit: ``3/12 shards``, ``1.5/20.0 MB``."""
    return amount_of(task.completed, task.total, task.fields["unit"])


def rate(task: Task) -> str:
    """How fast a line goes: ``120 items/s``, ``4.2 MB/s``; nothing where that is not known yet."""
    unit, speed = task.fields["unit"], task.finished_speed or task.speed
    if not speed or (unit == "steps" and task.total in (None, 1)):
        return ""
    if unit == "bytes":
        return f"{speed / _MEGA:,.1f} MB/s"
    return f"{speed:,.0f} {unit}/s" if speed >= 10 else f"{speed:,.1f} {unit}/s"


def times(task: Task) -> str:
    """How long a line has taken, and how long it will take yet: ``0:01:10, 0:00:25 left``."""
    spent, left = task.finished_time or task.elapsed or 0, task.time_remaining
    after = "" if left is None or task.finished else f", {timedelta(seconds=int(left))} left"
    return f"{timedelta(seconds=int(spent))}{after}"


def _text_column(words: Callable[[Task], str]) -> ProgressColumn:
    from rich.progress import ProgressColumn
    from rich.text import Text

    class Words(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(words(task))

    return Words()
