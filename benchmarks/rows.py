"""``python -m benchmarks.rows FOLDER``: what rows cost, from packed samples to ``items.parquet``.

Takes packed samples as a build has them after a shard is written, with all their names, places and
byte ranges but without pixels (see `benchmarks.names`), and makes rows and the file of them. Says
how many rows a core makes in a second, how large file and footer are, and what an Item costs to
read back. ``--every N`` takes each Nth patch of BigEarthNet only, ``--publish`` puts the figures
into the pages.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.markdown import keep
from benchmarks.names import Patch, named_patches
from benchmarks.scale import corner_of
from benchmarks.selecting import member_of
from benchmarks.table import versions, where
from satimnet.builder.catalog.collections import collection_of
from satimnet.builder.catalog.geoparquet import MappedRows, write_parquet
from satimnet.builder.catalog.item_rows import rows_of
from satimnet.builder.catalog.rows_to_items import items_of
from satimnet.builder.collector import without_collector
from satimnet.builder.packing.shards import PackedMember, PackedSample, Shard
from satimnet.builder.query.parquet_rows import FileRows
from satimnet.builder.query.row_pages import RowPages
from satimnet.builder.samples import Sample
from stactools.bigearthnet import dataset as bigearthnet
from stactools.eurosat import dataset as eurosat

_SHARD = 2000  # samples; so many of BigEarthNet have 256 MiB
_SIDE = 1200  # metres, of a patch
_PROMISED = {"eurosat": 50_000, "bigearthnet": 12_000}  # rows made in a core-second
NAME = "rows"
"""Of the figures that are kept."""


def main() -> None:
    """Makes the rows of both datasets, and measures."""
    parser = argparse.ArgumentParser("python -m benchmarks.rows", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="each Nth patch")
    parser.add_argument("--publish", action="store_true", help="put the table into the pages")
    arguments = parser.parse_args()
    arguments.folder.mkdir(exist_ok=True)
    lines = [_measure(arguments.folder, "eurosat", eurosat.record, eurosat_shards(eurosat.record))]
    patches = named_patches(bigearthnet.record)[:: arguments.every]
    shards = bigearthnet_shards(bigearthnet.record, patches)
    lines.append(_measure(arguments.folder, "bigearthnet", bigearthnet.record, shards))
    if arguments.publish:
        keep({**where(), "versions": versions(), "lines": lines}, NAME)


def _measure(
    folder: Path, name: str, record: Mapping[str, Any], shards: Iterator[list[PackedSample]]
) -> dict[str, Any]:
    """Makes the rows of a dataset, and their file; returns what it took."""
    paths, rates, rows, spent = [], [], 0, 0.0
    for at, samples in enumerate(shards):
        shard = Shard(f"shard-{at:05d}", 2**28, tuple(samples), (), f"shard-{at:05d}.zip")
        with without_collector():  # as in a build
            started = time.process_time()
            table = rows_of(shard, record)
            used = time.process_time() - started
        rates.append(len(table) / used)
        spent += used
        paths.append(folder / f"{name}-{at:05d}.arrow")
        with pa.OSFile(str(paths[-1]), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        rows += len(table)
    rate = rows / spent
    print(f"{name}: {rows:,} rows, {rate:,.0f} rows a core-second ({min(rates):,.0f} at least)")
    tables = MappedRows(paths)
    file = folder / f"{name}.parquet"
    collection = collection_of(record, tables)
    started = time.process_time()
    write_parquet(tables, collection, file)
    used = time.process_time() - started
    for path in paths:
        path.unlink()
    footer = pq.read_metadata(file)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"  file of {file.stat().st_size / rows:,.0f} bytes a row, footer of "
        f"{footer.serialized_size / 1e6:.2f} MB, {footer.num_row_groups} groups, "
        f"{rows / used:,.0f} rows written a core-second, peak {peak:.2f} GiB"
    )
    reading = {count: _reading(file, rows, count) for count in (1, 100)}
    for count, seconds in reading.items():
        print(f"  {count} rows: {seconds * 1e3:.1f} core-ms")
    return {
        "dataset": name,
        "rows": rows,
        "made_per_core_second": rate,
        "promised": _PROMISED[name],
        "written_per_core_second": rows / used,
        "bytes_of_row": file.stat().st_size / rows,
        "footer": footer.serialized_size,
        "core_seconds_to_read": {str(count): seconds for count, seconds in reading.items()},
        "peak": peak,
    }


def _reading(file: Path, rows: int, count: int) -> float:
    """Core-seconds that Items of a search take, whose numbers lie near each other."""
    rng = np.random.default_rng(0)
    times = []
    with pq.ParquetFile(file) as opened:
        pages = RowPages.of(opened, FileRows.of(opened).rows_of_page)
        assert pages is not None
        names = opened.schema_arrow.names
        pages.learn(str(file), opened, np.arange(rows))
        for _ in range(7):
            first = int(rng.integers(rows - count))
            numbers = np.sort(rng.choice(min(rows - first, 4 * count), count, replace=False))
            started = time.process_time()
            found = pages.rows(str(file), first + numbers, names)
            assert found is not None
            items_of(found[0], str(file))
            times.append(time.process_time() - started)
    return statistics.median(times)


# --- samples as they are when their shard is written --------------------------------------------


def eurosat_shards(record: Mapping[str, Any]) -> Iterator[list[PackedSample]]:
    """All samples of EuroSAT: a GeoTIFF each, some of them in each UTM zone of Europe."""
    rng = np.random.default_rng(1)
    member = member_of("multispectral", record["assets"]["multispectral"])
    for row in record["classes"]:
        packed: list[PackedSample] = []
        for number in range(1, 2701):
            sample = Sample(f"{row['name']}_{number}", (row["name"],), (), (row["name"],))
            east, north = rng.integers(200_000, 800_000), rng.integers(4_000_000, 6_500_000)
            place = (f"EPSG:{rng.integers(32629, 32636)}", float(east), float(north))
            placed = _placed([member], sample.id, len(packed), place, 640, rng)
            packed.append(PackedSample(sample, placed, sample.classes))
        yield packed


def bigearthnet_shards(
    record: Mapping[str, Any], patches: Sequence[Patch], shard: int = _SHARD
) -> Iterator[list[PackedSample]]:
    """Patches as shards hold them: by year, month and tile, at most ``shard`` of them in one."""
    rng = np.random.default_rng(2)
    members = [
        member_of(asset, spec) for asset, spec in record["assets"].items() if "bands" in spec
    ]
    members.append(PackedMember("labels", "labels.json", 0, 400, ""))

    def level(patch: Patch) -> tuple[str, ...]:
        return (*patch.day[:2], patch.tile)

    for key, group in itertools.groupby(sorted(patches, key=lambda p: (level(p), p.name)), level):
        own = list(group)
        for start in range(0, len(own), shard):
            packed: list[PackedSample] = []
            for patch in own[start : start + shard]:
                sample = Sample(
                    patch.name,
                    key,
                    (),
                    patch.classes,
                    datetime=f"{'-'.join(patch.day)}T10:00:21Z",
                    properties={
                        "platform": f"sentinel-2{patch.name[2].lower()}",
                        "satimnet:country": patch.country,
                        "bigearthnet:season": patch.season,
                        "bigearthnet:tile": patch.tile,
                    },
                )
                east, north = map(float, corner_of(patch))
                place = (f"EPSG:{32600 + int(patch.tile[:2])}", east, north)
                placed = _placed(members, patch.name, len(packed), place, _SIDE, rng)
                packed.append(PackedSample(sample, placed, patch.classes))
            yield packed


def _placed(
    members: Sequence[PackedMember],
    name: str,
    at: int,
    place: tuple[str, float, float],
    side: int,
    rng: np.random.Generator,
) -> tuple[PackedMember, ...]:
    """The members of the sample at a place in its shard, each with a checksum of its own."""
    crs, east, north = place
    size = sum(member.size + 256 for member in members)
    first = at * size
    placed = []
    for member in members:
        path = f"{name}/{name}_{member.path}"
        header = member.header
        if header is not None:
            step = side / header.shape[0]
            header = replace(header, crs=crs, transform=(step, 0.0, east, 0.0, -step, north))
        placed.append(
            member._replace(path=path, first=first, sha256=rng.bytes(32).hex(), header=header)
        )
        first += member.size + 256
    return tuple(placed)


if __name__ == "__main__":
    main()
