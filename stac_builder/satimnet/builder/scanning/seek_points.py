"""Seek points of a ``.tar.gz``, made anew by a worker that does not see those of the scan."""

from __future__ import annotations

import os
import threading
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, cast

from satimnet.builder.scanning.containers import own_errors
from satimnet.builder.scanning.gzip_streams import write_seek_points
from satimnet.builder.storage.hrefs import is_url
from satimnet.builder.storage.worker import scratch_parent

_lock = threading.Lock()


def seek_points(container: str, stamp: int) -> Path:
    """The file of the seek points, which this process keeps in a temporary folder until it ends.

    All of the archive is read for it, once a process.

    Args:
        container: path or URL of the archive.
        stamp: that of the file.

    Raises:
        OSError: it cannot be read.
    """
    with _lock:  # threads of a worker wait for the first of them
        return _made(container, stamp)


@cache
def _made(container: str, stamp: int) -> Path:
    path = Path(_scratch().name, f"{len(os.listdir(_scratch().name))}.gzidx")
    file: Any = None
    if is_url(container):
        from satimnet.builder.storage.remote_files import SteadyFile

        file = SteadyFile(container)
    with own_errors(file):
        write_seek_points(container, cast(IO[bytes], file), path)
    return path


@cache
def _scratch() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="satimnet-", dir=scratch_parent())
