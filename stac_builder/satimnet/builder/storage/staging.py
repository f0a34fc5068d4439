"""Workspaces: the hidden folder that a long run works in, and the lock on what it makes."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from satimnet.builder.errors import SatimnetError

FORMAT = 5
"""Number of the format of what runs keep in workspaces: plans, rows, notes, indexes of archives.

It is raised when any of these change. Satimnet 0.1.0 noted none.
"""
_PAUSE = 0.02  # seconds between two tries to get a lock
_FORMAT_NAME = "format"  # the file in a workspace that has the number


@contextmanager
def lock(out: Path, *, wait: float = 0.0, named: Path | None = None) -> Iterator[None]:
    """Keeps other runs from writing ``out``, a file or a folder, while the block runs.

    The lock is on the file ``.<name>.lock`` beside ``out``. It ends with the process, so what a
    kill leaves is a small file that locks nothing.

    Args:
        out: The file or folder.
        wait: Seconds to wait for a run that holds it.
        named: What messages name, if not ``out``.

    Raises:
        SatimnetError: another run holds it, or the file cannot be written there.
    """
    file = lock_of(out)
    end = time.monotonic() + wait
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                held = _locked(file)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise
                time.sleep(_PAUSE)
    except BlockingIOError as error:
        raise SatimnetError(f"{named or out}: another run is writing it; wait for it") from error
    except OSError as error:
        raise SatimnetError(
            f"{named or out}: cannot be written there ({error.strerror}); choose another place"
        ) from error
    try:
        yield
    finally:
        file.unlink(missing_ok=True)  # while it is held: see _locked
        os.close(held)


def lock_of(out: Path) -> Path:
    """The file that `lock` locks; it is there as long, or after a kill."""
    return out.absolute().with_name(f".{out.absolute().name}.lock")


def _locked(file: Path) -> int:
    """The descriptor of a file that is locked and still lies there.

    The run that held the lock before may have removed the file between opening and locking it.
    """
    while True:
        held = os.open(file, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(held), os.stat(file)):
                return held
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(held)
            raise
        os.close(held)


def says(file: Path, key: str, value: str) -> bool:
    """Whether a JSON file has this value, so that a run may write over its folder."""
    try:
        return bool(orjson.loads(file.read_bytes())[key] == value)
    except (OSError, ValueError, LookupError, TypeError):
        return False


@contextmanager
def workspace(
    out: Path, doing: str, *, kept_on_error: bool = False, shared: bool = False
) -> Iterator[Path]:
    """The folder ``.<name>.<doing>`` beside ``out``, for this process alone; ``out`` is locked.

    With ``shared`` only the folder is locked, and others may write ``out`` meanwhile.

    It is removed at the end. After a kill it stays, and the next run continues from it; after an
    error it stays only with ``kept_on_error``. What a version of satimnet with another `FORMAT`
    left is removed, and all is done again.

    Raises:
        SatimnetError: the folder cannot be written, another run writes ``out``, or an `OSError`
            came out of the block, such as that of a full disk.
    """
    folder = _folder(out, doing)
    with lock(folder if shared else out, named=out):
        try:
            _prepare(folder)
            yield folder
        except Exception as error:
            if not kept_on_error:
                shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError) and not isinstance(error, SatimnetError):
                raise SatimnetError(
                    f"{error.filename or out}: {error.strerror or error}; mend it and start again"
                ) from error
            raise
        shutil.rmtree(folder)


def clear(folder: Path) -> None:
    """Empties a workspace whose content is of no use to this run."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != _FORMAT_NAME:
            path.unlink()


def _prepare(folder: Path) -> None:
    """Makes the folder; one that is there is emptied unless it is of this format."""
    mark = folder / _FORMAT_NAME
    folder.mkdir(exist_ok=True)
    if mark.is_file() and mark.read_bytes() == b"%d" % FORMAT:
        return
    clear(folder)
    mark.write_bytes(b"%d" % FORMAT)  # last: a kill must not leave a part of it as all of it


def announce(out: Path, made_of: str, *made: Path) -> None:
    """Notes folders that are about to leave the workspace of ``out``: see `placed`.

    ``made_of`` is a digest of what they are made of. The note is in the lock file, which is the
    last thing that a run removes.
    """
    with lock_of(out).open("ab") as file:
        file.writelines(_note(made_of, path) + b"\n" for path in made)
        file.flush()
        os.fsync(file.fileno())


def placed(found: Path, out: Path, made_of: str) -> bool:
    """Whether an earlier run put ``found`` there and was killed before it could clean up.

    That run made it from the same things as this one would. Ask only while holding the lock of
    ``out``.
    """
    return found.exists() and _note(made_of, found) in lock_of(out).read_bytes().splitlines()


def _note(made_of: str, folder: Path) -> bytes:
    """The note of a folder.

    A later folder may get the same inode number but has another time; moving changes neither.
    """
    stat = folder.stat()
    return f"{FORMAT} {made_of} {stat.st_ino} {stat.st_mtime_ns}".encode()


def _folder(out: Path, doing: str) -> Path:
    """The workspace of ``out``."""
    return out.absolute().parent / f".{out.absolute().name}.{doing}"
