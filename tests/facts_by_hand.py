"""What the files of an Item are, told from its assets in plain loops, without the builder."""

from __future__ import annotations

from typing import Any

LABELS = {"mask", "annotation", "overview", "thumbnail", "metadata", "labels"}
ENDINGS = {"image/jpeg": "jpg", "image/png": "png", "image/tiff": "tif"}


def images_of(item: dict[str, Any]) -> list[dict[str, Any]]:
    """The assets that are images, not labels."""
    assets = item["assets"].values()
    return [a for a in assets if a.get("bands") and not LABELS & set(a.get("roles", ()))]


def facts_of(item: dict[str, Any], without_value: set[str]) -> dict[str, Any]:
    """The facts by their names without the prefix; ``without_value``: keys with a no-data value."""
    images = images_of(item)
    roles = {role for asset in item["assets"].values() for role in asset.get("roles", ())}
    places = [item["properties"], *item["assets"].values()]
    facts: dict[str, Any] = {
        "has_mask": "mask" in roles,
        "has_annotation": "annotation" in roles,
        "georeferenced": any("proj:transform" in place for place in places),
        "has_nodata": any(item["assets"][k] in images for k in without_value & set(item["assets"])),
    }
    if not images:
        return facts
    counts = [len(asset["bands"]) for asset in images]
    if counts.count(1) > 1:
        counts.append(counts.count(1))
    types = {file["type"].split(";")[0] for asset in images for file in asset["archive"]}
    facts |= {
        "formats": sorted(ENDINGS[type_] for type_ in types),
        "band_counts": sorted(set(counts)),
        "band_names": sorted({band["name"] for asset in images for band in asset["bands"]}),
        "bytes": sum(file["file:size"] for asset in images for file in asset["archive"]),
    }
    if types := {asset["data_type"] for asset in images if "data_type" in asset}:
        facts["data_types"] = sorted(types)
    of_item = item["properties"].get("proj:shape")
    shapes = [shape for a in images if (shape := a.get("proj:shape", of_item))]
    if shapes:
        facts["rows"], facts["columns"] = max(shapes, key=lambda s: (s[0] * s[1], *s))
    return facts
