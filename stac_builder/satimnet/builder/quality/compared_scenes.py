"""Scenes that collections are compared with: the values of their bands."""

from __future__ import annotations

from collections.abc import Collection, Sequence, Set
from itertools import chain, count

import numpy as np

from satimnet.builder.errors import ArgumentError, BadFileError, printable
from satimnet.builder.imagery.scenes import QUANTIFICATION, Scene, band_names, open_scene, reading
from satimnet.builder.quality.source_comparison import PROBABILITIES, Distribution, SourceBands

_LONGEST = 2000
"""Pixels of a scene's longer side that are read; larger ones are thinned out."""


def read_scene(
    path: str,
    known: Set[str],
    taken: Collection[str] = (),
    *,
    order: Sequence[str] | None = None,
    offset: float = 0,
) -> SourceBands:
    """The values of those bands of a scene that are known.

    Bands may have several resolutions, as those of a Sentinel-2 product.

    Args:
        path: A Sentinel-2 product (its ``.SAFE`` folder), or any raster that GDAL reads.
        known: Names of the bands that collections have.
        taken: Names of other sources; a scene of such a name gets a number.
        order: Names of the bands of a raster that does not name them.
        offset: Added to the values of a raster.

    Raises:
        BadFileError: the scene cannot be read.
        ArgumentError: it has none of the bands, or `order` or `offset` does not go with it.
    """
    names = band_names(path, order)
    shared = [name for name in dict.fromkeys(names) if name in known]
    if not shared:
        listed = ", ".join(filter(None, names)) or "without names"
        raise ArgumentError(
            f"{path}: its bands ({listed}) are in no collection; there are "
            f"{', '.join(sorted(known)) or 'none'}",
            "compare",
        )
    scenes = [open_scene(path, [name], order=order, offset=offset) for name in shared]
    stem = printable(scenes[0].id)
    numbered = (f"{stem} {number}" for number in count(2))
    identity = next(name for name in chain([stem], numbered) if name not in taken)
    bands = {
        name: _distribution(scene, identity, path)
        for name, scene in zip(shared, scenes, strict=True)
    }
    scale = 1 / QUANTIFICATION, 0.0
    return SourceBands(identity, frozenset(), bands, dict.fromkeys(bands, scale), scene=True)


def _distribution(scene: Scene, identity: str, path: str) -> Distribution:
    """The distribution of the only band of a scene."""
    with reading(scene) as rows:
        values, valid = rows.overview(_LONGEST)
    seen = values[0][valid]
    if not seen.size:
        raise BadFileError(path, "none of its pixels was observed")
    quantiles = np.quantile(seen.astype(np.float64), PROBABILITIES)
    mean, spread = (float(of(seen, dtype=np.float64)) for of in (np.mean, np.std))
    return Distribution(identity, scene.level or "", 1, mean, spread, quantiles, scene=True)
