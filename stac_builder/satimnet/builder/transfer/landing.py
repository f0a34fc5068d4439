"""Landing: where the files of a copy go as they come, so that a killed copy goes on from there.

On disk they wait in a workspace until the copy is whole. In an object store they go straight to
where they belong, as nothing links them yet.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from satimnet.builder.errors import NotFoundError, StorageError
from satimnet.builder.publishing.layout import Location
from satimnet.builder.publishing.protocol import BUILDING
from satimnet.builder.storage import objects
from satimnet.builder.storage.atomic_files import settle
from satimnet.builder.storage.stores import ChangedError, shown
from satimnet.builder.transfer.catalog_links import CatalogFile, top_folder

_FLUSHED = 2**20  # bytes of a file that is flushed as soon as it is there; small ones all at once

Fetch = Callable[[Path], None]
"""Writes the content of a file to a path."""


def _boot() -> str:
    """Another text after each start of the machine, on Linux."""
    file = Path("/proc/sys/kernel/random/boot_id")
    return file.read_text().strip() if file.exists() else "unknown"


class Staged:
    """The files of a copy in a workspace of this machine."""

    at_once = 8
    """Files that are copied at a time."""

    def __init__(self, staging: Path) -> None:
        self.made = staging / "catalog"
        self._mark = staging / "mark"
        self._parts = staging / "parts"
        self._numbers = count()
        shutil.rmtree(self._parts, ignore_errors=True)
        self._parts.mkdir()
        self.made.mkdir(exist_ok=True)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to go on from."""
        return not any(self.made.iterdir())

    def begin(self, digest: str) -> None:
        """Keeps what an earlier run copied if it was of the catalog with this digest."""
        known = self._mark.read_text().split() if self._mark.exists() else []
        now = [digest, _boot()]
        if known[:1] != now[:1]:
            shutil.rmtree(self.made)
            self.made.mkdir()
        elif known != now:  # the power may have been cut: what was not flushed may be empty
            for path in (path for path in self.made.rglob("*") if path.is_file()):
                if path.stat().st_size < _FLUSHED:
                    path.unlink()
        self._mark.write_text("\n".join(now))

    @contextmanager
    def brought(self, file: CatalogFile, fetch: Fetch, reads: bool) -> Iterator[Path | None]:
        """The file, which is fetched unless an earlier run did; None if it need not be read."""
        target = self.made / file.path
        if not os.path.isfile(target):
            part = self._parts / str(next(self._numbers))
            fetch(part)
            target.parent.mkdir(parents=True, exist_ok=True)
            if part.stat().st_size < _FLUSHED:
                os.replace(part, target)
            else:
                settle(part, target)
        yield target


class Sent:
    """The files of a copy in an object store.

    The files of a version have names that tell their content, so that one of the same size is the
    same. Those of a collection without versions have not: a note in the store says of which catalog
    they are, and keeps another copy of such a collection from being mixed with this one.
    """

    at_once = 16

    def __init__(
        self, out: str, scratch: Path, folders: Mapping[str, Location | None], single_writer: bool
    ) -> None:
        """``folders`` has the folders at the top that are copied, and the versions of each."""
        self._out = out
        self._scratch = scratch
        self._folders = folders
        self._single_writer = single_writer
        self._sizes: dict[str, int] = {}
        self._known: set[str] = set()  # folders whose files an earlier run of this copy wrote
        self._notes: list[str] = []
        self._numbers = count()

    def begin(self, digest: str) -> None:
        """Notes what is copied, and finds out what is there already.

        Raises:
            StorageError: another copy of such a collection is under way.
        """
        for top, at in self._folders.items():
            if at is None or at.version is None:
                note = f"{self._out}/{BUILDING}/copying-{top.rstrip('/')}"
                if claim(note, digest, single_writer=self._single_writer):
                    self._known.add(top)
                self._notes.append(note)
            for found in objects.files_below(f"{self._out}/{top}".rstrip("/")):
                self._sizes[found.place[len(self._out) + 1 :]] = found.size

    def end(self) -> None:
        """Removes the notes: all is linked."""
        for place in self._notes:
            objects.delete(place)

    @contextmanager
    def brought(self, file: CatalogFile, fetch: Fetch, reads: bool) -> Iterator[Path | None]:
        """The file, which is sent unless it is there; None if it need not be read."""
        if not reads and file.size is not None and self._is_there(file.path, file.size):
            yield None
            return
        part = self._scratch / str(next(self._numbers))
        try:
            fetch(part)
            size = part.stat().st_size
            if not self._is_there(file.path, size):
                self._require_mine(file.path, size)
                objects.write(f"{self._out}/{file.path}", part)
            yield part
        finally:
            part.unlink(missing_ok=True)

    def _is_there(self, path: str, size: int) -> bool:
        top = top_folder(path)
        at = self._folders.get(top)
        named = at is not None and at.version is not None
        return (named or top in self._known) and self._sizes.get(path) == size

    def _require_mine(self, path: str, size: int) -> None:
        """Refuses to write over a file that versions may have which are there already."""
        at = self._folders.get(top_folder(path))
        if at is None or at.version is None or path.startswith(f"{at.folder}/"):
            return
        if path in self._sizes:
            raise another_file(f"{self._out}/{path}", self._sizes[path], size)


def claim(note: str, digest: str, *, single_writer: bool = False) -> bool:
    """Notes in a store what a run of this digest is about to write there.

    Args:
        note: place of the note.
        digest: tells what is written.
        single_writer: as for `satimnet.builder.build`.

    Returns:
        Whether an earlier run noted the same.

    Raises:
        StorageError: a run with another digest did, and has not ended.
    """
    try:
        there = objects.read(note).decode("ascii", "replace")
    except NotFoundError:
        there = None
    if there == digest:
        return True
    if there is None or single_writer:
        try:
            if single_writer:
                objects.write(note, digest.encode())
            else:
                objects.replace(note, digest.encode(), None)
            return False
        except ChangedError:  # another run was faster
            if objects.read(note) == digest.encode():
                return True
    raise StorageError(
        f"{shown(note)}: another run writes there, or was killed; wait for it, or remove this note"
    )


def another_file(place: str, there: int, size: int) -> StorageError:
    """The error for a file that is there with other bytes than one that would be copied there."""
    return StorageError(
        f"{shown(place)}: is there already with {there} bytes, and the new one has {size}; "
        "copy to another place"
    )
