"""Building a catalog: satimnet, a script by hand, and the floor that nothing can go below."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import dask.config
from deflate import crc32, deflate_decompress

from benchmarks.by_hand import catalog_by_hand
from benchmarks.data import Data
from benchmarks.table import Row
from benchmarks.timing import Contender, race
from satimnet.builder.imagery.headers import read_header
from satimnet.builder.pipeline import build
from satimnet.builder.scanning.archives import ZIP_HEADER, zip_data_offset
from satimnet.builder.storage.atomic_files import sync
from stactools.eurosat import dataset

_CONTRACT = 1
"""Never slower than the script."""
_SHARES = {"13-band GeoTIFF": (0.4, 0.6), "RGB JPEG": (0.25, 0.35)}
"""Shares of the floor that are promised: of so few files that what is done once for a collection
counts most, and of more."""
_FEW = 1000
_MOST_BY_HAND = 10_000
"""Files that the script is given: pystac takes four times as long for twice as many."""


def building_rows(data: Data, rounds: int) -> Iterator[Row]:
    """Rows for both editions."""
    editions = (
        ("13-band GeoTIFF", data.tiff_source, data.tiffs),
        ("RGB JPEG", data.jpeg_source, data.jpegs),
    )
    for edition, source, files in editions:
        yield from _edition_rows(edition, source, files, data.folder, rounds)


def catalog_of(source: Path, out: Path) -> int:
    """Builds the catalog ``out`` in one thread; returns how many image files are in it.

    Worker processes, the default of the command line, first import everything: that is no steady
    work and would be counted here.
    """
    with dask.config.set(num_workers=1):
        return sum(report.members for report in build([source], out, scheduler="threads"))


def _edition_rows(
    edition: str, source: Path, files: list[Path], folder: Path, rounds: int
) -> Iterator[Row]:
    out, by_hand, copied = folder / "built", folder / "by-hand", folder / "copied"
    clear = {path: partial(shutil.rmtree, path, ignore_errors=True) for path in (out, by_hand)}
    clear[copied] = partial(copied.unlink, missing_ok=True)
    contenders = {
        "satimnet": Contender(lambda: catalog_of(source, out), clear[out]),
        "floor": Contender(lambda: _copy(source, copied), clear[copied]),
        "flushed": Contender(lambda: _copy_and_flush(source, copied), clear[copied]),
        "hash": Contender(lambda: _hash_and_header(files)),
    }
    if len(files) <= _MOST_BY_HAND:
        contenders["script"] = Contender(
            lambda: catalog_by_hand(files, dataset.record, by_hand), clear[by_hand]
        )
    for contender in contenders.values():
        contender.work()
    if "script" in contenders:
        _require_same(out, by_hand, len(files))
    laps = race(contenders, rounds)
    for remove in clear.values():
        remove()
    what = f"build {edition}: patches"
    if "script" in laps:
        yield Row(what, "pystac, rasterio", laps["satimnet"], laps["script"], _CONTRACT)
    share = _SHARES[edition][len(files) >= _FEW]
    yield Row(what, "floor", laps["satimnet"], laps["floor"], share)
    yield Row(what, "floor, and fsync", laps["satimnet"], laps["flushed"])
    yield Row(what, "read, sha256, header", laps["satimnet"], laps["hash"])


def _copy(source: Path, out: Path) -> int:
    """What no build can do without, by the fastest libraries: the bytes are read, of an archive
    inflated, SHA-256 and CRC-32 are made of them, and they are written once."""
    count = 0
    contents: Iterable[bytes | bytearray]
    contents = _files_in(source) if source.is_dir() else _members_of(source)
    with out.open("wb", buffering=2**20) as file:
        for data in contents:
            hashlib.sha256(data).hexdigest()
            crc32(data)
            file.write(data)
            count += 1
    return count


def _copy_and_flush(source: Path, out: Path) -> int:
    """As `_copy`, and onto the disk as the builder does it."""
    count = _copy(source, out)
    sync(out.parent)
    return count


def _files_in(folder: Path) -> Iterable[bytes]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            opened = os.open(os.path.join(root, name), os.O_RDONLY)
            try:
                yield os.read(opened, os.fstat(opened).st_size)
            finally:
                os.close(opened)


def _members_of(archive: Path) -> Iterable[bytes | bytearray]:
    with zipfile.ZipFile(archive) as opened, archive.open("rb", buffering=0) as file:
        for info in opened.infolist():
            if info.is_dir():
                continue
            size = ZIP_HEADER + len(info.filename) + 64 + info.compress_size
            stored = os.pread(file.fileno(), size, info.header_offset)
            start = zip_data_offset(stored, 0)
            assert start is not None
            packed = stored[start : start + info.compress_size]
            yield deflate_decompress(packed, info.file_size)


def _hash_and_header(files: list[Path]) -> int:
    for file in files:
        data = file.read_bytes()
        hashlib.sha256(data).digest()
        read_header(data, str(file))
    return len(files)


def _require_same(built: Path, by_hand: Path, count: int) -> None:
    """The Items of both must say the same of every file; numbers of degrees to 1e-6."""
    ours, theirs = _items(built / dataset.id), _items(by_hand)
    if not len(ours) == len(theirs) == count:
        raise AssertionError(f"{len(ours)} and {len(theirs)} Items of {count} files")
    for name, item in theirs.items():
        if _comparable(item) != _comparable(_lying_open(ours[name])):
            raise AssertionError(f"{name}: the Items differ\n{item}\n{ours[name]}")


def _items(folder: Path) -> dict[str, dict[str, Any]]:
    contents = (json.loads(path.read_bytes()) for path in folder.glob("**/*.json"))
    return {c["id"]: c for c in contents if c.get("type") == "Feature"}


def _lying_open(item: dict[str, Any]) -> dict[str, Any]:
    """Our Item as it would be if its files were not members of a shard."""
    assets = {}
    for key, asset in item["assets"].items():
        (member,) = asset["archive"]
        assets[key] = {k: v for k, v in (asset | member).items() if k not in ("archive", "range")}
        if "satimnet:pixels" in asset:
            pixels = dict(asset["satimnet:pixels"])
            pixels["offset"] -= member["range"][0]
            assets[key]["satimnet:pixels"] = pixels
    extensions = [uri for uri in item["stac_extensions"] if "/archive/" not in uri]
    return item | {"assets": assets, "stac_extensions": extensions}


def _comparable(item: dict[str, Any]) -> dict[str, Any]:
    """What two Items must agree in: all but links and hrefs (of the file, only its name counts)."""
    outline = item["geometry"] and list(chain(*item["geometry"]["coordinates"][0]))
    assets = {
        key: asset | {"href": os.path.basename(asset["href"])}
        for key, asset in item["assets"].items()
    }
    places = {"geometry": outline, "bbox": item.get("bbox")}
    return (
        {k: v for k, v in item.items() if k != "links"}
        | {"assets": assets, "stac_extensions": sorted(item["stac_extensions"])}
        | {k: v and [round(number, 6) for number in v] for k, v in places.items()}
    )
