"""Trained networks map whole scenes: ``stac satimnet map``."""

from __future__ import annotations

from pathlib import Path

import click

from satimnet.builder.commands import LocalPath, one_line_errors
from satimnet.cli.options import FOLDER, quiet_option
from satimnet.cli.progress_bars import progress_bar

_CHECKPOINT = LocalPath(dir_okay=False, path_type=Path)


@click.command("map")
@click.argument("scene")
@click.option("--checkpoint", required=True, type=_CHECKPOINT, help="The trained network.")
@click.option(
    "--within",
    type=_CHECKPOINT,
    help="A CNN-class: apply the CNN-segm of --checkpoint solely to patches that this one finds to "
    "be water or built-up.",
)
@click.option("--bands", help="Names of a raster's bands, if it does not say: B02,B03,B04,B08.")
@click.option(
    "--offset",
    default=0.0,
    help="Added to a raster's values: -1000 if they were cut from products of processing baseline "
    "04.00 or later as they are.",
)
@click.option("--datetime", "sensed", help="When the scene was taken, if it does not say.")
@click.option("--device", help="cpu or cuda; the GPU if there is one.")
@click.option("--picture/--no-picture", default=True, show_default=True, help="Draw a PNG.")
@click.option("--out", required=True, type=FOLDER, help="Folder of maps, picture and Items.")
@quiet_option
@one_line_errors
def map_command(
    scene: str,
    checkpoint: Path,
    within: Path | None,
    bands: str | None,
    offset: float,
    sensed: str | None,
    device: str | None,
    picture: bool,
    out: Path,
    quiet: bool,
) -> None:
    """Map SCENE with a trained network, as COGs with colours, class names and a STAC Item.

    SCENE is a Sentinel-2 product of Level-1C or Level-2A (its .SAFE folder), or any raster that
    GDAL reads and that has the bands of the network.
    """
    from satimnet.training import map_scene

    with progress_bar(quiet) as progress:
        maps = map_scene(
            scene,
            checkpoint,
            out,
            within=within,
            bands=None if bands is None else [name.strip() for name in bands.split(",")],
            offset=offset,
            sensed=sensed,
            device=device,
            picture=picture,
            progress=progress,
        )
    for file in (*maps.images, maps.picture, maps.item, *maps.models):
        if file is not None:
            click.echo(file)
    if maps.item is None:
        click.echo(
            "the map has no STAC Item, as the scene does not say when it was taken; give --datetime"
        )
