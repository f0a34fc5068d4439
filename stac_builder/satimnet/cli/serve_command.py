"""``satimnet serve``: catalogs are served by HTTP."""

from __future__ import annotations

from contextlib import suppress

import click

from satimnet.builder.commands import one_line_errors
from satimnet.builder.errors import how_to_install
from satimnet.cli.options import allow_outside, outside_option, quiet_option
from satimnet.cli.output import program


@click.command(short_help="Serve a catalog: files, a STAC API, STAC Browser, the explorer.")
@click.argument("catalog")
@click.option(
    "--port",
    default=8080,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 is all."
)
@click.option(
    "--root-path",
    default="",
    metavar="PATH",
    help="Path at which a proxy shows the server, such as /stac; without it, X-Forwarded-Prefix "
    "says.",
)
@click.option(
    "--time-limit",
    default=10.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long a search may take.",
)
@outside_option
@quiet_option
@one_line_errors
def serve(
    catalog: str, port: int, host: str, root_path: str, time_limit: float, quiet: bool
) -> None:
    """Serve CATALOG (path or URL) by HTTP: its files, a STAC API, STAC Browser and the explorer.

    Only this machine can reach it, unless --host says otherwise. Ctrl-C ends it.
    """
    try:
        from satimnet.builder.server.browser import built
        from satimnet.builder.server.running import serve as run
    except ModuleNotFoundError as error:
        instead = how_to_install("serve")
        raise click.ClickException(f"{error.name} is not installed; {instead}") from None

    browser, called = built(), program()

    def ready(url: str) -> None:
        if quiet:
            return
        click.echo(f"STAC API      {url}")
        click.echo(f"explorer      {url}explore/")
        if "://" not in catalog:
            click.echo(f"for GIS       {url}plain/")
            click.echo(f"files         {url}catalog/catalog.json")
        if browser is None:
            click.echo(f"STAC Browser  not built yet; `{called} browser` builds it, once")
        else:
            click.echo(f"STAC Browser  {url}browser/")

    with suppress(KeyboardInterrupt):  # is how it ends
        run(
            catalog,
            host,
            port,
            browser=browser,
            root_path=root_path,
            seconds=time_limit,
            allow_outside=allow_outside(),
            ready=ready,
        )
