"""Pixels of batches, read ahead of whoever wants them, in the planned order.

By dask, a batch on disk is a graph whose tasks are its pieces, one for each thread of this process;
a batch on another machine is one task, and so it is on the workers of a cluster. A reader without
dask stands beside that. Whichever is chosen, the caller gives the memory (`Room`) and finds the
same bits in it.

Threads share a batch, since fresh memory costs more than the reading of it: when each read a batch
of its own, one more was held. A dask graph holds a single batch. Several batches in one graph were
slower: the first one is handed out only when the last one is read (measured on two busy cores, 13
bands: groups of two or four took 0.8 to 1.6 times the time of the reader without dask, single ones
0.7 to 1).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from dask import threaded

from satimnet.builder.errors import ArgumentError, SatimnetError, StorageError, how_to_install
from satimnet.builder.storage.hrefs import is_url
from satimnet.builder.storage.parallel import connected, is_cluster, require_scheduler
from satimnet.builder.storage.ranges import AT_ONCE
from satimnet.training.data.array_types import Array, Numbers
from satimnet.training.data.layouts import Layout
from satimnet.training.data.pixels import Reader, read_together

if TYPE_CHECKING:
    from distributed import Client
    from distributed import Future as ClusterFuture
    from torch import Tensor

Room = Callable[[Numbers], "list[Tensor]"]
"""Gives memory for some samples: a tensor for each layout, of the shape `Layout.buffer_shape`."""

Scales = Sequence[float | None] | None
"""What the values of each layout are multiplied by."""

Filled = Generator[tuple[Numbers, "list[Tensor]"]]
"""Numbers of samples, and the memory that holds their pixels now."""

_AHEAD = 256 * 1024 * 1024
"""Bytes that are read ahead, where more than two batches would be."""
_FEWEST_WAITING = 2
"""Threads for batches of other machines: one waits while another converts. Two read batches
of 256 as fast as four, with less processor time; four read batches of 32 nearly twice as fast."""
_MOST_WAITING = 16
_FEWEST_ON_CLUSTER = 4
"""Tasks that a cluster is given at once, though it has no workers yet: it may start some then."""


def require_way(scheduler: str, threads: int | None = None) -> None:
    """Refuses what batches cannot be read by.

    Raises:
        ArgumentError: There is no such scheduler, or threads are asked for where a cluster reads.
    """
    require_scheduler(scheduler, "threads", "direct")
    if is_cluster(scheduler) and threads is not None:
        raise ArgumentError(
            f"threads {threads}: the workers of a cluster have threads of their own; leave it out "
            "or choose another scheduler",
            "threads",
        )


@contextmanager
def kept_open(scheduler: str) -> Iterator[None]:
    """Keeps one connection to the cluster, if it is one, for all batches that are read inside."""
    if not is_cluster(scheduler):
        yield
        return
    with connected(scheduler, direct=True):
        yield


def filled(
    layouts: Sequence[Layout],
    parts: Sequence[Numbers],
    room: Room,
    scales: Scales = None,
    threads: int | None = None,
    scheduler: str = "threads",
) -> Filled:
    """Yields the parts of the samples one after the other, in memory that `room` gives.

    Args:
        layouts: Where the pixels lie.
        parts: Numbers of samples; each part is read as one.
        room: Gives the memory for a part.
        scales: What values of each layout are multiplied by where the memory is float32; None
            leaves them, as it does those of further layouts.
        threads: How many threads read; None: one for each processor, at most 4, or as many as keep
            requests in flight where shards are on other machines.
        scheduler: ``threads``, ``direct`` or the address of a cluster; see `Samples.to_batches`.

    Raises:
        SatimnetError: A shard or an image cannot be read, or no cluster answers.
    """
    if is_cluster(scheduler):
        return _by_cluster(layouts, parts, room, scales, scheduler)
    if threads is None:
        threads = _threads_for(layouts, parts)
    if scheduler == "direct":
        return _directly(layouts, parts, room, scales, threads)
    return _by_threads(layouts, parts, room, scales, threads)


def _threads_for(layouts: Sequence[Layout], parts: Sequence[Numbers]) -> int:
    """How many threads read where nobody says it."""
    threads = min(4, os.cpu_count() or 1)
    if not _are_remote(layouts):
        return threads
    # a thread fetches a part: so many parts that requests never run out while one is converted
    ranges = max(map(len, parts), default=1) * sum(int(layout.start.shape[1]) for layout in layouts)
    return max(threads, _FEWEST_WAITING, min(_MOST_WAITING, 1 + 2 * AT_ONCE // max(1, ranges)))


def _are_remote(layouts: Sequence[Layout]) -> bool:
    return any(is_url(shard) for layout in layouts for shard in layout.shards)


def _cuts(rows: Numbers, threads: int, *, remote: bool) -> list[Numbers]:
    """Which of the rows threads read by themselves.

    Ranges of other machines are put together over a whole part.
    """
    pieces = 1 if remote else max(1, threads)
    return [cut for cut in np.array_split(np.arange(len(rows)), pieces) if len(cut)]


def _depth(
    layouts: Sequence[Layout], parts: Sequence[Numbers], threads: int, *, remote: bool
) -> int:
    """How many parts are read ahead of the one that is waited for.

    One keeps all threads busy, unless it has fewer samples than there are threads.
    """
    if not remote:
        threads = -(-threads // max(1, max(map(len, parts), default=1)))
    return min(threads, _most(parts, layouts, 4))


# --- on threads of this process -------------------------------------------------------------------


def _by_threads(
    layouts: Sequence[Layout],
    parts: Sequence[Numbers],
    room: Room,
    scales: Scales,
    threads: int,
) -> Filled:
    """By dask's threads, which share each part."""
    with ExitStack() as stack:
        readers = [stack.enter_context(Reader(layout)) for layout in layouts]
        remote = any(reader.remote for reader in readers)
        depth = _depth(layouts, parts, threads, remote=remote)
        pool = waiting = None
        if threads:
            pool = stack.enter_context(ThreadPoolExecutor(threads))
            # dask's call returns when its graph is computed: a thread waits for each
            waiting = stack.enter_context(ThreadPoolExecutor(depth + 1))

        def start(rows: Numbers) -> tuple[list[Tensor], Future[_Failures] | None]:
            buffers = room(rows)
            arrays = [buffer.numpy() for buffer in buffers]
            if waiting is None:  # nothing to share: dask would take 0.5 ms for each part
                _raise_first([_fill(readers, rows, arrays, scales)])
                return buffers, None
            graph = {}  # by hand: dask.delayed would take 1 ms for each
            for k, cut in enumerate(_cuts(rows, threads, remote=remote)):
                own = [array[cut[0] : cut[-1] + 1] for array in arrays]
                graph[f"piece-{k}"] = (partial(_fill, readers, rows[cut], own, scales),)
            return buffers, waiting.submit(threaded.get, graph, list(graph), pool=pool)

        ahead: deque[tuple[list[Tensor], Future[_Failures] | None]] = deque()
        for k, rows in enumerate(parts):
            for following in parts[k + len(ahead) : k + 1 + depth]:
                ahead.append(start(following))
            buffers, future = ahead.popleft()
            if future is not None:
                _raise_first(future.result())
            yield rows, buffers
            del buffers


