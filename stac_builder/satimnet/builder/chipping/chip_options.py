"""Chip options: how images are cut, checked once; their digest names what they make."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Literal

from satimnet.builder.chipping.clipping import MIN_INSIDE
from satimnet.builder.errors import ArgumentError

Compression = Literal["none", "deflate"]

_HEADING = "# Options of satimnet chip\n"
"""How their text begins, which tells chips from what a recipe fused."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_LARGEST = 2**14  # rows and columns of a chip


@dataclass(frozen=True)
class ChipOptions:
    """How a collection is cut into chips.

    Example:
        >>> options = ChipOptions("dota", "dota-chips", (512, 512), (64, 64))
        >>> print(options.text.splitlines()[3])
        size = [512, 512]
    """

    collection: str
    id: str
    """Id of the collection of chips."""
    size: tuple[int, int]
    """Rows and columns of a chip."""
    overlap: tuple[int, int] = (0, 0)
    """Rows and columns that neighbours have in common."""
    keep_empty: float = 1.0
    """The share of the chips without an object or a class that is kept."""
    min_inside: float = MIN_INSIDE
    """The share of its area that an object must have in a chip."""
    seed: int = 0
    compression: Compression = "none"

    def __post_init__(self) -> None:
        if not all(1 <= side <= _LARGEST for side in self.size):
            raise ArgumentError(
                f"size {_by(self.size)}: rows and columns must be from 1 to {_LARGEST:,}", "size"
            )
        if not all(0 <= one < side for one, side in zip(self.overlap, self.size, strict=True)):
            raise ArgumentError(
                f"overlap {_by(self.overlap)}: must be from 0 to less than size", "overlap"
            )
        if not 0 <= self.keep_empty <= 1:
            raise ArgumentError(
                f"keep_empty {self.keep_empty:g}: must be from 0 to 1", "keep_empty"
            )
        if not 0 < self.min_inside <= 1:
            raise ArgumentError(
                f"min_inside {self.min_inside:g}: must be above 0, and 1 at most", "min_inside"
            )
        if self.seed < 0:
            raise ArgumentError(f"seed {self.seed}: must be 0 or more", "seed")
        if self.compression not in ("none", "deflate"):
            raise ArgumentError(
                f"compression {self.compression}: give none or deflate", "compression"
            )
        if not _ID.fullmatch(self.id):
            raise ArgumentError(f"id {self.id!r:.80}: cannot name a folder; give another", "id")

    @property
    def text(self) -> str:
        """All of them, as TOML."""
        fields = {
            "collection": self.collection,
            "id": self.id,
            "size": list(self.size),
            "overlap": list(self.overlap),
            "keep_empty": float(self.keep_empty),
            "min_inside": float(self.min_inside),
            "seed": self.seed,
            "compression": self.compression,
        }
        return _HEADING + "".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items())

    @property
    def digest(self) -> str:
        """SHA-256 of `text`."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def keeps(self, chip: str) -> bool:
        """Whether the empty chip of this id is kept: the same in any order, and by the seed."""
        drawn = hashlib.sha256(f"{self.seed}\n{chip}".encode()).digest()[:8]
        return int.from_bytes(drawn) < self.keep_empty * 2**64


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def is_chip_recipe(text: str) -> bool:
    """Whether the text of a collection's recipe is of options, and not of a fusion.

    Example:
        >>> is_chip_recipe("[[draw]]")
        False
    """
    return text.startswith(_HEADING)
