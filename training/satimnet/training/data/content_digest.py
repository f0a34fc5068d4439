"""Digests of what samples hold, so that a training knows that they are the same as before.

The index has checksums of its files, but reading a shard does not compare them. Here the files that
a training reads are hashed once before it begins, and compared with what the index says.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from satimnet.builder.catalog.items import SHA256
from satimnet.builder.errors import BadCatalogError, SatimnetError, StorageError
from satimnet.builder.storage.hrefs import is_url, join, open_regular
from satimnet.builder.storage.ranges import fetch
from satimnet.training.data.image_assets import images_of
from satimnet.training.data.layouts import locate_all, locate_mask
from satimnet.training.data.sample_table import SampleTable

_SHA256 = re.compile(f"{SHA256}[0-9a-f]{{64}}")
_AT_ONCE = 1024
"""Files of other machines that are asked for at a time."""
_PART = 2**24  # bytes of a file that are in memory at once while it is hashed


class _Value(Protocol):
    """A value of a mask, and the class that it means."""

    @property
    def value(self) -> int: ...
    @property
    def name(self) -> str: ...


class MaskRead(Protocol):
    """What of a mask is learned from: its asset and the meaning of its values."""

    @property
    def key(self) -> str: ...  # noqa: D102
    @property
    def classes(self) -> Sequence[_Value]: ...  # noqa: D102


Table = TypeVar("Table", bound=SampleTable)


def with_contents(samples: Table, bands: Sequence[str] | None, mask: MaskRead | None) -> Table:
    """Gives samples a column with the digests of the files that a training reads.

    Args:
        samples: The samples.
        bands: Names of the bands that are read; None for all.
        mask: The mask that is read; None for none.

    Returns:
        The samples. Their subsets have the column, too, and are not hashed again.

    Raises:
        SatimnetError: As `digest_of`.
    """
    keys = _keys(samples, bands, mask)
    if _column(keys) in samples.table.column_names:
        return samples
    locate_all(samples, bands)  # every file is one member of a shard, or this says what is wrong
    if mask is not None:
        locate_mask(samples, mask.key)
    together = [hashlib.sha256() for _ in range(len(samples))]
    for key in keys:
        for one, content in zip(together, _of_asset(samples, key), strict=True):
            one.update(content)
    column = pa.array([one.digest() for one in together], pa.binary())
    return replace(samples, table=samples.table.append_column(_column(keys), column))


def digest_of(
    parts: Iterable[SampleTable], bands: Sequence[str] | None, mask: MaskRead | None
) -> str:
    """A digest of what the samples of a training hold and what it means.

    It follows from their ids, classes, files and order, the part that they are in, and how class
    table and bands are read. Files on this machine are hashed. Of files on other machines the index
    is believed; they are read only where it has no checksum.

    Args:
        parts: The samples to learn from, those held out, and so on.
        bands: Names of the bands that are read; None for all.
        mask: The mask that is read; None for none.

    Returns:
        The SHA-256 in hexadecimal digits.

    Raises:
        BadCatalogError: A file on this machine has another checksum than the index says, or ends
            too early; the message names the shard.
        StorageError: A shard cannot be read.
    """
    digest = hashlib.sha256()
    for part in parts:
        keys = _keys(part, bands, mask)
        part = with_contents(part, bands, mask)
        values = () if mask is None else [(row.value, row.name) for row in mask.classes]
        read = [(key, part.bands.get(key)) for key in keys]
        meaning = [part.classes, values, read, part.crop]
        digest.update(f"{json.dumps(meaning)}\n".encode())
        tags = part.table["satimnet:classes"].to_pylist()
        contents = part.table[_column(keys)].to_pylist()
        for name, classes, content in zip(part.ids, tags, contents, strict=True):
            digest.update(f"{name}\t{','.join(classes or ())}\t{content.hex()}\n".encode())
    return digest.hexdigest()


def _keys(
    samples: SampleTable, bands: Sequence[str] | None, mask: MaskRead | None
) -> tuple[str, ...]:
    """The assets that are read."""
    return (*images_of(samples, bands), *(() if mask is None else (mask.key,)))


def _column(keys: Iterable[str]) -> str:
    """The name of the column with the digests."""
    return f"contents of {', '.join(keys)}"


def _of_asset(samples: SampleTable, key: str) -> list[bytes]:
    """SHA-256 of each sample's file, and of where its pixels lie in it."""
    asset = pc.struct_field(samples.table["assets"], [key]).combine_chunks()
    members = pc.list_flatten(pc.struct_field(asset, ["archive"]))
    ranges = pc.list_flatten(pc.struct_field(members, ["range"]))
    parquets = samples.table["parquet"].to_pylist()
    hrefs = pc.struct_field(asset, ["href"]).to_pylist()
    shards: dict[tuple[str, str], list[int]] = {}
    for row, place in enumerate(zip(hrefs, parquets, strict=True)):
        shards.setdefault(place, []).append(row)
    first, last = np.asarray(ranges).astype(np.int64).reshape(-1, 2).T
    stated = _stated(members)
    found: list[bytes] = [b""] * len(samples)

    def read(shard: tuple[tuple[str, str], list[int]]) -> None:
        (href, parquet), rows = shard
        href = join(href, parquet)
        remote = is_url(href)
        if remote:
            rows = [row for row in rows if stated[row] is None]
        hashed = (_fetched if remote else _hashed)(href, first[rows].tolist(), last[rows].tolist())
        for row, content in zip(rows, hashed, strict=True):
            if stated[row] not in (None, content):
                raise BadCatalogError(
                    f"{href}: {key} of {samples.ids[row]} is not the file that the catalog "
                    "describes; satimnet validate --checksums lists all such files, "
                    "build or copy the catalog again"
                )
            found[row] = content

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing lets other threads run
        deque(pool.map(read, shards.items()), maxlen=0)
    found = [content or known or b"" for content, known in zip(found, stated, strict=True)]
    if asset.type.get_field_index("satimnet:pixels") >= 0:
        places = pc.struct_field(asset, ["satimnet:pixels"]).to_pylist()
        found = [f"{c.hex()} {place}".encode() for c, place in zip(found, places, strict=True)]
    return found


