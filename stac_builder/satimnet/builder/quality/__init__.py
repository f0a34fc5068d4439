"""Quality control: what is wrong with a catalog's images and labels, or may mislead training.

The way of the data: members -> inspecting -> measuring (one pass, a task a shard) -> duplicates,
footprints, distributions (over all Items) -> reports. `assess` does all of it.
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
