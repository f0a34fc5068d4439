"""Tasks: many independent pieces of work, one dask task each, on any of dask's schedulers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, TypeVar

from satimnet.builder.errors import ArgumentError, StorageError
from satimnet.builder.progress import Progress

if TYPE_CHECKING:
    from distributed import Client

R = TypeVar("R")

_SECONDS_TO_ANSWER = 10


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

    if is_cluster(scheduler):
        from distributed import as_completed

        with connected(scheduler) as client:
            futures = client.compute(tasks)
            for _, outcome in as_completed(futures, loop=client.loop, with_results=True):
                count()
                yield outcome
        return
    with Callback(posttask=count):
        yield from compute(*tasks, scheduler=scheduler, initializer=end_with_parent)


def is_cluster(scheduler: str) -> bool:
    """Whether it is the address of a dask cluster, else a way to compute on this machine."""
    return "://" in scheduler


def require_scheduler(scheduler: str, *here: str) -> None:
    """Refuses what is neither one of the ways to compute here nor an address.

    Raises:
        ArgumentError: It is neither.
    """
    if scheduler not in here and not is_cluster(scheduler):
        raise ArgumentError(
            f"scheduler {scheduler}: must be {', '.join(here)} or the address of a dask cluster, "
            "such as tcp://host:8786",
            "scheduler",
        )


@contextmanager
def connected(address: str, *, direct: bool = False) -> Iterator[Client]:
    """A client of the dask cluster at an address; those that need it at one time share it.

    Args:
        address: Of the scheduler of the cluster.
        direct: Whether results come straight from the workers, which this machine must reach then.

    Raises:
        ArgumentError: It is no address.
        StorageError: Nobody answers there.
    """
    key = (os.getpid(), address, direct)  # a client does not survive a fork
    with _clients_lock:
        client, users = _clients.get(key) or (_new_client(address, direct), 0)
        _clients[key] = client, users + 1
    try:
        yield client
    finally:
        with _clients_lock:
            _, users = _clients[key]
            if users > 1:
                _clients[key] = client, users - 1
            else:
                del _clients[key]
                client.close()


_clients: dict[tuple[int, str, bool], tuple[Client, int]] = {}
"""Open clients, and how many use each."""
_clients_lock = Lock()


def _new_client(address: str, direct: bool) -> Client:
    from distributed import Client

    try:
        return Client(
            address,
            timeout=_SECONDS_TO_ANSWER,
            set_as_default=False,  # the caller's own computations go where they went
            direct_to_workers=direct or None,
        )
    except ValueError as error:
        raise ArgumentError(
            f"scheduler {address}: not the address of a dask cluster ({error}); "
            "give one such as tcp://host:8786",
            "scheduler",
        ) from error
    except OSError as error:  # a TimeoutError is one, too
        raise StorageError(
            f"{address}: no dask scheduler answers there within {_SECONDS_TO_ANSWER} seconds; "
            "start the cluster, or give another address"
        ) from error


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
