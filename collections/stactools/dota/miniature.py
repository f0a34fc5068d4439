"""A miniature DOTA in its official layout, with made-up pixels, for the demo and the tests.

Six training, two validation and two test scenes of simple shapes on textured ground, drawn where
their labels are. The label files have the oddities of the real ones: CRLF, no header, ``gsd:null``,
coordinates outside the image, no "difficult", editions 1.0 and 1.5, upright boxes beside oriented
ones, a class that DOTA does not have, a label without its image.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DATE = (2018, 1, 1, 0, 0, 0)
_FINE = 3  # times finer than the image: shapes are drawn so and averaged, for smooth edges
_WHITE, _DARK, _BLUE = (235, 235, 230), (40, 42, 48), (60, 170, 215)

Colour = tuple[int, int, int]
Shape = tuple[tuple[float, float], ...]


def _box(left: float, top: float, right: float, bottom: float) -> Shape:
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def _round(radius: float = 0.5) -> Shape:
    turns = (2 * math.pi * step / 24 for step in range(24))
    return tuple((radius * math.cos(turn), radius * math.sin(turn)) for turn in turns)


_FULL = _box(-0.5, -0.5, 0.5, 0.5)
_HULL: Shape = ((-0.5, -0.4), (0.2, -0.5), (0.5, 0.0), (0.2, 0.5), (-0.5, 0.4))
_WINGS: Shape = (
    (-0.16, -0.5),
    (-0.06, -0.5),
    (0.12, 0.0),
    (-0.06, 0.5),
    (-0.16, 0.5),
    (-0.06, 0.0),
)
_TAIL: Shape = ((-0.5, -0.18), (-0.44, -0.18), (-0.34, 0.0), (-0.44, 0.18), (-0.5, 0.18))

SHAPES: Mapping[str, tuple[tuple[Shape, Colour], ...]] = {
    "ship": ((_HULL, _WHITE), (_box(-0.35, -0.25, -0.05, 0.25), (150, 60, 50))),
    "harbor": ((_FULL, (150, 145, 135)), (_box(-0.48, -0.1, 0.48, 0.1), (120, 116, 108))),
    "plane": ((_box(-0.46, -0.06, 0.5, 0.06), _WHITE), (_WINGS, _WHITE), (_TAIL, _WHITE)),
    "storage-tank": ((_round(), (225, 225, 220)), (_round(0.38), (205, 205, 200))),
    "small-vehicle": ((_FULL, (190, 40, 45)), (_box(-0.1, -0.35, 0.25, 0.35), _DARK)),
    "large-vehicle": ((_FULL, (230, 200, 80)), (_box(0.3, -0.45, 0.4, 0.45), _DARK)),
    "tennis-court": (
        (_FULL, (60, 120, 90)),
        (_box(-0.4, -0.4, 0.4, 0.4), _WHITE),
        (_box(-0.37, -0.34, 0.37, 0.34), (80, 110, 170)),
        (_box(-0.01, -0.45, 0.01, 0.45), _WHITE),
    ),
    "soccer-ball-field": (
        (_FULL, (75, 150, 60)),
        (_round(0.14), _WHITE),
        (_round(0.12), (75, 150, 60)),
        (_box(-0.005, -0.5, 0.005, 0.5), _WHITE),
    ),
    "swimming-pool": ((_FULL, (200, 200, 190)), (_box(-0.42, -0.38, 0.42, 0.38), _BLUE)),
    "bridge": ((_FULL, (165, 160, 150)), (_box(-0.5, -0.05, 0.5, 0.05), _WHITE)),
    "container-crane": (
        (_box(-0.5, -0.12, 0.5, 0.12), (240, 190, 30)),
        (_box(-0.3, -0.5, -0.18, 0.5), (240, 190, 30)),
        (_box(0.1, -0.5, 0.22, 0.5), (240, 190, 30)),
    ),
}
"""Class to its shapes, in a box from -0.5 to 0.5 both ways whose x runs along the object."""
_GROUNDS: Mapping[str, Colour] = {
    "water": (38, 66, 84),
    "concrete": (142, 140, 134),
    "asphalt": (88, 88, 90),
    "grass": (98, 122, 70),
    "soil": (150, 130, 104),
}


@dataclass(frozen=True)
class Placed:
    """An object to draw: the centre, length and width in pixels, direction in degrees.

    Example:
        >>> Placed("ship", 20, 10, 8, 4).placed(((-0.5, -0.5), (0.5, 0.5)))
        [(16.0, 8.0), (24.0, 12.0)]
    """

    name: str
    x: float
    y: float
    length: float
    width: float
    turn: float = 0.0
    difficult: int = 0

    def placed(self, shape: Shape) -> list[tuple[float, float]]:
        """Points of a shape in the object's box, as (x, y) in pixels of the image."""
        cos, sin = math.cos(math.radians(self.turn)), math.sin(math.radians(self.turn))
        points = ((u * self.length, v * self.width) for u, v in shape)
        return [(self.x + u * cos - v * sin, self.y + u * sin + v * cos) for u, v in points]


