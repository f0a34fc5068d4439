"""Listings of tars: made once, as it takes going through all of a tar to make one."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from satimnet.builder.scanning.tar_headers import PlainFiles
from satimnet.builder.storage.atomic_files import settle
from satimnet.builder.storage.compression import compressed, uncompressed

_TOGETHER = 1000


def kept(path: Path, listed: Iterator[PlainFiles]) -> Iterator[PlainFiles]:
    """The files; from the listing if an earlier one came to its end, else that is written.

    Args:
        path: where the listing is, or will be; seven bytes a file of BigEarthNet.
        listed: the files, as the headers tell them.
    """
    if path.exists():
        with path.open("rb") as file:
            while head := file.read(4):
                yield pickle.loads(uncompressed(file.read(int.from_bytes(head, "big"))))
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        try:
            waiting: list[PlainFiles] = []
            count = 0
            for found in listed:
                waiting.append(found)
                count += len(found.names)
                yield found
                if count >= _TOGETHER:
                    file.write(_packed(waiting))
                    waiting, count = [], 0
            if waiting:
                file.write(_packed(waiting))
            file.close()
            settle(Path(file.name), path)
        except BaseException:  # also of whoever has seen enough
            with suppress(OSError):
                os.unlink(file.name)
            raise


def _packed(listed: list[PlainFiles]) -> bytes:
    data = compressed(pickle.dumps(PlainFiles.joined(listed), -1))
    return len(data).to_bytes(4, "big") + data
