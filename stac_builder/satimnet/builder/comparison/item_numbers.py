"""A few numbers for each Item of a collection, which are the same if what they stand for is.

DuckDB makes them of the columns of ``items.parquet``, with no Python object for a row: 590,326
Items of 13 assets become a table of some hundred MB. A number has 64 bits. That two values differ
and have the same one happens once in 10^19 times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from satimnet.builder.errors import BadCatalogError
from satimnet.builder.query.index import Index, IndexedCollection
from satimnet.builder.query.statements import Statement, quoted

if TYPE_CHECKING:
    import pyarrow as pa

PROPERTY = "property:"
"""What the names of columns of properties begin with."""

_LABEL_ROLES = frozenset({"mask", "annotation", "labels"})
_IMAGE_ROLES = frozenset({"data", "visual"})
_OTHER_ROLES = frozenset({"overview", "thumbnail", "metadata"})
_CLASSES = "satimnet:classes"
_SPLITS = ("satimnet:split", "satimnet:fold")
_NO_PROPERTIES = frozenset({"type", "id", "collection", "links", "assets", *_SPLITS})
_OF_THE_PLACE = frozenset({"href", "archive", "offset", "path", "file:size", "file:checksum"})
"""Fields of assets that say where a member lies, or that are compared as its content."""

_NOTHING = "hash(NULL)"
_WEB = "https?://.*"


@dataclass(frozen=True)
class Side:
    """One of two collections that are compared, and the open catalog that it is of."""

    index: Index
    collection: IndexedCollection


def numbers_of(old: Side, new: Side) -> tuple[pa.Table, pa.Table]:
    """The numbers of all Items of both collections, with the same columns.

    The columns are ``id``; ``row_``, the number of its row; ``classes``; ``words``, what its
    properties say of classes and objects; ``labels`` and ``pixels``, the checksums of members that
    are labels and of images; ``images``, whether it has any; ``known``, whether all of these have
    checksums; ``split``; ``place``, where its members lie; ``property:<name>`` for each property.

    Raises:
        BadCatalogError: a collection has two Items with the same id, or one without.
        SatimnetError: a collection cannot be read.
    """
    schemas = _schema(old), _schema(new)
    roles = _roles(old, new)
    return (
        _numbers(old, _Columns(schemas[0], schemas[1]), roles),
        _numbers(new, _Columns(schemas[1], schemas[0]), roles),
    )


def _schema(side: Side) -> pa.Schema:
    """The columns of a collection's Items with Arrow's types."""
    return side.index.run(f"FROM ({_rows(side)}) LIMIT 0", Statement()).schema


def _rows(side: Side) -> str:
    names = set(side.index.column_types(side.collection.id)) - {"row_", "source_"}
    return side.index.union([side.collection.id], names)


def _roles(old: Side, new: Side) -> dict[str, frozenset[str]]:
    """Roles of the assets of each key, as the newer Collection says, or else the older one."""
    roles: dict[str, frozenset[str]] = {}
    for side in (new, old):
        for key, asset in side.collection.document.item_assets.items():
            roles[key] = roles.get(key) or asset.roles
    return roles


def _numbers(side: Side, columns: _Columns, roles: Mapping[str, frozenset[str]]) -> pa.Table:
    keys = columns.assets
    labels = [key for key in keys if roles.get(key, frozenset()) & _LABEL_ROLES]
    others = [key for key in keys if _is_other(roles.get(key, frozenset())) and key not in labels]
    images = [key for key in keys if key not in labels and key not in others]
    properties = {
        name: columns.number(name)
        for name in columns.names
        if name not in _NO_PROPERTIES and not _is_of_labels(name)
    }
    if "title" in columns.own:  # of a sample without a title of its own it is the id
        properties["title"] = f"CASE WHEN title = id THEN 0 ELSE {properties['title']} END"
    properties["assets"] = _hash(
        [*map(columns.description, keys), *(columns.checksums(key) for key in others)]
    )
    properties["links"] = columns.links(f"regexp_full_match(x.href, '{_WEB}')")
    selected = {
        "id": "id",
        "row_": "row_",
        "classes": columns.words(_CLASSES),
        "words": _hash([columns.words(name) for name in columns.names if _is_of_labels(name)]),
        "labels": _hash([columns.checksums(key) for key in labels]),
        "pixels": _hash([columns.checksums(key) for key in images]),
        "images": " OR ".join(["false", *(columns.is_there(key) for key in images)]),
        "known": " AND ".join(["true", *(columns.is_known(key) for key in (*images, *labels))]),
        "split": _hash([columns.number(name) for name in _SPLITS]),
        "place": _hash([*(columns.place(key) for key in keys), columns.links("true")]),
        **{f"{PROPERTY}{name}": text for name, text in properties.items()},
    }
    select = ", ".join(f"({text}) AS {quoted(name)}" for name, text in selected.items())
    table = side.index.run(f"SELECT {select} FROM ({_rows(side)})", Statement())
    _require_ids(table, side.collection.parquet)
    return table


def _is_other(roles: frozenset[str]) -> bool:
    """Whether an asset that is no label is no image either."""
    return bool(roles & _OTHER_ROLES) and not roles & _IMAGE_ROLES


def _is_of_labels(name: str) -> bool:
    """Whether a property says which classes or objects a sample has.

    That is ``satimnet:classes``, ``satimnet:statistics``, and what a dataset calls its own classes,
    such as ``bigearthnet:classes_19``.
    """
    last = name.rpartition(":")[2]
    return name == "satimnet:statistics" or last.startswith("classes")


def _require_ids(table: pa.Table, where: str) -> None:
    import pyarrow.compute as pc

    if table["id"].null_count:
        raise BadCatalogError(f"{where}: an Item has no id; build the collection again")
    if pc.count_distinct(table["id"]).as_py() < len(table):
        counts = pc.value_counts(table["id"])
        twice = counts.filter(pc.greater(counts.field("counts"), 1))[0]["values"].as_py()
        raise BadCatalogError(
            f"{where}: two Items have the id {twice:.200}; build the collection again"
        )


# --- SQL ----------------------------------------------------------------------------------------


class _Columns:
    """SQL for the numbers of one collection's Items, which the other collection's fit."""

    def __init__(self, own: pa.Schema, other: pa.Schema) -> None:
        self.own, self._other = _fields(own), _fields(other)
        for schema in (self.own, self._other):
            schema.pop("row_"), schema.pop("source_")
        self.names = sorted({*self.own, *self._other})
        self._assets = _fields(self.own["assets"])
        self._other_assets = _fields(self._other["assets"])
        self.assets = sorted({*self._assets, *self._other_assets})

    def number(self, name: str) -> str:
        """The number of a column's value."""
        return _number(quoted(name), self.own.get(name), self._other.get(name))

    def words(self, name: str) -> str:
        """The number of a column's value, in which the order of a list of texts is no matter."""
        import pyarrow as pa

        if self.own.get(name) != pa.list_(pa.string()):
            return self.number(name)
        ordered = f"list_sort(list_distinct({quoted(name)}))"
        return _number(ordered, self.own[name], self._other.get(name))

    def description(self, key: str) -> str:
        """The number of what an asset is, wherever it lies."""
        types = self._assets.get(key), self._other_assets.get(key)
        return _number(_part("assets", key), *types, without=_OF_THE_PLACE)

    def checksums(self, key: str) -> str:
        """The number of whether there is an asset, and of its members' checksums or its own."""
        return _hash([self.is_there(key), self._checksum(key)])

    def is_there(self, key: str) -> str:
        """Whether the Item has the asset."""
        return f"({self._field(key, 'href')} IS NOT NULL)"

    def is_known(self, key: str) -> str:
        """Whether all bytes of the asset, if there is one, have a checksum."""
        open_ = "false"
        if "file:checksum" in self._member(key):
            members, checksum = self._field(key, "archive"), _part("x", "file:checksum")
            nulls = f"len(list_filter({members}, lambda x: {checksum} IS NULL)) > 0"
            open_ = f"(CASE WHEN len({members}) > 1 THEN {nulls} ELSE false END)"
        return f"(NOT {self.is_there(key)} OR ({self._checksum(key)} IS NOT NULL AND NOT {open_}))"

    def place(self, key: str) -> str:
        """The number of where an asset's bytes are."""
        ranges = "NULL"
        if "range" in self._member(key):
            ranges = _part(f"{self._field(key, 'archive')}[1]", "range")
        return _hash([self._field(key, "href"), ranges])

    def links(self, condition: str) -> str:
        """The number of the links for which a condition of the link ``x`` is true."""
        if "href" not in _fields(_inner(self.own["links"])):
            return _NOTHING
        chosen = f"list_filter(links, lambda x: {condition})"
        return _hash([f"list_transform({chosen}, lambda x: hash(x.rel, x.href))"])

    def _checksum(self, key: str) -> str:
        parts = ["NULL", self._field(key, "file:checksum")]
        if "file:checksum" in self._member(key):
            members = self._field(key, "archive")
            every = f"list_transform({members}, lambda x: {_part('x', 'file:checksum')})"
            first = _part(f"{members}[1]", "file:checksum")  # nearly always the only one
            joined = f"array_to_string({every}, ' ')"
            parts.insert(0, f"CASE WHEN len({members}) > 1 THEN {joined} ELSE {first} END")
        texts = [f"nullif({part}, '')" for part in parts]
        return f"coalesce({', '.join(texts)})"

    def _field(self, key: str, name: str) -> str:
        """A field of an asset; NULL where no Item has it."""
        known = name in _fields(self._assets.get(key))
        return _part(_part("assets", key), name) if known else "NULL"

    def _member(self, key: str) -> dict[str, pa.DataType]:
        """The types of what members of an asset say."""
        return _fields(_inner(_fields(self._assets.get(key)).get("archive")))


