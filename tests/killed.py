"""A command that is killed at its very end, when all is done but removing its lock."""

import signal
import subprocess
import sys

_RUN = """
import os, signal, sys
from stactools.cli.cli import cli

def watch(event, arguments):
    if event == "os.remove" and str(arguments[0]).endswith(".lock"):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
cli(sys.argv[1:])
"""


def killed_at_its_end(*arguments: object) -> None:
    """Runs ``stac satimnet`` with these arguments, up to the removal of its lock."""
    command = [sys.executable, "-c", _RUN, "satimnet", *map(str, arguments)]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