def write_miniature(folder: Path, seed: int = 0) -> list[Path]:
    """Writes the splits into ``folder`` and returns it; the same seed gives the same pixels."""
    train, val, test = folder / "train", folder / "val", folder / "test"
    scenes = _scenes()
    pictures = {name: picture(*scene, seed + at) for at, (name, scene) in enumerate(scenes.items())}
    said = {name: _text(scene[2]) for name, scene in scenes.items()}

    header = "imagesource:GoogleEarth\r\ngsd:0.25\r\n"
    v1 = {name: header + said[name] for name in ("P0000", "P0001", "P0002")}
    v1["P0004"] = said["P0004"].replace(" 0\r\n", "\r\n")  # an early file: no header, no difficult
    v1["P0005"] = f"imagesource:GF\r\ngsd:null\r\n{said['P0005']}"
    v1["P0001"] += "10 10 20 10 20 20 10 20 wind-turbine 0\r\n"
    v1["P0999"] = f"{header}5 5 9 5 9 9 5 9 ship 1\r\n"
    upright = {name: header + _text(scenes[name][2], upright=True) for name in v1 if name in scenes}
    later = {name: header + said[name] for name in ("P0000", "P0001", "P0003")}

    write_archive(train / "images" / "part1.zip", _named("images/", pictures, ("P0000", "P0001")))
    write_archive(
        train / "images" / "part2.zip",
        _named("images/", pictures, ("P0002", "P0003", "P0004", "P0005")),
    )
    write_archive(train / "labelTxt-v1.0" / "labelTxt.zip", _encoded("", v1))
    write_archive(
        train / "labelTxt-v1.0" / "Train_Task2_gt.zip", _encoded("trainset_reclabelTxt/", upright)
    )
    write_archive(train / "labelTxt-v1.5" / "DOTA-v1.5_train.zip", _encoded("", later))
    write_archive(test / "images" / "part1.zip", _named("images/", pictures, ("P0006", "P0007")))
    for path, data in (
        *_named("images/", pictures, ("P0008", "P0009")).items(),
        *_encoded("labelTxt/", {"P0008": header + said["P0008"], "P0009": header}).items(),
    ):
        (val / path).parent.mkdir(parents=True, exist_ok=True)
        (val / path).write_bytes(data)
    return [folder]


