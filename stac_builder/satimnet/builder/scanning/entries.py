"""Entries: the files of a source, and what their names say before any of them is opened."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, Self

from satimnet.builder.errors import printable
from satimnet.builder.storage.stores import shown

_LONGEST = 500  # characters of a path in messages; archives may have 65,535

_ALIASES = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif"}
_IMAGES = (".tif", ".jpg", ".png", ".jp2", ".bmp", ".gif", ".img", ".nc", ".hdf", ".h5", ".npy")
_LABELS = (".json", ".geojson", ".csv", ".txt", ".xml", ".parquet", ".mat", ".shp", ".gpkg", ".npz")
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip", ".tar", ".tgz", ".tbz2", ".txz", ".tzst")
_UNREAD = (".7z", ".rar", ".lz4", ".lzma", ".lz", ".z", ".001", ".z01")
_DATA = frozenset((*_IMAGES, *_LABELS, *_PACKED, *_UNREAD))

_ARCHIVE = re.compile(r"\.(zip|tgz|tbz2?|txz|tzst|tar(\.(gz|bz2|xz|zst))?)$", re.IGNORECASE)
_ARCHIVES = (*_PACKED, ".tbz")
# Google Drive packs a shared folder as NAME-<time>-<part>.zip, or as several of them
_PACKED_BY_DRIVE = re.compile(r"-[0-9]{8}T[0-9]{6}Z(-[0-9]+)+$")
_SPLIT_ARCHIVE = re.compile(
    r"\.(7z|zip|rar|tar|tgz|tar\.[a-z0-9]+)\.[0-9]{2,4}$|\.z[0-9]{2}$|\.part[0-9]+\.rar$",
    re.IGNORECASE,
)
_UNREAD_ARCHIVE = re.compile(r"\.(7z|rar|lz4|lzma|lz|z)$", re.IGNORECASE)
# what macOS and Windows leave behind
_JUNK = (".DS_Store", ".ds_store", "Thumbs.db", "thumbs.db", "desktop.ini", "Desktop.ini")
_JUNK_ENDINGS = frozenset(name[name.rfind(".") :] for name in _JUNK)
_LEFT_BEHIND = re.compile(r"(^|/)\._|__MACOSX/")
_ABOUT = re.compile(
    r"(^|/)(read[ _-]?me|licen[cs]e|copying|copyright|citation|change(log|s)|authors|notice|terms"
    r"|md5|sha[0-9]+)[^/]*$|\.aux\.xml$",
    re.IGNORECASE,
)


class Entry(NamedTuple):
    """One regular file of a source, on disk or inside an archive.

    A tuple, as one is made in a seventh of the time of a frozen dataclass, and pickled in a tenth;
    BigEarthNet has 7.7 million.
    """

    path: str
    """Path inside the source, as `layout_path` has it, an archive being a folder as
    `archive_folder` names it: what a dataset's layout is about. Escapes stand for what is not
    `printable`."""
    size: int
    """Bytes of the file itself (uncompressed)."""
    container: str
    """The file, a path or the URL of one in a store, that holds the bytes: the file itself, its
    archive, or what that was unpacked to."""
    kind: Literal["file", "zip", "tar", "targz", "packed"]
    """``packed`` cannot be read where it is: nothing was unpacked to list it."""
    offset: int
    """Where the entry begins in its container: the zip's local header, the tar's data."""
    stored_size: int
    """Bytes it takes in its container (compressed, for zip)."""
    stamp: int
    """CRC-32 in zip, modification time elsewhere, and that of the container in stores
    (`satimnet.builder.storage.objects.Object.stamp`): changes when the file does."""
    method: int = 0
    """Compression method of a zip member (APPNOTE 4.4.5)."""
    member: str = ""
    """Path inside the archive."""
    archive: str = ""
    """How messages name the archive, where its container does not say it."""

    @property
    def where(self) -> str:
        """How messages name the archive, or the file itself if it is in none."""
        return self.archive or shown(self.container)

    @property
    def label(self) -> str:
        """How messages name the file: its path or URL, or ``archive.zip!member``."""
        text = self.where if self.kind == "file" else f"{self.where}!{self.member}"
        return printable(shortened(text))


@dataclass(frozen=True)
class Batch:
    """Files of a source that are listed together: paths, and entries when they are asked for.

    Most looks at a file are at its path, and its entry takes four times as long to make.
    """

    paths: Sequence[str]
    made: Callable[[], Iterable[Entry]]
    """Makes the entries, in the same order, anew at each call."""

    @classmethod
    def of(cls, *entries: Entry) -> Self:
        """A batch of entries that are there already."""
        return cls([entry.path for entry in entries], lambda: entries)

    @cached_property
    def endings(self) -> frozenset[str]:
        """What follows the last dots of the paths, with those: few, whatever the number of files"""
        return frozenset([path[path.rfind(".") :] for path in self.paths])

    @property
    def may_have_archives(self) -> bool:
        """Whether `is_archive` may be true of a file."""
        return not self.endings.isdisjoint(_ARCHIVES)

    @property
    def may_have_junk(self) -> bool:
        """Whether `is_junk` may be true of a file."""
        text = "\0".join(self.paths)
        return not self.endings.isdisjoint(_JUNK_ENDINGS) or "._" in text or "__MACOSX/" in text


def shortened(text: str) -> str:
    """A path with its middle left out, if it is too long for a message."""
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]}…{text[-half:]}"


def layout_path(path: str) -> str:
    """The path with its ending as datasets' layouts have it: ``.JPEG`` is ``.jpg``."""
    at = path.rfind(".")
    ending = path[at:]
    if ending in _DATA or at < 0 or "/" in ending:
        return path
    ending = ending.lower()
    return path[:at] + _ALIASES.get(ending, ending)


def is_archive(path: str) -> bool:
    """Whether a file is to be looked into, by its path as `layout_path` has it."""
    return path.endswith(_ARCHIVES) and _ARCHIVE.search(path) is not None


def archive_folder(path: str) -> str:
    """The folder that an archive counts as, with a slash: ``train`` for ``train.zip``.

    What Google Drive adds to the name does not count.
    """
    return _PACKED_BY_DRIVE.sub("", _ARCHIVE.sub("", path)) + "/"


def unread_archive(path: str) -> str | None:
    """Why an archive is not looked into and what to do, if the name is that of such a one."""
    if _SPLIT_ARCHIVE.search(path):
        name = path.rpartition("/")[2]
        return (
            "a part of a split archive, which satimnet does not read; "
            f"join and unpack it (7z x {name}, say) and give the folder"
        )
    if _UNREAD_ARCHIVE.search(path):
        return "an archive of a kind that satimnet does not read; unpack it and give the folder"
    return None


def is_junk(path: str) -> bool:
    """Whether an operating system left the file behind, so that it can be skipped."""
    if path.endswith(_JUNK):
        return True
    # the first test of almost every path
    return ("._" in path or "__MACOSX/" in path) and _LEFT_BEHIND.search(path) is not None


def is_data_ending(ending: str) -> bool:
    """Whether a file may be an image, a label or an archive, by what follows its last dot, with
    that."""
    return ending in _DATA or ending[1:].isdigit()  # a part of an archive


def is_about(path: str) -> bool:
    """Whether a file, by its name, is for people to read, or for a program beside an image."""
    return _ABOUT.search(path) is not None
