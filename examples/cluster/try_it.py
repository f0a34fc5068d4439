"""A dask cluster and an object store on one machine, to see `satimnet build` use both.

    pip install -c constraints.txt -e ".[distributed]" "moto[s3,server]"
    python examples/cluster/try_it.py

It starts an S3 server that keeps everything in memory, a scheduler, and two workers with a scratch
folder each, puts a small made-up EuroSAT into the bucket ``src``, builds a catalog into the bucket
``cat`` and looks at it. With ``--endpoint`` and ``--scheduler`` it uses what runs already, such as
the services of compose.yml.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "example",
    "AWS_SECRET_ACCESS_KEY": "example-secret",  # this server takes any
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}
"""What workers and the client need; AWS_ENDPOINT_URL comes to it."""
WORKER = ["--nthreads", "1", "--nworkers", "1", "--memory-limit", "1500MiB", "--no-dashboard"]


def main() -> None:
    """Starts what is not there, and builds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--endpoint", help="The URL of an S3 server that runs already.")
    parser.add_argument("--scheduler", help="The address of a dask scheduler that runs already.")
    options = parser.parse_args()
    if (options.endpoint is None) != (options.scheduler is None):
        parser.error("give both --endpoint and --scheduler, or neither")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        if options.endpoint is not None:
            endpoint, scheduler = options.endpoint, options.scheduler
            os.environ.update(ENVIRONMENT | {"AWS_ENDPOINT_URL": endpoint})
        else:
            s3, dask = free_port(), free_port()
            endpoint, scheduler = f"http://127.0.0.1:{s3}", f"tcp://127.0.0.1:{dask}"
            os.environ.update(ENVIRONMENT | {"AWS_ENDPOINT_URL": endpoint})
            start_cluster(stack, folder, s3, dask)
        wait_for(endpoint)
        wait_for(scheduler)
        fill(folder / "source")
        satimnet("build", "s3://src/eurosat", "--out", "s3://cat/catalog", "--scheduler", scheduler)
        satimnet("info", "s3://cat/catalog")
        satimnet("search", "s3://cat/catalog", "--class", "River", "--limit", "2")


def start_cluster(stack: ExitStack, folder: Path, s3: int, dask: int) -> None:
    """The commands of compose.yml, with other ports; they end with the stack."""
    start(stack, folder, "moto.server", "-H", "127.0.0.1", "-p", str(s3))
    start(stack, folder, "dask", "scheduler", "--port", str(dask), "--dashboard-address", ":0")
    for number in (1, 2):
        scratch = folder / f"scratch-{number}"
        scratch.mkdir()
        command = ["worker", f"tcp://127.0.0.1:{dask}", *WORKER, "--local-directory", str(scratch)]
        start(stack, scratch, "dask", *command)


def fill(folder: Path) -> None:
    """Makes the buckets, and puts a small source into one of them."""
    import boto3  # type: ignore[import-untyped]

    from satimnet.builder.storage import objects
    from stactools.eurosat.miniature import write_miniature

    client = boto3.client("s3", region_name=ENVIRONMENT["AWS_REGION"])
    for bucket in ("src", "cat"):
        client.create_bucket(Bucket=bucket)
    for file in write_miniature(folder, 4):
        objects.write(f"s3://src/eurosat/{file.name}", file)


def satimnet(*arguments: str) -> None:
    """Runs the command, and says so."""
    print("$ satimnet", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "satimnet.cli", *arguments], check=True)


def start(stack: ExitStack, folder: Path, *command: str) -> None:
    """Starts a Python module in a folder; it is ended with the stack."""
    with (folder / f"{command[0]}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=folder, stdout=log, stderr=subprocess.STDOUT
        )
    stack.callback(end, process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that was started."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(20)
    process.kill()


def free_port() -> int:
    """A port of this machine that nobody uses."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def wait_for(address: str) -> None:
    """Waits until somebody answers at an address."""
    place = urlsplit(address)
    last = time.monotonic() + 60
    while True:
        try:
            socket.create_connection((place.hostname or "", place.port or 80), 1).close()
            return
        except OSError:
            if time.monotonic() > last:
                sys.exit(f"{address}: nobody answers there")
            time.sleep(0.1)


if __name__ == "__main__":
    main()
