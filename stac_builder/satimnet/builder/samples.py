"""Samples: what a dataset's scan yields, before any pixel is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from satimnet.builder.sources import Entry, Source


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a sample: where it is in the source, and what it becomes in the shard."""

    asset: str
    """Key of the Item's asset that it belongs to."""
    path: str
    """Path inside the shard."""
    entry: Entry


@dataclass(frozen=True, slots=True)
class Sample:
    """One training example; becomes one STAC Item."""

    id: str
    level: tuple[str, ...]
    """Nodes of the tree that lead to it, below its collection."""
    members: tuple[Member, ...]
    classes: tuple[str, ...] = ()
    split: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that does not make it into the catalog, and why."""

    path: str
    reason: str
    bad: bool = True
    """False for what is no part of the dataset (foreign files, second copies)."""


Scan = Callable[[Source, Mapping[str, Any]], Iterator[Sample | Problem]]
"""A dataset's reader: a source and the record of ``dataset.toml`` to samples and problems."""
