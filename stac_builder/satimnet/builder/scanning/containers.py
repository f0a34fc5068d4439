"""Containers: the files that hold the bytes of entries, on this machine or in a store, opened."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, cast

from satimnet.builder.errors import StorageError
from satimnet.builder.storage.hrefs import is_url, open_regular
from satimnet.builder.storage.stores import shown

if TYPE_CHECKING:
    from satimnet.builder.storage.remote_files import SteadyFile

_AT_ONCE = 2**16  # bytes read at a time: headers of small files of a tar are near each other
_MOST = 2  # files of which what was read is kept: one is listed, another read


class Containers:
    """The archives of stores that a scan has open: what lists them and what reads labels share it.

    Each is looked at anew when it is listed again, so that a change is seen.
    """

    def __init__(self) -> None:
        self._files: OrderedDict[str, SteadyFile] = OrderedDict()

    def listed(self, place: str) -> IO[bytes]:
        """The file, opened anew. Raises as `open_regular` and `SteadyFile` do."""
        if not is_url(place):
            return open_regular(place, _AT_ONCE)
        from satimnet.builder.storage.remote_files import SteadyFile

        self._files.pop(place, None)
        self._files[place] = SteadyFile(place)
        if len(self._files) > _MOST:
            self._files.popitem(last=False)
        return cast(IO[bytes], self._files[place].copy())

    def file(self, url: str) -> SteadyFile:
        """A file of a store, with what was read of it. Raises as `SteadyFile` does."""
        if url not in self._files:
            self.listed(url)
        self._files.move_to_end(url)
        return self._files[url].copy()


def state_of(file: IO[bytes]) -> tuple[int, int]:
    """Size and a number that changes when the content does, of an open container."""
    about = getattr(file, "about", None)
    if about is not None:
        return about.size, about.stamp
    stat = os.fstat(file.fileno())
    return stat.st_size, stat.st_ctime_ns


def stamp_of(path: str) -> int:
    """A number that changes when a file of this machine does: the time of its last change of any
    kind, as that of its content may be set to any (`cp -p` and downloads do)."""
    return os.stat(path).st_ctime_ns


@contextmanager
def own_errors(file: object) -> Iterator[None]:
    """Raises the error of a file of a store where a library that reads it raises one of its own, or
    takes it for the end."""
    try:
        yield
    except Exception:
        _raise_failure(file)
        raise
    _raise_failure(file)


def _raise_failure(file: object) -> None:
    failure = getattr(file, "failure", None)
    if failure is not None:
        raise failure from None


def require_same(container: str, expected: int, found: int) -> None:
    """Refuses a file of a store that is another one than the scan found.

    Raises:
        StorageError: it is; the stamps tell.
    """
    if expected != found:
        raise StorageError(f"{shown(container)}: changed since the scan; build again")
