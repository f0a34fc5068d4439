"""Panels of pictures: a scene in true colours with a scale bar, a map in those of its classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.imagery.colours import Colour, Picture, natural, true_colour_names, unlike
from satimnet.builder.imagery.grids import lonlat_of
from satimnet.builder.imagery.scenes import Scene, reading
from satimnet.training.maps.legends import Entry, Legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

LONGEST = 900
"""Pixels of the longer side of a panel, roughly."""
UNSEEN = "no observation"
_BAR = 0.3  # a scale bar is at most so much of a panel's width


@dataclass(frozen=True)
class MapPanel:
    """A map as it is drawn.

    present: the classes that occur, with their share of the observed pixels. unseen: the colour of
    pixels without an observation, None where there are none.
    """

    picture: Picture
    present: tuple[tuple[Entry, float], ...]
    unseen: Colour | None


def scene_panel(scene: Scene, bands: Sequence[str]) -> Picture | None:
    """The scene in true colours, white where nothing was observed; None without such bands.

    Args:
        scene: The scene.
        bands: Names of its bands.
    """
    colours = true_colour_names(bands)
    if not colours:
        return None
    with reading(scene) as opened:
        values, valid = opened.overview(LONGEST)
    (visible,) = natural([values[[bands.index(band) for band in colours]]], [valid])
    visible[~valid] = 255
    return visible


def map_panel(file: Path, legend: Legend) -> MapPanel:
    """The map in the colours of its classes; large ones are thinned out."""
    import rasterio

    with rasterio.open(file) as image:
        step = max(1, max(image.shape) / LONGEST)
        shape = tuple(max(1, round(length / step)) for length in image.shape)
        labels: NDArray[np.uint8] = image.read(1, out_shape=shape)
    blank = unlike([entry.colour for entry in legend.entries])
    palette = np.full((256, 3), blank, np.uint8)
    counts = np.bincount(labels.ravel(), minlength=256)
    unseen, counts[legend.nodata] = counts[legend.nodata], 0
    for entry in legend.entries:
        palette[entry.value] = entry.colour
    total = max(1, counts.sum())
    present = tuple((e, counts[e.value] / total) for e in legend.entries if counts[e.value])
    return MapPanel(palette[labels], present, blank if unseen else None)


def patches(classes: Iterable[tuple[str, Colour]]) -> list[Any]:
    """What a legend of matplotlib takes: a patch of colour for each label."""
    from matplotlib.patches import Patch

    return [
        Patch(facecolor=f"#{bytes(colour).hex()}", edgecolor="0.4", linewidth=0.5, label=label)
        for label, colour in classes
    ]


def draw_scale_bar(axes: Axes, scene: Scene) -> None:
    """Draws a bar of a round length into the lower left corner of an image that fills the axes."""
    from matplotlib import patheffects

    length = bar_length(scene)
    share = length / (pixel_width(scene) * scene.shape[1])
    label = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    edge = [patheffects.withStroke(linewidth=2.5, foreground="black")]
    line = [patheffects.withStroke(linewidth=5.5, foreground="black")]
    where: dict[str, Any] = {"transform": axes.transAxes, "clip_on": False}
    axes.plot(
        [0.04, 0.04 + share],
        [0.05, 0.05],
        color="white",
        linewidth=3,
        path_effects=line,
        solid_capstyle="butt",
        **where,
    )
    axes.text(
        0.04, 0.075, label, color="white", fontsize=8, va="bottom", path_effects=edge, **where
    )


def bar_length(scene: Scene) -> float:
    """Metres of a scale bar: 1, 2 or 5 times a power of ten, at most 0.3 of the scene's width."""
    most = _BAR * pixel_width(scene) * scene.shape[1]
    power: float = 10.0 ** floor(log10(most))
    return next(factor * power for factor in (5, 2, 1) if factor * power <= most)


def pixel_width(scene: Scene) -> float:
    """Metres on the ground from a pixel in the middle of the scene to the next in its row."""
    from pyproj import Geod

    a, b, c, d, e, f = scene.transform
    row, column = scene.shape[0] / 2, scene.shape[1] / 2
    columns = np.array([column - 0.5, column + 0.5])
    lon, lat = lonlat_of(scene.crs, a * columns + b * row + c, d * columns + e * row + f)
    _, _, metres = Geod(ellps="WGS84").inv(lon[0], lat[0], lon[1], lat[1])
    return float(metres)
