"""The index of a catalog: the ``items.parquet`` of its collections, searched with DuckDB.

On disk or behind any web server, with no extension of DuckDB beyond those built in.
"""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.catalog import checked_documents as documents
from satimnet.builder.errors import CatalogWarning, SatimnetError
from satimnet.builder.query.statements import Function, Statement, kind_of, quoted
from satimnet.builder.storage.held_files import Held, folder_of
from satimnet.builder.storage.hrefs import Bounds, catalog_file, is_url
from satimnet.builder.vocabulary.skos import CONCEPTS_NAME, scheme_from_json

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq
    from numpy.typing import NDArray

    from satimnet.builder.vocabulary.concepts import Scheme

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
}
"""What a search itself may ask for, with DuckDB's types, for files that lack the column because
all its values are null."""


@dataclass(frozen=True)
class IndexedCollection:
    """A collection of a catalog: its JSON, the absolute href of it and of its Items' parquet."""

    id: str
    href: str
    document: Mapping[str, Any]
    parquet: str
    bounds: Bounds
    """Where its files may lead."""
    held: Held | None = field(default=None, compare=False, repr=False)
    """The parquet that belongs to the document, also once both are replaced; None on the web."""

    @property
    def place(self) -> str:
        """Where to read its parquet: on this machine the file that was there at first."""
        return self.parquet if self.held is None else self.held.place

    def resolve(self, href: str) -> str:
        """The place of an href in its parquet; raises `SatimnetError` if it may not lead there."""
        return self.bounds.resolve(href, self.parquet)


class TooSlowError(SatimnetError):
    """A query took longer than it may."""


