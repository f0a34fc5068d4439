"""``python -m benchmarks.selecting FOLDER``: what selecting ``paper.toml`` costs at full scale.

Writes, once, a catalog without shards into FOLDER: the Items of all 590,326 patches of BigEarthNet
(see `benchmarks.names`) and of 27,000 of EuroSAT. No Item has a place. Then a process of its own
selects, and says how long that took and how much memory.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.names import named_patches
from satimnet.builder.catalog.collections import collection_of
from satimnet.builder.catalog.geoparquet import PARQUET_NAME, table_of
from satimnet.builder.catalog.item_columns import item_schema
from satimnet.builder.catalog.items import describe
from satimnet.builder.catalog.tree import with_links
from satimnet.builder.imagery.headers import Header, Pixels
from satimnet.builder.packing.shards import PackedMember, PackedSample, Shard
from satimnet.builder.publishing import protocol as publishing
from satimnet.builder.publishing.protocol import Made, Vocabulary
from satimnet.builder.query.index import Index
from satimnet.builder.samples import Sample
from satimnet.training.fusion.recipes import read_recipe
from satimnet.training.fusion.selection import select
from stactools.bigearthnet import dataset as bigearthnet
from stactools.eurosat import dataset as eurosat

_SHARD = 2000  # patches of BigEarthNet that a shard of 256 MiB holds, about


def main() -> None:
    """Writes the catalog if it is not there, and measures."""
    parser = argparse.ArgumentParser("python -m benchmarks.selecting", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        _measure(arguments.folder)
        return
    if not (arguments.folder / "catalog.json").exists():
        _write(arguments.folder)
    command = [sys.executable, "-m", "benchmarks.selecting", "--here", str(arguments.folder)]
    subprocess.run(command, check=True)


def _measure(catalog: Path) -> None:
    recipe = read_recipe("paper")
    started, used = time.perf_counter(), time.process_time()
    index = Index(catalog)
    drawn = select(recipe, index)
    seconds = time.perf_counter() - started
    items = sum(pq.ParquetFile(c.parquet).metadata.num_rows for c in index.collections.values())
    for one in drawn:
        print(f"{len(one.table):6,} of {one.found:7,}  {one.draw.label}")
    used = time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{sum(len(d.table) for d in drawn):,} of {items:,} items selected in {seconds:.1f} s "
        f"({used:.1f} core-seconds), peak of the whole process {peak:.2f} GiB"
    )


# --- the catalog --------------------------------------------------------------------------------


def _write(catalog: Path) -> None:
    records = {"bigearthnet": bigearthnet.record, "eurosat": eurosat.record}
    with tempfile.TemporaryDirectory(dir=catalog.parent) as folder:
        made = [
            _made(Path(folder, "bigearthnet"), records["bigearthnet"], _bigearthnet),
            _made(Path(folder, "eurosat"), records["eurosat"], _eurosat),
        ]
        publishing.add(catalog, made, Vocabulary(records))


def _made(
    folder: Path,
    record: Mapping[str, Any],
    shards: Callable[[Mapping[str, Any]], Iterator[Sequence[PackedSample]]],
) -> Made:
    folder.mkdir()
    with pq.ParquetWriter(folder / PARQUET_NAME, item_schema(record), compression="zstd") as file:
        for at, samples in enumerate(shards(record)):
            shard = Shard(f"shard-{at:05d}", 2**28, tuple(samples), (), f"shard-{at:05d}.zip")
            table = table_of(describe(shard, record), record)
            file.write_table(table, row_group_size=len(table))
    return Made(with_links(collection_of(record), {}), "version", folder)


def _bigearthnet(record: Mapping[str, Any]) -> Iterator[list[PackedSample]]:
    rng = np.random.default_rng(2)
    rows = named_patches(record)
    members = [
        member_of(asset, spec) for asset, spec in record["assets"].items() if "bands" in spec
    ]
    for start in range(0, len(rows), _SHARD):
        packed: list[PackedSample] = []
        for patch in rows[start : start + _SHARD]:
            year, month, day = patch.day
            sample = Sample(
                patch.name,
                (year, month, patch.tile),
                (),
                patch.classes,
                datetime=f"{year}-{month}-{day}T10:00:00Z",
                properties={"platform": f"sentinel-2{patch.name[2].lower()}"}
                | {"satimnet:country": patch.country, "bigearthnet:season": patch.season},
            )
            placed = _placed(members, patch.name, len(packed), rng)
            packed.append(PackedSample(sample, placed, patch.classes))
        yield packed


def _eurosat(record: Mapping[str, Any]) -> Iterator[list[PackedSample]]:
    rng = np.random.default_rng(1)
    members = [member_of("multispectral", record["assets"]["multispectral"])]
    for row in record["classes"]:
        packed: list[PackedSample] = []
        for number in range(1, 2701):
            sample = Sample(f"{row['name']}_{number}", (row["name"],), (), (row["name"],))
            packed.append(
                PackedSample(sample, _placed(members, sample.id, len(packed), rng), sample.classes)
            )
        yield packed


def member_of(asset: str, spec: Mapping[str, Any]) -> PackedMember:
    """A file of an asset as its record describes it: uncompressed, at the start of a shard."""
    rows, columns = spec["shape"]
    bands = len(spec["bands"])
    pixels = Pixels(384, (rows, columns, bands), ("y", "x", "band"))
    header = Header((rows, columns), bands, "<u2", pixels)
    return PackedMember(asset, f"{asset}.tif", 0, 384 + rows * columns * bands * 2, "", header)


def _placed(
    members: Sequence[PackedMember], name: str, at: int, rng: np.random.Generator
) -> tuple[PackedMember, ...]:
    """The members of the sample at a place in its shard, each with a checksum of its own."""
    size = sum(member.size + 256 for member in members)
    first = at * size
    placed = []
    for member in members:
        path = f"{name}/{name}_{member.asset}.tif"
        placed.append(member._replace(path=path, first=first, sha256=rng.bytes(32).hex()))
        first += member.size + 256
    return tuple(placed)


if __name__ == "__main__":
    main()
