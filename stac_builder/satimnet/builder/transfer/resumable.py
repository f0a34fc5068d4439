"""Resumable downloads: one file from a web server, however often the connection breaks.

Bytes go to ``<name>.part`` and stay there; the next try, or the next run, asks for the rest
(RFC 9110, 14: range requests). ``<name>.part.json`` keeps what tells whether the rest still belongs
to it: the server's ETag or time of change. Where a server gives neither, only a published checksum
can tell, and without one a broken transfer begins anew.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from satimnet.builder.errors import BadFileError, NotFoundError, SatimnetError, StorageError
from satimnet.builder.progress import Progress, silent
from satimnet.builder.storage.atomic_files import settle, write
from satimnet.builder.storage.hrefs import on_disk
from satimnet.builder.storage.staging import lock, lock_of
from satimnet.builder.transfer.published_files import Download

if TYPE_CHECKING:
    import requests

_TRIES = 8  # in a row without a single new byte
_LONGEST_WAIT = 60.0  # seconds
_TIMEOUTS = (15, 60)  # seconds to connect, seconds without a byte
_CHUNK = 2**20
_KEPT_FREE = 2**28  # bytes that are left on the disk for others
_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


def fetch(
    download: Download, folder: Path, *, progress: Progress = silent, wait: float = 1.0
) -> Path:
    """Downloads a file into a folder, unless it is there already.

    A file has its name only when it is complete and what was published.

    Args:
        download: The file.
        folder: Where it is put, and its part until it is complete.
        progress: Called with the bytes that are there and all bytes; 0 if these are not known.
        wait: Seconds before the second try; twice as many before each further one.

    Returns:
        The path of the file.

    Raises:
        BadFileError: the file is not what was published.
        NotFoundError: the server has no such file.
        StorageError: the server refuses or fails, the file does not fit on the disk, or another
            run is downloading it.
    """
    target = on_disk(folder) / download.name
    try:
        if not target.exists():
            with lock(target):
                _fetch(download, folder, target, progress, wait)
        elif reason := _wrong(target, download, progress):
            raise BadFileError(str(target), f"{reason}; move it away to download it again")
        elif lock_of(target).exists():  # left by a kill at the very end
            with lock(target):
                _part(folder, download).discard()
    except SatimnetError:
        raise
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror or error}") from error
    return target


def _fetch(download: Download, folder: Path, target: Path, progress: Progress, wait: float) -> None:
    if target.exists():  # another run was faster
        return
    resumed = _transfer(download, folder, progress, wait)
    part = _part(folder, download)
    reason = _wrong(part.data, download, progress)
    if reason and resumed:  # of two versions of the file, perhaps
        part.discard()
        _transfer(download, folder, progress, wait)
        reason = _wrong(part.data, download, progress)
    if reason:
        part.discard()
        raise BadFileError(download.url, f"{reason}; nothing was kept")
    settle(part.data, target)
    part.discard()


@dataclass(frozen=True, slots=True)
class _Part:
    """What is there of a file, and which version of it that is."""

    data: Path
    notes: Path

    def size(self) -> int:
        return self.data.stat().st_size if self.data.exists() else 0

    def validator(self, url: str) -> str | None:
        """The ETag or time of change with which the bytes were sent, if they are from ``url``."""
        try:
            notes = json.loads(self.notes.read_bytes())
            known = notes["validator"] if notes["url"] == url else None
        except (OSError, ValueError, LookupError, TypeError):
            return None
        return known if isinstance(known, str) else None

    def note(self, url: str, validator: str | None) -> None:
        write(self.notes, json.dumps({"url": url, "validator": validator}).encode())

    def discard(self) -> None:
        self.data.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)


class _BrokenError(Exception):
    """The transfer ended early; another try may go on."""


def _part(folder: Path, download: Download) -> _Part:
    name = download.name
    return _Part(folder / f"{name}.part", folder / f"{name}.part.json")


def _transfer(download: Download, folder: Path, progress: Progress, wait: float) -> bool:
    """Brings the part up to its full length; whether it had to be put together of several."""
    import requests

    part = _part(folder, download)
    resumed = part.size() > 0
    failures, most = 0, part.size()
    with requests.Session() as session:
        while part.size() != download.size:
            try:
                _try(session, download, part, progress)
                break
            except _BrokenError as error:
                resumed = resumed or part.size() > 0
                failures = 1 if part.size() > most else failures + 1
                most = max(most, part.size())
                if failures >= _TRIES:
                    raise StorageError(
                        f"{download.url}: {error}, {failures} times in a row; "
                        "the same command goes on where it stopped"
                    ) from error
                time.sleep(min(wait * 2 ** (failures - 1), _LONGEST_WAIT))
    return resumed


def _try(session: requests.Session, download: Download, part: _Part, progress: Progress) -> None:
    """One request for what is missing, added to the part."""
    import requests
    from urllib3.exceptions import HTTPError

    url = download.url
    # No compression on the way: ranges and sizes are those of the file.
    headers = {"Accept-Encoding": "identity", "User-Agent": "satimnet"}
    validator = part.validator(url)
    if part.size() and not (validator or download.checksum):
        part.discard()  # nothing would tell whether the rest belongs to it
    if part.size():
        headers["Range"] = f"bytes={part.size()}-"
        if validator:
            headers["If-Range"] = validator
    try:
        with session.get(url, headers=headers, stream=True, timeout=_TIMEOUTS) as response:
            length = _accept(response, download, part, validator)
            if length is not None:
                _append(response, download, part, length, progress)
    except requests.exceptions.SSLError as error:
        raise StorageError(
            f"{url}: its certificate cannot be verified; download it in a browser"
        ) from error
    except (requests.ConnectionError, requests.Timeout, HTTPError) as error:
        raise _BrokenError(f"the connection broke ({type(error).__name__})") from error
    except requests.RequestException as error:
        raise StorageError(f"{url}: cannot be downloaded: {error}") from error


def _accept(
    response: requests.Response, download: Download, part: _Part, validator: str | None
) -> int | None:
    """The full length of the file that the server starts to send (0 if it does not say).

    None if all of it is there. The part is cut to what the server continues.
    """
    url, status = download.url, response.status_code
    if url.startswith("https:") and not response.url.startswith("https:"):
        raise StorageError(f"{url}: leads to {response.url}, which is not secure")
    if status in (408, 425, 429) or status >= 500:
        raise _BrokenError(f"the server answers {status}")
    if status == 416:
        if _range(response) == (None, part.size()):
            return None
        part.discard()
        raise _BrokenError("the file has changed")
    if status in (401, 403):
        raise StorageError(f"{url}: the server refuses ({status}); download it in a browser")
    if status not in (200, 206):
        kind = NotFoundError if status in (404, 410) else StorageError
        raise kind(f"{url}: the server answers {status}; its publisher may have moved it")
    if "text/html" in response.headers.get("Content-Type", "") and "htm" not in download.name:
        raise StorageError(f"{url}: a web page comes instead of the file; open it in a browser")
    announced = response.headers.get("Content-Length", "")
    length = int(announced) if announced.isdecimal() else 0
    if status == 206:
        start, length = _range(response)
        versions = {response.headers.get(name) for name in ("ETag", "Last-Modified")} - {None}
        if start != part.size() or (validator and versions and validator not in versions):
            part.discard()
            raise _BrokenError("the file has changed")
    else:
        part.discard()
        part.note(url, _validator(response))
    if download.size and length and length != download.size:
        part.discard()
        raise BadFileError(url, f"the server has {length:,} bytes, published are {download.size:,}")
    return length or download.size or 0


def _append(
    response: requests.Response, download: Download, part: _Part, length: int, progress: Progress
) -> None:
    done = part.size()
    free = shutil.disk_usage(part.data.parent).free - _KEPT_FREE
    if length - done > free:
        raise StorageError(
            f"{part.data.parent}: {download.name} needs {length - done:,} bytes more, "
            f"{max(free, 0):,} are free"
        )
    most = length or done + free
    with part.data.open("ab") as file:
        for chunk in response.raw.stream(_CHUNK, decode_content=False):
            done += len(chunk)
            if done > most:
                file.truncate(0)
                raise BadFileError(download.url, f"the server sends more than {most:,} bytes")
            file.write(chunk)
            if done != length:
                progress(download.name, done, length or None, "bytes")
    if not length and response.headers.get("Transfer-Encoding") != "chunked":
        part.discard()
        raise StorageError(f"{download.url}: the server does not say how long the file is")
    if done < length:
        raise _BrokenError("the connection ended early")
    progress(download.name, done, done, "bytes")


def _range(response: requests.Response) -> tuple[int | None, int]:
    """First byte and full length that ``Content-Range`` names."""
    match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None:
        return None, 0
    start, length = match.groups()
    return None if start is None else int(start), 0 if length == "*" else int(length)


def _validator(response: requests.Response) -> str | None:
    """What ``If-Range`` may be asked with: a strong ETag, or else the time of change."""
    tag: str | None = response.headers.get("ETag")
    if tag and not tag.startswith("W/"):
        return tag
    return response.headers.get("Last-Modified")


def _wrong(path: Path, download: Download, progress: Progress) -> str | None:
    """Why the file is not what was published; None if it is, as far as that is known."""
    size = path.stat().st_size
    if download.size is not None and size != download.size:
        return f"has {size:,} bytes, published are {download.size:,}"
    if download.checksum is None:
        return None
    kind, _, expected = download.checksum.partition(":")
    digest: Any = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        done = 0
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            progress(f"Checking {download.name}", done, size, "bytes")
    if digest.hexdigest() != expected:
        return f"{kind} is {digest.hexdigest()}, published is {expected}"
    return None
