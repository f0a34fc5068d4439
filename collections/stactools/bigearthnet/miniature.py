"""A miniature BigEarthNet-v1.0 in its official layout, with made-up pixels, for demo and tests.

Thirteen patches in an archive, and the publisher's lists beside it. The spectra are rough surface
reflectances of a few surfaces; a patch is divided among its classes by smooth borders. Names, tiles
and coordinates fit each other as those of the real patches do. What is odd in the real dataset is
odd here: a time of five digits that is none, lists with CRLF, patches on no split list; and there
is a patch without its JSON, one without a band, one with a label that the nomenclature lacks, and
a Sentinel-1 patch.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Field = NDArray[np.float64]

ARCHIVE = "BigEarthNet-S2-v1.0.tar.gz"
_FOLDER = "BigEarthNet-v1.0"
_SIZE = 120

# Metres of a pixel of each band.
_PIXELS = {"B01": 60, "B02": 10, "B03": 10, "B04": 10, "B05": 20, "B06": 20, "B07": 20}
_PIXELS |= {"B08": 10, "B8A": 20, "B09": 60, "B11": 20, "B12": 20}
# Reflectance x 10,000 in the order above.
_SPECTRA = {
    "water": (300, 280, 260, 180, 150, 120, 110, 100, 90, 80, 60, 40),
    "spruce": (150, 190, 290, 200, 500, 1500, 1850, 1950, 2050, 2100, 900, 400),
    "beech": (180, 240, 480, 300, 850, 2700, 3400, 3550, 3700, 3650, 1800, 800),
    "grass": (250, 380, 720, 480, 1150, 3000, 3700, 3850, 4000, 3900, 2200, 1100),
    "crop": (280, 450, 800, 620, 1300, 2600, 3100, 3300, 3450, 3400, 2300, 1300),
    "soil": (500, 800, 1150, 1500, 1850, 2100, 2300, 2500, 2650, 2600, 3300, 2800),
    "roofs": (900, 1150, 1350, 1500, 1700, 1950, 2100, 2250, 2350, 2300, 2400, 2100),
    "bog": (260, 330, 520, 600, 950, 1500, 1750, 1850, 2000, 1950, 2000, 1200),
    "sand": (1300, 1700, 2200, 2700, 2950, 3100, 3250, 3400, 3500, 3400, 4100, 3600),
    "snow": (8200, 8600, 8500, 8400, 8300, 8200, 8000, 7900, 7600, 7000, 900, 700),
}
_SURFACES = {
    "Discontinuous urban fabric": "roofs",
    "Industrial or commercial units": "roofs",
    "Non-irrigated arable land": "soil",
    "Permanently irrigated land": "crop",
    "Vineyards": "crop",
    "Pastures": "grass",
    "Complex cultivation patterns": "crop",
    "Broad-leaved forest": "beech",
    "Coniferous forest": "spruce",
    "Mixed forest": "beech",
    "Transitional woodland/shrub": "grass",
    "Beaches, dunes, sands": "sand",
    "Bare rock": "sand",
    "Peatbogs": "bog",
    "Water bodies": "water",
    "Sea and ocean": "water",
}
_TEXTURE = {"spruce": 0.2, "beech": 0.12, "bog": 0.12, "water": 0.02}
_UNKNOWN_LABEL = "Glaciers and perpetual snow"

# Zone, and easting and northing of the upper left corner, of the tiles of Sentinel-2.
_TILES = {
    "29SNB": (29, 499980, 4200000),
    "29UPU": (29, 600000, 5900040),
    "31UGR": (31, 699960, 5600040),
    "32TMT": (32, 399960, 5300040),
    "33UUP": (33, 300000, 5400000),
    "34TEQ": (34, 499980, 5000040),
    "35VLC": (35, 300000, 6300000),
    "35VPK": (35, 600000, 7000020),
}


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch of the miniature; that of BigEarthNet v2.0 has patches of the same places."""

    name: str
    time: str
    tile: str
    country: str
    season: str
    split: str
    labels: tuple[str, ...]
    lacks: str = ""

    @property
    def corner(self) -> tuple[int, int]:
        """Easting and northing of the upper left corner."""
        x, y = map(int, self.name.split("_")[3:])
        _, east, north = _TILES[self.tile]
        return east + 1200 * x, north - 1200 * y


