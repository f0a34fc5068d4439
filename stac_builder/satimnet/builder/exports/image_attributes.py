"""Attributes of the images as the paper's Table 3 words them: bands, sizes, formats and so on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from satimnet.builder.catalog.collection_document import Band, CollectionDocument, ItemAsset
from satimnet.builder.exports.attributes import (
    Attribute,
    either,
    product,
    words,
    yes_or_no,
)

_FORMATS = {"image/png": "png", "image/jpeg": "jpg", "image/tiff": "TIFF", "image/jp2": "jp2"}


@dataclass(frozen=True, slots=True)
class Edition:
    """The images of a sample: one file with all bands, or one file for each band."""

    assets: tuple[ItemAsset, ...]

    @property
    def bands(self) -> list[Band]:
        """The bands of all files."""
        return [band for asset in self.assets for band in asset.bands]

    @property
    def is_rgb(self) -> bool:
        """Whether the bands are red, green and blue."""
        names = {(band.common_name or band.name).lower() for band in self.bands}
        return names == {"red", "green", "blue"}

    @property
    def name(self) -> str:
        """What tells it from other editions: ``RGB``, ``13-band``."""
        return "RGB" if self.is_rgb else f"{len(self.bands)}-band"


def editions_of(collection: CollectionDocument) -> list[Edition]:
    """The editions; files with a single band make one, which is the last."""
    single = tuple(asset for asset in collection.images if len(asset.bands) == 1)
    editions = [Edition((asset,)) for asset in collection.images if len(asset.bands) > 1]
    return [*editions, Edition(single)] if single else editions


def labelled(values: Mapping[str, str], editions: int) -> list[str]:
    """Values by the name of their edition, with that name if there are several editions."""
    return [f"{name}: {text}" if editions > 1 else text for name, text in values.items()]


def _each(of_edition: Callable[[Edition], str]) -> Callable[[CollectionDocument], str]:
    """The value of the only edition, or each with the edition's name before it."""

    def value(collection: CollectionDocument) -> str:
        editions = editions_of(collection)
        found = {e.name: text for e in editions if (text := of_edition(e))}
        return "; ".join(labelled(found, len(editions)))

    return value


def _spatial(collection: CollectionDocument) -> str:
    bands = {band.gsd for edition in editions_of(collection) for band in edition.bands}
    known = {gsd for gsd in bands if gsd is not None}
    found = sorted(known or collection.summary("gsd"))
    if not known and isinstance(span := collection.json.get("summaries", {}).get("gsd"), Mapping):
        return f"variable, {span['minimum']:g} m to {span['maximum']:g} m"
    if len(found) > 4:
        return f"variable, {found[0]:g} m to {found[-1]:g} m"
    return "; ".join(f"{value:g} m" for value in found)


def _spectral(collection: CollectionDocument) -> tuple[str, str]:
    """From the edition that says it of most bands; its bands are a note."""
    known = [
        [(b, b.center_wavelength) for b in edition.bands if b.center_wavelength is not None]
        for edition in editions_of(collection)
    ]
    bands = max(known, key=len, default=[])
    if not bands:
        return "", ""
    centres = [centre for _, centre in bands]
    listed = [
        f"{band.name} {centre:g} µm{_width(band.full_width_half_max)}" for band, centre in bands
    ]
    text = f"{len(bands)} bands, {min(centres):.3g} to {max(centres):.3g} µm"
    return text, ", ".join(listed)


def _width(micrometres: float | None) -> str:
    return "" if micrometres is None else f" ({micrometres * 1000:g} nm wide)"


def _imagery(collection: CollectionDocument) -> str:
    georeferenced = collection.json.get("satimnet:georeferenced")
    parts = [
        str(collection.json.get("satimnet:original_imagery", "")),
        either(georeferenced, "geo-referenced", "non geo-referenced"),
    ]
    return "; ".join(filter(None, parts))


def _format(edition: Edition) -> str:
    """The format of the images, which are members of an archive."""
    return ", ".join(dict.fromkeys(filter(None, map(_format_of, edition.assets))))


def _format_of(asset: ItemAsset) -> str:
    media_type = asset.member_type or asset.media_type or ""
    if media_type == "application/zip":
        return ""
    if "application=geotiff" in media_type:
        return "GeoTIFF (COG)" if "cloud-optimized" in media_type else "GeoTIFF"
    return _FORMATS.get(media_type, media_type)


