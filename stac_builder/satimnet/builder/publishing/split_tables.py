"""Split tables: divisions of a catalog's Items that somebody made, beside the publisher's own.

Here they are found and read; `split_publishing` writes them.

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
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any

from satimnet.builder.errors import BadCatalogError, NotFoundError, printable
from satimnet.builder.storage import objects
from satimnet.builder.storage.stores import shown
from satimnet.builder.types import Json

if TYPE_CHECKING:
    import pyarrow as pa

REL = "satimnet:split"
"""The relation of the links of a root to its split tables."""
FOLDER = "splits"
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
"""What the name of a split looks like: it becomes the name of a file."""

_FILE = re.compile(rf"(?:\./)?({FOLDER}/({NAME_PATTERN.pattern})-([0-9a-f]{{12}})\.parquet)")
MULTIHASH = "1220"
"""What stands before a SHA-256, which has 32 bytes, in ``file:checksum``."""
DIGITS = 12
"""Of the digest, in the names of files."""
_MOST = 2**30  # bytes of a table: it has about 10 bytes an Item
METADATA = b"satimnet:split"
"""The key of the parquet's metadata under which a table says how it was made."""


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
        return f"{self.name}@{self.digest[:DIGITS]}"


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
            digest = checksum.removeprefix(MULTIHASH)
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

    from satimnet.builder.samples import SPLITS  # with all that reads sources

    data = objects.read(place, most=_MOST)
    if hashlib.sha256(data).hexdigest() != link.digest:
        raise BadCatalogError(
            f"{shown(place)}: is not the file that the catalog links; make the split again"
        )
    try:
        table = pq.read_table(BytesIO(data))
        said = json.loads((table.schema.metadata or {}).get(METADATA, b"{}"))
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


def linked_files(links: Sequence[Mapping[str, Any]]) -> set[str]:
    """Paths in the catalog of the split tables among these links."""
    return {posixpath.normpath(one.href) for one in split_links({"links": list(links)})}


def is_split_file(path: str) -> bool:
    """Whether a file of a catalog is named as a split table is, or as what a kill leaves of one."""
    return _FILE.fullmatch(path.removesuffix(".part")) is not None
