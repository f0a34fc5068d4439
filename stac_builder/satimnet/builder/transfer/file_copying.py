"""File copying: one file of a catalog, from wherever it lies, and whether it is whole."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import quote

from satimnet.builder.errors import BadCatalogError, NotFoundError, StorageError
from satimnet.builder.storage.hrefs import Bounds, is_web, join
from satimnet.builder.storage.objects import download
from satimnet.builder.storage.stores import DeniedError, SizeError, shown


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


def download_file(catalog: str, path: str, target: Path, most: int, size: int | None) -> None:
    """Downloads a file of the catalog that lies at the URL ``catalog``; otherwise as `copy_file`.

    Raises `StorageError` if the server fails.
    """
    url = join(quote(path), catalog) if is_web(catalog) else join(path, catalog)
    try:
        download(url, target, most=most if size is None else size)
    except NotFoundError:
        raise MissingFileError(shown(url)) from None
    except DeniedError:
        if not is_web(url):
            raise
        raise MissingFileError(shown(url)) from None  # many servers deny what is not there
    except SizeError:
        raise
    except StorageError as error:
        raise StorageError(f"{error}; the same command goes on from here") from error
    require_size(url, target.stat().st_size, size)
