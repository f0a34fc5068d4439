"""Plans: which samples go into which shard."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from satimnet.builder.errors import SatimnetError
from satimnet.builder.samples import Member, Sample

DEFAULT_SHARD_SIZE = 256 * 2**20
MAX_SHARD_SIZE = 3 * 2**30
"""Keeps every offset in 32 bits, so that shards are plain zip files, not zip64."""
_MAX_MEMBERS = 65_000  # 65,535 is where zip64 would begin
_MEMBER_OVERHEAD = 512  # headers, name (twice) and alignment: an upper guess


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """The samples of one shard, in their final order; all of one tree level."""

    name: str
    level: tuple[str, ...]
    samples: tuple[Sample, ...]

    @property
    def digest(self) -> str:
        """Changes when the samples, their annotation, files' sizes or stamps, or order change."""
        lines = [self.name]
        for sample in self.samples:
            lines.append(
                f"{sample.id} {sample.classes} {sample.split} {sample.datetime} "
                f"{sample.objects} {sample.properties}"
            )
            lines.extend(
                f"{m.asset} {m.path} {m.label} {m.size} {_stamp(m)}" for m in sample.members
            )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def plan(samples: Iterable[Sample], shard_size: int = DEFAULT_SHARD_SIZE) -> list[ShardPlan]:
    """Shard plans by tree level, levels in sorted order, samples in the order they come.

    A shard is closed before it would exceed ``shard_size`` bytes; one sample alone may exceed it.

    Raises:
        SatimnetError: a sample is too large for any shard.
    """
    levels: dict[tuple[str, ...], list[Sample]] = {}
    for sample in samples:
        levels.setdefault(sample.level, []).append(sample)
    plans = []
    for level in sorted(levels):
        for number, group in enumerate(_groups(levels[level], shard_size)):
            name = "-".join((*level, f"{number:05d}"))
            plans.append(ShardPlan(name, level, tuple(group)))
    return plans


def _stamp(member: Member) -> int:
    return zlib.crc32(member.entry) if isinstance(member.entry, bytes) else member.entry.stamp


def _groups(samples: list[Sample], shard_size: int) -> list[list[Sample]]:
    groups: list[list[Sample]] = [[]]
    size = members = 0
    for sample in samples:
        own = sum(member.size + _MEMBER_OVERHEAD for member in sample.members)
        if own > MAX_SHARD_SIZE:
            raise SatimnetError(
                f"{sample.members[0].label}: sample of {own} bytes, "
                f"a shard holds {MAX_SHARD_SIZE}; leave it out of the source"
            )
        full = size + own > shard_size or members + len(sample.members) > _MAX_MEMBERS
        if full and groups[-1]:
            groups.append([])
            size = members = 0
        groups[-1].append(sample)
        size += own
        members += len(sample.members)
    return groups