class Index:
    """An open catalog, as it is at this moment; safe to share among threads.

    ``href`` is the absolute path or URL of ``catalog.json``, ``document`` its content,
    ``collections`` the collections by id in the catalog's order, ``bounds`` where its files may
    lead; ``allow_outside`` lets a catalog in a folder lead to any file of this machine. A
    collection that cannot be read is warned of (`CatalogWarning`), and stands in ``unreadable``
    with the reason. ``seconds`` may be set to how long a query may take. Raises `SatimnetError` if
    the catalog cannot be read, or none of its collections.
    """

    seconds: float | None = None

    def __init__(self, catalog: str | os.PathLike[str], *, allow_outside: bool = False) -> None:
        self.href, document = _found(catalog)
        self.bounds = Bounds.of(self.href, allow_outside=allow_outside)
        self.document = documents.catalog(document, self.href)
        self.collections: dict[str, IndexedCollection] = {}
        self.unreadable: dict[str, str] = {}
        self._open_collections()
        self._types: dict[str, dict[str, str]] = {}
        self._footers: dict[str, pq.FileMetaData] = {}
        self._lock = threading.Lock()  # of what is made once, never of a query

    def _open_collections(self) -> None:
        links = []
        for number, content in enumerate(self.document["links"]):
            try:
                link = documents.link(content, self.href, number)
                links.append(link)
                found = self._collection(link["href"]) if link["rel"] == "child" else None
                if found is not None and found.id in self.collections:
                    raise SatimnetError(f"{found.href}: another collection has the id {found.id}")
                if found is not None:
                    self.collections[found.id] = found
            except SatimnetError as error:
                self._leave_out(_name_in(content) or f"links[{number}]", str(error))
        self.document["links"] = links
        if not self.collections and self.unreadable:
            raise SatimnetError(next(iter(self.unreadable.values())))
        if not self.collections:
            raise SatimnetError(
                f"{self.href}: the catalog links no collection; build one into it first"
            )
        for reason in self.unreadable.values():
            _warn(reason)

    def _collection(self, link: str) -> IndexedCollection | None:
        """The collection that a link leads to; None where it leads to another catalog."""
        href = self.bounds.resolve(link, self.href)
        while True:
            folder = None if is_url(href) else folder_of(href)
            found = self._read_collection(href)
            if is_url(href) or folder == folder_of(href):  # else it was replaced between the two
                return found

    def _read_collection(self, href: str) -> IndexedCollection | None:
        document = documents.read(href)
        if document.get("type") == "Catalog":
            return None
        documents.collection(document, href)
        mirrors = [
            asset["href"]
            for asset in document.get("assets", {}).values()
            if "collection-mirror" in asset.get("roles", [])
        ]
        if not mirrors:
            raise SatimnetError(
                f"{href}: no asset has the role collection-mirror, so its Items cannot be "
                "searched; build the collection again"
            )
        parquet = self.bounds.resolve(mirrors[0], href)
        bounds = self.bounds.of_collection(document, parquet)
        held = None if is_url(parquet) else _hold(parquet)
        return IndexedCollection(document["id"], href, document, parquet, bounds, held)

    def _leave_out(self, name: str, reason: str) -> None:
        self.unreadable.setdefault(name, reason)

    def readable(self, names: Sequence[str] | None = None) -> list[str]:
        """Ids of these collections, in the catalog's order; all whose Items can be read if None.

        Raises:
            SatimnetError: one of ``names`` is not there or cannot be read, or none can.
        """
        for name in names or ():
            if name in self.unreadable and name not in self.collections:
                raise SatimnetError(self.unreadable[name])
        if missing := set(names or ()).difference(self.collections):
            raise SatimnetError(
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
            raise SatimnetError(next(iter(self.unreadable.values())))
        return found

    @cached_property
    def scheme(self) -> Scheme:
        """The catalog's metalayer.

        Raises:
            SatimnetError: the catalog has none, or one that cannot be understood.
        """
        href = self.bounds.resolve(f"./{CONCEPTS_NAME}", self.href)
        remedy = "build a collection into the catalog again, or ask for classes"
        return scheme_from_json(documents.read(href, remedy), href)

    @cached_property
    def _database(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        database = duckdb.connect(
            config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
        )
        # Of all its connections, for each query has one of its own.
        database.execute("SET GLOBAL TimeZone = 'UTC'")
        database.execute("SET GLOBAL enable_geoparquet_conversion = false")  # geometries stay WKB
        # The footer of BigEarthNet's file takes 0.3 s to read.
        database.execute("SET GLOBAL parquet_metadata_cache = true")
        if any(is_url(one.parquet) for one in self.collections.values()):
            database.register_filesystem(self._http)
        # Let go of it before the interpreter ends, or DuckDB 2.0 may print what it finds open.
        weakref.finalize(self, self.__dict__.pop, "_database", None)
        return database

    def column_types(self, collection: str) -> dict[str, str]:
        """DuckDB's type of each column of a collection's Items."""
        import duckdb

        if collection not in self._types:
            parquet = self.collections[collection].parquet
            with self._lock:
                database = self._database
            with database.cursor() as connection:
                try:
                    rows = connection.sql(f"FROM {self._rows_of(collection)}")
                    types = dict(zip(rows.columns[:-1], rows.types, strict=False))  # row numbers
                except (duckdb.Error, ValueError) as error:
                    what = f"{parquet}: cannot be read; validate the catalog"
                    raise self._failed(error, what) from error
            documents.columns(types, parquet)
            self._types[collection] = {name: str(type_) for name, type_ in types.items()}
        return self._types[collection]

    def run(self, sql: str, statement: Statement) -> pa.Table:
        """The result of a query, with what ``statement`` says that it refers to.

        Raises:
            TooSlowError: it took longer than this index allows.
            SatimnetError: it failed.
        """
        import duckdb
        from duckdb.func import FunctionNullHandling, PythonUDFType

        with self._lock:
            database = self._database
        registered = []
        with database.cursor() as connection, _at_most(self.seconds, connection.interrupt):
            try:
                for name, function in statement.functions.items():
                    connection.create_function(
                        name,
                        _unannotated(function),
                        list(function.takes),
                        function.gives,
                        type=PythonUDFType.ARROW,
                        null_handling=FunctionNullHandling.SPECIAL,
                    )
                    registered.append(name)
                return connection.sql(sql, params=statement.values or None).to_arrow_table()
            except duckdb.InterruptException:
                raise TooSlowError(
                    f"the search took more than {self.seconds:g} s and was stopped; ask for less"
                ) from None
            except (duckdb.Error, ValueError) as error:
                raise self._failed(error, f"{self.href}: the search failed") from error
            finally:
                for name in registered:
                    connection.remove_function(name)

    def _failed(self, error: Exception, what: str) -> SatimnetError:
        """The error of a query; says that the host is unfit, if that is why."""
        if "range request" in str(error):  # in fsspec's words
            return SatimnetError(
                f"{self.href}: its host does not answer byte ranges; use one that does"
            )
        reason = " ".join(str(error).split())
        return SatimnetError(f"{what}: {reason:.500}")

    def _rows_of(self, collection: str) -> str:
        place = self.collections[collection].place.replace("'", "''")
        return f"read_parquet('{place}', file_row_number = true, hive_partitioning = false)"

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

        Two columns more, ``source_`` and ``row_``, have a row's position in ``collections`` and
        its number in that collection's file.
        """
        types = dict(ALWAYS_THERE)
        for collection in collections:
            types |= self.column_types(collection)
        selects = []
        for position, collection in enumerate(collections):
            own = self.column_types(collection)
            parts = [
                f"{quoted(name) if name in own else f'NULL::{types[name]}'} AS {quoted(name)}"
                for name in sorted(columns)
            ]
            parts += [f"{position}::BIGINT AS source_", "file_row_number AS row_"]
            selects.append(f"SELECT {', '.join(parts)} FROM {self._rows_of(collection)}")
        return " UNION ALL ".join(selects)

    def with_assets(self, collection: str, assets: Sequence[str]) -> NDArray[np.int64]:
        """Numbers of the rows of a collection's file whose Items have all of these assets."""
        present = " AND ".join(f"assets.{quoted(key)}.href IS NOT NULL" for key in assets)
        sql = f"SELECT file_row_number AS row_ FROM {self._rows_of(collection)} WHERE {present}"
        numbers: NDArray[np.int64] = self.run(sql, Statement())["row_"].to_numpy()
        return numbers

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
        leaves = [name for name in names if name != "assets" or assets is None]
        if len(leaves) < len(names):
            leaves += [f"assets.{key}" for key in assets or ()]
        try:
            with self._parquet(collection) as file:
                table, places = self._taken(file, numbers, leaves)
            table = table.select(names)  # other names than DuckDB's, if some are there twice
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            href = self.collections[collection].parquet
            raise SatimnetError(f"{href}: rows cannot be read ({error}); build it again") from error
        if (np.diff(places) != 1).any():  # else they would only be copied
            table = table.take(places)
        documents.require_texts(table, self.collections[collection].parquet)
        self._require_inside(collection, table)
        return table

    def _require_inside(self, collection: str, table: pa.Table) -> None:
        """Raises `SatimnetError` where an asset's file lies where the catalog may not lead."""
        import pyarrow.compute as pc

        if "assets" not in table.column_names:
            return
        assets = table["assets"]
        hrefs: set[str] = set()
        for asset in assets.type:
            if "href" in [field.name for field in asset.type]:
                found = pc.unique(pc.struct_field(assets, [asset.name, "href"]))
                hrefs.update(found.drop_null().to_pylist())
        for href in sorted(hrefs):
            self.collections[collection].resolve(href)

    def _taken(
        self, file: pq.ParquetFile, numbers: NDArray[np.int64], leaves: Sequence[str]
    ) -> tuple[pa.Table, NDArray[np.int64]]:
        """The rows, by the groups that they lie in, and where each of ``numbers`` is among them.

        DuckDB takes thirty times as long for an Item of the thousand leaves that BigEarthNet's
        have: it looks for its row in all groups, which are known here.
        """
        import pyarrow as pa

        sizes = [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)]
        ends = np.cumsum(sizes)
        groups = np.searchsorted(ends, numbers, side="right")
        order = np.argsort(groups, kind="stable")
        places = np.empty(len(numbers), np.int64)
        places[order] = np.arange(len(numbers))
        parts = []
        for group in np.unique(groups).tolist():
            wanted = numbers[groups == group] - (ends[group] - sizes[group])
            parts.append(file.read_row_group(group, list(leaves)).take(pa.array(wanted)))
        if not parts:
            return file.schema_arrow.empty_table(), places
        return pa.concat_tables(parts), places

    def _parquet(self, collection: str) -> pq.ParquetFile:
        """The collection's file, open."""
        import pyarrow.parquet as pq

        place = self.collections[collection].place
        try:
            with self._lock:
                source = self._http.open(place) if is_url(place) else place
            known = self._footers.get(collection)
            file = pq.ParquetFile(source, metadata=known, pre_buffer=True)
            self._footers[collection] = file.metadata
        except (OSError, ValueError) as error:
            href = self.collections[collection].parquet
            raise self._failed(error, f"{href}: cannot be read") from error
        return file

    @cached_property
    def _http(self) -> Any:
        return _http()


@contextmanager
def _at_most(seconds: float | None, interrupt: Callable[[], None]) -> Iterator[None]:
    """Interrupts what is done within, once it has taken so many seconds.

    Again and again, for DuckDB forgets what comes between two of its steps.
    """
    if seconds is None:
        yield
        return
    done = threading.Event()

    def watch(wait: float) -> None:
        while not done.wait(wait):
            interrupt()
            wait = 0.1

    watcher = threading.Thread(target=watch, args=[seconds], daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _unannotated(function: Function) -> Callable[..., pa.Array]:
    """The call for DuckDB, which evaluates annotations (whose names only mypy knows) and counts."""
    call = function.call
    if len(function.takes) == 1:
        return lambda a: call(a)
    return lambda a, b: call(a, b)


def _found(catalog: str | os.PathLike[str]) -> tuple[str, dict[str, Any]]:
    """Place and content of ``catalog.json``, given that or its folder."""
    href = catalog_file(catalog)
    try:
        return href, documents.read(href)
    except SatimnetError:
        if not is_url(href) or href == os.fspath(catalog):
            raise
        # the address of `stac satimnet serve`: below it lie the API, and the files like this
        served = f"{href.removesuffix('catalog.json')}catalog/catalog.json"
        with suppress(SatimnetError):
            return served, documents.read(served)
        raise


def _hold(parquet: str) -> Held:
    try:
        return Held(parquet)
    except FileNotFoundError:
        raise SatimnetError(
            f"{parquet}: nothing is there; build or copy the catalog again"
        ) from None
    except (OSError, ValueError) as error:  # a path with a null character is a ValueError
        raise SatimnetError(f"{parquet}: cannot be read: {error}") from None


def _name_in(link: Any) -> str | None:
    """What to call the collection behind a link before it was read: the name of its folder."""
    href = link.get("href") if isinstance(link, dict) else None
    parts = href.split("/") if isinstance(href, str) else ()
    return parts[-2] if len(parts) > 1 else None


def _warn(reason: str) -> None:
    warnings.warn(CatalogWarning(f"{reason}; left out, the rest is read"), stacklevel=4)


def _http() -> Any:
    """A file system for DuckDB, which would have to download an extension to read by HTTP.

    fsspec's own asks a server four times for each file of each query, once for all of it. This one
    asks once for a file's size, and then for the ranges that DuckDB wants.
    """
    from datetime import UTC, datetime, timedelta

    from fsspec.implementations.http import HTTPFileSystem

    long_ago = datetime.now(UTC) - timedelta(days=1)  # DuckDB does not cache what is fresh

    class Http(HTTPFileSystem):  # type: ignore[misc]  # fsspec has no types
        cachable = False

        def __init__(self) -> None:
            super().__init__(cache_type="none")
            self._known: dict[str, dict[str, Any]] = {}

        async def _info(self, url: str, **kwargs: Any) -> dict[str, Any]:
            if url not in self._known:
                self._known[url] = await super()._info(url, **kwargs)
            return self._known[url]

        async def _exists(self, path: str, **kwargs: Any) -> bool:
            try:
                await self._info(path, **kwargs)
            except FileNotFoundError:
                return False
            return True

        async def _glob(self, path: str, **kwargs: Any) -> list[str]:
            return [path]

        def modified(self, path: str) -> datetime:
            return long_ago  # and not changed since: an index is a catalog at one moment

    return Http()
