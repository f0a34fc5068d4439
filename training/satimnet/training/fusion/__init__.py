"""Fusion: samples of several collections become one derived collection.

A recipe comes in; ``selection`` draws samples, ``samples_of_recipe`` and ``patches`` make their
files, and the builder packs them. In satimnet 0.1.0 this was one module, so ``fuse`` and ``Fused``
can be imported from here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from satimnet.training.fusion.fusing import Fused, fuse

__all__ = ["Fused", "fuse"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.fusing"), name)


def __dir__() -> list[str]:
    return __all__
