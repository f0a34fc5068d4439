"""``python -m benchmarks.serving``: many clients at once ask one server, and one asks too much.

Clients mix searches (pages of ten Items, by class, filter, place and free text) with byte ranges
of shards, one request after the other, on connections that stay open. What is printed: requests a
second, errors, the quantiles of the answers' times, the server's memory at the beginning and the
end; and how long searches take while another one runs into its time limit.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote, urlsplit

from satimnet.builder import build
from satimnet.builder.query.index import Index
from satimnet.builder.query.search import search
from stactools.eurosat.miniature import write_miniature

_PROCESSES = 2  # that the clients share, so that one interpreter is not what is measured
_RANGE = 32 * 2**10  # bytes of a shard asked for at once
_WARM = 2.0  # seconds before anything counts


@contextmanager
def _served(catalog: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, "-c", "from stactools.cli.cli import run_cli; run_cli()"]
    command += ["satimnet", "serve", str(catalog), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1], process
        finally:
            process.terminate()


def _questions(catalog: Path) -> list[tuple[str, str, dict[str, str]]]:
    """Kind, path and headers of requests, from which clients draw."""
    index = Index(catalog)
    items = list(search(index, limit=200))
    searches = [
        *(f"/search?limit=10&collections={name}" for name in index.collections),
        *(f"/collections/{item['collection']}/items/{quote(item['id'])}" for item in items[::10]),
        *(f"/search?limit=10&filter={quote(text)}" for text in _FILTERS),
        *(f"/search?limit=10&q={word}" for word in ("river", "forest", "ship")),
        *("/search?limit=10&bbox=5,45,15,55", "/search?limit=10&sortby=-id", "/aggregate"),
    ]
    folder = index.href.rpartition("/")[0]
    shards = {href for item in items for href in _shards(item) if href.startswith(folder)}
    ranges = []
    for shard in sorted(shards):
        size = os.stat(shard).st_size
        for first in range(0, size, max(_RANGE, size // 20)):
            last = min(size, first + _RANGE) - 1
            path = f"/catalog{quote(shard.removeprefix(folder))}"
            ranges.append(("range", path, {"Range": f"bytes={first}-{last}"}))
    asked = [("search", path, {"Accept-Encoding": "gzip"}) for path in searches]
    return asked * max(1, len(ranges) // len(asked)) + ranges


def _shards(item: dict[str, Any]) -> list[str]:
    return [asset["href"] for asset in item["assets"].values() if "archive" in asset]


_FILTERS = (
    "\"satimnet:split\" = 'train'",
    "a_contains(\"satimnet:classes\", ('River'))",
    "s_intersects(geometry, POLYGON((0 40, 20 40, 20 60, 0 60, 0 40)))",
    "id like '%1%' and not id like '%2%'",
)

_SLOW = " or ".join(
    f"s_touches(geometry, LINESTRING(0 {n}, 90 {n})) and id <> 'x'" for n in range(90)
)

Answers = list[tuple[str, float]]


def _client(
    url: str, questions: list[tuple[str, str, dict[str, str]]], seed: int, until: float
) -> tuple[Answers, list[str]]:
    """Times of answers by kind, and what went wrong."""
    rng = random.Random(seed)
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    times: Answers = []
    errors = []
    while time.monotonic() < until:
        kind, path, headers = rng.choice(questions)
        start = time.monotonic()
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status not in (200, 206):
                errors.append(f"{path}: status {answer.status}")
        except (OSError, http.client.HTTPException) as error:
            errors.append(f"{path}: {error!r}")
            connection.close()
        times.append((kind, time.monotonic() - start))
    connection.close()
    return times, errors


def _clients(
    url: str, questions: list[tuple[str, str, dict[str, str]]], seeds: list[int], until: float
) -> tuple[Answers, list[str]]:
    """Several clients, on threads of this process."""
    with ThreadPoolExecutor(len(seeds)) as pool:
        done = list(pool.map(lambda seed: _client(url, questions, seed, until), seeds))
    return [time for times, _ in done for time in times], [e for _, own in done for e in own]


def _memory(process: subprocess.Popen[str]) -> float:
    """MiB that the server holds."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def _told(times: list[float]) -> str:
    cuts = quantiles(times, n=100)
    return (
        f"p50 {cuts[49] * 1000:.0f} ms, p90 {cuts[89] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms "
        f"({cuts[98] / cuts[49]:.1f} times p50), longest {max(times) * 1000:.0f} ms"
    )


