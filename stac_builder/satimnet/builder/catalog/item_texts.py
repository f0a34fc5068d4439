"""The JSON of a shard's Items: that of many is made once, with holes for what differs.

What an Item says is decided in `satimnet.builder.catalog.items` alone. Of the first sample of each
kind the Item is described there; its text without what is the sample's own, such as its id and the
place of its files, is the form for the others of that kind.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from operator import itemgetter
from typing import Any

import orjson

from satimnet.builder.catalog.items import (
    SHA256,
    Describer,
    Item,
    ItemText,
    node_of,
    placed,
    texts_of,
)
from satimnet.builder.imagery.footprints import Footprint
from satimnet.builder.imagery.headers import Header
from satimnet.builder.packing.shards import PackedSample, Shard

_MOST_FORMS = 256
_FEWEST = 16  # samples of a shard from which on forms are made sooner than the Items themselves
# What stands for a hole in the text of a form, with its quotes. Names of files have no control
# characters; those of classes may, as a publisher's labels have them.
_HOLE = re.compile(rb'"\\u0002(\w+)\\u0003"')
_MARK = b"\\u0002"
_OF_SAMPLE = ("id", "geometry", "bbox", "crs", "transform", "bytes")
_OF_MEMBER = ("path", "first", "last", "size", "sha256", "offset")


def item_texts(shard: Shard, record: Mapping[str, Any]) -> Iterator[ItemText]:
    """The Items of a shard's samples, as `satimnet.builder.catalog.items.describe` has them."""
    describer = Describer(shard, record)
    if len(shard.samples) < _FEWEST:
        yield from texts_of(describer.item(*sample) for sample in describer.samples())
        return
    forms: dict[Hashable, _Form] = {}
    for packed, grid, footprint in describer.samples():
        kind = _kind(packed, grid, footprint)
        form = None if kind is None else forms.get(kind)
        if form is not None:
            yield ItemText(packed.sample.id, form.node, form.filled(packed, grid, footprint))
            continue
        item = describer.item(packed, grid, footprint)
        text = orjson.dumps(placed(item))
        yield ItemText(packed.sample.id, node_of(item), text)
        if kind is not None and len(forms) < _MOST_FORMS and _MARK not in text:
            forms[kind] = _Form(item, packed, grid, describer)


def _kind(
    packed: PackedSample, grid: Header | None, footprint: Footprint | None
) -> Hashable | None:
    """All that an Item says but what forms have holes for; None where it may say more."""
    sample = packed.sample
    if packed.statistics or sample.properties or sample.links or sample.datetimes:
        return None
    where = None
    if grid is not None:
        if grid.transform is None:
            return None
        where = grid.crs is not None and grid.crs.startswith("EPSG:"), grid.shape
    kinds: list[Hashable] = [
        *(sample.level, sample.datetime, sample.split, packed.classes, where, footprint is None)
    ]
    for asset, _, _, _, _, header, original, type_ in packed.members:
        if original is not None:
            return None
        if header is None:
            kinds += (asset, type_)
            continue
        if header is not grid and grid is not None:
            return None
        lie = header.pixels
        kinds += (asset, type_, header.shape, header.bands, header.dtype)
        if lie is not None:
            kinds += (lie.offset, lie.shape, lie.order)
    return tuple(kinds)


class _Form:
    """The text of the Items of a kind of samples, with holes."""

    def __init__(
        self, item: Item, packed: PackedSample, grid: Header | None, describer: Describer
    ) -> None:
        """The form of samples like this one, which has this Item."""
        self.node = node_of(item)
        self._images = [at for at, m in enumerate(packed.members) if describer.is_image(m)]
        lies = [member.header and member.header.pixels for member in packed.members]
        self._offsets = [lie.offset if lie else 0 for lie in lies]
        text = orjson.dumps(placed(_with_holes(item, packed, grid)))
        names = [name.decode() for name in _HOLE.findall(text)]
        literal = _HOLE.sub(b"\0", text).replace(b"%", b"%%")
        for name in names:
            literal = literal.replace(b"\0", _format(name), 1)
        self._literal = literal
        known = [
            *_OF_SAMPLE,
            *(f"{name}_{at}" for at in range(len(packed.members)) for name in _OF_MEMBER),
        ]
        self._chosen = itemgetter(*map(known.index, names))

    def filled(
        self, packed: PackedSample, grid: Header | None, footprint: Footprint | None
    ) -> bytes:
        """The Item of a sample of the kind."""
        members = packed.members
        values: list[Any] = [
            orjson.dumps(packed.sample.id),
            b"" if footprint is None else orjson.dumps(footprint.geometry),
            b"" if footprint is None else orjson.dumps(footprint.bbox),
            b"" if grid is None else orjson.dumps(grid.crs),
            b"" if grid is None else orjson.dumps(grid.transform),
            sum([members[at].size for at in self._images]),
        ]
        for (_, path, first, size, sha256, *_), offset in zip(members, self._offsets):
            values += (
                *(orjson.dumps(path), first, first + size - 1, size),
                *(sha256.encode(), first + offset),
            )
        filled: bytes = self._literal % self._chosen(values)
        return filled


def _with_holes(item: Item, packed: PackedSample, grid: Header | None) -> Item:
    """The Item with marks in the place of what is the sample's own."""
    properties = dict(item["properties"])
    if properties["title"] is packed.sample.id:
        properties["title"] = _mark("id")
    if "satimnet:bytes" in properties:
        properties["satimnet:bytes"] = _mark("bytes")
    if grid is not None:
        properties["proj:transform"] = _mark("transform")
        is_code = grid.crs is not None and grid.crs.startswith("EPSG:")
        properties["proj:code" if is_code else "proj:wkt2"] = _mark("crs")
    item = item | {"id": _mark("id"), "properties": properties}
    if "bbox" in item:
        item |= {"geometry": _mark("geometry"), "bbox": _mark("bbox")}
    assets = {}
    for at, member in enumerate(packed.members):
        asset = item["assets"][member.asset]
        path, first, last, size, sha256, offset = (_mark(f"{name}_{at}") for name in _OF_MEMBER)
        (place,) = asset["archive"]
        place = place | {"href": path, "range": [first, last]}
        place |= {"file:size": size, "file:checksum": sha256}
        assets[member.asset] = asset | {"archive": [place]}
        if "satimnet:pixels" in asset:
            assets[member.asset]["satimnet:pixels"] = asset["satimnet:pixels"] | {"offset": offset}
    return item | {"assets": assets}


def _mark(name: str) -> str:
    return f"\2{name}\3"


def _format(name: str) -> bytes:
    """How a hole is filled."""
    if name.startswith("sha256"):
        return b'"%s%%b"' % SHA256.encode()
    number = name.startswith(("bytes", "first", "last", "size", "offset"))
    return b"%d" if number else b"%b"
