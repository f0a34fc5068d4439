"""The errors that users can cause and mend."""

from __future__ import annotations

from typing import Literal


def printable(text: str) -> str:
    """The text with escapes for what would break a line, move a cursor or be no Unicode.

    File names may hold anything: line ends, control characters, bytes that are no UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class SatimnetError(Exception):
    """Something the user can mend; the message is one line that names the file and the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class CatalogWarning(UserWarning):
    """Something of a catalog cannot be read, and the rest is; the message is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class ArgumentError(SatimnetError, TypeError):
    """An argument that the function does not take; a `TypeError`, as Python's own is."""


class BadFileError(SatimnetError):
    """One file of a source is broken; a build may leave it out and go on.

    ``kind`` is that of the `Problem` it becomes: ``incomplete`` where nothing is wrong, but the
    sample has to do without this file.
    """

    def __init__(
        self, path: str, reason: str, kind: Literal["broken", "incomplete"] = "broken"
    ) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
        self.kind = kind

    def __reduce__(self) -> tuple[type[BadFileError], tuple[str, str, str]]:
        # Exceptions travel between worker processes by their arguments.
        return type(self), (self.path, self.reason, self.kind)
