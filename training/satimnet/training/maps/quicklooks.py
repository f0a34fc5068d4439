"""Pictures of maps: the scene in its colours, and beside it the map with its legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from satimnet.builder.imagery.scenes import Scene
from satimnet.builder.storage.atomic_files import writing
from satimnet.training.maps.legends import Legend
from satimnet.training.maps.panels import UNSEEN, draw_scale_bar, map_panel, patches, scene_panel

_WIDTH = 5.0
"""Inches of a panel."""


def draw(
    scene: Scene,
    bands: Sequence[str],
    maps: Mapping[str, tuple[Path, Legend]],
    file: Path,
) -> None:
    """Writes the picture as a PNG: true colours, if the bands have them, then each map.

    Under a map stand the classes that occur in it, with the share of the observed pixels that
    each has in the picture (where large scenes are thinned out). What was not observed is white in
    the scene, and in a map of a colour that no class has. The first panel has a scale bar.
    """
    from matplotlib.figure import Figure

    visible = scene_panel(scene, bands)
    rows, columns = scene.shape
    count = len(maps) + (visible is not None)
    figure = Figure(
        figsize=(count * _WIDTH, _WIDTH * rows / columns + 0.4), dpi=150, layout="constrained"
    )
    panels = figure.subplots(1, count, squeeze=False)[0].tolist()
    first = panels[0]
    for axes in panels:
        axes.set_axis_off()
    if visible is not None:
        axes = panels.pop(0)
        axes.imshow(visible)
        axes.set_title(scene.id, fontsize=9)
    for axes, (path, legend) in zip(panels, maps.values(), strict=True):
        panel = map_panel(path, legend)
        shown = [(f"{entry.title} {share:.1%}", entry.colour) for entry, share in panel.present]
        if panel.unseen is not None:
            shown.append((UNSEEN, panel.unseen))
        axes.imshow(panel.picture, interpolation="nearest")
        axes.set_title(path.stem.removeprefix(f"{scene.id}_").replace("_", ", "), fontsize=9)
        if shown:
            axes.legend(
                handles=patches(shown),
                loc="upper center",
                bbox_to_anchor=(0.5, -0.02),
                ncols=2,
                fontsize=8,
                frameon=False,
            )
    draw_scale_bar(first, scene)
    with writing(file) as part:
        figure.savefig(part, format="png", bbox_inches="tight")
