"""A miniature xView in its official layout, with made-up pixels, for the demo and the tests.

Three training scenes (a town, a port, an airfield with tanks) and one for validation, drawn where
their boxes are, on made-up ground somewhere in the sea. The label file has the oddities of the real
one: features of an image that is not there, class numbers without a name, an empty box. Two of the
scenes are there in 8 bands, too, at four times the pixel size as WorldView-3 takes them: of that
edition no real file was seen.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PIXEL = 0.3  # metres
_DEGREE = 111_320.0  # metres on the equator
_COARSER = 4  # pixels of the 8 bands a side, in those of the pan-sharpened image
_ALSO_IN_8_BANDS = ("train_images/10.tif", "val_images/27.tif")

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]
"""Columns left <= x < right, rows top <= y < bottom: left, top, right, bottom."""

_WHITE, _GREY, _DARK = (232, 232, 228), (128, 128, 126), (44, 46, 52)
_ROOFS: tuple[Colour, ...] = ((168, 92, 70), (150, 148, 144), (196, 186, 168), (120, 108, 100))
_CARS: tuple[Colour, ...] = (_WHITE, (170, 30, 36), (40, 70, 140), (30, 32, 36), (190, 190, 60))
_CONTAINERS: tuple[Colour, ...] = ((190, 70, 40), (40, 90, 150), (60, 130, 80), (210, 170, 60))


@dataclass(frozen=True)
class _Scene:
    """Pixels (rows, columns, 3) to draw on, and the boxes of what was drawn."""

    pixels: NDArray[np.float64]
    rng: np.random.Generator
    objects: list[tuple[int, Box]] = field(default_factory=list)
    """Class number and box."""

    def fill(self, box: Box, colour: Colour) -> None:
        left, top, right, bottom = box
        self.pixels[max(top, 0) : bottom, max(left, 0) : right] = colour

    def building(self, box: Box, type_id: int = 73) -> None:
        left, top, right, bottom = box
        self.fill((left + 3, top + 3, right + 4, bottom + 4), (48, 50, 48))  # its shadow
        roof = red, green, blue = self._one_of(_ROOFS)
        self.fill(box, roof)
        self.fill((left, top, right, (top + bottom) // 2), (red + 18, green + 18, blue + 18))
        self.objects.append((type_id, box))

    def vehicle(self, box: Box, type_id: int = 18, colour: Colour | None = None) -> None:
        left, top, right, bottom = box
        self.fill(box, colour or self._one_of(_CARS))
        across = (right - left) // 3, (bottom - top) // 3
        self.fill((left + across[0], top + across[1], right - across[0], bottom - across[1]), _DARK)
        self.objects.append((type_id, box))

    def disc(self, box: Box, type_id: int, colour: Colour) -> None:
        left, top, right, bottom = box
        y, x = np.mgrid[top:bottom, left:right] + 0.5
        across, down = (right - left) / 2, (bottom - top) / 2
        far = ((x - left - across) / across) ** 2 + ((y - top - down) / down) ** 2
        part = self.pixels[top:bottom, left:right]
        part[far < 1] = colour
        part[far < 0.5] = tuple(0.9 * value for value in colour)
        self.objects.append((type_id, box))

    def _one_of(self, colours: tuple[Colour, ...]) -> Colour:
        return colours[self.rng.integers(len(colours))]


def write_miniature(folder: Path, seed: int = 0) -> list[Path]:
    """Writes images and labels into ``folder`` and returns it; the same seed gives the same."""
    from rasterio import Affine

    degrees = _PIXEL / _DEGREE
    geographic = Affine(degrees, 0, -30.25, 0, -degrees, 0.5)
    utm = Affine(_PIXEL, 0, 500_300.0, 0, -_PIXEL, 99_700.0)
    images = {  # path: what is drawn, (rows, columns), CRS, transform
        "train_images/10.tif": (_town, (400, 440), "EPSG:4326", geographic),
        "train_images/104.tif": (_port, (360, 460), "EPSG:32626", utm),
        "train_images/2355.tif": (
            _airfield,
            (380, 380),
            "EPSG:4326",
            Affine.translation(0.01, 0) @ geographic,
        ),
        "val_images/27.tif": (_town, (320, 360), "EPSG:32626", Affine.translation(900, 0) @ utm),
    }
    features = []
    for at, (path, (draw, shape, crs, transform)) in enumerate(images.items()):
        rng = np.random.default_rng((seed, at))
        scene = _scene(draw, shape, rng)
        _write_image(folder / path, scene.pixels, crs, transform)
        if path in _ALSO_IN_8_BANDS:
            eight = folder / path.replace("_images/", "_images_8band/")
            _write_image(eight, _eight_bands(scene.pixels), crs, transform @ Affine.scale(_COARSER))
        if path.startswith("train"):
            features += _features(Path(path).name, scene.objects, crs, transform)
    features.append(
        _feature("1395.tif", 73, "100,100,130,140", len(features), (0.0, 0.0, 0.1, 0.1))
    )
    features.append(_feature("10.tif", 75, "20,20,60,50", len(features), (0.0, 0.0, 0.1, 0.1)))
    features.append(_feature("104.tif", 82, "5,5,9,9", len(features), (0.0, 0.0, 0.1, 0.1)))
    features.append(_feature("104.tif", 18, [], len(features), (0.0, 0.0, 0.1, 0.1)))
    content = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}},
        "features": features,
    }
    (folder / "xView_train.geojson").write_text(json.dumps(content))
    return [folder]


def _scene(
    draw: Callable[[_Scene], None], shape: tuple[int, int], rng: np.random.Generator
) -> _Scene:
    from PIL import Image

    rows, columns = shape
    scene = _Scene(np.empty((rows, columns, 3)), rng)
    draw(scene)
    light = Image.fromarray(rng.standard_normal((12, 12)).astype(np.float32))
    smooth = np.asarray(light.resize((columns, rows), Image.Resampling.BICUBIC))
    noise = rng.normal(0, 5, (rows, columns))
    scene.pixels[:] = np.clip(
        scene.pixels * (1 + 0.04 * smooth)[..., None] + noise[..., None], 1, 255
    )
    return scene


def _town(scene: _Scene) -> None:
    """Blocks of houses between streets with cars."""
    rows, columns = scene.pixels.shape[:2]
    scene.pixels[:] = (104, 118, 78)
    for at in range(60, columns, 130):
        scene.fill((at, 0, at + 22, rows), _GREY)
    for at in range(50, rows, 115):
        scene.fill((0, at, columns, at + 22), _GREY)
    for top in range(50 - 115 + 32, rows, 115):
        for left in range(60 - 130 + 32, columns, 130):
            for x, y in ((0, 0), (46, 0), (0, 42), (46, 42)):
                wide, high = scene.rng.integers((28, 24), (42, 38))
                box = (left + x, top + y, left + x + int(wide), top + y + int(high))
                if min(box) >= 0 and box[2] <= columns and box[3] <= rows:
                    scene.building(box)
    for at in range(60, columns, 130):
        for y in scene.rng.choice(np.arange(5, rows - 20, 24), 6, replace=False).tolist():
            scene.vehicle((at + 4, y, at + 10, y + 14))
    for at in range(50, rows, 115):
        scene.vehicle((8, at + 11, 48, at + 20), 19, (220, 170, 40))


def _port(scene: _Scene) -> None:
    """A quay with cranes, containers and trucks, and a ship beside it."""
    rows, columns = scene.pixels.shape[:2]
    scene.pixels[:] = (36, 62, 78)
    scene.fill((0, 170, columns, rows), (150, 146, 138))
    ship = (50, 98, 400, 158)
    scene.fill(ship, (70, 60, 58))
    scene.fill((60, 106, 90, 150), _WHITE)
    scene.objects.append((51, ship))
    for left in range(104, 368, 34):
        for top in range(104, 148, 12):
            scene.fill((left, top, left + 30, top + 10), scene._one_of(_CONTAINERS))
    for left in (130, 290):
        crane = (left, 120, left + 24, 214)
        scene.fill((left, 120, left + 5, 214), (60, 110, 190))
        scene.fill((left + 19, 120, left + 24, 214), (60, 110, 190))
        scene.fill((left, 176, left + 24, 184), (60, 110, 190))
        scene.objects.append((55, crane))
    lot = (30, 240, 314, 340)
    for top in range(244, 330, 16):
        for left in range(34, 300, 40):
            scene.fill((left, top, left + 36, top + 12), scene._one_of(_CONTAINERS))
    scene.objects.append((89, lot))
    for left in range(350, 440, 44):
        scene.vehicle((left, 250, left + 36, 261), 25, _WHITE)
        scene.building((left, 280, left + 34, 330), 77)


def _airfield(scene: _Scene) -> None:
    """Planes on an apron, a hangar, fuel tanks, and a lot with cars."""
    columns = scene.pixels.shape[1]
    scene.pixels[:] = (146, 132, 102)
    scene.fill((0, 0, columns, 170), (142, 142, 140))
    for left in (30, 140, 250):
        box = (left, 40, left + 84, 130)
        scene.fill((left + 37, 40, left + 47, 130), _WHITE)
        scene.fill((left, 74, left + 84, 90), _WHITE)
        scene.fill((left + 24, 118, left + 60, 126), _WHITE)
        scene.objects.append((13, box))
    scene.building((30, 190, 150, 250), 74)
    for left in range(200, 350, 50):
        for top in (190, 240):
            scene.disc((left, top, left + 40, top + 40), 86, (222, 222, 216))
    scene.fill((30, 290, 350, 360), (92, 92, 94))
    scene.objects.append((83, (30, 290, 350, 360)))
    for left in range(40, 336, 14):
        for top in (296, 338):
            if scene.rng.random() < 0.7:
                scene.vehicle((left, top, left + 7, top + 15))


def _eight_bands(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Made-up values: coastal, blue, green, yellow, red, red edge and two of near infrared."""
    rows, columns = (length // _COARSER for length in pixels.shape[:2])
    cut = pixels[: rows * _COARSER, : columns * _COARSER]
    red, green, blue = (
        cut.reshape(rows, _COARSER, columns, _COARSER, 3).mean((1, 3)).transpose(2, 0, 1)
    )
    plants = np.clip(2 * green - red - blue, 0, None)  # what is green is bright in the infrared
    bands = [0.9 * blue, blue, green, (red + green) / 2, red]
    bands += [red + plants, red + 3 * plants, red + 3.2 * plants]
    return 4 * np.stack(bands, axis=-1)


def _write_image(path: Path, pixels: NDArray[np.float64], crs: str, transform: Any) -> None:
    import rasterio

    path.parent.mkdir(parents=True, exist_ok=True)
    rows, columns, bands = pixels.shape
    dtype = "uint8" if bands == 3 else "uint16"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=rows,
        width=columns,
        count=bands,
        dtype=dtype,
        crs=crs,
        transform=transform,
        interleave="pixel",
        photometric="RGB" if bands == 3 else "MINISBLACK",
    ) as image:
        image.write(pixels.astype(dtype).transpose(2, 0, 1))


