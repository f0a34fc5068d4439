"""Index files: which files the rows of an ``items.parquet`` lead to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from satimnet.builder.catalog.parquet_writing import PARTS, part_name
from satimnet.builder.errors import StorageError
from satimnet.builder.storage.hrefs import is_url
from satimnet.builder.storage.remote_files import files_by_ranges
from satimnet.builder.storage.stores import shown

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_FILES = 10_000  # what a file of others may say


def files_of_index(
    parquet: str | os.PathLike[str], *, strict: bool = False, alone: bool = False
) -> dict[str, Any]:
    """The files that rows lead to, as assets: without Items in the tree nothing else names them.

    A file that is no such index leads to nothing; using it is not judging it.

    Args:
        parquet: Path or URL of the file.
        strict: Whether that is an error, as for those who remove what no rows lead to.
        alone: Whether only this file is read, and not the others of an index of several.

    Raises:
        StorageError: with ``strict``, the file cannot be read, or is no index.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    places = [os.fspath(parquet)]
    found: set[tuple[str | None, int | None]] = set()  # few, of rows that may be millions
    keys = ("href", "file:size")
    for place in places:
        try:
            source: Any = files_by_ranges().open(place) if is_url(place) else place
            with pq.ParquetFile(source) as opened:
                if len(places) == 1 and not alone:
                    places += _others(place, opened.metadata.metadata)
                names = [field.name for field in opened.schema_arrow.field("assets").type]
                for name in names:
                    columns = [f"assets.{name}.{key}" for key in keys]
                    for batch in opened.iter_batches(columns=columns):
                        asset = batch.column("assets")
                        both = pa.table([_field(asset, name, key) for key in keys], keys)
                        each = both.group_by(list(keys)).aggregate([])
                        found.update(zip(*(each[key].to_pylist() for key in keys), strict=True))
        except (OSError, LookupError, TypeError, ValueError, pa.ArrowException) as error:
            if strict:
                raise StorageError(
                    f"{shown(place)}: cannot be read, but tells what is needed; build it again"
                ) from error
            return {}
    return {"assets": [{"href": href, "file:size": size} for href, size in found if href]}


def _field(assets: pa.Array, name: str, key: str) -> pa.Array:
    """The values of a field of an asset; null where it has none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if key != "href" and assets.type.field(name).type.get_field_index(key) < 0:
        return pa.nulls(len(assets), pa.int64())
    return pc.struct_field(assets, [name, key])


def _others(place: str, metadata: Mapping[bytes, bytes] | None) -> list[str]:
    """The other files of an index, as the first says."""
    count = int((metadata or {}).get(PARTS.encode(), b"1"))
    folder, slash, name = place.rpartition("/")
    return [f"{folder}{slash}{part_name(name, at)}" for at in range(1, min(count, _MOST_FILES))]
