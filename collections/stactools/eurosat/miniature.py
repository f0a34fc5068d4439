"""A miniature EuroSAT in its official layout, with made-up pixels, for the demo and the tests.

The spectra are rough top-of-atmosphere reflectances of a handful of surfaces, mixed by simple
shapes (fields, rows, blocks, a bend of a river), so that the ten classes look like themselves and
can be told apart. Nothing in it is observed.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Field = NDArray[np.float64]

SIZE = 64
RGB_ARCHIVE = "EuroSAT.zip"
BANDS_ARCHIVE = "EuroSATallBands.zip"
_RGB_FOLDER = "2750"
_BANDS_FOLDER = "ds/images/remote_sensing/otherDatasets/sentinel_2/tif"
_DATE = (2017, 9, 1, 0, 0, 0)

# Reflectance x 10,000 in the order of the files: B01 to B12, then B8A.
_SPECTRA = {
    "water": (1250, 950, 700, 450, 420, 380, 370, 330, 150, 12, 180, 110, 310),
    "forest": (1150, 850, 750, 480, 850, 2000, 2450, 2350, 850, 14, 1400, 650, 2650),
    "grass": (1200, 950, 1000, 800, 1300, 2700, 3200, 3100, 1000, 14, 2200, 1200, 3450),
    "crop": (1200, 950, 950, 750, 1250, 2900, 3600, 3500, 1100, 14, 2000, 1000, 3800),
    "soil": (1350, 1250, 1350, 1550, 1750, 1950, 2150, 2200, 800, 14, 2900, 2300, 2400),
    "concrete": (1700, 1700, 1750, 1900, 2000, 2100, 2200, 2250, 750, 15, 2500, 2200, 2350),
    "roof": (1400, 1200, 1200, 1450, 1600, 1750, 1850, 1900, 600, 14, 2100, 1800, 1950),
    "asphalt": (1350, 1150, 1100, 1100, 1150, 1250, 1300, 1350, 500, 13, 1500, 1300, 1400),
}
# Class to the surface of the ground and the surface of the shapes on it.
_SURFACES = {
    "AnnualCrop": ("soil", "crop"),
    "Forest": ("forest", "forest"),
    "HerbaceousVegetation": ("grass", "soil"),
    "Highway": ("grass", "asphalt"),
    "Industrial": ("asphalt", "concrete"),
    "Pasture": ("grass", "grass"),
    "PermanentCrop": ("soil", "forest"),
    "Residential": ("grass", "roof"),
    "River": ("grass", "water"),
    "SeaLake": ("water", "water"),
}
# The last digits of the numbers of the patches that are in each list of splits.
_SPLITS = {"train": range(1, 8), "val": range(8, 10), "test": range(1)}
_TEXTURE = {"Forest": 0.25, "SeaLake": 0.03, "Pasture": 0.06}


def write_miniature(
    folder: Path, per_class: int = 30, *, rgb: bool = True, bands: bool = True, seed: int = 0
) -> list[Path]:
    """Writes one archive of each wanted edition into ``folder``; returns their paths.

    The same arguments give the same pixels. `write_demo` adds lists of splits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    archives = [folder / n for n, wanted in ((RGB_ARCHIVE, rgb), (BANDS_ARCHIVE, bands)) if wanted]
    for archive in archives:
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as zipped:
            for at, name in enumerate(_SURFACES):
                for number in range(1, per_class + 1):
                    rng = np.random.default_rng((seed, at, number))
                    pixels = patch(name, rng)
                    if archive.name == RGB_ARCHIVE:
                        path, data = f"{_RGB_FOLDER}/{name}/{name}_{number}.jpg", jpeg(pixels)
                    else:
                        path = f"{_BANDS_FOLDER}/{name}/{name}_{number}.tif"
                        data = geotiff(pixels, rng)
                    zipped.writestr(zipfile.ZipInfo(path, _DATE), data, zipfile.ZIP_DEFLATED)
    return archives


def write_demo(folder: Path, per_class: int = 30) -> list[Path]:
    """Writes both editions, and lists of splits as TorchGeo has them; returns the folder's path.

    Of ten patches of a class seven are for training, two for validation and one for testing.
    """
    write_miniature(folder, per_class)
    for split, digits in _SPLITS.items():
        names = [
            f"{name}_{number}.jpg\n"
            for name in _SURFACES
            for number in range(1, per_class + 1)
            if number % 10 in digits
        ]
        (folder / f"eurosat-{split}.txt").write_text("".join(names))
    return [folder]


