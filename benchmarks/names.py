"""The patches of BigEarthNet: their real names, and labels as far as they can be told.

Names, tiles, countries and seasons are the publisher's, of all 590,326 patches. The labels are
those of version 2 (19 classes), each of which becomes one of the 43 that it joins, drawn by how
often the publisher counts them; patches that version 2 lacks have the labels of others.
"""

from __future__ import annotations

import bz2
import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LISTS = Path(__file__).parents[2] / "shared" / "data" / "bigearthnet" / "metadata"
"""The publisher's lists and tables of all patches."""
_NAMES = "s1_s2_name_country_season.csv.bz2"
_LABELS = (
    "bigearthnet_v2_metadata.parquet",
    "bigearthnet_v2_metadata_for_patches_with_snow_cloud_or_shadow.parquet",
)
# Patches of each class where one of the 19 joins several: table 2 of
# https://doi.org/10.1109/IGARSS.2019.8900532; of the others all that count is that they occur.
_COUNTS = {
    "continuous-urban-fabric": 10_784,
    "discontinuous-urban-fabric": 69_872,
    "non-irrigated-arable-land": 196_695,
    "permanently-irrigated-land": 13_589,
    "rice-fields": 3_793,
    "vineyards": 9_567,
    "fruit-trees-and-berry-plantations": 4_754,
    "olive-groves": 12_538,
    "annual-crops-associated-with-permanent-crops": 7_022,
    "natural-grassland": 12_835,
    "sparsely-vegetated-areas": 1_563,
    "moors-and-heathland": 5_890,
    "sclerophyllous-vegetation": 11_241,
    "inland-marshes": 6_236,
    "peatbogs": 23_207,
    "salt-marshes": 1_562,
    "salines": 424,
    "water-courses": 10_572,
    "water-bodies": 83_811,
    "coastal-lagoons": 1_498,
    "estuaries": 1_086,
    "sea-and-ocean": 81_612,
}


@dataclass(frozen=True, slots=True)
class Patch:
    """What is known of a patch without its pixels."""

    name: str
    tile: str
    country: str
    season: str
    classes: tuple[str, ...]
    """Names of the class table of 43."""

    @property
    def day(self) -> tuple[str, str, str]:
        """Year, month and day in its name."""
        text = self.name.split("_")[2]
        return text[:4], text[4:6], text[6:8]


def named_patches(record: Mapping[str, Any]) -> list[Patch]:
    """All patches, sorted by name; ``record`` is that of the dataset. The same every time."""
    rng = np.random.default_rng(0)
    text = bz2.decompress((LISTS / _NAMES).read_bytes()).decode()
    rows = sorted(csv.DictReader(io.StringIO(text)), key=lambda row: row["s2_name"])
    labels = _labels(record, rng)
    others = list(labels.values())
    return [
        Patch(
            row["s2_name"],
            row["s1_name"].split("_")[5],
            row["country"],
            row["season"],
            labels.get(row["s2_name"]) or others[rng.integers(len(others))],
        )
        for row in rows
    ]


def _labels(record: Mapping[str, Any], rng: np.random.Generator) -> dict[str, tuple[str, ...]]:
    """Of each patch that version 2 knows the classes, as far as they can be told."""
    joined = {row["title"]: row["classes"] for row in record["nomenclature_19"]}
    tables = [pq.read_table(LISTS / name, columns=["s2v1_name", "labels"]) for name in _LABELS]
    found: dict[str, tuple[str, ...]] = {}
    for row in pa.concat_tables(tables).to_pylist():
        names = []
        for title in row["labels"]:
            classes = joined[title]
            weights = np.array([_COUNTS.get(name, 1) for name in classes], float)
            names.append(
                classes[int(np.searchsorted(weights.cumsum() / weights.sum(), rng.random()))]
            )
        found[row["s2v1_name"]] = tuple(sorted(names))
    return found
