"""A host on this machine that has byte ranges and answers late: ``python -m benchmarks.slow_host``.

It stands for a web server, and for a store of S3's kind that anybody may read: the first folder of
a path is a bucket. It runs in a process of its own, so that it takes no turns with whoever reads.
Every request waits, all of them side by side; opening a connection costs nothing extra.
"""

from __future__ import annotations

import argparse
import asyncio
import mimetypes
import mmap
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from urllib.parse import unquote

from satimnet.builder.storage.stores import gdal_settings

LATENCY = 0.02
"""Seconds that an answer waits in the benchmarks."""
_STORE = {
    # Nobody signs: rasterio would open a session of boto3's for every file.
    "AWS_SKIP_SIGNATURE": "true",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
    # what GDAL's documentation advises for reading from stores
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
}
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_RANGE = re.compile(rb"\r\nrange: *bytes=(\d*)-(\d*)", re.IGNORECASE)
_DATE = "Mon, 30 Nov 2026 12:00:00 GMT"


@contextmanager
def slow_host(folder: Path, latency: float) -> Iterator[str]:
    """Serves a folder meanwhile; gives the URL of its root, without a slash at the end.

    Args:
        folder: What is served.
        latency: Seconds that each answer waits.
    """
    command = [sys.executable, "-m", "benchmarks.slow_host", str(folder), str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@contextmanager
def store_at(host: str) -> Iterator[None]:
    """Lets the environment say meanwhile that S3 is the host at this URL, for GDAL as well."""
    before = dict(os.environ)
    os.environ.update(_STORE | {"AWS_ENDPOINT_URL": host})
    os.environ.update(gdal_settings())
    for name in _KEYS:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class _Connection(asyncio.Protocol):
    """One connection, which may ask again and again."""

    def __init__(self, folder: Path, latency: float) -> None:
        self._folder, self._latency = folder, latency
        self._asked = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._asked += data
        while b"\r\n\r\n" in self._asked:
            asked, _, self._asked = self._asked.partition(b"\r\n\r\n")
            asyncio.get_running_loop().call_later(self._latency, self._answer, asked)

    def _answer(self, asked: bytes) -> None:
        method, target, _ = asked.split(b" ", 2)
        path = self._folder / unquote(target.decode().partition("?")[0]).lstrip("/")
        if not path.is_file():
            self._transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        content = _content(path)
        first, end, status = 0, len(content), "200 OK"
        if wanted := _RANGE.search(asked):
            if wanted[1]:
                first = int(wanted[1])
                end = min(int(wanted[2] or end) + 1, end)
            else:
                first = max(0, end - int(wanted[2]))
            status = "206 Partial Content"
        head = (
            f"HTTP/1.1 {status}\r\nContent-Length: {end - first}\r\nAccept-Ranges: bytes\r\n"
            f'Last-Modified: {_DATE}\r\nETag: "{len(content)}"\r\n'
            f"Content-Type: {_type(path.suffix)}\r\n"
        )
        if wanted:
            head += f"Content-Range: bytes {first}-{end - 1}/{len(content)}\r\n"
        self._transport.write(f"{head}\r\n".encode())
        if method == b"GET":
            self._transport.write(content[first:end])


@cache
def _type(suffix: str) -> str:
    """The media type of a file, without which a browser shows no page."""
    return mimetypes.types_map.get(suffix, "application/octet-stream")


@cache
def _content(path: Path) -> memoryview:
    if not path.stat().st_size:
        return memoryview(b"")
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


async def _serve(folder: Path, latency: float) -> None:
    make = partial(_Connection, folder, latency)
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.slow_host", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("latency", type=float, help="seconds that each answer waits")
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.folder, arguments.latency))