def patch(name: str, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Pixels (64, 64, 13) of a patch of the class ``name``, reflectance x 10,000."""
    ground, shapes = (np.array(_SPECTRA[surface]) for surface in _SURFACES[name])
    share = _shapes(name, rng)[..., None]
    light = 1 + _TEXTURE.get(name, 0.1) * _smooth(rng, 16)[..., None]
    light = light * (1 + 0.15 * rng.standard_normal())
    noise = 1 + 0.02 * rng.standard_normal((SIZE, SIZE, 13))
    pixels = (ground * (1 - share) + shapes * share) * light * noise
    return np.clip(pixels, 1, 28_000).astype(np.uint16)


def jpeg(pixels: NDArray[np.uint16]) -> bytes:
    """The RGB edition: bands 4, 3, 2, values 0 to 2750 scaled to 1 to 255, quality 100.

    Scale and quality are those of the publisher's readme (github.com/phelber/EuroSAT).
    """
    from PIL import Image

    scaled = 1 + pixels[..., [3, 2, 1]] * (254 / 2750)
    stream = io.BytesIO()
    Image.fromarray(np.clip(scaled, 1, 255).astype(np.uint8)).save(stream, "JPEG", quality=100)
    return stream.getvalue()


def geotiff(pixels: NDArray[np.uint16], rng: np.random.Generator) -> bytes:
    """The 13-band edition: uncompressed, pixel-interleaved, UTM, pixels of not quite 10 m."""
    from rasterio import Affine
    from rasterio.io import MemoryFile

    easting, northing = rng.uniform(3e5, 7e5), rng.uniform(4.3e6, 6.5e6)
    width, height = rng.uniform(9.93, 10.06, 2)
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            width=SIZE,
            height=SIZE,
            count=13,
            dtype="uint16",
            crs=f"EPSG:{rng.integers(32629, 32637)}",
            transform=Affine(width, 0, easting, 0, -height, northing),
            interleave="pixel",
        ) as image:
            image.write(pixels.transpose(2, 0, 1))
        return bytes(memory.getbuffer())


def _shapes(name: str, rng: np.random.Generator) -> Field:
    """Share of the shapes' surface in each pixel, 0 to 1."""
    y, x = np.mgrid[:SIZE, :SIZE]
    if name in ("AnnualCrop", "Industrial"):  # large rectangles
        cells = rng.integers(0, 2, (4, 4) if name == "AnnualCrop" else (6, 6))
        step = -(-SIZE // len(cells))
        blocks = np.kron(cells, np.ones((step, step)))[:SIZE, :SIZE]
        edge = (y % step < 2) | (x % step < 2)
        return np.asarray(np.where(edge & (name == "Industrial"), 0.0, blocks))
    if name == "Residential":  # houses among gardens
        house = (
            (y % 6 < 4) & (x % 5 < 3) & np.kron(rng.random((16, 16)) < 0.8, np.ones((4, 4), bool))
        )
        return np.asarray(house, dtype=float)
    if name == "PermanentCrop":  # rows of trees
        slope = rng.uniform(-1, 1)
        return np.asarray(0.5 + 0.5 * np.sin(2 * np.pi * (x + slope * y) / rng.uniform(4, 7)))
    if name in ("Highway", "River"):  # a band across
        bend = (12 if name == "River" else 2) * np.sin(y / rng.uniform(9, 14) + rng.uniform(0, 6))
        centre = rng.uniform(20, 44) + rng.uniform(-0.4, 0.4) * (y - SIZE / 2) + bend
        band = np.abs(x - centre) < (rng.uniform(5, 9) if name == "River" else 2)
        return np.asarray(band.T if rng.random() < 0.5 else band, dtype=float)
    if name == "HerbaceousVegetation":  # bare spots
        return np.clip(0.4 + 0.4 * _smooth(rng, 12), 0, 1)
    return np.zeros((SIZE, SIZE))


def _smooth(rng: np.random.Generator, cells: int) -> Field:
    """Noise of (64, 64) pixels with mean 0 and deviation about 1, smooth over 64 / cells pixels."""
    from PIL import Image

    coarse = Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC), dtype=np.float64)
