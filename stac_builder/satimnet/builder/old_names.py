"""Modules under the names that they had in satimnet 0.1.0, for one release.

Importing one of them works and warns of the new name. Nothing of this is in the way of modules that
are there: a name is looked for here only where no finder of Python's has it.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, cast

MOVED = {
    "satimnet.builder.access": "satimnet.builder.storage.assets",
    "satimnet.builder.annotations": "satimnet.builder.imagery.annotations",
    "satimnet.builder.api": "satimnet.builder.query.stac_api",
    "satimnet.builder.attributes": "satimnet.builder.exports.paper_tables",
    "satimnet.builder.catalogs": "satimnet.builder.catalog.tree",
    "satimnet.builder.choices": "satimnet.builder.overview.representatives",
    "satimnet.builder.client": "satimnet.builder.query.client",
    "satimnet.builder.concepts": "satimnet.builder.vocabulary.concepts",
    "satimnet.builder.contents": "satimnet.builder.packing.sample_files",
    "satimnet.builder.copies": "satimnet.builder.transfer.mirror",
    "satimnet.builder.downloads": "satimnet.builder.transfer.published_files",
    "satimnet.builder.encodings": "satimnet.builder.imagery.encoding",
    "satimnet.builder.exports.tables": "satimnet.builder.exports.item_batches",
    "satimnet.builder.extracts": "satimnet.builder.transfer.subset",
    "satimnet.builder.fetching": "satimnet.builder.transfer.resumable",
    "satimnet.builder.filters": "satimnet.builder.query.cql2_to_sql",
    "satimnet.builder.freetext": "satimnet.builder.query.freetext",
    "satimnet.builder.grids": "satimnet.builder.imagery.grids",
    "satimnet.builder.headers": "satimnet.builder.imagery.headers",
    "satimnet.builder.index": "satimnet.builder.query.index",
    "satimnet.builder.items": "satimnet.builder.catalog.items",
    "satimnet.builder.masks": "satimnet.builder.imagery.masks",
    "satimnet.builder.overviews": "satimnet.builder.overview.contact_sheet",
    "satimnet.builder.pages": "satimnet.builder.catalog.item_pages",
    "satimnet.builder.plans": "satimnet.builder.packing.shard_plans",
    "satimnet.builder.quality.footprints": "satimnet.builder.quality.footprint_overlaps",
    "satimnet.builder.quality.inspecting": "satimnet.builder.quality.item_checks",
    "satimnet.builder.quality.labels": "satimnet.builder.quality.label_checks",
    "satimnet.builder.quality.members": "satimnet.builder.quality.member_contents",
    "satimnet.builder.quality.pictures": "satimnet.builder.quality.finding_pictures",
    "satimnet.builder.quality.pixels": "satimnet.builder.quality.pixel_statistics",
    "satimnet.builder.quality.reports": "satimnet.builder.quality.report_files",
    "satimnet.builder.queries": "satimnet.builder.query.search",
    "satimnet.builder.rasters": "satimnet.builder.imagery.rasters",
    "satimnet.builder.rows": "satimnet.builder.catalog.geoparquet",
    "satimnet.builder.schemas": "satimnet.builder.catalog.schemas",
    "satimnet.builder.server.members": "satimnet.builder.server.member_files",
    "satimnet.builder.shards": "satimnet.builder.packing.shards",
    "satimnet.builder.sheets": "satimnet.builder.overview.drawing",
    "satimnet.builder.skos": "satimnet.builder.vocabulary.skos",
    "satimnet.builder.tasks": "satimnet.builder.storage.parallel",
    "satimnet.builder.terms": "satimnet.builder.vocabulary.matching",
    "satimnet.builder.validation": "satimnet.builder.catalog.validation",
    "satimnet.builder.views": "satimnet.builder.overview.previews",
    "satimnet.builder.workspaces": "satimnet.builder.storage.staging",
    "satimnet.training.arrays": "satimnet.training.data.lazy_arrays",
    "satimnet.training.assembly": "satimnet.training.fusion.samples_of_recipe",
    "satimnet.training.batches": "satimnet.training.data.batches",
    "satimnet.training.checkpoints": "satimnet.training.networks.checkpoints",
    "satimnet.training.choosing": "satimnet.training.networks.usable_samples",
    "satimnet.training.crossvalidation": "satimnet.training.networks.crossvalidation",
    "satimnet.training.decoding": "satimnet.training.data.decoding",
    "satimnet.training.derived": "satimnet.training.fusion.derived_collection",
    "satimnet.training.evaluation": "satimnet.training.networks.evaluation",
    "satimnet.training.feeds": "satimnet.training.networks.inputs",
    "satimnet.training.folds": "satimnet.training.data.folds",
    "satimnet.training.layers": "satimnet.training.fusion.mask_layers",
    "satimnet.training.layouts": "satimnet.training.data.layouts",
    "satimnet.training.learning": "satimnet.training.networks.training",
    "satimnet.training.loaders": "satimnet.training.data.torch_dataset",
    "satimnet.training.maps.items": "satimnet.training.maps.map_items",
    "satimnet.training.maps.safes": "satimnet.builder.imagery.sentinel_safe",
    "satimnet.training.maps.scenes": "satimnet.builder.imagery.scenes",
    "satimnet.training.maps.sentinel_safe": "satimnet.builder.imagery.sentinel_safe",
    "satimnet.training.models": "satimnet.training.networks.models",
    "satimnet.training.outputs": "satimnet.training.networks.outputs",
    "satimnet.training.patches": "satimnet.training.fusion.patches",
    "satimnet.training.pictures": "satimnet.training.networks.plots",
    "satimnet.training.pixels": "satimnet.training.data.pixels",
    "satimnet.training.recipes": "satimnet.training.fusion.recipes",
    "satimnet.training.recipes.tables": "satimnet.training.fusion.recipes.toml_tables",
    "satimnet.training.remote": "satimnet.builder.storage.ranges",
    "satimnet.training.runs": "satimnet.training.networks.training_state",
    "satimnet.training.samples": "satimnet.training.data.training_samples",
    "satimnet.training.selection": "satimnet.training.fusion.selection",
    "satimnet.training.shares": "satimnet.training.data.order",
    "satimnet.training.windows": "satimnet.training.networks.windows",
    "stactools.satimnet.attributes": "satimnet.cli.attribute_lines",
    "stactools.satimnet.building": "satimnet.cli.build_command",
    "stactools.satimnet.checking": "satimnet.cli.validate_command",
    "stactools.satimnet.commands": "satimnet.cli.group",
    "stactools.satimnet.concepts": "satimnet.cli.concepts_command",
    "stactools.satimnet.copying": "satimnet.cli.copy_command",
    "stactools.satimnet.downloading": "satimnet.cli.download_command",
    "stactools.satimnet.exporting": "satimnet.cli.export_command",
    "stactools.satimnet.fusing": "satimnet.cli.fuse_command",
    "stactools.satimnet.learning": "satimnet.cli.train_command",
    "stactools.satimnet.mapping": "satimnet.cli.map_command",
    "stactools.satimnet.new_dataset": "satimnet.cli.new_dataset_command",
    "stactools.satimnet.options": "satimnet.cli.options",
    "stactools.satimnet.progress": "satimnet.cli.progress_bars",
    "stactools.satimnet.quality": "satimnet.cli.quality_command",
    "stactools.satimnet.querying": "satimnet.cli.search_command",
    "stactools.satimnet.serving": "satimnet.cli.serve_command",
    "stactools.satimnet.wording": "satimnet.cli.wording",
}
"""Dotted names of 0.1.0, and where what they held is now."""

ELSEWHERE = {
    "satimnet.builder.catalogs.collection_of": "satimnet.builder.catalog.collections.collection_of",
    "satimnet.builder.catalogs.narrowed": "satimnet.builder.catalog.collections.narrowed",
    "satimnet.builder.catalogs.write_geoparquet": (
        "satimnet.builder.catalog.geoparquet.write_geoparquet"
    ),
    "satimnet.builder.catalogs.write_parquet": "satimnet.builder.catalog.geoparquet.write_parquet",
    "satimnet.builder.copies.copy": "satimnet.builder.transfer.mirror.copy_catalog",
    "satimnet.builder.extracts.copy": "satimnet.builder.transfer.subset.copy_found",
    "satimnet.builder.extracts.save": "satimnet.builder.transfer.subset.save_found",
    "satimnet.builder.filters.kind_of": "satimnet.builder.query.statements.kind_of",
    "satimnet.builder.filters.parse_filter": "satimnet.builder.query.cql2_json.parse_filter",
    "satimnet.builder.masks.shape_of_runs": "satimnet.builder.imagery.run_lengths.shape_of_runs",
    "satimnet.builder.rows.bbox_type": "satimnet.builder.catalog.item_columns.bbox_type",
    "satimnet.builder.rows.property_type": "satimnet.builder.catalog.item_columns.property_type",
    "satimnet.builder.sheets.grid_of": "satimnet.builder.overview.drawing.layout_of",
    "satimnet.training.evaluation.write_report": "satimnet.training.networks.reports.write_report",
    "satimnet.training.layouts.have_bands": "satimnet.training.data.image_assets.have_bands",
    "satimnet.training.layouts.with_bands": "satimnet.training.data.image_assets.with_bands",
    "satimnet.training.learning.MODELS": "satimnet.training.networks.training_plan.MODELS",
    "satimnet.training.learning.Recommended": (
        "satimnet.training.networks.training_plan.Recommended"
    ),
    "satimnet.training.runs.Plan": "satimnet.training.networks.training_plan.TrainingPlan",
    "satimnet.training.selection.folds_of": "satimnet.training.data.order.even_folds",
    "satimnet.training.windows.draw": "satimnet.training.networks.windows.draw_windows",
    "satimnet.training.windows.hold_out": "satimnet.training.networks.windows.hold_out_windows",
}
"""What modules of 0.1.0 held that is not in the module of `MOVED`, or is called otherwise there."""


class _OldModule(ModuleType):
    """A module that has the names of another one."""

    _new: ModuleType

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if elsewhere := ELSEWHERE.get(f"{self.__name__}.{name}"):
            module, _, name = elsewhere.rpartition(".")
            return getattr(import_module(module), name)
        return getattr(self._new, name)

    def __dir__(self) -> list[str]:
        return dir(self._new)


class _Finder:
    """A finder and loader of `importlib`, whose base classes would import a hundred modules."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in MOVED:
            return None
        package = any(name.startswith(f"{fullname}.") for name in MOVED)
        return ModuleSpec(fullname, cast(Any, self), is_package=package)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _OldModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        new = MOVED[module.__name__]
        warnings.warn(
            f"{module.__name__} is now {new}; its old name goes with the next release",
            DeprecationWarning,
            stacklevel=2,
        )
        module.__dict__["_new"] = import_module(new)


def find_moved_modules() -> None:
    """Has Python find the old names, after everything else; a second call does nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
