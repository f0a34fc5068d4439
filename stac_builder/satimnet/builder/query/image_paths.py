"""Paths by which GDAL opens the files of Items that a search found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from satimnet.builder.catalog.file_facts import NO_IMAGE_ROLES, format_of
from satimnet.builder.query.fact_conditions import known_format
from satimnet.builder.storage.assets import gdal_path
from satimnet.builder.types import Json


def image_paths(
    item: Json,
    *,
    file_format: Sequence[str] | str | None = None,
    band_count: Sequence[int] | int | None = None,
    bands: Sequence[str] | str | None = None,
    data_type: Sequence[str] | str | None = None,
) -> list[str]:
    """Paths of an Item's images, of those that fit where not all do.

    The arguments are those of the search that found it: of an Item with a JPEG and a TIFF, the one
    that was asked for is given. A condition that only the images together fulfil, such as a number
    of bands each of which is a file, leaves all of them.

    Args:
        item: an Item that a search found: its hrefs are absolute.
        file_format: as in `satimnet.builder.search`.
        band_count: as there.
        bands: as there; an image fits if it has one of them.
        data_type: as there.

    Returns:
        Paths in the order of the assets, as `satimnet.builder.gdal_path` gives them.
    """
    images = [asset for asset in item["assets"].values() if _is_image(asset)]
    formats = {known_format(name) for name in _listed(file_format)}
    for wanted, values_of in (
        (formats, _formats),
        (set(_listed(band_count)), lambda asset: {len(asset["bands"])}),
        (set(_listed(bands)), lambda asset: {band.get("name") for band in asset["bands"]}),
        (set(_listed(data_type)), lambda asset: {asset.get("data_type")}),
    ):
        images = _fitting(images, wanted, values_of)
    return [path for asset in images for path in _paths(asset)]


def asset_paths(item: Json, keys: Collection[str]) -> list[str]:
    """Paths of the files of an Item's assets of these keys, in their order, as `image_paths`."""
    return [path for key in keys if key in item["assets"] for path in _paths(item["assets"][key])]


def _fitting(
    images: list[Json], wanted: set[Any], values_of: Callable[[Json], set[Any]]
) -> list[Json]:
    """The images that have one of the values wanted; all where none has, or nothing is wanted."""
    return [asset for asset in images if wanted & values_of(asset)] or images


def _is_image(asset: Json) -> bool:
    return bool(asset.get("bands")) and NO_IMAGE_ROLES.isdisjoint(asset.get("roles", ()))


def _formats(asset: Json) -> set[str]:
    return {format_of(file.get("type", "")) for file in asset.get("archive") or [asset]}


def _listed(values: Sequence[Any] | str | int | None) -> Sequence[Any]:
    if values is None:
        return ()
    return [values] if isinstance(values, str | int) else values


def _paths(asset: Json) -> list[str]:
    return [gdal_path(asset, member) for member in range(len(asset.get("archive") or [asset]))]
