"""Arrow columns from Python and NumPy and back, for functions that DuckDB calls.

``pyarrow.array`` and ``to_numpy`` import pandas, which takes a third of the time of a first search.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray


def booleans(values: NDArray[np.bool_], missing: NDArray[np.bool_]) -> pa.Array:
    """A column of booleans, null where ``missing``.

    Example:
        >>> booleans(np.array([True, False, True]), np.array([False, False, True])).to_pylist()
        [True, False, None]
    """
    import pyarrow as pa

    return pa.Array.from_buffers(pa.bool_(), len(values), [_bits(~missing), _bits(values)])


def floats(values: NDArray[np.float64], missing: NDArray[np.bool_]) -> pa.Array:
    """A column of floats, null where ``missing``."""
    import pyarrow as pa

    data = pa.py_buffer(np.ascontiguousarray(values, np.float64))
    return pa.Array.from_buffers(pa.float64(), len(values), [_bits(~missing), data])


def texts(values: Sequence[str | None]) -> pa.Array:
    """A column of texts."""
    import pyarrow as pa

    encoded = [b"" if value is None else value.encode() for value in values]
    ends = np.zeros(len(values) + 1, np.int32)
    np.cumsum([len(value) for value in encoded], out=ends[1:])
    present = np.array([value is not None for value in values], bool)
    buffers = [_bits(present), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(values), buffers)


def numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """The numbers of a column, NaN for null."""
    return np.array(column.to_pylist(), np.float64)


def objects(column: pa.ChunkedArray) -> NDArray[Any]:
    """The values of a column as objects of Python, None for null."""
    values = np.empty(len(column), object)
    values[:] = column.to_pylist()
    return values


def _bits(values: NDArray[np.bool_]) -> pa.Buffer:
    import pyarrow as pa

    return pa.py_buffer(np.packbits(np.asarray(values, bool), bitorder="little"))
