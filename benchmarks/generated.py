"""A catalog of BigEarthNet's Items without its source: rows from a generator, for searches.

The names, places, days, countries, seasons and splits are the publisher's, of all 590,326 patches
(see `benchmarks.names`); each Item has its 12 bands and its labels as a build describes them, and
no shard is there. Copies lie in other years, every second one also 40 degrees further east; their
checksums repeat digits, so that ten of them fit into 3 GiB.

What all Items of a shard have in common is described by the builder. What differs is made column
by column: 590,326 Items take a minute, where describing each of them takes five.
"""

from __future__ import annotations

import bz2
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyproj
import shapely
from numpy.typing import NDArray

from benchmarks.names import LISTS, Patch, named_patches
from benchmarks.scale import corner_of
from satimnet.builder.catalog.collections import collection_of
from satimnet.builder.catalog.geoparquet import PARQUET_NAME, table_of, write_parquet
from satimnet.builder.catalog.item_columns import BBOX
from satimnet.builder.catalog.items import SHA256, describe
from satimnet.builder.catalog.tree import with_links
from satimnet.builder.imagery.headers import Header, Pixels
from satimnet.builder.packing.shards import PackedMember, PackedSample, Shard
from satimnet.builder.publishing import protocol as publishing
from satimnet.builder.publishing.protocol import Made, Vocabulary
from satimnet.builder.samples import Sample
from stactools.bigearthnet import dataset

_SHARD = 1850  # patches that a shard of 256 MiB holds, about
_PATCH = 1200  # metres
_HEADER = 256  # bytes of a band before its pixels
_LABELS_SIZE = 384
_EAST = 40.0  # degrees
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def write_catalog(catalog: Path, copies: int = 1) -> int:
    """Writes the catalog; returns how many Items it has."""
    tables = Rows(_patches(), copies)
    with tempfile.TemporaryDirectory(dir=catalog.parent) as folder:
        home = Path(folder, "made")
        home.mkdir()
        collection = collection_of(dataset.record)
        files = write_parquet(tables, collection, home / PARQUET_NAME)
        collection = with_links(collection, {}, indexes=len(files))
        made = Made(collection, "version", home)
        publishing.add(catalog, [made], Vocabulary({dataset.id: dataset.record}))
    return tables.rows


# --- what is known of the patches ---------------------------------------------------------------


@dataclass(frozen=True)
class _Patches:
    """Columns of all patches, in the order in which a build packs them: by level, then name."""

    known: pa.Table
    """``name``, ``country``, ``season``, ``split``."""
    levels: list[tuple[str, str, str]]
    """Year, month and tile of each."""
    meaning: NDArray[np.int64]
    """Rows of ``meanings``."""
    meanings: pa.Table
    """The columns that depend on the classes."""
    corners: NDArray[np.float64]
    """Longitude and latitude of a closed ring, shape (patch, 5, 2)."""
    metres: NDArray[np.float64]
    """Easting and northing of the upper left corner, shape (patch, 2)."""


def _patches() -> _Patches:
    found = sorted(
        named_patches(dataset.record), key=lambda patch: (*patch.day[:2], patch.tile, patch.name)
    )
    splits = _splits()
    combinations = {classes: at for at, classes in enumerate({p.classes: None for p in found})}
    columns = {
        "name": [patch.name for patch in found],
        "country": [patch.country for patch in found],
        "season": [patch.season for patch in found],
        "split": [splits.get(patch.name) for patch in found],
    }
    metres = np.array([corner_of(patch) for patch in found], float)
    return _Patches(
        pa.table(columns, pa.schema(dict.fromkeys(columns, pa.string()))),
        [(*patch.day[:2], patch.tile) for patch in found],
        np.array([combinations[patch.classes] for patch in found]),
        _meanings(list(combinations)),
        _rings(found, metres),
        metres,
    )


def _splits() -> dict[str, str]:
    found: dict[str, str] = {}
    for file, split in (("train", "train"), ("val", "validation"), ("test", "test")):
        text = bz2.decompress((LISTS / f"{file}.csv.bz2").read_bytes()).decode()
        found |= {line.partition(",")[0].strip(): split for line in text.splitlines()}
    return found


def _meanings(combinations: Sequence[tuple[str, ...]]) -> pa.Table:
    """What the builder says of each combination of classes."""
    joined = {
        name: row["name"] for row in dataset.record["nomenclature_19"] for name in row["classes"]
    }
    samples = []
    for classes in combinations:
        others = {"bigearthnet:classes_19": sorted({joined[n] for n in classes if n in joined})}
        samples.append(PackedSample(Sample("", (), (), classes, properties=others), (), classes))
    shard = Shard("", 0, tuple(samples), (), "")
    table = table_of(describe(shard, dataset.record), dataset.record)
    names = ["satimnet:classes", "satimnet:concepts", "themes", "bigearthnet:classes_19"]
    return table.select(names).combine_chunks()


