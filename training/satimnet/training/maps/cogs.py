"""Maps on disk: class values, written row by row, become cloud-optimised GeoTIFFs."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from satimnet.builder.errors import SatimnetError
from satimnet.builder.storage.atomic_files import settle
from satimnet.training.maps.legends import Legend
from satimnet.training.maps.scenes import Scene

MEDIA_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
_BLOCK = 512
_CACHE = 256 * 1024**2
"""Bytes of blocks that GDAL keeps while it makes overviews."""


class GrowingMap:
    """The rows of a map that are done, in a hidden file beside the map that they become.

    A killed run leaves the file; a run of the same `digest` goes on with it. Files that are left
    of other runs for the same map are deleted.
    """

    def __init__(self, target: Path, scene: Scene, digest: str) -> None:
        self.target = target
        self.scene = scene
        self._rows = target.with_name(f".{target.name}.{digest}.partial")
        for other in target.parent.glob(f".{target.name}.*"):
            if other != self._rows:
                other.unlink()
        self._rows.touch()

    @property
    def done(self) -> int:
        """How many rows, from the top, are there."""
        return self._rows.stat().st_size // self.scene.shape[1]

    def keep(self, rows: int) -> None:
        """Forget what comes after that many rows."""
        os.truncate(self._rows, rows * self.scene.shape[1])

    def append(self, labels: NDArray[np.uint8]) -> None:
        """Add rows (y, x) of class values."""
        with self._rows.open("ab") as file:
            file.write(labels.tobytes())

    def discard(self) -> None:
        """Delete the rows."""
        self._rows.unlink(missing_ok=True)

    def finish(self, legend: Legend) -> None:
        """Turn the rows into a COG of byte values with colour table, class names and overviews.

        An overview's pixel has the most frequent class of those it stands for. GeoTIFF has no
        field for names of classes, so GDAL looks for them in a file `<map>.aux.xml`.
        https://docs.ogc.org/is/21-026/21-026.html
        """
        import rasterio
        from rasterio.errors import RasterioError
        from rasterio.shutil import copy

        described = self._rows.with_suffix(".vrt")
        finished = self._rows.with_suffix(".tif")
        names = Path(f"{finished}.aux.xml")
        try:
            described.write_bytes(ElementTree.tostring(self._description(legend)))
            with rasterio.Env(GDAL_CACHEMAX=_CACHE):
                copy(
                    described,
                    finished,
                    driver="COG",
                    compress="DEFLATE",
                    blocksize=_BLOCK,
                    overview_resampling="MODE",
                    num_threads="ALL_CPUS",
                )
            settle(names, Path(f"{self.target}.aux.xml"))
            settle(finished, self.target)
        except (RasterioError, OSError) as error:
            raise SatimnetError(f"{self.target}: cannot be written ({error})") from error
        finally:
            for file in (described, finished, names):
                file.unlink(missing_ok=True)
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
        categories = ElementTree.SubElement(band, "CategoryNames")
        colours = ElementTree.SubElement(band, "ColorTable")
        known = {entry.value: entry for entry in legend.entries}
        for value in range(max(*known, legend.nodata) + 1):
            entry = known.get(value)
            title = "No data" if value == legend.nodata else entry.title if entry else ""
            ElementTree.SubElement(categories, "Category").text = title
            parts = (*entry.colour, 255) if entry else (0, 0, 0, 0)
            numbered = {f"c{n}": str(part) for n, part in enumerate(parts, 1)}
            ElementTree.SubElement(colours, "Entry", numbered)
        return root
