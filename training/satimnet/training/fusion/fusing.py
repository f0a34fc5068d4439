"""Fusion: samples of several collections become one derived collection, as a recipe says.

The derived collection is built as any other: its samples' files are made when a shard is packed,
and a killed fusion goes on from its finished shards. Each Item has a link ``derived_from`` to the
Item that it was made of, unless it lies in an object store and the other one on this machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from satimnet.builder.arguments import checked
from satimnet.builder.chipping.chip_options import is_chip_recipe
from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.datasets import Dataset
from satimnet.builder.errors import ArgumentError
from satimnet.builder.packing.shard_plans import DEFAULT_SHARD_SIZE
from satimnet.builder.pipeline import BadFiles, Report, build
from satimnet.builder.progress import Progress, one_step, silent
from satimnet.builder.publishing.derived_places import may_replace, place_for
from satimnet.builder.query.index import Index
from satimnet.builder.samples import Problem
from satimnet.builder.storage.hrefs import is_url
from satimnet.training.fusion.derived_collection import record_of
from satimnet.training.fusion.mask_layers import Layer, open_layer
from satimnet.training.fusion.recipes import Recipe
from satimnet.training.fusion.samples_of_recipe import samples_of
from satimnet.training.fusion.selection import Drawn, select

_ANY_VERSION = "version"  # hrefs are the same from each


@dataclass(frozen=True)
class Fused:
    """What a fusion made."""

    report: Report
    drawn: tuple[Drawn, ...]
    """What each draw took, in the recipe's order."""
    catalog: Path | str
    """The place of the catalog that the collection is in, a path or the URL of an object store."""


@checked()
def fuse(
    recipe: Recipe,
    catalog: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    layers: Mapping[str, Path] | None = None,
    available: bool = False,
    allow_outside: bool = False,
    scheduler: str = "threads",
    shard_size: int = DEFAULT_SHARD_SIZE,
    bad_files: BadFiles = "few",
    single_writer: bool = False,
    progress: Progress = silent,
) -> Fused:
    """Makes the collection of a recipe out of those of ``catalog``, a path or URL.

    If a recipe made a collection of that id there before, this is a new version of it.

    Args:
        recipe: what is drawn, as `read_recipe` reads it.
        catalog: path or URL of the catalog to draw from.
        out: the place of the catalog that the collection joins, a folder or the URL of an object
            store; None: the same one.
        layers: the raster or folder of each of the recipe's mask layers; None: no masks.
        available: take the samples that are there where the recipe wants more.
        allow_outside: read files outside of a local catalog's folder.
        scheduler: as for `satimnet.builder.build`.
        shard_size: as for `satimnet.builder.build`, in bytes.
        bad_files: as for `satimnet.builder.build`.
        single_writer: as for `satimnet.builder.build`.
        progress: is called as the work goes on.

    Returns:
        What was drawn, and the report of the build.

    Raises:
        ArgumentError: the recipe cannot be followed with these layers and in this folder.
        SatimnetError: the recipe asks for what the catalog does not have, a layer is missing or
            unusable, or the collection cannot be written. Nothing is changed then.

    Example:
        >>> from satimnet.training import read_recipe
        >>> fused = fuse(read_recipe("demo"), "demo/catalog", Path("pixels"))
        >>> [len(drawn.table) for drawn in fused.drawn]
        [25, 25, 25, 3, 3]
    """
    index = Index(catalog, allow_outside=allow_outside)
    place = place_for(out, index.href)
    _refuse_others(recipe, index, place)
    home = place if is_url(place) else os.path.abspath(place)
    folder = f"{home}/{recipe.id}/{_ANY_VERSION}"
    opened = None if layers is None else _open_layers(recipe, layers)
    with one_step(progress, "Selecting samples"):
        drawn = select(recipe, index, available=available)
    record = record_of(recipe, index, drawn, folder, masks=opened is not None)
    samples = samples_of(recipe, index, drawn, opened, folder)
    dataset = Dataset(
        DatasetRecord.of(record, recipe.source), lambda *_: chain(samples, _left_out(recipe, drawn))
    )
    (report,) = build(
        [],
        place,
        assigned={recipe.id: ()},
        datasets={recipe.id: dataset},
        scheduler=scheduler,
        shard_size=shard_size,
        bad_files=bad_files,
        single_writer=single_writer,
        progress=progress,
    )
    return Fused(report, tuple(drawn), place if is_url(place) else Path(place))


def _refuse_others(recipe: Recipe, index: Index, out: str) -> None:
    """A collection that no recipe made gets no new version, and none that is drawn from."""
    if any(draw.collection == recipe.id for draw in recipe.draws):
        raise ArgumentError(
            f"{recipe.source}: draws from {recipe.id}, the id of what it makes", "recipe"
        )
    if not may_replace(recipe.id, out, lambda text: not is_chip_recipe(text)):
        raise ArgumentError(
            f"{out}/{recipe.id}: is there already, and no recipe made it; change the id", "recipe"
        )


def _open_layers(recipe: Recipe, paths: Mapping[str, Path]) -> list[Layer]:
    names = [spec.name for spec in recipe.layers]
    for name in paths:
        if name not in names:
            known = ", ".join(names) or "none"
            raise ArgumentError(f"{recipe.source}: no layer {name!r}; there are: {known}", "layers")
    for spec in recipe.layers:
        if spec.name not in paths:
            raise ArgumentError(
                f"{recipe.source}: where is the layer {spec.name} ({spec.title})? "
                f"give layers its path: {spec.name}=PATH; with layers=None there are no masks",
                "layers",
            )
    return [open_layer(spec, paths[spec.name]) for spec in recipe.layers]


def _left_out(recipe: Recipe, drawn: Sequence[Drawn]) -> Iterator[Problem]:
    for one in drawn:
        if one.lacking:
            bands = ", ".join(recipe.bands)
            reason = f"{one.lacking:,} of {one.found:,} samples without an image of {bands}"
            yield Problem(one.draw.label, reason, "incomplete")
