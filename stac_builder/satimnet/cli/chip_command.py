"""``satimnet chip``: large images become chips of one size."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from satimnet.builder.commands import one_line_errors
from satimnet.cli.options import (
    WRITABLE,
    allow_outside,
    outside_option,
    quiet_option,
    scheduler_option,
    single_writer_option,
)
from satimnet.cli.output import say
from satimnet.cli.progress_bars import progress_bar
from satimnet.cli.report_lines import print_reports

if TYPE_CHECKING:
    from click import Context, Parameter


class _Sides(click.ParamType):  # type: ignore[type-arg]
    """Rows and columns, or one number for both: ``512``, ``512x256``."""

    name = "N|ROWSxCOLUMNS"

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d{1,9})(?:x(\d{1,9}))?", value)
        if match is None:
            self.fail(f"{value}: give pixels, as in 512 or 512x256", param, ctx)
        return int(match[1]), int(match[2] or match[1])


@click.command(short_help="Cut large images into chips of one size.")
@click.argument("catalog")
@click.option("--collection", required=True, help="Id of the collection to cut.")
@click.option("--size", type=_Sides(), required=True, help="Rows and columns of a chip.")
@click.option(
    "--overlap",
    type=_Sides(),
    default="0",
    show_default=True,
    help="Rows and columns that neighbours have in common.",
)
@click.option(
    "--keep-empty",
    type=float,
    default=1.0,
    show_default=True,
    help="Share of the chips without an object or a class that is kept.",
)
@click.option(
    "--min-inside",
    type=float,
    default=0.5,
    show_default=True,
    help="Share of its area that an object must have in a chip to be kept.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Draws the empty chips.")
@click.option("--id", "id_", help="Id of the collection of chips; without it, COLLECTION-chips.")
@click.option(
    "--compression",
    type=click.Choice(["none", "deflate"]),
    default="none",
    show_default=True,
    help="Of the chips; none is read without decoding.",
)
@click.option(
    "--out",
    type=WRITABLE,
    help="The catalog to make or to add to, a folder or in an object store; without it, CATALOG.",
)
@scheduler_option
@click.option("--keep-going", is_flag=True, help="Leave out any number of broken images.")
@outside_option
@single_writer_option
@quiet_option
@one_line_errors
def chip(
    catalog: str,
    collection: str,
    size: tuple[int, int],
    overlap: tuple[int, int],
    keep_empty: float,
    min_inside: float,
    seed: int,
    id_: str | None,
    compression: Any,
    out: str | None,
    scheduler: str,
    keep_going: bool,
    single_writer: bool,
    quiet: bool,
) -> None:
    """Cut a collection of CATALOG (path or URL) into chips of one size.

    The chips are a new collection, with links to what each was cut of. Masks are cut as they are.
    An object is kept if enough of its area lies in the chip; it is cut at the edge and marked as
    truncated. The same options and the same catalog give the same bytes. If the command is
    interrupted, give it again: it goes on.
    """
    from satimnet.builder.chipping import chip as run

    with progress_bar(quiet) as progress:
        chipped = run(
            catalog,
            collection,
            size,
            overlap=overlap,
            keep_empty=keep_empty,
            min_inside=min_inside,
            seed=seed,
            id=id_,
            compression=compression,
            out=out,
            allow_outside=allow_outside(),
            scheduler=scheduler,
            bad_files="any" if keep_going else "few",
            single_writer=single_writer,
            progress=progress,
        )
    if not quiet:
        print_reports([chipped.report])
        say(
            f"{chipped.chips:,} chips of {chipped.scenes:,} images; {chipped.empty:,} known to be "
            f"empty, {chipped.thinned:,} of these left out"
        )
        say(f"{chipped.catalog}/{chipped.collection}: is ready")
