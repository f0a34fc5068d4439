"""Class histograms: how many Items of a collection have each class, as a picture of a few kB."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from satimnet.builder.errors import printable
from satimnet.builder.imagery.colours import class_colours

if TYPE_CHECKING:
    import pyarrow as pa

HISTOGRAM_NAME = "class-histogram.svg"
HISTOGRAM_ASSET = {
    "href": f"./{HISTOGRAM_NAME}",
    "type": "image/svg+xml",
    "title": "Items of each class",
    "roles": ["graphic"],
}
"""Asset of the Collection."""

_MOST = 100
"""Classes that are drawn; the others are counted."""
_LABEL, _BAR, _COUNT = 250, 460, 90  # pixels: width of names, of the longest bar, of numbers
_ROW, _TOP = 20, 44
_LONGEST = 36  # characters of a name


def write_histogram(
    collection: Mapping[str, Any], tables: Sequence[pa.Table], folder: Path
) -> bool:
    """Writes ``class-histogram.svg``. An Item with several classes counts once for each.

    Args:
        collection: The Collection as JSON.
        tables: Its rows as `satimnet.builder.catalog.item_columns.item_schema` has them.
        folder: Where the picture is written.

    Returns:
        Whether there is a picture; where no Item has a class there is none.
    """
    counts = _counts(tables)
    if not counts:
        return False
    rows = [row for row in collection["summaries"]["classification:classes"] if row["value"] != 0]
    (folder / HISTOGRAM_NAME).write_text(_svg(collection, rows, counts), encoding="utf-8")
    return True


def _counts(tables: Sequence[pa.Table]) -> Counter[str]:
    import pyarrow.compute as pc

    counts = Counter[str]()
    for table in tables:
        for row in pc.value_counts(pc.list_flatten(table["satimnet:classes"])).to_pylist():
            if row["values"] is not None:
                counts[row["values"]] += row["counts"]
    return counts


def _svg(
    collection: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], counts: Counter[str]
) -> str:
    hints = class_colours([row.get("color_hint") for row in rows])
    colours = {row["name"]: bytes(hint).hex() for row, hint in zip(rows, hints, strict=True)}
    most = max(counts.values())
    lines = []
    for at, row in enumerate(rows[:_MOST]):
        number, y = counts[row["name"]], _TOP + _ROW * at
        width = round(_BAR * number / most, 1)
        lines += [
            f'<text x="{_LABEL - 8}" y="{y + 14}" text-anchor="end">{_title(row)}</text>',
            f'<rect x="{_LABEL}" y="{y + 3}" width="{width:g}" height="{_ROW - 6}" '
            f'fill="#{colours[row["name"]]}" stroke="#8888"/>',
            f'<text x="{_LABEL + width + 6:g}" y="{y + 14}">{number:,}</text>',
        ]
    height = _TOP + _ROW * min(len(rows), _MOST) + 12
    if len(rows) > _MOST:
        more = f"and {len(rows) - _MOST} more classes"
        lines.append(f'<text x="{_LABEL}" y="{height + 6}">{more}</text>')
        height += _ROW
    size = f'width="{_LABEL + _BAR + _COUNT}" height="{height}"'
    title = f"{_text(collection['title'])}: items of each class"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
            'font-family="sans-serif" font-size="12" fill="#1c1c1e">',
            f"<title>{title}</title>",
            '<rect width="100%" height="100%" fill="#fff"/>',
            f'<text x="16" y="26" font-size="16">{title}</text>',
            *lines,
            "</svg>\n",
        ]
    )


def _title(row: Mapping[str, Any]) -> str:
    title = row.get("title") or row["name"]
    return _text(title if len(title) <= _LONGEST else f"{title[: _LONGEST - 1]}…")


def _text(text: str) -> str:
    return escape(printable(text))
