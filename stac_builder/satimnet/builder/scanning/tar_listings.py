"""Listings of tars in stores: made once, as it takes going through all of a tar to make one."""

from __future__ import annotations

import os
import pickle
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from satimnet.builder.scanning.entries import Entry
from satimnet.builder.storage.atomic_files import settle

_TOGETHER = 1000


def kept(path: Path, entries: Iterator[Entry]) -> Iterator[Entry]:
    """The entries; from the file if an earlier listing came to its end, else that is written."""
    if path.exists():
        with path.open("rb") as file:
            while head := file.read(4):
                yield from pickle.loads(zlib.decompress(file.read(int.from_bytes(head, "big"))))
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        try:
            waiting: list[Entry] = []
            for entry in entries:
                waiting.append(entry)
                yield entry
                if len(waiting) == _TOGETHER:
                    file.write(_packed(waiting))
                    waiting = []
            file.write(_packed(waiting))
            file.close()
            settle(Path(file.name), path)
        except BaseException:  # also of whoever has seen enough
            with suppress(OSError):
                os.unlink(file.name)
            raise


def _packed(entries: list[Entry]) -> bytes:
    data = zlib.compress(pickle.dumps(entries, -1), 1)
    return len(data).to_bytes(4, "big") + data
