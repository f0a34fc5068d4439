"""``python -m benchmarks.selecting FOLDER``: what selecting ``paper.toml`` costs at full scale.

Writes, once, a catalog without shards into FOLDER: the Items of all 590,326 patches of BigEarthNet
under their real names, and of 27,000 of EuroSAT. The labels are those of version 2 of BigEarthNet
(19 classes), each of which becomes one of the 43 that it joins, drawn by how often the publisher
counts them; patches that version 2 lacks have the labels of others. No Item has a place. Then a
process of its own selects, and says how long that took and how much memory.
"""

from __future__ import annotations

import argparse
import bz2
import csv
import io
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from satimnet.builder.catalogs import (
    PARQUET_NAME,
    collection_of,
    write_collection,
    write_root,
)
from satimnet.builder.headers import Header, Pixels
from satimnet.builder.index import Index
from satimnet.builder.items import describe
from satimnet.builder.rows import item_schema, table_of
from satimnet.builder.samples import Sample
from satimnet.builder.shards import PackedMember, PackedSample, Shard
from satimnet.builder.skos import write_concepts
from satimnet.training.recipes import read_recipe
from satimnet.training.selection import select
from stactools.bigearthnet import dataset as bigearthnet
from stactools.eurosat import dataset as eurosat

_TABLES = Path(__file__).parents[2] / "shared" / "data" / "bigearthnet" / "metadata"
_NAMES = "s1_s2_name_country_season.csv.bz2"
_LABELS = (
    "bigearthnet_v2_metadata.parquet",
    "bigearthnet_v2_metadata_for_patches_with_snow_cloud_or_shadow.parquet",
)
_SHARD = 2000  # patches of BigEarthNet that a shard of 256 MiB holds, about

# Patches of each class where one of the 19 joins several: table 2 of
# https://doi.org/10.1109/IGARSS.2019.8900532; of the others all that count is that they occur.
_COUNTS = {
    "continuous-urban-fabric": 10_784,
    "discontinuous-urban-fabric": 69_872,
    "non-irrigated-arable-land": 196_695,
    "permanently-irrigated-land": 13_589,
    "rice-fields": 3_793,
    "vineyards": 9_567,
    "fruit-trees-and-berry-plantations": 4_754,
    "olive-groves": 12_538,
    "annual-crops-associated-with-permanent-crops": 7_022,
    "natural-grassland": 12_835,
    "sparsely-vegetated-areas": 1_563,
    "moors-and-heathland": 5_890,
    "sclerophyllous-vegetation": 11_241,
    "inland-marshes": 6_236,
    "peatbogs": 23_207,
    "salt-marshes": 1_562,
    "salines": 424,
    "water-courses": 10_572,
    "water-bodies": 83_811,
    "coastal-lagoons": 1_498,
    "estuaries": 1_086,
    "sea-and-ocean": 81_612,
}


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
    catalog.mkdir(parents=True, exist_ok=True)
    records = {"bigearthnet": bigearthnet.record, "eurosat": eurosat.record}
    _write_items(catalog, records["bigearthnet"], _bigearthnet(records["bigearthnet"]))
    _write_items(catalog, records["eurosat"], _eurosat(records["eurosat"]))
    write_concepts(catalog, records)
    write_root(catalog)


def _write_items(
    catalog: Path, record: Mapping[str, Any], shards: Iterator[Sequence[PackedSample]]
) -> None:
    folder = catalog / record["id"]
    folder.mkdir(exist_ok=True)
    with pq.ParquetWriter(folder / PARQUET_NAME, item_schema(record), compression="zstd") as file:
        for at, samples in enumerate(shards):
            shard = Shard(f"shard-{at:05d}", 2**28, tuple(samples), ())
            table = table_of(describe(shard, record), record)
            file.write_table(table, row_group_size=len(table))
    write_collection(collection_of(record), {}, folder)


def _bigearthnet(record: Mapping[str, Any]) -> Iterator[list[PackedSample]]:
    rng = np.random.default_rng(0)
    text = bz2.decompress((_TABLES / _NAMES).read_bytes()).decode()
    rows = sorted(csv.DictReader(io.StringIO(text)), key=lambda row: row["s2_name"])
    labels = _labels(record, rng)
    others = list(labels.values())
    members = [_member(asset, spec) for asset, spec in record["assets"].items() if "bands" in spec]
    for start in range(0, len(rows), _SHARD):
        packed: list[PackedSample] = []
        for row in rows[start : start + _SHARD]:
            name = row["s2_name"]
            classes = labels.get(name) or others[rng.integers(len(others))]
            day = name.split("_")[2]
            sample = Sample(
                name,
                (day[:4], day[4:6], row["s1_name"].split("_")[5]),
                (),
                classes,
                datetime=f"{day[:4]}-{day[4:6]}-{day[6:8]}T10:00:00Z",
                properties={"platform": f"sentinel-2{name[2].lower()}"}
                | {"satimnet:country": row["country"], "bigearthnet:season": row["season"]},
            )
            packed.append(PackedSample(sample, _placed(members, name, len(packed), rng), classes))
        yield packed


def _labels(record: Mapping[str, Any], rng: np.random.Generator) -> dict[str, tuple[str, ...]]:
    """Of each patch that version 2 knows the classes, as far as they can be told."""
    joined = {row["title"]: row["classes"] for row in record["nomenclature_19"]}
    tables = [pq.read_table(_TABLES / name, columns=["s2v1_name", "labels"]) for name in _LABELS]
    found: dict[str, tuple[str, ...]] = {}
    for row in pa.concat_tables(tables).to_pylist():
        names = []
        for title in row["labels"]:
            classes = joined[title]
            weights = np.array([_COUNTS.get(name, 1) for name in classes], float)
            names.append(
                classes[int(np.searchsorted(weights.cumsum() / weights.sum(), rng.random()))]
            )
        found[row["s2v1_name"]] = tuple(sorted(names))
    return found


def _eurosat(record: Mapping[str, Any]) -> Iterator[list[PackedSample]]:
    rng = np.random.default_rng(1)
    members = [_member("multispectral", record["assets"]["multispectral"])]
    for row in record["classes"]:
        packed: list[PackedSample] = []
        for number in range(1, 2701):
            sample = Sample(f"{row['name']}_{number}", (row["name"],), (), (row["name"],))
            packed.append(
                PackedSample(sample, _placed(members, sample.id, len(packed), rng), sample.classes)
            )
        yield packed


def _member(asset: str, spec: Mapping[str, Any]) -> PackedMember:
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
        placed.append(replace(member, path=path, first=first, sha256=rng.bytes(32).hex()))
        first += member.size + 256
    return tuple(placed)


if __name__ == "__main__":
    main()
