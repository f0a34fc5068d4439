"""Objects: files by path or URL, read, written and listed in one way.

A place is a path of this machine or a URL (see `satimnet.builder.storage.stores`). Every function
here raises `satimnet.builder.errors.StorageError` or one of its kind, and `NotFoundError` where
nothing is there; no other error leaves this module.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import sys
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from satimnet.builder.errors import NotFoundError, SatimnetError, StorageError, without_secrets
from satimnet.builder.storage.hrefs import open_regular
from satimnet.builder.storage.stores import (
    PATIENCE,
    PAUSE,
    TOO_SHORT,
    TRIES,
    WRITTEN,
    ChangedError,
    SizeError,
    address_of,
    again,
    broke_off,
    is_url,
    reason_of,
    shown,
    store_of,
    told,
)

if TYPE_CHECKING:
    import requests

MEDIA_TYPES = {
    ".json": "application/json",
    ".jsonld": "application/ld+json",
    ".geojson": "application/geo+json",
    ".parquet": "application/vnd.apache.parquet",
    ".zip": "application/zip",
    ".png": "image/png",
    ".html": "text/html",
    ".md": "text/markdown",
}
_CHUNK = 1024 * 1024
"""Bytes of an answer that are looked at together."""
_LATEST = 120.0  # seconds that a store may take to put the parts of an upload together
_PART = 8 * 1024 * 1024
"""Bytes of a part of a large object that is written; a few of them are in memory at a time."""


_AT_ONCE = 32
"""Files that are fetched at a time."""
_MOST_KEYS = 1000
"""Objects that are removed by one request."""


class Object(NamedTuple):
    """One file of a folder or a prefix."""

    place: str
    size: int
    """In bytes."""
    modified: float = 0.0
    """When it was written, in seconds since 1970."""
    tag: str = ""
    """Changes when the content does: what a store tells of it, else when it was written; empty
    where neither is known, as on this machine."""

    @property
    def stamp(self) -> int:
        """A number that stands for tag and size; another one is of another content."""
        digest = hashlib.sha256(f"{self.tag} {self.size}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1


def read(place: str, first: int = 0, size: int | None = None, *, most: int | None = None) -> bytes:
    """Bytes of a file.

    Args:
        place: path or URL.
        first: where to begin, in bytes.
        size: how many bytes; by default all that follow.
        most: bytes at most; a longer file is an error, and is not read to its end.

    Raises:
        NotFoundError: nothing is there.
        SizeError: it is shorter than ``first + size`` or longer than ``most``.
        StorageError: it cannot be read, or a server sends all of it where a part was asked for.
    """
    if not is_url(place):
        return _read_file(place, first, size, most)
    with told(place):
        if size is None:
            return again(lambda: b"".join(_chunks(place, first, most)))
        return again(lambda: _read_part(place, first, size))


def _read_file(path: str, first: int, size: int | None, most: int | None) -> bytes:
    with _of_disk(path), open_regular(path) as file:
        there = max(0, os.fstat(file.fileno()).st_size - first)
        if size is not None and there < size:  # no room is made for what is not there
            raise _too_short(path, there, size)
        if size is None and most is not None and there > most:
            raise _too_long(path, most)
        file.seek(first)
        return file.read(-1 if size is None else size)


def _read_part(url: str, first: int, size: int) -> bytes:
    import obstore
    from obstore.exceptions import GenericError, NotSupportedError

    if size == 0:
        return b""
    store, key = store_of(url)
    try:
        if is_unusual(url):
            return _part_of_unusual(url, first, size)
        data = bytes(obstore.get_range(store, key, start=first, length=size))
    except NotSupportedError as error:
        raise _no_ranges(url) from error
    except GenericError as error:
        if not _is_unusual(error):
            raise
        return _part_of_unusual(url, first, size)
    if len(data) != size:
        raise _too_short(url, len(data), size)
    return data


def read_parts(url: str, firsts: Sequence[int], sizes: Sequence[int]) -> list[memoryview]:
    """Several parts of a file in a store, by requests side by side, of which obstore makes ten.

    One call takes half of the processor time of a call for each part.

    Args:
        url: of the file; a path is read, too.
        firsts: where each part begins, in bytes. Parts that touch each other are one request.
        sizes: how many bytes each has.

    Raises:
        NotFoundError: nothing is there.
        SizeError: it is shorter than the end of a part.
        StorageError: it cannot be read, or a server sends all of it where a part was asked for.
    """
    import obstore
    from obstore.exceptions import GenericError, NotSupportedError

    with told(url):
        if is_url(url) and all(sizes) and not is_unusual(url):
            store, key = store_of(url)
            try:
                answers = obstore.get_ranges(store, key, starts=firsts, lengths=sizes, coalesce=0)
                parts = [memoryview(answer) for answer in answers]
                if [len(part) for part in parts] == list(sizes):
                    return parts
            except NotSupportedError as error:
                raise _no_ranges(url) from error
            except GenericError as error:
                if not (_is_unusual(error) or broke_off(error)):
                    raise
    # one by one: each is tried again by itself, and is a message if it is too short
    return [memoryview(read(url, *span)) for span in zip(firsts, sizes, strict=True)]


def is_unusual(url: str) -> bool:
    """Whether its server was seen not to tell the size of a file with a part of it.

    There parts come one by one.
    """
    return is_url(url) and address_of(url).root in _UNUSUAL


def look(url: str, first: int = 0, size: int | None = None) -> tuple[bytes, Object]:
    """Bytes of a file in a store, and what the store says of the file with them.

    Args:
        url: of the file.
        first: where to begin, in bytes.
        size: how many bytes; fewer come where the file ends before. By default all that follow.

    Raises:
        NotFoundError: nothing is there.
        StorageError: it cannot be read, or a server sends all of it where a part was asked for.
    """
    import obstore
    from obstore.exceptions import GenericError, NotSupportedError

    store, key = store_of(url)
    wanted: Any = {"offset": first} if size is None else (first, first + size)
    options: Any = {"range": wanted} if first or size is not None else {}

    def ask() -> tuple[bytes, Object]:
        answer = obstore.get(store, key, options=options)
        return bytes(answer.bytes()), _object(url, answer.meta)

    with told(url):
        try:
            if is_unusual(url):
                return _look_at_unusual(url, first, size)
            return again(ask)
        except NotSupportedError as error:
            raise _no_ranges(url) from error
        except GenericError as error:
            if _is_unusual(error):
                _UNUSUAL.add(address_of(url).root)
                return _look_at_unusual(url, first, size)
            if first == 0 and reason_of(url, error) == TOO_SHORT:  # an empty file has no range
                return b"", _object(url, obstore.head(store, key))
            raise


def _look_at_unusual(url: str, first: int, size: int | None) -> tuple[bytes, Object]:
    there = size_of(url)
    size = max(0, there - first if size is None else min(size, there - first))
    return _part_of_unusual(url, first, size) if size else b"", Object(url, there)


def _object(place: str, meta: Any) -> Object:
    """The file that a store's answer is about."""
    tag = (meta.get("e_tag") or "").removeprefix("W/").strip('"')  # quoted in some answers only
    if not tag and meta.get("last_modified"):
        tag = f"{meta['last_modified']:%Y-%m-%dT%H:%M:%S}"  # headers have no more
    return Object(place, int(meta["size"]), _seconds(meta.get("last_modified")), tag)


