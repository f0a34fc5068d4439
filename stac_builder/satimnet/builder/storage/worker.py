"""The worker of a dask cluster that this code runs on, if it does: its name, and room for files."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Worker


def scratch_parent() -> str | None:
    """The folder that the worker was given for what it writes; None elsewhere.

    dask empties it when a worker ends, or starts again there after a kill.
    """
    worker = _this()
    return None if worker is None else str(worker.local_directory)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder of this worker or process alone, as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="satimnet-", dir=scratch_parent()) as folder:
        yield Path(folder)


def from_here(message: str) -> str:
    """The message, with the name of the worker before it if this is one."""
    worker = _this()
    return message if worker is None else f"worker {called(worker.name, worker.address)}: {message}"


def called(name: object, address: str) -> str:
    """How messages call a worker: by its address, and its name if that is another.

    Example:
        >>> called("node-3", "tcp://10.0.0.3:40331"), called(0, "tcp://10.0.0.3:40331")
        ('node-3 (tcp://10.0.0.3:40331)', '0 (tcp://10.0.0.3:40331)')
        >>> called("tcp://10.0.0.3:40331", "tcp://10.0.0.3:40331")
        'tcp://10.0.0.3:40331'
    """
    return address if str(name) == address else f"{name} ({address})"


def _this() -> Worker | None:
    workers = sys.modules.get("distributed.worker")  # elsewhere it need not be loaded
    try:
        return None if workers is None else workers.get_worker()
    except ValueError:  # this is no worker
        return None
