"""Chip samples: the chips of each Item of a collection; their files are made when they are packed.

Objects are read while the chips are planned, for which chips are empty must be known then. Where a
mask is all there is, it is read for that as well, and only if empty chips are thinned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.catalog.item_columns import common_properties
from satimnet.builder.chipping.chip_files import Chip, Scene
from satimnet.builder.chipping.chip_grid import Window, windows
from satimnet.builder.chipping.chip_options import ChipOptions
from satimnet.builder.chipping.clipping import Clipper
from satimnet.builder.errors import ArgumentError, BadFileError
from satimnet.builder.imagery.annotations import is_in_pixels, objects_in
from satimnet.builder.imagery.grids import Grid
from satimnet.builder.query.item_origins import file_of, grid_of, have_files, origin_of, time_text
from satimnet.builder.samples import Member, Object, Problem, Sample
from satimnet.builder.storage.assets import read_bytes
from satimnet.builder.storage.checked_offsets import number_type
from satimnet.builder.storage.hrefs import is_url, public, relative

if TYPE_CHECKING:
    import pyarrow as pa

    from satimnet.builder.query.index import IndexedCollection

_HEAD = ("type", "stac_version", "stac_extensions", "id", "geometry", "bbox", "links", "assets")
_NOT_CARRIED = frozenset({*_HEAD, "collection", "parquet"})


@dataclass
class Counts:
    """How many chips there were; grows while samples are made."""

    scenes: int = 0
    chips: int = 0
    empty: int = 0
    """Of them, those without an object or a class."""
    thinned: int = 0
    """Empty ones that were left out."""


@dataclass(frozen=True)
class Cutting:
    """What is cut, of which collection."""

    options: ChipOptions
    home: IndexedCollection
    table: pa.Table
    """Rows of ``items.parquet``."""
    images: tuple[str, ...]
    masks: tuple[str, ...]
    annotations: Mapping[str, str]
    """Keys of files of objects: ``annotation`` (in pixels) or ``annotation-lonlat``."""
    fields: Mapping[str, Any]
    """Types of the properties that are carried on."""
    other_bands: Mapping[str, tuple[tuple[str, ...], ...]]
    counts: Counts = field(default_factory=Counts)

    @classmethod
    def of(cls, options: ChipOptions, home: IndexedCollection, table: pa.Table) -> Cutting:
        """What is cut of the rows of a collection.

        Raises:
            ArgumentError: it has no images.
        """
        document = home.document
        present = _present(table)
        images = tuple(image.key for image in document.images if image.key in present)
        masks = tuple(mask.key for mask in document.masks if mask.key in present)
        if not images:
            raise ArgumentError(f"{home.id}: has no images to cut; choose another", "collection")
        annotations = {
            asset.key: _kind_of(home, table, asset.key)
            for asset in document.annotations
            if asset.key in present
        }
        if "annotation" not in annotations.values():
            annotations = {}
        return cls(
            options,
            home,
            table,
            images,
            masks,
            annotations,
            _carried(table),
            {key: found for key in images if (found := _other_bands(home, table, key))},
        )

    @property
    def timed(self) -> list[str]:
        """Keys of the images that have times of their own, as those of a second sensor."""
        assets = self.table["assets"].type
        return [key for key in self.images if assets[key].type.get_field_index("datetime") >= 0]

    def samples(self, folder: str) -> Iterator[Sample | Problem]:
        """The chips; ``folder`` is the place of a version of the collection that they go to."""
        numbers = range(0, len(self.table), 256)
        first = self.table.slice(0, 1).to_pylist()
        own_files = have_files(first, self.home.parquet)
        for start in numbers:
            for row in self.table.slice(start, 256).to_pylist():
                try:
                    yield from self._of_item(row, folder, own_files)
                except BadFileError as error:
                    yield Problem(error.path, error.reason, error.kind)

    def _of_item(
        self, row: Mapping[str, Any], folder: str, own_files: bool
    ) -> Iterator[Sample | Problem]:
        label = f"{self.home.id}/{row['id']}"
        options, counts = self.options, self.counts
        there = [key for key in self.images if row["assets"].get(key)]
        if not there:
            yield Problem(label, "has no image", "incomplete")
            return
        grid = grid_of(row, there[0], label)
        scenes = {}
        for key in (*there, *(key for key in self.masks if row["assets"].get(key))):
            own = grid_of(row, key, label)
            if own.shape != grid.shape:
                reason = f"{key} has {own.shape} pixels, {there[0]} {grid.shape}; not cut"
                yield Problem(label, reason, "incomplete")
                continue
            scenes[key] = self._scene(row, key, own.shape, label)
        objects = self._objects(row, label)
        clipper = None if objects is None else Clipper(objects)
        masks = [scene for key, scene in scenes.items() if key in self.masks]
        counts.scenes += 1
        origin, kind = origin_of(row, self.home.parquet, own_files=own_files)
        link = {
            "rel": "derived_from",
            "href": relative(public(origin, self.home.href), folder),
            "type": kind,
        }
        links = (link,) if is_url(origin) or not is_url(folder) else ()
        level = _level_of(row)
        own_times = {key: row["assets"][key]["datetime"] for key in self.timed if key in scenes}
        times = {key: time for key, time in own_times.items() if time is not None}
        for window in windows(grid.shape, options.size, options.overlap):
            id_ = f"{row['id']}_y{window.top}_x{window.left}"
            inside = None if clipper is None else clipper.inside(window, options.min_inside)
            counts.chips += 1
            if _is_empty(inside, masks, window, look=options.keep_empty < 1):
                counts.empty += 1
                if not options.keeps(id_):
                    counts.thinned += 1
                    continue
            yield Sample(
                id_,
                level,
                tuple(self._members(scenes, window, grid, "/".join((*level, id_)))),
                None if inside is not None or masks else _classes(row),
                row.get("satimnet:split"),
                inside,
                time_text(row.get("datetime")),
                self._properties(row, window),
                links,
                times,
            )

    def _members(
        self, scenes: Mapping[str, Scene], window: Window, grid: Grid, path: str
    ) -> Iterator[Member]:
        own = _moved(grid, window)
        table = tuple(self.home.document.class_table)
        for number, (key, scene) in enumerate(scenes.items()):
            classes = None
            if key in self.masks:
                given = self.home.document.json["item_assets"][key]
                classes = tuple(given.get("classification:classes", table))
            name = f"{path}.tif" if number == 0 else f"{path}_{key}.tif"
            deflate = self.options.compression == "deflate"
            yield Member(key, name, Chip(scene, window, own, classes, deflate))

    def _scene(self, row: Mapping[str, Any], key: str, shape: tuple[int, int], label: str) -> Scene:
        asset = row["assets"][key]
        home = self.home
        where = file_of(home, asset)
        described = asset["archive"][0] if asset.get("archive") else asset
        dtype = number_type(home.document.item_assets[key].data_type, label).name
        bands = asset.get("bands") or home.document.item_assets[key].bands
        type_ = described.get("type") or ""
        checksum = described.get("file:checksum") or ""
        return Scene(label, where, type_, shape, len(bands), dtype, checksum)

    def _objects(self, row: Mapping[str, Any], label: str) -> tuple[Object, ...] | None:
        """The objects of an Item; None where nobody has annotated."""
        for key, kind in self.annotations.items():
            if kind == "annotation" and row["assets"].get(key):
                return objects_in(read_bytes(file_of(self.home, row["assets"][key])), label)
        return None

    def _properties(self, row: Mapping[str, Any], window: Window) -> dict[str, Any]:
        properties = {key: row[key] for key in self.fields if row.get(key) is not None}
        if row.get("satimnet:fold") is not None:
            properties["satimnet:fold"] = row["satimnet:fold"]
        if row.get("datetime") is None:
            ends = ("start_datetime", "end_datetime")
            properties |= {key: time_text(row[key]) for key in ends if row.get(key) is not None}
        return properties | {
            "satimnet:source": self.home.id,
            "chip:item": row["id"],
            "chip:row": window.top,
            "chip:column": window.left,
        }


def _is_empty(
    inside: Sequence[Object] | None, masks: Sequence[Scene], window: Window, *, look: bool
) -> bool:
    """Whether a chip is known to have no object and no class."""
    if inside is not None:
        return not inside
    return bool(look and masks) and not any(np.any(mask.read(window)) for mask in masks)


def _moved(grid: Grid, window: Window) -> Grid:
    """The grid of a window."""
    shape = (window.height, window.width)
    if grid.transform is None:
        return Grid(shape, grid.crs, None)
    a, b, c, d, e, f = grid.transform
    x, y = window.left, window.top
    return Grid(shape, grid.crs, (a, b, a * x + b * y + c, d, e, d * x + e * y + f))


def _kind_of(home: IndexedCollection, table: pa.Table, key: str) -> str:
    """Whether files of objects are in pixels or in degrees, as the first of them says."""
    import orjson
    import pyarrow.compute as pc

    column = pc.struct_field(table["assets"], [key])
    asset = pc.drop_null(column)[0].as_py()
    try:
        pixels = is_in_pixels(orjson.loads(read_bytes(file_of(home, asset))))
    except ValueError:
        pixels = False
    return "annotation" if pixels else "annotation-lonlat"


def _present(table: pa.Table) -> set[str]:
    """Keys of the assets that some of the rows have."""
    import pyarrow.compute as pc

    assets = table["assets"]
    return {
        one.name
        for one in assets.type
        if pc.struct_field(assets, [one.name]).null_count < len(table)
    }


def _carried(table: pa.Table) -> dict[str, Any]:
    """The properties that only some datasets have, with their types as ``[fields]`` has them."""
    found = {}
    known = _NOT_CARRIED | {*common_properties()}
    for one in table.schema:
        kind = _json_type(one.type)
        if one.name not in known and kind is not None:
            found[one.name] = kind
    return found


def _json_type(type_: pa.DataType) -> Any:
    import pyarrow as pa

    if pa.types.is_list(type_):
        inner = _json_type(type_.value_type)
        return [inner] if isinstance(inner, str) else None
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return "string"
    if pa.types.is_boolean(type_):
        return "boolean"
    if pa.types.is_integer(type_):
        return "integer"
    return "number" if pa.types.is_floating(type_) else None


def _other_bands(home: IndexedCollection, table: pa.Table, key: str) -> tuple[tuple[str, ...], ...]:
    """The lists of bands that images have and that are not those of the collection."""
    import pyarrow.compute as pc

    usual = home.document.item_assets[key].band_names
    column = pc.struct_field(table["assets"], [key])
    if column.type.get_field_index("bands") < 0:
        return ()
    lists = pc.struct_field(column, ["bands"]).to_pylist()
    found = {tuple(band["name"] for band in bands) for bands in lists if bands}
    return tuple(sorted(found - {usual}))


def _level_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The nodes of the tree that lead to an Item."""
    links = row["links"] or ()
    parent = next((link["href"] for link in links if link["rel"] == "parent"), "")
    return tuple(part for part in parent.removeprefix("./").split("/")[:-1] if part != "..")


def _classes(row: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The classes of the whole image, where it was labelled as a whole."""
    found = row.get("satimnet:classes")
    return None if found is None else tuple(found)
