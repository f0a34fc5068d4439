"""The index of a catalog: the ``items.parquet`` of its collections, searched with DuckDB.

On disk or behind any web server, with no extension of DuckDB beyond those built in.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.catalog import checked_documents as documents
from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.catalog.file_facts import FACTS
from satimnet.builder.catalog.parquet_writing import part_name
from satimnet.builder.errors import (
    BadCatalogError,
    CatalogWarning,
    NotFoundError,
    SatimnetError,
    StorageError,
)
from satimnet.builder.publishing.layout import location_of
from satimnet.builder.publishing.split_tables import SplitLink, chosen_split, read_split
from satimnet.builder.publishing.versions import chosen
from satimnet.builder.query.bounded_sql import Database, failure
from satimnet.builder.query.chosen_splits import SPLIT_COLUMNS, RowSplits, row_splits
from satimnet.builder.query.derived_facts import derived_facts
from satimnet.builder.query.parquet_rows import (
    FileRows,
    asset_hrefs,
    distinct,
    is_sparse,
    numbers_of,
    rows_at,
    sparse_rows_sql,
)
from satimnet.builder.query.row_pages import RowPages, few_pages
from satimnet.builder.query.statements import Statement, kind_of, quoted
from satimnet.builder.storage.held_files import Held, folder_of
from satimnet.builder.storage.hrefs import Bounds, catalog_file, is_url, is_web, join
from satimnet.builder.storage.parquet_files import Footers
from satimnet.builder.storage.remote_files import files_by_ranges
from satimnet.builder.storage.stores import DeniedError, SizeError
from satimnet.builder.vocabulary.skos import CONCEPTS_NAME, scheme_from_json

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from fsspec import AbstractFileSystem
    from numpy.typing import NDArray

    from satimnet.builder.vocabulary.concepts import Scheme

_OF_PYTHON = {str: "VARCHAR", int: "BIGINT", bool: "BOOLEAN"}

ALWAYS_THERE = {
    "id": "VARCHAR",
    "collection": "VARCHAR",
    "geometry": "BLOB",
    "bbox": "STRUCT(xmin DOUBLE, ymin DOUBLE, xmax DOUBLE, ymax DOUBLE)",
    "datetime": "TIMESTAMP WITH TIME ZONE",
    "start_datetime": "TIMESTAMP WITH TIME ZONE",
    "end_datetime": "TIMESTAMP WITH TIME ZONE",
    "satimnet:classes": "VARCHAR[]",
    "satimnet:concepts": "VARCHAR[]",
    "satimnet:split": "VARCHAR",
    **{
        name: f"{_OF_PYTHON[kind[0]]}[]" if isinstance(kind, list) else _OF_PYTHON[kind]
        for name, kind in FACTS.items()
    },
}
"""What a search itself may ask for, with DuckDB's types, for files that lack the column because
all its values are null. Facts of files are derived from the assets there."""


@dataclass(frozen=True)
class IndexedCollection:
    """A collection of a catalog: what it says, and the absolute hrefs of it and its parquet."""

    id: str
    href: str
    document: CollectionDocument
    parquet: str
    bounds: Bounds
    """Where its files may lead."""
    held: Held | None = field(default=None, compare=False, repr=False)
    """The parquet that belongs to the document, also once both are replaced; None on the web."""
    splits: RowSplits | None = field(default=None, compare=False, repr=False)
    """Split and fold of its Items by a table of the catalog; None leaves the publisher's."""
    more: tuple[tuple[str, Held | None], ...] = field(default=(), repr=False)
    """The files of further rows, where they are too many for one, held like the first."""

    @property
    def place(self) -> str:
        """Where to read its parquet: on this machine the file that was there at first."""
        return self.parquet if self.held is None else self.held.place

    @property
    def parquets(self) -> list[str]:
        """Absolute hrefs of all files of its rows, in their order."""
        return [self.parquet, *(href for href, _ in self.more)]

    @property
    def places(self) -> list[str]:
        """Where to read them, as `place`."""
        return [self.place, *(href if held is None else held.place for href, held in self.more)]

    def resolve(self, href: str) -> str:
        """The place of an href in its parquet; raises `SatimnetError` if it may not lead there."""
        return self.bounds.resolve(href, self.parquet)


