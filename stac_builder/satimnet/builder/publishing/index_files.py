"""Index files: which files the rows of an ``items.parquet`` lead to."""

from __future__ import annotations

import os
from typing import Any

from satimnet.builder.errors import StorageError
from satimnet.builder.storage.hrefs import is_url
from satimnet.builder.storage.remote_files import files_by_ranges
from satimnet.builder.storage.stores import shown


def files_of_index(parquet: str | os.PathLike[str], *, strict: bool = False) -> dict[str, Any]:
    """The files that rows lead to, as assets: without Items in the tree nothing else names them.

    A file that is no such index leads to nothing; using it is not judging it.

    Args:
        parquet: Path or URL of the file.
        strict: Whether that is an error, as for those who remove what no rows lead to.

    Raises:
        StorageError: with ``strict``, the file cannot be read, or is no index.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    place = os.fspath(parquet)
    found: set[tuple[str | None, int | None]] = set()  # few, of rows that may be millions
    keys = ("href", "file:size")
    try:
        source: Any = files_by_ranges().open(place) if is_url(place) else place
        with pq.ParquetFile(source) as opened:
            names = [field.name for field in opened.schema_arrow.field("assets").type]
            for name in names:
                columns = [f"assets.{name}.{key}" for key in keys]
                for batch in opened.iter_batches(columns=columns):
                    asset = batch.column("assets")
                    both = pa.table([pc.struct_field(asset, [name, key]) for key in keys], keys)
                    each = both.group_by(list(keys)).aggregate([])
                    found.update(zip(*(each[key].to_pylist() for key in keys), strict=True))
    except (OSError, LookupError, TypeError, pa.ArrowException) as error:
        if strict:
            raise StorageError(
                f"{shown(place)}: cannot be read, but tells what is needed; build it again"
            ) from error
        return {}
    return {"assets": [{"href": href, "file:size": size} for href, size in found if href]}
