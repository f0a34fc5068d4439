"""An S3 server, a dask scheduler and workers, each a process with little in common."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from .networks import LOOPBACK, Host, namespaces

KEYS = {
    "AWS_ACCESS_KEY_ID": "cluster-key-id",
    "AWS_SECRET_ACCESS_KEY": "cluster-secret-key",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}
_SECONDS = 90.0
_DASK_LOCKS = {"global.lock", "purge.lock"}
"""What dask leaves in every scratch folder."""
_READ_ONLY = """
set -e
mount --make-rprivate /
mount --bind "$SCRATCH" "$SCRATCH"
cut -d' ' -f2 /proc/self/mounts | sort -ur | while read -r place; do
  [ "$place" = "$SCRATCH" ] || mount -o remount,bind,ro "$place" 2>/dev/null || true
done
mount -t tmpfs -o size=16m memory /dev/shm  # locks of multiprocessing lie there
cd "$SCRATCH"
for place in "$OUTSIDE" /tmp /var/tmp /root /home; do
  ! touch "$place/written" 2>/dev/null || { echo "$place can be written"; exit 1; }
done
exec "$@"
"""
"""Everything is read-only afterwards but for the scratch folder."""


@dataclass
class Worker:
    """A worker of the cluster."""

    name: str
    scratch: Path
    log: Path
    start: Callable[[], subprocess.Popen[bytes]]
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """Kills it and what it started, without a warning."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def restart(self) -> None:
        """Starts it once more in the same scratch folder, as a batch system would."""
        self.process = self.start()

    def end(self) -> None:
        """Ends it as a batch system does."""
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_SECONDS)
        self.kill()

    def peak(self) -> int:
        """The most memory that one of its processes had, in bytes, libraries included."""
        found = 0
        for status in Path("/proc").glob("[0-9]*/status"):
            with suppress(OSError, ValueError, IndexError):
                if os.getpgid(int(status.parent.name)) == self.process.pid:
                    text = status.read_text()
                    found = max(found, int(text.split("VmHWM:")[1].split()[0]) * 1024)
        return found

    def left(self) -> list[Path]:
        """The files in its scratch folder but for dask's own locks."""
        files = (path for path in self.scratch.rglob("*") if not path.is_dir())
        return [path for path in files if path.name not in _DASK_LOCKS]


@dataclass
class Cluster:
    """A scheduler with its workers, and an S3 server."""

    folder: Path
    host: Host
    ports: tuple[int, int]
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        """The URL of the S3 server."""
        return f"http://{self.host.address}:{self.ports[0]}"

    @property
    def scheduler(self) -> str:
        """The address of the scheduler."""
        return f"tcp://{self.host.address}:{self.ports[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to reach the S3 server."""
        return KEYS | {"AWS_ENDPOINT_URL": self.endpoint}

    def add_worker(
        self,
        name: str,
        host: Host = LOOPBACK,
        *,
        isolated: bool = True,
        memory: str = "1500MiB",
        more: Mapping[str, str] | None = None,
        first_on_path: Path | None = None,
    ) -> Worker:
        """Starts a worker.

        Args:
            name: of the worker, its scratch folder and its log.
            host: where it runs.
            isolated: whether it can write to its scratch folder alone.
            memory: what it may take.
            more: variables of its environment.
            first_on_path: a folder in which Python looks for packages first.
        """
        scratch, log = self.folder / name, self.folder / f"{name}.log"
        scratch.mkdir()
        command = [sys.executable, "-m", "distributed.cli.dask_worker", self.scheduler]
        command += ["--name", name, "--nthreads", "1", "--nworkers", "1", "--no-dashboard"]
        command += ["--host", host.address, "--death-timeout", "60"]
        command += ["--local-directory", str(scratch), "--memory-limit", memory]
        if isolated:
            command = ["unshare", "-m", "bash", "-c", _READ_ONLY, "worker", *command]
        command = [*host.prefix, *command]
        mine = {"SCRATCH": str(scratch), "OUTSIDE": str(self.folder), "HOME": str(scratch)}
        mine |= {"TMPDIR": str(scratch), "XDG_CACHE_HOME": str(scratch)}

        def start() -> subprocess.Popen[bytes]:
            environment = self.environment | mine | dict(more or {})
            return _start(command, log, environment, scratch, first_on_path)

        worker = Worker(name, scratch, log, start, start())
        self.workers.append(worker)
        return worker

    def remove(self, worker: Worker) -> None:
        """Ends a worker, which is no longer of the cluster."""
        worker.end()
        self.workers.remove(worker)

    def wait(self, workers: int) -> None:
        """Waits until so many workers are there."""
        from distributed import Client

        with Client(self.scheduler, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=_SECONDS)


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
    folder: Path, *, workers: int = 2, isolated: bool = True, apart: bool = False
) -> Iterator[Cluster]:
    """A cluster that runs as long as the block.

    Args:
        folder: for scratch folders and logs.
        workers: how many there are.
        isolated: whether a worker can write to its scratch folder alone.
        apart: whether each has a network of its own.
    """
    network = namespaces(workers) if apart else nullcontext((LOOPBACK, [LOOPBACK] * workers))
    with network as (host, hosts):
        cluster = Cluster(folder, host, (_free_port(host), _free_port(host)))
        try:
            _start_servers(cluster)
            for number, place in enumerate(hosts):
                cluster.add_worker(f"worker-{number}", place, isolated=isolated)
            cluster.wait(workers)
            yield cluster
        finally:
            for worker in cluster.workers:
                worker.kill()
            for process in cluster.started:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _start_servers(cluster: Cluster) -> None:
    address, (s3, scheduler) = cluster.host.address, map(str, cluster.ports)
    module = ["-m", "moto.server", "-H", address, "-p", s3]
    log = cluster.folder / "s3.log"
    cluster.started.append(_start([sys.executable, *module], log, {}))
    command = ["-m", "distributed.cli.dask_scheduler", "--host", address, "--port", scheduler]
    command += ["--no-dashboard", "--dashboard-address", ":0", "--no-show"]
    more = {"DASK_TEMPORARY_DIRECTORY": str(cluster.folder)}
    log = cluster.folder / "scheduler.log"
    cluster.started.append(_start([sys.executable, *command], log, more))
    for port in cluster.ports:
        _wait_for(address, port)


def _start(
    command: Sequence[str],
    log: Path,
    more: Mapping[str, str],
    folder: Path | None = None,
    first_on_path: Path | None = None,
) -> subprocess.Popen[bytes]:
    first = [] if first_on_path is None else [str(first_on_path)]
    path = os.pathsep.join([*first, *(path for path in sys.path if path)])
    with log.open("ab") as file:
        return subprocess.Popen(
            command,
            env={**os.environ, **more, "PYTHONPATH": path},
            cwd=folder or log.parent,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _free_port(host: Host) -> int:
    with socket.socket() as bound:
        bound.bind((host.address, 0))
        return int(bound.getsockname()[1])


def _wait_for(address: str, port: int) -> None:
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection((address, port), 1):
            return
        time.sleep(0.1)
    raise TimeoutError(f"nobody answers at port {port}")