def _rings(patches: Sequence[Patch], metres: NDArray[np.float64]) -> NDArray[np.float64]:
    steps = _PATCH * np.array([(0, 0), (0, -1), (1, -1), (1, 0), (0, 0)])
    points: NDArray[np.float64] = metres[:, None, :] + steps
    zones = np.array([int(patch.tile[:2]) for patch in patches])
    for zone in np.unique(zones):
        here = zones == zone
        change = pyproj.Transformer.from_crs(32600 + int(zone), 4326, always_xy=True)
        points[here] = np.stack(
            change.transform(points[here][..., 0], points[here][..., 1]), axis=-1
        )
    return points.round(7)


# --- their rows ---------------------------------------------------------------------------------


class Rows(Sequence["pa.Table"]):
    """The tables of all shards, each made anew when it is looked at: the same every time."""

    def __init__(self, patches: _Patches, copies: int) -> None:
        self._patches = patches
        ends = [
            at
            for at in range(1, len(patches.levels))
            if patches.levels[at] != patches.levels[at - 1]
        ]
        self._parts = [
            (copy, first, min(first + _SHARD, end))
            for copy in range(copies)
            for start, end in zip([0, *ends], [*ends, len(patches.levels)], strict=True)
            for first in range(start, end, _SHARD)
        ]
        self.rows = copies * len(patches.levels)
        self._digits = 64 if copies == 1 else 16

    def __len__(self) -> int:
        return len(self._parts)

    @overload
    def __getitem__(self, at: int) -> pa.Table: ...
    @overload
    def __getitem__(self, at: slice) -> list[pa.Table]: ...
    def __getitem__(self, at: int | slice) -> pa.Table | list[pa.Table]:
        if isinstance(at, slice):
            return [self[one] for one in range(len(self))[at]]
        return _table(self._patches, *self._parts[at], self._digits)