def download(place: str, target: Path, *, most: int | None = None) -> None:
    """Writes the content of a file to one of this machine, which is replaced; raises as `read`."""
    if not is_url(place):
        with _of_disk(place), open_regular(place) as file, target.open("wb") as out:
            shutil.copyfileobj(file, out)
        return

    def fetch() -> None:
        with target.open("wb") as out:
            for chunk in _chunks(place, 0, most):
                out.write(chunk)

    with told(place):
        again(fetch)


def _chunks(url: str, first: int, most: int | None) -> Iterator[bytes]:
    """The content of a file from there on, piece by piece."""
    import obstore
    from obstore.exceptions import GenericError

    store, key = store_of(url)
    options: Any = {"range": {"offset": first}} if first else {}
    try:
        answer = obstore.get(store, key, options=options)
    except GenericError as error:
        if not _is_unusual(error):
            raise
        encoding, chunks = _unusual(url, first)
    else:
        encoding = str(answer.attributes.get("Content-Encoding", ""))
        chunks = map(bytes, answer.stream(min_chunk_size=_CHUNK))
    if encoding.lower() in ("gzip", "x-gzip", "deflate"):
        chunks = _expanded(url, chunks)
    found = 0
    for chunk in chunks:
        found += len(chunk)
        if most is not None and found > most:
            raise _too_long(url, most)
        yield chunk