def _stated(members: Any) -> list[bytes | None]:
    """The SHA-256 that the index has of each member; None where it has none."""
    if members.type.get_field_index("file:checksum") < 0:
        return [None] * len(members)
    texts: list[str | None] = pc.struct_field(members, ["file:checksum"]).to_pylist()
    return [
        bytes.fromhex(text.removeprefix(SHA256)) if text and _SHA256.fullmatch(text) else None
        for text in texts
    ]


def _fetched(href: str, first: Sequence[int], last: Sequence[int]) -> list[bytes]:
    """SHA-256 of parts of a file on another machine."""
    found = []
    for at in range(0, len(first), _AT_ONCE):
        starts = first[at : at + _AT_ONCE]
        sizes = [end - start + 1 for start, end in zip(starts, last[at : at + _AT_ONCE])]
        for data in fetch([href] * len(starts), starts, sizes):
            found.append(hashlib.sha256(data).digest())
    return found


def _hashed(path: str, first: Sequence[int], last: Sequence[int]) -> list[bytes]:
    """SHA-256 of parts of a file on this machine."""
    found = []
    try:
        with open_regular(path) as file:
            for start, end in zip(first, last, strict=True):
                digest, at = hashlib.sha256(), start
                while at <= end and (data := os.pread(file.fileno(), min(_PART, end + 1 - at), at)):
                    digest.update(data)
                    at += len(data)
                if at <= end:
                    raise BadCatalogError(
                        f"{path}: ends before byte {end:,}, which the catalog says is there; "
                        "copy it or build it again"
                    )
                found.append(digest.digest())
    except SatimnetError:
        raise
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}; the catalog needs this shard") from error
    return found
