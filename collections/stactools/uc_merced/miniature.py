"""A miniature UC Merced in its official layout, with made-up pixels, for the demo and the tests.

Roofs, roads, trees, boats and the like are drawn as simple shapes at one foot a pixel, with shadows
to the lower right, so that the 21 classes look like themselves. Nothing in it is observed.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.ImageDraw import ImageDraw

    Rgb = tuple[int, int, int]

SIZE = 256
ODD_SIZES = {"agricultural01": (242, 256), "runway01": (257, 255)}
"""Rows and columns of the images that are not 256 x 256."""
ARCHIVE = "UCMerced_LandUse.zip"
_FOLDER = "UCMerced_LandUse"
_DATE = (2010, 10, 28, 0, 0, 0)

_GRASS, _DRY, _SOIL, _SAND = (104, 122, 78), (158, 146, 112), (142, 112, 84), (214, 196, 160)
_WATER, _ASPHALT, _CONCRETE = (58, 88, 98), (112, 112, 114), (186, 182, 174)
_TREE, _WHITE, _SHADOW = (52, 74, 46), (236, 234, 228), (46, 48, 52)
_ROOFS = ((150, 108, 92), (128, 124, 122), (176, 164, 150), (110, 96, 88))
_CARS = (_WHITE, (60, 64, 72), (150, 40, 40), (150, 156, 164), (52, 74, 110))


def write_miniature(folder: Path, per_class: int = 2, seed: int = 0) -> list[Path]:
    """Writes the archive, and a split list beside it, into ``folder``; returns the path of that.

    Of each class image 00 is listed for training. The same arguments give the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    archive, split = folder / ARCHIVE, folder / "uc_merced-train.txt"
    with zipfile.ZipFile(archive, "w") as zipped:

        def write(path: str, data: bytes) -> None:
            info = zipfile.ZipInfo(f"{_FOLDER}/{path}", _DATE)
            zipped.writestr(info, data, zipfile.ZIP_DEFLATED, compresslevel=1)

        write("readme.txt", b"Made-up pixels in the layout of UC Merced Land Use.\n")
        for at, name in enumerate(_SCENES):
            for number in range(per_class):
                pixels = scene(name, np.random.default_rng((seed, at, number)))
                rows, columns = ODD_SIZES.get(f"{name}{number:02d}", (SIZE, SIZE))
                write(f"Images/{name}/{name}{number:02d}.tif", tiff(pixels[:rows, :columns]))
    split.write_text("".join(f"{name}00.tif\n" for name in _SCENES))
    return [folder]


