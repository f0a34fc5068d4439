"""Contact sheets: one picture of each collection, to be seen at a glance.

It has a few samples, chosen so that they show as many classes, splits and shards as possible, each
with its mask in the colours of the class table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from satimnet.builder.catalog.rows_to_items import items_of
from satimnet.builder.imagery.colours import Picture, natural, plain, rgb
from satimnet.builder.overview.drawing import Tag, Tile, draw_sheet, enlarged, layout_of
from satimnet.builder.overview.previews import View, mask_of, read_views
from satimnet.builder.overview.representatives import ranked
from satimnet.builder.samples import SPLITS

if TYPE_CHECKING:
    import pyarrow as pa

    from satimnet.builder.catalog.items import Item

OVERVIEW_NAME = "overview.png"
OVERVIEW_ASSET = {
    "href": f"./{OVERVIEW_NAME}",
    "type": "image/png",
    "title": "Contact sheet: some samples, their masks and classes",
    "roles": ["overview", "thumbnail"],
}
"""Asset of the Collection."""

_MOST_PLAIN, _MOST_MASKED = 24, 12
_FEW_PLAIN, _FEW_ITEMS = 12, 1000
"""Samples that are shown of a collection of so few Items, unless it has more classes: each takes
as long as packing ten of them."""
_RESERVE = 6  # candidates more than tiles, for those that turn out to be unreadable
_FILL = 0.3
"""Opacity of a mask over its image; outlines are opaque."""
_GREY = (150, 150, 150)
_ENOUGH = 32
"""Pixels a side of an image that tell how it is stretched; all would take ten times as long."""


def write_overview(
    collection: Mapping[str, Any], tables: Sequence[pa.Table], folder: Path, index: str
) -> bool:
    """Writes ``overview.png``. Samples that cannot be read are left out.

    Args:
        collection: The Collection as JSON.
        tables: Its rows as `satimnet.builder.catalog.item_columns.item_schema` has them, one table
            for each shard.
        folder: Where the picture is written.
        index: Place of the index that the hrefs of the rows count from.

    Returns:
        Whether there is a picture; without a readable sample there is none.
    """
    classes = {row["name"]: row for row in collection["summaries"]["classification:classes"]}
    labels = _labels_of(collection)
    number = _MOST_PLAIN
    if sum(map(len, tables)) < _FEW_ITEMS:
        shown_classes = sum(row["value"] != 0 for row in classes.values())
        number = min(max(_FEW_PLAIN, shown_classes), number)
    rows = ranked(tables, number + _RESERVE)
    candidates = items_of(rows, index)
    masked = any(mask_of(item) is not None for item in candidates)
    most = _MOST_MASKED if masked else number
    layout = layout_of(min(most, len(candidates)), 2 if masked else 1)
    shown = list(read_views(candidates, collection, layout.size, most))
    if not shown:
        return False
    shown.sort(key=lambda one: _place(one.item, classes))
    pictures = [one if not masked else enlarged(one, layout.size) for one in _pictures(shown)]
    tiles = [_tile(one, picture, classes, labels, masked) for one, picture in zip(shown, pictures)]
    # a single class stands below its picture, and needs no legend
    colourful = masked or any(len(tile.tags) > 1 for tile in tiles)
    legend = _legend(shown, classes, labels) if colourful else ()
    page = draw_sheet(collection["title"], _subtitle(collection, tables), tiles, layout, legend)
    (folder / OVERVIEW_NAME).write_bytes(page)
    return True


def _pictures(shown: Sequence[View]) -> list[Picture]:
    """Pictures of the values: what is no picture yet is stretched, all images together."""
    pictures = {
        at: plain(
            one.values if one.values.dtype == np.uint8 else one.values.clip(0, 255).astype(np.uint8)
        )
        for at, one in enumerate(shown)
        if not one.raw
    }
    for count in {len(one.values) for one in shown if one.raw}:
        raw = [at for at, one in enumerate(shown) if one.raw and len(one.values) == count]
        values = [shown[at].values for at in raw]
        pictures |= zip(raw, natural(values, [_some(one) for one in values]), strict=True)
    return [pictures[at] for at in range(len(shown))]


def _some(image: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels on a grid, bool (y, x): enough to tell what is dark and what is bright."""
    height, width = image.shape[1:]
    found = np.zeros((height, width), np.bool_)
    step = max(1, min(height, width) // _ENOUGH)
    found[step // 2 :: step, step // 2 :: step] = True
    return found


def _labels_of(collection: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The class table of masks that show other classes than the collection's."""
    for asset in collection["item_assets"].values():
        if "mask" in asset["roles"] and "classification:classes" in asset:
            return list(asset["classification:classes"])
    return []


def _tile(
    one: View,
    picture: Picture,
    classes: Mapping[str, Mapping[str, Any]],
    labels: Sequence[Mapping[str, Any]],
    masked: bool,
) -> Tile:
    pictures: tuple[Picture | str, ...] = (picture,)
    if masked:
        second = (
            "no mask"
            if one.mask is None
            else _overlaid(picture, one.mask, one.outlines, classes, labels or classes.values())
        )
        pictures = (picture, second)
    split = one.item["properties"].get("satimnet:split")
    note = ", ".join(word for word in (split, "detail" if one.detail else None) if word)
    return Tile(pictures, one.item["id"], note, tuple(_tags(one, classes)))


def _tags(one: View, classes: Mapping[str, Mapping[str, Any]]) -> Iterator[Tag]:
    """The classes of the whole sample, with the number of objects or else their share of it."""
    properties = one.item["properties"]
    statistics = {row["class"]: row for row in properties.get("satimnet:statistics", ())}
    for name in _names(one.item, classes):
        row = statistics.get(name, {})
        amount = ""
        if "count" in row:
            amount = f" {row['count']:,}"
        elif "pixels" in row:
            amount = f" {row['pixels'] / one.area:.0%}"
        yield Tag(_title(classes[name]) + amount, _colour(classes[name]))
    if properties.get("satimnet:classes") == []:
        yield from (Tag(_title(row), _GREY) for row in classes.values() if row["value"] == 0)


def _legend(
    shown: Sequence[View],
    classes: Mapping[str, Mapping[str, Any]],
    labels: Sequence[Mapping[str, Any]],
) -> list[Tag]:
    seen = {name for one in shown for name in _names(one.item, classes)}
    tags = [Tag(_title(row), _colour(row)) for name, row in classes.items() if name in seen]
    return tags + [Tag(f"mask: {_title(row)}", _colour(row)) for row in labels if row["value"]]


def _subtitle(collection: Mapping[str, Any], tables: Sequence[pa.Table]) -> str:
    import pyarrow.compute as pc

    splits = Counter[str]()
    for table in tables:
        for row in pc.value_counts(table["satimnet:split"]).to_pylist():
            if row["values"] is not None:
                splits[row["values"]] += row["counts"]
    items, licence = sum(map(len, tables)), collection["license"]
    rows = collection["summaries"]["classification:classes"]
    classes = sum(row["value"] != 0 for row in rows)
    return "  ·  ".join(
        [
            f"{items:,} item{'' if items == 1 else 's'}",
            f"{classes} class{'' if classes == 1 else 'es'}",
            *(f"{split} {splits[split]:,}" for split in SPLITS if split in splits),
            *([] if licence == "other" else [f"licence {licence}"]),
        ]
    )


def _place(item: Item, classes: Mapping[str, Mapping[str, Any]]) -> tuple[int, list[int]]:
    """The sort key that puts like beside like; samples without a class come last."""
    values = [classes[name]["value"] for name in _names(item, classes)]
    return 0 if values else 1 if "satimnet:classes" in item["properties"] else 2, values


def _names(item: Item, classes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names of the sample's classes in the order of the class table."""
    present = set(item["properties"].get("satimnet:classes", ()))
    return [name for name in classes if name in present]


def _title(row: Mapping[str, Any]) -> str:
    title: str = row.get("title") or row["name"]
    return title


def _colour(row: Mapping[str, Any]) -> tuple[int, int, int]:
    return rgb(row["color_hint"]) if "color_hint" in row else _GREY


def _overlaid(
    picture: Picture,
    mask: NDArray[Any],
    outlines: Sequence[tuple[str, NDArray[np.float64]]],
    classes: Mapping[str, Mapping[str, Any]],
    labels: Iterable[Mapping[str, Any]],
) -> Picture:
    """The picture under the mask in the colours of ``labels``: filled lightly, objects outlined.

    Where objects are not known one by one, the outlines are those of the mask.
    """
    from PIL import Image, ImageDraw

    colours = np.tile(np.array(_GREY, np.float32), (int(mask.max()) + 1, 1))
    for row in labels:
        if row["value"] < len(colours):
            colours[row["value"]] = _colour(row)
    filled = mask != 0
    opacity = np.where(filled, _FILL, 0.0)
    if not outlines:
        around = np.pad(mask, 1, "edge")
        neighbours = (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:])
        edge = np.logical_or.reduce([mask != neighbour for neighbour in neighbours])
        opacity[edge & filled] = 1.0
    mixed, below = picture.copy(), picture[filled]
    mixed[filled] = below + opacity[filled][:, None] * (colours[mask[filled]] - below)
    image = Image.fromarray(mixed)
    draw = ImageDraw.Draw(image)
    for name, ring in outlines:
        draw.line([(x, y) for x, y in ring.tolist()], _colour(classes[name]))
    return np.asarray(image)
