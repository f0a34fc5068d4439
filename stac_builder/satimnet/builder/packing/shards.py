"""Shards: zip files of STORED members that start at multiples of 64 bytes.

Format: APPNOTE 6.3.10 without zip64, encryption or data descriptors. A member is one ``pread``,
one HTTP range or one slice of a map. Nothing in a shard depends on when or where it was made: the
same samples give the same bytes, and the name of its file tells what is in it. So a shard never
changes once it is published, and versions of a collection share those that they have in common.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from deflate import crc32

from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.errors import ArgumentError
from satimnet.builder.imagery.footprints import Footprint, corners_of
from satimnet.builder.imagery.headers import Data, Header
from satimnet.builder.packing.sample_files import Content, How, Original, contents_of
from satimnet.builder.packing.shard_plans import ShardPlan
from satimnet.builder.samples import Problem, Sample
from satimnet.builder.sources import MAX_SCENE_SIZE, Entry, Reader

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALIGNMENT = 64
_FORMAT = b"1\n"  # changes when the same members would be packed to other bytes
_DIGITS = 16  # 64 bits: among a million shards two get the same name once in 30 million times

# The time of every member: 1980-01-01 00:00, the earliest that zip can say.
_DOS_TIME = (0, 0x21)
_UTF8 = 1 << 11  # general purpose bit 11: names are UTF-8
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_ALIGNMENT_EXTRA = struct.Struct("<3H")  # header id, length, alignment
_ALIGNMENT_ID = 0xD935  # the extra field that Android's zipalign uses for the same purpose
_FILE_MODE = 0o100644 << 16
_LARGE = 2**26  # bytes of a sample: threads take turns, several such at once fill the memory
_BUFFER = 2**16  # bytes; files that are larger are written as they are, with no copy on the way
_turn = Lock()
_MAX_OFFSET = 2**32 - 2**24  # offsets have 32 bits, and the directory must fit as well


class PackedMember(NamedTuple):
    """A member as it lies in its shard; a tuple, as one is made of every file."""

    asset: str
    path: str
    first: int
    """Offset of its first byte in the shard."""
    size: int
    sha256: str
    header: Header | None = None
    original: Original | None = None
    type: str | None = None
    """Media type; None is that of the asset in the record."""


class PackedSample(NamedTuple):
    """A sample with those of its members that were fit to pack."""

    sample: Sample
    members: tuple[PackedMember, ...]
    classes: tuple[str, ...] | None
    statistics: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Shard:
    """A finished shard."""

    name: str
    """That of its plan."""
    size: int
    samples: tuple[PackedSample, ...]
    problems: tuple[Problem, ...]
    file: str
    """Name of its file, which changes when its bytes do."""

    @cached_property
    def grids(self) -> list[Header | None]:
        """Of each sample the finest grid that has a place."""
        return [grid_of(packed.members) for packed in self.samples]

    @cached_property
    def corners(self) -> tuple[NDArray[np.float64], dict[int, Footprint]]:
        """The footprints of the samples, as `satimnet.builder.imagery.footprints.corners_of` has
        them."""
        return corners_of(self.grids)


def grid_of(members: Sequence[PackedMember]) -> Header | None:
    """The finest georeferenced grid among the members."""
    headers = [m.header for m in members if m.header is not None and m.header.crs is not None]
    return max(headers, key=lambda header: header.shape, default=None)


def pack(
    plan: ShardPlan,
    reader: Reader,
    record: DatasetRecord,
    folder: Path,
    *,
    largest: int = MAX_SCENE_SIZE,
    scratch: Path | None = None,
) -> Shard:
    """Writes the files of a plan's samples into a shard in the folder.

    ``record`` is the dataset's, ``largest`` and ``scratch`` are as in `contents`; what is broken is
    left out and named among the shard's problems, as there. The shard appears under its name only
    when it is whole.

    Raises:
        OSError: the shard cannot be written.
    """
    samples: list[PackedSample] = []
    problems: list[Problem] = []
    digest = ContentDigest()
    part = folder / f"{plan.name}.zip.part"
    planned = plan.samples
    reader.expect(m.entry for s in planned for m in s.members if isinstance(m.entry, Entry))
    how = How(record, largest, scratch)
    with part.open("wb", buffering=_BUFFER) as file:
        writer = ShardWriter(file)

        def add(sample: Sample) -> None:
            """Packs a sample."""
            files, classes, statistics, met = contents_of(sample, reader, how)
            problems.extend(met)
            if files:
                members = tuple([packed(f, writer.add(f.path, f.data, f.crc)) for f in files])
                for one in members:
                    digest.add(one.path, one.sha256)
                samples.append(PackedSample(sample, members, classes, statistics))

        for sample in planned:
            if sum([member.size for member in sample.members]) > _LARGE:
                with _turn:
                    add(sample)
            else:
                add(sample)
        writer.finish()
    file_name = digest.file_name(plan.name)
    os.replace(part, folder / file_name)
    return Shard(plan.name, writer.size, tuple(samples), tuple(problems), file_name)


def packed(content: Content, first: int) -> PackedMember:
    """The file as a member whose first byte lies at ``first``."""
    return PackedMember(
        content.asset,
        content.path,
        first,
        len(content.data),
        hashlib.sha256(content.data).hexdigest(),
        content.header,
        content.original,
        content.type,
    )


class ContentDigest:
    """Tells shards apart by their members, which are all that their bytes depend on."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256(_FORMAT)

    def add(self, path: str, sha256: str) -> None:
        """Takes in a member; its path and the digest of its bytes, in the shard's order."""
        self._digest.update(f"{path}\n{sha256}\n".encode())

    def file_name(self, name: str) -> str:
        """The name of the file of a shard with these members."""
        return f"{name}-{self._digest.hexdigest()[:_DIGITS]}.zip"


class ShardWriter:
    """Appends members to a zip file and keeps what its central directory needs.

    ``size`` is that of what was written so far.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.size = 0
        self._file = file
        self._central: list[bytes] = []

    def add(self, path: str, data: Data, crc: int | None = None) -> int:
        """Offset of the member's first byte; ``crc`` is the CRC-32 of the data, if it is known."""
        name = path.encode()
        fixed = _LOCAL.size + len(name) + _ALIGNMENT_EXTRA.size
        padding = -(self.size + fixed) % ALIGNMENT
        extra = _ALIGNMENT_EXTRA.size + padding
        size = len(data)
        crc = crc32(data) if crc is None else crc
        common = (_UTF8, 0, *_DOS_TIME, crc, size, size, len(name))
        self._central.append(
            _CENTRAL.pack(b"PK\1\2", 0x0314, 20, *common, 0, 0, 0, 0, _FILE_MODE, self.size) + name
        )
        first = self.size + fixed + padding
        if first + size > _MAX_OFFSET:
            raise ArgumentError(
                f"{path}: a shard would exceed {_MAX_OFFSET} bytes; make shard_size smaller",
                "shard_size",
            )
        self._file.write(
            _LOCAL.pack(b"PK\3\4", 20, *common, extra)
            + name
            + _ALIGNMENT_EXTRA.pack(_ALIGNMENT_ID, extra - 4, ALIGNMENT)
            + bytes(padding)
        )
        self._file.write(data)
        self.size = first + size
        return first

    def finish(self) -> None:
        """Writes the central directory."""
        start, count = self.size, len(self._central)
        central = b"".join(self._central)
        self._write(central)
        self._write(_END.pack(b"PK\5\6", 0, 0, count, count, len(central), start, 0))

    def _write(self, data: Data) -> None:
        """Appends bytes."""
        self._file.write(data)
        self.size += len(data)
