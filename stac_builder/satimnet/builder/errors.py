"""The errors that users can cause and mend."""

from __future__ import annotations

from typing import Literal


class SatimnetError(Exception):
    """Something the user can mend; the message is one line that names the file and the remedy."""


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
