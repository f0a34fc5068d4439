"""``satimnet map``: a trained network maps a whole scene."""

from __future__ import annotations

from pathlib import Path

import click

from satimnet.builder.commands import one_line_errors
from satimnet.cli.options import ANY_CHECKPOINT, FOLDER, NAMES, device_option, quiet_option
from satimnet.cli.progress_bars import progress_bar


@click.command("map", short_help="Map a whole scene with a trained network.")
@click.argument("scene")
@click.option(
    "--checkpoint",
    required=True,
    type=ANY_CHECKPOINT,
    help="The trained network, a checkpoint.pt, path or URL.",
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
@device_option
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
    scene: str,
    checkpoint: Path | str,
    within: Path | str | None,
    bands: list[str] | None,
    offset: float,
    sensed: str | None,
    device: str | None,
    picture: bool,
    out: Path,
    quiet: bool,
) -> None:
    """Map SCENE with a trained network: COGs with colours and class names, and a STAC Item.

    SCENE is a Sentinel-2 product of Level-1C or Level-2A (its .SAFE folder), or any raster with the
    bands of the network that GDAL reads. If the command is interrupted, give it again: it goes on.
    """
    from satimnet.training import map_scene

    with progress_bar(quiet) as progress:
        maps = map_scene(
            scene,
            checkpoint,
            out,
            within=within,
            bands=bands,
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
            "there is no STAC Item of the map, because the scene does not say when it was taken; "
            "give --datetime"
        )
