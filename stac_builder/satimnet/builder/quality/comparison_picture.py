"""The picture of a comparison of sources: for each band a box a source, as SVG without any file."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from satimnet.builder.quality.source_comparison import BandComparison, rounded

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Of the sources: M. Okabe and K. Ito's, told apart by everybody (jfly.uni-koeln.de/color)."""
_WIDTH, _LEFT, _RIGHT = 1000, 150, 90
_ROW, _GAP, _TOP, _LEGEND = 15, 12, 12, 22
_TICKS = 6


def draw_comparison(comparisons: Sequence[BandComparison]) -> str:
    """An SVG element: line from 2 to 98 %, box from 25 to 75 %, a dot for the usual mean.

    Bands that differ are named in red, with the largest distance in standard deviations.
    """
    labels = {d.source: d.label for c in comparisons for d in c.distributions}
    colours = {name: _COLOURS[at % len(_COLOURS)] for at, name in enumerate(labels)}
    least = min(0.0, *(d.quantile(0.02) for c in comparisons for d in c.distributions))
    most = max(d.quantile(0.98) for c in comparisons for d in c.distributions)
    step = _step((most - least) or 1.0)
    rows = sum(len(c.distributions) for c in comparisons)
    top = _TOP + _LEGEND * len(labels) + 6
    height = top + rows * _ROW + len(comparisons) * _GAP + 24
    scale = (_WIDTH - _LEFT - _RIGHT) / ((most - least) or 1.0)
    root = Element(
        "svg",
        {
            "viewBox": f"0 0 {_WIDTH} {height}",
            "role": "img",
            "class": "comparison",
            "xmlns": "http://www.w3.org/2000/svg",
            "font-size": "12",
        },
    )
    SubElement(root, "title").text = "Values of the same band in several sources"

    def x(value: float) -> float:
        return _LEFT + (value - least) * scale

    for at, (name, label) in enumerate(labels.items()):
        middle = _TOP + at * _LEGEND + 5
        _box(root, _LEFT, middle - 5, 22, 10, colours[name])
        _text(root, _LEFT + 30, middle + 4, label)
    _text(root, _WIDTH - 16, top - 6, "mean", anchor="end", soft=True)
    value = floor(least / step) * step
    while value <= most:
        if value >= least:
            place = {"x1": f"{x(value):.1f}", "x2": f"{x(value):.1f}"}
            lines = {"y1": f"{top}", "y2": f"{height - 20}", "stroke": "#8886"}
            SubElement(root, "line", place | lines)
            _text(root, x(value), height - 6, f"{value:,g}", anchor="middle", soft=True)
        value += step
    y = float(top)
    for comparison in comparisons:
        half = _ROW * len(comparison.distributions) / 2
        far = max(one.deviations for one in comparison.distances)
        words = f"{comparison.band} · {far:.1f} sd"
        _text(root, _LEFT - 12, y + half + 4, words, anchor="end", differs=comparison.differs)
        for one in comparison.distributions:
            centre, colour = y + _ROW / 2, colours[one.source]
            low, first, third, high = (x(one.quantile(q)) for q in (0.02, 0.25, 0.75, 0.98))
            ends = {"x1": f"{low:.1f}", "x2": f"{high:.1f}"}
            ends |= {"y1": f"{centre:.1f}", "y2": f"{centre:.1f}"}
            SubElement(root, "line", ends | {"stroke": colour, "stroke-width": "1.5"})
            _box(root, first, centre - 5, max(third - first, 1), 10, colour)
            dot = {"cx": f"{x(one.mean):.1f}", "cy": f"{centre:.1f}", "r": "3"}
            SubElement(root, "circle", dot | {"fill": "#fff", "stroke": "#000"})
            _text(root, _WIDTH - 16, centre + 4, rounded(one.mean), anchor="end")
            y += _ROW
        y += _GAP
    return ElementTree.tostring(root, encoding="unicode")


def _step(span: float) -> float:
    """A round number that makes some `_TICKS` steps of a span."""
    power: float = 10.0 ** floor(log10(span / _TICKS))
    return next(power * k for k in (1, 2, 5, 10) if power * k * _TICKS >= span)


def _box(parent: Element, x: float, y: float, width: float, height: float, colour: str) -> None:
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{width:.1f}", "height": f"{height}"}
    SubElement(parent, "rect", place | {"fill": colour, "rx": "2"})


def _text(
    parent: Element,
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    soft: bool = False,
    differs: bool = False,
) -> None:
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}
    place["class"] = "differs" if differs else "soft" if soft else "plain"
    SubElement(parent, "text", place).text = words