PATCHES = (
    Patch(
        "S2A_MSIL2A_20170613T101031_40_12", "2017-06-13 10:10:31", "33UUP", "Austria", "Summer",
        "train", ("Discontinuous urban fabric", "Non-irrigated arable land"),
    ),
    Patch(
        "S2A_MSIL2A_20170613T101031_40_13", "2017-06-13 10:10:31", "33UUP", "Austria", "Summer",
        "train", ("Non-irrigated arable land", "Broad-leaved forest", "Water bodies"),
    ),
    Patch(
        "S2A_MSIL2A_20170617T113321_21_30", "2017-06-17 11:33:21", "29UPU", "Ireland", "Summer",
        "test", ("Pastures", "Peatbogs"),
    ),
    Patch(
        "S2A_MSIL2A_20170617T113321_22_30", "2017-06-17 11:33:21", "29UPU", "Ireland", "Summer",
        "val", ("Pastures", "Complex cultivation patterns"),
    ),
    Patch(
        "S2A_MSIL2A_20170818T103021_50_44", "2017-08-18 10:30:21", "32TMT", "Switzerland",
        "Summer", "train", ("Coniferous forest", "Bare rock", _UNKNOWN_LABEL),
    ),
    Patch(
        "S2A_MSIL2A_20171002T112111_9_60", "2017-10-02 11:21:11", "29SNB", "Portugal", "Fall",
        "train", ("Beaches, dunes, sands", "Sea and ocean"),
    ),
    Patch(
        "S2A_MSIL2A_20171002T112111_30_41", "2017-10-02 11:21:11", "29SNB", "Portugal", "Fall",
        "val", ("Permanently irrigated land", "Vineyards", "Discontinuous urban fabric"),
    ),
    Patch(
        "S2A_MSIL2A_20180508T104031_14_25", "2018-05-08 10:40:31", "31UGR", "Belgium", "Spring",
        "test", ("Industrial or commercial units", "Pastures", "Mixed forest"),
    ),
    Patch(
        "S2A_MSIL2A_20180508T104031_14_61", "2018-05-08 10:40:31", "31UGR", "Luxembourg",
        "Spring", "", ("Mixed forest", "Pastures"), "B01.tif",
    ),
    Patch(
        "S2B_MSIL2A_20170914T093029_32_41", "2017-09-14 09:30:29", "34TEQ", "Serbia", "Fall",
        "train", ("Non-irrigated arable land", "Complex cultivation patterns"),
    ),
    Patch(
        "S2B_MSIL2A_20170927T094019_66_58", "2017-09-27 09:40:19", "35VLC", "Lithuania", "Fall",
        "test", ("Broad-leaved forest", "Transitional woodland/shrub"), "labels_metadata.json",
    ),
    Patch(
        "S2B_MSIL2A_20180204T94161_57_40", "2018-02-04 09:41:56", "35VPK", "Finland", "Winter",
        "", ("Coniferous forest", "Water bodies"),
    ),
    Patch(
        "S2B_MSIL2A_20180204T94161_58_40", "2018-02-04 09:41:56", "35VPK", "Finland", "Winter",
        "", ("Mixed forest", "Peatbogs"),
    ),
)  # fmt: skip
_SNOW = [patch.name for patch in PATCHES if patch.season == "Winter"]
_CLOUD = ["S2A_MSIL2A_20180508T104031_14_61"]


