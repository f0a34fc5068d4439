"""Split tables: divisions of a catalog's Items that somebody made, beside the publisher's own.

A table is a small parquet file in the catalog's folder, ``splits/<name>-<digest>.parquet``, that
never changes. ``catalog.json`` links it, so it is there from one moment to the next, as a version
of a collection is. Under a name the link that comes last is the current table; earlier ones stay,
and are asked for as ``name@digest``.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from satimnet.builder.errors import (
    ArgumentError,
    BadCatalogError,
    NotFoundError,
    SatimnetError,
    printable,
)
from satimnet.builder.publishing import protocol
from satimnet.builder.publishing.roots import ROOT_ID, Root
from satimnet.builder.samples import SPLITS
from satimnet.builder.storage import objects
from satimnet.builder.storage.atomic_files import write
from satimnet.builder.storage.hrefs import is_url
from satimnet.builder.storage.staging import lock
from satimnet.builder.storage.stores import shown
from satimnet.builder.types import Json

if TYPE_CHECKING:
    import pyarrow as pa

REL = "satimnet:split"
"""The relation of the links of a root to its split tables."""
FOLDER = "splits"
PARQUET_TYPE = "application/vnd.apache.parquet"
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
"""What the name of a split looks like: it becomes the name of a file."""

_FILE = re.compile(rf"(?:\./)?({FOLDER}/({NAME_PATTERN.pattern})-([0-9a-f]{{12}})\.parquet)")
_MULTIHASH = "1220"  # SHA-256 of 32 bytes
_DIGITS = 12
_MOST = 2**30  # bytes of a table: it has about 10 bytes an Item
_METADATA = b"satimnet:split"


@dataclass(frozen=True, slots=True)
class SplitLink:
    """What a catalog says of one of its split tables."""

    name: str
    digest: str
    """SHA-256 of the file, in hex."""
    href: str

    @property
    def cited(self) -> str:
        """The name by which this table, and no later one of that name, is asked for."""
        return f"{self.name}@{self.digest[:_DIGITS]}"


@dataclass(frozen=True, slots=True)
class SplitTable:
    """A division of Items.

    Its rows have the columns ``collection`` and ``id``, ``row`` (the number of the Item in the
    collection's ``items.parquet``), ``split`` (train, validation or test), ``fold`` (from 0, or
    null) and ``group`` (Items of one group are of one split).
    """

    rows: pa.Table
    said: Json = field(default_factory=dict)
    """How it was made: options, the version of each collection, counts."""


def split_links(document: Mapping[str, Any]) -> list[SplitLink]:
    """The split tables that a ``catalog.json`` links, in its order; others' links are left out."""
    found = []
    links = document.get("links")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("rel") == REL:
            matched = _FILE.fullmatch(str(link.get("href")))
            checksum = str(link.get("file:checksum"))
            digest = checksum.removeprefix(_MULTIHASH)
            if matched and re.fullmatch(r"[0-9a-f]{64}", digest) and digest.startswith(matched[3]):
                found.append(SplitLink(matched[2], digest, f"./{matched[1]}"))
    return found


def chosen_split(document: Mapping[str, Any], asked: str, where: str) -> SplitLink:
    """The split table of a name, or of ``name@digest`` with the first digits of the digest.

    Raises:
        NotFoundError: the catalog has none.
    """
    links = split_links(document)
    name, _, digits = asked.partition("@")
    matching = [one for one in links if one.name == name and one.digest.startswith(digits)]
    if matching:
        return matching[-1]
    known = ", ".join(dict.fromkeys(one.cited if digits else one.name for one in links))
    raise NotFoundError(
        f"{where}: no split {printable(asked):.100}; "
        + (f"there are: {known}" if known else "make one with satimnet split")
    )


def read_split(link: SplitLink, place: str) -> SplitTable:
    """The table at a place.

    Raises:
        NotFoundError: it is not there.
        BadCatalogError: it is not what the catalog links, or no split table.
        StorageError: it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = objects.read(place, most=_MOST)
    if hashlib.sha256(data).hexdigest() != link.digest:
        raise BadCatalogError(
            f"{shown(place)}: is not the file that the catalog links; make the split again"
        )
    try:
        table = pq.read_table(BytesIO(data))
        said = json.loads((table.schema.metadata or {}).get(_METADATA, b"{}"))
        table = table.select(table_schema().names).cast(table_schema()).replace_schema_metadata()
        unknown = set(table["split"].unique().to_pylist()) - {*SPLITS, None}
    except (pa.ArrowException, OSError, LookupError, ValueError, RecursionError) as error:
        raise BadCatalogError(
            f"{shown(place)}: is no table of a split ({printable(str(error)):.200}); "
            "make the split again"
        ) from error
    wanting = any(table[name].null_count for name in ("collection", "id", "row"))
    if unknown or wanting or not isinstance(said, dict):
        raise BadCatalogError(f"{shown(place)}: is no table of a split; make the split again")
    return SplitTable(table, said)


def table_schema() -> pa.Schema:
    """Arrow schema of a split table."""
    import pyarrow as pa

    return pa.schema(
        {
            "collection": pa.string(),
            "id": pa.string(),
            "row": pa.int64(),
            "split": pa.string(),
            "fold": pa.int64(),
            "group": pa.int64(),
        }
    )


def _bytes_of(table: SplitTable) -> bytes:
    import pyarrow.parquet as pq

    rows = table.rows.cast(table_schema())
    said = json.dumps(table.said, sort_keys=True, ensure_ascii=False).encode()
    file = BytesIO()
    pq.write_table(
        rows.replace_schema_metadata({_METADATA: said}),
        file,
        compression="zstd",
        use_dictionary=["collection", "split"],
        column_encoding={"id": "DELTA_BYTE_ARRAY", "row": "DELTA_BINARY_PACKED"},
    )
    return file.getvalue()


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
    link = SplitLink(name, digest, f"./{FOLDER}/{name}-{digest[:_DIGITS]}.parquet")
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
        "file:checksum": _MULTIHASH + link.digest,
    }


def _require_room(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise SatimnetError(f"{folder}: is there already and is no folder; move it")


def linked_files(links: Sequence[Mapping[str, Any]]) -> set[str]:
    """Paths in the catalog of the split tables among these links."""
    return {posixpath.normpath(one.href) for one in split_links({"links": list(links)})}


def is_split_file(path: str) -> bool:
    """Whether a file of a catalog is named as a split table is."""
    return _FILE.fullmatch(path) is not None