def _dimensions(collection: CollectionDocument) -> str:
    """Of the files, else the smallest and the largest of those that occur."""
    fixed = _each(_dimensions_of)(collection)
    if fixed:
        return fixed
    shapes = sorted({tuple(shape) for shape in collection.summary("proj:shape")}, key=_area)
    if len(shapes) < 2:
        return "".join(map(_times, shapes))
    return f"from {_times(shapes[0])} to {_times(shapes[-1])}"


def _dimensions_of(edition: Edition) -> str:
    shapes = {
        (asset.shape, band.gsd)
        for asset in edition.assets
        if asset.shape is not None
        for band in asset.bands
    }
    ordered = sorted(shapes, key=lambda pair: (-_area(pair[0]), pair[1] or 0))
    grouped = [(s, [gsd for _, gsd in g]) for s, g in groupby(ordered, lambda pair: pair[0])]
    if len(grouped) == 1:
        return _times(grouped[0][0])
    return "; ".join(
        f"{_times(shape)} pixels for {', '.join(f'{gsd:g} m' for gsd in gsds)} bands"
        for shape, gsds in grouped
    )


def _times(shape: Sequence[int]) -> str:
    rows, columns = shape
    return f"{rows} × {columns}"  # noqa: RUF001


def _area(shape: Sequence[int]) -> int:
    rows, columns = shape
    return int(rows) * int(columns)


def _band_count(collection: CollectionDocument) -> str:
    editions = sorted(editions_of(collection), key=lambda e: len(e.bands), reverse=True)
    if len(editions) == 1:
        return str(len(editions[0].bands))
    return " & ".join(edition.name for edition in editions)


def _band_names(collection: CollectionDocument) -> tuple[str, str]:
    """``RGB``, and the bands of another instrument by its name; their own names are a note."""
    texts, notes = [], []
    product_name = product(collection)
    for edition in editions_of(collection):
        names = ", ".join(band.name for band in edition.bands)
        if edition.is_rgb:
            texts.append("RGB")
        elif product_name:
            texts.append(f"{product_name} bands")
            notes.append(names)
        else:
            texts.append(names)
    return "; ".join(texts), "; ".join(notes)


def _bits(edition: Edition) -> str:
    types = [band.data_type for band in edition.bands]
    return ", ".join(dict.fromkeys(_bits_of(data_type) for data_type in types if data_type))


def _bits_of(data_type: str) -> str:
    found = re.fullmatch(r"(u?int|c?float|c?int)(\d+)", data_type)
    if found is None:
        return data_type
    kind = {"uint": "", "int": " signed", "float": " float"}.get(found[1], f" {found[1]}")
    return f"{found[2]}-bits{kind}"


def _nodata(edition: Edition) -> str:
    values = [band.nodata for band in edition.bands if band.nodata is not None]
    return ", ".join(dict.fromkeys(v if isinstance(v, str) else f"{v:g}" for v in values))


INTRINSIC = (
    Attribute("Spatial resolution", ("gsd",), _spatial),
    Attribute("Spectral resolution", ("bands", "eo:center_wavelength"), _spectral),
    Attribute(
        "Temporal resolution",
        ("satimnet:temporal_resolution",),
        words("satimnet:temporal_resolution"),
    ),
    Attribute(
        "Type of original imagery",
        (
            "satimnet:original_imagery",
            "satimnet:georeferenced",
            "platform",
            "constellation",
            "instruments",
        ),
        _imagery,
    ),
    Attribute("Orientation", ("satimnet:orientation",), words("satimnet:orientation")),
    Attribute("File format", ("type",), _each(_format)),
    Attribute("Image dimensions (rows × cols)", ("proj:shape",), _dimensions),  # noqa: RUF001
    Attribute("Number of bands", (), _band_count),
    Attribute("Name of bands", ("bands",), _band_names),
    Attribute("Data type per band", ("data_type",), _each(_bits)),
    Attribute("No data value", ("nodata",), _each(_nodata)),
    Attribute("Metadata", ("satimnet:embedded_metadata",), yes_or_no("satimnet:embedded_metadata")),
)
"""The rows of Table 3, intrinsic image attributes."""
