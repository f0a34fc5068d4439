"""Training sets from a catalog: find samples, read them fast, train and judge a network.

Everything public is imported on first use, so that `import satimnet.training` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batches import Batch
    from .checkpoints import Checkpoint, load
    from .crossvalidation import Table, crossvalidate
    from .evaluation import Evaluation, evaluate, held_out, write_report
    from .fusion import Fused, fuse
    from .learning import train
    from .maps.mapping import Maps, map_scene
    from .models import CnnClass, CnnDual, CnnSegm, keras_parameter_count
    from .outputs import find_mask
    from .recipes import Recipe, read_recipe
    from .samples import Catalog, Samples, open_samples

__all__ = [
    "Batch",
    "Catalog",
    "Checkpoint",
    "CnnClass",
    "CnnDual",
    "CnnSegm",
    "Evaluation",
    "Fused",
    "Maps",
    "Recipe",
    "Samples",
    "Table",
    "crossvalidate",
    "evaluate",
    "find_mask",
    "fuse",
    "held_out",
    "keras_parameter_count",
    "load",
    "map_scene",
    "open_samples",
    "read_recipe",
    "train",
    "write_report",
]

_HOMES = {
    "batches": ("Batch",),
    "checkpoints": ("Checkpoint", "load"),
    "crossvalidation": ("Table", "crossvalidate"),
    "evaluation": ("Evaluation", "evaluate", "held_out", "write_report"),
    "fusion": ("Fused", "fuse"),
    "learning": ("train",),
    "maps.mapping": ("Maps", "map_scene"),
    "models": ("CnnClass", "CnnDual", "CnnSegm", "keras_parameter_count"),
    "outputs": ("find_mask",),
    "recipes": ("Recipe", "read_recipe"),
    "samples": ("Catalog", "Samples", "open_samples"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
