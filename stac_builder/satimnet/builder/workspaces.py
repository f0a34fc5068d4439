"""Workspaces: the hidden folder that a long run works in, beside what it makes."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from satimnet.builder.errors import SatimnetError


@contextmanager
def workspace(out: Path, doing: str, *, kept_on_error: bool = False) -> Iterator[Path]:
    """The folder ``.<name>.<doing>`` beside ``out``, for this process alone.

    It is removed at the end; a kill leaves it, for the next run to go on from, and so does an error
    if that is ``kept_on_error``.

    Raises:
        SatimnetError: the folder cannot be written, another run works in it, or an `OSError` came
            out of the block, such as that of a full disk.
    """
    folder = out.absolute().parent / f".{out.absolute().name}.{doing}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise SatimnetError(
            f"{out}: cannot be written there ({error.strerror}); choose another place"
        ) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SatimnetError(f"{out}: another run is writing it; wait for it") from error
        try:
            yield folder
        except Exception as error:
            if not kept_on_error:
                shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise SatimnetError(
                    f"{error.filename or out}: {error.strerror or error}; mend it and start again"
                ) from error
            raise
        shutil.rmtree(folder)
    finally:
        os.close(lock)
