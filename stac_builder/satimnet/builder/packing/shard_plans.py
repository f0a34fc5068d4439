"""Shard plans: which samples go into which shard.

A plan keeps its samples pickled and compressed until its shard is packed, but for the first ones.
As objects the 590,326 patches of BigEarthNet, of 13 files each, would take 5 GB; so they take a
fiftieth.
"""

from __future__ import annotations

import hashlib
import pickle
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, repeat
from typing import Any

from satimnet.builder.errors import BadFileError
from satimnet.builder.samples import Made, Member, Sample
from satimnet.builder.sources import Entry
from satimnet.builder.storage.compression import compressed, uncompressed

DEFAULT_SHARD_SIZE = 256 * 2**20
MAX_SHARD_SIZE = 3 * 2**30
"""Keeps every offset in 32 bits, so that shards are plain zip files, not zip64."""
_MAX_MEMBERS = 65_000  # 65,535 is where zip64 would begin
_MEMBER_OVERHEAD = 512  # headers, name (twice) and alignment: an upper guess
MOST_OPEN = 2**16
"""Samples in shards that more may be added to; compressed they take some hundred bytes each."""
_CHUNK = 64  # samples compressed together
_KEPT = 2**15
"""Files and objects of samples that stay as they are, some 25 MB: packing them takes time."""
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
    """The samples, packed or as they are."""

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The samples; those that are packed are made anew at each call."""
        return tuple(sample for chunk in self.chunks for sample in _unpacked(chunk))

    def __reduce__(self) -> tuple[Any, ...]:
        """For other processes all samples are packed."""
        chunks = tuple(c if isinstance(c, bytes) else compressed(_pickled(c)) for c in self.chunks)
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

        Unless they are to be kept as they are, samples are packed.
        """
        sizes = [e.size if type(e := m.entry) is Entry else m.size for m in sample.members]
        size = sum(sizes)
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
        self._chunk.append(sample)
        if not keep and len(self._chunk) >= _CHUNK:
            self._close_chunk(keep=False)
        return closed

    def _close_chunk(self, *, keep: bool) -> None:
        """Makes a chunk of the samples that wait."""
        pickled = _pickled(self._chunk)
        self._digest.update(pickled)
        self._chunks.append(tuple(self._chunk) if keep else compressed(pickled))
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


def _pickled(samples: Sequence[Sample]) -> bytes:
    """The samples, pickled as tuples, which is faster."""
    rows = [
        (
            *(s.id, s.level, s.classes, s.split, s.objects, s.datetime, s.properties, s.links),
            *(s.datetimes, len(s.members)),
        )
        for s in samples
    ]
    members = [member for sample in samples for member in sample.members]
    assets, paths, entries = zip(*members, strict=True) if members else ((), (), ())
    return pickle.dumps((rows, assets, paths, _columns(entries)), -1)


def _unpacked(chunk: bytes | tuple[Sample, ...]) -> Iterable[Sample]:
    """The samples of a chunk."""
    return _made(uncompressed(chunk)) if isinstance(chunk, bytes) else chunk


def _made(pickled: bytes) -> Iterator[Sample]:
    """The samples that `_pickled` wrote."""
    rows, assets, paths, columns = pickle.loads(pickled)
    members = map(Member, assets, paths, _entries(columns))
    for id_, level, *said, count in rows:
        yield Sample(id_, level, tuple(islice(members, count)), *said)


def _columns(entries: Sequence[Entry | Made | bytes]) -> list[tuple[Any, ...]]:
    """The fields of the entries, of each one value if all are the same, as most are; or else the
    entries, if some are none."""
    if set(map(type, entries)) != {Entry}:
        return [tuple(entries)]
    columns = zip(*entries, strict=True)
    return [(c[0],) if c.count(c[0]) == len(c) else c for c in columns]


def _entries(columns: Sequence[tuple[Any, ...]]) -> Iterator[Entry | Made | bytes]:
    """The entries of `_columns`."""
    if len(columns) == 1:
        return iter(columns[0])
    return map(_new_entry, zip(*(repeat(c[0]) if len(c) == 1 else c for c in columns)))
