"""A server as a user starts it: a process that was told a catalog."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