def _table(patches: _Patches, copy: int, first: int, end: int, digits: int) -> pa.Table:
    """The rows of a shard."""
    count = end - first
    rng = np.random.default_rng((copy, first))
    year, month, tile = patches.levels[first]
    moved = str(int(year) + copy // 2)
    known = patches.known.slice(first, count).combine_chunks()
    names = pc.replace_substring(known["name"], f"L2A_{year}", f"L2A_{moved}", max_replacements=1)
    names = names.combine_chunks()
    days = pc.utf8_slice_codeunits(names, 11, 19)
    metres = patches.metres[first:end]
    rings = patches.corners[first:end] + np.array([_EAST * (copy % 2), 0])
    code = f"EPSG:326{tile[:2]}"
    sample, members = _first(names[0].as_py(), (moved, month, tile), code, tuple(metres[0]))
    shard = f"{moved}-{month}-{tile}-{copy % 2}{first:07d}"
    size = count * _stride(members)
    packed = PackedSample(sample, members, sample.classes)
    described = describe(Shard(shard, size, (packed,), (), f"{shard}.zip"), dataset.record)
    one = table_of(described, dataset.record)
    rows = one.take(pa.array(np.zeros(count, np.int64))).combine_chunks()
    low, high = rings.min(axis=1), rings.max(axis=1)
    box = [low[:, 0], low[:, 1], high[:, 0], high[:, 1]]
    times = pc.strptime(pc.binary_join_element_wise(days, "T100021", ""), "%Y%m%dT%H%M%S", "us")
    product = ("_MSIL1C_", "T100021_N0205_R122_T" + tile + "_", "T100316.SAFE")
    units = pc.utf8_slice_codeunits(names, 0, 3)
    meanings = patches.meanings.take(pa.array(patches.meaning[first:end]))
    own: dict[str, Any] = {
        "id": names,
        "title": names,
        "geometry": pa.array(shapely.to_wkb(shapely.polygons(rings)).tolist(), pa.binary()),
        "bbox": pa.StructArray.from_arrays([pa.array(side) for side in box], list(BBOX)),
        "datetime": times.cast(pa.timestamp("us", tz="UTC")),
        "proj:transform": _transforms(metres, 10),
        "satimnet:split": known["split"],
        "satimnet:country": known["country"],
        "bigearthnet:season": known["season"],
        "platform": pc.binary_join_element_wise(
            "sentinel-2", pc.utf8_lower(pc.utf8_slice_codeunits(names, 2, 3)), ""
        ),
        "bigearthnet:source_product": pc.binary_join_element_wise(
            units, product[0], days, product[1], days, product[2], ""
        ),
        **dict(zip(meanings.column_names, meanings.columns, strict=True)),
        "assets": _assets(rows["assets"].combine_chunks(), names, members, metres, digits, rng),
    }
    for name in rows.column_names:
        at = rows.column_names.index(name)
        if name in own:
            rows = rows.set_column(at, rows.schema.field(name), own[name])
        elif rows[name].null_count == count:  # in all shards
            rows = rows.remove_column(at)
    return rows


def _first(
    name: str, level: tuple[str, str, str], code: str, corner: tuple[float, float]
) -> tuple[Sample, tuple[PackedMember, ...]]:
    """A sample of a shard, and its members."""
    members = []
    at = 0
    for asset, spec in dataset.record["assets"].items():
        if "shape" not in spec:
            members.append(PackedMember(asset, name, at, _LABELS_SIZE, "0" * 64))
            continue
        side = spec["shape"][0]
        size = _HEADER + 2 * side * side
        pixels = Pixels(_HEADER, (side, side, 1), ("y", "x", "band"))
        step = float(_PATCH // side)
        transform = (step, 0.0, corner[0], 0.0, -step, corner[1])
        header = Header((side, side), 1, "<u2", pixels, code, transform)
        members.append(PackedMember(asset, name, at, size, "0" * 64, header))
        at += size + 128
    flags = {"bigearthnet:seasonal_snow": False, "bigearthnet:cloud_or_shadow": False}
    others = {
        **flags,
        "platform": "",
        "satimnet:country": "",
        "bigearthnet:season": "",
        "bigearthnet:tile": level[2],
        "bigearthnet:source_product": "",
        "bigearthnet:classes_19": [""],
    }
    classes = (dataset.record["classes"][0]["name"],)
    sample = Sample(
        name, level, (), classes, "train", datetime="2017-01-01T00:00:00Z", properties=others
    )
    return sample, tuple(members)


def _stride(members: Sequence[PackedMember]) -> int:
    """Bytes of a patch in its shard."""
    return members[-1].first + members[-1].size + 128


def _transforms(metres: NDArray[np.float64], step: float) -> pa.Array:
    values = np.zeros((len(metres), 6))
    values[:, 0], values[:, 4] = step, -step
    values[:, 2], values[:, 5] = metres[:, 0], metres[:, 1]
    return pa.ListArray.from_arrays(
        pa.array(np.arange(0, values.size + 1, 6, dtype=np.int32)), pa.array(values.ravel())
    )


def _assets(
    assets: pa.StructArray,
    names: pa.Array,
    members: Sequence[PackedMember],
    metres: NDArray[np.float64],
    digits: int,
    rng: np.random.Generator,
) -> pa.StructArray:
    """The column of assets, in which each row's say where its own members lie."""
    starts = np.arange(len(names)) * _stride(members)
    parts = []
    for member, asset in zip(members, assets.flatten(), strict=True):
        band = member.header is not None
        ending = f"_{member.asset}.tif" if band else "_labels_metadata.json"
        first = starts + member.first
        range_ = np.stack((first, first + member.size - 1), axis=1).ravel()
        archive: dict[str, Any] = {
            "href": pc.binary_join_element_wise(
                names, "/", pc.binary_join_element_wise(names, ending, ""), ""
            ),
            "range": pa.ListArray.from_arrays(
                pa.array(np.arange(0, range_.size + 1, 2, dtype=np.int32)), pa.array(range_)
            ),
            "file:checksum": _checksums(len(names), digits, rng),
        }
        inner = asset.field("archive").values
        changes: dict[str, Any] = {
            "archive": pa.ListArray.from_arrays(
                pa.array(np.arange(len(names) + 1, dtype=np.int32)), _changed(inner, archive)
            )
        }
        if band:
            offset = pa.array(first + _HEADER)
            changes["satimnet:pixels"] = _changed(
                asset.field("satimnet:pixels"), {"offset": offset}
            )
        if asset.field("proj:transform").null_count == 0:
            side = dataset.record["assets"][member.asset]["shape"][0]
            changes["proj:transform"] = _transforms(metres, _PATCH // side)
        parts.append(_changed(asset, changes))
    return pa.StructArray.from_arrays(parts, fields=list(assets.type))


def _changed(column: pa.StructArray, changes: Mapping[str, pa.Array]) -> pa.StructArray:
    """The column with other fields in place of those named."""
    fields = list(column.type)
    parts = [changes.get(field.name, column.field(field.name)) for field in fields]
    return pa.StructArray.from_arrays(parts, fields=fields)


def _checksums(count: int, digits: int, rng: np.random.Generator) -> pa.Array:
    """As many texts, as ``file:checksum`` has them, of which the first digits are random."""
    length = len(SHA256) + 64
    texts = np.empty((count, length), np.uint8)
    texts[:, : len(SHA256)] = np.frombuffer(SHA256.encode(), np.uint8)
    texts[:, len(SHA256) :] = ord("0")
    last = len(SHA256) + digits
    texts[:, len(SHA256) : last] = _HEX[rng.integers(0, 16, (count, digits), np.uint8)]
    offsets = np.arange(0, texts.size + 1, length, dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(texts))
