"""DuckDB for the queries of one catalog: set up once, each query with a time that it may take.

No extension of DuckDB is used beyond those built in, and none is downloaded.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from satimnet.builder.errors import (
    BadCatalogError,
    BadQueryError,
    SatimnetError,
    StorageError,
    TooSlowError,
)
from satimnet.builder.query.statements import Function, Statement

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from duckdb.typing import DuckDBPyType
    from fsspec import AbstractFileSystem


class Database:
    """A DuckDB in memory; safe to share among threads.

    Args:
        label: what errors call the catalog.
        web_files: reads the URLs that stand in queries; None where there are none.
    """

    def __init__(self, label: str, web_files: AbstractFileSystem | None) -> None:
        self._label = label
        self._web_files = web_files
        self._lock = threading.Lock()  # of the first connection, never of a query

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        connection = duckdb.connect(
            config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
        )
        # Of all connections, for each query has one of its own.
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        connection.execute("SET GLOBAL enable_geoparquet_conversion = false")  # they stay WKB
        # The footer of BigEarthNet's file takes 0.3 s to read.
        connection.execute("SET GLOBAL parquet_metadata_cache = true")
        if self._web_files is not None:
            connection.register_filesystem(self._web_files)
        # Let go of it before the interpreter ends, or DuckDB 2.0 may print what it finds open.
        weakref.finalize(self, self.__dict__.pop, "_connection", None)
        return connection

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            connection = self._connection
        return connection.cursor()

    def _read_error(self, error: Exception) -> SatimnetError | None:
        """What was raised where DuckDB read a store, of which the error has the text."""
        known = [] if self._web_files is None else list(self._web_files.errors)
        return next((one for one in reversed(known) if str(one) in str(error)), None)

    def column_types(self, rows: str, file: str) -> dict[str, DuckDBPyType]:
        """DuckDB's type of each column of ``rows``, a table in SQL that is read from ``file``.

        Raises:
            StorageError: the file cannot be read.
            BadCatalogError: it holds no table.
        """
        import duckdb

        with self._cursor() as cursor:
            try:
                table = cursor.sql(f"FROM {rows}")
                return dict(zip(table.columns, table.types, strict=True))
            except SatimnetError:  # some are ValueErrors, too
                raise
            except (duckdb.Error, ValueError) as error:
                what = f"{file}: cannot be read; validate the catalog"
                raise self._read_error(error) or failure(error, what, BadCatalogError) from error

    def keep(self, name: str, table: pa.Table) -> None:
        """Keeps rows under a name, quoted as in SQL, that all queries may use; once for a name."""
        with self._cursor() as cursor:
            cursor.register("kept_", table)
            cursor.execute(f"CREATE TABLE IF NOT EXISTS {name} AS FROM kept_")
            cursor.unregister("kept_")

    def run(self, sql: str, statement: Statement, seconds: float | None = None) -> pa.Table:
        """The result of a query, with what ``statement`` says that it refers to.

        Raises:
            TooSlowError: it took longer than ``seconds``.
            StorageError: a file cannot be read.
            BadQueryError: DuckDB cannot answer it.
        """
        import duckdb
        from duckdb.func import FunctionNullHandling, PythonUDFType

        registered = []
        with self._cursor() as cursor, _at_most(seconds, cursor.interrupt):
            try:
                for name, function in statement.functions.items():
                    cursor.create_function(
                        name,
                        _unannotated(function),
                        list(function.takes),
                        function.gives,
                        type=PythonUDFType.ARROW,
                        null_handling=FunctionNullHandling.SPECIAL,
                    )
                    registered.append(name)
                return cursor.sql(sql, params=statement.values or None).to_arrow_table()
            except duckdb.InterruptException:
                raise TooSlowError(
                    f"the search took more than {seconds:g} s and was stopped; ask for less"
                ) from None
            except SatimnetError:
                raise
            except (duckdb.Error, ValueError) as error:
                what = f"{self._label}: the search failed"
                raise self._read_error(error) or failure(error, what, BadQueryError) from error
            finally:
                for name in registered:
                    cursor.remove_function(name)


def failure(error: Exception, what: str, otherwise: type[SatimnetError]) -> SatimnetError:
    """The error to raise for one of a query or of a file.

    It is a `StorageError` where bytes cannot be read.

    Args:
        error: what DuckDB or Arrow raised.
        what: what failed, the beginning of the message.
        otherwise: the class of the error where bytes can be read.
    """
    import duckdb

    kind = StorageError if isinstance(error, OSError | duckdb.IOException) else otherwise
    reason = " ".join(str(error).split())
    return kind(f"{what}: {reason:.500}")


@contextmanager
def _at_most(seconds: float | None, interrupt: Callable[[], None]) -> Iterator[None]:
    """Interrupts what is done within, once it has taken so many seconds.

    Again and again, for DuckDB forgets an interruption that comes between two of its steps.
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