class Index:
    """An open catalog, as it is at this moment; safe to share among threads.

    A collection that cannot be read is left out with a warning (`CatalogWarning`).

    Args:
        catalog: path or URL of ``catalog.json`` or of its folder.
        allow_outside: the catalog in a folder may lead to any file of this machine.
        version: names of versions to open instead of the current ones, as they are or as
            ``collection@version``.
        splits: name of a split of the catalog (see `satimnet.builder.split`), or ``name@digest``:
            splits and folds of Items are those of its table, not the publisher's.

    Attributes:
        href: absolute path or URL of ``catalog.json``.
        document: its content.
        collections: the collections that can be read, by id, in the catalog's order.
        unreadable: why the others cannot be read, by id or by the name of their folder.
        bounds: where the catalog's files may lead.
        splits: the split table that was chosen, if one was.
        seconds: how long a query may take; None is for ever.

    Raises:
        NotFoundError: there is no catalog, or no such version or split.
        SatimnetError: the catalog cannot be read, or none of its collections.
    """

    seconds: float | None = None
    splits: SplitLink | None = None

    def __init__(
        self,
        catalog: str | os.PathLike[str],
        *,
        allow_outside: bool = False,
        version: str | Sequence[str] | None = None,
        splits: str | None = None,
    ) -> None:
        self._begin(*_found(catalog), allow_outside, version)
        if splits is not None:
            self._take_splits(splits)

    @classmethod
    def of_collection(cls, href: str, *, allow_outside: bool = False) -> Index:
        """The index of a single collection, read by itself and not through a catalog.

        Args:
            href: absolute path or URL of ``collection.json``.
            allow_outside: the collection in a folder may lead to any file of this machine.

        Raises:
            SatimnetError: the collection cannot be read.
        """
        index = cls.__new__(cls)
        alone = {"type": "Catalog", "links": [{"rel": "child", "href": href}]}
        index._begin(href, alone, allow_outside, None)
        return index

    @classmethod
    def of_document(cls, href: str, document: dict[str, Any]) -> Index:
        """The index of a catalog as it would be if ``catalog.json`` were this document.

        Args:
            href: absolute path or URL of ``catalog.json``.
            document: its content.

        Raises:
            SatimnetError: none of its collections can be read.
        """
        index = cls.__new__(cls)
        index._begin(href, document, False, None)
        return index

    def _begin(
        self,
        href: str,
        document: dict[str, Any],
        allow_outside: bool,
        version: str | Sequence[str] | None,
    ) -> None:
        self.href = href
        self.bounds = Bounds.of(self.href, allow_outside=allow_outside)
        self.document = documents.catalog(document, self.href)
        self._versions = chosen(document, version, self.href)
        self.collections: dict[str, IndexedCollection] = {}
        self.unreadable: dict[str, str] = {}
        self._open_collections()
        self._types: dict[str, dict[str, str]] = {}
        self._derived: dict[str, dict[str, str]] = {}
        self._file_rows: dict[str, FileRows] = {}
        self._pages: dict[str, RowPages | None] = {}
        self._footers = Footers()
        on_web = any(is_url(one.parquet) for one in self.collections.values())
        self._web_files: AbstractFileSystem | None = files_by_ranges() if on_web else None
        self._database = Database(self.href, self._web_files)

    def _open_collections(self) -> None:
        links = []
        for number, content in enumerate(self.document["links"]):
            try:
                link = documents.link(content, self.href, number)
                at = location_of(link["href"]) if link["rel"] == "child" else None
                if at is not None and at.id in self._versions:
                    link = link | {"href": self._versions[at.id].href}
                links.append(link)
                found = self._collection(link["href"]) if link["rel"] == "child" else None
                if found is not None and found.id in self.collections:
                    raise BadCatalogError(f"{found.href}: another collection has the id {found.id}")
                if found is not None:
                    self.collections[found.id] = found
            except SatimnetError as error:
                self._leave_out(_name_in(content) or f"links[{number}]", str(error))
        self.document["links"] = links
        if not self.collections and self.unreadable:
            raise BadCatalogError(next(iter(self.unreadable.values())))
        if not self.collections:
            raise BadCatalogError(
                f"{self.href}: the catalog links no collection; build one into it first"
            )
        for reason in self.unreadable.values():
            _warn(reason)

    def with_splits(self, name: str) -> Index:
        """The same catalog, with splits and folds as the table of a split of it has them.

        Raises:
            NotFoundError: the catalog has no such split.
            BadCatalogError: its table cannot be understood.
            StorageError: its table cannot be read.
        """
        other = copy.copy(self)
        other._take_splits(name)
        return other

    def _take_splits(self, name: str) -> None:
        link = chosen_split(self.document, name, self.href)
        table = read_split(link, self.bounds.resolve(link.href, self.href))
        self._types, self._derived = {}, {}  # not those of the index that this is a copy of
        collections = dict(self.collections)
        for id_, one in self.collections.items():
            version = one.document.version
            own = row_splits(table, id_, version, one.places, one.parquet)
            collections[id_] = replace(one, splits=own)
            self._database.keep(_split_table(link, one), own.table())
        self.collections, self.splits = collections, link

    def _collection(self, link: str) -> IndexedCollection | None:
        """The collection that a link leads to; None where it leads to another catalog."""
        href = self.bounds.resolve(link, self.href)
        while True:
            folder = None if is_url(href) else folder_of(href)
            found = self._read_collection(href)
            if is_url(href) or folder == folder_of(href):  # else it was replaced between the two
                return found

    def _read_collection(self, href: str) -> IndexedCollection | None:
        content = documents.read(href)
        if content.get("type") == "Catalog":
            return None
        document = CollectionDocument.of(content, href)
        mirrors = [
            asset["href"]
            for asset in content.get("assets", {}).values()
            if "collection-mirror" in asset.get("roles", [])
        ]
        if not mirrors:
            raise BadCatalogError(
                f"{href}: no asset has the role collection-mirror, so its Items cannot be "
                "searched; build the collection again"
            )
        parquet = self.bounds.resolve(mirrors[0], href)
        bounds = self.bounds.of_collection(content, parquet)
        others = [self.bounds.resolve(mirror, href) for mirror in mirrors[1:]]
        held, *more = [
            (file, None if is_url(file) else _hold(file))
            for file in (parquet, *_further(parquet, others))
        ]
        return IndexedCollection(
            document.id, href, document, parquet, bounds, held[1], more=tuple(more)
        )

    def _leave_out(self, name: str, reason: str) -> None:
        self.unreadable.setdefault(name, reason)

    def readable(self, names: Sequence[str] | None = None) -> list[str]:
        """Ids of these collections, in the catalog's order.

        Where ``names`` is None, those of all collections whose Items can be read.

        Raises:
            NotFoundError: one of ``names`` is not there.
            BadCatalogError: one of ``names`` cannot be read, or none can.
        """
        for name in names or ():
            if name in self.unreadable and name not in self.collections:
                raise BadCatalogError(self.unreadable[name])
        if missing := set(names or ()).difference(self.collections):
            raise NotFoundError(
                f"{self.href}: no collection {', '.join(sorted(missing))}; "
                f"there are: {', '.join(self.collections)}"
            )
        if names is not None:
            return [name for name in self.collections if name in names]
        found = []
        for name in self.collections:
            try:
                self.column_types(name)
                found.append(name)
            except SatimnetError as error:
                if name not in self.unreadable:
                    _warn(str(error))
                self._leave_out(name, str(error))
        if not found:
            raise BadCatalogError(next(iter(self.unreadable.values())))
        return found

    @cached_property
    def scheme(self) -> Scheme:
        """The catalog's metalayer.

        Raises:
            SatimnetError: the catalog has none, or one that cannot be understood.
        """
        links = (link["href"] for link in self.document["links"] if link["rel"] == "glossary")
        href = self.bounds.resolve(next(links, f"./{CONCEPTS_NAME}"), self.href)
        remedy = "build a collection into the catalog again, or ask for classes"
        return scheme_from_json(documents.read(href, remedy), href)

    def column_types(self, collection: str) -> dict[str, str]:
        """DuckDB's type of each column of a collection's Items.

        Raises:
            StorageError: its parquet cannot be read.
            BadCatalogError: it is no parquet of Items.
        """
        if collection not in self._types:
            parquet = self.collections[collection].parquet
            types = self._database.column_types(self._rows_of(collection, [0]), parquet)
            del types["file_row_number"]
            documents.columns(types, parquet)
            said = self.collections[collection].document.item_assets
            self._derived[collection] = derived_facts(types, said)
            self._types[collection] = {name: str(type_) for name, type_ in types.items()}
            if self.splits is not None:
                self._types[collection] |= SPLIT_COLUMNS
        return self._types[collection]

    def run(self, sql: str, statement: Statement) -> pa.Table:
        """The result of a query, with what ``statement`` says that it refers to.

        Raises:
            TooSlowError: it took longer than this index allows.
            StorageError: a file cannot be read.
            BadQueryError: DuckDB cannot answer it.
        """
        return self._database.run(sql, statement, self.seconds)

    def _rows_of(self, collection: str, parts: Sequence[int]) -> str:
        """SQL of the rows in these of a collection's files."""
        places = self.collections[collection].places
        files = ", ".join("'" + places[part].replace("'", "''") + "'" for part in parts)
        return f"read_parquet([{files}], file_row_number = true, hive_partitioning = false)"

    def _scans(self, collection: str) -> list[tuple[str, str]]:
        """SQL of tables with all rows of a collection, and of a row's number among these.

        As one table, files are read one after another, few ahead of what a limit needs. DuckDB
        would begin all tables of a union at once: of ten files that takes up to ten times as long.
        """
        firsts = self._first_rows(collection)
        if len(firsts) > 1 and "file_index" not in self.column_types(collection):
            parts = self._rows_of(collection, range(len(firsts)))
            first = f"({firsts}::BIGINT[])[file_index::BIGINT + 1]"
            return [(parts, f"file_row_number + {first}")]
        # otherwise DuckDB's column of this name is hidden by one of the Items
        return [
            (
                self._rows_of(collection, [part]),
                f"file_row_number + {first}" if first else "file_row_number",
            )
            for part, first in enumerate(firsts)
        ]

    def _first_rows(self, collection: str) -> list[int]:
        """The number of the first row of each of a collection's files among all its rows."""
        firsts = [0]
        for part in range(len(self.collections[collection].more)):
            firsts.append(firsts[-1] + self._rows_in(collection, part).count)
        return firsts

    def _rows_in(self, collection: str, part: int) -> FileRows:
        """What there is in a file of the collection's rows; only the first time it is opened."""
        place = self.collections[collection].places[part]
        if place not in self._file_rows:
            with self._parquet(collection, part) as file:
                self._file_rows[place] = FileRows.of(file)
        return self._file_rows[place]

    def kinds(self, collections: Sequence[str]) -> dict[str, str]:
        """The properties that Items of these collections can be searched by, with their kinds."""
        kinds = {name: kind_of(type_) for name, type_ in ALWAYS_THERE.items()}
        for collection in collections:
            for name, type_ in self.column_types(collection).items():
                kind = kind_of(type_)
                if kinds.setdefault(name, kind) != kind:
                    # Comparing it is an error that names both kinds.
                    kinds[name] = f"{kinds[name]} or {kind}"
        return {name: kind for name, kind in kinds.items() if not kind.endswith("other")}

    def union(self, collections: Sequence[str], columns: Iterable[str]) -> str:
        """SQL for these columns of all rows, null where a collection lacks one.

        Facts of files that a collection has no column for come from its assets.

        Two columns more, ``source_`` and ``row_``, have a row's position in ``collections`` and
        its number in that collection's file.
        """
        columns = sorted(set(columns))
        types = dict(ALWAYS_THERE)
        for collection in collections:
            types |= self.column_types(collection)
        selects = []
        for position, collection in enumerate(collections):
            own = self.column_types(collection)
            derived = self._derived[collection]
            otherwise = {name: f"({derived.get(name, 'NULL')})::{types[name]}" for name in columns}
            made = SPLIT_COLUMNS.keys() & set(columns) if self.splits is not None else set()
            if made:
                otherwise |= {"satimnet:split": "split_", "satimnet:fold": "fold_"}
            parts = [
                f"{quoted(name) if name in own and name not in made else otherwise[name]} "
                f"AS {quoted(name)}"
                for name in columns
            ]
            parts.append(f"{position}::BIGINT AS source_")
            for rows, row in self._scans(collection):
                if made:
                    table = _split_table(self.splits, self.collections[collection])
                    rows += f" LEFT JOIN {table} ON {row} = row_of_split_"
                selects.append(f"SELECT {', '.join(parts)}, {row} AS row_ FROM {rows}")
        return " UNION ALL ".join(selects)

    def with_assets(self, collection: str, assets: Sequence[str]) -> NDArray[np.int64]:
        """Numbers of the rows of a collection's file whose Items have all of these assets."""
        present = " AND ".join(f"assets.{quoted(key)}.href IS NOT NULL" for key in assets)
        sql = " UNION ALL ".join(
            f"SELECT {row} AS row_ FROM {rows} WHERE {present}"
            for rows, row in self._scans(collection)
        )
        return numbers_of(self.run(sql, Statement())["row_"])

    def rows(
        self,
        collection: str,
        numbers: NDArray[np.int64],
        columns: Sequence[str] | None = None,
        assets: Sequence[str] | None = None,
    ) -> pa.Table:
        """Rows of a collection's file by their numbers, in the order of ``numbers``.

        ``columns`` and ``assets`` choose what is read of them, which may be far less than all.
        """
        import pyarrow as pa

        names = list(columns or self.column_types(collection))
        splits = self.collections[collection].splits
        made = [] if splits is None else [name for name in names if name in SPLIT_COLUMNS]
        stored = [name for name in names if name not in made] or ["id"]
        leaves = [name for name in stored if name != "assets" or assets is None]
        if len(leaves) < len(stored):
            leaves += [f"assets.{key}" for key in assets or ()]
        firsts = np.array(self._first_rows(collection))
        files = np.searchsorted(firsts, numbers, side="right") - 1
        tables: list[pa.Table] = []
        done = 0
        places = np.empty(len(numbers), np.int64)
        try:
            for part in distinct(files).tolist() or [0]:
                own = numbers[files == part] - firsts[part]
                found = self._paged_rows(collection, part, own, leaves)
                if found is None:
                    found = self._sparse_rows(collection, part, own, stored, assets)
                if found is None:
                    with self._parquet(collection, part) as file:
                        found = rows_at(file, own, leaves)
                one, at = found
                places[files == part] = at + done
                done += len(one)
                # other names than DuckDB's, if some are there twice
                tables.append(one.select(stored))
            table = pa.concat_tables(tables)
        except SatimnetError:
            raise
        except (OSError, LookupError, ValueError, pa.ArrowException) as error:
            href = self.collections[collection].parquet
            raise BadCatalogError(
                f"{href}: rows cannot be read ({error}); build it again"
            ) from error
        if (np.diff(places) != 1).any():  # else they would only be copied
            table = table.take(places)
        known = self.collections[collection]
        documents.require_texts(table, known.parquet)
        known.bounds.resolve_all(asset_hrefs(table), known.parquet)  # none leads elsewhere
        if splits is not None and made:
            for name in made:
                table = table.append_column(name, splits.column(name, numbers))
            table = table.select(names)
        return table

    def _paged_rows(
        self, collection: str, part: int, numbers: NDArray[np.int64], leaves: Sequence[str]
    ) -> tuple[pa.Table, NDArray[np.int64]] | None:
        """The rows as `rows_at` gives them, where few pages hold them; else None."""
        known = self._rows_in(collection, part)
        place = self.collections[collection].places[part]
        if is_url(place) or not known.rows_of_page:
            return None
        if not few_pages(known.groups, known.rows_of_page, numbers):
            return None
        if place not in self._pages:
            with self._parquet(collection, part) as file:
                self._pages[place] = RowPages.of(file, known.rows_of_page)
        pages = self._pages[place]
        if pages is None:
            return None
        if pages.unknown(numbers):
            with self._parquet(collection, part) as file:
                pages.learn(place, file, numbers)
        return pages.rows(place, numbers, leaves)

    def _sparse_rows(
        self,
        collection: str,
        part: int,
        numbers: NDArray[np.int64],
        names: Sequence[str],
        assets: Sequence[str] | None,
    ) -> tuple[pa.Table, NDArray[np.int64]] | None:
        """The rows as `rows_at` gives them, where DuckDB is faster and reads the same; else None.

        Files on the web are read by Arrow, which asks for all columns at once.
        """
        import pyarrow as pa

        known = self._rows_in(collection, part)
        schema = known.schema
        own = [name for name in schema.names if name in names]
        if is_url(self.collections[collection].place) or len(own) != len(names):
            return None  # names that DuckDB made up for columns of one name
        if not is_sparse(known.groups, numbers):
            return None
        sql = sparse_rows_sql(self._rows_of(collection, [part]), numbers, names, assets)
        types = {name: schema.field(name).type for name in names}
        if assets is not None and "assets" in types:
            keys = [key for key in assets if types["assets"].get_field_index(key) >= 0]
            types["assets"] = pa.struct([types["assets"].field(key) for key in keys])
            if len(keys) < len(assets):
                return None
        table = self._database.run(sql, Statement())
        own_numbers = numbers_of(table["file_row_number"])
        order = np.argsort(own_numbers, kind="stable")
        places = order[np.searchsorted(own_numbers, numbers, sorter=order)]
        try:
            return table.select(names).cast(pa.schema(types)), places
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return None  # types of others' files that DuckDB reads as others

    def _parquet(self, collection: str, part: int = 0) -> pq.ParquetFile:
        """A file of the collection's rows, open."""
        import pyarrow.parquet as pq

        place = self.collections[collection].places[part]
        try:
            source: Any = place
            if self._web_files is not None and is_url(place):
                source = self._web_files.open(place)
            known = self._footers.get(place)
            file = pq.ParquetFile(source, metadata=known, pre_buffer=True)
            self._footers.keep(place, file.metadata)
        except SatimnetError:  # some are OSErrors, too
            raise
        except (OSError, ValueError) as error:
            href = self.collections[collection].parquets[part]
            raise failure(error, f"{href}: cannot be read", BadCatalogError) from error
        return file


