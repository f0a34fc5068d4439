"""A member of a shard as a file with a URL of its own.

``/members/64-3593/eurosat/shards/Forest-00000-….zip/Forest_1.jpg`` has the bytes 64 to 3593 of that
shard. The URL says everything, so nothing must be looked up: a member costs as much as a part of a
file. It reveals nothing that a range request to the shard would not.
"""

from __future__ import annotations

import mimetypes
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.staticfiles import StaticFiles

ROUTE = "/members/{range}/{shard:path}/{name}"

_RANGE = re.compile(r"(\d{1,18})-(\d{1,18})", re.ASCII)

_CHUNK = 2**18  # bytes that are read at once


def member(files: StaticFiles, request: Request) -> Response:
    """The member that the path names, or a part of it (RFC 9110, section 14).

    A request for several ranges gets the whole member, which the RFC allows.

    Raises:
        HTTPException: 404, there is no such shard below the folder of ``files``, or it is shorter;
            416, the part lies outside.
    """
    asked = request.path_params
    match = _RANGE.fullmatch(asked["range"])
    if match is None:
        raise HTTPException(404)
    first, last = map(int, match.groups())
    size = last - first + 1
    try:
        path, status = files.lookup_path(asked["shard"])
    except (OSError, ValueError):
        path, status = "", None
    if status is None or not stat.S_ISREG(status.st_mode) or not 0 < size <= status.st_size - first:
        raise HTTPException(404)
    part = _part(request.headers.get("range", ""), size)
    start, end = part or (0, size)
    headers = {"Accept-Ranges": "bytes", "Content-Length": str(end - start)}
    if part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    media_type = mimetypes.guess_type(asked["name"])[0] or "application/octet-stream"
    content = _read(Path(path), first + start, end - start if request.method == "GET" else 0)
    return StreamingResponse(content, 206 if part else 200, headers, media_type)


def _part(wanted: str, size: int) -> tuple[int, int] | None:
    """Start and end of the part of ``size`` bytes that a Range header asks for; None for all."""
    match = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", wanted.replace(" ", ""))
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= size:
        raise HTTPException(416, headers={"Content-Range": f"bytes */{size}"})
    return (start, end) if start < end else None


def _read(path: Path, start: int, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while size > 0 and (chunk := file.read(min(_CHUNK, size))):
            size -= len(chunk)
            yield chunk
