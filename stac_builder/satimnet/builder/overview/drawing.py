"""Drawing: pictures with captions on one page. Knows arrays and words, no files.

A page is as wide as `WIDTH` and as high as it takes. The same content gives the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from satimnet.builder.imagery.colours import Colour, Picture

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont

WIDTH = 1336
"""Width of a page in pixels: it fits most windows, and in six columns a patch of 64 pixels is shown
at exactly three times its size."""

_MARGIN, _GAP = 32, 12
_MOST_COLUMNS = 6
_BLANK = 0  # a row of the page in which nothing stands
_INK, _GREY, _PANEL = (28, 28, 30), (110, 110, 115), (238, 238, 240)
_EDGE = (170, 170, 175)  # around dots that are nearly as white as the page
_MOST_LINES = 3
_DOT, _TO_TEXT, _TO_NEXT = 11, 6, 20  # diameter of a tag's dot, and the gaps that follow
_LARGEST = 1_500_000  # bytes
# PNG keeps noise as it is. Without its last two bits a photograph takes a third less and looks the
# same; where that is not enough, a third bit goes.
_BITS = (6, 5)
_LEVEL = 2  # of libdeflate; the first one takes longer for rows that are like those above


@dataclass(frozen=True)
class Tag:
    """A word with its colour, red, green and blue."""

    text: str
    colour: Colour


@dataclass(frozen=True)
class Tile:
    """One sample: its pictures, side by side, and what stands below them."""

    pictures: tuple[Picture | str, ...]
    """Square; smaller ones than `PageLayout.size` are enlarged. A text instead says why there is no
    picture."""
    caption: str
    note: str
    """Stands grey at the right end of the caption's line."""
    tags: tuple[Tag, ...]


