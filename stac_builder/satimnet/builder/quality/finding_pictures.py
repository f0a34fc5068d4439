"""Pictures of what a finding is about, small enough for a report that is one file."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.imagery.encoding import palette_of
from satimnet.builder.imagery.whole_images import Image
from satimnet.builder.overview.previews import mask_of, true_colour
from satimnet.builder.quality.findings import Ring
from satimnet.builder.quality.member_contents import Content, Shards, read_content

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from satimnet.builder.catalog.items import Item

_LARGEST = 240
"""Pixels a side of a picture; smaller images keep their pixels."""
_AROUND = 3  # an object is shown with so many times its size
_LEAST = 64  # pixels a side that are shown at least
_MARKER = (255, 40, 90)
_OUTSIDE = 90  # grey of what lies outside of the image
_GAMMA = 0.75  # brightens the shadows of values that are linear in light


def draw_item(
    item: Item, collection: CollectionDocument, outline: Ring = (), *, with_mask: bool = False
) -> Iterator[bytes]:
    """JPEG of an Item's image, then, if wanted, of its mask in the colours of its classes.

    With an ``outline``, in pixels, they show it and what is around it. What cannot be read is left
    out.
    """
    chosen = true_colour(item["assets"], collection.json.get("item_assets", {}))
    wanted = {key for key, _ in chosen}
    mask = mask_of(item) if with_mask else None
    assets = {k: a for k, a in item["assets"].items() if k in wanted or a is mask}
    with Shards() as shards:
        (shown,) = shards.ahead([item | {"assets": assets}])
        content = read_content(shown, shards)
    picture = _true_colour(content, chosen)
    if picture is not None:
        yield _encoded(*_cut(picture, outline))
    for raster in content.masks.values():
        palette = palette_of(collection.class_table)
        yield _encoded(*_cut(_coloured(raster[0], palette), outline))


def _true_colour(content: Content, chosen: list[tuple[str, int]]) -> NDArray[np.uint8] | None:
    """The picture, (y, x, colour)."""
    try:
        bands = [content.images[key][number - 1] for key, number in chosen]
    except LookupError:
        return None
    if not bands or len({band.shape for band in bands}) > 1:
        return None
    grey = _grey(np.stack(bands))
    picture: NDArray[np.uint8] = np.moveaxis(np.broadcast_to(grey, (3, *grey.shape[1:])), 0, 2)
    return picture.copy()


def _grey(image: Image) -> NDArray[np.uint8]:
    if image.dtype == np.uint8:
        pixels: NDArray[np.uint8] = image
        return pixels
    values = np.nan_to_num(image.astype(np.float32))
    low, high = np.percentile(values, (2, 98))
    stretched = ((values - low) / max(high - low, 1e-6)).clip(0, 1) ** _GAMMA * 255
    grey: NDArray[np.uint8] = stretched.astype(np.uint8)
    return grey


def _coloured(raster: NDArray[Any], palette: Mapping[int, tuple[int, int, int]]) -> Any:
    colours = np.full((256, 3), _OUTSIDE, np.uint8)
    for value, colour in palette.items():
        colours[value % 256] = colour
    return colours[raster.astype(np.int64) % 256]


def _cut(picture: NDArray[np.uint8], outline: Ring) -> tuple[NDArray[np.uint8], Ring]:
    """The part around the outline, and the outline in it; at most the image and its margin."""
    points = np.array(outline, dtype=float).reshape(-1, 2)
    if len(points) == 0 or not np.isfinite(points).all():
        return picture, ()
    rows, columns = picture.shape[:2]
    low, high = points.min(0), points.max(0)
    side = int(min(max(_AROUND * (high - low).max(), _LEAST), 2 * max(rows, columns)))
    middle = np.clip((low + high) / 2, -side / 2, np.array([columns, rows]) + side / 2)
    left, top = (middle - side / 2).round().astype(int)
    part = np.full((side, side, 3), _OUTSIDE, np.uint8)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, columns), min(top + side, rows)
    if x0 < x1 and y0 < y1:
        part[y0 - top : y1 - top, x0 - left : x1 - left] = picture[y0:y1, x0:x1]
    return part, tuple((float(x - left), float(y - top)) for x, y in points)


def _encoded(picture: NDArray[np.uint8], outline: Ring) -> bytes:
    from PIL import Image as Pillow
    from PIL import ImageDraw

    image = Pillow.fromarray(picture)
    scale = _LARGEST / max(image.size)
    if scale < 1 or outline:
        size = tuple(max(1, round(length * scale)) for length in image.size)
        method = Pillow.Resampling.BOX if scale < 1 else Pillow.Resampling.NEAREST
        image = image.resize((size[0], size[1]), method)
    if outline:
        ring = [(x * scale, y * scale) for x, y in (*outline, outline[0])]
        ImageDraw.Draw(image).line(ring, _MARKER, 2)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=88)
    return file.getvalue()
