"""Workers: cases are judged in processes of their own, which may hang or die."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from .sources import Files

_WALL_SECONDS = 150  # of a case, should it sleep; the machine may be busy with other things
_CASES = 400  # of one process, so that what it keeps does not add up


@dataclass(frozen=True)
class Result:
    """A case and what came of it."""

    seed: int
    dataset: str
    spoilt: tuple[str, ...]
    outcome: str
    detail: str
    peak: int
    seconds: float
    fault: bool


def run(
    seeds: Iterable[int], sources: Mapping[str, Files], work: Path, schemas: Path | None, count: int
) -> Iterator[Result]:
    """Results in the order in which they come, from ``count`` processes at a time."""
    todo = iter(seeds)
    workers = [_Worker(sources, work / f"worker-{at}", schemas) for at in range(count)]
    busy = [worker for worker in workers if worker.next(todo)]
    try:
        while busy:
            wait([worker.connection for worker in busy], timeout=1)
            for worker in list(busy):
                result = worker.result()
                if result is not None:
                    yield result
                    if not worker.next(todo):
                        busy.remove(worker)
    finally:
        for worker in workers:
            worker.stop()


class _Worker:
    """A process that judges one case after the other, started again where it dies."""

    connection: Connection

    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self._process = context.Process(target=_work, args=(other, *self._arguments), daemon=False)
        self._process.start()
        other.close()
        self._judged = 0

    def next(self, todo: Iterator[int]) -> bool:
        """Gives it the next case, if there is one."""
        seed = next(todo, None)
        if seed is None:
            return False
        if self._judged >= _CASES:
            self.stop()
            self._start()
        self._judged += 1
        self._seed, self._since = seed, time.monotonic()
        self._case: tuple[str, tuple[str, ...]] = "?", ()
        self.connection.send(seed)
        return True

    def result(self) -> Result | None:
        """What came of its case, if that is known."""
        try:
            while self.connection.poll():
                said = self.connection.recv()
                if isinstance(said, Result):
                    return said
                self._case = said  # it will now be built
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode or 0
            name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            return self._lost("hang" if -code == signal.SIGXCPU else "crash", name)
        if time.monotonic() - self._since > _WALL_SECONDS:
            return self._lost("hang", f"not done in {_WALL_SECONDS} s")
        return None

    def _lost(self, outcome: str, detail: str) -> Result:
        self.stop()
        self._start()
        seconds = time.monotonic() - self._since
        return Result(self._seed, *self._case, outcome, detail, 0, seconds, True)

    def stop(self) -> None:
        """Ends the process and what it has started."""
        self.connection.close()
        if self._process.pid and self._process.is_alive():
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:  # not yet the leader of its own group
                self._process.kill()
        self._process.join()


def _work(
    connection: Connection, sources: Mapping[str, Files], folder: Path, schemas: Path | None
) -> None:
    from .cases import make
    from .catalogs import CatalogCase
    from .judging import SECONDS, judge
    from .using import use

    os.setpgrp()
    shutil.rmtree(folder, ignore_errors=True)
    temporary = folder / "tmp"
    temporary.mkdir(parents=True)
    os.environ["HTTPS_PROXY"] = os.environ["HTTP_PROXY"] = "http://127.0.0.1:9"  # no network
    os.environ["XDG_STATE_HOME"] = str(temporary / "state")
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    while True:
        try:
            seed = connection.recv()
        except EOFError:
            return
        sandbox = folder / str(seed)
        sandbox.mkdir()
        (sandbox / "outside").mkdir()
        (sandbox / "outside" / "secret.txt").write_text("not a part of any source")
        os.chdir(sandbox)
        case = make(seed, sources, sandbox / "sources", sandbox / "outside")
        connection.send((case.dataset, case.spoilt))
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(used.ru_utime + used.ru_stime) + SECONDS + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        if isinstance(case, CatalogCase):
            verdict = use(case, sandbox)
        else:
            verdict = judge(case, sandbox, schemas)
        os.chdir(folder)
        shutil.rmtree(sandbox)
        connection.send(
            Result(
                seed,
                case.dataset,
                case.spoilt,
                verdict.outcome,
                verdict.detail,
                verdict.peak,
                verdict.seconds,
                verdict.fault,
            )
        )
