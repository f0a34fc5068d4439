"""A folder in the layout of a dataset on Hugging Face's hub: a card, and tables with the images.

``README.md`` is the card, whose head names the subsets, a collection each, and the Parquet files of
their splits (https://huggingface.co/docs/hub/datasets-manual-configuration). ``load_dataset`` reads
the folder where it lies, and it can be uploaded as it is.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from satimnet.builder.errors import ArgumentError
from satimnet.builder.exports.dataset_card import LICENCES, card, licences
from satimnet.builder.exports.hub_subsets import Subset, survey
from satimnet.builder.progress import Progress
from satimnet.builder.storage.atomic_files import place, settle, sync
from satimnet.builder.storage.hrefs import folder_at
from satimnet.builder.storage.staging import announce, clear, lock_of, placed, workspace
from satimnet.builder.types import Json

if TYPE_CHECKING:
    import pyarrow.parquet as pq

    from satimnet.builder.query.index import Index, IndexedCollection

_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*")
_PART = 500_000_000
"""Bytes of images in a file, as ``datasets`` writes them."""
_GROUP = 64_000_000
"""Bytes of images in a row group, of which one is in memory; the hub asks for at most 300 MB."""
_ROWS = 1000  # of a row group


def write_hub_folder(
    index: Index, collections: Sequence[IndexedCollection], folder: Path, progress: Progress
) -> None:
    """Writes collections into a folder that is not there yet, and is there only as a whole.

    A run that was killed goes on from the files that are finished.

    Args:
        index: The open catalog.
        collections: The collections.
        folder: The folder.
        progress: Is told how far it is.

    Raises:
        ArgumentError: the folder is there, or a collection has no images.
        SatimnetError: something cannot be read.
    """
    taken = f"{folder}: is there already; choose another folder"
    if os.path.lexists(folder) and not lock_of(folder).exists():  # nor of a run that was killed
        raise ArgumentError(taken, "folder")
    subsets = [survey(one) for one in collections]
    for one in subsets:
        if not _NAME.fullmatch(one.collection.id):
            raise ArgumentError(
                f"{one.collection.id}: cannot be the name of a subset, which has letters, digits, "
                "'.', '_' and '-'; choose other collections",
                "collections",
            )
    made_of = _made_of(index, collections)
    with workspace(folder, "exporting", kept_on_error=True) as staging:
        if placed(folder, folder, made_of):
            return
        if os.path.lexists(folder):
            raise ArgumentError(taken, "folder")
        made, note = staging / "made", staging / "made-of"
        if not (note.is_file() and note.read_text() == made_of):
            clear(staging)
            note.write_text(made_of)
        made.mkdir(exist_ok=True)
        files = {one.collection.id: _write_tables(one, made, progress) for one in subsets}
        alone = subsets[0].document.title if len(subsets) == 1 else None
        title = alone or str(index.document.get("title") or index.document["id"])
        (made / LICENCES).write_text(licences(subsets), encoding="utf-8")
        (made / "README.md").write_text(card(title, subsets, files), encoding="utf-8")
        sync(made)
        announce(folder, made_of, made)
        place(made, folder)


def _made_of(index: Index, collections: Sequence[IndexedCollection]) -> str:
    """A digest of what the folder is made of."""
    splits = "" if index.splits is None else index.splits.digest
    of_each = [(one.document.json, folder_at(one.parquet)) for one in collections]
    return hashlib.sha256(repr((index.href, splits, of_each)).encode()).hexdigest()


def _write_tables(subset: Subset, folder: Path, progress: Progress) -> dict[str, list[str]]:
    """Writes the files of a subset; returns their paths within the folder, by split."""
    home = folder / subset.collection.id
    home.mkdir(exist_ok=True)
    splits = {name: _Split(subset, home, name) for name in subset.counts}
    what, total = f"Exporting {subset.collection.id}", sum(subset.counts.values())
    progress(what, 0, total, "items")
    for done, row in enumerate(subset.rows(), 1):
        if splits[row["split"]].add(row):
            progress(what, done, total, "items")
    for split in splits.values():
        split.close()
    progress(what, total, total, "items")
    return {
        name: [f"{subset.collection.id}/{path.name}" for path in split.files]
        for name, split in splits.items()
    }


class _Split:
    """The files of a split: they are filled one after the other, those that are there are kept."""

    def __init__(self, subset: Subset, home: Path, name: str) -> None:
        self.files: list[Path] = []
        self._subset, self._home, self._name = subset, home, name
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[Json] = []
        self._in_group = self._in_part = 0
        self._begun = False  # whether rows are in the last of the files

    def add(self, row: Json) -> bool:
        """Takes a row; whether it was the last of a row group."""
        size = self._subset.size(row)
        if self._in_part and self._in_part + size > _PART:
            self.close()
        self._waiting.append(row)
        self._in_group += size
        self._in_part += size
        if self._in_group < _GROUP and len(self._waiting) < _ROWS:
            return False
        self._flush()
        return True

    def close(self) -> None:
        """Ends the file that is being filled."""
        self._flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            settle(self._part, self.files[-1])
        self._in_part, self._begun = 0, False

    @property
    def _part(self) -> Path:
        return self.files[-1].with_suffix(".part")

    def _flush(self) -> None:
        if not self._waiting:
            return
        if not self._begun:
            self._begun = True
            self.files.append(self._home / f"{self._name}-{len(self.files):05}.parquet")
        if not self.files[-1].is_file():
            self._write()
        self._waiting, self._in_group = [], 0

    def _write(self) -> None:
        import pyarrow.parquet as pq

        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._part,
                self._subset.schema,
                compression="zstd",
                use_dictionary=False,
                write_page_index=True,
            )
        table = self._subset.table(self._waiting)
        self._writer.write_table(table, row_group_size=len(table))
