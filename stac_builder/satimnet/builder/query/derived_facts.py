"""Facts of files for an index that lacks them, as SQL over the columns of its assets.

Catalogs of satimnet before 0.3.0 have no properties for these facts, but their assets say the same:
`satimnet.builder.catalog.file_facts` makes the properties.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from satimnet.builder.catalog.file_facts import NO_IMAGE_ROLES
from satimnet.builder.query.statements import quoted

if TYPE_CHECKING:
    from satimnet.builder.catalog.collection_document import ItemAsset


def derived_facts(columns: Mapping[str, Any], said: Mapping[str, ItemAsset]) -> dict[str, str]:
    """SQL for each fact that the assets tell, as if it were a column.

    Args:
        columns: DuckDB's type of each column, checked.
        said: by key what the collection says of its assets.
    """
    if "assets" not in columns or columns["assets"].id != "struct":
        return {}
    shape = '"proj:shape"' if "proj:shape" in columns else "NULL"
    assets = [
        _Asset(key, dict(type_.children), shape, said.get(key))
        for key, type_ in columns["assets"].children
    ]
    places = [asset.field("proj:transform") for asset in assets]
    places += ['"proj:transform"'] if "proj:transform" in columns else []
    facts = {
        "satimnet:has_mask": _any(asset.has_role("mask") for asset in assets),
        "satimnet:has_annotation": _any(asset.has_role("annotation") for asset in assets),
        "satimnet:georeferenced": _any(f"{place} IS NOT NULL" for place in places),
        "satimnet:has_nodata": _any(asset.is_image for asset in assets if asset.has_nodata),
    }
    images = [asset for asset in assets if asset.may_be_image]
    return facts | (_of_images(images) if images else {})


def _of_images(images: list[_Asset]) -> dict[str, str]:
    counts = [asset.of_image(f"len({asset.field('bands')})") for asset in images]
    alone = " + ".join(f"COALESCE(({count} = 1)::BIGINT, 0)" for count in counts)
    counts.append(f"CASE WHEN {alone} > 1 THEN {alone} END")  # each band is a file
    names = _list(asset.of_image(asset.band_names) for asset in images)
    sizes = [asset.of_image(asset.size) for asset in images]
    # of lists the largest is that with the largest first number
    largest = f"list_max({_list(asset.of_image(asset.area_and_shape) for asset in images)})"
    return {
        "satimnet:formats": _different(_list(asset.of_image(asset.format) for asset in images)),
        "satimnet:data_types": _different(
            _list(asset.of_image(asset.field("data_type")) for asset in images)
        ),
        "satimnet:band_counts": _different(_list(counts)),
        "satimnet:band_names": _different(f"flatten({names})"),
        "satimnet:rows": f"{largest}[2]",
        "satimnet:columns": f"{largest}[3]",
        "satimnet:bytes": f"list_sum({_list(sizes)})",
    }


@dataclass(frozen=True)
class _Asset:
    """The columns of one asset."""

    key: str
    fields: Mapping[str, Any]
    """DuckDB's types of its fields."""
    shape_of_item: str
    """SQL of what an image has that says no shape of its own."""
    said: ItemAsset | None
    """What the collection says of all assets of this key."""

    @property
    def has_nodata(self) -> bool:
        """Whether its images have a no-data value."""
        said = self.said
        return said is not None and (
            said.nodata is not None or any(band.nodata is not None for band in said.bands)
        )

    @property
    def roles(self) -> frozenset[str] | None:
        """Its roles, where they are the same in all rows: of what satimnet built."""
        return self.said.roles if self.said is not None and self.said.member_type else None

    def field(self, name: str) -> str:
        """SQL of a field."""
        return f"assets.{quoted(self.key)}.{quoted(name)}" if name in self.fields else "NULL"

    def has_role(self, *roles: str) -> str:
        """SQL: whether it has one of the roles."""
        if self.roles is not None:  # a tenth of the time that it takes to read the lists
            return "FALSE" if self.roles.isdisjoint(roles) else f"{self.field('href')} IS NOT NULL"
        names = ", ".join(f"'{role}'" for role in sorted(roles))
        return f"COALESCE(list_has_any({self.field('roles')}, [{names}]), FALSE)"

    @property
    def may_be_image(self) -> bool:
        """Whether it has bands in some rows."""
        known = self.roles or frozenset()
        return _inner(self.fields.get("bands"), "name") and known.isdisjoint(NO_IMAGE_ROLES)

    @property
    def is_image(self) -> str:
        """SQL: whether it is an image."""
        if not self.may_be_image:
            return "FALSE"
        if self.roles is not None and "data_type" in self.fields:  # it comes with the bands
            return f"({self.field('data_type')} IS NOT NULL)"
        return f"({self.field('bands')} IS NOT NULL AND NOT {self.has_role(*NO_IMAGE_ROLES)})"

    def of_image(self, sql: str) -> str:
        """SQL of a value, which is null where the asset is no image."""
        return f"CASE WHEN {self.is_image} THEN {sql} END"

    @property
    def band_names(self) -> str:
        """SQL of the names of its bands."""
        return f"[band.name FOR band IN {self.field('bands')}]"

    @property
    def format(self) -> str:
        """SQL of what `satimnet.builder.catalog.file_facts.format_of` gives."""
        type_ = self.field("type")
        if _inner(self.fields.get("archive"), "type"):
            type_ = f"COALESCE({self.field('archive')}[1].type, {type_})"
        plain = f"trim(split_part(lower({type_}), ';', 1))"
        name = f"regexp_replace({plain}, '^.*/(x-)?', '')"
        usual = {"image/tiff": "tif", "image/jpeg": "jpg", "image/png": "png"}
        cases = [
            f"WHEN {type_} = '{one}' OR starts_with({type_}, '{one};') THEN '{ending}'"
            for one, ending in usual.items()
        ]
        other = f"CASE {name} WHEN 'jpeg' THEN 'jpg' WHEN 'tiff' THEN 'tif' ELSE {name} END"
        return f"CASE {' '.join(cases)} ELSE {other} END"

    @property
    def size(self) -> str:
        """SQL of the bytes of its files."""
        if not _inner(self.fields.get("archive"), "file:size"):
            return self.field("file:size")
        return f'list_sum([member."file:size" FOR member IN {self.field("archive")}])'

    @property
    def area_and_shape(self) -> str:
        """SQL of a list: pixels, rows and columns."""
        shape = f"COALESCE({self.field('proj:shape')}, {self.shape_of_item})"
        return f"[{shape}[1] * {shape}[2], {shape}[1], {shape}[2]]"


def _inner(type_: Any, name: str) -> bool:
    """Whether it is the type of lists of structs with this field."""
    if type_ is None or type_.id != "list":
        return False
    element = type_.children[0][1]
    return element.id == "struct" and name in dict(element.children)


def _any(conditions: Iterable[str]) -> str:
    return f"({' OR '.join(conditions) or 'FALSE'})"


def _list(values: Iterable[str]) -> str:
    return f"[{', '.join(values)}]"


def _different(values: str) -> str:
    """SQL of the different values of a list, sorted; null where there is none."""
    return f"NULLIF(list_sort(list_distinct({values})), [])"
