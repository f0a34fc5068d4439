"""Sentinel-2 products as their publisher hands them out: SAFE folders of Level-1C and Level-2A.

Names and fields are those of the Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD,
issue 14.9 and later, in force since processing baseline 04.00).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

from satimnet.builder.errors import BadFileError

_METADATA = ("MTD_MSIL1C.xml", "MTD_MSIL2A.xml")
_LARGEST = 16 * 1024**2
"""Bytes of a metadata file; real ones have some 50,000."""
_BAND_IDS = (
    *("B01", "B02", "B03", "B04", "B05", "B06", "B07"),
    *("B08", "B8A", "B09", "B10", "B11", "B12"),
)
"""Bands by their `band_id` in the metadata."""
_OFFSETS_SINCE = 4.0
"""Processing baseline from which on stored values are shifted, so that none is negative."""
_IMAGE = re.compile(r"_(B\d\d|B8A)(?:_(\d\d)m)?\.jp2")


@dataclass(frozen=True)
class Product:
    """What the metadata of a product says about its images.

    images: file of each band, at its finest resolution. quantification: stored values of a
    reflectance of 1. offsets: of each band, to add to its stored values. sensed: RFC 3339.
    """

    metadata: Path
    level: str
    baseline: str
    sensed: str
    images: dict[str, Path]
    quantification: float
    offsets: dict[str, float]


def is_product(path: Path) -> bool:
    """Whether a path is a SAFE folder, or the metadata file in one."""
    return path.name in _METADATA or path.is_dir()


def open_product(path: Path) -> Product:
    """Reads the metadata of a product, given its folder or the metadata file in it.

    Raises `BadFileError` when the folder is no product, holds several granules, or the metadata
    cannot be understood.
    """
    folder = path.parent if path.name in _METADATA else path
    found = [folder / name for name in _METADATA if (folder / name).is_file()]
    if len(found) != 1:
        raise BadFileError(
            str(folder), f"no Sentinel-2 product (one of {' and '.join(_METADATA)} must lie in it)"
        )
    granules = sorted(granule for granule in folder.glob("GRANULE/*") if granule.is_dir())
    if len(granules) != 1:
        raise BadFileError(
            str(folder), f"{len(granules)} granules, expected one; give one tile's bands as a VRT"
        )
    try:
        return _parsed(found[0], dict(_finest(granules[0])))
    except (ElementTree.ParseError, OSError, ValueError) as error:
        raise BadFileError(str(found[0]), f"no metadata of Sentinel-2 ({error})") from error


def _parsed(file: Path, images: dict[str, Path]) -> Product:
    if file.stat().st_size > _LARGEST:
        raise ValueError("too large")
    root = ElementTree.parse(file).getroot()
    prefix = "BOA_" if "L2A" in file.name else ""
    offsets = {
        _BAND_IDS[int(node.get("band_id", ""))]: float(node.text or "")
        for node in root.iter("BOA_ADD_OFFSET" if prefix else "RADIO_ADD_OFFSET")
    }
    baseline = _text(root, "PROCESSING_BASELINE")
    if float(baseline) >= _OFFSETS_SINCE and not offsets:
        raise ValueError(f"processing baseline {baseline} without offsets")
    sensed = _text(root, "PRODUCT_START_TIME")
    if datetime.fromisoformat(sensed).tzinfo is None:
        raise ValueError(f"time without zone: {sensed}")
    return Product(
        metadata=file,
        level=_text(root, "PROCESSING_LEVEL").replace("Level-", "L"),
        baseline=baseline,
        sensed=sensed,
        images=images,
        quantification=float(_text(root, f"{prefix}QUANTIFICATION_VALUE")),
        offsets=offsets,
    )


def _text(root: ElementTree.Element, name: str) -> str:
    text = next((node.text for node in root.iter(name)), None)
    if not text:
        raise ValueError(f"{name} is missing")
    return text.strip()


def _finest(granule: Path) -> Iterator[tuple[str, Path]]:
    """Bands and their files; a band that Level-2A has at several resolutions comes finest last."""
    found = []
    for file in granule.glob("IMG_DATA/**/*.jp2"):
        match = _IMAGE.search(file.name)
        if match is not None:
            found.append((match[1], -int(match[2] or 0), file))
    for band, _, file in sorted(found):
        yield band, file
