"""Training sets from a catalog: find samples, read them, train networks and test them.

Everything public is imported on first use, so that `import satimnet.training` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from satimnet.builder.old_names import find_moved_modules

if TYPE_CHECKING:
    from satimnet.training import plot
    from satimnet.training.data.batches import Batch
    from satimnet.training.data.data_modules import data_module
    from satimnet.training.data.image_sizes import SizeWarning
    from satimnet.training.data.single_sample import Sample
    from satimnet.training.data.torchgeo_samples import to_torchgeo
    from satimnet.training.data.training_samples import Catalog, Samples, open_samples
    from satimnet.training.fusion.fusing import Fused, fuse
    from satimnet.training.fusion.recipes import Recipe, read_recipe
    from satimnet.training.maps.map_figures import MapFigure, map_scenes
    from satimnet.training.maps.mapping import Maps, map_scene
    from satimnet.training.networks.checkpoints import Checkpoint, load
    from satimnet.training.networks.crossvalidation import Table, crossvalidate
    from satimnet.training.networks.evaluation import Evaluation, evaluate, held_out
    from satimnet.training.networks.grids import Grid, read_grid
    from satimnet.training.networks.models import CnnClass, CnnDual, CnnSegm, keras_parameter_count
    from satimnet.training.networks.outputs import find_mask
    from satimnet.training.networks.reports import write_report
    from satimnet.training.networks.training import train
    from satimnet.training.networks.tuning import Trial, Tuning, tune

__all__ = [
    "Batch",
    "Catalog",
    "Checkpoint",
    "CnnClass",
    "CnnDual",
    "CnnSegm",
    "Evaluation",
    "Fused",
    "Grid",
    "MapFigure",
    "Maps",
    "Recipe",
    "Sample",
    "Samples",
    "SizeWarning",
    "Table",
    "Trial",
    "Tuning",
    "crossvalidate",
    "data_module",
    "evaluate",
    "find_mask",
    "fuse",
    "held_out",
    "keras_parameter_count",
    "load",
    "map_scene",
    "map_scenes",
    "open_samples",
    "plot",
    "read_grid",
    "read_recipe",
    "to_torchgeo",
    "train",
    "tune",
    "write_report",
]

_HOMES = {
    "data.batches": ("Batch",),
    "data.data_modules": ("data_module",),
    "data.image_sizes": ("SizeWarning",),
    "data.single_sample": ("Sample",),
    "networks.checkpoints": ("Checkpoint", "load"),
    "networks.crossvalidation": ("Table", "crossvalidate"),
    "networks.evaluation": ("Evaluation", "evaluate", "held_out"),
    "networks.grids": ("Grid", "read_grid"),
    "networks.reports": ("write_report",),
    "fusion.fusing": ("Fused", "fuse"),
    "networks.training": ("train",),
    "networks.tuning": ("Trial", "Tuning", "tune"),
    "maps.map_figures": ("MapFigure", "map_scenes"),
    "maps.mapping": ("Maps", "map_scene"),
    "networks.models": ("CnnClass", "CnnDual", "CnnSegm", "keras_parameter_count"),
    "networks.outputs": ("find_mask",),
    "fusion.recipes": ("Recipe", "read_recipe"),
    "data.torchgeo_samples": ("to_torchgeo",),
    "data.training_samples": ("Catalog", "Samples", "open_samples"),
}

find_moved_modules()


def __getattr__(name: str) -> Any:
    if name == "plot":
        return importlib.import_module(f"{__name__}.plot")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
