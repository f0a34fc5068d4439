"""The address by which people reach the server if a proxy stands in between.

Links in answers must lead through the proxy. It tells its own address in ``X-Forwarded-Proto``,
``X-Forwarded-Host`` and ``X-Forwarded-Prefix``. These are only trusted if they come from this
machine or a private network and look like an address.
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
    """The path below which the server is reached, with a slash at its beginning but not its end.

    Raises:
        ArgumentError: it has characters that such a path cannot have.
    """
    path = f"/{text.strip('/')}" if text.strip("/") else ""
    if path and not _PREFIX.fullmatch(path):
        raise ArgumentError(f"root_path {text!r:.100}: give a path such as /stac", "root_path")
    return path


class BehindProxy:
    """Middleware that makes requests look as they did before a proxy passed them on.

    The proxy may keep the path that stands before the server's own, or remove it.

    Args:
        app: the application behind it.
        root_path: path below which the proxy has the server; empty if that is not known.
        own: first parts of the server's own paths.
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
        # A prefix such as /catalog looks like a path of the server: the proxy has removed it.
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
