"""Pictures of maps: the scene in its colours, and beside it the map with its legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from satimnet.builder.imagery.colours import natural, true_colour_names, unlike
from satimnet.builder.imagery.scenes import Scene, reading
from satimnet.builder.storage.atomic_files import writing
from satimnet.training.maps.legends import Legend

_LONGEST = 900
"""Pixels of the longer side of a panel, roughly."""
_WIDTH = 5.0
"""Inches of a panel."""


def draw(
    scene: Scene,
    bands: Sequence[str],
    maps: Mapping[str, tuple[Path, Legend]],
    file: Path,
) -> None:
    """Writes the picture as a PNG: true colours, if the bands have them, then each map.

    Under a map stand the classes that occur in it, with the share of the observed pixels that
    each has in the picture (where large scenes are thinned out). What was not observed is white in
    the scene, and in a map of a colour that no class has.
    """
    import rasterio
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    colours = true_colour_names(bands)
    rows, columns = scene.shape
    count = len(maps) + bool(colours)
    figure = Figure(
        figsize=(count * _WIDTH, _WIDTH * rows / columns + 0.4), dpi=150, layout="constrained"
    )
    panels = figure.subplots(1, count, squeeze=False)[0].tolist()
    for axes in panels:
        axes.set_axis_off()
    if colours:
        axes = panels.pop(0)
        with reading(scene) as opened:
            values, valid = opened.overview(_LONGEST)
        (visible,) = natural([values[[bands.index(band) for band in colours]]], [valid])
        visible[~valid] = 255
        axes.imshow(visible)
        axes.set_title(scene.id, fontsize=9)
    step = max(1, max(rows, columns) / _LONGEST)
    shape = (max(1, round(rows / step)), max(1, round(columns / step)))
    for axes, (path, legend) in zip(panels, maps.values(), strict=True):
        with rasterio.open(path) as image:
            labels = image.read(1, out_shape=shape)
        blank = unlike([entry.colour for entry in legend.entries])
        palette = np.full((256, 3), blank, np.uint8)
        counts = np.bincount(labels.ravel(), minlength=256)
        unseen, counts[legend.nodata] = counts[legend.nodata], 0
        handles: list[Any] = []
        for entry in legend.entries:
            palette[entry.value] = entry.colour
            share = counts[entry.value] / max(1, counts.sum())
            if share:
                colour = f"#{bytes(entry.colour).hex()}"
                label = f"{entry.title} {share:.1%}"
                handles.append(Patch(facecolor=colour, edgecolor="0.4", label=label))
        if unseen:
            colour = f"#{bytes(blank).hex()}"
            handles.append(Patch(facecolor=colour, edgecolor="0.4", label="no observation"))
        axes.imshow(palette[labels], interpolation="nearest")
        axes.set_title(path.stem.removeprefix(f"{scene.id}_").replace("_", ", "), fontsize=9)
        if handles:
            axes.legend(
                handles=handles,
                loc="upper center",
                bbox_to_anchor=(0.5, -0.02),
                ncols=2,
                fontsize=8,
                frameon=False,
            )
    with writing(file) as part:
        figure.savefig(part, format="png", bbox_inches="tight")