def _expanded(url: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks of an answer that a server compressed unasked."""
    expand = zlib.decompressobj(wbits=47)
    try:
        for chunk in chunks:
            while chunk:
                yield expand.decompress(chunk, _CHUNK)
                chunk = expand.unconsumed_tail
        yield expand.flush()
        if not expand.eof:
            raise StorageError(f"{shown(url)}: the answer broke off; try again")
        if expand.unused_data:  # several streams, of which this would be the first alone
            raise zlib.error("there is more behind the end")
    except zlib.error as error:
        raise StorageError(f"{shown(url)}: was compressed on the way and cannot be read") from error


_UNUSUAL: set[str] = set()
"""Roots of servers that do not tell the size of a file with a part of it."""


def _part_of_unusual(url: str, first: int, size: int) -> bytes:
    _UNUSUAL.add(address_of(url).root)
    data = b"".join(_unusual(url, first, size)[1])
    if len(data) != size:
        raise _too_short(url, len(data), size)
    return data


def _is_unusual(error: Exception) -> bool:
    """Whether obstore refuses an answer that RFC 9110 and 9112 allow: one of a length that is not
    told, or a part of a file whose size is not told."""
    return any(name in repr(error) for name in ("MissingContentLength", "ParseContentRange"))


def _unusual(url: str, first: int, size: int | None = None) -> tuple[str, Iterator[bytes]]:
    """Such an answer: how it is compressed, and its chunks."""
    import requests

    headers = {"Accept-Encoding": "identity"}
    if first or size is not None:
        headers["Range"] = f"bytes={first}-{'' if size is None else first + size - 1}"
    try:
        answer = _session().get(url, headers=headers, stream=True, timeout=PATIENCE)
    except requests.RequestException as error:
        raise StorageError(f"{shown(url)}: cannot be read ({type(error).__name__})") from error
    if answer.status_code in (404, 410):
        raise NotFoundError(f"{shown(url)}: nothing is there")
    if answer.status_code == 416:
        raise SizeError(f"{shown(url)}: it is shorter than the catalog says")
    if not answer.ok:
        raise StorageError(f"{shown(url)}: cannot be read ({answer.status_code} was answered)")
    if "Range" in headers and answer.status_code != 206:
        raise _no_ranges(url)

    def chunks() -> Iterator[bytes]:
        try:
            yield from iter(lambda: answer.raw.read(_CHUNK), b"")
        except Exception as error:  # urllib3's own, which requests does not translate here
            raise StorageError(f"{shown(url)}: the answer broke off") from error

    return answer.headers.get("Content-Encoding", ""), chunks()


@cache
def _session_of(thread: int) -> requests.Session:
    """With the same rule of trying again as stores have."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    for name in ("urllib3.connectionpool", "urllib3.util.retry"):
        logging.getLogger(name).addFilter(_keep_secrets)
    session = requests.Session()
    retry = Retry(
        TRIES - 1,
        backoff_factor=PAUSE,
        status_forcelist=(429, 500, 502, 503, 504),
        redirect=10,
        raise_on_status=False,
    )
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


def _keep_secrets(record: logging.LogRecord) -> bool:
    """Takes what may be secret out of a line of a library's log, which names URLs."""
    record.msg, record.args = without_secrets(record.getMessage()), None
    return True


def _session() -> requests.Session:
    return _session_of(threading.get_ident())


def size_of(place: str) -> int:
    """The size of a file in bytes.

    Servers that do not say it in answer to HEAD, or have no HEAD, are asked for a range.

    Raises:
        NotFoundError: nothing is there.
        StorageError: it cannot be read, or the server does not tell.
    """
    if not is_url(place):
        with _of_disk(place), open_regular(place) as file:
            return os.fstat(file.fileno()).st_size
    import obstore
    from obstore.exceptions import GenericError, NotSupportedError

    store, key = store_of(place)
    with told(place):
        try:
            return int(obstore.get(store, key, options={"range": (0, 1)}).meta["size"])
        except NotSupportedError:  # it answers no ranges
            return int(obstore.head(store, key)["size"])
        except GenericError as error:  # an empty file has no range; else another try has no use
            if reason_of(place, error) not in (TOO_SHORT, type(error).__name__):
                raise
            return int(obstore.head(store, key)["size"])


def written_at(place: str) -> datetime | None:
    """When a file was written; None if its server does not tell. Raises as `size_of`."""
    if not is_url(place):
        with _of_disk(place):
            return datetime.fromtimestamp(int(os.stat(place).st_mtime), UTC)
    import obstore
    from obstore.exceptions import GenericError, NotSupportedError

    store, key = store_of(place)
    with told(place):
        try:
            found = obstore.head(store, key)["last_modified"].astimezone(UTC)
        except (GenericError, NotSupportedError):  # no HEAD, or one that does not tell the size
            return None
    return found if found.timestamp() > 0 else None  # else it stands for nothing


def exists(place: str) -> bool:
    """Whether a file is there. Raises `StorageError` if that cannot be found out."""
    if not is_url(place):
        return os.path.isfile(place)
    try:
        size_of(place)
    except NotFoundError:
        return False
    return True


def files_below(folder: str) -> Iterator[Object]:
    """The files of a folder or prefix and of all below it, by their places.

    Raises:
        StorageError: it cannot be listed; web servers cannot.
    """
    if not is_url(folder):
        yield from _files_of_disk(folder)
        return
    import obstore

    address = address_of(folder)
    store, prefix = _listed(folder)
    with _listing(folder):
        for batch in obstore.list(store, prefix or None, chunk_size=1000):
            for found in batch:
                yield _object(f"{address.root}/{found['path']}", found)


def children(folder: str, most: int) -> dict[str, bool] | None:
    """The names in a prefix of a store, and whether each is a folder; None if they are more.

    What lies deeper is passed over by asking for what comes after it, so that a prefix of millions
    of files costs about as many requests as it has names.

    Raises:
        StorageError: it cannot be listed; web servers cannot.
    """
    import obstore

    store, prefix = _listed(folder)
    found: dict[str, bool] = {}
    after: str | None = None
    with _listing(folder):
        while page := next(iter(obstore.list(store, prefix, offset=after, chunk_size=1000)), None):
            known = len(found)
            for one in page:
                path = one["path"]
                name, slash, rest = path[len(prefix) + 1 if prefix else 0 :].partition("/")
                if name:  # else it is a marker, the folder itself
                    found[name] = found.get(name, False) or bool(slash)
                after = path[: len(path) - len(rest)] + chr(sys.maxunicode) if slash else path
            if len(found) > most:
                return None
            if len(found) == known:
                break
    return found


@contextmanager
def _listing(folder: str) -> Iterator[None]:
    """As `told`, and of a bucket that is not there it says so."""
    from obstore.exceptions import GenericError

    with told(folder, "listed"):
        try:
            yield
        except GenericError as error:
            if re.search(r"status code: 404\b", str(error)) is None:
                raise
            raise NotFoundError(f"{shown(folder)}: there is no such bucket") from error


def _listed(folder: str) -> tuple[Any, str]:
    """The store of a prefix, and its key without a slash at the end."""
    if address_of(folder).scheme not in WRITTEN:
        raise StorageError(f"{shown(folder)}: a web server cannot be listed")
    store, key = store_of(folder)
    return store, key.rstrip("/")


def _seconds(time: Any) -> float:
    """Seconds since 1970; 0 where nobody knows."""
    return float(time.timestamp()) if time is not None else 0.0


def _files_of_disk(folder: str) -> Iterator[Object]:
    def stop(error: OSError) -> None:
        raise StorageError(f"{folder}: {error.strerror}") from error

    for at, folders, names in os.walk(folder, onerror=stop):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(at, name)
            try:
                state = os.stat(path)
            except FileNotFoundError:  # removed meanwhile, or a link to nothing
                continue
            yield Object(path, state.st_size, state.st_mtime)


def write(place: str, data: bytes | Path) -> None:
    """Writes a file, which is there as a whole afterwards or not at all.

    Args:
        place: path, or URL of an object store.
        data: its bytes, or a file of this machine that has them.

    Raises:
        StorageError: it cannot be written.
    """
    if not is_url(place):
        _write_file(place, data)
        return
    import obstore

    store, key = _writable(place)
    try:
        with told(place, "written"):
            obstore.put(
                store,
                key,
                data,
                attributes=_attributes(place),
                chunk_size=_PART,
                max_concurrency=2,
            )
    except NotFoundError as error:
        # the server puts the parts together, but its answer is late: a second request finds none
        if "NoSuchUpload" not in str(error.__cause__):
            raise
        size = data.stat().st_size if isinstance(data, Path) else len(data)
        if not _appears(place, size):
            raise StorageError(f"{shown(place)}: the store lost its parts; try again") from error


def _appears(place: str, size: int) -> bool:
    """Whether an object of that size is there within `_LATEST` seconds."""
    end = time.monotonic() + _LATEST
    while True:
        with suppress(NotFoundError):
            if size_of(place) == size:
                return True
        if time.monotonic() > end:
            return False
        time.sleep(PAUSE)


def download_all(place: str, names: Sequence[str], folder: Path) -> Iterator[str]:
    """Downloads files of a place to a folder, many at a time; names them as they are there.

    Raises as `download`.
    """
    from concurrent.futures import ThreadPoolExecutor

    def fetch(name: str) -> str:
        download(f"{place}/{name}", folder / name)
        return name

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(fetch, names)


def remove_below(place: str) -> None:
    """Removes all objects of a store below a place. Raises `StorageError` if it cannot be done."""
    delete_all([found.place for found in files_below(place)])


def delete_all(places: Sequence[str]) -> None:
    """Removes files of one folder or store, if they are there. Raises as `delete`."""
    if not places or not is_url(places[0]):
        for place in places:
            delete(place)
        return
    import obstore

    keys = [address_of(place).key for place in places]
    store, _ = _writable(places[0])
    with told(places[0], "removed"):
        for start in range(0, len(keys), _MOST_KEYS):
            obstore.delete(store, keys[start : start + _MOST_KEYS])


Tag = Mapping[str, str]
"""What tells an object of a store from those that replace it: S3 and Azure go by the ``e_tag``,
Google by the ``version``."""


def read_tagged(place: str) -> tuple[bytes, Tag]:
    """The bytes of an object of a store, and the tag that `replace` wants; raises as `read`."""
    import obstore

    store, key = store_of(place)

    def ask() -> tuple[bytes, Tag]:
        answer = obstore.get(store, key)
        meta: Mapping[str, Any] = {**answer.meta}
        tag = {name: meta[name] for name in ("e_tag", "version") if meta.get(name)}
        return bytes(answer.bytes()), tag

    with told(place):
        return again(ask)


def replace(place: str, data: bytes, tag: Tag | None) -> None:
    """Writes an object of a store if it still is the one with the tag; None: if there is none.

    Raises:
        ChangedError: it is another one.
        StorageError: it cannot be written.
    """
    import obstore

    store, key = _writable(place)
    mode: Any = "create" if tag is None else dict(tag)
    with told(place, "written"):
        try:
            obstore.put(store, key, data, attributes=_attributes(place), mode=mode)
        except FileNotFoundError as error:
            raise ChangedError(f"{shown(place)}: somebody else removed it meanwhile") from error


def delete(place: str) -> None:
    """Removes a file if it is there. Raises `StorageError` if it cannot be removed."""
    if not is_url(place):
        with _of_disk(place):
            Path(place).unlink(missing_ok=True)
        return
    import obstore

    store, key = _writable(place)
    with told(place, "removed"):
        obstore.delete(store, key)


def _writable(place: str) -> tuple[Any, str]:
    if address_of(place).scheme not in WRITTEN:
        raise StorageError(
            f"{shown(place)}: a web server cannot be written to; give a path, or s3://, gs://, az://"
        )
    return store_of(place)


def _attributes(place: str) -> Any:
    ending = os.path.splitext(address_of(place).key)[1].lower()
    return {"Content-Type": MEDIA_TYPES.get(ending, "application/octet-stream")}


def _write_file(path: str, data: bytes | Path) -> None:
    from satimnet.builder.storage.atomic_files import writing

    with _of_disk(path), writing(Path(path)) as part:
        if isinstance(data, Path):
            shutil.copyfile(data, part)
        else:
            Path(part).write_bytes(data)


@contextmanager
def _of_disk(path: str) -> Iterator[None]:
    try:
        yield
    except SatimnetError:
        raise
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: nothing is there") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"{path}: {reason}") from error


def _no_ranges(url: str) -> StorageError:
    return StorageError(f"{shown(url)}: the server sends all of it; it must answer byte ranges")


def _too_short(place: str, found: int, stated: int) -> SizeError:
    return SizeError(f"{shown(place)}: {found} bytes where the catalog says {stated}")


def _too_long(place: str, most: int) -> SizeError:
    return SizeError(f"{shown(place)}: more than {most} bytes; no file of its kind is so large")
