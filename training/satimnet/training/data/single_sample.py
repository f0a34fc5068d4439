"""One sample by itself: its pixels, mask and objects, read when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import orjson

from satimnet.builder.arguments import checked
from satimnet.builder.catalog.rows_to_items import items_of
from satimnet.builder.chipping.chip_grid import Window
from satimnet.builder.chipping.clipping import MIN_INSIDE, Clipper
from satimnet.builder.imagery.annotations import is_in_pixels, objects_in
from satimnet.builder.samples import Object
from satimnet.builder.storage.assets import read_bytes
from satimnet.builder.types import Json
from satimnet.training.data.array_types import Array
from satimnet.training.data.layouts import Layout, locate, locate_all, locate_mask
from satimnet.training.data.pixels import Reader
from satimnet.training.data.sample_table import Collection, SampleTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False, eq=False)
class Sample:
    """One of the samples that a search found, as ``samples[0]`` gives it.

    Nothing is read before it is asked for, and then it is kept.

    Attributes:
        row: The sample as a table of one row.

    Example:
        >>> from satimnet.training import open_samples
        >>> samples = open_samples("catalog").search(collections=["eurosat"], classes="River")
        >>> sample = samples[0]
        >>> sample.collection, sample.classes, sample.image.shape, sample.bands[:2]
        ('eurosat', ('River',), (13, 64, 64), ('B01', 'B02'))
    """

    row: SampleTable

    def __repr__(self) -> str:
        """One line; the pixels are not read for it."""
        said = ", ".join(self.classes) if self.classes is not None else "not said"
        return f"<Sample: {self.id} of {self.collection}; classes: {said or 'none'}>"

    @property
    def id(self) -> str:
        """Id of its Item."""
        return self.row.ids[0]

    @property
    def collection(self) -> str:
        """Name of its collection."""
        return str(self.row.table["collection"][0].as_py())

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of its classes; None where the catalog does not say."""
        names = self.row.table["satimnet:classes"][0].as_py()
        return None if names is None else tuple(names)

    @property
    def titles(self) -> tuple[str, ...]:
        """Titles of its classes, for people."""
        labels = {row.name: row.label for row in self._home.document.classes}
        return tuple(labels.get(name, name) for name in self.classes or ())

    @property
    def split(self) -> str | None:
        """ "train", "validation" or "test"; None where there is none."""
        return self.row.splits[0]

    @cached_property
    def item(self) -> Json:
        """Its Item as JSON, with absolute hrefs."""
        return item_of(self.row)

    @property
    def properties(self) -> Mapping[str, Any]:
        """All that its Item says: time, country, statistics and so on."""
        properties: Mapping[str, Any] = self.item["properties"]
        return properties

    @property
    def footprint(self) -> Json | None:
        """Where it lies, as GeoJSON in degrees; None where nobody knows."""
        footprint: Json | None = self.item["geometry"]
        return footprint

    @cached_property
    def _finest(self) -> Layout:
        """Where the bands lie that are read where nobody names any."""
        return locate_all(self.row, None)[0]

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands of `image`, in its order."""
        return self._finest.bands

    @cached_property
    def image(self) -> Array:
        """The stored values (band, y, x) of its image with most bands.

        Where each band is a file of its own, they are those of the finest bands; `read` gives the
        others.

        Raises:
            SatimnetError: As `Samples.to_batches`.
        """
        return _pixels(self._finest)

    @checked()
    def read(self, bands: Sequence[str]) -> Array:
        """Gives the stored values of some bands.

        Args:
            bands: Names of bands of one size, in the order wanted.

        Returns:
            The values (band, y, x), of the type of the files.

        Raises:
            SatimnetError: As `Samples.to_batches`.

        Example:
            >>> from satimnet.training import open_samples
            >>> sample = open_samples("catalog").search(collections=["eurosat"])[0]
            >>> red, infrared = sample.read(["B04", "B08"])
            >>> red.shape
            (64, 64)
        """
        return _pixels(locate(self.row, bands))

    @cached_property
    def mask(self) -> Array | None:
        """Its label raster, uint8 (y, x), in the values of the class table; None without one.

        Raises:
            SatimnetError: As `Samples.to_batches`.
        """
        for asset in self._home.document.masks:
            if asset.key in self.item["assets"]:
                mask: Array = _pixels(locate_mask(self.row, asset.key))[0]
                return mask
        return None

    @cached_property
    def objects(self) -> tuple[Object, ...] | None:
        """Its objects, in pixels of the image that was annotated; None where nobody has.

        Where a sample has images of several sizes, it is the one that the mask has the size of.
        Where samples are cropped, objects are cut as by `Samples.to_batches`.

        Raises:
            SatimnetError: Their file cannot be read.
        """
        for asset in self._home.document.annotations:
            if asset.key not in self.item["assets"]:
                continue
            data = read_bytes(self.item["assets"][asset.key])
            if is_in_pixels(orjson.loads(data)):  # others are in degrees
                found = objects_in(data, f"{self.id}: {asset.key}")
                return found if self.row.crop is None else self._inside(found)
        return None

    @checked()
    def plot(
        self,
        *,
        overlay: Literal["auto", "mask", "objects"] | None = "auto",
        bands: Sequence[str] | None = None,
    ) -> Figure:
        """Draws it as `Samples.plot` draws several.

        Args:
            overlay: "mask" or "objects" are drawn over the image; "auto" takes objects, else the
                mask. None draws the image alone.
            bands: Names of one band or of three, shown as red, green and blue.

        Returns:
            A figure of matplotlib.

        Raises:
            SatimnetError: It cannot be read, or has not what is to be drawn over it.
        """
        from satimnet.training.plot.figures import draw_items

        pairs = [(self.item, self._home.document)]
        return draw_items(pairs, overlay=overlay, bands=bands, crop=self.row.crop)

    @property
    def _home(self) -> Collection:
        return self.row.collections[self.collection]

    def _inside(self, objects: Sequence[Object]) -> tuple[Object, ...]:
        """Those of the objects that lie in the middle that is read."""
        assert self.row.crop is not None
        rows, columns = self.row.crop
        height, width = self.properties["proj:shape"]
        left, top = (width - columns) // 2, (height - rows) // 2
        return Clipper(objects).inside(Window(left, top, columns, rows), MIN_INSIDE)


def sample_at(samples: SampleTable, number: int) -> Sample:
    """One of the samples, by its number from 0; of the collections it has its own."""
    row = samples.slice(number, 1)
    name = row.table["collection"][0].as_py()
    return Sample(replace(row, collections={name: row.collections[name]}))


def item_of(row: SampleTable) -> Json:
    """The Item of a table of one row, as JSON with absolute hrefs.

    Raises:
        BadCatalogError: The row is no Item.
    """
    base = row.table["parquet"][0].as_py()
    (item,) = items_of(row.table.drop_columns(["parquet"]), base)
    return item


def _pixels(layout: Layout) -> Array:
    """Stored values (band, y, x) of a layout of one sample."""
    out = np.empty(layout.buffer_shape(1), layout.dtype)
    with Reader(layout) as reader:
        reader.read(np.zeros(1, np.int64), out)
    values: Array = np.ascontiguousarray(out.transpose(layout.public_axes)[0])
    return values
