"""A miniature BigEarthNet v2.0 in its official layout, with made-up pixels, for demo and tests.

Five of the patches of version 1.0's miniature, as if they had been processed anew: a little
brighter, with a Sentinel-1 image and a reference map each, and divided into splits in another way.
One lacks its Sentinel-1 image and one its reference map; one is in no table, and one row of the
table has no image.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stactools.bigearthnet import dataset as first_version
from stactools.bigearthnet.miniature import (
    PATCHES,
    Patch,
    band_pixels,
    class_shares,
    geotiff,
    sentinel1_name,
    surfaces_of,
)

if TYPE_CHECKING:
    pass

TABLE = "metadata.parquet"
OTHER_TABLE = "metadata_for_patches_with_snow_cloud_or_shadow.parquet"
_ARCHIVES = ("BigEarthNet-S2", "BigEarthNet-S1", "Reference_Maps")
_CHOSEN = {0: "train", 1: "test", 2: "validation", 11: "train", 12: "test"}
"""Patches by their number in version 1.0's miniature, with their splits."""
_WITHOUT_ROW, _WITHOUT_RADAR, _WITHOUT_MAP, _WITHOUT_IMAGE = 12, 1, 2, 3
_CHANGED = 1.03  # of reflectance, as sen2cor was renewed
# Decibels of VV and VH.
_BACKSCATTER = {"water": (-20, -28), "roofs": (-4, -12), "spruce": (-9, -15), "beech": (-8, -14)}
_LAND = (-11, -18)


def write_miniature(folder: Path, seed: int = 0) -> list[Path]:
    """Writes the archives and the tables into ``folder``; returns what to build from.

    The same seed gives the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, dict[str, bytes]] = {archive: {} for archive in _ARCHIVES}
    for at in _CHOSEN:
        for archive, own in patch_files(PATCHES[at], at, seed).items():
            files[archive] |= own
    for name in _path_of_radar(PATCHES[_WITHOUT_RADAR]), _path_of_map(PATCHES[_WITHOUT_MAP]):
        for own in files.values():
            for path in [path for path in own if path.startswith(name)]:
                del own[path]
    for archive, own in files.items():
        _write_archive(folder / f"{archive}.tar.zst", own)
    rows = {at: _row(PATCHES[at], split) for at, split in _CHOSEN.items() if at != _WITHOUT_ROW}
    rows[_WITHOUT_IMAGE] = _row(PATCHES[_WITHOUT_IMAGE], "validation")
    for name, snow in ((TABLE, False), (OTHER_TABLE, True)):
        own_rows = [row for row in rows.values() if row["contains_seasonal_snow"] is snow]
        write_table(folder / name, sorted(own_rows, key=lambda row: str(row["patch_id"])))
    return [folder]


def patch_files(patch: Patch, number: int, seed: int = 0) -> dict[str, dict[str, bytes]]:
    """All files of a patch by archive and path, as published."""
    name, radar = patch_name(patch), sentinel1_name(patch)
    shares = class_shares(patch, np.random.default_rng((seed, number)))
    bands = band_pixels(patch, np.random.default_rng((seed, number)))
    rng = np.random.default_rng((seed, number, 2))
    decibels = np.array([_BACKSCATTER.get(kind, _LAND) for kind in surfaces_of(patch)], np.float32)
    codes = {row["title"]: row["value"] for row in first_version.record.class_rows}
    titles = np.array([codes.get(title, 335) for title in patch.labels], np.uint16)
    optical, radars = {}, {}
    for band, pixels in sorted(bands.items()):
        changed = (pixels * _CHANGED).astype(np.uint16)
        optical[f"{_path_of(name)}_{band}.tif"] = geotiff(patch, changed, nodata=0)
    for at, band in enumerate(("VV", "VH")):
        speckle = 4.3 * np.log10(rng.gamma(4.0, 0.25, shares.shape[1:]))
        backscatter = (np.tensordot(decibels[:, at], shares, 1) + speckle).astype(np.float32)
        radars[f"{_path_of_radar(patch)}/{radar}_{band}.tif"] = geotiff(patch, backscatter)
    codes_of_pixels = titles[shares.argmax(axis=0)]
    map_ = geotiff(patch, codes_of_pixels, nodata=0, compress="deflate", predictor=2)
    return {
        "BigEarthNet-S2": optical,
        "BigEarthNet-S1": dict(sorted(radars.items())),
        "Reference_Maps": {f"{_path_of_map(patch)}/{name}_reference_map.tif": map_},
    }


def patch_name(patch: Patch) -> str:
    """The name of a patch of version 1.0 in version 2.0."""
    x, y = map(int, patch.name.split("_")[3:])
    time = "".join(letter for letter in patch.time.replace(" ", "T") if letter not in "-:")
    return f"{patch.name[:3]}_MSIL2A_{time}_N9999_R022_T{patch.tile}_{x:02}_{y:02}"


def write_table(path: Path, rows: list[Mapping[str, Any]]) -> None:
    """Writes rows of a table as the publisher does."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = ("patch_id", "split", "country", "s1_name", "s2v1_name")
    flags = ("contains_seasonal_snow", "contains_cloud_or_shadow")
    names = (text[0], "labels", *text[1:], *flags)
    kinds = dict.fromkeys(text, pa.string()) | dict.fromkeys(flags, pa.bool_())
    kinds["labels"] = pa.list_(pa.string())
    schema = pa.schema([(name, kinds[name]) for name in names])
    pq.write_table(pa.Table.from_pylist(list(rows), schema), path, compression="zstd")


def _row(patch: Patch, split: str) -> dict[str, Any]:
    nineteen = {
        name: row["title"]
        for row in first_version.record["nomenclature_19"]
        for name in row["classes"]
    }
    names = {row["title"]: row["name"] for row in first_version.record.class_rows}
    joined = {nineteen.get(names.get(title, "")) for title in patch.labels} - {None}
    return {
        "patch_id": patch_name(patch),
        "labels": sorted(map(str, joined)),
        "split": split,
        "country": patch.country,
        "s1_name": sentinel1_name(patch),
        "s2v1_name": patch.name,
        "contains_seasonal_snow": patch.season == "Winter",
        "contains_cloud_or_shadow": False,
    }


def _path_of(name: str) -> str:
    """The files of a patch, without what follows its name."""
    return f"BigEarthNet-S2/{name.rsplit('_', 2)[0]}/{name}/{name}"


def _path_of_radar(patch: Patch) -> str:
    name = sentinel1_name(patch)
    return f"BigEarthNet-S1/{name.rsplit('_', 3)[0]}/{name}"


def _path_of_map(patch: Patch) -> str:
    name = patch_name(patch)
    return f"Reference_Maps/{name.rsplit('_', 2)[0]}/{name}"


def _write_archive(path: Path, files: Mapping[str, bytes]) -> None:
    import pyarrow as pa

    stored = io.BytesIO()
    with tarfile.open(fileobj=stored, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(files[name]), 1_704_067_200
            tar.addfile(member, io.BytesIO(files[name]))
    with pa.CompressedOutputStream(str(path), "zstd") as out:
        out.write(stored.getvalue())
