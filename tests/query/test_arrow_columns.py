"""Arrow columns without pandas, and a search that loads nothing that it does not need."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from trial_catalog import write_catalog

from satimnet.builder.query.arrow_columns import booleans, floats, numbers, objects, texts


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 2048])
def test_columns_are_those_of_arrow(count):
    rng = np.random.default_rng(count)
    missing = rng.random(count) < 0.3
    for make, type_, values in (
        (booleans, pa.bool_(), rng.random(count) < 0.5),
        (floats, pa.float64(), rng.random(count)),
    ):
        column = make(values, missing)
        column.validate(full=True)
        assert column == pa.array(values, type_, mask=missing)
    words = [None if gone else "é\0" * (at % 5) for at, gone in enumerate(missing)]
    column = texts(words)
    column.validate(full=True)
    assert column == pa.array(words, pa.string())


def test_values_of_columns():
    column = pa.chunked_array([[1.5, None], [], [2.0]])
    np.testing.assert_array_equal(numbers(column), [1.5, np.nan, 2.0])
    found = objects(pa.chunked_array([[b"a", None]], pa.binary()))
    assert found.dtype == object
    assert found.tolist() == [b"a", None]


_SEARCH = """
import sys
from satimnet.builder import search
question = {"bbox": (-180, -90, 180, 90), "q": "a,e", "filter": "casei(id) <> 'x' and gsd ^ 2 > 0"}
assert list(search(sys.argv[1], **question, limit=3)) or list(search(sys.argv[1], limit=3))
assert not list(search(sys.argv[1], ids="none"))
heavy = "pandas", "pystac", "urllib3", "rasterio", "satimnet.builder.sources"
print([name for name in heavy if name in sys.modules])
"""


def test_a_search_loads_no_pandas(tmp_path):
    write_catalog(tmp_path)
    command = [sys.executable, "-c", _SEARCH, str(tmp_path)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "[]\n"