_Failures = Sequence[Exception | None]


def _fill(
    readers: Sequence[Reader], rows: Numbers, arrays: list[Array], scales: Scales
) -> Exception | None:
    """Reads into the arrays, and lets go of them: dask keeps the task a moment longer.

    What goes wrong is returned. If it were raised, the task that fails first would say what is
    wrong, and not the one that stands first.
    """
    try:
        read_together(readers, rows, arrays, _scales_for(arrays, scales))
    except Exception as error:
        return error
    finally:
        arrays.clear()
    return None


def _raise_first(failures: _Failures) -> None:
    for failure in failures:
        if failure is not None:
            raise failure


def _scales_for(arrays: Sequence[Array], scales: Scales) -> list[float | None]:
    """What is multiplied here: masks never are, and stored values not before they are float32."""
    given = (*(scales or ()), *[None] * len(arrays))
    return [scale if array.dtype == np.float32 else None for array, scale in zip(arrays, given)]


def _most(parts: Sequence[Numbers], layouts: Sequence[Layout], item: int | None) -> int:
    """How many parts may be held ahead: two, or as many as fit into `_AHEAD`."""
    return max(2, _AHEAD // _size(parts, layouts, item))


def _size(parts: Sequence[Numbers], layouts: Sequence[Layout], item: int | None) -> int:
    """Bytes of the largest part. A value has `item` bytes; None: as many as in the files."""
    count = max(map(len, parts), default=1)
    return sum(
        (item or layout.dtype.itemsize) * prod(layout.buffer_shape(count)) for layout in layouts
    )


# --- without dask ---------------------------------------------------------------------------------


def _directly(
    layouts: Sequence[Layout],
    parts: Sequence[Numbers],
    room: Room,
    scales: Scales,
    threads: int,
) -> Filled:
    """By a pool of threads that share each part."""
    with ExitStack() as stack:
        readers = [stack.enter_context(Reader(layout)) for layout in layouts]
        pool = stack.enter_context(ThreadPoolExecutor(max(1, threads)))
        stack.callback(pool.shutdown, cancel_futures=True)
        remote = any(reader.remote for reader in readers)
        depth = _depth(layouts, parts, threads, remote=remote)

        def start(rows: Numbers) -> tuple[list[Tensor], list[Future[None]]]:
            buffers = room(rows)
            arrays = [buffer.numpy() for buffer in buffers]
            factors = _scales_for(arrays, scales)
            futures = []
            for cut in _cuts(rows, threads, remote=remote):
                own = [array[cut[0] : cut[-1] + 1] for array in arrays]
                if threads:
                    futures.append(pool.submit(read_together, readers, rows[cut], own, factors))
                else:
                    read_together(readers, rows[cut], own, factors)
            return buffers, futures

        ahead: deque[tuple[list[Tensor], list[Future[None]]]] = deque()
        for k, rows in enumerate(parts):
            for following in parts[k + len(ahead) : k + 1 + depth]:
                ahead.append(start(following))
            buffers, futures = ahead.popleft()
            for future in futures:
                future.result()
            yield rows, buffers
            del buffers


# --- on a cluster ---------------------------------------------------------------------------------


def _by_cluster(
    layouts: Sequence[Layout],
    parts: Sequence[Numbers],
    room: Room,
    scales: Scales,
    address: str,
) -> Filled:
    """By the workers of a dask cluster: a part is a task, which is told where its bytes lie.

    Workers send the values as they are stored, which are fewer bytes than float32. They are
    converted here.
    """
    from distributed import as_completed

    with connected(address, direct=True) as client:
        depth = min(_tasks_for(client), _most(parts, layouts, None))
        # It fetches results while the caller works; they come in any order.
        fetched = as_completed(loop=client.loop, with_results=True, raise_errors=False)
        results: dict[str, Any] = {}
        ahead: deque[ClusterFuture[list[Array]]] = deque()
        try:
            for k, rows in enumerate(parts):
                for following in parts[k + len(ahead) : k + 1 + depth]:
                    own = [layout.take(following) for layout in layouts]
                    ahead.append(client.submit(partial(read_stored, own), pure=False))
                    fetched.add(ahead[-1])
                future = ahead.popleft()
                while future.key not in results:
                    other, result = next(fetched)
                    results[other.key] = result
                result = results.pop(future.key)
                if future.status != "finished":
                    raise _failure(future.status, result, address, layouts, rows)
                buffers = room(rows)
                arrays = [buffer.numpy() for buffer in buffers]
                factors = _scales_for(arrays, scales)
                for array, stored, factor in zip(arrays, result, factors, strict=True):
                    np.copyto(array, stored, casting="unsafe")
                    if factor is not None:
                        np.multiply(array, factor, out=array)
                del future, result, stored, array, arrays
                yield rows, buffers
                del buffers
        finally:
            fetched.clear()
            client.cancel(list(ahead))


def read_stored(layouts: Sequence[Layout]) -> list[Array]:
    """Reads all samples of layouts, in stored order and dtype: the task of a worker."""
    arrays = [
        np.empty(layout.buffer_shape(len(layout)), layout.dtype.newbyteorder("="))
        for layout in layouts
    ]
    with ExitStack() as stack:
        readers = [stack.enter_context(Reader(layout)) for layout in layouts]
        rows = np.arange(len(layouts[0]))
        read_together(readers, rows, arrays, [None] * len(arrays))
    return arrays


def _tasks_for(client: Client) -> int:
    """How many tasks keep the workers busy: one for each thread, and one that it goes on with."""
    threads: dict[str, int] = client.nthreads()
    return max(_FEWEST_ON_CLUSTER, 2 * sum(threads.values()))


def _failure(
    status: str | None, result: Any, address: str, layouts: Sequence[Layout], rows: Numbers
) -> BaseException:
    """Why a task has no result."""
    from distributed import KilledWorker

    if status != "error":  # cancelled or lost
        return StorageError(f"{address}: the dask cluster has gone away; start it, and begin again")
    error: BaseException = result[1]
    if isinstance(error, SatimnetError):
        return error
    if isinstance(error, KilledWorker):
        first = layouts[0]
        shard = first.shards[int(first.shard[rows[0], 0])]
        return StorageError(
            f"{shard}: workers of {address} died when they read a batch from here; "
            "look into their logs, or choose another scheduler"
        )
    if isinstance(error, ModuleNotFoundError):
        return StorageError(
            f"{address}: {error.name} is not installed for its workers; "
            f"{how_to_install('training', 'distributed')} there"
        )
    return error
