"""Held files: files kept open, so that they read as they were even when replaced or removed."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

from satimnet.builder.storage.hrefs import open_regular, plain_name


class Held:
    """A file of this machine that stays the same for as long as this object lives.

    ``place`` is a path that leads to it. Where the system has no such paths (they are Linux'), it
    is the one that was given, or a plain name of it, which may come to name another file. Another
    process that is sent this object opens the path anew. Raises `OSError` if the file cannot be
    opened, or is no regular file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        opened = open_regular(path)
        weakref.finalize(self, opened.close)
        place = f"/proc/self/fd/{opened.fileno()}"
        self.place = place if os.path.exists(place) else plain_name(path)

    def __reduce__(self) -> tuple[type[Held], tuple[str]]:
        return Held, (self._path,)


def folder_of(file: str) -> tuple[int, int] | None:
    """What tells the folder of a file from another one that takes its place; None of none."""
    try:
        stat = Path(file).parent.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino
