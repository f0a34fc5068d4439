"""Class values of strips, computed here or by the workers of a dask cluster."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from satimnet.builder.errors import SatimnetError
from satimnet.builder.imagery.scenes import Scene
from satimnet.builder.storage.parallel import (
    connected,
    in_one_line,
    is_cluster,
    require_same_version,
)
from satimnet.builder.storage.worker import from_here
from satimnet.training.devices import pick_device
from satimnet.training.maps.labelling import of_patches, of_pixels, refined
from satimnet.training.maps.legends import legend_of
from satimnet.training.maps.strips import STRIP, Strip, strip_at, strips
from satimnet.training.networks.checkpoints import Checkpoint

if TYPE_CHECKING:
    from distributed import Future

Labels = list[NDArray[np.uint8]]
"""Of each output of a network, the class values (y, x) of a strip."""

_FEWEST = 4  # tasks that a cluster has at one time


@dataclass(frozen=True)
class Work:
    """What is mapped, and with what.

    finder: the CNN-class that finds the patches to be mapped, see `refined`. device: of workers;
    None: the GPU of each if it has one.
    """

    scene: Scene
    trained: Checkpoint
    finder: Checkpoint | None = None
    device: str | None = None


def labels_from(work: Work, start: int, scheduler: str) -> Iterator[tuple[int, Labels]]:
    """The strips from the row `start` on, in order: the row after each, and its class values.

    scheduler: ``direct``, or the address of a dask cluster, each of whose workers opens the scene.
    Raises `SatimnetError` when pixels cannot be read, here or there.
    """
    if is_cluster(scheduler):
        yield from _by_cluster(work, start, scheduler)
        return
    for strip in strips(work.scene, work.trained.mean, start):
        yield strip.bottom, _labels(work, strip)


def _labels(work: Work, strip: Strip) -> Labels:
    trained = work.trained
    if work.finder is not None:
        found = refined(trained, work.finder, strip)
    else:
        found = of_pixels(trained, strip) if trained.dense else of_patches(trained, strip)
    made = []
    for output, indices in zip(trained.outputs, found, strict=True):
        legend = legend_of(output)
        labels = legend.values[indices]
        labels[~strip.valid] = legend.nodata
        made.append(labels)
    return made


def _by_cluster(work: Work, start: int, address: str) -> Iterator[tuple[int, Labels]]:
    height = work.scene.shape[0]
    bands = tuple(replace(band, path=_anywhere(band.path)) for band in work.scene.bands)
    work = replace(work, scene=replace(work.scene, bands=bands))
    with connected(address) as client:
        require_same_version(client)
        most = max(_FEWEST, 2 * sum(client.nthreads().values()))
        tops = iter(range(start, height, STRIP))
        ahead: deque[tuple[int, Future[Labels | str]]] = deque()
        try:
            while True:
                while len(ahead) < most and (top := next(tops, None)) is not None:
                    ahead.append((top, client.submit(partial(_on_worker, work, top), pure=False)))
                if not ahead:
                    return
                top, future = ahead.popleft()
                with in_one_line():
                    found = future.result()
                if isinstance(found, str):
                    raise SatimnetError(found)
                yield min(top + STRIP, height), found
        finally:
            client.cancel([future for _, future in ahead])


def _on_worker(work: Work, top: int) -> Labels | str:
    """The task: the class values of a strip, or why there are none."""
    try:
        device = pick_device(work.device)
        for network in (work.trained, work.finder):
            if network is not None:
                network.model.to(device)
        return _labels(work, strip_at(work.scene, work.trained.mean, top))
    except SatimnetError as error:
        return from_here(str(error))


def _anywhere(path: str) -> str:
    """The path for workers, whose working folders are others."""
    return os.path.abspath(path) if os.path.exists(path) else path
