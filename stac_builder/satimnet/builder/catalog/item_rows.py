"""The rows of a shard, made column by column: no Python object stands for an Item or an asset.

`satimnet.builder.catalog.items.describe` makes the same Items as dicts, for files of Items; what an
Item says is decided there, and what is said of many of them is made once, here as there.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.catalog.checked_documents import STAC_VERSION
from satimnet.builder.catalog.file_facts import FileFacts, bands_of
from satimnet.builder.catalog.geoparquet import timestamp
from satimnet.builder.catalog.item_columns import (
    common_properties,
    has_number_for_nodata,
    item_schema,
)
from satimnet.builder.catalog.items import (
    SHA256,
    SHARDS,
    ZIP_TYPE,
    extensions_of,
    links_of,
    meanings_of,
)
from satimnet.builder.imagery.footprints import Footprint, boxes_of

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from satimnet.builder.imagery.headers import Header
    from satimnet.builder.packing.shards import PackedMember, PackedSample, Shard

    _Told = Callable[[Iterable[Any], pa.DataType], pa.Array]

_GRID = ("proj:code", "proj:wkt2", "proj:shape", "proj:transform")
_SOON_REPEATED = 8
_OF_ALL = ("title", "datetime", "start_datetime", "end_datetime")
"""Properties of all Items, whatever the record and the samples say."""


def rows_of(shard: Shard, record: Mapping[str, Any]) -> pa.Table:
    """The rows of a shard's samples, as `geoparquet.table_of` makes them of their Items.

    Args:
        shard: a finished shard.
        record: the content of ``dataset.toml``.
    """
    return rows_of_all([shard], record)


def rows_of_all(shards: Sequence[Shard], record: Mapping[str, Any]) -> pa.Table:
    """The rows of several shards, one after another: few rows take as long as a thousand."""
    import pyarrow as pa

    schema = item_schema(record)
    samples = [packed for shard in shards for packed in shard.samples]
    specs = record["assets"]
    grids = [grid for shard in shards for grid in shard.grids]
    corners, others = _corners(shards)
    files = _files_of(samples, record)
    properties = _Properties(samples, grids, files, record)
    names = {*common_properties(), *record["properties"], *record.get("fields", ())}
    columns: list[Any] = []
    for field in schema:
        match field.name:
            case "type":
                column = _constant("Feature", field.type, len(samples))
            case "stac_version":
                column = _constant(STAC_VERSION, field.type, len(samples))
            case "stac_extensions":
                column = properties.extensions(field.type)
            case "id":
                column = pa.array([packed.sample.id for packed in samples], field.type)
            case "geometry":
                column = _outlines(corners, others, field.type)
            case "bbox":
                column = _boxes(corners, others, field.type)
            case "links":
                column = _links(samples, field.type)
            case "assets":
                assets = [
                    _asset(files[f.name], samples, grids, shards, specs[f.name], f)
                    for f in field.type
                ]
                column = pa.StructArray.from_arrays(assets, fields=list(field.type))
            case "collection":
                column = _constant(record["id"], field.type, len(samples))
            case name if name in names:
                column = properties.column(name, field.type)
            case _:
                column = pa.nulls(len(samples), field.type)
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)


# --- files --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Files:
    """The members that are one asset of the samples of a shard."""

    members: Sequence[PackedMember]
    owners: NDArray[np.int64]
    """The number of the sample of each."""
    kinds: NDArray[np.int32]
    """Of which kind each is: members of a kind differ in place, name, size and checksum."""
    examples: Sequence[PackedMember]
    """One of each kind."""
    sizes: NDArray[np.int64]


def _files_of(samples: Sequence[PackedSample], record: Mapping[str, Any]) -> dict[str, _Files]:
    """The members by their asset."""
    members: dict[str, list[PackedMember]] = {key: [] for key in record["assets"]}
    owners: dict[str, list[int]] = {key: [] for key in record["assets"]}
    for at, packed in enumerate(samples):
        for member in packed.members:
            own = owners[member.asset]
            if own and own[-1] == at:  # the last of a name counts
                members[member.asset][-1] = member
            else:
                own.append(at)
                members[member.asset].append(member)
    found = {}
    for key, own_members in members.items():
        known: dict[Hashable, int] = {}
        kinds = [known.setdefault(_kind(member), len(known)) for member in own_members]
        codes = np.array(kinds, np.int32)
        _, firsts = np.unique(codes, return_index=True)
        found[key] = _Files(
            own_members,
            np.array(owners[key], np.int64),
            codes,
            [own_members[at] for at in firsts.tolist()],
            np.array([member.size for member in own_members], np.int64),
        )
    return found


def _kind(member: PackedMember) -> Hashable:
    """All that is said of a file but its place on Earth and in the shard, its size and name."""
    header = member.header
    if header is None:
        return member.type
    placed = header.crs is not None and header.transform is not None
    pixels = header.pixels
    if pixels is None:
        return member.type, header.shape, header.bands, header.dtype, placed
    lie = pixels.offset, pixels.shape, pixels.order
    return member.type, header.shape, header.bands, header.dtype, placed, lie


# --- properties ---------------------------------------------------------------------------------


class _Properties:
    """The properties of the samples of a shard, one column after the other."""

    def __init__(
        self,
        samples: Sequence[PackedSample],
        grids: Sequence[Header | None],
        files: Mapping[str, _Files],
        record: Mapping[str, Any],
    ) -> None:
        self._samples = samples
        self._grids = grids
        self._has_grid = any(grid is not None for grid in grids)
        self._record = record
        facts = FileFacts(record)
        meanings = meanings_of(record, {packed.classes for packed in samples})
        classes: dict[Hashable, int] = {}
        kinds = np.full((len(samples), len(files) + 1), -1, np.int32)
        kinds[:, 0] = [classes.setdefault(packed.classes, len(classes)) for packed in samples]
        self._bytes = np.zeros(len(samples), np.int64)
        for column, own in enumerate(files.values(), 1):
            kinds[own.owners, column] = own.kinds
            image = np.array([facts.is_image(member) for member in own.examples], bool)
            if image.any():
                self._bytes[own.owners] += np.where(image[own.kinds], own.sizes, 0)
        _, firsts, codes = np.unique(kinds, axis=0, return_index=True, return_inverse=True)
        self._made = [
            facts.of(samples[at].members) | meanings[samples[at].classes] for at in firsts.tolist()
        ]
        """What is said of samples with like files and the same classes."""
        self._codes: NDArray[np.int64] = codes.reshape(-1)
        """Which of it is said of each sample."""
        self._own = set[str]().union(*{tuple(packed.sample.properties) for packed in samples})
        """Names of what the samples say themselves."""
        self._timed = any(packed.sample.datetime is not None for packed in samples)

    def column(self, name: str, type_: pa.DataType) -> pa.Array:
        """The values of a property."""
        import pyarrow as pa

        told = [name in made for made in self._made]
        if name == "satimnet:bytes":
            return pa.array(self._bytes, type_, mask=~np.array(told, bool)[self._codes])
        grid = name in _GRID and self._has_grid
        late = grid or name in ("satimnet:statistics", "satimnet:split")
        if not late and all(told):
            values = [made[name] for made in self._made]
            return _spread(_array(values, type_), self._codes)
        if not late and name not in self._own and not any(told):
            if name in self._record["properties"]:
                return _constant(self._record["properties"][name], type_, len(self._samples))
            if name not in _OF_ALL:
                return pa.nulls(len(self._samples), type_)
            if not self._timed and name != "title":
                value = None if name == "datetime" else self._record[name]
                return _constant(value, type_, len(self._samples))
        values = self._given(name)
        if any(told):
            values = [
                self._made[code][name] if told[code] else value
                for code, value in zip(self._codes.tolist(), values, strict=True)
            ]
        if name == "satimnet:statistics":
            values = [
                list(packed.statistics) if packed.statistics else value
                for packed, value in zip(self._samples, values, strict=True)
            ]
        elif name == "satimnet:split":
            values = [
                value if packed.sample.split is None else packed.sample.split
                for packed, value in zip(self._samples, values, strict=True)
            ]
        elif grid:
            values = [
                value if own is None else _of_grid(own, name, value)
                for own, value in zip(self._grids, values, strict=True)
            ]
            return _of_grids(values, type_)
        return _array(values, type_)

    def _given(self, name: str) -> list[Any]:
        """What the samples say themselves, or else the record, or else what all Items say."""
        record = self._record["properties"]
        samples = [packed.sample for packed in self._samples]
        defaults: list[Any]
        if name in record:
            defaults = [record[name]] * len(samples)
        elif name == "title":
            defaults = [sample.id for sample in samples]
        elif name == "datetime":
            defaults = [sample.datetime for sample in samples]
        elif name in _OF_ALL:
            whole = self._record[name]
            defaults = [whole if sample.datetime is None else None for sample in samples]
        else:
            defaults = [None] * len(samples)
        if name not in self._own:
            return defaults
        return [
            sample.properties.get(name, default)
            for sample, default in zip(samples, defaults, strict=True)
        ]

    def extensions(self, type_: pa.DataType) -> pa.Array:
        """The extensions that each Item uses."""
        import pyarrow as pa

        if not self._own:
            return _spread(pa.array([self._used(made) for made in self._made], type_), self._codes)
        known: dict[Hashable, tuple[str, ...]] = {}
        found = []
        for packed, code in zip(self._samples, self._codes.tolist(), strict=True):
            key = code, tuple(packed.sample.properties)
            if key not in known:
                known[key] = tuple(self._used(self._made[code], packed.sample.properties))
            found.append(known[key])
        return _coded(found, type_)

    def _used(self, made: Mapping[str, Any], own: Iterable[str] = ()) -> list[str]:
        """The extensions that an Item uses of which this is said."""
        names = {*self._record["properties"], *own, *made}
        return extensions_of(names, themes=bool(made.get("themes")))


def _of_grid(grid: Header, name: str, otherwise: Any) -> Any:
    """What the grid says of an Item's place; ``otherwise`` where it does not."""
    if name == "proj:shape":
        return grid.shape
    if grid.crs is None or grid.transform is None:
        return otherwise
    if name == "proj:transform":
        return grid.transform
    known = name == ("proj:code" if grid.crs.startswith("EPSG:") else "proj:wkt2")
    return grid.crs if known else otherwise


