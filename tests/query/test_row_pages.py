"""Rows by the pages that they lie in: the same as those of the file, whatever its pages are."""

import os
import re
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from satimnet.builder.catalog.parquet_writing import PAGED, ROWS_OF_PAGE, layout_of, write_rows
from satimnet.builder.query.compact_thrift import fields_at, integer, list_of, number_at
from satimnet.builder.query.parquet_rows import FileRows
from satimnet.builder.query.row_pages import RowPages, few_pages

ROWS = 25_000
FEW = np.array([10_300, 3, 24_999, 10_300, 5000, 5001], np.int64)


def table(count=ROWS):
    """Columns of all kinds: with and without nulls, of few values and of many, in lists."""
    rng = np.random.default_rng(0)
    texts = [rng.bytes(8).hex() for _ in range(count)]
    some = rng.random(count) < 0.3
    asset = [
        None
        if some[n]
        else {
            "href": f"{n // 900}.zip",
            "archive": [
                {"file:checksum": texts[n], "range": [n, n * n]} for _ in range(rng.integers(3))
            ],
            "file:size": n,
        }
        for n in range(count)
    ]
    inner = pa.struct(
        {"file:checksum": pa.string(), "range": pa.list_(pa.int64())}  # as the builder names them
    )
    kind = pa.struct({"href": pa.string(), "archive": pa.list_(inner), "file:size": pa.int64()})
    times = np.arange(count) * 86_400_000_000
    return pa.table(
        {
            "id": [f"Item_{n}" for n in range(count)],
            "geometry": pa.array([text.encode() for text in texts]),
            "title": [None if some[n] else texts[n] for n in range(count)],
            "bbox": pa.array(
                [{"xmin": float(n), "ymin": None if some[n] else 1.0} for n in range(count)]
            ),
            "datetime": pa.array(times, pa.timestamp("us", tz="UTC")),
            "assets": pa.array([{"B02": a} for a in asset], pa.struct({"B02": kind})),
            "satimnet:classes": [texts[: n % 4] for n in range(count)],
            "satimnet:has_mask": some,
            "proj:transform": [[float(n), 2.0] if n % 3 else None for n in range(count)],
            "bands": pa.array([[{"name": None}, {"name": "x"}][: n % 3] for n in range(count)]),
        }
    )


@pytest.fixture(scope="module")
def whole():
    return table()


@pytest.fixture(scope="module")
def path(whole, tmp_path_factory):
    path = tmp_path_factory.mktemp("paged") / "items.parquet"
    parts = [whole.slice(at, 700) for at in range(0, ROWS, 700)]  # pages do not follow them
    assert write_rows(parts, layout_of(parts), {}, path) == [path]
    return path


def read(path, numbers, leaves):
    """The rows by their pages, None if these cannot be used."""
    with pq.ParquetFile(path) as file:
        said = FileRows.of(file).rows_of_page
        pages = RowPages.of(file, said) if said else None
        if pages is None:
            return None
        pages.learn(str(path), file, numbers)
    found = pages.rows(str(path), numbers, leaves)
    return None if found is None else found[0].take(pa.array(found[1]))


@pytest.mark.parametrize(
    "numbers", [FEW, np.arange(9000, 13_000), np.array([ROWS - 1]), np.arange(0, ROWS, 1024)]
)
def test_rows_are_those_of_the_file(path, whole, numbers):
    found = read(path, numbers, whole.column_names)
    assert found.equals(whole.take(pa.array(numbers)))
    found.validate(full=True)


def test_only_what_is_asked_for_is_read(path, whole):
    found = read(path, FEW, ["id", "assets.B02.archive", "bbox.ymin"])
    assert sorted(found.column_names) == ["assets", "bbox", "id"]
    assert found["id"].equals(whole["id"].take(pa.array(FEW)))
    assert found.schema.field("bbox").type.names == ["ymin"]
    given = [row["B02"] and row["B02"]["archive"] for row in found["assets"].to_pylist()]
    wanted = whole["assets"].take(pa.array(FEW)).to_pylist()
    assert given == [row["B02"] and row["B02"]["archive"] for row in wanted]


