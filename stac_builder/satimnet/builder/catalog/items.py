"""Packed samples described as STAC Items.

Items are plain dicts here. Their hrefs and links are relative to the folder of their version of
the collection, where ``items.parquet`` lies; `write_items` fits them to the folder of each Item
file.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from satimnet.builder.catalog.checked_documents import STAC_VERSION
from satimnet.builder.catalog.file_facts import FileFacts, bands_of
from satimnet.builder.catalog.item_columns import has_number_for_nodata
from satimnet.builder.imagery.footprints import Footprint, footprints_from, footprints_of
from satimnet.builder.imagery.headers import Header
from satimnet.builder.packing.sample_files import DATA_TYPES
from satimnet.builder.packing.shards import PackedMember, PackedSample, Shard, grid_of
from satimnet.builder.samples import Sample
from satimnet.builder.storage.hrefs import is_url
from satimnet.builder.vocabulary.concepts import (
    THEMES_URI,
    Scheme,
    concepts_by_class,
    concepts_of,
    themes_of,
)
from satimnet.extension import SCHEMA_URI

Item = dict[str, Any]

ARCHIVE_URI = "https://stac-extensions.github.io/archive/v1.0.0/schema.json"
FILE_URI = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
PROCESSING_URI = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
PROJECTION_URI = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"

ZIP_TYPE = "application/zip"
TOP = "../../catalog.json"
"""The catalog's file, from the folder of a version of a collection."""
SHARDS = "./../shards"
"""The folder of the shards of all its versions, from there."""
_KINDS = 256
SHA256 = "1220"  # multihash prefix: the function sha2-256 and a digest of 0x20 bytes


def matches(data: bytes, checksum: str) -> bool:
    """Whether the bytes have this ``file:checksum``.

    True as well if it is empty, or of another function than SHA-256.
    """
    return not checksum.startswith(SHA256) or checksum == SHA256 + hashlib.sha256(data).hexdigest()


def describe(shard: Shard, record: Mapping[str, Any]) -> list[Item]:
    """The Items of a shard's samples; ``record`` is the content of ``dataset.toml``.

    What many of them say is there once: no part of an Item may be changed.
    """
    describer = Describer(shard, record)
    return [describer.item(*sample) for sample in describer.samples()]


class Describer:
    """Describes the samples of a shard; what many of them say is made once."""

    def __init__(self, shard: Shard, record: Mapping[str, Any]) -> None:
        self._shard = shard
        self._record = record
        self._meanings = meanings_of(record, {packed.classes for packed in shard.samples})
        self._facts = FileFacts(record)
        self._assets = _PackedAssets(shard, record)

    def samples(self) -> Iterator[tuple[PackedSample, Header | None, Footprint | None]]:
        """The samples, each with its grid and its footprint."""
        footprints = footprints_from(*self._shard.corners)
        return zip(self._shard.samples, self._shard.grids, footprints, strict=True)

    def item(self, packed: PackedSample, grid: Header | None, footprint: Footprint | None) -> Item:
        """The Item of a sample, no part of which may be changed."""
        return _item(
            packed,
            grid,
            footprint,
            {
                m.asset: self._assets.of(m, grid) | _time_of(m, packed.sample)
                for m in packed.members
            },
            self._facts.of(packed.members) | self._meanings[packed.classes],
            self._record,
        )

    def is_image(self, member: PackedMember) -> bool:
        """Whether it is an image to learn from."""
        return self._facts.is_image(member)


def describe_files(packed: PackedSample, record: Mapping[str, Any]) -> Item:
    """The Item of a sample whose members are files of their own: their paths are the hrefs."""
    grid = grid_of(packed.members)
    assets = {}
    for member in packed.members:
        spec = record["assets"][member.asset]
        assets[member.asset] = {
            "href": member.path,
            "type": member.type or spec["type"],
            **_asset(member, grid, spec),
            **_file_info(member),
            **_time_of(member, packed.sample),
        }
        if member.header is not None:  # of a mask, the publisher's may differ from the shard's
            assets[member.asset]["data_type"] = DATA_TYPES[member.header.dtype[1:]]
    made = FileFacts(record).of(packed.members)
    made |= meanings_of(record, {packed.classes})[packed.classes]
    item = _item(packed, grid, footprints_of([grid])[0], assets, made, record)
    del item["collection"]  # STAC asks for a link to it, and there is no file to link to
    return item | {"links": [], "stac_extensions": item["stac_extensions"][1:]}


