"""Items of different splits whose footprints overlap, so that they show the same ground."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from satimnet.builder.quality.findings import OVERLAP_SHARE, Finding
from satimnet.builder.samples import SPLITS

if TYPE_CHECKING:
    import pyarrow as pa

    from satimnet.builder.quality.dataset_versions import Places
    from satimnet.builder.quality.duplicates import Families

_BATCH = 5000  # footprints that are looked up at a time
_SHOWN = 3  # overlapping Items that a finding names


def find_overlaps(
    rows: pa.Table, families: Families, places: Places | None = None
) -> Iterator[Finding]:
    """A finding for each Item that overlaps Items of an earlier split.

    The order of splits is train, validation, test. Shares are of areas in square degrees, which is
    good enough for small footprints.

    Args:
        rows: Results of all Items, columns as in
            `satimnet.builder.quality.measuring.result_schema`.
        families: Pairs of collections that may show the same.
        places: Which Items are versions of each other, and so are left out.
    """
    import shapely

    splits = rows["split"].to_pylist()
    order = {split: rank for rank, split in enumerate(SPLITS)}
    ranks = np.array([order.get(split, -1) for split in splits])
    numbers = np.flatnonzero((ranks >= 0) & rows["geometry"].is_valid().to_numpy())
    if len(set(ranks[numbers].tolist())) < 2:
        return
    outlines = shapely.from_wkb(rows["geometry"].take(numbers).to_numpy(zero_copy_only=False))
    ranks = ranks[numbers]
    collections = rows["collection"].take(numbers).to_pylist()
    areas = shapely.area(outlines)
    tree = shapely.STRtree(outlines)
    later = np.flatnonzero(ranks > ranks.min())
    for start in range(0, len(later), _BATCH):
        asked = later[start : start + _BATCH]
        one, other = tree.query(outlines[asked], predicate="intersects")
        one = asked[one]
        before = ranks[other] < ranks[one]
        one, other = one[before], other[before]
        common = shapely.area(shapely.intersection(outlines[one], outlines[other]))
        share = common / np.maximum(np.minimum(areas[one], areas[other]), 1e-300)
        large = share >= OVERLAP_SHARE
        one, other, share = one[large], other[large], share[large]
        if families:
            pairs = zip(one.tolist(), other.tolist(), strict=True)
            kept = [frozenset((collections[a], collections[b])) not in families for a, b in pairs]
            one, other, share = one[kept], other[kept], share[kept]
        if places is not None:
            pairs = zip(numbers[one].tolist(), numbers[other].tolist(), strict=True)
            kept = [not places.same(a, b) for a, b in pairs]
            one, other, share = one[kept], other[kept], share[kept]
        first = np.flatnonzero(np.diff(one, prepend=-1))
        for item, others, shares in zip(
            one[first].tolist(), np.split(other, first[1:]), np.split(share, first[1:])
        ):
            ranked = others[np.argsort(-shares, kind="stable")]
            among = sorted({splits[number] for number in numbers[ranked]}, key=order.__getitem__)
            yield Finding(
                "overlap-across-splits",
                tuple(numbers[[item, *ranked[:_SHOWN]]].tolist()),
                f"{len(ranked)} of {', '.join(among)} on the ground of this one of "
                f"{splits[numbers[item]]}, up to {shares.max():.0%}",
            )