def test_pages_are_known_once_they_were_looked_at(path):
    with pq.ParquetFile(path) as file:
        pages = RowPages.of(file, FileRows.of(file).rows_of_page)
        assert pages.unknown(FEW) == [0, 1, 2]
        pages.learn(str(path), file, np.array([0]))
        assert pages.unknown(FEW) == [1, 2]
        assert pages.rows(str(path), FEW, ["id"]) is None
        pages.learn(str(path), file, FEW)
    assert pages.unknown(FEW) == []


def test_few_rows_are_few_pages():
    groups = [10_240, 10_240, 4520]
    assert few_pages(groups, ROWS_OF_PAGE, FEW)
    assert few_pages(groups, ROWS_OF_PAGE, np.arange(0, 5 * ROWS_OF_PAGE))
    assert not few_pages(groups, ROWS_OF_PAGE, np.arange(0, 5 * ROWS_OF_PAGE + 1))
    assert not few_pages(groups, ROWS_OF_PAGE, np.array([], np.int64))


def test_a_file_without_the_key_has_no_pages_of_its_own(path, whole, tmp_path):
    pq.write_table(whole, tmp_path / "other.parquet")
    assert read(tmp_path / "other.parquet", FEW, ["id"]) is None


@pytest.mark.parametrize(
    "options",
    [
        {"data_page_size": 2**12},
        {"max_rows_per_page": 500},
        {"max_rows_per_page": ROWS_OF_PAGE, "data_page_version": "2.0"},
        {"row_group_size": 10_240, "max_rows_per_page": 2 * ROWS_OF_PAGE},
    ],
)
def test_what_another_program_writes_with_the_key_is_not_believed(whole, tmp_path, options):
    other = whole.replace_schema_metadata({PAGED: str(ROWS_OF_PAGE)})
    pq.write_table(other, tmp_path / "other.parquet", **options)
    assert read(tmp_path / "other.parquet", FEW, whole.column_names) is None


@pytest.mark.parametrize("said", ["0", "x", "-5", "99999999999999999999", 5000 * "9"])
def test_a_key_that_makes_no_sense(whole, tmp_path, said):
    pq.write_table(whole.replace_schema_metadata({PAGED: said}), tmp_path / "a.parquet")
    with pq.ParquetFile(tmp_path / "a.parquet") as file:
        assert FileRows.of(file).rows_of_page == 0
    assert read(tmp_path / "a.parquet", FEW, ["id"]) is None


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "brotli", "lz4"])
def test_other_codecs_are_left_to_arrow(whole, tmp_path, codec):
    """The builder has one; asked for another that it does not know, Arrow may end the process."""
    part = whole.slice(0, 4000).replace_schema_metadata({PAGED: str(ROWS_OF_PAGE)})
    path = tmp_path / "a.parquet"
    pq.write_table(part, path, compression=codec, max_rows_per_page=ROWS_OF_PAGE)
    assert read(path, np.array([1500]), ["id"]) is None


def test_damaged_pages_are_found_or_read_as_before(path, whole, tmp_path):
    """No damage ends the process, or takes a reader elsewhere in the file."""
    rng = np.random.default_rng(1)
    data = path.read_bytes()
    with pq.ParquetFile(path) as file:
        group = file.metadata.row_group(0)
        starts = [group.column(at).data_page_offset for at in range(group.num_columns)]
    refused = 0
    for start in starts:
        for _ in range(8):
            damaged = bytearray(data)
            for at in rng.integers(0, 16, 2):
                damaged[start + at] = rng.integers(256)
            (tmp_path / "damaged.parquet").write_bytes(damaged)
            try:
                found = read(tmp_path / "damaged.parquet", np.array([2000]), whole.column_names)
            except (OSError, pa.ArrowException):  # as of the file itself
                refused += 1
                continue
            refused += found is None
            assert found is None or len(found) == 1
    assert refused > len(starts)


def test_a_file_that_is_cut_short_ends_in_an_error(path, whole, tmp_path):
    """Also while it is read: of a mapped file, that would end the process."""
    (tmp_path / "cut.parquet").write_bytes(path.read_bytes())
    cut = str(tmp_path / "cut.parquet")
    with pq.ParquetFile(cut) as file:
        pages = RowPages.of(file, ROWS_OF_PAGE)
        pages.learn(cut, file, FEW)
        os.truncate(cut, 100)
        with pytest.raises(ValueError, match="ends too early"):
            pages.rows(cut, FEW, whole.column_names)
        again = RowPages.of(file, ROWS_OF_PAGE)
        again.learn(cut, file, FEW)
        assert again.rows(cut, FEW, whole.column_names) is None


