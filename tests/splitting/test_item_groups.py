"""What must be of one split is found: blocks, times, overlaps, and what is joined by them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely

from satimnet.builder.quality.findings import OVERLAP_SHARE
from satimnet.builder.splitting.item_facts import ItemFacts
from satimnet.builder.splitting.item_groups import Together, first_groups, join_overlapping


def facts_of(count: int, **known: Any) -> ItemFacts:
    """Facts of Items of one collection, of which nothing is known but what is given."""
    outlines = known.get("outlines", [None] * count)
    columns = {
        "centres": np.full((count, 2), np.nan),
        "seconds": np.full(count, np.nan),
        "values": pa.chunked_array([pa.nulls(count, pa.string())]),
        "outlines": None,
    } | known
    columns["outlines"] = pa.chunked_array(
        [pa.array([None if one is None else shapely.to_wkb(one) for one in outlines], pa.binary())]
    )
    return ItemFacts(
        ("made-up",),
        np.array([0, count]),
        pa.chunked_array([pa.array(map(str, range(count)), pa.string())]),
        origins=np.full(count, -1),
        class_items=np.empty(0, np.int64),
        class_codes=np.empty(0, np.int64),
        class_names=(),
        **columns,
    )


def same(groups: np.ndarray) -> set[tuple[int, int]]:
    """The pairs of Items that are of one group."""
    count = len(groups)
    return {(a, b) for a in range(count) for b in range(a) if groups[a] == groups[b]}


def connected(count: int, pairs: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """The pairs that are connected, by a closure that tries all ways."""
    linked = np.eye(count, dtype=bool)
    for a, b in pairs:
        linked[a, b] = linked[b, a] = True
    for _ in range(count):
        linked = linked @ linked
    return {(a, b) for a in range(count) for b in range(a) if linked[a, b]}


@pytest.mark.parametrize("lat", [-72.0, -60.0, 0.0, 47.3, 71.0])
def test_blocks_have_the_size_that_was_asked_for(lat: float) -> None:
    from pyproj import Geod

    rng = np.random.default_rng(0)
    around = 0.5 / max(np.cos(np.radians(lat)), 0.01)
    centres = np.column_stack([rng.uniform(-around, around, 400), lat + rng.uniform(0, 0.09, 400)])
    groups = first_groups(facts_of(400, centres=centres), "block", 10_000, 1)
    sides = []
    for group in range(groups.max() + 1):
        own = centres[groups == group]
        low, high = own.min(0), own.max(0)
        geod = Geod(ellps="WGS84")
        sides.append(geod.line_length([low[0], high[0]], [low[1], low[1]]))
        sides.append(geod.line_length([low[0], low[0]], [low[1], high[1]]))
    assert max(sides) < 10_300  # of an ellipsoid, by blocks on a sphere
    assert groups.max() + 1 > 5


def test_there_are_blocks_at_the_poles_and_on_both_sides_of_the_antimeridian() -> None:
    centres = np.array([[-180, 10], [179.99999, 10], [12, 90], [70, 90], [12, -90], [12.5, -90]])
    groups = first_groups(facts_of(6, centres=centres), "block", 10_000, 1)
    assert same(groups) == {(3, 2), (5, 4)}


def test_what_has_no_place_or_time_is_alone() -> None:
    centres = np.array([[5, 45], [np.nan, np.nan], [5, 45], [np.nan, np.nan]])
    groups = first_groups(facts_of(4, centres=centres), "block", 10_000, 1)
    assert same(groups) == {(2, 0)}
    seconds = np.array([0, 86_399, 86_400, np.nan])
    assert same(first_groups(facts_of(4, seconds=seconds), "time", 1, 1)) == {(1, 0)}
    assert same(first_groups(facts_of(4, seconds=seconds), "time", 1, 2)) == {
        (1, 0), (2, 0), (2, 1),
    }  # fmt: skip
    seconds = np.array([7, 7, 8, np.nan])
    assert same(first_groups(facts_of(4, seconds=seconds), "scene", 1, 1)) == {(1, 0)}
    values = pa.chunked_array([pa.array(["a", None, "a", None])])
    assert same(first_groups(facts_of(4, values=values), "group", 1, 1)) == {(2, 0)}


def test_joining_is_the_same_as_by_closure() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        groups = np.unique(rng.integers(0, 12, 24), return_inverse=True)[1]
        pairs = rng.integers(0, 24, (5, 2))
        together = Together(groups)
        fewer = together.join(*pairs.T)
        wanted = connected(24, same(groups) | {tuple(pair) for pair in pairs.tolist()})
        assert same(together.groups) == wanted
        assert set(together.groups.tolist()) == set(range(int(together.groups.max()) + 1))
        assert fewer == int(groups.max() - together.groups.max())
    together = Together(np.arange(6))
    assert together.join_all([(0, 3), (5,), (3, 4, 1)]) == 3
    assert same(together.groups) == connected(6, {(0, 3), (3, 4), (4, 1)})
    assert Together(np.arange(4)).join_equal(np.array([-1, 7, -1, 7])) == 1


@pytest.mark.parametrize("seed", range(4))
def test_overlaps_are_those_that_a_look_at_all_pairs_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = np.column_stack([rng.uniform(5, 5.4, 150), rng.uniform(45, 45.4, 150)])
    outlines: list[Any] = [
        shapely.affinity.rotate(shapely.box(x, y, x + 0.02, y + 0.02), float(rng.uniform(0, 15)))
        for x, y in corners
    ]
    grid = [shapely.box(6 + 0.01 * k, 45, 6.01 + 0.01 * k, 45.01) for k in range(8)]  # they touch
    outlines += [*grid, None, grid[3], shapely.Polygon()]
    facts = facts_of(len(outlines), outlines=outlines)
    together = Together(np.arange(len(outlines)))
    join_overlapping(together, facts)
    pairs = {
        (a, b)
        for a in range(len(outlines))
        for b in range(a)
        if outlines[a] is not None
        and outlines[b] is not None
        and not outlines[a].is_empty
        and not outlines[b].is_empty
        and outlines[a].intersection(outlines[b]).area
        >= OVERLAP_SHARE * min(outlines[a].area, outlines[b].area)
    }
    assert (len(outlines) - 2, 153) in pairs
    assert same(together.groups) == connected(len(outlines), pairs)
