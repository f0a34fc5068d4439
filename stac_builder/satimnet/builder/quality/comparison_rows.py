"""A comparison of sources in figures: rows of the report's JSON, and a table of its Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from satimnet.builder.quality.source_comparison import BandComparison
from satimnet.builder.types import Json

_SHARES = {"low": 0.02, "first_quartile": 0.25, "median": 0.5, "third_quartile": 0.75, "high": 0.98}


def comparison_row(comparison: BandComparison) -> Json:
    """One band: the figures of each source, and the distances between them."""
    return {
        "band": comparison.band,
        "differs": comparison.differs,
        "sources": [
            {
                "source": one.source,
                "level": one.level or None,
                "scene": one.scene,
                "images": one.images,
                "mean": one.mean,
                **{key: one.quantile(share) for key, share in _SHARES.items()},
            }
            for one in comparison.distributions
        ],
        "distances": [
            {
                "sources": [one.first, one.second],
                "wasserstein": one.wasserstein,
                "standard_deviations": one.deviations,
            }
            for one in comparison.distances
        ],
    }


def comparison_lines(rows: Sequence[Json]) -> list[str]:
    """The section of the Markdown report; empty if nothing was compared."""
    if not rows:
        return []
    lines = ["", "## The same band in several sources", ""]
    lines += ["| band | source | level | images | 2 % | median | 98 % | mean | distances |"]
    lines += ["| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | --- |"]
    for row in rows:
        for source in row["sources"]:
            numbers = " | ".join(f"{source[key]:,.5g}" for key in ("low", "median", "high", "mean"))
            far = ", ".join(
                f"{_other(one['sources'], source['source'])}: {one['standard_deviations']:.1f}"
                for one in row["distances"]
                if source["source"] in one["sources"]
            )
            start = f"| {row['band']} | `{source['source']}` | {source['level'] or ''} | "
            lines.append(f"{start}{source['images']:,} | {numbers} | {far} |")
    return lines


def _other(pair: Sequence[str], one: str) -> str:
    return f"`{pair[1] if pair[0] == one else pair[0]}`"
