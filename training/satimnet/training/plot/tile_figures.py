"""Tile figures: pictures in rows, with a title on each and one legend, by matplotlib."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from satimnet.builder.imagery.colours import Colour, Picture
from satimnet.training.plot.class_legends import LegendEntry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TILE, _LARGEST_TILE = 1.75, 3.5
"""Inches a side of a picture at least, and of one alone."""
_WIDTH = 7.0
"""Inches that the pictures of a row fill together, if there are few."""
_LINE = 0.17
"""Inches of a line of its title."""
_GAP = 0.1
"""Inches between pictures."""
_NARROWEST = 2.4
"""Inches that a figure is wide at least, for its legend."""
_MOST_COLUMNS = 6
_MOST_ENTRIES = 24
"""Entries of a legend; the others are counted."""
_MISSING = (238, 238, 240)


@dataclass(frozen=True)
class Tile:
    """One picture, and what is drawn and written on it."""

    picture: Picture | None
    title: str = ""
    note: str = ""
    """Stands grey below the title."""
    colour: str = "black"
    """Of the title."""
    missing: str = ""
    """What stands in the place of a picture that is not there."""
    outlines: Mapping[Colour, Sequence[NDArray[np.float64]]] = field(default_factory=dict)
    """Rings (point, xy) by their colour, in pixels of the picture."""


def draw_tiles(
    tiles: Sequence[Tile], legend: Sequence[LegendEntry] = (), columns: int | None = None
) -> Figure:
    """Draws tiles in rows, and the legend below."""
    across = columns or _columns_for(len(tiles))
    down = ceil(len(tiles) / across)
    side = min(_LARGEST_TILE, max(_TILE, _WIDTH / across))
    tall = side * max(map(_tallness, tiles))
    above = _LINE * max(bool(one.title) + bool(one.note) for one in tiles)
    width = max(_NARROWEST, across * (side + _GAP) + _GAP)
    entries = _shortened(legend)
    longest = max((len(entry.title) for entry in entries), default=0)
    per_line = max(1, min(len(entries), int(width / (0.4 + 0.075 * longest))))
    below = 0.22 * ceil(len(entries) / per_line) + _GAP if entries else 0
    height = down * (above + tall + _GAP) + _GAP + below
    figure = new_figure(width, height)
    left = (width - across * (side + _GAP) + _GAP) / 2
    for at, tile in enumerate(tiles):
        row, column = divmod(at, across)
        x = left + column * (side + _GAP)
        y = height - _GAP - row * (above + tall + _GAP) - above - tall
        _draw(figure.add_axes((x / width, y / height, side / width, tall / height)), tile)
    if entries:
        _draw_legend(figure, entries, per_line)
    return figure


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches, which belongs to nobody but its caller; notebooks show it."""
    from matplotlib.figure import Figure

    if "ipykernel" in sys.modules and find_spec("matplotlib_inline"):
        import matplotlib_inline.backend_inline  # noqa: F401  # tells notebooks how to show figures
    return Figure(figsize=(width, height))


def _columns_for(count: int) -> int:
    """Columns that leave the fewest places of a wide page empty."""
    wide = [n for n in range(1, _MOST_COLUMNS + 1) if ceil(count / n) <= n]
    return min(wide or [_MOST_COLUMNS], key=lambda n: (-count % n, -n))


def _tallness(tile: Tile) -> float:
    """How tall the place of a picture is, by its width: scenes that lie down need no square."""
    if tile.picture is None:
        return 1.0
    height, width = tile.picture.shape[:2]
    return min(1.0, float(height / width))


def _draw(axes: Axes, tile: Tile) -> None:
    from matplotlib.collections import LineCollection

    axes.axis("off")
    axes.set_anchor("N")  # so that the titles of a row stand on one line
    if tile.picture is None:
        axes.imshow(np.full((1, 1, 3), _MISSING, np.uint8))
        text = axes.text(0, 0, tile.missing, ha="center", va="center", fontsize=7, wrap=True)
        text.set_parse_math(False)
    else:
        axes.imshow(tile.picture, interpolation="nearest")
        height, width = tile.picture.shape[:2]
        for colour, rings in tile.outlines.items():
            # coordinates count from the outer corner of the first pixel, axes from its middle
            closed = [np.concatenate([ring, ring[:1]]) - 0.5 for ring in rings]
            axes.add_collection(LineCollection(closed, colors=[_hex(colour)], linewidths=1))
        axes.set_xlim(-0.5, width - 0.5)
        axes.set_ylim(height - 0.5, -0.5)
    # Titles are other people's texts: a dollar sign begins no formula.
    if tile.title:
        raised = 11 if tile.note else 3
        axes.set_title(tile.title, fontsize=8, color=tile.colour, pad=raised, parse_math=False)
    if tile.note:
        note = axes.annotate(
            tile.note,
            (0.5, 1),
            (0, 3),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=6,
            color="0.4",
        )
        note.set_parse_math(False)


def _draw_legend(figure: Figure, entries: Sequence[LegendEntry], columns: int) -> None:
    from matplotlib.patches import Patch

    patches = [
        Patch(facecolor=_hex(entry.colour), edgecolor="0.4", linewidth=0.5) for entry in entries
    ]
    # a label that begins with an underscore would be left out
    labels = [f" {entry.title}" for entry in entries]
    legend = figure.legend(
        patches, labels, loc="lower center", ncols=columns, fontsize=8, frameon=False, borderpad=0
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _shortened(legend: Sequence[LegendEntry]) -> list[LegendEntry]:
    if len(legend) <= _MOST_ENTRIES:
        return list(legend)
    rest = len(legend) - _MOST_ENTRIES + 1
    return [*legend[: _MOST_ENTRIES - 1], LegendEntry(f"and {rest} more", _MISSING)]


def _hex(colour: Colour) -> str:
    return f"#{bytes(colour).hex()}"
