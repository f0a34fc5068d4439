"""Mixed choice: a few samples to look at, of as many classes as can be."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from satimnet.training.data.array_types import Numbers
from satimnet.training.data.order import Purpose, permutation
from satimnet.training.data.sample_table import SampleTable


def mixed_choice(samples: SampleTable, count: int, seed: int) -> Numbers:
    """Draws samples for a picture: collections take turns, and in each of them its classes do.

    Args:
        samples: All of them.
        count: How many are drawn at most.
        seed: 0 or more. The same seed draws the same samples.

    Returns:
        Their numbers, int64 (sample); like beside like.
    """
    tags = pc.fill_null(pc.binary_join(samples.table["satimnet:classes"], ","), "")
    homes, _ = _codes(samples.table["collection"])
    kinds, names = _codes(pc.binary_join_element_wise(samples.table["collection"], tags, "/"))
    order = permutation(len(samples), seed, Purpose.PICTURES)
    order = order[np.argsort(_turns(kinds[order]), kind="stable")]
    order = order[np.argsort(_turns(homes[order]), kind="stable")]
    in_order = sorted(order[:count].tolist(), key=lambda at: str(names[int(kinds[at])]))
    return np.asarray(in_order, np.int64)


def _codes(texts: pa.ChunkedArray) -> tuple[Numbers, pa.Array]:
    """Each text as a number, and the texts that the numbers stand for."""
    found = texts.combine_chunks().dictionary_encode()
    return np.asarray(found.indices, np.int64), found.dictionary


def _turns(codes: Numbers) -> Numbers:
    """Of each code how often it was there before, int64 (code)."""
    alike = np.argsort(codes, kind="stable")  # of each, one after the other
    places = np.arange(len(codes))
    begins = np.diff(codes[alike], prepend=-1) != 0
    turns = np.empty(len(codes), np.int64)
    turns[alike] = places - np.maximum.accumulate(np.where(begins, places, 0))
    return turns
