"""Shard plans: which samples go into which shard.

A plan keeps its samples pickled and deflated until its shard is packed, but for the first ones. As
objects the 590,326 patches of BigEarthNet, of 13 files each, would take 5 GB; so they take a
fiftieth.
"""

from __future__ import annotations

import hashlib
import pickle
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from satimnet.builder.errors import BadFileError
from satimnet.builder.samples import Member, Sample
from satimnet.builder.sources import Entry

DEFAULT_SHARD_SIZE = 256 * 2**20
MAX_SHARD_SIZE = 3 * 2**30
"""Keeps every offset in 32 bits, so that shards are plain zip files, not zip64."""
_MAX_MEMBERS = 65_000  # 65,535 is where zip64 would begin
_MEMBER_OVERHEAD = 512  # headers, name (twice) and alignment: an upper guess
MOST_OPEN = 2**16
"""Samples in shards that more may be added to; deflated they take some hundred bytes each."""
_CHUNK = 64  # samples deflated together
_KEPT = 2**15
"""Files and objects of samples that stay as they are, some 25 MB: deflating takes time."""
_new_entry = partial(tuple.__new__, Entry)  # faster than a call with all fields


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """The samples of one shard, in their final order; all of one tree level."""

    name: str
    level: tuple[str, ...]
    count: int
    """Its samples."""
    size: int
    """Bytes of its members, about."""
    members: int
    digest: str
    """Changes when the samples, their annotation, files' sizes or stamps, or order change."""
    chunks: tuple[bytes | tuple[Sample, ...], ...]
    """The samples, deflated or as they are."""

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The samples; those that are deflated are made anew at each call."""
        return tuple(sample for chunk in self.chunks for sample in _unpacked(chunk))

    def __reduce__(self) -> tuple[Any, ...]:
        """For other processes all samples are deflated."""
        chunks = tuple(c if isinstance(c, bytes) else _packed(c) for c in self.chunks)
        head = (self.name, self.level, self.count, self.size, self.members, self.digest)
        return ShardPlan, (*head, chunks)


def plan(samples: Iterable[Sample], shard_size: int = DEFAULT_SHARD_SIZE) -> list[ShardPlan]:
    """All of `plans`, levels in sorted order, samples in the order they come.

    Raises:
        BadFileError: a sample is too large for any shard.
    """
    return sorted(plans(samples, shard_size), key=in_order)


def in_order(shard: ShardPlan) -> tuple[tuple[str, ...], str]:
    """What shards are sorted by."""
    return shard.level, shard.name


def plans(
    samples: Iterable[Sample], shard_size: int = DEFAULT_SHARD_SIZE, most_open: int = MOST_OPEN
) -> Iterator[ShardPlan]:
    """Shard plans by tree level, each as soon as no sample is added to it any more.

    A shard is closed before it would exceed ``shard_size`` bytes; one sample alone may exceed it.
    While more than ``most_open`` samples wait, the shard of the level that had none for the longest
    time is closed. So plans depend on nothing but the samples and their order.

    Raises:
        BadFileError: a sample is too large for any shard.
    """
    levels: OrderedDict[tuple[str, ...], _Level] = OrderedDict()  # those of open shards, in turn
    numbers: dict[tuple[str, ...], int] = {}  # of shards of the others
    waiting = parts = 0
    for sample in samples:
        level = levels.get(sample.level)
        if level is None:
            levels[sample.level] = level = _Level(
                sample.level, shard_size, numbers.pop(sample.level, 0)
            )
        else:
            levels.move_to_end(sample.level)
        waiting += 1
        parts += len(sample.members) + len(sample.objects or ())
        keep = parts <= _KEPT
        closed = level.add(sample, keep=keep)
        if closed is not None:
            waiting -= closed.count
            yield closed
        while waiting > most_open:
            name, oldest = levels.popitem(last=False)
            closed = oldest.end(keep=keep)
            numbers[name] = oldest.number
            waiting -= closed.count
            yield closed
    for name in sorted(levels):
        yield levels.pop(name).end(keep=parts <= _KEPT)


class _Level:
    """Divides the samples of a tree level, as they come, into shards."""

    def __init__(self, level: tuple[str, ...], shard_size: int, number: int) -> None:
        self.number = number
        """That of the open shard."""
        self._level = level
        self._shard_size = shard_size
        self._begin()

    def _begin(self) -> None:
        """Begins a shard."""
        self._name = "-".join((*self._level, f"{self.number:05d}"))
        self._digest = hashlib.sha256(self._name.encode())
        self._room = self._shard_size
        self._count = self._size = self._members = 0
        self._chunks: list[bytes | tuple[Sample, ...]] = []
        self._chunk: list[Sample] = []

    def add(self, sample: Sample, *, keep: bool) -> ShardPlan | None:
        """Plans the sample, in a further shard if this one is full, which is returned then.

        Unless they are to be kept as they are, samples are deflated.
        """
        size = sum([member.size for member in sample.members])
        own = size + _MEMBER_OVERHEAD * len(sample.members)
        if own > MAX_SHARD_SIZE:
            raise BadFileError(
                sample.members[0].label,
                f"sample of {own} bytes, a shard holds {MAX_SHARD_SIZE}; "
                "leave it out of the source",
            )
        full = own > self._room or self._members + len(sample.members) > _MAX_MEMBERS
        closed = self.end(keep=keep) if full and self._members else None
        self._room -= own
        self._count += 1
        self._size += size
        self._members += len(sample.members)
        self._digest.update(_line(sample).encode("utf-8", "surrogatepass"))
        self._chunk.append(sample)
        if not keep and len(self._chunk) >= _CHUNK:
            self._close_chunk(keep=False)
        return closed

    def _close_chunk(self, *, keep: bool) -> None:
        """Makes a chunk of the samples that wait."""
        self._chunks.append(tuple(self._chunk) if keep else _packed(self._chunk))
        self._chunk = []

    def end(self, *, keep: bool) -> ShardPlan:
        """Closes the shard and begins another."""
        self._close_chunk(keep=keep)
        closed = ShardPlan(
            self._name,
            self._level,
            self._count,
            self._size,
            self._members,
            self._digest.hexdigest()[:16],
            tuple(self._chunks),
        )
        self.number += 1
        self._begin()
        return closed


def _packed(samples: Sequence[Sample]) -> bytes:
    """The samples, pickled as tuples, which is faster, and deflated."""
    rows = [
        (
            *(s.id, s.level, s.classes, s.split, s.objects, s.datetime, s.properties, s.links),
            s.datetimes,
            [(m.asset, m.path, tuple(e) if type(e := m.entry) is Entry else e) for m in s.members],
        )
        for s in samples
    ]
    return zlib.compress(pickle.dumps(rows, -1), 1)


def _unpacked(chunk: bytes | tuple[Sample, ...]) -> Iterable[Sample]:
    """The samples of a chunk."""
    return _inflated(chunk) if isinstance(chunk, bytes) else chunk


def _inflated(chunk: bytes) -> Iterator[Sample]:
    """The samples of a chunk that `_packed` made."""
    for id_, level, *said, members in pickle.loads(zlib.decompress(chunk)):
        made = tuple(
            Member(asset, path, _new_entry(e) if type(e) is tuple else e)
            for asset, path, e in members
        )
        yield Sample(id_, level, made, *said)


def _line(sample: Sample) -> str:
    """All of a sample that its part of a shard depends on."""
    parts = [
        f"\n{sample.id} {sample.classes} {sample.split} {sample.datetime} "
        f"{sample.objects} {sample.properties} {sample.links}"
    ]
    if sample.datetimes:
        parts.append(f"{sample.datetimes}")
    for member in sample.members:
        entry = member.entry
        if type(entry) is Entry:
            path, size, container, _, offset, stored, stamp, _, name, archive = entry
            parts.append(
                f"{member.asset} {member.path} {path} {size} {container} {offset} {stored} "
                f"{stamp} {name} {archive}"
            )
        else:
            stamp = zlib.crc32(entry) if isinstance(entry, bytes) else entry.stamp
            parts.append(f"{member.asset} {member.path} {member.label} {member.size} {stamp}")
    return "\n".join(parts)
