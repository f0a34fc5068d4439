"""Real and made-up patches of EuroSAT and BigEarthNet are split, and quality finds no leak."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from planted import scene

from satimnet.builder import build, split
from satimnet.builder.quality import assess
from satimnet.builder.splitting.dividing import SplitMade
from stactools.bigearthnet import miniature as bigearthnet

ACROSS = ("duplicate-across-splits", "near-duplicate-across-splits", "overlap-across-splits")
CLASSES = ("AnnualCrop", "Forest", "Highway", "River")
PER_CLASS = 50
ZONE, EAST, NORTH = 33, 300_000, 5_400_000  # of the tile 33UUP
LABELS = ("Pastures", "Coniferous forest", "Water bodies", "Vineyards")


def leaks(catalog: Path, out: Path, splits: str) -> Counter[str]:
    report = assess(catalog, out, splits=splits)
    return Counter(one.check for one in report.findings if one.check in ACROSS)


def require_even(made: SplitMade, within: float) -> None:
    uneven = {name: distance for name, distance in made.unevenness.items() if distance > within}
    assert made.unevenness
    assert uneven == {}


@pytest.mark.real
@pytest.mark.slow
def test_the_real_samples_of_eurosat(real_catalog: Path, tmp_path: Path) -> None:
    shutil.copytree(real_catalog, tmp_path / "catalog")
    catalog = tmp_path / "catalog"
    made = split(catalog, name="mine", scheduler="processes")
    require_even(made, 0.1)
    assert made.joined["duplicates"] > 60  # 141 pairs, and equal images
    assert leaks(catalog, tmp_path / "quality", "mine") == {}
    split(catalog, name="blind", images=False)
    assert leaks(catalog, tmp_path / "quality", "blind")["near-duplicate-across-splits"] > 20


def write_mixture(folder: Path) -> list[Path]:
    """50 patches of each of four classes of EuroSAT, and 60 of BigEarthNet, on one ground.

    Every third patch of EuroSAT shows a part of the one before it, which lies elsewhere as its
    georeference says; every fifth one lies on a patch of BigEarthNet.
    """
    rng = np.random.default_rng(0)
    for at, name in enumerate(CLASSES):
        for number in range(1, PER_CLASS + 1):
            large = scene(1000 * at + number - (number % 3 == 2), 96)
            moved = 20 if number % 3 == 2 else 0
            seen = large[moved : moved + 64, moved : moved + 64]
            bands = rng.integers(200, 3000, (64, 64, 13)).astype(np.uint16)
            bands[..., [3, 2, 1]] = seen * np.uint16(10)
            place = folder / f"eurosat/ds/images/remote_sensing/otherDatasets/sentinel_2/tif/{name}"
            place.mkdir(parents=True, exist_ok=True)
            east, north = EAST + 60_000 + 9_000 * at, NORTH - 2_000 * number
            if number % 5 == 0:
                east, north = EAST + 1200 * (5 * at) + 900, NORTH - 1200 * (number // 5 * 6) - 300
            data = geotiff(bands, east, north)
            (place / f"{name}_{number}.tif").write_bytes(data)
    for number in range(60):
        column, row = 5 * (number % 4) + number // 40, number // 4 % 10 * 6 + 6
        patch = bigearthnet.Patch(
            f"S2A_MSIL2A_20170613T101031_{column}_{row}",
            "2017-06-13 10:10:31",
            "33UUP",
            "Austria",
            "Summer",
            "train",
            (LABELS[number % 4], *[LABELS[(number + 1) % 4]] * (number % 3 == 0)),
        )
        home = folder / "bigearthnet/BigEarthNet-v1.0" / patch.name
        home.mkdir(parents=True)
        for name, data in bigearthnet.patch_files(patch, np.random.default_rng(number)).items():
            (home / name).write_bytes(data)
    return [folder / "eurosat", folder / "bigearthnet"]


def geotiff(bands: np.ndarray, east: float, north: float) -> bytes:
    from rasterio import Affine
    from rasterio.io import MemoryFile

    shape = {"width": 64, "height": 64, "count": 13, "dtype": "uint16", "interleave": "pixel"}
    place = {"crs": f"EPSG:{32600 + ZONE}", "transform": Affine(10, 0, east, 0, -10, north)}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", **shape, **place) as image:
            image.write(bands.transpose(2, 0, 1))
        return bytes(memory.getbuffer())


@pytest.mark.slow
def test_a_mixture_of_both(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog"
    build(write_mixture(tmp_path / "sources"), catalog, overview=False)
    made = split(catalog, name="mine", size=1000, shares=[0.6, 0.2, 0.2])
    require_even(made, 0.1)
    assert made.joined["duplicates"] > 30
    assert made.joined["overlaps"] > 10
    assert leaks(catalog, tmp_path / "quality", "mine") == {}
    split(catalog, name="blind", size=1000, shares=[0.6, 0.2, 0.2], images=False, overlaps=False)
    found = leaks(catalog, tmp_path / "quality", "blind")
    assert found["near-duplicate-across-splits"]
    assert found["overlap-across-splits"]
    folds = split(catalog, name="folds", size=1000, folds=5)
    require_even(folds, 0.1)
