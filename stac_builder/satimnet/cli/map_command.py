"""``satimnet map``: trained networks map whole scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from satimnet.builder.commands import one_line_errors
from satimnet.cli.options import (
    ANY_CHECKPOINT,
    FOLDER,
    NAMES,
    device_option,
    quiet_option,
    strips_scheduler_option,
)
from satimnet.cli.progress_bars import progress_bar


@click.command("map", short_help="Map whole scenes with trained networks.")
@click.argument("scenes", nargs=-1, required=True, metavar="SCENE...")
@click.option(
    "--checkpoint",
    "checkpoints",
    required=True,
    multiple=True,
    type=ANY_CHECKPOINT,
    help="The trained network, a checkpoint.pt, path or URL; give the option again for further "
    "ones.",
)
@click.option(
    "--within",
    type=ANY_CHECKPOINT,
    help="A trained CNN-class, path or URL: apply the CNN-segm of --checkpoint only to patches "
    "that it finds to be water or built-up.",
)
@click.option(
    "--bands", type=NAMES, help="Names of a raster's bands, if it does not say: B02,B03,B04,B08."
)
@click.option(
    "--offset",
    default=0.0,
    help="A number to add to a raster's values: -1000 if it was cut from a product of processing "
    "baseline 04.00 or later.",
)
@click.option(
    "--datetime",
    "sensed",
    help="When the scene was taken, if it does not say: 2020-07-17T22:19:41Z.",
)
@click.option(
    "--outputs",
    type=NAMES,
    help="With several networks or scenes: draw only these outputs, class or mask.",
)
@device_option
@strips_scheduler_option
@click.option(
    "--picture/--no-picture",
    default=True,
    show_default=True,
    help="Draw the maps beside the scene, as a PNG.",
)
@click.option("--out", required=True, type=FOLDER, help="Folder for maps, picture and Items.")
@quiet_option
@one_line_errors
def map_command(
    scenes: tuple[str, ...],
    checkpoints: tuple[Path | str, ...],
    within: Path | str | None,
    bands: list[str] | None,
    offset: float,
    sensed: str | None,
    outputs: list[str] | None,
    device: str | None,
    scheduler: str,
    picture: bool,
    out: Path,
    quiet: bool,
) -> None:
    """Map each SCENE with a trained network: COGs with colours and class names, and a STAC Item.

    With several networks or scenes, figure.png shows all maps side by side: a row for each scene,
    a column for each output of a network.

    SCENE is a Sentinel-2 product of Level-1C or Level-2A (its .SAFE folder), or any raster with the
    bands of the network that GDAL reads. If the command is interrupted, give it again: it goes on.
    """
    from satimnet.training import map_scene, map_scenes

    how: dict[str, Any] = {"within": within, "bands": bands, "offset": offset, "sensed": sensed}
    how |= {"device": device, "scheduler": scheduler, "picture": picture}
    figure = None
    with progress_bar(quiet) as progress:
        if len(scenes) == len(checkpoints) == 1 and outputs is None:
            scene, checkpoint = scenes[0], checkpoints[0]
            made = [map_scene(scene, checkpoint, out, progress=progress, **how)]
        else:
            figure = map_scenes(scenes, checkpoints, out, outputs=outputs, progress=progress, **how)
            made = list(figure.maps)
    files = [
        file for maps in made for file in (*maps.images, maps.picture, maps.item, *maps.models)
    ]
    for file in (*dict.fromkeys(files), figure and figure.picture):
        if file is not None:
            click.echo(file)
    if len(scenes) == 1 and made[0].item is None:
        click.echo(
            "there is no STAC Item of the map, because the scene does not say when it was taken; "
            "give --datetime"
        )
    elif any(maps.item is None for maps in made):
        click.echo(
            "there are no STAC Items of maps whose scene does not say when it was taken; "
            "map each by itself with --datetime"
        )