# --- links and places ---------------------------------------------------------------------------


def _links(samples: Sequence[PackedSample], type_: pa.DataType) -> pa.Array:
    import pyarrow as pa

    places: dict[Hashable, int] = {}
    lists: list[list[dict[str, str]]] = []
    codes = []
    for packed in samples:
        sample = packed.sample
        key: Hashable = sample.level
        if sample.links:
            key = sample.level, tuple(tuple(link.items()) for link in sample.links)
        code = places.get(key)
        if code is None:
            code = places[key] = len(lists)
            lists.append(links_of(sample))
        codes.append(code)
    return _spread(pa.array(lists, type_), np.array(codes, np.int32))


def _corners(
    shards: Sequence[Shard],
) -> tuple[NDArray[np.float64], dict[int, Footprint]]:
    """The footprints as `Shard.corners` has them, of all samples."""
    if len(shards) == 1:
        return shards[0].corners
    others: dict[int, Footprint] = {}
    start = 0
    for shard in shards:
        others |= {start + at: footprint for at, footprint in shard.corners[1].items()}
        start += len(shard.samples)
    return np.concatenate([shard.corners[0] for shard in shards]), others


def _outlines(
    corners: NDArray[np.float64], others: Mapping[int, Footprint], type_: pa.DataType
) -> pa.Array:
    """WKB of the footprints."""
    import pyarrow as pa
    import shapely

    outlines = np.full(len(corners), None)
    simple = ~np.isnan(corners[:, 0, 0])
    outlines[simple] = shapely.to_wkb(shapely.polygons(corners[simple]))
    for at, footprint in others.items():
        outlines[at] = shapely.to_wkb(shapely.geometry.shape(footprint.geometry))
    return pa.array(outlines.tolist(), type_)


