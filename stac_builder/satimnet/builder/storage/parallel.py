"""Tasks: many independent pieces of work, one dask task each, on any of dask's schedulers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, TypeVar, cast

from satimnet.builder.errors import ArgumentError, StorageError
from satimnet.builder.progress import Progress
from satimnet.builder.storage.worker import called

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from distributed import Client

R = TypeVar("R")

HERE = "here"
"""The scheduler that does each job when it is asked for, in the thread that asks."""

_SECONDS_TO_ANSWER = 10
_PACKAGE = "satimnet"


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

    Raises:
        StorageError: No cluster answers, or its workers cannot do this.
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
            require_same_version(client)
            for future in as_completed(client.compute(tasks), loop=client.loop):
                with in_one_line():
                    outcome = future.result()
                count()
                yield outcome
        return
    with Callback(posttask=count):
        yield from compute(*tasks, scheduler=scheduler, initializer=end_with_parent)


def stream_tasks(
    work: Callable[..., R],
    jobs: Iterable[tuple[Any, ...]],
    scheduler: str,
    what: str,
    progress: Progress,
    unit: str = "tasks",
) -> Iterator[R]:
    """As `run_tasks`, of jobs that are made while earlier ones are done.

    A job is asked for when a worker is free or will be soon, so few of them wait at any time.
    ``scheduler`` may also be `HERE`.
    """
    done = begun = 0
    running: set[Any] = set()
    progress(what, done, None, unit)
    with _pool(scheduler) as pool:

        def ended(left: int) -> Iterator[R]:
            nonlocal done, running
            while len(running) > left:
                finished, running = pool.wait(running)
                for future in finished:
                    with in_one_line() if is_cluster(scheduler) else nullcontext():
                        outcome = future.result()
                    done += 1
                    yield outcome

        for job in jobs:
            running.add(pool.submit(partial(work, *job)))
            begun += 1
            for outcome in ended(pool.most()):
                progress(what, done, None, unit)
                yield outcome
        all_told = False
        for outcome in ended(0):
            progress(what, done, begun, unit)
            all_told = done == begun
            yield outcome
    if not all_told:
        progress(what, done, begun, unit)


@dataclass(frozen=True)
class _Pool:
    """Workers of any scheduler."""

    submit: Callable[[Callable[[], Any]], Any]
    """Returns a future."""
    wait: Callable[[set[Any]], tuple[set[Any], set[Any]]]
    """Waits for any of the futures; returns those that ended, and the others."""
    most: Callable[[], int]
    """How many tasks may wait or be done at a time."""


@contextmanager
def _pool(scheduler: str) -> Iterator[_Pool]:
    """Workers, of which none goes on with a task when the block has ended.

    On one machine these are the pools that dask makes for a whole graph; it has no way to add tasks
    to one.
    """
    if is_cluster(scheduler):
        from distributed import as_completed

        with connected(scheduler) as client:
            require_same_version(client)
            ending = as_completed(loop=client.loop)

            def submit(work: Callable[[], Any]) -> Any:
                future = client.submit(work, pure=False)
                ending.add(future)
                return future

            def wait_for_any(futures: set[Any]) -> tuple[set[Any], set[Any]]:
                ended = next(ending)
                return {ended}, futures - {ended}

            try:
                yield _Pool(submit, wait_for_any, lambda: _ahead(sum(client.ncores().values())))
            finally:
                if left := list(ending.futures):
                    client.cancel(left)
        return
    import dask.config
    from dask.multiprocessing import get_context
    from dask.system import CPU_COUNT

    workers = dask.config.get("num_workers", None) or CPU_COUNT
    if scheduler == HERE or (scheduler == "threads" and workers == 1):
        yield _Pool(_done, lambda futures: (futures, set()), lambda: 0)
        return
    pool: Executor
    if scheduler == "threads":
        pool = ThreadPoolExecutor(workers)
    else:
        from concurrent.futures import ProcessPoolExecutor  # most commands start no process

        pool = ProcessPoolExecutor(workers, get_context(), end_with_parent)
    try:
        yield _Pool(
            pool.submit,
            partial(wait, return_when=FIRST_COMPLETED),
            partial(_ahead, workers),
        )
    finally:
        pool.shutdown(cancel_futures=True)


def _done(work: Callable[[], Any]) -> Future[Any]:
    """The future of what is done at once, in this thread."""
    future: Future[Any] = Future()
    future.set_result(work())
    return future


def _ahead(workers: int) -> int:
    """How many tasks so many workers have, so that none waits while the next is made."""
    return workers + max(2, workers // 2)


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


def require_same_version(client: Client) -> None:
    """Refuses workers that have another version of satimnet, or none.

    Raises:
        StorageError: There are such workers. Those that come later are not looked at.
    """
    mine = version(_PACKAGE)
    names = client.scheduler_info()["workers"]
    versions = cast(dict[str, Any], client.get_versions(packages=[_PACKAGE]))
    for address, about in sorted(versions["workers"].items()):
        there = about["packages"].get(_PACKAGE)
        if there != mine:
            name = called(names.get(address, {}).get("name", address), address)
            raise StorageError(
                f"worker {name}: has {f'{_PACKAGE} {there}' if there else f'no {_PACKAGE}'}, and "
                f"this machine {mine}; install the same version for both"
            )


@contextmanager
def in_one_line() -> Iterator[None]:
    """Says of tasks of a cluster that could not even begin, or kill their workers, what to do.

    Raises:
        StorageError: The block raised what dask says of these.
    """
    from distributed.scheduler import KilledWorker

    try:
        yield
    except KilledWorker as error:
        last = error.last_worker
        times = error.allowed_failures + 1
        raise StorageError(
            f"worker {called(last.name, last.address)}: ended while it worked, as {times} did at "
            "the same piece; see its log, and give workers more memory if it says so"
        ) from error
    except ImportError as error:
        raise StorageError(
            f"a worker of the cluster cannot begin ({error}); install the same version of "
            f"{_PACKAGE}, with the same extras, there as here"
        ) from error


@contextmanager
def connected(address: str, *, direct: bool = False) -> Iterator[Client]:
    """A client of the dask cluster at an address; those that need it at one time share it.

    A client that the caller has open is taken if it is of that address: gateways let nobody in who
    knows nothing but the address.

    Args:
        address: Of the scheduler of the cluster.
        direct: Whether results come straight from the workers, which this machine must reach then.

    Raises:
        ArgumentError: It is no address.
        StorageError: Nobody answers there.
    """
    if (open_one := _callers_client(address)) is not None:
        yield open_one
        return
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


def _callers_client(address: str) -> Client | None:
    from distributed import Client

    try:
        current = Client.current()
    except ValueError:  # there is none
        return None
    scheduler = current.scheduler
    same = scheduler is not None and scheduler.address == address
    return current if same and current.status == "running" else None


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
    from multiprocessing import parent_process

    parent = parent_process()

    def watch(process: BaseProcess) -> None:
        process.join()
        os._exit(1)

    if parent is not None:
        Thread(target=watch, args=(parent,), daemon=True).start()