def _load(
    url: str, process: subprocess.Popen[str], catalog: Path, clients: int, seconds: float
) -> int:
    """Prints what many clients met; the number of errors."""
    questions = _questions(catalog)
    with ProcessPoolExecutor(_PROCESSES) as pool:
        seeds = [list(range(at, clients, _PROCESSES)) for at in range(_PROCESSES)]
        warm = [
            pool.submit(_clients, url, questions, own, time.monotonic() + _WARM) for own in seeds
        ]
        for one in warm:
            one.result()
        before = _memory(process)
        until = time.monotonic() + seconds
        running = [pool.submit(_clients, url, questions, own, until) for own in seeds]
        middle = before
        while not all(one.done() for one in running):
            time.sleep(0.5)
            if time.monotonic() < until - seconds / 2:
                middle = _memory(process)
        results = [one.result() for one in running]
    times = [time for own, _ in results for time in own]
    errors = [error for _, own in results for error in own]
    load = os.getloadavg()[0]
    print(
        f"{clients} clients for {seconds:.0f} s: {len(times):,} answers, "
        f"{len(times) / seconds:.0f} a second, {len(errors)} errors; "
        f"load of the machine {load:.1f} on {os.cpu_count()} cores"
    )
    for kind in ("search", "range"):
        print(f"  {kind:7} {_told([spent for of, spent in times if of == kind])}")
    print(f"  all     {_told([spent for _, spent in times])}")
    print(f"  memory of the server: {before:.0f}, {middle:.0f}, {_memory(process):.0f} MiB")
    for error in errors[:10]:
        print(f"  {error}")
    return len(errors)


def _one_slow(url: str) -> None:
    """Prints how long a search takes alone, and while a slow one runs."""
    quick: list[tuple[str, str, dict[str, str]]] = [("search", "/search?limit=10&sortby=-id", {})]
    alone, _ = _client(url, quick, 0, time.monotonic() + 5)
    slow: dict[str, float] = {}

    def ask_slowly() -> None:
        start = time.monotonic()
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)
        body = json.dumps({"filter": _SLOW, "limit": 1})
        connection.request("POST", "/search", body, {"Content-Type": "application/json"})
        slow["status"] = connection.getresponse().status
        slow["seconds"] = time.monotonic() - start

    thread = threading.Thread(target=ask_slowly)
    thread.start()
    beside: Answers = []
    while thread.is_alive():
        beside += _client(url, quick, 0, time.monotonic() + 0.1)[0]
    thread.join()
    print(f"one search alone: {_told([spent for _, spent in alone])}")
    print(
        f"beside one of {slow['seconds']:.1f} s (status {slow['status']:.0f}), "
        f"{len(beside)} answers: {_told([spent for _, spent in beside])}"
    )


def main() -> int:
    """Measures and prints; 1 if there was an error."""
    parser = argparse.ArgumentParser("python -m benchmarks.serving", description=__doc__)
    parser.add_argument("catalog", nargs="?", type=Path, help="a made-up one if there is none")
    parser.add_argument("--clients", type=int, default=50, metavar="N")
    parser.add_argument("--seconds", type=float, default=120, metavar="S")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        catalog = arguments.catalog
        if catalog is None:
            write_miniature(Path(folder) / "source", 40)
            catalog = Path(folder) / "catalog"
            build([Path(folder) / "source"], catalog)
        with _served(catalog) as (url, process):
            errors = _load(url, process, catalog, arguments.clients, arguments.seconds)
            _one_slow(url)
    return int(errors > 0)


if __name__ == "__main__":
    sys.exit(main())
