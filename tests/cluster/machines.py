"""An S3 server, a dask scheduler and workers, each a process with little in common."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

KEYS = {
    "AWS_ACCESS_KEY_ID": "cluster-key-id",
    "AWS_SECRET_ACCESS_KEY": "cluster-secret-key",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}
_SECONDS = 60.0
_READ_ONLY = """
set -e
mount --make-rprivate /
mount --bind "$SCRATCH" "$SCRATCH"
for place in / /tmp /dev/shm /var /run /home /root; do
  mountpoint -q "$place" && mount -o remount,bind,ro "$place" || true
done
exec "$@"
"""
"""Everything is read-only afterwards but for the scratch folder."""


@dataclass
class Worker:
    """A worker of the cluster."""

    process: subprocess.Popen[bytes]
    scratch: Path
    log: Path

    def kill(self) -> None:
        """Kills it and what it started, without a warning."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def peak(self) -> int:
        """The most memory that one of its processes had, in bytes."""
        found = 0
        for status in Path("/proc").glob("[0-9]*/status"):
            with suppress(OSError, ValueError, IndexError):
                if os.getpgid(int(status.parent.name)) == self.process.pid:
                    text = status.read_text()
                    found = max(found, int(text.split("VmHWM:")[1].split()[0]) * 1024)
        return found


@dataclass
class Cluster:
    """A scheduler with its workers, and an S3 server."""

    folder: Path
    scheduler: str
    endpoint: str
    workers: list[Worker] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to reach the S3 server."""
        return KEYS | {"AWS_ENDPOINT_URL": self.endpoint}


def can_isolate() -> bool:
    """Whether processes can be given a file system that is read-only."""
    if os.name != "posix" or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return False
    if shutil.which("unshare") is None:
        return False
    script = "mount --make-rprivate /"
    return (
        subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True).returncode == 0
    )


@contextmanager
def running(
    folder: Path, *, workers: int = 2, isolated: bool = True, memory: str = "1500MiB"
) -> Iterator[Cluster]:
    """A cluster that runs as long as the block.

    Args:
        folder: for scratch folders and logs.
        workers: how many there are.
        isolated: whether a worker can write to its scratch folder alone.
        memory: what a worker may take.
    """
    ports = [_free_port() for _ in range(2)]
    endpoint = f"http://127.0.0.1:{ports[0]}"
    started: list[subprocess.Popen[bytes]] = []
    cluster = Cluster(folder, f"tcp://127.0.0.1:{ports[1]}", endpoint)
    try:
        module = ["-m", "moto.server", "-H", "127.0.0.1", "-p", str(ports[0])]
        started.append(_start([sys.executable, *module], folder / "s3.log", {}))
        command = ["-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1"]
        command += ["--port", str(ports[1]), "--no-dashboard", "--no-show"]
        started.append(_start([sys.executable, *command], folder / "scheduler.log", {}))
        for port in ports:
            _wait_for(port)
        for number in range(workers):
            cluster.workers.append(_worker(cluster, f"worker-{number}", isolated, memory))
        yield cluster
    finally:
        for worker in cluster.workers:
            worker.kill()
        for process in started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _worker(cluster: Cluster, name: str, isolated: bool, memory: str) -> Worker:
    scratch, log = cluster.folder / name, cluster.folder / f"{name}.log"
    scratch.mkdir()
    command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler]
    command += ["--name", name, "--nthreads", "1", "--nworkers", "1", "--no-dashboard"]
    command += ["--local-directory", str(scratch), "--memory-limit", memory]
    more = cluster.environment | {
        "SCRATCH": str(scratch),
        "TMPDIR": str(scratch),
        "HOME": str(scratch),
        "XDG_CACHE_HOME": str(scratch),
    }
    if isolated:
        command = ["unshare", "-m", "bash", "-c", _READ_ONLY, "worker", *command]
    return Worker(_start(command, log, more, folder=scratch), scratch, log)


def _start(
    command: Sequence[str], log: Path, more: Mapping[str, str], folder: Path | None = None
) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(path for path in sys.path if path)
    with log.open("wb") as file:
        return subprocess.Popen(
            command,
            env={**os.environ, **more, "PYTHONPATH": path},
            cwd=folder or log.parent,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def _wait_for(port: int) -> None:
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise TimeoutError(f"nobody answers at port {port}")
