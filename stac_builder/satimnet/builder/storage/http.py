"""Files of web servers, read whole or by byte ranges.

``aiohttp`` and ``fsspec`` are loaded when the first URL is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from fsspec.implementations.http import HTTPFileSystem

_PIECE = 2**20  # bytes that are read at once


def read_url(url: str, most: int) -> bytes:
    """The content of the file at a URL, but no more than ``most`` bytes and one piece.

    Raises:
        OSError: it cannot be read; a `FileNotFoundError` if it is not there.
        ValueError: this is no URL.
    """
    import aiohttp
    import fsspec

    content = bytearray()
    try:
        # Not at once, for a server may send without end; it is not asked for the size first.
        with fsspec.filesystem("http").open(url, block_size=0, size=1) as file:
            while len(content) <= most and (piece := file.read(_PIECE)):
                content += piece
    except aiohttp.ClientError as error:
        raise OSError(error) from error
    return bytes(content)


def files_by_ranges() -> HTTPFileSystem:
    """A file system for DuckDB, which would have to download an extension to read by HTTP.

    fsspec's own asks a server four times for each file of each query, once for all of it. This one
    asks once for a file's size, and then for the ranges that DuckDB wants.
    """
    from datetime import UTC, datetime, timedelta

    from fsspec.implementations.http import HTTPFileSystem

    long_ago = datetime.now(UTC) - timedelta(days=1)  # DuckDB does not cache what is fresh

    class FilesByRanges(HTTPFileSystem):  # type: ignore[misc]  # fsspec has no types
        cachable = False

        def __init__(self) -> None:
            super().__init__(cache_type="none")
            self._known: dict[str, dict[str, Any]] = {}

        async def _info(self, url: str, **kwargs: Any) -> dict[str, Any]:
            if url not in self._known:
                self._known[url] = await super()._info(url, **kwargs)
            return self._known[url]

        async def _exists(self, path: str, **kwargs: Any) -> bool:
            try:
                await self._info(path, **kwargs)
            except FileNotFoundError:
                return False
            return True

        async def _glob(self, path: str, **kwargs: Any) -> list[str]:
            return [path]

        def modified(self, path: str) -> datetime:
            return long_ago  # and not changed since: an index is a catalog at one moment

    return FilesByRanges()
