"""Options that several commands take, and the types of their values."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from satimnet.builder.commands import LocalPath
from satimnet.builder.errors import SatimnetError
from satimnet.builder.storage.hrefs import is_url, on_disk, writable
from satimnet.builder.storage.parallel import is_cluster

if TYPE_CHECKING:
    from click import Context, Parameter

_Command = TypeVar("_Command", bound=Callable[..., Any])

FOLDER = LocalPath(file_okay=False, path_type=Path)
"""A folder, which need not be there yet."""


class _WritablePlace(click.ParamType):  # type: ignore[type-arg]
    """A folder or file, or the URL of an object store."""

    name = "place"

    def __init__(self, here: LocalPath) -> None:
        self._here = here

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> str:
        try:
            place = writable(value)
        except SatimnetError as error:
            raise click.ClickException(str(error)) from error
        if not is_url(place):
            self._here.convert(place, param, ctx)
        return place


FILE = LocalPath(exists=True, dir_okay=False, path_type=Path)
"""A file that is there."""

ANY_FILE = LocalPath(dir_okay=False, path_type=Path)
"""A file, whether it is there or not."""

WRITABLE = _WritablePlace(FOLDER)
"""A place to write a catalog to, which need not be there yet."""

WRITABLE_FILE = _WritablePlace(ANY_FILE)
"""The place of a file to write, whether it is there or not."""


class _Place(LocalPath):
    """A file of this machine or a URL; that stays a text, which a path would not keep as it is."""

    name = "place"

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> Any:
        return value if is_url(os.fspath(value)) else super().convert(value, param, ctx)


CHECKPOINT = _Place(exists=True, dir_okay=False, path_type=Path)
"""A trained network that is there, on disk or at a URL."""

ANY_CHECKPOINT = _Place(dir_okay=False, path_type=Path)
"""The same, whether it is there or not."""


# In older versions of click, ParamType takes no type argument.
class _Names(click.ParamType):  # type: ignore[type-arg]
    """Names with commas between them."""

    name = "names"

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> list[str]:
        if isinstance(value, list):
            return value
        return [name.strip() for name in value.split(",")]


class Listed(click.ParamType):  # type: ignore[type-arg]
    """Values of a type with commas between them, or with another sign."""

    def __init__(self, of: click.ParamType, sign: str = ",") -> None:  # type: ignore[type-arg]
        self.name = f"{of.name}{sign}…"
        self._of, self._sign = of, sign

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> list[Any]:
        """The values."""
        if isinstance(value, list):
            return value
        return [self._of.convert(part.strip(), param, ctx) for part in value.split(self._sign)]


class _Bytes(click.ParamType):  # type: ignore[type-arg]
    """A number of bytes, perhaps with a unit: ``1000``, ``256MiB``, ``4 GB``."""

    name = "size"

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+)\s*([KMG]i?)?B?", value, re.IGNORECASE)
        if match is None:
            self.fail(f"size {value!r}: give bytes or a unit, as in 256MiB", param, ctx)
        unit = (match[2] or "").lower()
        base = 1024 if unit.endswith("i") else 1000
        return int(match[1]) * int(base ** " kmg".index(unit[:1] or " "))


class _RowsAndColumns(click.ParamType):  # type: ignore[type-arg]
    """The size of an image: ``256x256``."""

    name = "ROWSxCOLUMNS"

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d+)x(\d+)", value)
        if match is None:
            self.fail(f"{value}: give rows and columns, as in 256x256", param, ctx)
        return int(match[1]), int(match[2])


# In older versions of click, ParamType takes no type argument.
class _Range(click.ParamType):  # type: ignore[type-arg]
    """A number, or the least and the most with a colon between them: ``64``, ``100:300``, ``:64``.

    Args:
        number: Reads one of the numbers.
        such: What the numbers look like, for messages.
    """

    name = "range"

    def __init__(self, number: click.ParamType, such: str) -> None:  # type: ignore[type-arg]
        self._number = number
        self._such = such

    def convert(
        self, value: Any, param: Parameter | None, ctx: Context | None
    ) -> tuple[int | None, int | None]:
        if isinstance(value, tuple):
            return value
        low, colon, high = (part.strip() for part in value.partition(":"))
        ends = [low, high] if colon else [low, low]
        if not any(ends) or ":" in high:
            self.fail(f"{value!r}: give a number or a range, as in {self._such}", param, ctx)
        found = [self._number.convert(end, param, ctx) if end else None for end in ends]
        return found[0], found[1]


class _Count(click.ParamType):  # type: ignore[type-arg]
    """A whole number from 0."""

    name = "count"

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> int:
        if not re.fullmatch(r"\d{1,18}", value, re.ASCII):
            self.fail(f"{value!r} is no whole number, as in 64", param, ctx)
        return int(value)


NAMES = _Names()
BYTES = _Bytes()
ROWS_AND_COLUMNS = _RowsAndColumns()
COUNTS = _Range(_Count(), "64, 100:300 or :300")
SIZES = _Range(BYTES, "10kB:1MB or :1MB")


def added(*options: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    """All of the options as one, in the order of the help."""

    def add(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def named_paths(option: str, given: Sequence[str]) -> dict[str, list[Path]]:
    """The paths by name, of words such as ``eurosat=EuroSAT.zip`` that an option was given."""
    named: dict[str, list[Path]] = {}
    for word in given:
        name, equals, path = word.partition("=")
        if not equals:
            raise click.UsageError(f"{option} {word}: give NAME=PATH")
        named.setdefault(name, []).append(on_disk(path))
    return named


# --- how a command runs ---------------------------------------------------------------------------

quiet_option = click.option("--quiet", "-q", is_flag=True, help="No progress; errors only.")


def _note(context: Context, _: Parameter, value: bool) -> None:
    context.meta[__name__] = value


outside_option = click.option(
    "--allow-outside",
    is_flag=True,
    expose_value=False,
    callback=_note,
    help="Also read files outside of the folder CATALOG; only for a catalog that you trust.",
)


def allow_outside() -> bool:
    """Whether the command that runs was given `outside_option`'s flag."""
    return bool(click.get_current_context().meta.get(__name__))


