"""The commands that every dataset has, written once: ``stac <dataset> create-collection|…``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TextIO, TypeVar

import click

from satimnet.builder.datasets import Dataset
from satimnet.builder.errors import CatalogWarning, SatimnetError, printable
from satimnet.builder.places import on_disk

P = ParamSpec("P")
R = TypeVar("R")


class LocalPath(click.Path):
    """A file or folder of this machine: a URL or another scheme is refused in one line."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """The path."""
        try:
            on_disk(value)
        except SatimnetError as error:
            raise click.ClickException(str(error)) from error
        return super().convert(value, param, ctx)


def one_line_errors(command: Callable[P, R]) -> Callable[P, R]:
    """The command with ``--debug``; without it, every error is one line and exit code 1."""

    @click.option("--debug", is_flag=True, help="Show tracebacks of errors.")
    @wraps(command)
    def run(*args: P.args, **options: P.kwargs) -> R:
        debug = options.pop("debug")
        try:
            with _warnings_as_sentences():
                return command(*args, **options)
        except (click.ClickException, BrokenPipeError):  # a pipe into head is no error
            raise
        except KeyboardInterrupt:
            click.echo("Error: interrupted; the same command can be given again", err=True)
            raise click.exceptions.Exit(130) from None  # as shells have it
        except Exception as error:
            if debug:
                raise
            if isinstance(error, SatimnetError):
                raise click.ClickException(str(error)) from error
            if isinstance(error, OSError) and error.filename:
                reason = printable(f"{error.filename}: {error.strerror}")
                raise click.ClickException(reason) from error
            if isinstance(error, ModuleNotFoundError):
                raise click.ClickException(
                    f"{error.name} is not installed; pip install 'satimnet[training,distributed]'"
                ) from error
            fault = printable(f"{type(error).__name__}: {error}".splitlines()[0])
            raise click.ClickException(
                f"{fault} (a fault of satimnet; --debug shows where, please report it)"
            ) from error

    return run


@contextmanager
def _warnings_as_sentences() -> Iterator[None]:
    """Shows what of a catalog is left out as a line; other warnings as ever."""
    with warnings.catch_warnings():
        as_ever = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, CatalogWarning):
                click.echo(f"Warning: {message}", err=True)
            else:
                as_ever(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


def dataset_command(cli: click.Group, dataset: Dataset) -> click.Command:
    """Adds the group of a dataset to the ``stac`` command."""

    @cli.group(dataset.id, short_help=f"Commands for {dataset.record['title']}")
    def group() -> None:
        """Single STAC objects of a dataset; `stac satimnet build` makes whole catalogs."""

    @group.command("create-collection")
    @click.argument("destination", type=LocalPath(dir_okay=False, path_type=Path))
    @one_line_errors
    def create_collection(destination: Path) -> None:
        """Write the Collection, without items, to the file DESTINATION."""
        from satimnet.builder.stac import create_collection

        collection = create_collection(dataset)
        collection.save_object(include_self_link=False, dest_href=str(destination))

    @group.command("create-item")
    @click.argument("sources", nargs=-1, required=True, type=LocalPath(exists=True))
    @click.argument("destination", type=LocalPath(dir_okay=False, path_type=Path))
    @one_line_errors
    def create_item(sources: tuple[str, ...], destination: Path) -> None:
        """Write the Item of one sample, whose files are SOURCES, to the file DESTINATION."""
        from satimnet.builder.stac import create_item

        item = create_item(dataset, *sources)
        item.save_object(include_self_link=False, dest_href=str(destination))

    return group
