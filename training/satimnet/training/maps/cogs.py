"""Maps on disk: class values, written row by row, become cloud-optimised GeoTIFFs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from satimnet.builder.errors import StorageError
from satimnet.builder.imagery.encoding import COG_TYPE, write_cog
from satimnet.builder.imagery.scenes import Scene
from satimnet.builder.storage.atomic_files import settle
from satimnet.training.maps.legends import Entry, Legend

MEDIA_TYPE = COG_TYPE
_CACHE = 256 * 1024**2
"""Bytes of blocks that GDAL keeps while it makes overviews."""


class GrowingMap:
    """The rows of a map that are done, in a hidden file beside the map that they become.

    A killed run leaves the file, and the next run of the same digest continues it. Files that
    other runs left for the same map are deleted.

    Args:
        target: The map.
        scene: What is mapped.
        digest: What the map is made of: the scene and the networks.
    """

    def __init__(self, target: Path, scene: Scene, digest: str) -> None:
        self.target = target
        self.scene = scene
        self._rows = target.with_name(f".{target.name}.{digest}.partial")
        for other in target.parent.glob(f".{target.name}.*"):
            if other.is_dir():
                shutil.rmtree(other)
            elif other != self._rows:
                other.unlink()
        self._rows.touch()

    @property
    def done(self) -> int:
        """The number of rows, from the top, that are there."""
        return self._rows.stat().st_size // self.scene.shape[1]

    def keep(self, rows: int) -> None:
        """Drops the rows after the first ``rows``."""
        os.truncate(self._rows, rows * self.scene.shape[1])

    def append(self, labels: NDArray[np.uint8]) -> None:
        """Adds rows of class values, (y, x)."""
        with self._rows.open("ab") as file:
            file.write(labels.tobytes())

    def discard(self) -> None:
        """Deletes the rows."""
        self._rows.unlink(missing_ok=True)

    def finish(self, legend: Legend) -> None:
        """Turns the rows into a COG of byte values with colour table, class names and overviews.

        An overview's pixel has the most frequent class of those it stands for. GeoTIFF has no
        field for names of classes, so GDAL looks for them in a file ``<map>.aux.xml``.

        Raises:
            StorageError: the map cannot be written.
        """
        import rasterio
        from rasterio.errors import RasterioError

        described = self._rows.with_suffix(".vrt")
        room = self._rows.with_suffix(".cog")  # rio-cogeo puts files beside the one it writes
        finished, names = room / "map.tif", room / "map.tif.aux.xml"
        try:
            room.mkdir()
            described.write_bytes(ElementTree.tostring(self._description(legend)))
            names.write_bytes(ElementTree.tostring(_names(legend)))
            options = {"num_threads": "ALL_CPUS"}
            with rasterio.Env(GDAL_CACHEMAX=_CACHE), rasterio.open(described) as image:
                write_cog(image, finished, "mode", in_memory=False, options=options)
            settle(names, Path(f"{self.target}.aux.xml"))
            settle(finished, self.target)
        except (RasterioError, OSError) as error:
            raise StorageError(f"{self.target}: cannot be written ({error})") from error
        finally:
            described.unlink(missing_ok=True)
            shutil.rmtree(room, ignore_errors=True)
        self.discard()

    def _description(self, legend: Legend) -> ElementTree.Element:
        """The rows as GDAL's virtual raster: https://gdal.org/en/stable/drivers/raster/vrt.html."""
        rows, columns = self.scene.shape
        root = ElementTree.Element("VRTDataset", rasterXSize=f"{columns}", rasterYSize=f"{rows}")
        ElementTree.SubElement(root, "SRS").text = self.scene.crs
        a, b, c, d, e, f = self.scene.transform
        transform = ", ".join(map(repr, (c, a, b, f, d, e)))  # in the order of GDAL
        ElementTree.SubElement(root, "GeoTransform").text = transform
        band = ElementTree.SubElement(
            root, "VRTRasterBand", dataType="Byte", band="1", subClass="VRTRawRasterBand"
        )
        source = ElementTree.SubElement(band, "SourceFilename", relativeToVRT="1")
        source.text = self._rows.name
        for key, number in (("ImageOffset", 0), ("PixelOffset", 1), ("LineOffset", columns)):
            ElementTree.SubElement(band, key).text = str(number)
        ElementTree.SubElement(band, "NoDataValue").text = str(legend.nodata)
        ElementTree.SubElement(band, "ColorInterp").text = "Palette"
        colours = ElementTree.SubElement(band, "ColorTable")
        for entry in _entries(legend):
            parts = (*entry.colour, 255) if entry else (0, 0, 0, 0)
            numbered = {f"c{n}": str(part) for n, part in enumerate(parts, 1)}
            ElementTree.SubElement(colours, "Entry", numbered)
        return root


def _entries(legend: Legend) -> list[Entry | None]:
    """The entry of each value from 0 on; None where there is none, as for nodata."""
    known = {entry.value: entry for entry in legend.entries}
    return [known.get(value) for value in range(max(*known, legend.nodata) + 1)]


def _names(legend: Legend) -> ElementTree.Element:
    """The names of the classes as GDAL keeps them: https://gdal.org/en/stable/user/pam.html."""
    root = ElementTree.Element("PAMDataset")
    band = ElementTree.SubElement(root, "PAMRasterBand", band="1")
    categories = ElementTree.SubElement(band, "CategoryNames")
    for value, entry in enumerate(_entries(legend)):
        title = "No data" if value == legend.nodata else entry.title if entry else ""
        ElementTree.SubElement(categories, "Category").text = title
    ElementTree.indent(root)
    return root
