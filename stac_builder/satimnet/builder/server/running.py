"""The server as a process: it binds an address and answers until it is stopped."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from satimnet.builder.errors import StorageError
from satimnet.builder.server.app import SECONDS, create_app


def serve(
    catalog: str,
    host: str,
    port: int,
    *,
    browser: Path | None = None,
    root_path: str = "",
    seconds: float = SECONDS,
    allow_outside: bool = False,
    ready: Callable[[str], None],
) -> None:
    """Serves a catalog by HTTP until the process is told to stop.

    Args:
        catalog: path or URL of ``catalog.json`` or of its folder.
        host: name or address of the network interface.
        port: port; 0 takes a free one.
        browser: folder of a built STAC Browser.
        root_path: path below which a proxy has the server.
        seconds: how long a search may take.
        allow_outside: thumbnails may show files outside of a local catalog's folder.
        ready: is called with the URL of the landing page as soon as the server listens.

    Raises:
        SatimnetError: the catalog cannot be read.
        ArgumentError: ``root_path`` is no path.
        StorageError: the address cannot be used.
    """
    app = create_app(
        catalog, browser, root_path=root_path, seconds=seconds, allow_outside=allow_outside
    )
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(2048)
    except (OSError, OverflowError) as error:
        raise StorageError(
            f"{host} port {port}: cannot be served ({error}); give another port or host"
        ) from error
    name = f"[{host}]" if ":" in host else host
    ready(f"http://{name}:{bound.getsockname()[1]}/")
    # What a proxy says is understood by the application.
    config = uvicorn.Config(
        app, log_level="warning", timeout_graceful_shutdown=5, proxy_headers=False
    )
    with bound:
        uvicorn.Server(config).run([bound])
