"""Dataset records: what ``dataset.toml`` says of a dataset, checked once and typed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from satimnet.builder.errors import BadFileError
from satimnet.builder.vocabulary import tasks

__all__ = ["AssetEntry", "BandEntry", "ClassEntry", "DatasetRecord", "Edition", "Option"]

T = TypeVar("T")
Table = Mapping[str, Any]
"""A table of the file whose keys are those of STAC or of one of its extensions."""


@dataclass(frozen=True, slots=True)
class ClassEntry:
    """One row of a class table.

    Example:
        >>> ClassEntry.of({"value": 2, "name": "Forest", "concept": "forest"}, "dataset.toml").value
        2
    """

    value: int
    """In masks; 0 is the background."""
    name: str
    title: str | None
    concept: str | None
    """Id of the concept that the class is."""
    row: Table
    """The row as it stands in the file, with what only masks need (``source_value``, say)."""

    @classmethod
    def of(cls, row: Any, file: str, key: str = "classes") -> ClassEntry:
        """The class of a row; raises `BadFileError` if it has no name or value."""
        given = _Given(row, file, key)
        return cls(
            given.number("value"),
            given.text("name"),
            given.optional("title", given.text),
            given.optional("concept", given.text),
            given.content,
        )


@dataclass(frozen=True, slots=True)
class BandEntry:
    """One band of an image.

    Example:
        >>> BandEntry.of({"name": "B02", "gsd": 10}, "dataset.toml", "bands").name
        'B02'
    """

    name: str
    row: Table
    """The row as it stands in the file: the band's STAC fields."""

    @classmethod
    def of(cls, row: Any, file: str, key: str) -> BandEntry:
        """The band of a row; raises `BadFileError` if it has no name."""
        given = _Given(row, file, key)
        return cls(given.text("name"), given.content)


@dataclass(frozen=True, slots=True)
class AssetEntry:
    """One kind of file that a sample has: a table ``[assets.KEY]``.

    Example:
        >>> from stactools.eurosat import dataset
        >>> asset = dataset.record.assets["multispectral"]
        >>> asset.data_type, asset.shape, len(asset.bands or ())
        ('uint16', (64, 64), 13)
    """

    key: str
    title: str
    type: str
    """Media type."""
    roles: tuple[str, ...]
    bands: tuple[BandEntry, ...] | None
    """None of what is no image."""
    other_bands: tuple[tuple[BandEntry, ...], ...]
    """Further lists of bands that an image may have instead."""
    data_type: str | None
    """As STAC names it, such as ``uint8``; of images and masks."""
    shape: tuple[int, int] | None
    """Rows and columns, where all images have the same."""
    store: str | None
    """``cog`` where images are stored as cloud-optimised GeoTIFFs."""
    derive: str | None
    """What the builder draws from the annotation: ``mask``, ``annotation``, ``annotation-lonlat``,
    or ``tag-mask`` of a single tag. None is a file of the publisher."""
    classes: tuple[ClassEntry, ...] | None
    """Of a mask whose values are not those of the dataset's class table."""
    own_datetime: bool
    """Whether samples may say a time of their own for it, as of a second sensor."""
    content: Table
    """The table as it stands in the file."""

    @property
    def is_mask(self) -> bool:
        """Whether its pixels are values of a class table."""
        return "mask" in self.roles

    @property
    def band_lists(self) -> tuple[tuple[BandEntry, ...], ...]:
        """The lists of bands that an image may have; the usual one first."""
        return (self.bands or (), *self.other_bands)

    @classmethod
    def of(cls, key: str, table: Any, file: str) -> AssetEntry:
        """The asset of a table; raises `BadFileError` where a key is missing or cannot be."""
        given = _Given(table, file, f"assets.{key}")

        def bands_of(row: Any, file: str, key: str) -> tuple[BandEntry, ...]:
            """One of the lists of bands."""
            return _Given({"bands": row}, file, key).rows("bands", BandEntry.of)

        is_image = "bands" in given.content
        return cls(
            key=key,
            title=given.text("title"),
            type=given.text("type"),
            roles=given.texts("roles"),
            bands=given.rows("bands", BandEntry.of) if is_image else None,
            other_bands=given.rows("other_bands", bands_of),
            data_type=given.text("data_type") if is_image else None,
            shape=given.optional("shape", given.shape),
            store=given.optional("store", given.text),
            derive=given.optional("derive", given.text),
            classes=given.optional("classes", lambda key: given.rows(key, ClassEntry.of)),
            own_datetime=given.optional("own_datetime", given.flag) or False,
            content=given.content,
        )


