"""Published files: what a dataset's record says of where its publisher hands it out.

A record has a table ``[[downloads]]`` for every file, with its ``url`` and, as far as the publisher
tells them, ``size`` in bytes and ``checksum`` (``md5:…`` or ``sha256:…``). A table with ``manual``
instead says what is to be done by hand: where a login is asked for, or what follows a download.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlparse

from satimnet.builder.errors import BadCatalogError, NotFoundError

_NAME = re.compile(r"[\w][\w.+-]*", re.ASCII)
_CHECKSUM = re.compile(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Download:
    """A file that a publisher hands out without a login."""

    url: str
    size: int | None = None
    """In bytes; None where the publisher does not say it, as with the checksum."""
    checksum: str | None = None
    """``md5:`` or ``sha256:`` and hexadecimal digits."""

    @property
    def name(self) -> str:
        """The file's name, the last part of the URL's path."""
        return PurePosixPath(unquote(urlparse(self.url).path)).name


@dataclass(frozen=True, slots=True)
class Downloads:
    """All of a dataset."""

    files: tuple[Download, ...]
    steps: tuple[str, ...]
    """What is to be done by hand, in order."""


def downloads_of(record: Mapping[str, Any]) -> Downloads:
    """The downloads of a record.

    Args:
        record: A dataset's record, as its ``dataset.toml`` has it.

    Raises:
        NotFoundError: the record has none.
        BadCatalogError: it has one that cannot be used.
    """
    files, steps = [], []
    for entry in record.get("downloads", ()):
        if "manual" in entry:
            steps.append(" ".join(str(entry["manual"]).split()))
        else:
            files.append(_download(record["id"], entry))
    if not files and not steps:
        where = next((link["href"] for link in record["links"] if link["rel"] == "via"), "")
        raise NotFoundError(
            f"{record['id']}: its record names no downloads; see its publisher {where}".rstrip()
        )
    return Downloads(tuple(files), tuple(steps))


def _download(dataset: str, entry: Mapping[str, Any]) -> Download:
    download = Download(str(entry.get("url", "")), entry.get("size"), entry.get("checksum"))
    reason = None
    if unknown := entry.keys() - {"url", "size", "checksum"}:
        reason = f"{', '.join(sorted(unknown))} is unknown"
    elif urlparse(download.url).scheme not in ("http", "https"):
        reason = "url must begin with https:// or http://"
    elif not _NAME.fullmatch(download.name):
        reason = "the url must end with the name of a file"
    elif download.size is not None and not (type(download.size) is int and download.size > 0):
        reason = "size must be a number of bytes"
    elif download.checksum is not None and not _CHECKSUM.fullmatch(str(download.checksum)):
        reason = "checksum must be md5: or sha256: and its hexadecimal digits"
    if reason:
        raise BadCatalogError(f"{dataset}: downloads of its record, {download.url!r}: {reason}")
    return download
