"""``python -m benchmarks.scale FOLDER``: BigEarthNet at its real size, from source to answers.

Writes, once, a source into FOLDER: one tar in the official layout with all 590,326 patches under
their real names (see `benchmarks.names`), 7.7 million files, each band with a twentieth of its
rows and columns, and the publisher's lists beside it. Then builds its catalog, validates and
searches it, each in a process of its own, and says how long that took and how much memory.
``--every N`` takes each Nth patch only; ``--years N`` has all of them again in each of N years.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import shutil
import statistics
import struct
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.names import LISTS, Patch, named_patches
from satimnet.builder import build, search, validate
from satimnet.builder import open as open_catalog
from satimnet.builder.datasets import Dataset
from satimnet.builder.query.index import Index
from stactools.bigearthnet import dataset

_STEPS = ("build", "validate", "search", "list")
_LISTED = 50_000  # Items at most
_SMALLER = 20  # times fewer rows and columns than the real bands have
_PATCH = 1200  # metres
_TOP = "BigEarthNet-v1.0"


def main() -> None:
    """Writes the source if it is not there, and measures."""
    parser = argparse.ArgumentParser("python -m benchmarks.scale", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="each Nth patch")
    parser.add_argument("--years", type=int, default=1, metavar="N", help="each patch N times")
    parser.add_argument("--step", choices=_STEPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    source, catalog = arguments.folder / "source", arguments.folder / "catalog"
    if arguments.step is not None:
        _STEP[arguments.step](source, catalog)
        return
    if not source.exists():
        _write(source, arguments.every, arguments.years)
    for step in _STEPS:
        command = [sys.executable, "-m", "benchmarks.scale", "--step", step, arguments.folder]
        subprocess.run(list(map(str, command)), check=True)


# --- the steps ----------------------------------------------------------------------------------


def _build(source: Path, catalog: Path) -> None:
    with _measured("built with processes"):
        (report,) = build(
            [], catalog, assigned={dataset.id: [source]}, datasets=_tiny(), scheduler="processes"
        )
    files = sum(1 for path in catalog.rglob("*") if path.is_file())
    size = os.stat(Index(catalog).collections[dataset.id].parquet).st_size / 2**20
    print(f"  {report.items:,} items, {report.members:,} members, {len(report.problems)} problems")
    print(f"  {files:,} files in the catalog, items.parquet {size:,.0f} MiB")


def _validate(source: Path, catalog: Path) -> None:
    schemas = Path(__file__).parents[2] / "shared" / "schemas"
    with _measured("validated"):
        findings = validate(catalog, schemas=schemas if schemas.is_dir() else None)
    print(f"  {dict(findings.objects)}, {findings.count} problems")


def _search(source: Path, catalog: Path) -> None:
    queries: dict[str, dict[str, Any]] = {
        "class, month and bbox": {
            "classes": "sea-and-ocean",
            "datetime": "2017-10-01/2017-10-31",
            "bbox": (-9.5, 38, -8.5, 39),
            "limit": 100,
        },
        "concept": {"concept": "building", "limit": 100},
        "CQL2": {"filter": "\"satimnet:country\" = 'Ireland' AND platform = 'sentinel-2b'"},
        "ids": {"ids": ["S2A_MSIL2A_20170617T113321_21_30"]},
    }
    queries["CQL2"]["limit"] = 100
    with _measured("all searches"):
        for what, query in queries.items():
            times = []
            index = None
            for _ in range(6):
                start = time.perf_counter()
                index = index or Index(catalog)  # opening it is a part of the first search
                found = len(search(index, **query).items())
                times.append(time.perf_counter() - start)
            cold, warm = times[0], statistics.median(times[1:])
            print(f"  {what}: {found} items, first {cold:.2f} s, then {warm:.3f} s")


def _list(source: Path, catalog: Path) -> None:
    """One Item after the other: as dicts, and as objects of pystac."""
    ways: dict[str, Callable[[], Iterable[Any]]] = {
        "search": lambda: search(catalog, limit=_LISTED),
        "client.search": lambda: open_catalog(catalog).search(max_items=_LISTED).items(),
    }
    with _measured("Items listed"):
        for name, items in ways.items():
            used = time.process_time()
            count = sum(1 for _ in items())
            each = (time.process_time() - used) / count * 1e6
            print(f"  {name}: {count:,} items, {each:,.0f} core-µs an item")


_STEP = {"build": _build, "validate": _validate, "search": _search, "list": _list}


@contextlib.contextmanager
def _measured(what: str) -> Iterator[None]:
    """Prints seconds and the most memory that a process of this step had."""
    started = time.perf_counter()
    yield
    seconds = time.perf_counter() - started
    own, below = (
        resource.getrusage(who).ru_maxrss / 2**20
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(f"{what}: {seconds:,.1f} s, peak {own:.2f} GiB, of one worker {below:.2f} GiB")


def _tiny() -> dict[str, Dataset]:
    """The dataset, of which the builder expects the smaller bands."""
    assets = {
        key: {**spec, "shape": [side // _SMALLER for side in spec["shape"]]}
        if "shape" in spec
        else spec
        for key, spec in dataset.record["assets"].items()
    }
    return {dataset.id: replace(dataset, record=dataset.record.changed(assets=assets))}


# --- the source ---------------------------------------------------------------------------------


def _write(source: Path, every: int, years: int) -> None:
    part = source.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for path in LISTS.glob("*.bz2"):
        shutil.copyfile(path, part / path.name)
    titles = {row["name"]: row["title"] for row in dataset.record["classes"]}
    sides = {
        key: spec["shape"][0] // _SMALLER
        for key, spec in dataset.record["assets"].items()
        if "shape" in spec
    }
    rng = np.random.default_rng(0)
    with (part / f"{_TOP}.tar").open("wb", buffering=2**24) as file:
        for patch in _again(named_patches(dataset.record)[::every], years):
            corner = corner_of(patch)
            folder = f"{_TOP}/{patch.name}/{patch.name}"
            for band, side in sides.items():
                pixels = rng.integers(0, 4000, (side, side), np.uint16).tobytes()
                tiff = _tiff(patch.tile, side) + pixels
                file.write(_entry(f"{folder}_{band}.tif", tiff.replace(_HERE, _doubles(*corner))))
            labels = _labels(patch, corner, [titles[name] for name in patch.classes])
            file.write(_entry(f"{folder}_labels_metadata.json", labels))
        file.write(bytes(2 * tarfile.BLOCKSIZE))
    part.rename(source)


def _again(patches: list[Patch], years: int) -> Iterator[Patch]:
    """The patches, and each of them under the name of the same day in the years after it."""
    for later in range(years):
        for patch in patches:
            year = int(patch.day[0])
            name = patch.name.replace(f"L2A_{year}", f"L2A_{year + later}", 1)
            yield replace(patch, name=name)


def _entry(name: str, data: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % tarfile.BLOCKSIZE)


def _labels(patch: Patch, corner: tuple[int, int], titles: list[str]) -> bytes:
    date = "".join(patch.day)
    content = {
        "labels": titles,
        "coordinates": {
            "ulx": corner[0],
            "uly": corner[1],
            "lrx": corner[0] + _PATCH,
            "lry": corner[1] - _PATCH,
        },
        "tile_source": f"{patch.name[:3]}_MSIL1C_{date}T100021_N0205_R122_T{patch.tile}"
        f"_{date}T100316.SAFE",
        "acquisition_date": f"{'-'.join(patch.day)} 10:00:21",
    }
    return json.dumps(content).encode()


def corner_of(patch: Patch) -> tuple[int, int]:
    """Easting and northing of the upper left corner, from its tile and its place in it.

    Tiles are squares of the Military Grid Reference System, their corners moved to multiples of
    60 metres. https://sentiwiki.copernicus.eu/web/s2-products (tiling grid).
    """
    zone, band, column, row = int(patch.tile[:2]), *patch.tile[2:]
    columns = ("STUVWXYZ", "ABCDEFGH", "JKLMNPQR")[zone % 3]
    rows = "ABCDEFGHJKLMNPQRSTUV" if zone % 2 else "FGHJKLMNPQRSTUVABCDE"
    east = 100_000 * (columns.index(column) + 1)
    north = 100_000 * rows.index(row)
    # rows repeat every 2,000 km; the band of latitude, of 8 degrees, tells which are meant
    lowest = 110_600 * (8 * "CDEFGHJKLMNPQRSTUVWX".index(band) - 80) - 100_000
    while north < lowest:
        north += 2_000_000
    x, y = map(int, patch.name.split("_")[3:])
    left, top = east // 60 * 60, -(-(north + 100_000) // 60) * 60
    return left + _PATCH * x, top - _PATCH * y


def _doubles(east: float, north: float) -> bytes:
    return struct.pack("<2d", east, north)


_HERE = _doubles(1e300, 1e300)  # no coordinates; those of the patch are put in their place


@cache
def _tiff(tile: str, side: int) -> bytes:
    """A GeoTIFF of one band of uint16 up to its pixels, with `_HERE` for its corner."""
    size = 2 * side * side
    scale = _PATCH / side
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32600 + int(tile[:2]))
    count = 13
    after = 8 + 2 + 12 * count + 4
    places = (after, after + 24, after + 24 + 48)  # of the scale, the corner and the keys
    start = places[2] + 2 * len(keys)
    short, long, double = 3, 4, 12
    entries = [
        (256, short, 1, side),
        (257, short, 1, side),
        (258, short, 1, 16),
        (259, short, 1, 1),
        (262, short, 1, 1),
        (273, long, 1, start),
        (277, short, 1, 1),
        (278, short, 1, side),
        (279, long, 1, size),
        (339, short, 1, 1),
        (33550, double, 3, places[0]),
        (33922, double, 6, places[1]),
        (34735, short, len(keys), places[2]),
    ]
    stream = io.BytesIO()
    stream.write(struct.pack("<2sHIH", b"II", 42, 8, count))
    for entry in entries:
        stream.write(struct.pack("<HHII", *entry))
    stream.write(struct.pack("<I3d", 0, scale, scale, 0))
    stream.write(struct.pack("<3d", 0, 0, 0) + _HERE + struct.pack("<d", 0))
    stream.write(struct.pack(f"<{len(keys)}H", *keys))
    return stream.getvalue()


if __name__ == "__main__":
    main()
