"""Pictures for notebooks: Items with their labels, arrays, tables of numbers.

`satimnet.training.Samples.plot` draws samples in the same way. matplotlib is loaded with the first
figure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from satimnet.training.plot.figures import images, items, matrix

__all__ = ["images", "items", "matrix"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from satimnet.training.plot import figures

        return getattr(figures, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
