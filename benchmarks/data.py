"""Sources to work on, in their official layouts, in a folder that the benchmark throws away.

EuroSAT in both editions, and BigEarthNet. The pixels are those of the real samples in
``../shared/data`` if they are there, else made up by the datasets' miniatures. There are fewer
files than a benchmark needs, so they are written again under further numbers, each a file with
bytes of its own.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from stactools.bigearthnet import miniature as bigearthnet
from stactools.eurosat.miniature import BANDS_ARCHIVE, RGB_ARCHIVE, write_miniature

_SHARED = Path(__file__).parents[2] / "shared" / "data"
REAL = _SHARED / "eurosat"
_REAL_PATCHES = _SHARED / "bigearthnet" / "BigEarthNet-v1.0"

_TIFF_FOLDER = "ds/images/remote_sensing/otherDatasets/sentinel_2/tif"
_JPEG_FOLDER = "2750"
_MEMORY = Path("/dev/shm")
_NEEDED = 900_000  # bytes a patch: sources, catalogs, peers' files, with room to spare
_NEEDED_OF_EUROSAT = 400_000  # the same of EuroSAT alone


@dataclass(frozen=True)
class Data:
    """The sources, and room for what is made of them."""

    origin: str
    """Where the pixels come from, in words."""
    folder: Path
    """Room for catalogs; removed at the end."""
    tiffs: list[Path]
    """The 13-band edition, unpacked."""
    tiff_root: Path
    """The folder above it, in the layout that torchgeo wants: a split list lies beside it."""
    tiff_source: Path
    """What the builder is given of it."""
    jpegs: list[Path]
    """The RGB edition, unpacked."""
    jpeg_source: Path
    """The RGB edition as its publisher packs it: a deflated zip."""
    patches: list[Path]
    """BigEarthNet: a folder for each patch, and split lists beside the folder of all, as torchgeo
    wants them."""


@contextmanager
def sources(per_class: int, *, patches: bool = True) -> Iterator[Data]:
    """Both editions with so many patches of each class, in memory where there is room for it.

    Without ``patches`` there is nothing of BigEarthNet.
    """
    needed = (_NEEDED if patches else _NEEDED_OF_EUROSAT) * 10 * per_class
    in_memory = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > needed
    with tempfile.TemporaryDirectory(dir=_MEMORY if in_memory else None, prefix="bench-") as name:
        folder = Path(name)
        if REAL.is_dir():
            origin, archives = "real EuroSAT patches, repeated", REAL
        else:
            origin, archives = "made-up EuroSAT patches, repeated", folder / "miniature"
            write_miniature(archives, 10)
        where = "a memory file system" if in_memory else f"the disk of {folder.parent}"
        tiff_root = folder / "bands"
        tiffs = _write(_tiffs(archives), tiff_root / _TIFF_FOLDER, ".tif", per_class)
        rgb = _zipped(archives / RGB_ARCHIVE, ".jpg")
        jpegs = _write(rgb, folder / _JPEG_FOLDER, ".jpg", per_class)
        with zipfile.ZipFile(folder / RGB_ARCHIVE, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in jpegs:
                archive.write(path, path.relative_to(folder))
        split = "\n".join(path.with_suffix(".jpg").name for path in tiffs)
        (tiff_root / "eurosat-train.txt").write_text(split)
        yield Data(
            f"{origin}, on {where}",
            folder,
            tiffs,
            tiff_root,
            tiff_root / "ds",
            jpegs,
            folder / RGB_ARCHIVE,
            _write_patches(folder / "bigearthnet", 6 * per_class) if patches else [],
        )


def rgb_files(room: Path) -> dict[str, list[bytes]]:
    """JPEGs of EuroSAT by class: the real ones, or those of the miniature, written to a folder."""
    archives = REAL
    if not REAL.is_dir():
        archives = room / "miniature"
        write_miniature(archives, 10, bands=False)
    return _zipped(archives / RGB_ARCHIVE, ".jpg")


def _tiffs(archives: Path) -> dict[str, list[bytes]]:
    if (archives / BANDS_ARCHIVE).exists():
        return _zipped(archives / BANDS_ARCHIVE, ".tif")
    found: dict[str, list[bytes]] = {}
    for path in sorted((archives / _TIFF_FOLDER).glob("*/*.tif")):
        found.setdefault(path.parent.name, []).append(path.read_bytes())
    return found


def _zipped(archive: Path, suffix: str) -> dict[str, list[bytes]]:
    """Files of the archive by the folder, that is the class, they lie in."""
    found: dict[str, list[bytes]] = {}
    with zipfile.ZipFile(archive) as opened:
        for name in sorted(n for n in opened.namelist() if n.endswith(suffix)):
            found.setdefault(name.split("/")[-2], []).append(opened.read(name))
    return found


def _write(files: dict[str, list[bytes]], folder: Path, suffix: str, per_class: int) -> list[Path]:
    """Writes so many files of each class, numbered from 1, the given ones over and over."""
    written = []
    for name, contents in files.items():
        (folder / name).mkdir(parents=True)
        for number, content in enumerate(islice(cycle(contents), per_class), 1):
            path = folder / name / f"{name}_{number}{suffix}"
            path.write_bytes(content)
            written.append(path)
    return written


def _write_patches(root: Path, count: int) -> list[Path]:
    """Writes so many patches of BigEarthNet, the given ones over and over; returns their folders.

    A patch is told from the others by the last numbers of its name.
    """
    if _REAL_PATCHES.is_dir():
        folders = sorted(path for path in _REAL_PATCHES.iterdir() if path.is_dir())
    else:
        bigearthnet.write_miniature(root / "miniature")
        with tarfile.open(root / "miniature" / bigearthnet.ARCHIVE) as archive:
            archive.extractall(root / "miniature", filter="data")
        folders = sorted((root / "miniature" / "BigEarthNet-v1.0").iterdir())
        folders = [path for path in folders if len(list(path.iterdir())) == 13]
    written = []
    for number, source in enumerate(islice(cycle(folders), count)):
        stem = source.name.rsplit("_", 2)[0]
        patch = root / "BigEarthNet-v1.0" / f"{stem}_{number // 100}_{number % 100}"
        patch.mkdir(parents=True)
        for file in source.iterdir():
            shutil.copyfile(file, patch / file.name.replace(source.name, patch.name))
        written.append(patch)
    listing = "".join(f"{patch.name},none\n" for patch in written)
    for split in ("train", "val", "test"):
        (root / f"bigearthnet-{split}.csv").write_text(listing)
    return written
