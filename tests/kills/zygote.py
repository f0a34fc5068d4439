"""A process that has imported all and forks one child a command: see `Zygote`.

Importing takes most of the time of a small command, and is no instant worth a kill.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR
_CHANGES = (
    *("os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"),
    "shutil.rmtree",
)
_FOREIGN = ("renameat2", "syncfs")  # called by ctypes, which tells of the look-up alone


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    """Exit status, or the signal's number below zero."""
    seconds: float
    changes: int
    """How often it changed a file or folder; 0 if it was killed."""
    output: str


class Zygote:
    """Starts commands, each in a session of its own."""

    def __init__(self, logs: Path) -> None:
        self._log = logs / "output"
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        assert self._answer() == "ready"

    def run(
        self,
        job: Any,
        work: Path,
        *,
        change: int = 0,
        of: str = "",
        seconds: float | None = None,
        started: Callable[[int], None] | None = None,
    ) -> Ended:
        """Runs a job: the arguments of ``stac``, or a download.

        It is killed before its so-manyth ``change`` below ``work``, of what has ``of`` in its path;
        or after so many ``seconds``; or by whom ``started`` tells its number.
        """
        begin = time.monotonic()
        question = {"job": job, "work": str(work), "change": change, "of": of}
        self._ask(question | {"log": str(self._log)})
        pid = int(self._answer())
        if started is not None:
            started(pid)
        if seconds is not None:
            while time.monotonic() - begin < seconds and _alive(pid):
                time.sleep(0.002)
            if _alive(pid):
                os.kill(pid, signal.SIGKILL)
        self._ask(None)
        status = os.waitstatus_to_exitcode(int(self._answer()))
        output = self._log.read_text(errors="replace")
        changes = int(output.rpartition("changes: ")[2] or 0) if status >= 0 else 0
        self.last = pid
        return Ended(status, time.monotonic() - begin, changes, output)

    def workers_left(self, most: float) -> float | None:
        """Seconds until no process of the last command is there; None if they are still there."""
        begin = time.monotonic()
        while time.monotonic() - begin < most:
            if not _session(self.last):
                return time.monotonic() - begin
            time.sleep(0.02)
        for pid in _session(self.last):
            os.kill(pid, signal.SIGKILL)
        return None

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _ask(self, question: Any) -> None:
        assert self._process.stdin is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def _stat(pid: int) -> list[str]:
    """State, parent, group and session of a process; nothing of one that is not there."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:4]
    except OSError:
        return []


def _alive(pid: int) -> bool:
    return _stat(pid)[:1] not in ([], ["Z"])


def _session(leader: int) -> list[int]:
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    stats = {pid: _stat(pid) for pid in pids}
    return [pid for pid, stat in stats.items() if stat[3:] == [str(leader)] and stat[0] != "Z"]


def main() -> None:
    """Answers each question with a line: the number of a child, then how it ended."""
    from stactools.cli.cli import cli  # noqa: F401

    import satimnet.builder.pipeline
    import satimnet.builder.quality
    import satimnet.builder.transfer.subset
    import satimnet.cli.group
    import satimnet.training
    import satimnet.training.fusion.fusing
    import satimnet.training.maps.mapping
    import satimnet.training.networks.plots  # noqa: F401

    print("ready", flush=True)
    child = 0
    for line in sys.stdin:
        question = json.loads(line)
        if question is None:
            print(os.waitpid(child, 0)[1], flush=True)
            continue
        child = os.fork()
        if not child:
            _command(**question)
        print(child, flush=True)


def _command(job: Any, work: str, change: int, of: str, log: str) -> None:
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    changes = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal changes
        if event == "open":
            flags = arguments[2]
            if not (isinstance(flags, int) and flags & _WRITING) or work not in str(arguments[0]):
                return
        elif event == "ctypes.dlsym":
            if arguments[1] not in _FOREIGN:
                return
        elif event not in _CHANGES or work not in str(arguments[0]):
            return
        changes += of in str(arguments[0])
        if changes == change:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    status = 1
    try:
        _do(job)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    finally:
        print(f"changes: {changes}", flush=True)
        os._exit(status)


def _do(job: Any) -> None:
    if isinstance(job, dict):  # no dataset has its files on this machine
        from satimnet.builder.transfer.published_files import Download
        from satimnet.builder.transfer.resumable import fetch

        fetch(Download(job["url"], job["size"], job["checksum"]), Path(job["folder"]), wait=0.1)
        return
    from stactools.cli.cli import cli

    cli(job, prog_name="stac")


if __name__ == "__main__":
    main()
