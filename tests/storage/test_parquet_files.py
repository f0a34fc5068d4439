"""Footers of parquet files that are kept, up to so many bytes."""

import pyarrow as pa
import pyarrow.parquet as pq

from satimnet.builder.storage.parquet_files import Footers


def footer_of(path, columns):
    pq.write_table(pa.table({f"column_{at}": [at] for at in range(columns)}), path)
    return pq.read_metadata(path)


def test_those_used_last_are_kept(tmp_path):
    one = footer_of(tmp_path / "items.parquet", 20)
    footers = Footers(most=2 * one.serialized_size)
    footers.keep("a", one)
    footers.keep("b", one)
    assert footers.get("a") is one
    footers.keep("c", one)
    assert [footers.get(place) is not None for place in "abc"] == [True, False, True]


def test_keeping_one_again_takes_no_more_room(tmp_path):
    one = footer_of(tmp_path / "items.parquet", 20)
    footers = Footers(most=2 * one.serialized_size)
    footers.keep("a", one)
    footers.keep("b", one)
    footers.keep("b", one)
    assert footers.get("a") is one


def test_one_that_is_too_large_is_not_kept(tmp_path):
    small, large = (footer_of(tmp_path / f"{n}.parquet", n) for n in (1, 200))
    footers = Footers(most=2 * small.serialized_size)
    footers.keep("large", large)
    assert footers.get("large") is None
    footers.keep("small", small)
    assert footers.get("small") is small