def _boxes(
    corners: NDArray[np.float64], others: Mapping[int, Footprint], type_: pa.DataType
) -> pa.Array:
    import pyarrow as pa

    boxes = boxes_of(corners)
    for at, footprint in others.items():
        boxes[at] = footprint.bbox
    mask = np.isnan(boxes[:, 0])
    sides = [pa.array(np.ascontiguousarray(side), mask=mask) for side in boxes.T]
    return pa.StructArray.from_arrays(sides, fields=list(type_), mask=_mask(mask))


# --- assets -------------------------------------------------------------------------------------


def _asset(
    files: _Files,
    samples: Sequence[PackedSample],
    grids: Sequence[Header | None],
    shards: Sequence[Shard],
    spec: Mapping[str, Any],
    field: pa.Field,
) -> pa.Array:
    """An asset of all samples, null of those that lack it."""
    import pyarrow as pa

    owners, count, type_ = files.owners, len(samples), field.type
    if not len(owners):
        return pa.nulls(count, type_)
    own_grids = grids if len(owners) == count else [grids[at] for at in owners.tolist()]

    def told(values: Iterable[Any], type_: pa.DataType) -> pa.Array:
        """A value for each kind of file, as values of the files."""
        given = list(values)
        if all(value is None for value in given):
            return pa.nulls(len(owners), type_)
        return _spread(pa.array(given, type_), files.kinds)

    headers = [member.header for member in files.examples]
    same = {
        "type": ZIP_TYPE,
        "title": spec["title"],
        "roles": spec["roles"],
    }
    of_shard = {
        "href": [f"{SHARDS}/{shard.file}" for shard in shards],
        "file:size": [shard.size for shard in shards],
    }
    places = np.repeat(np.arange(len(shards)), [len(shard.samples) for shard in shards])[owners]
    said = {
        "data_type": (None if header is None else spec["data_type"] for header in headers),
        "bands": (
            None
            if header is None
            else [{"name": band["name"]} for band in bands_of(spec, header.bands)]
            for header in headers
        ),
    }
    if has_number_for_nodata(spec):
        said["nodata"] = (None if header is None else spec["nodata"] for header in headers)
    first = np.array([member.first for member in files.members], np.int64)
    types = {one.name: one.type for one in type_}
    columns = {name: _constant(value, types[name], len(owners)) for name, value in same.items()}
    columns |= {
        name: _spread(pa.array(values, types[name]), places) for name, values in of_shard.items()
    }
    columns |= {name: told(values, types[name]) for name, values in said.items()}
    columns |= _projections(files, own_grids, types)
    columns["archive"] = _archive(files, first, spec, told, types["archive"])
    columns["satimnet:pixels"] = _pixels(files, first, told, types["satimnet:pixels"])
    columns["satimnet:original"] = _originals(files.members, types["satimnet:original"])
    if "datetime" in types:
        times = [samples[at].sample.datetimes.get(field.name) for at in owners.tolist()]
        columns["datetime"] = pa.array(times, types["datetime"])
    arrays = [columns[name] for name in types]
    column = pa.StructArray.from_arrays(arrays, fields=list(type_))
    if len(owners) == count:
        return column
    at = np.full(count, -1, np.int32)
    at[owners] = np.arange(len(owners), dtype=np.int32)
    return column.take(pa.array(at, mask=at < 0))


