"""Options that several commands take."""

from __future__ import annotations

from pathlib import Path

import click

from satimnet.builder.commands import LocalPath

FOLDER = LocalPath(file_okay=False, path_type=Path)
"""Type of an argument or option that names a folder, which need not be there yet."""

quiet_option = click.option("--quiet", "-q", is_flag=True, help="No progress; errors only.")


def _note(context: click.Context, _: click.Parameter, value: bool) -> None:
    context.meta[__name__] = value


outside_option = click.option(
    "--allow-outside",
    is_flag=True,
    expose_value=False,
    callback=_note,
    help="Follow CATALOG, if it is a folder, to files outside of it; only for one you trust.",
)


def allow_outside() -> bool:
    """Whether the command that runs was given `outside_option`'s flag."""
    return bool(click.get_current_context().meta.get(__name__))


schemas_option = click.option(
    "--schemas",
    type=LocalPath(exists=True, file_okay=False, path_type=Path),
    envvar="SATIMNET_SCHEMAS",
    help="Folder of extension schemas with an index.json (URI to file), for work offline.",
)
