"""The coarse outline of land that the explorer draws, for maps elsewhere."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def land_rings() -> list[NDArray[np.float64]]:
    """The outline of land, as rings.

    Natural Earth at 1:110 million (public domain), by way of world-atlas 2.0.2, cut at 180 degrees
    and thinned. ``land.txt``, of which the page is made as well, has them in tenths of a degree,
    each number the step from the one before it.

    Returns:
        Rings, each float64 (point, 2): longitude and latitude in degrees.

    Example:
        >>> rings = land_rings()
        >>> rings[0].shape[1], float(rings[0].min()) >= -180
        (2, True)
    """
    import numpy as np

    text = (files("satimnet.builder.explorer") / "page" / "land.txt").read_text()
    rings = (re.findall(r"-?\d+", ring) for ring in text.split(";"))
    steps = (np.array(ring, np.int64).reshape(-1, 2) for ring in rings)
    return [ring.cumsum(axis=0) / 10 for ring in steps]
