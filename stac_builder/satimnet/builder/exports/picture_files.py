"""Picture files: which images of a collection a library for pictures opens as they are.

Pillow reads JPEG and PNG, and TIFF as far as its modes go: three or four bands of 8 bits, or one
band (https://pillow.readthedocs.io/en/stable/handbook/concepts.html#concept-modes). It cuts 16 bits
a band of a coloured PNG to 8, and refuses a TIFF of 13 bands.
"""

from __future__ import annotations

from satimnet.builder.catalog.collection_document import ItemAsset

_COLOURED = (3, 4)  # bands
_OF_ONE_BAND = {
    "image/png": frozenset({"uint8", "uint16"}),
    "image/tiff": frozenset({"uint8", "uint16", "float32"}),
}


def type_of(asset: ItemAsset) -> str:
    """Media type of the asset's file, without parameters; empty where it is not known."""
    return (asset.member_type or asset.media_type or "").partition(";")[0]


def is_picture(asset: ItemAsset) -> bool:
    """Whether Pillow gives all pixels of the asset's files as they are."""
    kind = type_of(asset)
    if kind == "image/jpeg":
        return True
    if kind not in _OF_ONE_BAND:
        return False
    types = {band.data_type for band in asset.bands}
    if len(asset.bands) in _COLOURED:
        return types == {"uint8"}
    return len(asset.bands) == 1 and types <= _OF_ONE_BAND[kind]
