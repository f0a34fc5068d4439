"""Facets as the STAC API has them: https://github.com/stac-api-extensions/aggregation (0.3.0)."""

from __future__ import annotations

from collections.abc import Mapping

from satimnet.builder.errors import BadQueryError
from satimnet.builder.query.stac_api import Api
from satimnet.builder.types import Json

AGGREGATE_REL = "aggregate"
AGGREGATIONS_REL = "aggregations"

_NAMES = {
    "collection_frequency": "collection",
    "satimnet:classes_frequency": "class",
    "satimnet:split_frequency": "split",
    "satimnet:country_frequency": "country",
    "datetime_frequency": "month",
    "satimnet:formats_frequency": "format",
    "satimnet:data_types_frequency": "data_type",
    "satimnet:band_counts_frequency": "band_count",
    "satimnet:band_names_frequency": "band",
    "satimnet:has_mask_frequency": "mask",
    "satimnet:has_annotation_frequency": "annotation",
    "satimnet:georeferenced_frequency": "georeference",
    "satimnet:has_nodata_frequency": "nodata",
}
_TOTAL = "total_count"
_DISTRIBUTION = "frequency_distribution"


def aggregations(root: str) -> Json:
    """The document that says what can be counted."""
    counted = [{"name": _TOTAL, "data_type": "integer"}]
    for name, facet in _NAMES.items():
        of = "datetime" if facet == "month" else "string"
        kinds = {"data_type": _DISTRIBUTION, "frequency_distribution_data_type": of}
        counted.append({"name": name, **kinds})
    return {"aggregations": counted, "links": _links(root, "aggregations")}


def aggregate(api: Api, asked: Mapping[str, str], root: str) -> Json:
    """Counts the Items that fulfil the conditions, as the parameter ``aggregations`` asks.

    Raises:
        BadQueryError: there is no such aggregation, or the conditions cannot be understood.
    """
    conditions = dict(asked)
    wanted = list(dict.fromkeys(filter(None, conditions.pop("aggregations", "").split(","))))
    if unknown := set(wanted).difference(_NAMES, [_TOTAL]):
        known = ", ".join([_TOTAL, *_NAMES])
        raise BadQueryError(f"no aggregation {', '.join(sorted(unknown))}; there are: {known}")
    found = api.found(conditions)
    facets = found.facets([_NAMES[name] for name in wanted if name != _TOTAL])
    counts: list[Json] = []
    for name in wanted or [_TOTAL]:
        if name == _TOTAL:
            counts.append({"name": _TOTAL, "data_type": "integer", "value": len(found)})
            continue
        kind = "datetime" if _NAMES[name] == "month" else "string"
        buckets = [
            {
                "key": f"{value}-01T00:00:00Z" if kind == "datetime" else value,
                "data_type": kind,
                "frequency": items,
            }
            for value, items in facets[_NAMES[name]].items()
        ]
        counts.append({"name": name, "data_type": _DISTRIBUTION, "buckets": buckets})
    return {"aggregations": counts, "links": _links(root, "aggregate")}


def _links(root: str, path: str) -> list[dict[str, str]]:
    return [
        {"rel": "self", "href": f"{root}/{path}", "type": "application/json"},
        {"rel": "root", "href": f"{root}/", "type": "application/json"},
    ]
