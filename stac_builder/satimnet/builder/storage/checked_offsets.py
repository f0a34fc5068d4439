"""Spans: where a catalog says that bytes and pixels lie, checked before native code goes there.

A catalog may come from anybody, and NumPy, GDAL, memory maps and system calls take a number as it
is: a wrong one reads memory that is not the file's. So nothing passes on a byte range, a data type
or a shape of a catalog that has not been through here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, TypeGuard

from satimnet.builder.errors import BadFileError

if TYPE_CHECKING:
    import numpy as np

FARTHEST = 2**62
"""Bytes and offsets stay below: sums of two of them still fit into 64 bits."""

_REMEDY = "build the catalog again"
_NUMBERS = re.compile(r"\|[iu]1|[<>]?(?:[iu][1248]|f[248])|u?int(?:8|16|32|64)|float(?:16|32|64)")
_AXES = {2: ["x", "y"], 3: ["band", "x", "y"]}


@dataclass(frozen=True, slots=True)
class Run:
    """Pixels that lie uncompressed in one run: a ``satimnet:pixels`` that has been checked."""

    offset: int
    """Bytes from the start of the shard."""
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    order: tuple[str, ...]
    """Names of the axes, outermost first: a permutation of y, x and band."""

    @property
    def size(self) -> int:
        """Bytes."""
        return prod(self.shape) * self.dtype.itemsize


def span_of(entry: Any, label: str) -> tuple[int, int]:
    """First byte and number of bytes of a member, an entry of ``archive``; ``label`` names it.

    Raises:
        BadFileError: its ``range`` is no first and last byte.
    """
    span = entry.get("range") if isinstance(entry, Mapping) else None
    if span is None:
        raise BadFileError(label, f"the catalog has no byte range of it; {_REMEDY}")
    if not (isinstance(span, list | tuple) and len(span) == 2 and all(map(_is_integer, span))):
        raise BadFileError(label, f"its byte range {span!r:.80} is not two integers; {_REMEDY}")
    first, last = span
    if not 0 <= first <= last < FARTHEST:
        raise BadFileError(label, f"its byte range [{first}, {last}] cannot be; {_REMEDY}")
    return first, last - first + 1


def run_of(pixels: Any, label: str) -> Run:
    """What a ``satimnet:pixels`` says; ``label`` names the image.

    An image without an axis for its only band is given one.

    Raises:
        BadFileError: it is no layout of numbers that can be.
    """
    fields: Mapping[str, Any] = pixels if isinstance(pixels, Mapping) else {}
    dtype = number_type(fields.get("dtype"), label)
    offset, shape, order = (fields.get(name) for name in ("offset", "shape", "order"))
    if not (_is_integer(offset) and 0 <= offset < FARTHEST):
        raise BadFileError(label, f"its pixels begin at {offset!r:.80}; {_REMEDY}")
    if not (isinstance(shape, list | tuple) and all(map(_is_length, shape))):
        raise BadFileError(label, f"its pixels have the shape {shape!r:.80}; {_REMEDY}")
    if not (isinstance(order, list | tuple) and sorted(map(str, order)) == _AXES.get(len(shape))):
        raise BadFileError(label, f"its pixels have the axes {order!r:.80}; {_REMEDY}")
    if len(shape) == 2:
        shape, order = (*shape, 1), (*order, "band")
    run = Run(offset, dtype, tuple(shape), tuple(order))
    if run.size >= FARTHEST:
        raise BadFileError(label, f"its pixels have the shape {shape!r:.80}; {_REMEDY}")
    return run


def number_type(name: Any, label: str) -> np.dtype[Any]:
    """The data type of NumPy's with this name: integers or real numbers of 1, 2, 4 or 8 bytes.

    Raises:
        BadFileError: there is no such type. Objects, above all, would be read as addresses.
    """
    import numpy as np

    if not (isinstance(name, str) and _NUMBERS.fullmatch(name)):
        raise BadFileError(label, f"pixels of type {name!r:.80} are not read; {_REMEDY}")
    return np.dtype(name)


def _is_integer(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_length(value: Any) -> bool:
    return _is_integer(value) and value > 0
