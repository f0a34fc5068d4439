"""A miniature clouds-s2-taiwan with made-up pixels, for the demo and the tests.

Two folders, as a user of the real dataset shows them: images of ten bands, and masks that are white
where the clouds are. Grounds are mountain forest, fields and coast. Of one image the mask is
missing, of one mask the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Field = NDArray[np.float64]

_FOLDER = "Image_Cloud_Mask"
_SIZE = 224
_METRES = 20
_CRS = "EPSG:32651"

# Top-of-atmosphere reflectance x 10,000: B02 to B08, B8A, B11, B12.
_SPECTRA = {
    "forest": (900, 780, 500, 850, 2000, 2450, 2400, 2650, 1400, 650),
    "fields": (1050, 1100, 950, 1450, 2500, 2900, 2850, 3150, 2300, 1400),
    "town": (1400, 1350, 1400, 1550, 1800, 1950, 2000, 2100, 2300, 2000),
    "sea": (1050, 780, 480, 420, 390, 360, 320, 280, 150, 100),
    "cloud": (6900, 6800, 7000, 7100, 7200, 7300, 7200, 7400, 5200, 4300),
}


@dataclass(frozen=True, slots=True)
class _Image:
    name: str
    corner: tuple[int, int]
    """Easting and northing of the upper left corner."""
    ground: tuple[str, str]
    cover: float
    """How cloudy it is: deviations that clouds reach below the mean of their noise."""
    lacks: str = ""


_IMAGES = (
    _Image("20180516_S2_20m_2240_36", (299_980, 2_655_220), ("forest", "fields"), 0.2),
    _Image("20180516_S2_20m_2240_37", (304_460, 2_655_220), ("forest", "forest"), 1.0),
    _Image("20180516_S2_20m_2464_12", (210_380, 2_560_020), ("fields", "sea"), -0.5),
    _Image("20180511_S2_20m_448_5", (223_820, 2_619_380), ("fields", "town"), -9.0),
    _Image("20180526_S2_20m_1120_20", (313_420, 2_772_180), ("town", "forest"), 0.0),
    _Image("20180526_S2_20m_1120_21", (317_900, 2_772_180), ("fields", "forest"), 0.3, "mask"),
    _Image("20180526_S2_20m_1344_2", (317_900, 2_767_700), ("sea", "forest"), 0.1, "image"),
)


def write_miniature(folder: Path, seed: int = 0) -> list[Path]:
    """Writes images and masks into ``folder``; returns what to build from.

    The same seed gives the same bytes.
    """
    images, masks = folder / _FOLDER / "Image", folder / _FOLDER / "Cloud_Mask"
    images.mkdir(parents=True, exist_ok=True)
    masks.mkdir(parents=True, exist_ok=True)
    for at, image in enumerate(_IMAGES):
        pixels, clouds = _pixels(image, np.random.default_rng((seed, at)))
        if image.lacks != "image":
            _write(images / f"{image.name}.tif", image, pixels)
        if image.lacks != "mask":
            _write(masks / f"{image.name}.tif", image, np.where(clouds, 255, 0)[None])
    return [folder]


def _pixels(
    image: _Image, rng: np.random.Generator
) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """Reflectance x 10,000 (10, 224, 224), and where the clouds are (224, 224)."""
    first, second = (np.array(_SPECTRA[name])[:, None, None] for name in image.ground)
    border = 1 / (1 + np.exp(-8 * (_smooth(rng, 3) + 0.3 * _smooth(rng, 12))))
    relief = 1 + 0.15 * _smooth(rng, 14) + 0.06 * _smooth(rng, 56)
    ground = (first * (1 - border) + second * border) * relief
    puffs = _smooth(rng, 5) + 0.5 * _smooth(rng, 14) + 0.2 * _smooth(rng, 40)
    height = puffs / puffs.std() - 1 + image.cover
    thickness = np.clip(0.5 + 2 * height, 0, 1)
    shadow = np.pad(thickness, ((9, 0), (6, 0)))[:_SIZE, :_SIZE]  # the sun is in the north-west
    white = np.array(_SPECTRA["cloud"])[:, None, None] * (0.85 + 0.15 * np.tanh(height))
    field = ground * (1 - 0.55 * shadow) * (1 - thickness) + white * thickness
    field *= 1 + 0.01 * rng.standard_normal(field.shape)
    # steps of 8 compress well
    return (np.clip(field, 8, 16_000) // 8 * 8).astype(np.uint16), thickness > 0.5


def _write(path: Path, image: _Image, pixels: NDArray[np.generic]) -> None:
    """A GeoTIFF of ``pixels`` (band, y, x): ten bands of 16 bits, or a mask of 8."""
    import rasterio

    east, north = image.corner
    bands = len(pixels)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=_SIZE,
        height=_SIZE,
        count=bands,
        dtype="uint8" if bands == 1 else "uint16",
        crs=_CRS,
        transform=rasterio.Affine(_METRES, 0, east, 0, -_METRES, north),
        compress="deflate",
        predictor=2,
    ) as file:
        file.write(pixels)


def _smooth(rng: np.random.Generator, cells: int) -> Field:
    """Noise of (224, 224) pixels, deviation about 1, smooth over 224 / cells pixels."""
    from PIL import Image

    coarse = Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((_SIZE, _SIZE), Image.Resampling.BICUBIC), dtype=np.float64)
