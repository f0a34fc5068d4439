"""Two catalogs for the explorer: BigEarthNet with pictures that really exist, and EuroSAT.

The rows of BigEarthNet are those of `benchmarks.generated`, all 590,326, without a source and
shards. Its previews are written, a kilobyte or two for each patch: a few hundred made-up ones,
which repeat. EuroSAT is built from JPEGs, the real ones where they are there, until it has 27,000.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.data import rgb_files
from benchmarks.generated import write_catalog
from satimnet.builder import build
from satimnet.builder.explorer.explorer_files import header_of, read_columns, write_files
from satimnet.builder.explorer.preview_shards import FOLDER, SIDE
from satimnet.builder.query.index import Index
from satimnet.builder.storage.hrefs import folder_at
from stactools.bigearthnet import dataset as bigearthnet
from stactools.eurosat import miniature

_PER_FILE = 1000  # previews, as `satimnet.builder.explorer.preview_shards` puts them
_PER_CLASS = 2700
_KINDS = 40  # different previews of each look
_LOOKS = (
    *("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial"),
    *("Pasture", "PermanentCrop", "Residential", "River", "SeaLake"),
)


def bigearthnet_at(catalog: Path) -> Path:
    """The catalog of all patches in this folder, which is written if it is not there."""
    if not (catalog / "catalog.json").exists():
        write_catalog(catalog)
    collection = Index(catalog).collections[bigearthnet.id]
    header = header_of(collection)
    if header is not None and "previews" in header:
        return catalog
    columns = read_columns(collection)
    count = len(columns.ids)
    home = Path(folder_at(collection.parquet), FOLDER)
    home.mkdir(exist_ok=True)
    looks = _looks()
    chosen = _chosen(columns.values["class_counts"], columns.values["classes"], len(looks))
    names = []
    for first in range(0, count, _PER_FILE):
        names.append(f"previews-{first // _PER_FILE:05d}.bin")
        part = chosen[first : first + _PER_FILE]
        (home / names[-1]).write_bytes(b"".join(looks[look] for look in part))
    columns.values |= {
        "preview_files": np.arange(count) // _PER_FILE,
        "preview_sizes": np.array([len(look) for look in looks])[chosen],
    }
    files = [f"./{FOLDER}/{name}" for name in names]
    columns.header["previews"] = {"items": count, "files": files, "side": SIDE}
    write_files(collection, columns)
    return catalog


def _chosen(
    counts: NDArray[np.int64],
    classes: NDArray[np.int64],
    looks: int,
) -> NDArray[np.int64]:
    """The preview of each patch: a look for its first class, one of many of this look."""
    firsts = classes[np.minimum(np.cumsum(counts) - counts, len(classes) - 1)]
    kinds = np.random.default_rng(3).integers(_KINDS, size=len(counts))
    chosen: NDArray[np.int64] = (firsts * _KINDS + kinds) % looks
    return chosen


def _looks() -> list[bytes]:
    """JPEGs as previews are, of patches made up as the classes of EuroSAT look."""
    found = []
    for at, name in enumerate(_LOOKS):
        for kind in range(_KINDS):
            patch = miniature.jpeg(miniature.patch(name, np.random.default_rng((4, at, kind))))
            file = io.BytesIO()
            Image.open(io.BytesIO(patch)).save(file, "JPEG", quality=85, subsampling=0)
            found.append(file.getvalue())
    return found


def eurosat_at(catalog: Path) -> Path:
    """A catalog of 27,000 JPEGs in this folder, which is built if it is not there."""
    if not (catalog / "catalog.json").exists():
        shutil.rmtree(catalog, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=catalog.parent) as folder:
            source = Path(folder, miniature.RGB_ARCHIVE)
            with zipfile.ZipFile(source, "w") as archive:
                for name, contents in rgb_files(Path(folder)).items():
                    for number, content in enumerate(islice(cycle(contents), _PER_CLASS), 1):
                        archive.writestr(f"2750/{name}/{name}_{number}.jpg", content)
            build([source], catalog)
    return catalog
