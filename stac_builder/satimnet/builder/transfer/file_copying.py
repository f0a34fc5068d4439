"""File copying: one file of a catalog, from a folder or the web, and whether it is whole."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from satimnet.builder.errors import BadCatalogError, NotFoundError, StorageError
from satimnet.builder.storage.hrefs import Bounds

if TYPE_CHECKING:
    import requests

_ATTEMPTS = 3
_SECONDS = (10, 60)  # to connect, and between two pieces of an answer
_CHUNK = 2**20


class MissingFileError(NotFoundError):
    """A file that the catalog leads to is not there."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path}: nothing is there; name a catalog that is whole")


def require_size(path: str, found: int, expected: int | None) -> None:
    """Raises `BadCatalogError` if a file has not the bytes that its asset says."""
    if expected is not None and found != expected:
        raise BadCatalogError(
            f"{path}: {found} bytes where its asset says {expected}; get the whole file there first"
        )


def _require_at_most(path: str, found: int, most: int) -> None:
    if found > most:
        raise BadCatalogError(f"{path}: more than {most} bytes; no file of a catalog is so large")


def copy_file(bounds: Bounds, path: str, target: Path, most: int, size: int | None) -> None:
    """Copies a file of a catalog that lies in a folder.

    Args:
        bounds: Where files of the catalog may lie.
        path: The file, from the catalog's folder on, with ``/`` between names.
        target: Where the copy is written.
        most: How many bytes it may have if its size is not known.
        size: How many bytes it has; None if that is not known.

    Raises:
        NotFoundError: there is no such file.
        BadCatalogError: the file has another size, or too many bytes.
        OSError: it cannot be read or written.
    """
    source = Path(bounds.resolve(path, f"{bounds.home}/catalog.json"))
    if not source.is_file():  # a pipe would be read for ever
        raise MissingFileError(str(source))
    found = source.stat().st_size
    require_size(str(source), found, size)
    if size is None:
        _require_at_most(str(source), found, most)
    shutil.copyfile(source, target)


def download_file(
    session: Callable[[], requests.Session],
    base: str,
    path: str,
    target: Path,
    most: int,
    size: int | None,
) -> None:
    """Downloads a file of a catalog that lies at the URL ``base``; otherwise as `copy_file`.

    ``session`` gives the session of the thread. Raises `StorageError` if the server fails.
    """
    import requests

    url = f"{base}/{quote(path)}"
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            # If it were compressed on the way, an answer would not have the size of its file.
            with session().get(
                url, stream=True, timeout=_SECONDS, headers={"Accept-Encoding": "identity"}
            ) as answer:
                if answer.status_code in (403, 404, 410):
                    raise MissingFileError(url)
                answer.raise_for_status()
                announced = answer.headers.get("Content-Length", "")
                with target.open("wb") as file:
                    for piece in answer.iter_content(_CHUNK):
                        file.write(piece)
                        _require_at_most(url, file.tell(), most if size is None else size)
                require_size(url, target.stat().st_size, size)
                if announced.isdecimal() and "Content-Encoding" not in answer.headers:
                    require_size(url, target.stat().st_size, int(announced))
                return
        except requests.RequestException as error:
            if attempt < _ATTEMPTS:
                time.sleep(0.5 * attempt)
            else:
                reason = " ".join(str(error).split())
                raise StorageError(
                    f"{url}: cannot be fetched ({reason:.200}); the same command goes on from here"
                ) from error


def sessions() -> Callable[[], requests.Session]:
    """A session for each thread: they share no state, and each keeps its connection."""
    import requests

    local = threading.local()

    def session() -> requests.Session:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        found: requests.Session = local.session
        return found

    return session
