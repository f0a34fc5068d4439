"""Mixed choice: a few samples to look at, of as many classes as can be."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc

from satimnet.training.data.array_types import Numbers
from satimnet.training.data.order import Purpose, permutation
from satimnet.training.data.sample_table import SampleTable


def mixed_choice(samples: SampleTable, count: int, seed: int) -> Numbers:
    """Draws samples for a picture: the first of each kind, then the second of each, and so on.

    A kind is a collection and what classes the sample has in it.

    Args:
        samples: All of them.
        count: How many are drawn at most.
        seed: 0 or more. The same seed draws the same samples.

    Returns:
        Their numbers, int64 (sample); like beside like.
    """
    tags = pc.fill_null(pc.binary_join(samples.table["satimnet:classes"], ","), "")
    named = pc.binary_join_element_wise(samples.table["collection"], tags, "/")
    kinds = named.combine_chunks().dictionary_encode()
    codes = np.asarray(kinds.indices, np.int64)
    order = permutation(len(samples), seed, Purpose.PICTURES)
    alike = np.argsort(codes[order], kind="stable")  # of each kind, one after the other
    own = codes[order][alike]
    places = np.arange(len(own))
    firsts = np.maximum.accumulate(np.where(np.diff(own, prepend=-1) != 0, places, 0))
    turns = np.empty(len(own), np.int64)
    turns[alike] = places - firsts
    chosen = order[np.argsort(turns, kind="stable")][:count]
    names = kinds.dictionary
    in_order = sorted(chosen.tolist(), key=lambda at: str(names[int(codes[at])]))
    return np.asarray(in_order, np.int64)