def _note_versions(context: Context, _: Parameter, value: tuple[str, ...]) -> None:
    context.meta[f"{__name__}.at"] = value


at_option = click.option(
    "--at",
    metavar="VERSION",
    multiple=True,
    expose_value=False,
    callback=_note_versions,
    help="Read this version of a collection, not the current one; several times for several. "
    "satimnet versions lists them.",
)


def at() -> tuple[str, ...]:
    """The versions that the command that runs was given by `at_option`."""
    found: tuple[str, ...] = click.get_current_context().meta.get(f"{__name__}.at", ())
    return found


def _note_splits(context: Context, _: Parameter, value: str | None) -> None:
    context.meta[f"{__name__}.splits"] = value


splits_option = click.option(
    "--splits",
    metavar="NAME",
    expose_value=False,
    callback=_note_splits,
    help="Use the splits and folds that satimnet split made under this name, not the publisher's; "
    "NAME@DIGEST is exactly that table.",
)


def chosen_splits() -> str | None:
    """The split that the command that runs was given by `splits_option`."""
    found: str | None = click.get_current_context().meta.get(f"{__name__}.splits")
    return found


def _scheduler_option(*here: str, default: str, help: str) -> Callable[[_Command], _Command]:
    """The option with so many ways to compute on this machine, or the address of a cluster."""

    def check(context: Context, _: Parameter, value: str) -> str:
        if value not in here and not is_cluster(value):
            raise click.UsageError(
                f"--scheduler is {', '.join(here)} or an address such as tcp://…", context
            )
        return value

    return click.option(
        "--scheduler", default=default, show_default=True, callback=check, help=help
    )


scheduler_option = _scheduler_option(
    "threads",
    "processes",
    default="processes",
    help="threads, processes, or tcp://… of a dask cluster that sees the same files, or nothing "
    "but the same object store.",
)

measuring_option = _scheduler_option(
    "threads",
    "processes",
    default="processes",
    help="threads, processes, or tcp://… of a dask cluster whose workers can read CATALOG where it "
    "is; they need no other disk of this machine.",
)