def _item(
    packed: PackedSample,
    grid: Header | None,
    footprint: Footprint | None,
    assets: dict[str, Any],
    made: Mapping[str, Any],
    record: Mapping[str, Any],
) -> Item:
    sample = packed.sample
    properties: dict[str, Any] = {"title": sample.id, "datetime": sample.datetime}
    if sample.datetime is None:
        # https://github.com/radiantearth/stac-spec/blob/v1.1.0/commons/common-metadata.md
        # (date and time) allows a null datetime where start and end are given.
        properties["start_datetime"] = record["start_datetime"]
        properties["end_datetime"] = record["end_datetime"]
    properties |= record["properties"] | sample.properties
    for name in [name for name, value in sample.properties.items() if value is None]:
        del properties[name]  # the record's, which is not true of this sample
    properties |= made
    if grid is not None:
        properties |= _projection(grid)
    if packed.statistics:
        properties["satimnet:statistics"] = list(packed.statistics)
    if sample.split is not None:
        properties["satimnet:split"] = sample.split
    item: Item = {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": extensions_of(properties, themes=bool(made.get("themes"))),
        "id": sample.id,
        "geometry": None,
        "properties": properties,
        "links": links_of(sample),
        "assets": assets,
        "collection": record["id"],
    }
    if footprint is not None:
        item["geometry"] = footprint.geometry
        item["bbox"] = footprint.bbox
    return item


def extensions_of(properties: Collection[str], *, themes: bool) -> list[str]:
    """The extensions that an Item with these properties uses; facts of its files are among them."""
    return list(_extensions(tuple(properties), themes))


@lru_cache(_KINDS)
def _extensions(properties: tuple[str, ...], themes: bool) -> list[str]:
    """As `extensions_of`: the Items of a dataset have hardly ever other properties."""
    extensions = [ARCHIVE_URI, FILE_URI, PROJECTION_URI]
    if themes:
        extensions.append(THEMES_URI)
    if any(key.startswith("processing:") for key in properties):
        extensions.append(PROCESSING_URI)
    # The extension may be declared only where one of its fields is used.
    if any(key.startswith("satimnet:") for key in properties):
        extensions.append(SCHEMA_URI)
    return extensions


def links_of(sample: Sample) -> list[dict[str, str]]:
    """The links of a sample's Item, from the folder of the version of its collection."""
    node = "catalog.json" if sample.level else "collection.json"
    return [
        _link("root", TOP),
        _link("parent", "/".join((".", *sample.level, node))),
        _link("collection", "./collection.json"),
        *map(dict, sample.links),
    ]


def meanings_of(
    record: Mapping[str, Any], occurring: set[tuple[str, ...] | None]
) -> dict[tuple[str, ...] | None, dict[str, Any]]:
    """The properties for each combination of classes; without concepts if the dataset has none."""
    meanings: dict[tuple[str, ...] | None, dict[str, Any]] = {None: {}}
    concepts = concepts_by_class(record)
    scheme = Scheme(concepts_of(record)) if concepts else None
    for classes in occurring - {None}:
        meaning: dict[str, Any] = {"satimnet:classes": list(classes or ())}
        if scheme is not None and classes:
            ids = sorted({concepts[name] for name in classes})
            meaning["satimnet:concepts"] = ids
            meaning["themes"] = themes_of(ids, scheme)
        meanings[classes] = meaning
    return meanings


def _link(rel: str, href: str) -> dict[str, str]:
    return {"rel": rel, "href": href, "type": "application/json"}


class _PackedAssets:
    """Assets of members: the href is the shard, the archive extension says where they lie.

    https://github.com/stac-extensions/archive (v1.0.0)
    """

    def __init__(self, shard: Shard, record: Mapping[str, Any]) -> None:
        self._shard = shard
        self._specs = record["assets"]
        self._known: dict[Hashable, dict[str, Any]] = {}
        """What is said of members of a kind."""

    def of(self, member: PackedMember, grid: Header | None) -> dict[str, Any]:
        """The asset of a member."""
        header, spec = member.header, self._specs[member.asset]
        place = {
            "href": member.path,
            "type": member.type or spec["type"],
            "range": [member.first, member.first + member.size - 1],
            "file:size": member.size,
            "file:checksum": SHA256 + member.sha256,
        }
        if header is None:
            return self._alike(member, grid, own=False) | {"archive": [place]}
        own = grid is not None and _is_other(header, grid)
        asset = self._alike(member, grid, own=own) | {"archive": [place]}
        if own:
            asset |= _projection(header)
        if header.pixels is not None:
            lie = asset["satimnet:pixels"]
            asset["satimnet:pixels"] = lie | {"offset": member.first + header.pixels.offset}
        return asset

    def _alike(self, member: PackedMember, grid: Header | None, *, own: bool) -> dict[str, Any]:
        """What is said of all members that are like this one, and perhaps more, in its order."""
        header = member.header
        key: Hashable = member.asset
        if header is not None:
            lie = header.pixels
            where = None if lie is None else (lie.shape, lie.order)
            system = header.crs if own else None
            alike = grid is None, own, system, header.transform is None, where
            key = key, header.shape, header.bands, header.dtype, alike
        known = None if member.original is not None else self._known.get(key)
        if known is None:
            spec = self._specs[member.asset]
            known = {"href": f"{SHARDS}/{self._shard.file}", "type": ZIP_TYPE}
            known |= _asset(member, grid, spec) | {"file:size": self._shard.size}
            if member.original is None and len(self._known) < _KINDS:
                self._known[key] = known
        return known


