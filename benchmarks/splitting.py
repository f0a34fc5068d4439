"""``python -m benchmarks.splitting FOLDER``: what a split costs at full scale.

Writes, once, a catalog without shards into FOLDER: the Items of all 590,326 patches of BigEarthNet
with their real names, tiles and times (see `benchmarks.names`), and their places as the names tell
them: neighbouring tiles overlap there by some 10 km, as they do. Then processes of their own make
splits of it, and say how long that took, how much memory, and how even the classes are.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import shapely

from benchmarks.names import Patch, named_patches
from satimnet.builder.catalog.collections import collection_of
from satimnet.builder.catalog.geoparquet import PARQUET_NAME
from satimnet.builder.catalog.item_columns import item_schema
from satimnet.builder.catalog.tree import with_links
from satimnet.builder.publishing import protocol as publishing
from satimnet.builder.publishing.protocol import Made, Vocabulary
from satimnet.builder.splitting.dividing import split
from stactools.bigearthnet import dataset as bigearthnet

_RUNS: Mapping[str, Mapping[str, Any]] = {
    "blocks of 10 km, shares": {"by": "block"},
    "blocks of 10 km, 5 folds": {"by": "block", "folds": 5},
    "blocks of 10 km, 5 folds, overlaps apart": {"by": "block", "folds": 5, "overlaps": False},
    "scenes, shares, overlaps apart": {"by": "scene", "overlaps": False},
}
_GROUP = 2000  # rows
_SIDE = 1200.0  # metres of a patch
_COLUMNS = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_BANDS = "CDEFGHJKLMNPQRSTUVWX"
_METRES = 110_946.0  # of a degree of latitude, about: enough to choose among squares of 2,000 km


def main() -> None:
    """Writes the catalog if it is not there, and measures."""
    parser = argparse.ArgumentParser("python -m benchmarks.splitting", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run is not None:
        _measure(arguments.folder, arguments.run)
        return
    if not (arguments.folder / "catalog.json").exists():
        _write(arguments.folder)
    for run in _RUNS:
        command = [sys.executable, "-m", "benchmarks.splitting", str(arguments.folder)]
        subprocess.run([*command, "--run", run], check=True)


def _measure(catalog: Path, run: str) -> None:
    started, used = time.perf_counter(), time.process_time()
    made = split(catalog, images=False, name="measured", **_RUNS[run])
    seconds, used = time.perf_counter() - started, time.process_time() - used
    status = Path("/proc/self/status").read_text()  # ru_maxrss has the parent's memory in it
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 2**20
    total = sum(made.parts.values())
    uneven = sorted(made.unevenness.values())
    print(
        f"{run}: {total:,} items in {seconds:.1f} s ({used:.1f} core-seconds), peak {peak:.2f} "
        f"GiB; {made.groups:,} groups, the largest {made.largest / total:.1%}; parts "
        f"{', '.join(f'{items / total:.1%}' for items in made.parts.values())}; classes within "
        f"{uneven[-1]:.1%} of even, half of them within {uneven[len(uneven) // 2]:.2%}"
    )


# --- the catalog --------------------------------------------------------------------------------


def _write(catalog: Path) -> None:
    record = bigearthnet.record
    schema = item_schema(record)
    patches = named_patches(record)
    with tempfile.TemporaryDirectory(dir=catalog.parent) as folder:
        home = Path(folder, "bigearthnet")
        home.mkdir()
        outlines = _outlines(patches)
        with pq.ParquetWriter(home / PARQUET_NAME, schema, compression="zstd") as file:
            for start in range(0, len(patches), _GROUP):
                at = slice(start, start + _GROUP)
                file.write_table(_rows(patches[at], outlines[at], schema))
        made = Made(with_links(collection_of(record), {}), "version", home)
        publishing.add(catalog, [made], Vocabulary({record.id: record}))


def _rows(patches: Sequence[Patch], outlines: Any, schema: pa.Schema) -> pa.Table:
    box = shapely.bounds(outlines)
    names = ("xmin", "ymin", "xmax", "ymax")
    times = [f"{'-'.join(p.day)}T{_clock(p.name)}Z" for p in patches]
    known: dict[str, Any] = {
        "type": ["Feature"] * len(patches),
        "stac_version": ["1.1.0"] * len(patches),
        "id": [patch.name for patch in patches],
        "collection": ["bigearthnet"] * len(patches),
        "geometry": shapely.to_wkb(outlines),
        "bbox": [dict(zip(names, row)) for row in box.tolist()],
        "datetime": pa.array(times).cast(schema.field("datetime").type),
        "satimnet:classes": [list(patch.classes) for patch in patches],
        "satimnet:country": [patch.country for patch in patches],
        "bigearthnet:tile": [patch.tile for patch in patches],
    }
    columns = [
        pa.nulls(len(patches), field.type)
        if field.name not in known
        else known[field.name]
        if isinstance(known[field.name], pa.Array)
        else pa.array(known[field.name], field.type)
        for field in schema
    ]
    return pa.table(columns, schema)


def _clock(name: str) -> str:
    text = name.split("_")[2].partition("T")[2].zfill(6)
    return ":".join(f"{min(int(text[at : at + 2]), 59):02d}" for at in (0, 2, 4))  # some have 60


def _outlines(patches: Sequence[Patch]) -> Any:
    """The footprints in degrees, by tile, column and row in the names."""
    outlines = np.empty(len(patches), object)
    zones = np.array([int(patch.tile[:2]) for patch in patches])
    corners = np.array([_corner(patch) for patch in patches])
    ring = np.array([(0, 0), (_SIDE, 0), (_SIDE, -_SIDE), (0, -_SIDE), (0, 0)])
    for zone in np.unique(zones).tolist():
        own = np.flatnonzero(zones == zone)
        points = (corners[own, None] + ring).reshape(-1, 2)
        crs = f"EPSG:{32600 + zone}"
        there = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        degrees = np.column_stack(there.transform(*points.T)).reshape(-1, 5, 2)
        outlines[own] = shapely.polygons(degrees)
    return outlines


def _corner(patch: Patch) -> tuple[float, float]:
    """Easting and northing of the upper left corner, in the zone of the tile (MGRS)."""
    zone, band, column, row = int(patch.tile[:2]), *patch.tile[2:]
    east = (_COLUMNS[(zone - 1) % 3].index(column) + 1) * 100_000.0
    north = (_ROWS.index(row) - (5 if zone % 2 == 0 else 0)) % 20 * 100_000.0
    least = (-80 + 8 * _BANDS.index(band)) * _METRES - 100_000
    while north < least:
        north += 2_000_000
    x, y = map(int, patch.name.split("_")[3:5])
    return east + x * _SIDE, north + 100_000 - y * _SIDE


if __name__ == "__main__":
    main()
