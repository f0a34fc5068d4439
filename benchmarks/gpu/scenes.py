"""A map of a scene as large as a tile of Sentinel-2, by each of the three networks.

The strips of the scene lie in memory and are all alike: reading it and writing the map is not
timed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from benchmarks.gpu.clock import Figures, Setting
from benchmarks.gpu.generated import BANDS
from benchmarks.gpu.networks import network
from satimnet.builder.imagery.scenes import Scene, StoredBand
from satimnet.training.devices import finished
from satimnet.training.maps.labelling import of_patches, of_pixels
from satimnet.training.maps.strips import STRIP, Strip
from satimnet.training.networks.models import MARGIN

_SIDE = 10_980
_FEW = 320
_MODELS = ("class", "segm", "dual")
_RESERVE = 200.0
"""Seconds that are left to the steps."""


def maps(setting: Setting) -> Iterator[Figures]:
    """A line for each network: pixels a second; where time runs out, of as many rows as it was."""
    side = _FEW if setting.small else _SIDE
    bands = tuple(StoredBand("none", k + 1, None) for k in range(len(BANDS)))
    scene = Scene("scene", None, bands, (side, side), "EPSG:32632", (10, 0, 0, 0, -10, 0))
    rng = np.random.default_rng(0)
    values = rng.random((len(BANDS), STRIP + 2 * MARGIN, side), np.float32) * 1000
    for model in _MODELS:
        checkpoint = network(model, setting.device, 8 if setting.small else None)
        classify = of_pixels if checkpoint.dense else of_patches
        classify(checkpoint, _strip(scene, values, 0))  # kernels are chosen
        finished(setting.device)
        rows, started = 0, time.perf_counter()
        for top in range(0, side, STRIP):
            strip = _strip(scene, values, top)
            classify(checkpoint, strip)
            rows = strip.bottom
            if setting.left < _RESERVE:
                break
        finished(setting.device)
        seconds = time.perf_counter() - started
        yield {
            "network": model,
            "rows": rows,
            "columns": side,
            "seconds": seconds,
            "pixels_per_second": rows * side / seconds,
        }


def _strip(
    scene: Scene, values: np.ndarray[tuple[int, ...], np.dtype[np.float32]], top: int
) -> Strip:
    """The strip from the row `top` on, as `strips` would read it."""
    height, width = scene.shape
    bottom = min(top + STRIP, height)
    first = max(0, min(top, height - 64) - MARGIN)
    last = min(bottom + MARGIN, height)
    valid = np.ones((bottom - top, width), np.bool_)
    return Strip(scene, top, bottom, first, values[:, : last - first], valid)
