"""GeoCroissant: what a Croissant description says of place, resolution and bands.

The terms are those of https://docs.mlcommons.org/croissant/docs/croissant-geo-spec.html (1.0);
boxes and times are schema.org's, as the specification asks. It demands a reference system, a
resolution and bands, so only collections that have all three say that they conform to it.
"""

from __future__ import annotations

from collections.abc import Sequence

from satimnet.builder.catalog.collection_document import Band, CollectionDocument, ItemAsset
from satimnet.builder.imagery.lonlat import flat, spans
from satimnet.builder.types import Json

CONFORMS_TO = "http://mlcommons.org/croissant/geo/1.0"
NAMESPACE = "http://mlcommons.org/croissant/geo/"
_FOOTPRINTS = "EPSG:4326"  # of the geometries in items.parquet
_NANOMETRES = 1000  # in a micrometre


def of_dataset(document: CollectionDocument) -> Json:
    """The terms of the whole dataset, as far as the Collection knows them.

    Where images have several reference systems, such as UTM zones, the dataset's is that of the
    footprints, and each record names that of its image.
    """
    codes = [code for code in document.summary("proj:code") if isinstance(code, str)]
    found: Json = {}
    if codes:
        found["geocr:coordinateReferenceSystem"] = codes[0] if len(codes) == 1 else _FOOTPRINTS
    if resolution := _resolution(document.summary("gsd")):
        found["geocr:spatialResolution"] = resolution
    return found | of_bands(_main_bands(document.images))


def conforms(terms: Json) -> bool:
    """Whether these terms of a dataset are all that GeoCroissant demands."""
    demanded = ("coordinateReferenceSystem", "spatialResolution", "bandConfiguration")
    return all(f"geocr:{term}" in terms for term in demanded)


def of_bands(bands: Sequence[Band]) -> Json:
    """The terms of an image's bands, in the order of the file; nothing where there are none."""
    if not bands:
        return {}
    found: Json = {
        "geocr:bandConfiguration": {
            "@type": "geocr:BandConfiguration",
            "geocr:totalBands": len(bands),
            # so named in the text; its Turtle file has bandNamesList, which no example uses
            "geocr:bandNameList": [band.name for band in bands],
        }
    }
    spectral = [_spectral(band) for band in bands if band.center_wavelength is not None]
    return found | ({"geocr:spectralBandMetadata": spectral} if spectral else {})


def coverage(document: CollectionDocument) -> Json:
    """Where and when, in schema.org's terms: boxes are south, west, north and east."""
    west, south, east, north = flat(document.box)
    start, end = document.interval
    boxes = [{"@type": "GeoShape", "box": f"{south} {w} {north} {e}"} for w, e in spans(west, east)]
    return {
        "spatialCoverage": {"@type": "Place", "geo": boxes[0] if len(boxes) == 1 else boxes},
        "temporalCoverage": f"{start or '..'}/{end or '..'}",
    }


def _main_bands(images: Sequence[ItemAsset]) -> tuple[Band, ...]:
    """The bands of the image that has most; of files with one band each, those of all."""
    most = max((image.bands for image in images), key=len, default=())
    if len(most) > 1:
        return most
    return tuple(band for image in images for band in image.bands)


def _spectral(band: Band) -> Json:
    found: Json = {
        "@type": "geocr:SpectralBand",
        "name": band.name,
        "geocr:centerWavelength": _wavelength(band.center_wavelength or 0),
    }
    if band.full_width_half_max is not None:
        found["geocr:bandwidth"] = _wavelength(band.full_width_half_max)
    return found


def _wavelength(micrometres: float) -> Json:
    return _quantity("nm", value=round(micrometres * _NANOMETRES, 3))


def _resolution(metres: Sequence[object]) -> Json | None:
    known = [value for value in metres if isinstance(value, int | float) and value > 0]
    if not known:
        return None
    low, high = min(known), max(known)
    if low == high:
        return _quantity("m", value=low)
    return _quantity("m", minValue=low, maxValue=high)


def _quantity(unit: str, **values: float) -> Json:
    return {"@type": "QuantitativeValue", **values, "unitText": unit}
