"""How long work says how far it is: one protocol, which the command draws as a bar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Anything that is called as work goes on, such as a function that draws a bar.

    Each line of work has a name. It has ended once ``done`` is ``total``; a total that is not
    known until the end is None before it.

    Example:
        >>> def show(what: str, done: int, total: int | None, unit: str) -> None:
        ...     print(f"{what}: {done} of {total or 'some'} {unit}")
        >>> show("Scanning eurosat", 1000, None, "samples")
        Scanning eurosat: 1000 of some samples
    """

    def __call__(self, what: str, done: int, total: int | None, unit: str) -> None:
        """Says how far a line of work is.

        Args:
            what: the name of the line, such as ``Packing eurosat``.
            done: how much of it is done.
            total: how much there is; None if that is not known yet.
            unit: what is counted, in the plural: ``items``, ``bytes``, ``steps``…
        """


def silent(what: str, done: int, total: int | None, unit: str) -> None:
    """The `Progress` that shows nothing."""


@contextmanager
def one_step(progress: Progress, what: str) -> Iterator[None]:
    """Shows a piece of work that cannot be counted: 0 of 1 step, and 1 of 1 when it is done."""
    progress(what, 0, 1, "steps")
    yield
    progress(what, 1, 1, "steps")
