"""Row files of a build: the same rows whether a file stays open or is mapped anew."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from satimnet.builder.catalog import geoparquet
from satimnet.builder.catalog.geoparquet import MappedRows


def row_files(folder: Path, numbers: range) -> list[Path]:
    """Files of one row each, which is its number."""
    paths = []
    for number in numbers:
        table = pa.table({"id": [str(number)]})
        paths.append(folder / f"{number}.arrow")
        with pa.OSFile(str(paths[-1]), "wb") as sink, pa.ipc.new_file(sink, table.schema) as file:
            file.write_table(table)
    return paths


def ids(tables: MappedRows) -> list[str]:
    return [table["id"][0].as_py() for table in tables]


@pytest.mark.parametrize("kept", [0, 1500, 2**26])
def test_every_look_sees_the_rows_and_small_files_are_opened_once(tmp_path, monkeypatch, kept):
    monkeypatch.setattr(geoparquet, "_KEPT", kept)
    paths = row_files(tmp_path, range(5))
    tables = MappedRows(paths)
    assert ids(tables) == ids(tables) == ["0", "1", "2", "3", "4"]
    assert ids(tables[1:3]) == ["1", "2"]
    assert ids(tables.chosen([4, 0])) == ["4", "0"]
    once = min(5, kept // paths[0].stat().st_size)
    assert [tables[at] is tables[at] for at in range(5)] == [at < once for at in range(5)]
    assert [tables.chosen([at])[0] is tables[at] for at in range(5)] == [
        at < once for at in range(5)
    ]
