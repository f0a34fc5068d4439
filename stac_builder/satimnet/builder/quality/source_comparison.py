"""The same band in several sources: how its values are distributed, and how far that is apart.

A source is a collection, or a scene that the user gave. Each image of a collection counts the same:
what is known of it are mean and standard deviation, its least and largest value and three
percentiles; values between these are taken to be spread as those of a normal distribution.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.errors import printable
from satimnet.builder.quality.distributions import values_by_band
from satimnet.builder.quality.findings import FEWEST_TO_COMPARE, SOURCE_DISTANCE, Finding

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from satimnet.builder.catalog.collection_document import Band

PROBABILITIES = (np.arange(256) + 0.5) / 256
"""Where the quantiles of a distribution are taken: the middles of equal shares."""

_KNOTS = {"minimum": 1e-4, "p02": 0.02, "p50": 0.5, "p98": 0.98, "maximum": 1 - 1e-4}
"""Statistics of an image and the shares of its pixels below them; those of the least and the
largest value are right for some 5,000 pixels, and hardly matter."""
_MOST = 2**21  # values of all images of a collection together
_FEWEST, _FINEST = 8, 64  # values that stand for one image
_NAMED = 8  # bands that a finding names


@dataclass(frozen=True, eq=False)
class Distribution:
    """The values of a band in a source."""

    source: str
    """Id of the collection, or name of the scene."""
    level: str
    """Processing levels, such as ``L1C``; empty where nobody says them."""
    images: int
    mean: float
    """The median of the images' means, as `satimnet.builder.quality.distributions.Band` has it."""
    spread: float
    """The standard deviation of the values."""
    quantiles: NDArray[np.float64]
    """The values at `PROBABILITIES`."""
    scene: bool = False
    """Whether the source is a scene."""

    @property
    def label(self) -> str:
        """The source as people are shown it, with its level."""
        return f"{self.source} ({self.level})" if self.level else self.source

    def quantile(self, share: float) -> float:
        """The value that this share of the pixels stays below."""
        return float(np.interp(share, PROBABILITIES, self.quantiles))


@dataclass(frozen=True, slots=True)
class Distance:
    """How far two distributions of a band are apart."""

    first: str
    second: str
    """The sources."""
    wasserstein: float
    """In the unit of the values."""
    deviations: float
    """The same in standard deviations."""


@dataclass(frozen=True)
class BandComparison:
    """One band in all sources that have it."""

    band: str
    distributions: tuple[Distribution, ...]
    distances: tuple[Distance, ...]
    """Of each two that can be compared."""

    @property
    def differs(self) -> bool:
        """Whether two of the sources are farther apart than is usual."""
        return any(one.deviations > SOURCE_DISTANCE for one in self.distances)


@dataclass(frozen=True)
class SourceBands:
    """The distributions of a source by name of the band, and what it can be compared with.

    instruments: satellites; two collections of the same ones are compared. scales: by band, the
    factor and the offset that make physical values of stored ones.
    """

    id: str
    instruments: frozenset[str]
    bands: Mapping[str, Distribution]
    scales: Mapping[str, tuple[float, float]]
    scene: bool = False


def bands_of_collection(collection: CollectionDocument, rows: pa.Table) -> SourceBands:
    """The distributions of a collection's bands.

    Args:
        collection: What the collection says.
        rows: The results of its Items.
    """
    level = ", ".join(map(str, collection.summary("processing:level")))
    satellites = collection.summary("constellation") or collection.summary("platform")
    distributions: dict[str, Distribution] = {}
    scales: dict[str, tuple[float, float]] = {}
    known = _bands_of(collection)
    for (asset, name), (_, values) in values_by_band(rows).items():
        seen = ~np.isnan(values["mean"])
        if name in distributions or (asset, name) not in known or seen.sum() < FEWEST_TO_COMPARE:
            continue
        distributions[name] = Distribution(
            collection.id,
            level,
            int(seen.sum()),
            float(np.median(values["mean"][seen])),
            _spread(values["mean"][seen], values["stddev"][seen]),
            _pooled(np.stack([values[key][seen] for key in _KNOTS], axis=1)),
        )
        band, offset = known[asset, name]
        if band.scale:
            scales[name] = band.scale, offset
    return SourceBands(collection.id, frozenset(map(str, satellites)), distributions, scales)


def _bands_of(collection: CollectionDocument) -> dict[tuple[str, str], tuple[Band, float]]:
    """The bands of images by asset and name, with the offset of their values."""
    found = {}
    for asset in collection.images:
        rows = collection.json["item_assets"][asset.key]["bands"]
        for band, row in zip(asset.bands, rows, strict=True):
            offset = row.get("raster:offset")
            found[asset.key, band.name] = band, offset if isinstance(offset, int | float) else 0.0
    return found


def _spread(means: NDArray[np.float32], deviations: NDArray[np.float32]) -> float:
    """The standard deviation of the values of all images together."""
    within = np.square(deviations, dtype=np.float64).mean()
    return float(np.sqrt(within + means.var(dtype=np.float64)))


