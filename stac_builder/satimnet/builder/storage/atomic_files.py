"""Atomic files: files and folders that are whole or absent, even after a kill or a power cut.

What is new is written beside, flushed, and gets its name in one step. Before a command says that
it is done, the folders that name its files are flushed as well.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import orjson

from satimnet.builder.types import Json

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # https://man7.org/linux/man-pages/man2/rename.2.html


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A file beside ``path`` to be written, which takes its name when the block has ended.

    An error in the block removes it and leaves what was at ``path``. Makes the folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        yield part
        settle(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write(path: Path, content: bytes) -> None:
    """Writes a file as a whole or not at all, and onto the disk."""
    with writing(path) as part:
        part.write_bytes(content)


def write_json(content: Json, path: Path) -> None:
    """Writes indented JSON as a whole or not at all, and onto the disk."""
    write(path, json_bytes(content))


def json_bytes(content: Json) -> bytes:
    """Indented JSON in UTF-8 that ends with a line end: what every file of a catalog looks like."""
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def settle(part: Path, path: Path) -> None:
    """Flushes the file ``part`` and moves it to ``path``, whose folder is flushed then.

    Raises:
        OSError: a device, a pipe or a folder is at ``path``, and would be lost.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(kind := os.lstat(path).st_mode) and not stat.S_ISLNK(kind):
            raise OSError(errno.EINVAL, "this is no regular file", str(path))
    _flush(part)
    os.replace(part, path)
    _flush(path.parent)


def place(made: Path, out: Path) -> None:
    """Puts the folder ``made`` where ``out`` is, in one step; its content must be flushed.

    What lay at ``out`` lies at ``made`` then; an empty folder is gone. Where the system cannot
    exchange two folders, there is no ``out`` for a moment.
    """
    if not out.is_dir() or not any(out.iterdir()):
        os.rename(made, out)
    elif not _exchanged(made, out):
        aside = made.with_name(made.name + ".replaced")
        os.rename(out, aside)
        os.rename(made, out)
        os.rename(aside, made)
    _flush(out.parent)


def sync(folder: Path) -> None:
    """Flushes all files below a folder to the disk.

    On Linux at once, by flushing its file system: 1.4 s for 22,950 files, one by one 39 s.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "syncfs"):
        for root, _, names in os.walk(folder):
            for name in names:
                _flush(Path(root, name))
            _flush(Path(root))
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        if libc.syncfs(opened):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(opened)


def _exchanged(a: Path, b: Path) -> bool:
    """Exchanges two folders in one step; False where the system has no way to do it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    names = os.fsencode(a), os.fsencode(b)
    if not libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE):
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(b))


def _flush(path: Path) -> None:
    """Flushes a file, or the names in a folder where the file system has a way to do it."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(opened)