def scene(name: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Pixels (257, 256, 3) of an image of the class ``name``."""
    from PIL import Image, ImageDraw

    ground, draw = _SCENES[name]
    rough = 1 + 0.06 * _smooth(rng, 6) + 0.05 * _smooth(rng, 64)
    image = Image.fromarray(_bytes(np.array(ground) * rough[..., None]))
    draw(ImageDraw.Draw(image), rng)
    light = (1 + 0.04 * rng.standard_normal()) * (1 + 0.03 * _smooth(rng, 128))
    return _bytes(np.asarray(image) * light[..., None])


def tiff(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels (y, x, 3) as the files are: uncompressed, without georeference."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "TIFF")
    return stream.getvalue()


# --- shapes -------------------------------------------------------------------------------------


def _box(
    draw: ImageDraw,
    centre: tuple[float, float],
    size: tuple[float, float],
    colour: Rgb,
    angle: float = 0.0,
    height: float = 0.0,
) -> None:
    """A rectangle of ``size`` (along, across), turned by ``angle``, with a shadow if it is high."""
    along = np.array([np.cos(angle), np.sin(angle)]) * size[0] / 2
    across = np.array([-np.sin(angle), np.cos(angle)]) * size[1] / 2
    ring = np.array([-along - across, along - across, along + across, -along + across]) + centre
    if height:
        draw.polygon([(x, y) for x, y in ring + height], fill=_SHADOW)
    draw.polygon([(x, y) for x, y in ring], fill=colour)


def _disc(
    draw: ImageDraw, centre: tuple[float, float], radius: float, colour: Rgb, height: float = 0.0
) -> None:
    (x, y), r = centre, radius
    if height:
        draw.ellipse((x - r + height, y - r + height, x + r + height, y + r + height), fill=_SHADOW)
    draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)


def _trees(draw: ImageDraw, rng: np.random.Generator, count: int, radius: float) -> None:
    for _ in range(count):
        x, y, r = *rng.uniform(0, SIZE, 2), radius * rng.uniform(0.6, 1.3)
        shade = rng.uniform(0.8, 1.25)
        _disc(draw, (x, y), r, _tinted(_TREE, shade), height=r / 3)
        _disc(draw, (x - r / 4, y - r / 4), r / 2, _tinted(_TREE, shade * 1.2))


def _road(
    draw: ImageDraw, rng: np.random.Generator, angle: float, width: float, lanes: int, cars: int
) -> None:
    """A road through the middle, with dashed lines between its lanes and cars on them."""
    middle = np.array([SIZE / 2, SIZE / 2])
    ahead, across = (
        np.array([np.cos(angle), np.sin(angle)]),
        np.array([-np.sin(angle), np.cos(angle)]),
    )
    _box(draw, (middle[0], middle[1]), (500, width), _ASPHALT, angle)
    for lane in range(1, lanes):
        offset = width * (lane / lanes - 0.5)
        for step in range(-200, 201, 24):
            x, y = middle + ahead * step + across * offset
            _box(draw, (x, y), (10, 1.5), _WHITE, angle)
    for _ in range(cars):
        offset = width * ((rng.integers(lanes) + 0.5) / lanes - 0.5)
        x, y = middle + ahead * rng.uniform(-150, 150) + across * offset
        _box(draw, (x, y), (15, 7), _any(rng, _CARS), angle, height=2)


def _houses(draw: ImageDraw, rng: np.random.Generator, pitch: int, size: float) -> None:
    """Streets with a row of houses on each side."""
    for street in range(pitch, SIZE, 3 * pitch):
        _box(draw, (SIZE / 2, street), (SIZE, pitch * 0.4), _ASPHALT)
        for row in (-1, 1):
            for x in range(pitch // 2, SIZE, pitch):
                at = x + rng.uniform(-3, 3), street + row * pitch * 0.9
                house = size * rng.uniform(0.8, 1.1), size * rng.uniform(0.7, 0.9)
                _box(draw, at, house, _any(rng, _ROOFS), height=4)
                _box(draw, at, (house[0], 1.5), _WHITE)
                _box(draw, (at[0] + size / 3, street + row * pitch * 0.4), (6, 12), _CONCRETE)


def _airplane(draw: ImageDraw, rng: np.random.Generator, centre: tuple[float, float]) -> None:
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(90, 130)
    ahead = np.array([np.cos(angle), np.sin(angle)]) * length
    for height, colour in ((6.0, _SHADOW), (0.0, _WHITE)):
        x, y = centre[0] + height, centre[1] + height
        _box(draw, (x, y), (length, length / 10), colour, angle)
        _box(draw, (x, y), (length / 7, length * 0.9), colour, angle)
        _box(draw, (x - ahead[0] * 0.45, y - ahead[1] * 0.45), (length / 10, 40), colour, angle)


# --- scenes -------------------------------------------------------------------------------------


def _agricultural(draw: ImageDraw, rng: np.random.Generator) -> None:
    slope, pitch = rng.uniform(-0.5, 0.5), rng.uniform(7, 12)
    for x in np.arange(-SIZE, 2 * SIZE, pitch):
        draw.line((x, 0, x + slope * SIZE, SIZE), fill=(92, 116, 62), width=int(pitch / 2))


def _airplanes(draw: ImageDraw, rng: np.random.Generator) -> None:
    for x in (0, 128, 256):
        draw.line((x, 0, x, SIZE), fill=(150, 148, 140), width=1)
    _airplane(draw, rng, (rng.uniform(90, 170), rng.uniform(90, 170)))


def _baseball(draw: ImageDraw, rng: np.random.Generator) -> None:
    x, y = rng.uniform(100, 150), rng.uniform(215, 235)
    draw.pieslice((x - 130, y - 130, x + 130, y + 130), 225, 315, fill=_SOIL)
    inside = [(x, y - 16), (x + 48, y - 64), (x, y - 112), (x - 48, y - 64)]
    draw.polygon(inside, fill=(96, 128, 68))
    _disc(draw, (x, y - 64), 8, _SOIL)
    for end in (-190, 190):
        draw.line((x, y, x + end, y - 190), fill=_WHITE, width=2)


def _beach(draw: ImageDraw, rng: np.random.Generator) -> None:
    y = np.arange(0, SIZE + 8, 8)
    shore = rng.uniform(100, 150) + 10 * np.sin(y / 40 + rng.uniform(0, 6))
    for offset, colour in ((14, _WHITE), (0, (92, 130, 134)), (-34, _WATER)):
        edge = np.column_stack((shore + offset, y)).ravel().tolist()
        draw.polygon([0, 0, *edge, 0, SIZE], fill=colour)


def _buildings(draw: ImageDraw, rng: np.random.Generator) -> None:
    for x in (66, 190):
        for y in (66, 190):
            size = rng.uniform(70, 100), rng.uniform(60, 95)
            _box(draw, (x, y), size, _any(rng, (_CONCRETE, *_ROOFS)), height=14)
            for _ in range(4):
                at = x + rng.uniform(-25, 25), y + rng.uniform(-20, 20)
                _box(draw, at, (9, 7), _WHITE, height=3)
    _trees(draw, rng, 8, 7)


def _dense(draw: ImageDraw, rng: np.random.Generator) -> None:
    _houses(draw, rng, 34, 29)


def _medium(draw: ImageDraw, rng: np.random.Generator) -> None:
    _houses(draw, rng, 52, 34)
    _trees(draw, rng, 20, 8)


def _sparse(draw: ImageDraw, rng: np.random.Generator) -> None:
    _trees(draw, rng, 60, 13)
    at = rng.uniform(90, 160), rng.uniform(90, 160)
    _disc(draw, at, 55, _GRASS)
    _box(draw, (at[0], at[1] + 90), (14, 180), _CONCRETE)
    _box(draw, at, (62, 36), _any(rng, _ROOFS), height=6)
    _box(draw, at, (62, 2), _WHITE)


def _freeway(draw: ImageDraw, rng: np.random.Generator) -> None:
    angle = rng.uniform(-0.6, 0.6)
    _road(draw, rng, angle, 120, 8, 12)
    _box(draw, (SIZE / 2, SIZE / 2), (500, 10), _DRY, angle)


def _golf(draw: ImageDraw, rng: np.random.Generator) -> None:
    _trees(draw, rng, 40, 11)
    draw.line((30, 250, *rng.uniform(90, 160, 2), 210, 40), fill=(118, 150, 82), width=70)
    _disc(draw, (205, 50), 30, (138, 172, 98))
    for _ in range(4):
        at = 190 + rng.uniform(-60, 40), 70 + rng.uniform(-30, 50)
        _disc(draw, at, rng.uniform(8, 14), _SAND)


def _harbor(draw: ImageDraw, rng: np.random.Generator) -> None:
    for x in (44, 128, 212):
        _box(draw, (x, SIZE / 2), (8, SIZE), _CONCRETE)
        for y in range(10, SIZE, 20):
            for side in (-1, 1):
                if rng.random() < 0.85:
                    length = rng.uniform(22, 32)
                    _box(draw, (x + side * (6 + length / 2), y), (length, 9), _WHITE, height=2)
                    _box(draw, (x + side * (4 + length / 2), y), (length / 3, 5), (90, 110, 140))


def _intersection(draw: ImageDraw, rng: np.random.Generator) -> None:
    for x in (40, 216):
        for y in (40, 216):
            _box(draw, (x, y), (60, 50), _any(rng, _ROOFS), height=7)
    _trees(draw, rng, 10, 8)
    angle = rng.uniform(-0.15, 0.15)
    _road(draw, rng, angle, 62, 4, 5)
    _road(draw, rng, angle + np.pi / 2, 62, 4, 5)
    _box(draw, (SIZE / 2, SIZE / 2), (61, 61), _ASPHALT, angle)


def _mobile_homes(draw: ImageDraw, rng: np.random.Generator) -> None:
    for x in (32, 96, 160, 224):
        if x in (32, 160):
            _box(draw, (x + 32, SIZE / 2), (13, SIZE), _ASPHALT)
        for y in range(12, SIZE, 26):
            _box(draw, (x, y), (46, 14), _any(rng, (_WHITE, _CONCRETE, _ROOFS[2])), 0.35, height=3)


def _overpass(draw: ImageDraw, rng: np.random.Generator) -> None:
    angle = rng.uniform(-0.3, 0.3)
    _road(draw, rng, angle, 90, 6, 8)
    _box(draw, (SIZE / 2 + 12, SIZE / 2), (500, 56), _SHADOW, angle + np.pi / 2)
    _box(draw, (SIZE / 2, SIZE / 2), (500, 56), _CONCRETE, angle + np.pi / 2)
    _road(draw, rng, angle + np.pi / 2, 50, 3, 4)


def _parking(draw: ImageDraw, rng: np.random.Generator) -> None:
    for y in range(14, SIZE, 42):
        for x in range(6, SIZE, 12):
            draw.line((x - 6, y - 9, x - 6, y + 9), fill=_WHITE, width=1)
            if rng.random() < 0.8:
                _box(draw, (x, y), (8, 16), _any(rng, _CARS), height=2)


def _river(draw: ImageDraw, rng: np.random.Generator) -> None:
    _trees(draw, rng, 120, 10)
    x = np.arange(-40, SIZE + 41, 8)
    y = SIZE / 2 + 30 * np.sin(x / rng.uniform(40, 60) + rng.uniform(0, 6))
    course = np.column_stack((x, y)).ravel().tolist()
    for width, colour in ((92, _SAND), (76, (66, 86, 76))):
        draw.line(course, fill=colour, width=width, joint="curve")


def _runway(draw: ImageDraw, rng: np.random.Generator) -> None:
    angle = rng.uniform(-0.8, 0.8)
    ahead = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-ahead[1], ahead[0]])
    _box(draw, (SIZE / 2, SIZE / 2), (500, 110), (92, 92, 94), angle)
    for step in range(-160, 161, 80):
        x, y = SIZE / 2 + ahead * step
        _box(draw, (x, y), (44, 3), _WHITE, angle)
    for side in (-48, 48):
        x, y = SIZE / 2 + across * side
        _box(draw, (x, y), (500, 2.5), _WHITE, angle)
    for offset in range(-40, 41, 10):
        x, y = SIZE / 2 + ahead * 110 + across * offset
        _box(draw, (x, y), (30, 4), _WHITE, angle)


def _tanks(draw: ImageDraw, rng: np.random.Generator) -> None:
    for x in (66, 190):
        for y in (66, 190):
            radius = rng.uniform(30, 50)
            _disc(draw, (x, y), radius + 6, _SOIL)
            _disc(draw, (x, y), radius, _WHITE, height=9)
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=_CONCRETE)


def _tennis(draw: ImageDraw, rng: np.random.Generator) -> None:
    colour = _any(rng, ((70, 104, 128), (72, 118, 92)))
    _box(draw, (SIZE / 2, SIZE / 2), (236, 176), (134, 92, 78))
    for x in (72, 184):
        _box(draw, (x, SIZE / 2), (56, 124), colour)
        draw.rectangle((x - 28, 66, x + 28, 190), outline=_WHITE, width=2)
        draw.rectangle((x - 21, 66, x + 21, 190), outline=_WHITE, width=1)
        for y in (94, 128, 162):
            draw.line((x - 28, y, x + 28, y), fill=_WHITE, width=1)
    _trees(draw, rng, 6, 9)


# Class to the colour of its ground and what is drawn on it.
_SCENES: dict[str, tuple[Rgb, Callable[[ImageDraw, np.random.Generator], None]]] = {
    "agricultural": (_SOIL, _agricultural),
    "airplane": (_CONCRETE, _airplanes),
    "baseballdiamond": (_GRASS, _baseball),
    "beach": (_SAND, _beach),
    "buildings": (_ASPHALT, _buildings),
    "chaparral": (_DRY, lambda draw, rng: _trees(draw, rng, 220, 6)),
    "denseresidential": (_DRY, _dense),
    "forest": (_TREE, lambda draw, rng: _trees(draw, rng, 500, 11)),
    "freeway": (_DRY, _freeway),
    "golfcourse": (_GRASS, _golf),
    "harbor": (_WATER, _harbor),
    "intersection": (_GRASS, _intersection),
    "mediumresidential": (_GRASS, _medium),
    "mobilehomepark": (_DRY, _mobile_homes),
    "overpass": (_DRY, _overpass),
    "parkinglot": (_ASPHALT, _parking),
    "river": (_GRASS, _river),
    "runway": (_DRY, _runway),
    "sparseresidential": (_GRASS, _sparse),
    "storagetanks": (_DRY, _tanks),
    "tenniscourt": (_GRASS, _tennis),
}


# --- pixels -------------------------------------------------------------------------------------


def _any(rng: np.random.Generator, colours: tuple[Rgb, ...]) -> Rgb:
    return _tinted(colours[rng.integers(len(colours))], rng.uniform(0.9, 1.1))


def _tinted(colour: Rgb, light: float) -> Rgb:
    red, green, blue = (min(255, int(part * light)) for part in colour)
    return red, green, blue


def _bytes(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.clip(values, 0, 255).astype(np.uint8)


def _smooth(rng: np.random.Generator, cells: int) -> NDArray[np.float64]:
    """Noise (257, 256) with mean 0 and deviation about 1, smooth over 256 / cells pixels."""
    from PIL import Image

    coarse = Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((SIZE, SIZE + 1), Image.Resampling.BICUBIC), dtype=np.float64)