def _is_other(header: Header, grid: Header) -> bool:
    """Whether an image has other pixels than the grid of its Item, or lies elsewhere."""
    return header.shape != grid.shape or header.transform not in (None, grid.transform)


def _asset(member: PackedMember, grid: Header | None, spec: Mapping[str, Any]) -> dict[str, Any]:
    header = member.header
    asset: dict[str, Any] = {"title": spec["title"], "roles": spec["roles"]}
    if header is None:
        return asset
    asset["data_type"] = spec["data_type"]
    if has_number_for_nodata(spec):
        asset["nodata"] = spec["nodata"]
    asset["bands"] = [{"name": band["name"]} for band in bands_of(spec, header.bands)]
    if member.original is not None:
        asset["satimnet:original"] = {
            "path": member.original.path,
            "type": member.original.type,
            "file:size": member.original.size,
            "file:checksum": SHA256 + member.original.sha256,
        }
    if grid is None:
        asset["proj:shape"] = list(header.shape)
    elif _is_other(header, grid):
        asset |= _projection(header)
    if header.pixels is not None:
        asset["satimnet:pixels"] = {
            "offset": member.first + header.pixels.offset,
            "dtype": header.dtype,
            "shape": list(header.pixels.shape),
            "order": list(header.pixels.order),
        }
    return asset


def _time_of(member: PackedMember, sample: Sample) -> dict[str, str]:
    """The time of a file, where it is not that of its Item.

    https://github.com/radiantearth/stac-spec/blob/v1.1.0/commons/common-metadata.md (date and time)
    """
    time = sample.datetimes.get(member.asset)
    return {} if time is None else {"datetime": time}


def _file_info(member: PackedMember) -> dict[str, Any]:
    return {"file:size": member.size, "file:checksum": SHA256 + member.sha256}


def _projection(header: Header) -> dict[str, Any]:
    fields: dict[str, Any] = {"proj:shape": list(header.shape)}
    if header.crs is not None and header.transform is not None:
        key = "proj:code" if header.crs.startswith("EPSG:") else "proj:wkt2"
        fields |= {key: header.crs, "proj:transform": list(header.transform)}
    return fields


# --- files --------------------------------------------------------------------------------------


def placed(item: Item) -> Item:
    """The Item with links and hrefs relative to the folder of its node."""
    root, parent, collection, *others = item["links"]
    node = node_of(item)
    up = "../" * (node.count("/") + 1) if node else ""
    links = [
        root | {"href": up + root["href"]},
        parent | {"href": "./catalog.json"} if node else parent,
        collection | {"href": (up or "./") + "collection.json"},
        *(x if is_url(x["href"]) else x | {"href": up + x["href"]} for x in others),
    ]
    assets = {}
    for key, asset in item["assets"].items():
        href = asset["href"]  # of others than URLs it begins with "./"
        near = href.startswith("./") or not is_url(href)
        assets[key] = asset | {"href": (up or "./") + href[2:]} if near else asset
    return item | {"links": links, "assets": assets}


def node_of(item: Item) -> str:
    """The node's folder within that of the collection; empty if the collection is the node."""
    return str(item["links"][1]["href"][2:].rpartition("/")[0])


class ItemText(NamedTuple):
    """An Item as it stands in its file."""

    id: str
    node: str
    """As `node_of`."""
    text: bytes


def texts_of(items: Iterable[Item]) -> Iterator[ItemText]:
    """The Items as they stand in their files."""
    for item in items:
        yield ItemText(item["id"], node_of(item), orjson.dumps(placed(item)))


def write_items(texts: Iterable[ItemText], folder: Path) -> None:
    """Writes each Item to ``<node>/<id>.json`` below the collection's ``folder``."""
    for node, group in groupby(texts, key=attrgetter("node")):
        place = f"{folder}/{node}"
        opened = os.open(place, os.O_RDONLY)  # a name in it is found sooner than a whole path
        try:
            for id_, _, text in group:
                _write_item(opened, f"{id_}.json", text)
        finally:
            os.close(opened)


def _write_item(folder: int, name: str, text: bytes) -> None:
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666, dir_fd=folder)
    try:
        if os.write(file, text) != len(text):  # a full disk takes what it can
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
    finally:
        os.close(file)
