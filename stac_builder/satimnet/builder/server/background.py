"""Servers in the background: a catalog is served by a thread until the process ends."""

from __future__ import annotations

import os
from concurrent.futures import Future
from threading import Lock, Thread

from satimnet.builder.server.browser import built
from satimnet.builder.server.running import serve

_addresses: dict[tuple[int, str, bool], str] = {}
_lock = Lock()


def address_of(catalog: str, *, allow_outside: bool = False) -> str:
    """The URL of the landing page of a catalog's server, which is started if there is none yet.

    Only this machine reaches it.

    Args:
        catalog: absolute path or URL of ``catalog.json``.
        allow_outside: files may lie outside of a local catalog's folder.

    Raises:
        SatimnetError: the catalog cannot be served.
    """
    key = os.getpid(), catalog, allow_outside  # a fork has no threads of its parent
    with _lock:
        if key not in _addresses:
            _addresses[key] = _started(catalog, allow_outside)
        return _addresses[key]


def _started(catalog: str, allow_outside: bool) -> str:
    ready: Future[str] = Future()

    def run() -> None:
        try:
            serve(
                catalog,
                "127.0.0.1",
                0,
                browser=built(),
                allow_outside=allow_outside,
                ready=ready.set_result,
            )
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    Thread(target=run, name="satimnet-server", daemon=True).start()
    return ready.result()