@dataclass(frozen=True, slots=True)
class Option:
    """Something that the user may choose of how a source is read: ``[options.NAME]``."""

    name: str
    values: tuple[str, ...]
    value: str | None
    """The choice; None before one is made."""
    description: str

    @classmethod
    def of(cls, name: str, table: Any, file: str) -> Option:
        """The option of a table; raises `BadFileError` if it has no values."""
        given = _Given(table, file, f"options.{name}")
        return cls(
            name,
            given.texts("values"),
            given.optional("value", given.text),
            given.optional("description", given.text) or "",
        )


@dataclass(frozen=True, slots=True)
class Edition:
    """An edition of the dataset that is not read: a row of ``[[other_editions]]``."""

    signature: re.Pattern[str]
    """What some path inside it fits."""
    reason: str
    """Why it is not read, for the user who gives it."""

    @classmethod
    def of(cls, row: Any, file: str, key: str) -> Edition:
        """The edition of a row; raises `BadFileError` if its signature is no expression."""
        given = _Given(row, file, key)
        return cls(given.pattern("signature"), given.text("reason"))


@dataclass(frozen=True, eq=False)
class DatasetRecord(Mapping[str, Any]):
    """What ``dataset.toml`` says of a dataset.

    It is also the mapping that the file is, as in satimnet 0.1.0: ``record["classes"]`` has the
    rows as they stand there. A reader asks it for the keys that only its own dataset has.

    Example:
        >>> from stactools.eurosat import dataset
        >>> record = dataset.record
        >>> record.title, record.classes[0].name, record["classes"][0]["name"]
        ('EuroSAT', 'AnnualCrop', 'AnnualCrop')
    """

    id: str
    """Id of the Collection."""
    title: str
    description: str
    license: str
    """SPDX identifier, or ``other``."""
    keywords: tuple[str, ...]
    providers: tuple[Table, ...]
    links: tuple[Table, ...]
    layout: str
    """The layout of a source, in words for the user."""
    signature: re.Pattern[str] | None
    """What some path in each source fits and no path of another dataset; None of a dataset whose
    sources are always named."""
    images_of: str | None
    """Id of the dataset whose images it has, with other labels: a source that fits the layouts of
    both is of this one."""
    accompanying: re.Pattern[str] | None
    """Paths of files that look like data but are not, such as a list of class names."""
    other_editions: tuple[Edition, ...]
    start_datetime: str
    end_datetime: str
    bbox: tuple[float, ...]
    """West, south, east, north in degrees: the extent of samples whose place is not known."""
    attributes: Table
    """The table ``[collection]``: fields of the Collection, the paper's attributes among them."""
    classes: tuple[ClassEntry, ...]
    concepts: tuple[Table, ...]
    """Rows of concepts that the dataset adds to those of satimnet."""
    properties: Table
    """Properties that all Items have."""
    fields: Table
    """Names of properties that only some Items have, with their types."""
    assets: Mapping[str, AssetEntry]
    options: Mapping[str, Option]
    downloads: tuple[Table, ...]
    """Rows of ``[[downloads]]``; `satimnet.builder.transfer.published_files` reads them."""
    content: Table = field(repr=False)
    """The whole file."""
    file: str = field(repr=False)
    """How messages name it."""

    @classmethod
    def load(cls, path: Path) -> DatasetRecord:
        """The record in a TOML file.

        Raises:
            BadFileError: it is no TOML, or lacks a key, or has one that cannot be.
        """
        try:
            content = tomllib.loads(path.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadFileError(str(path), f"no TOML: {error}") from error
        return cls.of(content, str(path))

    @classmethod
    def of(cls, content: Mapping[str, Any], file: str) -> DatasetRecord:
        """The record with the content of ``dataset.toml``; ``file`` is for messages.

        Raises:
            BadFileError: a key is missing, or its value cannot be.
        """
        given = _Given(content, file)
        return cls(
            id=given.text("id"),
            title=given.text("title"),
            description=given.text("description"),
            license=given.text("license"),
            keywords=given.texts("keywords"),
            providers=given.rows("providers", _table),
            links=given.rows("links", _table),
            layout=given.text("layout"),
            signature=given.optional("signature", given.pattern),
            images_of=given.optional("images_of", given.text),
            accompanying=given.optional("accompanying", given.pattern),
            other_editions=given.rows("other_editions", Edition.of),
            start_datetime=given.text("start_datetime"),
            end_datetime=given.text("end_datetime"),
            bbox=given.numbers("bbox"),
            attributes=_with_known_tasks(given.table("collection"), file),
            classes=given.rows("classes", ClassEntry.of),
            concepts=given.rows("concepts", _table),
            properties=given.table("properties"),
            fields=given.optional("fields", given.table) or {},
            assets=given.tables("assets", AssetEntry.of),
            options=given.tables("options", Option.of),
            downloads=given.rows("downloads", _table),
            content=content,
            file=file,
        )

    def changed(self, **keys: Any) -> DatasetRecord:
        """The record with other values of some keys of the file."""
        return self.of({**self.content, **keys}, self.file)

    @property
    def class_rows(self) -> list[Table]:
        """The class table as it stands in the file."""
        return [entry.row for entry in self.classes]

    def __getitem__(self, key: str) -> Any:
        return self.content[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.content)

    def __len__(self) -> int:
        return len(self.content)


# Lists that may be missing where there is nothing to say.
_MAY_BE_MISSING = ("other_editions", "concepts", "downloads", "other_bands", "options")


class _Given:
    """A table of the file, whose values are asked for by type."""

    def __init__(self, content: Any, file: str, place: str = "") -> None:
        self._file = file
        self._place = place
        if not isinstance(content, Mapping):
            raise BadFileError(file, f"{place} must be a table")
        self.content: Mapping[str, Any] = content

    def optional(self, key: str, kind: Callable[[str], T]) -> T | None:
        """The value as ``kind`` reads it; None where the key is missing."""
        return kind(key) if key in self.content else None

    def text(self, key: str) -> str:
        """A text."""
        return self._of(key, str, "a text")

    def number(self, key: str) -> int:
        """A whole number."""
        return self._of(key, int, "a whole number")

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self._value(key)
        if not isinstance(value, bool):
            raise self._fault(key, "must be true or false")
        return value

    def pattern(self, key: str) -> re.Pattern[str]:
        """A regular expression."""
        try:
            return re.compile(self.text(key))
        except re.error as error:
            raise self._fault(key, f"no regular expression: {error}") from error

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        values = self._of(key, list, "a list of texts")
        if not all(isinstance(value, str) for value in values):
            raise self._fault(key, "must be a list of texts")
        return tuple(values)

    def numbers(self, key: str) -> tuple[float, ...]:
        """A list of numbers."""
        values = self._of(key, list, "a list of numbers")
        if not all(type(value) in (int, float) for value in values):
            raise self._fault(key, "must be a list of numbers")
        return tuple(values)

    def shape(self, key: str) -> tuple[int, int]:
        """Rows and columns."""
        match self._of(key, list, "[rows, columns]"):
            case [int(rows), int(columns)]:
                return rows, columns
        raise self._fault(key, "must be [rows, columns]")

    def table(self, key: str) -> Table:
        """A table as it stands in the file."""
        value = self._value(key)
        if not isinstance(value, Mapping):
            raise self._fault(key, "must be a table")
        return value

    def tables(self, key: str, make: Callable[[str, Any, str], T]) -> dict[str, T]:
        """What ``make`` makes of each table of a table, by its name."""
        tables = self.table(key) if key in self.content or key not in _MAY_BE_MISSING else {}
        return {name: make(name, table, self._file) for name, table in tables.items()}

    def rows(self, key: str, make: Callable[[Any, str, str], T]) -> tuple[T, ...]:
        """What ``make`` makes of each row of a list."""
        if key in _MAY_BE_MISSING and key not in self.content:
            return ()
        rows = self._of(key, list, "a list")
        place = self._key(key)
        return tuple(make(row, self._file, f"{place}[{at}]") for at, row in enumerate(rows))

    def _of(self, key: str, kind: type[T], words: str) -> T:
        """The value, if it is of this type."""
        value = self._value(key)
        if isinstance(value, tuple) and kind is list:
            value = list(value)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self._fault(key, f"must be {words}")
        return value

    def _value(self, key: str) -> Any:
        """The value, if the key is there."""
        if key not in self.content:
            raise self._fault(key, "is missing")
        return self.content[key]

    def _fault(self, key: str, reason: str) -> BadFileError:
        """The error that names file and key."""
        return BadFileError(self._file, f"{self._key(key)} {reason}")

    def _key(self, key: str) -> str:
        """The key as messages name it."""
        return f"{self._place}.{key}" if self._place else key


def _with_known_tasks(attributes: Table, file: str) -> Table:
    """The attributes of a dataset, whose tasks are all known."""
    if tasks.FIELD in attributes:
        for name in _Given(attributes, file, "collection").texts(tasks.FIELD):
            try:
                tasks.task_of(name)
            except ValueError as error:
                raise BadFileError(file, f"collection.{tasks.FIELD}: {error}") from None
    return attributes


def _table(row: Any, file: str, key: str) -> Table:
    """A row as it stands in the file."""
    return _Given(row, file, key).content
