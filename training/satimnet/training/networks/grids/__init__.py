"""Grids: values of the arguments of a training that are tried, each with each.

`read_grid` reads one from a TOML file; ``paper.toml`` beside this file shows, with comments, all
that such a file may say.
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from satimnet.builder.arguments import at_least, checked, hint
from satimnet.builder.errors import ArgumentError, NotFoundError, StorageError
from satimnet.training.networks.training_plan import MODELS

_KINDS: Mapping[str, tuple[type, str]] = {
    "bands": (list, 'lists of names, such as ["B02", "B03"]'),
    "width": (int, "whole numbers"),
    "epochs": (int, "whole numbers"),
    "batch_size": (int, "whole numbers"),
    "learning_rate": (float, "numbers"),
    "dropout": (float, "numbers"),
    "schedule": (str, "one-cycle or constant"),
}
"""The arguments of `train` that a grid may have values of, and what these are."""


@dataclass(frozen=True)
class Grid:
    """Values of arguments of `train` that are tried, each with each.

    values: a list by the name of the argument: bands (each value a list of names), width, epochs,
    batch_size, learning_rate, dropout, schedule. A list of one value says what is the same in all
    combinations. model: ``class``, ``segm`` or ``dual``. folds: of the cross-validation. title: of
    the table. source: where the values are from.

    Raises `ArgumentError` for an empty grid, an unknown argument, and values that cannot be.

    Example:
        >>> grid = Grid({"bands": [["B02"], ["B03", "B04"]], "learning_rate": [0.01, 0.001]})
        >>> len(grid)
        4
        >>> next(iter(grid.combinations()))
        {'bands': ('B02',), 'learning_rate': 0.01}
    """

    values: Mapping[str, Sequence[Any]]
    model: str = "class"
    folds: int = 3
    title: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ArgumentError(f"model {self.model}: there are {', '.join(MODELS)}", "model")
        at_least(2, folds=self.folds)
        if not self.values:
            raise ArgumentError(
                f"the grid is empty; give values of {', '.join(_KINDS)}", "grid", *_KINDS
            )
        for name in self.values:
            if name not in _KINDS:
                raise ArgumentError(f"a grid has no {name}; {hint(name, _KINDS)}", "grid")
        found = {name: _values(name, self.values[name]) for name in _KINDS if name in self.values}
        object.__setattr__(self, "values", found)

    def __len__(self) -> int:
        """How many combinations there are."""
        return math.prod(map(len, self.values.values()))

    def combinations(self) -> list[dict[str, Any]]:
        """Every combination: arguments of `train`, in an order that depends on the grid alone."""
        return [
            dict(zip(self.values, chosen, strict=True)) for chosen in product(*self.values.values())
        ]

    @property
    def varied(self) -> list[str]:
        """Names of the arguments that have several values."""
        return [name for name, values in self.values.items() if len(values) > 1]

    def label(self, combination: Mapping[str, Any]) -> str:
        """A combination in a line: what makes it another one than the rest."""
        names = self.varied or list(self.values)
        return ", ".join(f"{spelled(name)} {worded(combination[name])}" for name in names)


def _values(name: str, given: Any) -> tuple[Any, ...]:
    """The values of one argument, checked."""
    kind, words = _KINDS[name]
    if isinstance(given, str | Mapping) or not isinstance(given, Sequence):
        raise ArgumentError(f"{name} {given!r:.80}: give a list of {words}", name)
    if not given:
        raise ArgumentError(f"{name}: the list is empty; give {words}", name)
    found = tuple(_value(name, one, kind, words) for one in given)
    for at, one in enumerate(found):
        if one in found[:at]:
            raise ArgumentError(f"{name}: {worded(one)} is there twice", name)
    return found


def _value(name: str, given: Any, kind: type, words: str) -> Any:
    if kind is list:
        names = given if isinstance(given, list | tuple) else ()
        if not names or not all(isinstance(band, str) and band for band in names):
            raise ArgumentError(f"{name} {given!r:.80}: give {words}", name)
        if len(set(names)) < len(names):
            raise ArgumentError(f"{name} {worded(names)}: a band is there twice", name)
        return tuple(names)
    if kind is float and isinstance(given, int) and not isinstance(given, bool):
        given = float(given)  # 0 and 0.0 are the same training
    if not isinstance(given, kind) or isinstance(given, bool):
        raise ArgumentError(f"{name} {given!r:.80}: give {words}", name)
    return given


def worded(value: Any) -> str:
    """A value as one writes it behind an option."""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def spelled(name: str) -> str:
    """The name of an argument in words."""
    return name.replace("_", " ")


def included() -> dict[str, Path]:
    """The grids that come with this package, by name."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.toml"))}


@checked()
def read_grid(grid: str | os.PathLike[str]) -> Grid:
    """The grid in a TOML file, or of the name of an included one.

    Args:
        grid: the path of a ``.toml`` file, or ``paper``: that of Section 3.1, as far as the paper
            tells it; the comments in the file say what is whose.

    Returns:
        The grid, checked.

    Raises:
        NotFoundError: there is no such file.
        StorageError: the file cannot be read.
        ArgumentError: something in it is unknown, missing or cannot be.

    Example:
        >>> read_grid("paper").values["learning_rate"]
        (0.01, 0.001)
    """
    name = os.fspath(grid)
    path = Path(name) if name.endswith(".toml") else included().get(name)
    if path is None:
        known = ", ".join(included())
        raise ArgumentError(f"{name}: no grid; name a .toml file, or one of these: {known}", "grid")
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        kind = NotFoundError if isinstance(error, FileNotFoundError) else StorageError
        raise kind(f"{path}: {error.strerror}; name a grid") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ArgumentError(f"{path}: this is not TOML: {error}", "grid") from error
    for key, (wanted, words) in _KEYS.items():
        if type(content.get(key, wanted())) is not wanted:
            raise ArgumentError(f"{path}: {key} = {content[key]!r:.80}: must be {words}", "grid")
    unknown = [key for key in content if key not in _KEYS]
    if unknown:
        raise ArgumentError(
            f"{path}: unknown: {', '.join(unknown)}; there are {', '.join(_KEYS)}", "grid"
        )
    try:
        return Grid(**{"values": {}} | content)
    except ArgumentError as error:
        raise ArgumentError(f"{path}: {error}", "grid") from error


_KEYS: Mapping[str, tuple[type, str]] = {
    "title": (str, "text"),
    "source": (str, "text"),
    "model": (str, "text"),
    "folds": (int, "a whole number"),
    "values": (dict, "a table"),
}
"""What a file may say."""
