"""Publishing of splits: a table gets into a catalog, on disk or in an object store, in one step."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

from satimnet.builder.errors import (
    ArgumentError,
    BadCatalogError,
    NotFoundError,
    SatimnetError,
    printable,
)
from satimnet.builder.publishing import protocol
from satimnet.builder.publishing.roots import ROOT_ID, Root
from satimnet.builder.publishing.split_tables import (
    DIGITS,
    FOLDER,
    METADATA,
    MULTIHASH,
    NAME_PATTERN,
    REL,
    SplitLink,
    SplitTable,
    table_schema,
)
from satimnet.builder.storage import objects
from satimnet.builder.storage.atomic_files import write
from satimnet.builder.storage.hrefs import is_url
from satimnet.builder.storage.staging import lock
from satimnet.builder.storage.stores import shown
from satimnet.builder.types import Json

PARQUET_TYPE = "application/vnd.apache.parquet"


def require_name(name: str) -> None:
    """Raises `ArgumentError` if a split cannot have the name."""
    if not NAME_PATTERN.fullmatch(name):
        raise ArgumentError(
            f"name {printable(name)!r:.90}: give letters, digits, dots, dashes and underscores, "
            "at most 80",
            "name",
        )


def require_splittable(document: Mapping[str, Any], home: str) -> None:
    """Refuses a catalog that satimnet did not write, as its root is not to be replaced.

    Raises:
        BadCatalogError: it is another's.
    """
    if document.get("id") != ROOT_ID:
        raise BadCatalogError(
            f"{shown(home)}: is no catalog of satimnet, so no split is written to it; "
            "make one of your own with satimnet copy or search --save"
        )


def publish_split(
    home: str, name: str, table: SplitTable, *, single_writer: bool = False
) -> SplitLink:
    """Writes a table to a catalog and links it as the current one of its name.

    Args:
        home: place of the catalog's folder, a path or the URL of an object store.
        name: of the split.
        table: the division.
        single_writer: as `satimnet.builder.publishing.protocol.publish`.

    Raises:
        ArgumentError: there can be no such name.
        StorageError: it cannot be written.
        BadCatalogError: what is there is no catalog of satimnet.
    """
    require_name(name)
    data = _bytes_of(table)
    digest = hashlib.sha256(data).hexdigest()
    link = SplitLink(name, digest, f"./{FOLDER}/{name}-{digest[:DIGITS]}.parquet")
    place = f"{home}/{posixpath.normpath(link.href)}"

    def change(root: Root) -> Root:
        if not root.titles:
            raise NotFoundError(f"{shown(home)}: no catalog is there any more")
        others = [one for one in root.others if one.get("href") != link.href]
        return replace(root, others=(*others, _json_of(link, table)))

    on_disk = not is_url(home)
    with lock(Path(home), wait=protocol.WAITING) if on_disk else nullcontext():
        if on_disk:
            _require_room(Path(home, FOLDER))
            write(Path(place), data)
        else:
            objects.write(place, data)
        protocol.replace_root(home, change, single_writer=single_writer)
    return link


def _json_of(link: SplitLink, table: SplitTable) -> Json:
    return {
        "rel": REL,
        "href": link.href,
        "type": PARQUET_TYPE,
        "title": f"Split {link.name}: {table.said.get('title', '')}".rstrip(": "),
        "file:checksum": MULTIHASH + link.digest,
    }


def _require_room(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise SatimnetError(f"{folder}: is there already and is no folder; move it")


def _bytes_of(table: SplitTable) -> bytes:
    import pyarrow.parquet as pq

    rows = table.rows.cast(table_schema())
    said = json.dumps(table.said, sort_keys=True, ensure_ascii=False).encode()
    file = BytesIO()
    pq.write_table(
        rows.replace_schema_metadata({METADATA: said}),
        file,
        compression="zstd",
        use_dictionary=["collection", "split"],
        column_encoding={"id": "DELTA_BYTE_ARRAY", "row": "DELTA_BINARY_PACKED"},
    )
    return file.getvalue()
