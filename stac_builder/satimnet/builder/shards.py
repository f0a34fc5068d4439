"""Shards: zip files of STORED members that start at multiples of 64 bytes.

Format: APPNOTE 6.3.10 without zip64, encryption or data descriptors. A member is one ``pread``,
one HTTP range or one slice of a map. Nothing in a shard depends on when or where it was made: the
same samples give the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from satimnet.builder.errors import BadFileError
from satimnet.builder.headers import Header, read_header
from satimnet.builder.plans import ShardPlan
from satimnet.builder.samples import Problem, Sample
from satimnet.builder.sources import Reader

ALIGNMENT = 64

# The time of every member: 1980-01-01 00:00, the earliest that zip can say.
_DOS_TIME = (0, 0x21)
_UTF8 = 1 << 11  # general purpose bit 11: names are UTF-8
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_ALIGNMENT_EXTRA = struct.Struct("<3H")  # header id, length, alignment
_ALIGNMENT_ID = 0xD935  # the extra field that Android's zipalign uses for the same purpose
_FILE_MODE = 0o100644 << 16


@dataclass(frozen=True, slots=True)
class PackedMember:
    """A member as it lies in its shard."""

    asset: str
    path: str
    first: int
    """Offset of its first byte in the shard."""
    size: int
    sha256: str
    header: Header


@dataclass(frozen=True, slots=True)
class PackedSample:
    """A sample with those of its members that were fit to pack."""

    sample: Sample
    members: tuple[PackedMember, ...]


@dataclass(frozen=True, slots=True)
class Shard:
    """A finished shard."""

    name: str
    size: int
    samples: tuple[PackedSample, ...]
    problems: tuple[Problem, ...]


def pack(plan: ShardPlan, reader: Reader, assets: Mapping[str, Any], path: Path) -> Shard:
    """Copies the members of a plan byte for byte into the shard ``path``.

    ``assets`` is the dataset's asset table; members that are no image of the announced shape, data
    type and bands are left out and named among the shard's problems. The shard appears under its
    name only when it is whole.

    Raises:
        OSError: the shard cannot be written.
    """
    samples, problems = [], []
    part = path.with_name(path.name + ".part")
    with part.open("wb", buffering=2**20) as file:
        writer = _Writer(file)
        for sample in plan.samples:
            members = []
            for member in sample.members:
                try:
                    data = reader.read(member.entry)
                    header = read_header(data, member.entry.label)
                    _check(header, assets[member.asset], member.entry.label)
                except BadFileError as error:
                    problems.append(Problem(error.path, error.reason))
                    continue
                first = writer.add(member.path, data)
                sha256 = hashlib.sha256(data).hexdigest()
                members.append(
                    PackedMember(member.asset, member.path, first, len(data), sha256, header)
                )
            if members:
                samples.append(PackedSample(sample, tuple(members)))
        writer.finish()
    os.replace(part, path)
    return Shard(plan.name, writer.size, tuple(samples), tuple(problems))


def _check(header: Header, asset: Mapping[str, Any], label: str) -> None:
    shape = asset.get("shape")
    if shape is not None and header.shape != tuple(shape):
        raise BadFileError(label, f"{header.shape[0]}x{header.shape[1]} pixels, not {shape}")
    if header.bands != len(asset["bands"]):
        raise BadFileError(label, f"{header.bands} bands, not {len(asset['bands'])}")
    if _DATA_TYPES.get(header.dtype[1:]) != asset["data_type"]:
        raise BadFileError(label, f"data type {header.dtype}, not {asset['data_type']}")


# NumPy's codes to the names of STAC 1.1's `data_type`
_DATA_TYPES = {"u1": "uint8", "u2": "uint16", "u4": "uint32", "u8": "uint64"}
_DATA_TYPES |= {"i1": "int8", "i2": "int16", "i4": "int32", "i8": "int64"}
_DATA_TYPES |= {"f4": "float32", "f8": "float64"}


class _Writer:
    """Appends members to a zip file and keeps what its central directory needs."""

    def __init__(self, file: IO[bytes]) -> None:
        self.size = 0
        self._file = file
        self._central: list[bytes] = []

    def add(self, path: str, data: bytes) -> int:
        """Offset of the member's first byte."""
        name = path.encode()
        fixed = _LOCAL.size + len(name) + _ALIGNMENT_EXTRA.size
        padding = -(self.size + fixed) % ALIGNMENT
        extra = _ALIGNMENT_EXTRA.size + padding
        crc, size = zlib.crc32(data), len(data)
        common = (_UTF8, 0, *_DOS_TIME, crc, size, size, len(name))
        self._central.append(
            _CENTRAL.pack(b"PK\1\2", 0x0314, 20, *common, 0, 0, 0, 0, _FILE_MODE, self.size) + name
        )
        self._write(
            _LOCAL.pack(b"PK\3\4", 20, *common, extra)
            + name
            + _ALIGNMENT_EXTRA.pack(_ALIGNMENT_ID, extra - 4, ALIGNMENT)
            + bytes(padding)
        )
        first = self.size
        self._write(data)
        return first

    def finish(self) -> None:
        """Write the central directory."""
        start, count = self.size, len(self._central)
        central = b"".join(self._central)
        self._write(central)
        self._write(_END.pack(b"PK\5\6", 0, 0, count, count, len(central), start, 0))

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self.size += len(data)