@dataclass(frozen=True)
class PageLayout:
    """How tiles lie on a page."""

    columns: int
    pictures: int
    """Number of pictures of a tile."""

    @property
    def tile(self) -> int:
        """Width of a tile in pixels."""
        return (WIDTH - 2 * _MARGIN + 2 * _GAP) // self.columns - 2 * _GAP

    @property
    def size(self) -> int:
        """Width and height of a picture in pixels."""
        return (self.tile - (self.pictures - 1) * _GAP // 2) // self.pictures


def layout_of(tiles: int, pictures: int) -> PageLayout:
    """A layout in which so many tiles, each of one or two pictures, fill a page that is no tower.

    Of those that leave the fewest places empty it is the one with the largest pictures; from two
    rows of six on, rows are full.
    """
    if pictures == 2:
        return PageLayout(3 if tiles > 6 else 2, pictures)
    if tiles >= 2 * _MOST_COLUMNS:
        return PageLayout(_MOST_COLUMNS, pictures)
    wide = [columns for columns in range(2, _MOST_COLUMNS + 1) if ceil(tiles / columns) <= columns]
    return PageLayout(min(wide, key=lambda columns: -tiles % columns), pictures)


def draw_sheet(
    title: str, subtitle: str, tiles: Sequence[Tile], layout: PageLayout, legend: Sequence[Tag]
) -> bytes:
    """Draws tiles in rows, a title above and the legend below.

    Args:
        title: Stands large at the top.
        subtitle: Stands grey below it.
        tiles: In the order in which they are read.
        layout: How they lie.
        legend: Stands below the tiles, if there is any.

    Returns:
        A PNG of at most about 1.5 MB.
    """
    page, pictures = _draw_page(title, subtitle, tiles, layout, legend)
    for bits in _BITS:
        for (x, y), picture in pictures:
            own = enlarged(_coarser(picture, bits), layout.size)
            page[y : y + layout.size, x : x + layout.size] = own
        data = _png(page)
        if len(data) <= _LARGEST:
            break
    return data


def enlarged(picture: Picture, size: int) -> Picture:
    """The picture with so many pixels a side: its own, larger. Smoothed they would tell no more,
    and a page would take three times the bytes."""
    if len(picture) == size:
        return picture
    at = np.arange(size) * len(picture) // size
    return picture.take(at, 1).take(at, 0)  # columns first: whole rows are soon copied


def _png(page: Picture) -> bytes:
    """The page as PNG, each row as its difference from the one above.

    Pillow tries all filters on each row and has zlib: more than twice the time for more bytes.
    """
    from deflate import crc32, zlib_compress

    height, width, bands = page.shape
    rows = page.reshape(height, width * bands)
    filtered = np.empty((height, 1 + width * bands), np.uint8)
    filtered[:, 0] = 2  # "up", https://www.w3.org/TR/png-3/#9Filter-types
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits; red, green, blue
    chunks = ((b"IHDR", header), (b"IDAT", zlib_compress(filtered.data, _LEVEL)), (b"IEND", b""))
    parts = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc32(name + data))
        for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _draw_page(
    title: str,
    subtitle: str,
    tiles: Sequence[Tile],
    layout: PageLayout,
    legend: Sequence[Tag],
) -> tuple[Picture, list[tuple[tuple[int, int], Picture]]]:
    """The page without its pictures, and these with their left upper corners.

    Words are written on a page that has no room for pictures, as Pillow takes long for what is
    white, and its rows are moved apart.
    """
    from PIL import Image, ImageFont

    big, normal, small = (ImageFont.load_default(size) for size in (34, 17, 15))
    pen = _Pen()
    rows = [tiles[at : at + layout.columns] for at in range(0, len(tiles), layout.columns)]
    flows = [
        [list(_flow(pen, tile.tags, small, layout.tile, _MOST_LINES)) for tile in row]
        for row in rows
    ]
    heights = [34 + 21 * max(map(len, flow), default=0) + _GAP for flow in flows]
    lines = list(_flow(pen, legend, normal, WIDTH - 2 * _MARGIN, None))
    top = _MARGIN + 92
    bottom = top + sum(heights) + (28 * len(lines) + 22 if lines else 0)
    words = Image.new("RGB", (WIDTH, bottom + _MARGIN // 2), "white")
    pen.take(words)
    right = WIDTH - 2 * _MARGIN
    pictures: list[tuple[tuple[int, int], Picture]] = []
    moved: list[NDArray[np.int64]] = [np.arange(top)]
    pen.write((_MARGIN, _MARGIN - 6), _cut(pen, title, big, right), _INK, big)
    pen.write((_MARGIN, _MARGIN + 44), _cut(pen, subtitle, normal, right), _GREY, normal)
    y = top
    for number, (row, flow, height) in enumerate(zip(rows, flows, heights, strict=True)):
        for column, (tile, tags) in enumerate(zip(row, flow, strict=True)):
            x = _MARGIN + column * (layout.tile + 2 * _GAP)
            for at, picture in enumerate(tile.pictures):
                left = x + at * (layout.size + _GAP // 2)
                if isinstance(picture, str):
                    picture = _panel(picture, layout.size, small)
                pictures.append(((left, y + number * layout.size), picture))
            below = y + 7
            noted = pen.length(tile.note, small)
            caption = _cut(pen, tile.caption, normal, layout.tile - noted - _GAP)
            pen.write((x, below), caption, _INK, normal)
            pen.write((x + layout.tile - noted, below + 2), tile.note, _GREY, small)
            _draw_flow(pen, tags, small, x, below + 25, 21)
        moved += [np.full(layout.size, _BLANK), np.arange(y, y + height)]
        y += height
    if lines:
        pen.draw.line((_MARGIN, y, WIDTH - _MARGIN, y), _PANEL, 2)
        _draw_flow(pen, lines, normal, _MARGIN, y + 16, 28)
    moved.append(np.arange(y, words.height))
    return np.asarray(words)[np.concatenate(moved)], pictures


def _panel(text: str, size: int, font: Font) -> Picture:
    """What stands for a picture that is not there."""
    from PIL import Image, ImageDraw

    panel = Image.new("RGB", (size, size), _PANEL)
    ImageDraw.Draw(panel).text((size / 2, size / 2), text, _GREY, font, "mm")
    return np.asarray(panel)


def _coarser(picture: Picture, bits: int) -> Picture:
    """The picture in 2^bits steps a colour, from black to white."""
    steps = picture >> np.uint8(8 - bits) << np.uint8(8 - bits)
    return steps | (steps >> np.uint8(bits))


class _Pen:
    """Writes on a page. The same words stand there often: each is measured and drawn once, as the
    font's outlines take longer than all pictures."""

    def __init__(self) -> None:
        from PIL import Image

        self.take(Image.new("RGB", (1, 1)))
        self.length = cache(self._length)
        self._tag = cache(self._drawn_tag)

    def take(self, page: Image) -> None:
        """Writes on this page from now on."""
        from PIL import ImageDraw

        self._page, self.draw = page, ImageDraw.Draw(page)

    def write(self, at: tuple[float, float], text: str, ink: Colour, font: Font) -> None:
        """Writes a text with its left upper corner there."""
        if text:
            self.draw.text(at, text, ink, font)

    def write_tag(self, left: float, middle: float, tag: Tag, font: Font) -> None:
        """Draws a tag, the middle of its dot at this height."""
        picture = self._tag(tag, font)
        self._page.paste(picture, (round(left), round(middle) - picture.height // 2))

    def _length(self, text: str, font: Font) -> float:
        """Width of a text in pixels."""
        return self.draw.textlength(text, font)

    def _drawn_tag(self, tag: Tag, font: Font) -> Image:
        from PIL import Image, ImageDraw

        start = _DOT + _TO_TEXT
        picture = Image.new("RGB", (ceil(start + self.length(tag.text, font)) + 2, 20), "white")
        draw, middle = ImageDraw.Draw(picture), picture.height // 2
        dot = (0, middle - _DOT // 2, _DOT - 1, middle + _DOT // 2)
        draw.ellipse(dot, tag.colour, _EDGE if sum(tag.colour) > 600 else tag.colour)
        draw.text((start, middle), tag.text, _INK, font, anchor="lm")
        return picture


def _flow(
    pen: _Pen, tags: Sequence[Tag], font: Font, width: float, most: int | None
) -> Iterator[list[tuple[float, Tag]]]:
    """Lines of tags with their distances from the left; tags beyond ``most`` lines are counted."""

    def length(text: str) -> float:
        return _DOT + _TO_TEXT + pen.length(text, font)

    rest = length(f"+ {len(tags)} more") + _TO_NEXT
    line: list[tuple[float, Tag]] = []
    number, x = 1, 0.0
    for at, tag in enumerate(tags):
        if line and x + length(tag.text) > (width - rest if number == most else width):
            if number == most:
                yield [*line, (x, Tag(f"+ {len(tags) - at} more", _PANEL))]
                return
            yield line
            line, number, x = [], number + 1, 0.0
        room = width - rest if number == most and at + 1 < len(tags) else width
        text = _cut(pen, tag.text, font, room - _DOT - _TO_TEXT)
        line.append((x, Tag(text, tag.colour)))
        x += length(text) + _TO_NEXT
    if line:
        yield line


def _draw_flow(
    pen: _Pen,
    lines: Sequence[Sequence[tuple[float, Tag]]],
    font: Font,
    left: float,
    top: float,
    step: int,
) -> None:
    for at, line in enumerate(lines):
        middle = top + at * step + 9
        for offset, tag in line:
            pen.write_tag(left + offset, middle, tag, font)


def _cut(pen: _Pen, text: str, font: Font, width: float) -> str:
    """The text; if it is wider than ``width`` pixels, without its middle: ids differ at the end."""
    cut, left = text, len(text)
    while left and pen.length(cut, font) > width:
        left -= 1
        cut = text[: left - left // 2] + "…" + text[len(text) - left // 2 :]
    return cut