def _archive(
    files: _Files,
    first: NDArray[np.int64],
    spec: Mapping[str, Any],
    told: _Told,
    type_: pa.ListType,
) -> pa.Array:
    """Where the members lie in their shard."""
    import pyarrow as pa

    members = files.members
    entry = type_.value_type
    offsets = np.arange(len(members) + 1, dtype=np.int32)
    ends = np.stack((first, first + files.sizes - 1), axis=1).ravel()
    ranges = pa.ListArray.from_arrays(
        pa.array(offsets * 2), pa.array(ends), type=entry.field("range").type
    )
    columns = {
        "href": pa.array([member.path for member in members], pa.string()),
        "type": told((m.type or spec["type"] for m in files.examples), pa.string()),
        "range": ranges,
        "file:size": pa.array(files.sizes),
        "file:checksum": pa.array([SHA256 + member.sha256 for member in members], pa.string()),
    }
    arrays = [columns[field.name] for field in entry]
    values = pa.StructArray.from_arrays(arrays, fields=list(entry))
    return pa.ListArray.from_arrays(pa.array(offsets), values, type=type_)


def _projections(
    files: _Files, grids: Sequence[Header | None], types: Mapping[str, pa.DataType]
) -> dict[str, pa.Array]:
    """The grids of the images, where they are not those of their Items."""
    import pyarrow as pa

    headers = [
        None
        if header is None
        or (
            grid is not None
            and header.shape == grid.shape
            and (header.transform is None or header.transform == grid.transform)
        )
        else header
        for header, grid in zip([m.header for m in files.members], grids, strict=True)
    ]
    if all(header is None for header in headers):
        return {name: pa.nulls(len(headers), types[name]) for name in _GRID}
    placed = [
        header
        if header is not None
        and grid is not None
        and header.crs is not None
        and header.transform is not None
        else None
        for header, grid in zip(headers, grids, strict=True)
    ]
    systems = [None if header is None else header.crs for header in placed]
    codes, texts = _split_crs(systems)
    columns = {
        "proj:code": _of_grids(codes, types["proj:code"]),
        "proj:wkt2": _of_grids(texts, types["proj:wkt2"]),
        "proj:shape": _of_grids([h and h.shape for h in headers], types["proj:shape"]),
        "proj:transform": _of_grids([h and h.transform for h in placed], types["proj:transform"]),
    }
    return columns


