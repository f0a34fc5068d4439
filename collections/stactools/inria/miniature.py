"""A miniature Inria dataset in its official layout, with made-up pixels, for demo and tests.

Blocks of houses between streets, gardens and trees, georeferenced in the UTM zone of each town;
images are 400 x 400 pixels of 0.3 m instead of 5000 x 5000. One mask has no image. Nothing in it
is observed.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Field = NDArray[np.float64]

SIZE = 400
ARCHIVE = "NEW2-AerialImageDataset.zip"
_GSD = 0.3  # metres
_DATE = (2017, 3, 1, 0, 0, 0)

# Town to its EPSG code and the corner of its first image (easting, northing).
_PLACES = {
    "austin": (26914, 621000.0, 3349500.0),
    "bellingham": (26910, 538000.0, 5399000.0),
    "kitsap": (26910, 525000.0, 5268000.0),
    "vienna": (32633, 601500.0, 5340000.0),
}
_GRASS = (96, 112, 70)
_TREE = (48, 68, 42)
_STREET = (128, 126, 124)
_ROOFS = ((150, 84, 66), (120, 112, 106), (176, 168, 156), (98, 74, 62))


def write_miniature(folder: Path, seed: int = 0) -> list[Path]:
    """Writes the archive into ``folder``; returns its path. The same seed gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / ARCHIVE
    rng = np.random.default_rng(seed)
    with zipfile.ZipFile(archive, "w") as zipped:

        def write(path: str, city: str, number: int, pixels: NDArray[np.uint8]) -> None:
            info = zipfile.ZipInfo(f"AerialImageDataset/{path}/{city}{number}.tif", _DATE)
            zipped.writestr(info, geotiff(pixels, city, number))

        for city, number in (("austin", 1), ("austin", 2), ("vienna", 1), ("vienna", 12)):
            pixels, buildings = scene(rng)
            write("train/images", city, number, pixels)
            write("train/gt", city, number, buildings)
        write("train/gt", "kitsap", 3, scene(rng)[1])
        write("test/images", "bellingham", 1, scene(rng)[0])
    return [archive]


def scene(rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An image (400, 400, 3) and the publisher's mask of its buildings (400, 400), 0 or 255."""
    turn = rng.uniform(0, np.pi / 2)
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    pixels = np.array(_GRASS) * (1 + 0.12 * _smooth(rng, 12) + 0.06 * _smooth(rng, 100))[..., None]
    pixels[_smooth(rng, 40) > 1.2] = _TREE
    block, street = rng.uniform(85, 110), rng.uniform(14, 18)
    streets = (along % block < street) | (across % (2 * block) < street)
    pixels[streets] = _STREET
    mask = np.zeros((SIZE, SIZE), np.uint8)
    reach = int(SIZE / block) + 1
    for row in range(-reach, reach + 1):
        for column in range(-4 * reach, 4 * reach + 1):
            if rng.random() < 0.15:
                continue  # an empty plot
            centre = (row + 0.58) * block + rng.uniform(-4, 4), column * 0.5 * block + street
            if (centre[1] + block / 4) % (2 * block) < street + block / 2:
                continue  # the cross street
            half = rng.uniform(0.16, 0.3) * block, rng.uniform(0.13, 0.19) * block
            u, v = along - centre[0], across - centre[1]
            shadow = (abs(u - 4) < half[0]) & (abs(v - 4) < half[1])
            pixels[shadow] *= 0.45
            roof = (abs(u) < half[0]) & (abs(v) < half[1])
            light = rng.uniform(0.85, 1.15) * (1 + 0.16 * np.sign(v[roof]))
            pixels[roof] = np.array(_ROOFS[rng.integers(len(_ROOFS))]) * light[:, None]
            mask[roof] = 255
    pixels += rng.normal(0, 4, pixels.shape)
    return np.clip(pixels, 1, 255).astype(np.uint8), mask


def geotiff(pixels: NDArray[np.uint8], city: str, number: int) -> bytes:
    """A GeoTIFF of an image (y, x, 3) or a mask (y, x), the numbers of a town six in a row."""
    from rasterio import Affine
    from rasterio.io import MemoryFile

    code, easting, northing = _PLACES[city]
    row, column = divmod(number - 1, 6)
    left, top = easting + column * SIZE * _GSD, northing - row * SIZE * _GSD
    bands = np.atleast_3d(pixels).transpose(2, 0, 1)
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            width=SIZE,
            height=SIZE,
            count=len(bands),
            dtype="uint8",
            crs=f"EPSG:{code}",
            transform=Affine(_GSD, 0, left, 0, -_GSD, top),
            compress="lzw",
            interleave="pixel",
        ) as image:
            image.write(bands)
        return bytes(memory.getbuffer())


def _smooth(rng: np.random.Generator, cells: int) -> Field:
    """Noise (400, 400) with mean 0 and deviation about 1, smooth over 400 / cells pixels."""
    from PIL import Image

    coarse = Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC), dtype=np.float64)