def _pooled(knots: NDArray[np.float32]) -> NDArray[np.float64]:
    """Quantiles of the values of all images together; knots: (image, `_KNOTS`)."""
    count = int(np.clip(_MOST // len(knots), _FEWEST, _FINEST))
    score = np.vectorize(NormalDist().inv_cdf)
    scores = score((np.arange(count) + 0.5) / count)
    places = score(list(_KNOTS.values()))
    after = np.searchsorted(places, scores, side="right")
    before = after - 1
    weight = (scores - places[before]) / (places[after] - places[before])
    lower, upper = (knots[:, at].astype(np.float64) for at in (before, after))
    quantiles: NDArray[np.float64] = np.quantile(lower + (upper - lower) * weight, PROBABILITIES)
    return quantiles


def wasserstein(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """The Wasserstein distance of order 1 between two distributions of one variable.

    It is how far values have to be moved, on average, to make one of the other: the area between
    the quantile functions (C. Villani, Topics in Optimal Transportation, AMS 2003, Theorem 2.18).

    Args:
        first: Quantiles at equally spaced probabilities.
        second: Quantiles at the same.

    Example:
        >>> wasserstein(np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0]))
        1.0
    """
    return float(np.abs(first - second).mean())


def compare_sources(
    sources: Sequence[SourceBands], families: Collection[frozenset[str]] = ()
) -> list[BandComparison]:
    """The bands that several sources have.

    Collections are compared where the same instrument took them and none was made from the other,
    scenes with every collection that has their bands. Values are in the unit of the first source.

    Args:
        sources: Collections, then scenes.
        families: Pairs of a collection and one that it was made from.
    """
    pairs = [pair for pair in combinations(sources, 2) if _comparable(*pair, families)]
    found = []
    for band in dict.fromkeys(name for source in sources for name in source.bands):
        both = [pair for pair in pairs if all(band in source.bands for source in pair)]
        if not both:
            continue
        having = [s for s in sources if any(s is one for pair in both for one in pair)]
        unit = next((s.scales[band] for s in having if band in s.scales), None)
        shown = {id(source): _in_unit(source, band, unit) for source in having}
        distances = [_distance(*(shown[id(source)] for source in pair)) for pair in both]
        found.append(BandComparison(band, tuple(shown.values()), tuple(distances)))
    return found


def _comparable(
    first: SourceBands, second: SourceBands, families: Collection[frozenset[str]]
) -> bool:
    if first.scene or second.scene:
        return not (first.scene and second.scene)
    same = first.instruments & second.instruments
    return bool(same) and frozenset((first.id, second.id)) not in families


def _in_unit(source: SourceBands, band: str, unit: tuple[float, float] | None) -> Distribution:
    """The distribution in the unit of another source, if both say theirs."""
    own, known = source.bands[band], source.scales.get(band)
    if unit is None or known is None or known == unit:
        return own
    factor, shift = known[0] / unit[0], (known[1] - unit[1]) / unit[0]
    return replace(
        own,
        mean=own.mean * factor + shift,
        spread=own.spread * abs(factor),
        quantiles=np.sort(own.quantiles * factor + shift),
    )


def _distance(first: Distribution, second: Distribution) -> Distance:
    far = wasserstein(first.quantiles, second.quantiles)
    spread = float(np.sqrt((first.spread**2 + second.spread**2) / 2))
    deviations = far / spread if spread else float("inf") if far else 0.0
    return Distance(first.source, second.source, far, deviations)


def find_differences(comparisons: Sequence[BandComparison]) -> Iterator[Finding]:
    """A finding for each two sources with bands that are far apart, those the farthest first."""
    far: dict[tuple[str, str], list[tuple[float, str]]] = {}
    scenes = {d.source for c in comparisons for d in c.distributions if d.scene}
    for comparison in comparisons:
        by_source = {one.source: one for one in comparison.distributions}
        for distance in comparison.distances:
            if distance.deviations > SOURCE_DISTANCE:
                pair = distance.first, distance.second
                words = ", ".join(_usual(by_source[name]) for name in pair)
                text = f"{comparison.band} is usually {words}: {distance.deviations:.1f}"
                far.setdefault(pair, []).append((distance.deviations, text))
    for pair, bands in far.items():
        bands.sort(key=lambda one: -one[0])
        listed = "; ".join(text for _, text in bands[:_NAMED])
        more = f"; and {len(bands) - _NAMED} more" if len(bands) > _NAMED else ""
        collections = tuple(name for name in pair if name not in scenes)
        message = f"{listed}{more} standard deviations apart"
        yield Finding("sources-differ", (), printable(message), collections)


def rounded(value: float) -> str:
    """A value as people read it: ``3,232``, ``14.2``."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _usual(distribution: Distribution) -> str:
    where = "the scene " if distribution.scene else ""
    return f"{rounded(distribution.mean)} in {where}{distribution.label}"