def _split_crs(systems: Sequence[str | None]) -> tuple[list[str | None], list[str | None]]:
    """Those that are codes, and those that are texts; None in the place of the others."""
    is_code = {crs: crs is not None and crs.startswith("EPSG:") for crs in set(systems)}
    codes = [crs if is_code[crs] else None for crs in systems]
    return codes, [None if is_code[crs] else crs for crs in systems]


def _pixels(files: _Files, first: NDArray[np.int64], told: _Told, type_: pa.StructType) -> pa.Array:
    """Where pixels lie uncompressed in the shard."""
    import pyarrow as pa

    headers = [member.header for member in files.examples]
    known = [None if header is None else header.pixels for header in headers]
    if all(pixels is None for pixels in known):
        return pa.nulls(len(first), type_)
    offsets = np.array([0 if pixels is None else pixels.offset for pixels in known], np.int64)
    mask = np.array([pixels is None for pixels in known])[files.kinds]
    types = [header.dtype if header and header.pixels else None for header in headers]
    columns = {
        "offset": pa.array(first + offsets[files.kinds], mask=mask),
        "dtype": told(types, type_.field("dtype").type),
        "shape": told((p and list(p.shape) for p in known), type_.field("shape").type),
        "order": told((p and list(p.order) for p in known), type_.field("order").type),
    }
    arrays = [columns[field.name] for field in type_]
    return pa.StructArray.from_arrays(arrays, fields=list(type_), mask=_mask(mask))


def _originals(members: Sequence[PackedMember], type_: pa.StructType) -> pa.Array:
    """The publisher's files, of those that were converted."""
    import pyarrow as pa

    if all(member.original is None for member in members):
        return pa.nulls(len(members), type_)
    values = [
        member.original
        and {
            "path": member.original.path,
            "type": member.original.type,
            "file:size": member.original.size,
            "file:checksum": SHA256 + member.original.sha256,
        }
        for member in members
    ]
    return pa.array(values, type_)


# --- arrays -------------------------------------------------------------------------------------


def _mask(mask: Any) -> pa.Array | None:
    import pyarrow as pa

    return pa.array(mask) if mask.any() else None


def _constant(value: Any, type_: pa.DataType, count: int) -> pa.Array:
    """The same value so many times."""
    import pyarrow as pa

    if value is None:
        return pa.nulls(count, type_)
    one = pa.array([timestamp(value) if pa.types.is_timestamp(type_) else value], type_)
    return _spread(one, np.zeros(count, np.int32))


def _spread(values: pa.Array, places: NDArray[np.integer[Any]]) -> pa.Array:
    """The values at these places."""
    import pyarrow as pa

    # A single value is sooner repeated than taken; of lists only a few times.
    if len(values) == 1 and (len(places) <= _SOON_REPEATED or not pa.types.is_nested(values.type)):
        return pa.repeat(values[0], len(places))
    return values.take(pa.array(places))


def _coded(values: Sequence[Hashable], type_: pa.DataType) -> pa.Array:
    """Values of which many are the same, each made once."""
    import pyarrow as pa

    places: dict[Hashable, int] = {}
    codes = [places.setdefault(value, len(places)) for value in values]
    return _spread(pa.array(list(places), type_), np.array(codes, np.int32))


def _array(values: list[Any], type_: pa.DataType) -> pa.Array:
    """Values as JSON has them; of lists, which few differ, each is made once."""
    import pyarrow as pa

    if pa.types.is_timestamp(type_):
        return _coded([None if value is None else timestamp(value) for value in values], type_)
    if pa.types.is_list(type_):
        known = {id(value): value for value in values}
        places = {id_: at for at, id_ in enumerate(known)}
        codes = np.array([places[id(value)] for value in values], np.int32)
        return _spread(pa.array(list(known.values()), type_), codes)
    return pa.array(values, type_)


def _of_grids(values: Sequence[Any], type_: pa.DataType) -> pa.Array:
    """Texts and shapes, of which few differ, or transforms, each of which is another."""
    import pyarrow as pa

    if not pa.types.is_list(type_):
        return _coded(values, type_) if any(values) else pa.nulls(len(values), type_)
    if not pa.types.is_floating(type_.value_type):
        return _coded([value and tuple(value) for value in values], type_)
    lengths = [0 if value is None else len(value) for value in values]
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    given = chain.from_iterable(value for value in values if value is not None)
    numbers = np.fromiter(given, float, offsets[-1])
    mask = np.array([value is None for value in values])
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(numbers), type=type_, mask=_mask(mask)
    )
