"""The index of a catalog: the ``items.parquet`` of its collections, searched with DuckDB.

On disk or behind any web server, with no extension of DuckDB beyond those built in.
"""

from __future__ import annotations

import json
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.access import is_url
from satimnet.builder.errors import SatimnetError
from satimnet.builder.filters import Function, Statement, kind_of, quoted
from satimnet.builder.held import Held, folder_of
from satimnet.builder.rows import absolute
from satimnet.builder.skos import CONCEPTS_NAME, scheme_from_json

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq
    from numpy.typing import NDArray

    from satimnet.builder.concepts import Scheme

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
    held: Held | None = field(default=None, compare=False, repr=False)
    """The parquet that belongs to the document, also once both are replaced; None on the web."""


class TooSlowError(SatimnetError):
    """A query took longer than it may."""


class Index:
    """An open catalog, as it is at this moment; safe to share among threads.

    ``href`` is the absolute path or URL of ``catalog.json``, ``document`` its content,
    ``collections`` the collections by id in the catalog's order. ``seconds`` may be set to how
    long a query may take. Raises `SatimnetError` if the catalog or a collection cannot be read.
    """

    seconds: float | None = None

    def __init__(self, catalog: str | os.PathLike[str]) -> None:
        href = os.fspath(catalog)
        if not is_url(href):
            href = os.path.abspath(href)
        folder = None if href.endswith(".json") else href.rstrip("/")
        if folder is not None:
            href = f"{folder}/catalog.json"
        try:
            self.document = _read_json(href)
        except SatimnetError:
            if folder is None or not is_url(href):
                raise
            # the address of `stac satimnet serve`: below it lie the API, and the files like this
            with suppress(SatimnetError):
                self.document = _read_json(f"{folder}/catalog/catalog.json")
                href = f"{folder}/catalog/catalog.json"
            if not hasattr(self, "document"):
                raise
        self.href = href
        if self.document.get("type") != "Catalog":
            raise SatimnetError(
                f"{href}: this is no STAC Catalog; name the catalog.json at the top"
            )
        self.collections = {c.id: c for c in _collections(href, self.document)}
        if not self.collections:
            raise SatimnetError(f"{href}: the catalog links no collection; build one into it first")
        self._types: dict[str, dict[str, str]] = {}
        self._footers: dict[str, pq.FileMetaData] = {}
        self._lock = threading.Lock()  # of what is made once, never of a query

    @cached_property
    def scheme(self) -> Scheme:
        """The catalog's metalayer.

        Raises:
            SatimnetError: the catalog has none, or one that cannot be understood.
        """
        href = absolute_href(f"./{CONCEPTS_NAME}", self.href)
        remedy = "build a collection into the catalog again, or ask for classes"
        return scheme_from_json(_read_json(href, remedy), href)

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
        if is_url(self.href):
            database.register_filesystem(self._http)
        # Let go of it before the interpreter ends, or DuckDB 2.0 may print what it finds open.
        weakref.finalize(self, self.__dict__.pop, "_database", None)
        return database

    def column_types(self, collection: str) -> dict[str, str]:
        """DuckDB's type of each column of a collection's Items."""
        if collection not in self._types:
            source = f"DESCRIBE FROM {self._rows_of(collection)}"
            table = self.run(source, Statement())
            names, types = table["column_name"].to_pylist(), table["column_type"].to_pylist()
            del names[-1], types[-1]  # file_row_number
            self._types[collection] = dict(zip(names, types, strict=True))
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
                self._require_files(error)
                reason = " ".join(str(error).split())
                raise SatimnetError(f"{self.href}: the search failed: {reason:.500}") from error
            finally:
                for name in registered:
                    connection.remove_function(name)

    def _require_files(self, error: Exception) -> None:
        """Says which file is missing or on an unfit host, if that is behind an error."""
        if "range request" in str(error):  # in fsspec's words
            raise SatimnetError(
                f"{self.href}: its host does not answer byte ranges; use one that does"
            ) from error
        for collection in self.collections.values():
            if not is_url(collection.parquet) and not os.path.isfile(collection.parquet):
                raise SatimnetError(
                    f"{collection.parquet}: nothing is there; build or copy the catalog again"
                ) from error

    def _rows_of(self, collection: str) -> str:
        href = self._place(collection).replace("'", "''")
        return f"read_parquet('{href}', file_row_number = true)"

    def _place(self, collection: str) -> str:
        """Where to read a collection's file: on this machine the one that was there at first."""
        one = self.collections[collection]
        return one.parquet if one.held is None else one.held.place

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
        except (OSError, pa.ArrowException) as error:
            href = self.collections[collection].parquet
            raise SatimnetError(f"{href}: rows cannot be read ({error}); build it again") from error
        if (np.diff(places) != 1).any():  # else they would only be copied
            table = table.take(places)
        return table.select(names)

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

        href = self.collections[collection].parquet
        try:
            with self._lock:
                source = self._http.open(href) if is_url(href) else self._place(collection)
            known = self._footers.get(collection)
            file = pq.ParquetFile(source, metadata=known, pre_buffer=True)
            self._footers[collection] = file.metadata
        except (OSError, ValueError) as error:
            self._require_files(error)
            reason = " ".join(str(error).split())
            raise SatimnetError(f"{href}: cannot be read: {reason:.300}") from error
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


def _collections(root: str, document: Mapping[str, Any]) -> Iterator[IndexedCollection]:
    for link in document.get("links", []):
        if link.get("rel") != "child":
            continue
        href = absolute_href(link["href"], root)
        while True:
            folder = None if is_url(href) else folder_of(href)
            found = _collection(href)
            if is_url(href) or folder == folder_of(href):  # else it was replaced between the two
                break
        if found is not None:
            yield found


def _collection(href: str) -> IndexedCollection | None:
    child = _read_json(href)
    if child.get("type") != "Collection":
        return None
    mirrors = [
        asset["href"]
        for asset in child.get("assets", {}).values()
        if "collection-mirror" in asset.get("roles", [])
    ]
    if not mirrors:
        raise SatimnetError(
            f"{href}: no asset has the role collection-mirror, so its Items cannot be "
            "searched; build the collection again"
        )
    parquet = absolute_href(mirrors[0], href)
    held = None
    if not is_url(parquet):
        with suppress(OSError):  # the first question will say so
            held = Held(parquet)
    return IndexedCollection(child["id"], href, child, parquet, held)


def absolute_href(href: str, base: str) -> str:
    """``href`` as it stands in the file at ``base``, an absolute path or URL, made absolute."""
    return href if is_url(href) else absolute(href, base)


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


def _read_json(href: str, remedy: str = "name a catalog or its folder") -> dict[str, Any]:
    try:
        document = json.loads(_read(href))
    except FileNotFoundError:
        raise SatimnetError(f"{href}: nothing is there; {remedy}") from None
    except OSError as error:
        raise SatimnetError(f"{href}: cannot be read: {error}") from None
    except (ValueError, RecursionError) as error:
        raise SatimnetError(f"{href}: this is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise SatimnetError(f"{href}: this is not a STAC object")
    return document


def _read(href: str) -> bytes:
    if not is_url(href):
        return Path(href).read_bytes()
    import aiohttp
    import fsspec

    try:
        content: bytes = fsspec.filesystem("http").cat_file(href)
    except aiohttp.ClientError as error:
        raise OSError(error) from error
    return content