@pytest.mark.parametrize("count", [-1, -(2**70)])
def test_a_page_of_fewer_than_no_values(path, tmp_path, count):
    """Such a number is no page's, and may be one that numpy has no room for."""
    damaged = bytearray(path.read_bytes())
    with pq.ParquetFile(path) as file:
        group = file.metadata.row_group(0)
        columns = [group.column(at) for at in range(group.num_columns)]
        (lists,) = (c for c in columns if c.path_in_schema.startswith("satimnet:classes"))
        start = lists.data_page_offset
        fields, _, end = fields_at(bytes(damaged[start:]), 0)
        number = b"\x2c\x15" + integer(count) + b"\x15\x00\x15\x06\x15\x06\x00\x00"
        size = fields[3] + end  # the next page stays where it is
        packed = next(n for n in range(size) if n + 4 + 2 * len(integer(n)) + len(number) == size)
        header = b"\x15\x00\x15" + integer(packed) + b"\x15" + integer(packed) + number
        assert packed + len(header) == size
        damaged[start : start + len(header)] = header
        (tmp_path / "damaged.parquet").write_bytes(damaged)
        pages = RowPages.of(file, ROWS_OF_PAGE)
        pages.learn(str(tmp_path / "damaged.parquet"), file, np.array([5]))
        assert pages.rows(str(tmp_path / "damaged.parquet"), np.array([5]), ["id"]) is None


def test_a_footer_that_contradicts_itself(path, tmp_path):
    """Arrow looks at what is said of a column where it cannot raise an error, but end the process:
    of one that may not be null there cannot be as many levels."""
    data = path.read_bytes()
    footer = data[-8 - int.from_bytes(data[-8:-4], "little") :]
    tried = 0
    for nullable in re.finditer(rb"[\x25\x35]\x02", footer):
        damaged = bytearray(data)
        damaged[len(data) - len(footer) + nullable.end() - 1] = 0
        (tmp_path / "damaged.parquet").write_bytes(damaged)
        with suppress(OSError, ValueError, pa.ArrowException):
            tried += read(tmp_path / "damaged.parquet", np.array([2000]), ["id"]) is None
    assert tried > 0


def test_a_codec_that_there_is_not(path, whole, tmp_path):
    """Arrow ends the process where it is asked for its name."""
    data = path.read_bytes()
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    name = data.index(b"\x02id\x15\x0c", start)  # of the first column, then its codec
    damaged = bytearray(data)
    damaged[name + 4] = 64
    (tmp_path / "damaged.parquet").write_bytes(damaged)
    found = read(tmp_path / "damaged.parquet", FEW, ["id"])
    assert found.equals(whole.select(["id"]).take(pa.array(FEW)))  # as pages tell


def test_numbers_of_compact_thrift():
    for number in (0, 1, -1, 63, 64, -65, 2**31 - 1, -(2**31), 2**40):
        data = b"\x16" + integer(number) + b"\x00"
        assert fields_at(data, 0) == ({1: number}, {1: len(data) - 1}, len(data))
    assert number_at(integer(150), 0) == (300, 2)


def test_other_fields_are_passed_over():
    many = list_of(8, 20) + 20 * b"\x03abc"
    data = b"".join(
        (
            b"\x11",  # true
            b"\x13\x07",  # a byte
            b"\x17" + bytes(8),
            b"\x18\x02hi",
            b"\x19" + many,
            b"\x19" + list_of(1, 3) + b"\1\2\1",
            b"\x1c\x15\x04\x00",
            b"\x05\x28\x02",  # the 20th, said in full
            b"\x00",
        )
    )
    fields, ends, end = fields_at(data + b"more", 0)
    assert fields == {**dict.fromkeys(range(1, 7)), 7: {1: 2}, 20: 1}
    assert end == len(data) == ends[20] + 1


@pytest.mark.parametrize("data", [b"", b"\x15", b"\x15\x80", b"\x19\xf5\xff\x01", b"\x18\x7f"])
def test_a_struct_that_has_no_end(data):
    with pytest.raises(IndexError):
        fields_at(data, 0)


def test_a_kind_that_there_is_not():
    with pytest.raises(ValueError, match="13"):
        fields_at(b"\x1d\x00", 0)
