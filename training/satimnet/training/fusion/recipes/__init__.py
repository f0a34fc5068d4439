"""Recipes: TOML files that say how samples of several collections become one training set.

`read_recipe` reads and checks one; ``paper.toml`` and ``demo.toml`` beside this file show, with
comments, all that a recipe may say.
"""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from satimnet.builder.arguments import checked
from satimnet.builder.errors import ArgumentError, NotFoundError, StorageError
from satimnet.training.fusion.recipes.toml_tables import TomlTable

MASK_CLASSES: tuple[Mapping[str, Any], ...] = (
    {
        "value": 0,
        "name": "no-observation",
        "title": "No observation",
        "description": "nobody knows: to be ignored",
        "color_hint": "000000",
    },
    {
        "value": 1,
        "name": "water",
        "title": "Water",
        "description": "open water, all the year or a part of it",
        "color_hint": "0000FF",
    },
    {
        "value": 2,
        "name": "built-up",
        "title": "Built-up",
        "description": "buildings, residential or not",
        "color_hint": "FF0000",
    },
    {
        "value": 3,
        "name": "other",
        "title": "Other",
        "description": "neither water nor built-up",
        "color_hint": "C8C8C8",
    },
)
"""What pixels of a fused mask are: the aggregation classes of the paper (Section 3.1), and 0."""

MASK_VALUES: Mapping[str, int] = {str(row["name"]): int(row["value"]) for row in MASK_CLASSES}
"""Mask values by name."""

RESAMPLINGS = ("nearest", "bilinear", "cubic", "cubic_spline", "lanczos", "average")
"""GDAL's methods, by rasterio's names."""

_LARGEST = 4096  # pixels a side of an image
_MOST_BANDS = 256


@dataclass(frozen=True)
class Draw:
    """Samples of one collection that are drawn, and the class that they get."""

    collection: str
    classes: tuple[str, ...] = ()
    """At least one of these is among the sample's; empty: any."""
    concept: str | None = None
    """A term of the metalayer: the sample has a class that means it or something narrower."""
    filter: str | None = None
    """CQL2 text over the Items' properties."""
    number: int | None = None
    """How many; None is all that there are."""
    exact: bool = True
    """Whether fewer than ``number`` are an error."""
    to: str | None = None
    """Class in the fused set; None: the one that the sample has."""

    @property
    def label(self) -> str:
        """How messages name it."""
        words = (", ".join(self.classes), self.concept, self.filter)
        asked = "; ".join(word for word in words if word)
        return f"{self.collection} ({asked})" if asked else self.collection


@dataclass(frozen=True)
class MaskLayer:
    """A raster of classes that masks are cut from."""

    name: str
    title: str
    classes: tuple[str, ...]
    """Classes of the fused set whose samples it is used for."""
    values: Mapping[int, int]
    """Values of the raster to `MASK_VALUES`."""


@dataclass(frozen=True)
class Recipe:
    """How a training set is fused.

    Example:
        >>> recipe = read_recipe("demo")
        >>> recipe.size, len(recipe.digest)
        ((64, 64), 64)
    """

    source: str
    """Name of the file, for messages."""
    text: str
    """The whole file."""
    id: str
    """Id of the Collection that is made."""
    title: str
    description: str
    seed: int
    folds: int
    """Number of folds for cross-validation."""
    bands: tuple[str, ...]
    size: tuple[int, int]
    """Rows, columns of each image."""
    resampling: str
    classes: tuple[Mapping[str, Any], ...]
    """Rows of the class table, as in ``dataset.toml``."""
    draws: tuple[Draw, ...]
    layers: tuple[MaskLayer, ...]
    """In the order in which they count."""
    fill: Mapping[str, int]
    """Class to the one mask value of all pixels of its samples."""

    @property
    def digest(self) -> str:
        """SHA-256 of the text in UTF-8, hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def class_names(self) -> list[str]:
        """Class names in the order of the table."""
        return [str(row["name"]) for row in self.classes]


def included() -> dict[str, Path]:
    """The recipes that come with this package, by name."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.toml"))}


@checked()
def read_recipe(recipe: str | os.PathLike[str]) -> Recipe:
    """The recipe in a TOML file, or of the name of an included one (`included`).

    Args:
        recipe: the path of a ``.toml`` file, or ``paper`` or ``demo``.

    Returns:
        The recipe, checked.

    Raises:
        NotFoundError: there is no such file.
        StorageError: the file cannot be read.
        ArgumentError: something in it is unknown, missing or contradicts itself.

    Example:
        >>> read_recipe("paper").bands
        ('B02', 'B03', 'B04', 'B08')
    """
    name = os.fspath(recipe)
    path = Path(name) if name.endswith(".toml") else included().get(name)
    if path is None:
        known = ", ".join(included())
        raise ArgumentError(
            f"{name}: no recipe; name a .toml file, or one of these: {known}", "recipe"
        )
    try:
        text = path.read_text("utf-8")
        content = tomllib.loads(text)
    except OSError as error:
        kind = NotFoundError if isinstance(error, FileNotFoundError) else StorageError
        raise kind(f"{path}: {error.strerror}; name a recipe") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ArgumentError(f"{path}: this is not TOML: {error}", "recipe") from error
    return _recipe(TomlTable(content, str(path)), text)