def _number(
    value: str,
    own: pa.DataType | None,
    other: pa.DataType | None,
    *,
    without: frozenset[str] = frozenset(),
    depth: int = 0,
) -> str:
    """The number of a value: the same for values that are the same in JSON.

    Args:
        value: SQL for the value.
        own: its type; None if it is not there.
        other: its type in the other collection, which may lack fields of it or have more.
        without: fields that do not count.
        depth: how many lists it is within.
    """
    import pyarrow as pa

    if own is not None and own == other and not _has_any(own, without):  # nearly always
        return f"hash({value})"
    inner, others = _fields(own), _fields(other)
    if inner or (own is None and others):  # what is not there is like what is null in all its parts
        return _hash(
            [
                _number(
                    _part(value, name) if name in inner else "NULL",
                    inner.get(name),
                    others.get(name),
                    without=without,
                    depth=depth,
                )
                for name in sorted({*inner, *others} - without)
            ]
        )
    if _is_list(own):
        name = f"x{depth}"
        entry = _number(name, _inner(own), _inner(other), without=without, depth=depth + 1)
        return _hash([f"len({value})", f"list_transform({value}, lambda {name}: {entry})"])
    if own is None:
        return _hash(["NULL", "NULL"]) if _is_list(other) else _NOTHING
    if pa.types.is_floating(own) or (pa.types.is_integer(own) and _is_floating(other)):
        return f"hash(({value})::DOUBLE)"  # one collection may have 1, and the other 1.0
    if pa.types.is_integer(own):
        return f"hash(({value})::HUGEINT)"
    return f"hash({value})"


