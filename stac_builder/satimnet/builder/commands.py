"""The commands that every dataset has, written once: ``stac <dataset> create-collection|…``."""

from __future__ import annotations

import re
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TextIO, TypeVar

import click

from satimnet.builder.errors import (
    CatalogWarning,
    SatimnetError,
    how_to_install,
    printable,
    without_secrets,
)
from satimnet.builder.option_names import with_options
from satimnet.builder.storage.atomic_files import writing
from satimnet.builder.storage.hrefs import on_disk
from satimnet.builder.storage.staging import lock

if TYPE_CHECKING:
    import pystac

    from satimnet.builder.datasets import Dataset

P = ParamSpec("P")
R = TypeVar("R")


class Commands(click.Group):
    """A group whose commands refuse an option that is given twice, if it counts once.

    click lets the last one win, and says nothing.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in the order in which they were added: that of their use."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command and its arguments. Raises `click.UsageError` for an option given twice."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and not isinstance(command, click.Group):
            own = command.context_class(command, parent=ctx, info_name=name)
            _, _, given = command.make_parser(own).parse_args(list(rest))
            for parameter in dict.fromkeys(given):
                if _counts_once(parameter) and given.count(parameter) > 1:
                    raise click.UsageError(
                        f"{'/'.join(parameter.opts)} is given {given.count(parameter)} times, "
                        "and counts once; keep one of them",
                        own,
                    )
        return name, command, rest


def _counts_once(parameter: click.Parameter) -> bool:
    return (
        isinstance(parameter, click.Option)
        and not (parameter.multiple or parameter.count)
        and not parameter.is_eager
    )


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
            if debug:  # of a library's errors as well, which may name a URL with all that is in it
                trace = "".join(traceback.format_exception(error))
                click.echo(without_secrets(trace).rstrip(), err=True)
                raise click.exceptions.Exit(1) from error
            if isinstance(error, SatimnetError):
                raise click.ClickException(with_options(error)) from error
            if isinstance(error, OSError) and error.filename:
                reason = printable(f"{error.filename}: {error.strerror}")
                raise click.ClickException(reason) from error
            if isinstance(error, ModuleNotFoundError):
                instead = how_to_install("training", "distributed")
                raise click.ClickException(f"{error.name} is not installed; {instead}") from error
            text = without_secrets(f"{type(error).__name__}: {error}")
            fault = printable(text.splitlines()[0])
            raise click.ClickException(
                f"{fault} (a fault of {_culprit(error)}; --debug shows where, please report it)"
            ) from error

    return run


def _culprit(error: Exception) -> str:
    """Whose code the error went through: a dataset's package, by anybody, or the builder."""
    lines = "".join(traceback.format_exception(error))  # of worker processes there is only text
    packages = re.findall(r'File ".*\bstactools/(?!satimnet/|cli/|core/)(\w+)/', lines)
    return f"the dataset package stactools.{packages[-1]}" if packages else "satimnet"


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

    @cli.group(dataset.id, cls=Commands, short_help=f"Commands for {dataset.record.title}")
    def group() -> None:
        """Single STAC objects of a dataset; `satimnet build` makes whole catalogs."""

    @group.command("create-collection")
    @click.argument("destination", type=LocalPath(dir_okay=False, path_type=Path))
    @one_line_errors
    def create_collection(destination: Path) -> None:
        """Write the Collection, without items, to the file DESTINATION."""
        from satimnet.builder.stac import create_collection

        collection = create_collection(dataset)
        _save(collection, destination)

    @group.command("create-item")
    @click.argument("sources", nargs=-1, required=True, type=LocalPath(exists=True))
    @click.argument("destination", type=LocalPath(dir_okay=False, path_type=Path))
    @one_line_errors
    def create_item(sources: tuple[str, ...], destination: Path) -> None:
        """Write the Item of one sample, whose files are SOURCES, to the file DESTINATION."""
        from satimnet.builder.stac import create_item

        item = create_item(dataset, *sources)
        _save(item, destination)

    return group


def _save(made: pystac.STACObject, destination: Path) -> None:
    with lock(destination), writing(destination) as part:
        made.save_object(include_self_link=False, dest_href=str(part))