reading_option = _scheduler_option(
    "threads",
    "direct",
    default="threads",
    help="What reads the samples: dask's threads, a dask cluster at tcp://… that sees the same "
    "files, or direct, without dask. The result is the same.",
)

strips_scheduler_option = _scheduler_option(
    "direct",
    default="direct",
    help="direct, or tcp://… of a dask cluster whose workers see the scene and compute its rows.",
)

single_writer_option = click.option(
    "--single-writer",
    is_flag=True,
    help="Nobody else writes to this catalog now; for stores that cannot take care of it.",
)

spreading_option = _scheduler_option(
    "threads",
    "direct",
    default="threads",
    help="tcp://… of a dask cluster that sees the same files: each of its workers trains one "
    "combination at a time. Without it, one after the other is trained here; threads and direct "
    "say what reads the samples. The result is the same.",
)

schemas_option = click.option(
    "--schemas",
    type=LocalPath(exists=True, file_okay=False, path_type=Path),
    envvar="SATIMNET_SCHEMAS",
    help="Folder of extension schemas with an index.json (URI to file), to work offline.",
)

MODELS = ("class", "segm", "dual")
"""The networks, as options name them."""

# --- samples and networks -------------------------------------------------------------------------

device_option = click.option("--device", help="cpu or cuda; without it, the GPU if there is one.")

collection_option = click.option(
    "--collection", help="Id of a collection; without it, all that can be taken together."
)

filter_option = click.option(
    "--filter", "filter_", help="CQL2 text about the properties of the Items."
)

size_options = added(
    click.option(
        "--image-size",
        "size",
        type=ROWS_AND_COLUMNS,
        metavar="ROWSxCOLUMNS",
        help="Leave out samples with images of another size.",
    ),
    click.option(
        "--crop",
        type=ROWS_AND_COLUMNS,
        metavar="ROWSxCOLUMNS",
        help="Read only the middle of each image, of this size.",
    ),
)

limit_option = click.option(
    "--limit", type=click.IntRange(1), help="Take only so many samples, drawn by the seed."
)

sample_options = added(
    collection_option,
    filter_option,
    limit_option,
    click.option(
        "--bands",
        type=NAMES,
        default="B02,B03,B04,B08",
        show_default=True,
        help="Names of the bands to learn from, with commas.",
    ),
    size_options,
)
"""Options that say which samples to learn from."""

window_options = added(
    click.option(
        "--windows",
        type=click.IntRange(1),
        help="For segm and dual: draw so many windows beforehand, and use no others.",
    ),
    click.option(
        "--windows-per-epoch",
        type=click.IntRange(1),
        help="For segm and dual: show so many windows in each epoch.",
    ),
)

seed_option = click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="The same seed gives the same draws and the same first weights.",
)

devices_option = click.option(
    "--devices", default=1, show_default=True, help="How many GPUs, or processes, to use."
)

save_option = click.option(
    "--save-seconds",
    default=60.0,
    show_default=True,
    help="How often to save; a killed training loses at most so much when it goes on.",
)

training_options = added(
    click.option(
        "--width", type=int, help="Filters of each convolution; without it, the published number."
    ),
    click.option(
        "--epochs", default=40, show_default=True, help="How often all samples are gone through."
    ),
    click.option(
        "--batch-size", type=int, help="Samples in a step; without it, 64 patches or 1024 windows."
    ),
    click.option(
        "--learning-rate", type=float, help="The highest one; without it, the published one."
    ),
    click.option(
        "--dropout",
        type=float,
        help="The fraction of values that dropout layers drop; without it, the published one.",
    ),
    click.option(
        "--schedule",
        type=click.Choice(["one-cycle", "constant"]),
        default="one-cycle",
        show_default=True,
        help="How the learning rate goes: it rises and falls, or stays.",
    ),
    window_options,
    seed_option,
    device_option,
    devices_option,
    reading_option,
    save_option,
)
"""Options of a training, by the names of `satimnet.training.train`."""
