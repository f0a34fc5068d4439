"""The address by which people reach the server, where a proxy stands between.

Links in answers must lead through the proxy. It tells its own address in ``X-Forwarded-Proto``,
``X-Forwarded-Host`` and ``X-Forwarded-Prefix``; these are believed of this machine and of private
networks alone, and only as far as they have the form of an address.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from satimnet.builder.errors import ArgumentError

_PREFIX = re.compile(r"(?:/[\w.~-]+)+", re.ASCII)
_HOST = re.compile(r"(?:[\w.-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?", re.ASCII)


def root_path_of(text: str) -> str:
    """A path below which the server is reached, with a slash at its beginning alone.

    Raises:
        ArgumentError: it has characters that such a path cannot have.
    """
    path = f"/{text.strip('/')}" if text.strip("/") else ""
    if path and not _PREFIX.fullmatch(path):
        raise ArgumentError(f"root_path {text!r:.100}: give a path such as /stac", "root_path")
    return path


class BehindProxy:
    """Middleware that has requests look as they were before a proxy passed them on.

    ``root_path`` is the path below which the proxy has the server, if that is known; ``own`` are
    the first parts of the server's own paths. The proxy may leave the path before the server's own
    or take it away.
    """

    def __init__(self, app: ASGIApp, root_path: str, own: Collection[str]) -> None:
        self._app = app
        self._root_path = root_path
        self._own = own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The same request, with the outer scheme, host and path."""
        if scope["type"] == "http":
            scope = self._outer(scope)
        await self._app(scope, receive, send)

    def _outer(self, scope: Scope) -> Scope:
        scope = {**scope, "headers": list(scope["headers"])}
        headers = MutableHeaders(scope=scope)
        near = _is_near(scope.get("client"))
        scheme = _first(headers, "x-forwarded-proto").lower()
        if near and scheme in ("http", "https"):
            scope["scheme"] = scheme
        host = _first(headers, "x-forwarded-host")
        if near and _HOST.fullmatch(host):
            headers["host"] = host
        prefix = self._root_path
        if near and not prefix:
            prefix = _first(headers, "x-forwarded-prefix").rstrip("/")
        return self._below(scope, prefix) if _PREFIX.fullmatch(prefix) else scope

    def _below(self, scope: Scope, prefix: str) -> Scope:
        path = scope["path"]
        # A prefix such as /catalog looks like a path of the server itself, so it was taken away.
        is_whole = f"{path}/".startswith(f"{prefix}/") and prefix.split("/")[1] not in self._own
        return {**scope, "root_path": prefix, "path": path if is_whole else prefix + path}


def _first(headers: Headers, name: str) -> str:
    """What the proxy nearest to the client says."""
    return headers.get(name, "").partition(",")[0].strip()


def _is_near(client: tuple[str, int] | None) -> bool:
    try:
        return client is not None and ipaddress.ip_address(client[0]).is_private
    except ValueError:
        return False
