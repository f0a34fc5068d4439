"""One picture of several maps, as Figures 4 and 5 of the paper: scenes in rows, maps in columns."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from satimnet.builder.arguments import checked
from satimnet.builder.errors import ArgumentError, SatimnetError, StorageError
from satimnet.builder.imagery.colours import Colour, Picture
from satimnet.builder.progress import Progress, silent
from satimnet.builder.storage.atomic_files import writing
from satimnet.builder.storage.staging import lock
from satimnet.training.maps.legends import Legend
from satimnet.training.maps.mapping import Maps, Plan, carry_out, planned
from satimnet.training.maps.panels import (
    UNSEEN,
    MapPanel,
    draw_scale_bar,
    map_panel,
    patches,
    scene_panel,
)
from satimnet.training.networks.outputs import Output

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "figure.png"
"""The picture, in the folder of the maps."""
_TITLES = {"cnn-class": "CNN-class", "cnn-segm": "CNN-segm", "cnn-dual": "CNN-dual"}
_WIDTH = 3.0  # inches of a panel
_LETTER, _LINE = 0.072, 0.21  # inches of a letter and of a line of the legends, roughly


@dataclass(frozen=True)
class MapFigure:
    """The files that several mappings wrote.

    maps: for each scene those of each network. picture: what shows all of them side by side, None
    if it was not wanted.

    Example:
        >>> figure = MapFigure((), Path("maps/figure.png"))
        >>> figure.picture.name
        'figure.png'
    """

    maps: tuple[Maps, ...]
    picture: Path | None


@checked()
def map_scenes(
    paths: Sequence[str],
    checkpoints: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    within: str | os.PathLike[str] | None = None,
    outputs: Sequence[str] | None = None,
    bands: Sequence[str] | None = None,
    offset: float = 0,
    sensed: str | None = None,
    device: str | None = None,
    scheduler: str = "direct",
    picture: bool = True,
    progress: Progress = silent,
) -> MapFigure:
    """Maps scenes with several trained networks, and draws all maps as one picture.

    Each map is made as by `map_scene`. In the picture, ``figure.png``, each scene is a row: its
    true colours with a scale bar, then the outputs of each network in the order of the
    checkpoints. Below stand the classes that occur. Nothing is written unless all scenes and
    networks can be opened and go together.

    Args:
        paths: the scenes, see `map_scene`.
        checkpoints: the files of the networks; of each kind one.
        out: the folder of all files; a picture there is replaced.
        within: the file of a CNN-class, for CNN-segm as in `map_scene`.
        outputs: which outputs are drawn, ``class`` and ``mask``; None: all. Maps are made of all.
        bands: names of the bands of rasters that do not name them.
        offset: added to the values of rasters.
        sensed: when the scene was taken, if there is only one.
        device: ``cpu`` or ``cuda``; None: the GPU if there is one.
        scheduler: ``direct``, or the address of a dask cluster, as for `map_scene`.
        picture: whether the picture is drawn.
        progress: is called as the work goes on.

    Returns:
        The files that were written.

    Raises:
        BadFileError: a scene cannot be read, or lacks bands.
        ArgumentError: arguments do not go together.
        StorageError: nothing can be written.
        SatimnetError: a checkpoint cannot be used, or another run is writing a map.

    Example:
        >>> from satimnet.training import open_samples, train
        >>> learned, held = open_samples("catalog").search().holdout(0.25)
        >>> how = {"width": 4, "epochs": 1, "device": "cpu", "windows_per_epoch": 2000}
        >>> files = ["run/segm.pt", "run/dual.pt"]
        >>> for model, file in zip(("segm", "dual"), files):
        ...     _ = train(learned, held, file, model=model, **how)
        >>> figure = map_scenes(["scene.tif"], files, "maps", device="cpu")
        >>> [len(maps.images) for maps in figure.maps]
        [1, 2]
    """
    plans = _plans(
        paths,
        checkpoints,
        out,
        within,
        bands=bands,
        offset=offset,
        sensed=sensed,
        device=device,
        scheduler=scheduler,
    )
    _require_outputs(plans, outputs)
    maps = [carry_out(plan, False, progress) for row in plans for plan in row]
    if not picture:
        return MapFigure(tuple(maps), None)
    file = Path(out, NAME)
    try:
        with lock(file), writing(file) as part:
            _draw(plans, outputs, part)
    except SatimnetError:
        raise
    except OSError as error:
        raise StorageError(f"{file}: cannot be written ({error.strerror})") from error
    return MapFigure(tuple(maps), file)


def _plans(
    paths: Sequence[str],
    checkpoints: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    within: str | os.PathLike[str] | None,
    *,
    sensed: str | None,
    **how: Any,
) -> list[list[Plan]]:
    """What is to be done, by scene and network."""
    for name, given in (("paths", paths), ("checkpoints", checkpoints)):
        if not given:
            raise ArgumentError(f"{name}: name at least one", name)
    if sensed is not None and len(paths) > 1:
        raise ArgumentError(
            f"sensed {sensed}: is one time, and there are {len(paths)} scenes; map them one by one",
            "sensed",
        )
    plans = []
    refines = None if within is None else _refinable(checkpoints)
    for path in paths:
        row = []
        for checkpoint in checkpoints:
            finder = within if checkpoint == refines else None
            row.append(planned(path, checkpoint, out, within=finder, sensed=sensed, **how))
        plans.append(row)
    targets: dict[Path, str] = {}
    for path, row in zip(paths, plans, strict=True):
        for checkpoint, plan in zip(checkpoints, row, strict=True):
            made_of = f"{checkpoint} and {path}"
            if plan.target in targets:
                raise ArgumentError(
                    f"{made_of}: the map would have the name {plan.target.name}, as that of "
                    f"{targets[plan.target]}; map them into folders of their own",
                    *("checkpoints", "paths"),
                )
            targets[plan.target] = made_of
    return plans


def _refinable(checkpoints: Sequence[str | os.PathLike[str]]) -> str | os.PathLike[str]:
    """The CNN-segm among the checkpoints."""
    from satimnet.training.networks.checkpoints import load

    for checkpoint in checkpoints:
        if load(checkpoint, "cpu").kind == "cnn-segm":
            return checkpoint
    raise ArgumentError("within is for CNN-segm, and none of the checkpoints is one", "within")


def _require_outputs(plans: Sequence[Sequence[Plan]], outputs: Sequence[str] | None) -> None:
    known = dict.fromkeys(output.name for plan in plans[0] for output in plan.trained.outputs)
    wrong = [name for name in outputs or () if name not in known]
    if wrong or outputs == []:
        raise ArgumentError(
            f"outputs {', '.join(wrong) or 'none'}: the networks give {' and '.join(known)}",
            "outputs",
        )


@dataclass(frozen=True)
class _Column:
    """An output of a network, as a column of the picture."""

    at: int
    """Which checkpoint."""
    output: str
    title: str


def _columns(plans: Sequence[Plan], outputs: Sequence[str] | None) -> list[_Column]:
    return [
        _Column(at, output.name, _title(plan, output))
        for at, plan in enumerate(plans)
        for output in plan.trained.outputs
        if outputs is None or output.name in outputs
    ]


def _title(plan: Plan, output: Output) -> str:
    """As the captions of the paper name it: ``10-class CNN-dual``."""
    kind = _TITLES[plan.trained.kind]
    return kind if plan.trained.kind == "cnn-class" else f"{len(output.classes)}-class {kind}"


def _draw(plans: Sequence[Sequence[Plan]], outputs: Sequence[str] | None, file: Path) -> None:
    from matplotlib.figure import Figure

    columns = _columns(plans[0], outputs)
    scenes = [_visible(row) for row in plans]
    coloured = any(visible is not None for visible in scenes)
    width = _WIDTH * (len(columns) + coloured) + 0.4
    heights = [_WIDTH * row[0].scene.shape[0] / row[0].scene.shape[1] for row in plans]
    panels = [[_panel(row, column) for column in columns] for row in plans]
    legends = _legends(columns, panels, plans[0])
    sizes = [_size(title, classes, width) for title, classes in legends]
    total = sum(heights) + 0.35 + sum(height for _, height in sizes)
    figure = Figure(figsize=(width, total), dpi=150, layout="constrained")
    ratios = [sum(heights) + 0.35, *(height for _, height in sizes)]
    parts = figure.subfigures(len(ratios), 1, height_ratios=ratios, squeeze=False)[:, 0]
    grid = parts[0].subplots(
        len(plans), len(columns) + coloured, squeeze=False, height_ratios=heights
    )
    for k, (row, visible) in enumerate(zip(plans, scenes, strict=True)):
        axes = list(grid[k])
        words = textwrap.wrap(row[0].scene.id.replace("_", "_ "), max(8, int(heights[k] / _LETTER)))
        axes[0].set_ylabel("\n".join(words).replace("_ ", "_"), fontsize=8)
        draw: list[tuple[Picture | None, str]] = [
            (one.picture, column.title) for one, column in zip(panels[k], columns, strict=True)
        ]
        if coloured:
            draw.insert(0, (visible, "RGB"))
        for one, (picture, title) in zip(axes, draw, strict=True):
            _show(one, picture, title if k == 0 else None)
        draw_scale_bar(axes[0], row[0].scene)
    for part, (title, classes), (count, _) in zip(parts[1:], legends, sizes, strict=True):
        part.legend(
            handles=patches(classes),
            title=title,
            loc="center",
            ncols=count,
            fontsize=8,
            title_fontsize=8,
            frameon=False,
        )
    figure.savefig(file, format="png", bbox_inches="tight", pad_inches=0.1)


def _visible(plans: Sequence[Plan]) -> Picture | None:
    """The scene in true colours, if a network takes the bands for it."""
    pictures = (scene_panel(plan.scene, plan.trained.bands) for plan in plans)
    return next((picture for picture in pictures if picture is not None), None)


def _show(axes: Axes, picture: Picture | None, title: str | None) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    if picture is not None:
        axes.imshow(picture, interpolation="nearest")
    if title:
        axes.set_title(title, fontsize=10)


def _panel(row: Sequence[Plan], column: _Column) -> MapPanel:
    return map_panel(*row[column.at].maps[column.output])


def _legends(
    columns: Sequence[_Column], panels: Sequence[Sequence[MapPanel]], plans: Sequence[Plan]
) -> list[tuple[str, list[tuple[str, Colour]]]]:
    """For each class table the columns that have it, and the classes that occur in them."""
    tables: dict[Legend, list[int]] = {}
    for at, column in enumerate(columns):
        tables.setdefault(plans[column.at].maps[column.output][1], []).append(at)
    found = []
    for table, members in tables.items():
        own = [row[at] for row in panels for at in members]
        present = {entry for panel in own for entry, _ in panel.present}
        classes = [(entry.title, entry.colour) for entry in table.entries if entry in present]
        blanks = {panel.unseen for panel in own if panel.unseen is not None}
        classes += [(UNSEEN, blank) for blank in blanks]
        found.append((", ".join(columns[at].title for at in members), classes))
    return found


def _size(title: str, classes: Sequence[tuple[str, Colour]], width: float) -> tuple[int, float]:
    """Columns and height in inches of a legend."""
    longest = max((len(label) for label, _ in classes), default=0)
    count = max(1, min(len(classes), int(width / (0.55 + _LETTER * longest))))
    return count, _LINE * (1 + ceil(len(classes) / count)) + 0.15