def _features(
    image: str, objects: list[tuple[int, Box]], crs: str, transform: Any
) -> list[dict[str, Any]]:
    """The label file's features of one image."""
    from pyproj import Transformer

    to_lonlat = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    features = []
    for number, (type_id, (left, top, right, bottom)) in enumerate(objects):
        west, north = to_lonlat.transform(*(transform @ (left, top)))
        east, south = to_lonlat.transform(*(transform @ (right, bottom)))
        bounds = f"{left},{top},{right},{bottom}"
        identity = 1000 * int(image.removesuffix(".tif")) + number
        features.append(_feature(image, type_id, bounds, identity, (west, south, east, north)))
    return features


def _feature(
    image: str,
    type_id: int,
    bounds: str | list[int],
    identity: int,
    place: tuple[float, float, float, float],
) -> dict[str, Any]:
    west, south, east, north = place
    centre = struct.pack("<BIIdd", 1, 0x20000001, 4326, (west + east) / 2, (south + north) / 2)
    ring = [[west, south], [west, north], [east, north], [east, south], [west, south]]
    properties: Mapping[str, Any] = {
        "bounds_imcoords": bounds,
        "edited_by": "nobody",
        "cat_id": "1040010000000000",
        "type_id": type_id,
        "ingest_time": "2017/07/24 12:49:09.118+00",
        "index_right": 0,
        "image_id": image,
        "point_geom": centre.hex().upper(),
        "feature_id": identity,
        "grid_file": "Grid2.shp",
    }
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "properties": properties, "geometry": geometry}