def _hash(values: Sequence[str]) -> str:
    return f"hash({', '.join(('0', *values))})"


def _part(value: str, name: str) -> str:
    """SQL for a field of a struct."""
    return f"struct_extract({value}, '{name.replace(chr(39), 2 * chr(39))}')"


def _fields(of: pa.Schema | pa.DataType | None) -> dict[str, pa.DataType]:
    """The types of the fields, by name; none of what is no struct."""
    import pyarrow as pa

    if isinstance(of, pa.DataType) and not pa.types.is_struct(of):
        return {}
    return {field.name: field.type for field in of or ()}


def _has_any(of: pa.DataType | None, names: frozenset[str]) -> bool:
    """Whether a type has a field of one of these names anywhere in it."""
    fields = _fields(of)
    parts = [*fields.values(), *filter(None, [_inner(of)])]
    return not names.isdisjoint(fields) or any(_has_any(part, names) for part in parts)


def _inner(of: pa.DataType | None) -> pa.DataType | None:
    """The type of a list's entries."""
    return of.value_type if of is not None and _is_list(of) else None


def _is_list(of: pa.DataType | None) -> bool:
    import pyarrow as pa

    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return of is not None and any(is_kind(of) for is_kind in kinds)


def _is_floating(of: pa.DataType | None) -> bool:
    import pyarrow as pa

    return of is not None and bool(pa.types.is_floating(of))
