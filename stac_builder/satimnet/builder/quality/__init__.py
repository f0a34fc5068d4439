"""Quality control: what is wrong with a catalog's images and labels, or may mislead training.

The way of the data: `member_contents` reads and decodes, `item_checks` looks at one Item,
`measuring` at those of a shard (a task each, one pass); `dataset_versions`, `duplicates`,
`footprint_overlaps` and `distributions` compare all Items, `source_comparison` collections with
each other and with scenes; `report_files` writes what was found. `assess` does all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from satimnet.builder.quality.assessment import assess

__all__ = ["assess"]


def __getattr__(name: str) -> Any:
    if name != "assess":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from satimnet.builder.quality.assessment import assess

    return assess