def _scenes() -> dict[str, tuple[str, tuple[int, int], list[Placed]]]:
    """Name to ground, (rows, columns) and objects of each scene."""
    row = range(6)
    moored = [Placed("ship", 70 + 44 * i, 122 + 9 * (i % 2), 52, 15, 82 + 3 * i) for i in row]
    planes = [Placed("plane", 70 + 100 * i, 90, 84, 80, 75 + 12 * i) for i in range(3)]
    planes += [Placed("plane", 120 + 110 * i, 215, 60, 56, 200 + 25 * i) for i in range(2)]
    tanks = [
        Placed("storage-tank", 60 + 75 * i, 60 + 75 * j, 46 + 8 * (i % 2), 46 + 8 * (i % 2))
        for i in range(4)
        for j in range(3)
    ]
    cars = [
        Placed("small-vehicle", 40 + 20 * i, 50 + 62 * j, 26, 12, 90 - 4 * j)
        for i in range(14)
        for j in range(3)
        if (3 * i + j) % 5
    ]
    trucks = [Placed("large-vehicle", 70 + 90 * i, 235, 66, 17, 4, i % 2) for i in range(3)]
    courts = [Placed("tennis-court", 75 + 88 * i, 75, 100, 54, 97) for i in range(3)]
    field = Placed("soccer-ball-field", 150, 215, 190, 110, 7)
    pools = [Placed("swimming-pool", 292, 190 + 42 * i, 34, 22, 15) for i in range(2)]
    pier = Placed("harbor", 160, 165, 330, 24, 2)  # runs over both edges of the image
    cranes = [Placed("container-crane", 80 + 90 * i, 160, 92, 26, 268) for i in range(3)]
    at_sea = [
        Placed("ship", 60 + 70 * i, 250 - 50 * i, 70 - 9 * i, 18, -20 - 30 * i) for i in row[:4]
    ]
    bridge = Placed("bridge", 150, 110, 420, 26, -24)
    return {
        "P0000": ("water", (260, 320), [*moored, pier]),
        "P0001": ("concrete", (280, 340), planes),
        "P0002": ("asphalt", (280, 330), [*cars, *trucks]),
        "P0003": ("water", (300, 300), [pier, *cranes, *at_sea[:2]]),
        "P0004": ("grass", (290, 330), [*courts, field, *pools]),
        "P0005": ("soil", (270, 350), tanks),
        "P0006": ("water", (260, 300), [bridge, *at_sea]),
        "P0007": ("asphalt", (220, 320), cars),
        "P0008": ("water", (300, 320), [bridge, *at_sea[1:]]),
        "P0009": ("grass", (240, 240), []),
    }


def picture(ground: str, shape: tuple[int, int], objects: Iterable[Placed], seed: int) -> bytes:
    """The scene as PNG: RGB, or gray like a panchromatic image where the ground is soil."""
    from PIL import Image, ImageDraw

    rows, columns = shape
    rng = np.random.default_rng((seed, 1))
    base = np.array(_GROUNDS[ground]) * _light(rng, rows, columns)[..., None]
    fine = Image.fromarray(np.clip(base, 0, 255).astype(np.uint8))
    fine = fine.resize((columns * _FINE, rows * _FINE), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(fine)
    for item in sorted(objects, key=lambda o: -o.length * o.width):
        for outline, colour in SHAPES[item.name]:
            draw.polygon([(x * _FINE, y * _FINE) for x, y in item.placed(outline)], fill=colour)
    small = np.asarray(fine.resize((columns, rows), Image.Resampling.BOX), dtype=float)
    noisy = small + rng.normal(0, 4, (rows, columns, 1))
    image = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    stream = io.BytesIO()
    (image.convert("L") if ground == "soil" else image).save(stream, "PNG")
    return stream.getvalue()


def _light(rng: np.random.Generator, rows: int, columns: int) -> NDArray[np.float64]:
    """Brightness of the ground, (rows, columns), around 1: blotches of two sizes."""
    from PIL import Image

    light = np.ones((rows, columns))
    for cells, depth in ((6, 0.05), (40, 0.04)):
        blotches = Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
        light += depth * np.asarray(blotches.resize((columns, rows), Image.Resampling.BICUBIC))
    return light


def _text(objects: Iterable[Placed], *, upright: bool = False) -> str:
    """Lines of a label file: corners rounded to whole pixels, as the publisher's mostly are."""
    lines = []
    for item in objects:
        corners = item.placed(_FULL)
        if upright:
            xs, ys = zip(*corners, strict=True)
            corners = list(_box(min(xs), min(ys), max(xs), max(ys)))
        numbers = " ".join(f"{x:.0f} {y:.0f}" for x, y in corners)
        lines.append(f"{numbers} {item.name} {item.difficult}\r\n")
    return "".join(lines)


def _named(folder: str, pictures: Mapping[str, bytes], names: Iterable[str]) -> dict[str, bytes]:
    return {f"{folder}{name}.png": pictures[name] for name in names}


def _encoded(folder: str, texts: Mapping[str, str]) -> dict[str, bytes]:
    return {f"{folder}{name}.txt": text.encode() for name, text in texts.items()}


def write_archive(path: Path, files: Mapping[str, bytes]) -> None:
    """A zip of files by their paths in it, always of the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), data, zipfile.ZIP_DEFLATED)
