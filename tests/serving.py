"""Servers of a catalog: as a user starts one, and as a thread, which starts in no time."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PATIENCE = 300.0  # seconds that a question may take; the machine of a test may be a busy one
COMMAND = "from stactools.cli.cli import run_cli; run_cli()"


@contextmanager
def served(catalog: Path | str, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Serves a catalog on a free port; gives the URL of the landing page and the process."""
    arguments = ["satimnet", "serve", str(catalog), "--port", "0", *options]
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            assert first.startswith("STAC API"), first
            yield first.split()[-1], process
        finally:
            process.terminate()
            process.wait(timeout=300)


@contextmanager
def served_here(catalog: Path | str, *, root_path: str = "") -> Iterator[str]:
    """Serves a catalog from a thread of this process; gives the URL of the landing page.

    For questions to the application. What is asked of the command or of a process needs `served`,
    as do readers that hold Python's lock while they wait for an answer, such as GDAL.
    """
    import uvicorn

    from satimnet.builder.server.app import create_app
    from satimnet.builder.server.browser import built

    app = create_app(str(catalog), built(), root_path=root_path, seconds=_PATIENCE)
    bound = socket.create_server(("127.0.0.1", 0), backlog=2048)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", proxy_headers=False))
    thread = threading.Thread(target=server.run, args=[[bound]], daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(timeout=300)
        bound.close()
