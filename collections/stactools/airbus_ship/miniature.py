"""A miniature Airbus-ship in its official layout, with made-up pixels, for the demo and the tests.

Ships are light hulls with a wake on a dark sea, with a coast or clouds in some images; as in the
original their label is the rotated rectangle around the hull, cut off at the edge of the image.
The table has what the original has: rows of ships, rows without a code, and here also a repeated
row and a row whose image is missing. Nothing in it is observed.
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
    Mask = NDArray[np.bool_]

SIZE = 768
ARCHIVE = "airbus-ship-detection.zip"
TABLE = "train_ship_segmentations_v2.csv"
SHIPS = (3, 0, 1, 6, 0, 2, 4, 9, 0, 1)
"""How many ships the training images show."""
TEST_SHIPS = (2, 0, 5)
_DATE = (2018, 9, 1, 0, 0, 0)

_SEA = (22, 58, 72)
_LAND = (104, 108, 78)
_HULL = (205, 200, 188)
_DECK = (150, 92, 70)
_WHITE = (240, 243, 244)


def write_miniature(folder: Path, seed: int = 0) -> list[Path]:
    """Writes the archive into ``folder``; returns its path. The same seed gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    train, test = [], []
    rows = []
    for count in SHIPS:
        pixels, ships = scene(count, rng)
        name = _name(rng)
        train.append((f"train_v2/{name}", pixels))
        rows += [f"{name},{code}" for code in map(encode, ships)] or [f"{name},"]
    rows.insert(2, rows[1])
    rows.append(f"{_name(rng)},{encode(scene(1, rng)[1][0])}")
    for count in TEST_SHIPS:
        test.append((f"test_v2/{_name(rng)}", scene(count, rng)[0]))
    submission = [f"{path.rpartition('/')[2]},1 2" for path, _ in test]

    archive = folder / ARCHIVE
    with zipfile.ZipFile(archive, "w") as zipped:

        def write(path: str, data: bytes) -> None:
            zipped.writestr(zipfile.ZipInfo(path, _DATE), data, zipfile.ZIP_DEFLATED)

        write("sample_submission_v2.csv", _table(submission))
        write(TABLE, _table(rows))
        for path, pixels in (*train, *test):
            write(path, _jpeg(pixels))
    return [archive]


def scene(count: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], list[Mask]]:
    """An image (768, 768, 3) of ``count`` ships, and each ship's label (768, 768)."""
    relief = _smooth(rng, 5)
    swell = 0.12 * relief + 0.05 * _smooth(rng, 40) + 0.05 * _smooth(rng, 160)
    pixels = np.array(_SEA) * (1 + swell[..., None])
    land = relief + 0.15 * _smooth(rng, 40) > (1.5 if rng.random() < 0.5 else 9)
    ground = np.array(_LAND) * (1 + 0.12 * _smooth(rng, 96))[..., None]
    pixels[land] = ground[land]
    ships: list[Mask] = []
    taken = land
    while len(ships) < count:
        at_edge = len(ships) == 1
        centre = rng.uniform(40, SIZE - 40), SIZE - 6.0 if at_edge else rng.uniform(40, SIZE - 40)
        length, angle = rng.uniform(24, 130), rng.uniform(0, 2 * np.pi)
        ahead, across = _along(centre, angle)
        if ((abs(ahead) < length * 0.6) & (abs(across) < length * 0.2) & taken).any():
            continue  # too close to the coast or to another ship
        _draw(pixels, ahead / length, across / length, rng)
        ship = (abs(ahead) <= length / 2) & (abs(across) <= length / 8)
        ships.append(ship)
        taken = taken | ship
    if count == 0:
        cloud = np.clip(_smooth(rng, 6) - 0.8, 0, 0.9)[..., None]
        pixels = pixels * (1 - cloud) + np.array(_WHITE) * cloud
    pixels += rng.normal(0, 1.5, pixels.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8), ships


def encode(mask: Mask) -> str:
    """Run-length code of the pixels that are set: from 1, down the columns."""
    flat = np.concatenate([[0], mask.T.ravel(), [0]]).astype(np.int8)
    starts = np.flatnonzero(np.diff(flat) == 1) + 1
    ends = np.flatnonzero(np.diff(flat) == -1) + 1
    return " ".join(f"{start} {end - start}" for start, end in zip(starts, ends, strict=True))


def _along(centre: tuple[float, float], angle: float) -> tuple[Field, Field]:
    """Distance of each pixel from the centre in the ship's direction, and across it."""
    y, x = np.ogrid[:SIZE, :SIZE]
    x, y = x + 0.5 - centre[0], y + 0.5 - centre[1]
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _draw(pixels: Field, ahead: Field, across: Field, rng: np.random.Generator) -> None:
    """A hull with a pointed bow, a deck and a bridge, and the wake behind it.

    ``ahead`` and ``across`` are the distances from its centre in lengths of the ship.
    """
    near = (abs(ahead) < 3) & (abs(across) < 0.5)
    part, ahead, across = pixels[near], ahead[near], across[near]
    behind = np.clip(-ahead - 0.5, 0, None)
    wake = (behind > 0) & (abs(across) < 0.09 + 0.06 * behind)
    foam = np.where(wake, 0.5 * np.exp(-2 * behind), 0) * rng.uniform(0.3, 1)
    part += (np.array(_WHITE) - part) * foam[:, None]
    bow = np.clip((0.5 - ahead) / 0.3, 0, 1) ** 0.6
    hull = (abs(ahead) <= 0.5) & (abs(across) <= bow / 8)
    part[hull] = np.array(_HULL) * rng.uniform(0.8, 1.1)
    part[hull & (abs(across) < 0.07) & (abs(ahead) < 0.36)] = _DECK
    part[hull & (abs(ahead + 0.35) < 0.07)] = _WHITE
    pixels[near] = part


def _name(rng: np.random.Generator) -> str:
    return f"{rng.integers(16**9):09x}.jpg"


def _table(rows: list[str]) -> bytes:
    return "".join(f"{row}\n" for row in ("ImageId,EncodedPixels", *rows)).encode()


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=80)
    return stream.getvalue()


def _smooth(rng: np.random.Generator, cells: int) -> Field:
    """Noise (768, 768) with mean 0 and deviation about 1, smooth over 768 / cells pixels."""
    from PIL import Image

    coarse = Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC), dtype=np.float64)
