"""The tables of BigEarthNet v2.0: what ``metadata.parquet`` says of each patch.

There are two, as the publisher keeps patches with snow, cloud or shadow apart. The tables are as
untrusted as any file of a source: a row counts only if its names are those of patches.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import TYPE_CHECKING, Any, NamedTuple

from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.errors import BadFileError, SatimnetError
from satimnet.builder.samples import SPLITS, Problem
from satimnet.builder.sources import Entry, Reader

if TYPE_CHECKING:
    import pyarrow as pa

TABLE = re.compile(r"(?:^|/)metadata(?:_for_patches_with_snow_cloud_or_shadow)?\.parquet\Z")
"""The path of a table."""
PATCH = re.compile(
    r"(?P<unit>S2[AB])_MSIL2A_(?P<time>[0-9]{8}T[0-9]{6})_N[0-9]{4}_R[0-9]{3}"
    r"_T(?P<tile>[0-9]{2}[A-Z]{3})_[0-9]{2}_[0-9]{2}"
)
"""The name of a patch: that of its product, and column and row in the tile."""
RADAR_PATCH = re.compile(
    r"(?P<unit>S1[AB])_IW_GRDH_1SDV_(?P<time>[0-9]{8}T[0-9]{6})_[0-9]{2}[A-Z]{3}(?:_[0-9]{1,2}){2}"
)
"""The name of the Sentinel-1 image of a patch."""
_FIRST_VERSION = re.compile(r"S2[AB]_MSIL2A_[0-9]{8}T[0-9]{5,6}(?:_[0-9]{1,2}){2}")
_WORDS = re.compile(r"[A-Za-z][A-Za-z .'-]{0,39}")
_COLUMNS = (
    *("patch_id", "labels", "split", "country", "s1_name", "s2v1_name"),
    *("contains_seasonal_snow", "contains_cloud_or_shadow"),
)
_MAX_FILE = 2**27  # bytes; the larger of both has 3.6 million
_MAX_ROWS = 2**21  # the larger has 480,038
_MAX_COLUMN = 2**28  # bytes of a column, unpacked
_AT_ONCE = 2**15  # rows that are Python's at a time


class Row(NamedTuple):
    """What is known of a patch; None where it is not."""

    classes: tuple[str, ...]
    split: str | None
    country: str | None
    radar: str | None
    """Name of its Sentinel-1 image."""
    first_version: str | None
    """Name of the patch of version 1.0 of the same place and time."""
    snow: bool | None
    cloud: bool | None


@dataclass(slots=True)
class PatchTable:
    """The rows of both tables, by name of the patch."""

    names: Mapping[str, str]
    """The publisher's spelling to names of classes."""
    rows: dict[str, Row] = field(default_factory=dict)
    patches: dict[str, str] = field(default_factory=dict)
    """Names of Sentinel-1 images to those of their patches."""
    places: list[str] = field(default_factory=list)
    """How messages name the files."""

    @classmethod
    def of(cls, record: DatasetRecord) -> PatchTable:
        """A table without rows."""
        return cls({entry.title or entry.name: entry.name for entry in record.classes})

    def add(self, entry: Entry, reader: Reader) -> Iterator[Problem]:
        """Takes the rows of a file. Yields what is wrong with some of them, one problem a kind.

        Raises:
            BadFileError: it cannot be read, which concerns all patches.
        """
        self.places.append(entry.label)
        wrong, twice = 0, 0
        unknown: Counter[str] = Counter()
        batches = _batches(entry, reader)
        for values in (row for batch in batches for row in zip(*batch, strict=True)):
            patch, labels, split, country, radar, first_version, snow, cloud = values
            if not (isinstance(patch, str) and PATCH.fullmatch(patch) and isinstance(labels, list)):
                wrong += 1
                continue
            if patch in self.rows:
                twice += 1
                continue
            unknown.update(str(label) for label in labels if label not in self.names)
            row = Row(
                tuple(dict.fromkeys(self.names[label] for label in labels if label in self.names)),
                intern(split) if split in SPLITS else None,
                intern(country) if country and _WORDS.fullmatch(country) else None,
                radar if radar and RADAR_PATCH.fullmatch(radar) else None,
                first_version
                if first_version and _FIRST_VERSION.fullmatch(first_version)
                else None,
                snow,
                cloud,
            )
            wrong += (row.split, row.country, row.radar, row.first_version) != values[2:6]
            self.rows[patch] = row
            if row.radar is not None and self.patches.setdefault(row.radar, patch) != patch:
                twice += 1
        if wrong:
            reason = f"{wrong:,} rows that are not understood, wholly or in part"
            yield Problem(entry.label, reason, "incomplete")
        if twice:
            reason = f"{twice:,} rows with a patch that an earlier row has, which counts"
            yield Problem(entry.label, reason, "incomplete")
        if unknown:
            listed = ", ".join(f"{label[:60]!r} ({n:,})" for label, n in unknown.most_common(5))
            more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
            reason = f"not in the class table, left out: {listed}{more}"
            yield Problem(entry.label, reason, "incomplete")


def _batches(entry: Entry, reader: Reader) -> Iterator[list[list[Any]]]:
    """The columns of some rows at a time.

    Raises:
        BadFileError: it is no such table, or an enormous one.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if entry.size > _MAX_FILE:
            raise ValueError(f"{entry.size} bytes, more than a table of all patches")
        with pq.ParquetFile(pa.BufferReader(reader.read(entry))) as file:
            _require_columns(file)
            for batch in file.iter_batches(_AT_ONCE, columns=list(_COLUMNS)):
                yield [batch.column(name).to_pylist() for name in _COLUMNS]
    except SatimnetError:  # of the source; some are ValueErrors, too
        raise
    except (ValueError, LookupError, OSError, pa.ArrowException) as error:
        said = " ".join(str(error).split())
        reason = f"{said:.200}; get the table again, or leave it out of the source"
        raise BadFileError(entry.label, reason) from error


def _require_columns(file: Any) -> None:
    """Refuses another table, and one of more than a patch's rows, before any of it is unpacked."""
    import pyarrow as pa

    footer, schema = file.metadata, file.schema_arrow
    if lacking := [name for name in _COLUMNS if name not in schema.names]:
        raise ValueError(f"no column {', '.join(lacking)}")
    kinds: dict[str, pa.DataType] = {name: pa.string() for name in _COLUMNS}
    kinds["labels"] = pa.list_(pa.string())
    kinds |= dict.fromkeys(_COLUMNS[6:], pa.bool_())
    for name, kind in kinds.items():
        found = schema.field(name).type
        same = found == kind or (pa.types.is_list(found) and found.value_type == pa.string())
        if not same:
            raise ValueError(f"column {name} is of {found}, not {kind}")
    if footer.num_rows > _MAX_ROWS:
        raise ValueError(f"{footer.num_rows} rows, more than there are patches")
    for group in range(footer.num_row_groups):
        own = footer.row_group(group)
        for at in range(own.num_columns):
            if own.column(at).total_uncompressed_size > _MAX_COLUMN:
                raise ValueError(f"unpacks to more than {_MAX_COLUMN} bytes")