def _recipe(table: TomlTable, text: str) -> Recipe:
    classes = tuple(map(_class_row, table.tables("classes")))
    names = [row["name"] for row in classes]
    table.require(len(set(names)) == len(names), "two classes have the same name")
    table.require(len({row["value"] for row in classes}) == len(names), "two classes, one value")
    recipe = Recipe(
        source=table.where,
        text=text,
        id=table.name("id"),
        title=table.take("title", str),
        description=table.take("description", str),
        seed=table.number("seed", 0),
        folds=table.number("folds", 2, default=10),
        bands=tuple(table.texts("bands")),
        size=_size(table),
        resampling=table.take("resampling", str, "bilinear"),
        classes=classes,
        draws=tuple(_draw(row, names) for row in table.tables("draws")),
        layers=tuple(_layer(row, names) for row in table.tables("layers", optional=True)),
        fill=_fill(table, names),
    )
    table.end()
    table.require(0 < len(recipe.bands) <= _MOST_BANDS, "bands: name at least one")
    table.require(len(set(recipe.bands)) == len(recipe.bands), "bands: one is there twice")
    table.require(
        recipe.resampling in RESAMPLINGS,
        f"resampling {recipe.resampling!r}: there are {', '.join(RESAMPLINGS)}",
    )
    layers = [layer.name for layer in recipe.layers]
    table.require(len(set(layers)) == len(layers), "two layers have the same name")
    twice = [name for layer in recipe.layers for name in layer.classes if name in recipe.fill]
    table.require(not twice, f"{', '.join(twice)} is filled under [mask] and has a layer, too")
    return recipe


def _class_row(row: TomlTable) -> Mapping[str, Any]:
    name = row.name("name")
    found: dict[str, Any] = {"value": row.number("value", 1), "name": name}
    for key in ("title", "description", "color_hint", "concept"):
        value = row.take(key, str, "")
        if value:
            found[key] = value
    colour = found.get("color_hint", "000000")
    row.require(re.fullmatch("[0-9A-Fa-f]{6}", colour), f"color_hint {colour!r}: six digits 0-F")
    row.end()
    return found


def _draw(row: TomlTable, names: Sequence[str]) -> Draw:
    exact = row.number("number", 1, default=None)
    at_most = row.number("at_most", 1, default=None)
    row.require(exact is None or at_most is None, "give number or at_most, not both")
    draw = Draw(
        collection=row.take("collection", str),
        classes=tuple(row.texts("classes", optional=True)),
        concept=row.take("concept", str, "") or None,
        filter=row.take("filter", str, "") or None,
        number=exact or at_most,
        exact=at_most is None,
        to=row.take("to", str, "") or None,
    )
    row.end()
    row.know([draw.to] if draw.to else [], names)
    return draw


def _layer(row: TomlTable, names: Sequence[str]) -> MaskLayer:
    name = row.name("name")
    title = row.take("title", str, name)
    classes = tuple(row.texts("classes"))
    values: dict[int, int] = {}
    for meaning, numbers in _meanings(row, row.take("values", dict)):
        for number in numbers:
            row.require(type(number) is int, f"values of {meaning}: {number!r} is no whole number")
            row.require(number not in values, f"values: {number} has two meanings")
            values[number] = MASK_VALUES[meaning]
    row.end()
    row.know(classes, names)
    return MaskLayer(name, title, classes, values)


def _fill(table: TomlTable, names: Sequence[str]) -> dict[str, int]:
    fill: dict[str, int] = {}
    for meaning, classes in _meanings(table, table.take("mask", dict, {})):
        table.know(classes, names)
        table.require(not fill.keys() & set(classes), "[mask]: a class is there twice")
        fill |= dict.fromkeys(classes, MASK_VALUES[meaning])
    return fill


def _meanings(table: TomlTable, found: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    for meaning, values in found.items():
        table.require(
            meaning in MASK_VALUES,
            f"a mask has no {meaning!r}; there are {', '.join(MASK_VALUES)}",
        )
        table.require(isinstance(values, list), f"{meaning}: give a list")
        yield meaning, values


def _size(table: TomlTable) -> tuple[int, int]:
    size = table.take("size", list)
    table.require(
        len(size) == 2 and all(type(side) is int and 0 < side <= _LARGEST for side in size),
        f"size {size}: give rows and columns, as in [64, 64]",
    )
    return size[0], size[1]
