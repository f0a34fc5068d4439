"""Options that several commands take."""

from __future__ import annotations

from pathlib import Path

import click

FOLDER = click.Path(file_okay=False, path_type=Path)
"""Type of an argument or option that names a folder, which need not be there yet."""

quiet_option = click.option("--quiet", "-q", is_flag=True, help="No progress; errors only.")
schemas_option = click.option(
    "--schemas",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="SATIMNET_SCHEMAS",
    help="Folder of extension schemas with an index.json (URI to file), for work offline.",
)