def write_miniature(folder: Path, seed: int = 0) -> list[Path]:
    """Writes the archive and the lists into ``folder``; returns what to build from.

    The same seed gives the same bytes.
    """
    metadata = folder / "metadata"
    metadata.mkdir(parents=True, exist_ok=True)
    with (
        (folder / ARCHIVE).open("wb") as file,
        gzip.GzipFile("", "wb", 1, file, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w") as tar,
    ):
        for at, patch in enumerate(PATCHES):
            for name, data in patch_files(patch, np.random.default_rng((seed, at))).items():
                if patch.lacks and name.endswith(patch.lacks):
                    continue
                _add(tar, f"{_FOLDER}/{patch.name}/{name}", data)
        radar = sentinel1_name(PATCHES[0])
        _add(tar, f"BigEarthNet-S1-v1.0/{radar}/{radar}_VV.tif", b"")
    _write_list(folder / "patches_with_seasonal_snow.csv", _SNOW)
    _write_list(folder / "patches_with_cloud_and_shadow.csv", _CLOUD)
    for split in ("train", "val", "test"):
        names = [patch.name for patch in PATCHES if patch.split == split]
        _write_list(metadata / f"{split}.csv.bz2", names)
    rows = [f"{sentinel1_name(p)},{p.name},{p.country},{p.season}" for p in PATCHES]
    table = "".join(f"{row}\n" for row in ["s1_name,s2_name,country,season", *rows])
    path = metadata / "s1_s2_name_country_season.csv.bz2"
    path.write_bytes(bz2.compress(table.encode()))
    return [folder]


def patch_files(patch: Patch, rng: np.random.Generator) -> dict[str, bytes]:
    """All files of a patch by name, as published, bands first."""
    pixels = band_pixels(patch, rng)
    files = {f"{patch.name}_{b}.tif": geotiff(patch, pixels[b]) for b in sorted(pixels)}
    files[f"{patch.name}_labels_metadata.json"] = _labels(patch)
    return files


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    member.mtime = 1_550_000_000
    tar.addfile(member, io.BytesIO(data))


def _write_list(path: Path, names: list[str]) -> None:
    data = "".join(f"{name}\r\n" for name in names).encode()
    path.write_bytes(bz2.compress(data) if path.suffix == ".bz2" else data)


def sentinel1_name(patch: Patch) -> str:
    """The name of its Sentinel-1 image."""
    day = patch.time[:10].replace("-", "")
    x, y = patch.name.split("_")[3:]
    return f"S1A_IW_GRDH_1SDV_{day}T165809_{patch.tile}_{x}_{y}"


def _labels(patch: Patch) -> bytes:
    """The JSON of a patch, keys in the publisher's order, without a final newline."""
    east, north = patch.corner
    unit, _, taken, *_ = patch.name.split("_")
    content = {
        "labels": list(patch.labels),
        "coordinates": {"ulx": east, "uly": north, "lrx": east + 1200, "lry": north - 1200},
        "projection": f'PROJCS["WGS 84 / UTM zone {_TILES[patch.tile][0]}N"]',
        "tile_source": f"{unit}_MSIL1C_{taken}_N0205_R022_T{patch.tile}_{taken}.SAFE",
        "acquisition_date": patch.time,
    }
    return json.dumps(content).encode()


def class_shares(patch: Patch, rng: np.random.Generator) -> Field:
    """How much of each pixel each of its classes has, (class, 120, 120)."""
    noise = np.stack([_smooth(rng, 4) + 0.1 * _smooth(rng, 15) for _ in patch.labels])
    share: Field = np.exp(25 * noise)
    share /= share.sum(axis=0)
    return share


def surfaces_of(patch: Patch) -> list[str]:
    """What the ground of each of its classes is like."""
    return [_SURFACES.get(label, "snow") for label in patch.labels]


def band_pixels(patch: Patch, rng: np.random.Generator) -> dict[str, NDArray[np.uint16]]:
    """Reflectance x 10,000 of each band, on the band's own grid."""
    share = class_shares(patch, rng)
    names = surfaces_of(patch)
    field = np.zeros((len(_PIXELS), _SIZE, _SIZE))
    for name, part in zip(names, share, strict=True):
        field += part * _surface(name, rng)
    if patch.name in _SNOW:  # least of it under spruces
        wooded = sum(part for name, part in zip(names, share, strict=True) if name == "spruce")
        cover = np.clip(0.45 + 0.2 * _smooth(rng, 20) - 0.4 * wooded, 0, 0.9)
        field = field * (1 - cover) + _spectrum("snow") * cover
    if patch.name in _CLOUD:
        cover = np.clip(0.6 * _smooth(rng, 4), 0, 0.9)
        field = field * (1 - cover) + 7000 * cover
    bands = {}
    for band, metres, fine in zip(_PIXELS, _PIXELS.values(), field, strict=True):
        step = metres // 10
        cells = _SIZE // step
        coarse = fine.reshape(cells, step, cells, step).mean(axis=(1, 3))
        bands[band] = np.clip(coarse, 1, 16_000).astype(np.uint16)
    return bands


def _surface(name: str, rng: np.random.Generator) -> Field:
    """Reflectance x 10,000 (12, 120, 120) of a surface, with what is usually in it."""
    other, share = "grass", np.zeros((_SIZE, _SIZE))
    light = 1 + _TEXTURE.get(name, 0.04) * _smooth(rng, 60)
    y, x = np.mgrid[:_SIZE, :_SIZE]
    if name in ("soil", "crop", "grass"):  # parcels, some of them of another kind
        centres = rng.uniform(0, _SIZE, (30, 2, 1, 1))
        parcel = np.hypot(y - centres[:, 0], 1.6 * (x - centres[:, 1])).argmin(axis=0)
        other = {"soil": "crop", "crop": "soil", "grass": "crop"}[name]
        share = (rng.random(30) < 0.3)[parcel].astype(float)
        light = light * rng.uniform(0.75, 1.2, 30)[parcel]
    elif name == "roofs":  # houses and gardens
        built = np.kron(rng.random((30, 30)) < 0.8, np.ones((4, 4), bool))
        share = 1.0 - ((y % 8 < 6) & (x % 7 < 5) & built)
    return (_spectrum(name) * (1 - share) + _spectrum(other) * share) * light


def _spectrum(name: str) -> Field:
    return np.array(_SPECTRA[name], dtype=float)[:, None, None]


def geotiff(patch: Patch, pixels: NDArray[Any], **profile: Any) -> bytes:
    """One band: uncompressed, UTM, in strips as GDAL writes them, unless the profile says else."""
    from rasterio import Affine
    from rasterio.io import MemoryFile

    east, north = patch.corner
    metres = 10 * _SIZE // len(pixels)
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            width=pixels.shape[1],
            height=pixels.shape[0],
            count=1,
            dtype=pixels.dtype,
            crs=f"EPSG:{32600 + _TILES[patch.tile][0]}",
            transform=Affine(metres, 0, east, 0, -metres, north),
            **profile,
        ) as image:
            image.write(pixels, 1)
        return bytes(memory.getbuffer())


def _smooth(rng: np.random.Generator, cells: int) -> Field:
    """Noise of (120, 120) pixels, deviation about 1, smooth over 120 / cells pixels."""
    from PIL import Image

    coarse = Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((_SIZE, _SIZE), Image.Resampling.BICUBIC), dtype=np.float64)
