"""Files that are held open: what is replaced or removed meanwhile is still read as it was."""

from __future__ import annotations

import os
import weakref
from pathlib import Path


class Held:
    """A file of this machine that stays the same for as long as this object lives.

    ``place`` is a path that leads to it. Where the system has no such paths (they are Linux'), it
    is the one that was given, which may come to name another file. Raises `OSError` if the file
    cannot be opened.
    """

    def __init__(self, path: str) -> None:
        opened = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, opened)
        place = f"/proc/self/fd/{opened}"
        self.place = place if os.path.exists(place) else path


def folder_of(file: str) -> tuple[int, int] | None:
    """What tells the folder of a file from another one that takes its place; None of none."""
    try:
        stat = Path(file).parent.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino
