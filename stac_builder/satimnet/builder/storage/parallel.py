"""Tasks: many independent pieces of work, one dask task each, on any of dask's schedulers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any, TypeVar

from satimnet.builder.progress import Progress

R = TypeVar("R")


def run_tasks(
    work: Callable[..., R],
    jobs: Sequence[tuple[Any, ...]],
    scheduler: str,
    what: str,
    progress: Progress,
    unit: str = "tasks",
) -> Iterator[R]:
    """What ``work`` returns for the arguments of each job, in any order.

    ``scheduler`` is ``threads``, ``processes`` or the address of a dask cluster; ``what`` and
    ``unit`` are for the progress. Errors of other
    processes come back wrapped, so ``work`` had better return what went wrong.
    """
    from dask.base import compute
    from dask.callbacks import Callback
    from dask.delayed import delayed

    # As arguments of a delayed call, jobs would be searched for dask collections, all of them.
    tasks = [delayed(partial(work, *job), pure=False, traverse=False)() for job in jobs]
    done = 0
    progress(what, done, len(tasks), unit)

    def count(*_: Any) -> None:
        nonlocal done
        done += 1
        progress(what, min(done, len(tasks)), len(tasks), unit)

    if "://" in scheduler:
        from distributed import Client, as_completed

        with Client(scheduler) as client:
            for _, outcome in as_completed(client.compute(tasks), with_results=True):
                count()
                yield outcome
        return
    with Callback(posttask=count):
        yield from compute(*tasks, scheduler=scheduler, initializer=end_with_parent)


def end_with_parent() -> None:
    """Ends this process as soon as the one that started it has ended, however that was.

    For workers of `multiprocessing`, which wait for work for ever when their parent was killed.
    """
    parent = parent_process()

    def watch(process: BaseProcess) -> None:
        process.join()
        os._exit(1)

    if parent is not None:
        Thread(target=watch, args=(parent,), daemon=True).start()
