"""Members on the move: copied from the shards of one catalog into a shard of another."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from satimnet.builder.catalog.items import SHA256, SHARDS, Item
from satimnet.builder.errors import BadCatalogError
from satimnet.builder.packing.shard_plans import MAX_SHARD_SIZE
from satimnet.builder.packing.shards import ContentDigest, ShardWriter
from satimnet.builder.storage.assets import read_bytes
from satimnet.builder.storage.checked_offsets import run_of, span_of


def copy_members(items: list[Item], folder: Path, name: str) -> None:
    """Copies the members of Items into one new shard, and writes into their assets where they lie.

    Args:
        items: The Items; hrefs of their assets are absolute.
        folder: That of the new shard.
        name: That of the new shard, but for what tells its content.

    Raises:
        BadCatalogError: a member is not what its Item says, or none that can be copied.
        StorageError: a shard cannot be read.
    """
    packed = []
    digest = ContentDigest()
    path = folder / f"{name}.zip.part"
    with path.open("wb", buffering=2**20) as file:
        writer = ShardWriter(file)
        for item in items:
            for key, asset in item["assets"].items():
                if "archive" in asset:
                    _add(item["id"], key, asset, writer, digest)
                    packed.append(asset)
        writer.finish()
    file_name = digest.file_name(name)
    os.replace(path, folder / file_name)
    for asset in packed:
        asset |= {"href": f"{SHARDS}/{file_name}", "file:size": writer.size}


def _add(
    id_: str, key: str, asset: dict[str, Any], writer: ShardWriter, digest: ContentDigest
) -> None:
    moved = []
    for number, entry in enumerate(asset["archive"]):
        name = entry["href"]
        first, size = span_of(entry, f"{id_}, asset {key}")
        inside = not posixpath.isabs(name) and ".." not in name.split("/") and "\\" not in name
        if not inside or size > MAX_SHARD_SIZE:
            raise BadCatalogError(
                f"{id_}, asset {key}: {name!r:.80} is no member that can be copied"
            )
        data = read_bytes(asset, number)
        said, found = entry.get("file:checksum"), hashlib.sha256(data).hexdigest()
        if said is not None and said != SHA256 + found:
            raise BadCatalogError(
                f"{asset['href']}: {name} has not the checksum that {id_} says; if the collection "
                "was built again meanwhile, search again, else copy or build it again"
            )
        at = writer.add(name, data)
        digest.add(name, found)
        moved.append((first, size, at))
        entry["range"] = [at, at + size - 1]
        _shift(entry, moved[-1:], f"{id_}, asset {key}")
    _shift(asset, moved, f"{id_}, asset {key}")


def _shift(fields: dict[str, Any], moved: Sequence[tuple[int, int, int]], label: str) -> None:
    """Lets ``satimnet:pixels`` tell where the pixels lie now; ``moved`` is from, size, to."""
    if fields.get("satimnet:pixels") is None:
        return
    run = run_of(fields["satimnet:pixels"], label)
    for first, size, at in moved:
        if first <= run.offset <= run.offset + run.size <= first + size:
            fields["satimnet:pixels"]["offset"] += at - first
            return
    raise BadCatalogError(f"{label}: its pixels lie outside of its file; build the catalog again")