def _split_table(link: SplitLink | None, collection: IndexedCollection) -> str:
    """The name of DuckDB's table of a split of a collection."""
    return quoted(f"split {link and link.digest} {collection.id}")


def _found(catalog: str | os.PathLike[str]) -> tuple[str, dict[str, Any]]:
    """Place and content of ``catalog.json``, given that or its folder."""
    href = catalog_file(catalog)
    try:
        return href, documents.read(href)
    except SatimnetError as error:
        failed = isinstance(error, StorageError) and not isinstance(error, DeniedError | SizeError)
        if failed or not is_web(href) or href == os.fspath(catalog):
            raise
        # At the address of `satimnet serve` lies the API; the files lie below it, at this place.
        served = join("catalog/catalog.json", href)
        with suppress(SatimnetError):
            return served, documents.read(served)
        raise


def _further(parquet: str, others: Sequence[str]) -> list[str]:
    """The files of further rows; another mirror may be a copy of the first elsewhere."""
    folder, slash, name = parquet.rpartition("/")
    found: list[str] = []
    while (href := f"{folder}{slash}{part_name(name, len(found) + 1)}") in others:
        found.append(href)
    return found


def _hold(parquet: str) -> Held:
    try:
        return Held(parquet)
    except FileNotFoundError:
        raise NotFoundError(
            f"{parquet}: nothing is there; build or copy the catalog again"
        ) from None
    except (OSError, ValueError) as error:  # a path with a null character is a ValueError
        raise StorageError(f"{parquet}: cannot be read: {error}") from None


def _name_in(link: Any) -> str | None:
    """What to call the collection behind a link before it was read: the name of its folder."""
    href = link.get("href") if isinstance(link, dict) else None
    parts = href.split("/") if isinstance(href, str) else ()
    return parts[-2] if len(parts) > 1 else None


def _warn(reason: str) -> None:
    warnings.warn(CatalogWarning(f"{reason}; left out, the rest is read"), stacklevel=4)
