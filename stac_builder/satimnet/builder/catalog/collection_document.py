"""What a collection says: its ``collection.json`` with types, checked and built once.

Whatever asks a collection for its classes, bands or assets asks here. `CollectionDocument.json` is
for what copies the JSON as it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from satimnet.builder.catalog import checked_documents as documents
from satimnet.builder.catalog.file_facts import NO_IMAGE_ROLES
from satimnet.builder.types import Json
from satimnet.builder.vocabulary.tasks import Task, tasks_in

_OBJECTS_TYPE = "application/geo+json"

UNNAMED_LICENCES = ("other", "various", "proprietary")
"""What ``license`` says where the licence has no SPDX identifier, and links say what it is."""


@dataclass(frozen=True, slots=True)
class LabelClass:
    """A row of a class table, as STAC's classification extension has it."""

    name: str
    value: int | None = None
    """What its pixels have in masks; 0 is the background. None where the table does not say."""
    title: str | None = None
    description: str | None = None
    color_hint: str | None = None
    """Six hexadecimal digits: red, green, blue."""

    @property
    def label(self) -> str:
        """The title, or else the name."""
        return self.title or self.name


@dataclass(frozen=True, slots=True)
class Band:
    """A band of an image asset; what it does not say itself is its asset's."""

    name: str
    description: str | None = None
    common_name: str | None = None
    """As ``eo:common_name``: red, nir, …"""
    center_wavelength: float | None = None
    """In micrometres."""
    full_width_half_max: float | None = None
    """In micrometres."""
    gsd: float | None = None
    """Metres a pixel."""
    scale: float | None = None
    data_type: str | None = None
    nodata: float | str | None = None


@dataclass(frozen=True, slots=True)
class ItemAsset:
    """What the assets of one key have in common in all Items."""

    key: str
    title: str | None
    media_type: str | None
    """Of the file that an asset's href leads to."""
    member_type: str | None
    """Media type of the members, where the assets are members of shards."""
    roles: frozenset[str]
    bands: tuple[Band, ...]
    classes: tuple[LabelClass, ...] | None
    """The class table of a mask that has one of its own."""
    gsd: float | None
    """Metres a pixel."""
    shape: tuple[int, int] | None
    """Rows and columns, where all images have the same."""
    data_type: str | None
    nodata: float | str | None
    lineage: str | None
    """How the files were made."""

    @property
    def is_mask(self) -> bool:
        """Whether the assets are label rasters."""
        return "mask" in self.roles

    @property
    def is_image(self) -> bool:
        """Whether the assets are images to learn from."""
        return bool(self.bands) and NO_IMAGE_ROLES.isdisjoint(self.roles)

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands, in the order of the file."""
        return tuple(band.name for band in self.bands)


@dataclass(frozen=True)
class CollectionDocument:
    """A Collection's JSON that was checked, and what it says.

    `of` and `read` make one; two are equal if their JSON is.

    Example:
        >>> document = CollectionDocument.of({
        ...     "type": "Collection", "stac_version": "1.1.0", "id": "harbours",
        ...     "description": "Ships", "license": "MIT", "links": [],
        ...     "extent": {"spatial": {"bbox": [[3, 50, 5, 52]]},
        ...                "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]}},
        ...     "summaries": {"classification:classes": [
        ...         {"name": "background", "value": 0}, {"name": "ship", "value": 1}]},
        ... }, "harbours/collection.json")
        >>> document.title, document.class_names, document.box
        ('harbours', ('ship',), (3, 50, 5, 52))
    """

    json: Json
    """The JSON as it stands; it must not be changed."""

    @classmethod
    def of(cls, content: Json, where: str) -> CollectionDocument:
        """The document of a file's JSON; optional fields that are null are removed from it.

        Args:
            content: the JSON of the file.
            where: path or URL of the file, for errors.

        Raises:
            BadCatalogError: it is no STAC Collection, or one of its values is of the wrong type.
        """
        return cls(documents.collection(content, where))

    @classmethod
    def read(cls, place: str) -> CollectionDocument:
        """The document of the file at an absolute path or URL.

        Raises:
            NotFoundError: there is no such file.
            StorageError: it cannot be read.
            BadCatalogError: as `of`, or it is no JSON.
        """
        return cls.of(documents.read(place), place)

    def __repr__(self) -> str:
        """One line, for the JSON would fill a screen."""
        return f"<CollectionDocument: {self.id}>"

    # --- the dataset ----------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The Collection's id."""
        return str(self.json["id"])

    @property
    def title(self) -> str:
        """The title, or else the id: STAC asks for that alone."""
        return documents.title_of(self.json)

    @property
    def description(self) -> str:
        """The description as it stands, in CommonMark."""
        return str(self.json["description"])

    @property
    def license(self) -> str:
        """An SPDX identifier, ``other``, or a word of an earlier STAC."""
        return str(self.json["license"])

    @property
    def has_spdx_license(self) -> bool:
        """Whether the licence has an identifier, and is not just described by links."""
        return self.license not in UNNAMED_LICENCES

    @property
    def version(self) -> str | None:
        """The version of the dataset, by STAC's version extension."""
        found = self.json.get("version")
        return found if isinstance(found, str) else None

    @property
    def keywords(self) -> list[str]:
        """The keywords; empty where there are none."""
        return list(self.json.get("keywords", ()))

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What it is for, as it says or as its classification problems mean."""
        return tasks_in(self.json)

    def providers(self, role: str | None = None) -> list[Json]:
        """The providers, or those with a role (``producer``, ``licensor``, ``host``)."""
        found = self.json.get("providers", ())
        return [one for one in found if role is None or role in one.get("roles", ())]

    def links(self, rel: str) -> list[Json]:
        """The links with this relation."""
        return [link for link in self.json["links"] if link["rel"] == rel]

    @property
    def home(self) -> str | None:
        """URL of the publisher's own page, if one is named."""
        return next((str(link["href"]) for link in self.links("via")), None)

    @cached_property
    def dois(self) -> tuple[str, ...]:
        """The DOI of the dataset, then those of the publications about it, each once."""
        publications = self.json.get("sci:publications", ())
        found = [self.json.get("sci:doi"), *(one.get("doi") for one in publications)]
        return tuple(dict.fromkeys(doi for doi in found if doi))

    @property
    def recipe_digest(self) -> str | None:
        """SHA-256 of the recipe that fused the collection; None where none did."""
        digest: str | None = self.json.get("satimnet:recipe", {}).get("sha256")
        return digest

    # --- where and when -------------------------------------------------------------------------

    @property
    def box(self) -> tuple[float, float, float, float]:
        """West, south, east and north in degrees, without heights."""
        west, south, east, north = documents.box_of(self.json)
        return west, south, east, north

    @property
    def interval(self) -> tuple[str | None, str | None]:
        """First and last time, as RFC 3339 writes them; None where the span is open."""
        start, end = self.json["extent"]["temporal"]["interval"][0]
        return start, end

    # --- classes --------------------------------------------------------------------------------

    @property
    def class_table(self) -> list[Json]:
        """The class table as the JSON has it; empty where there is none."""
        return list(self.json.get("summaries", {}).get("classification:classes", ()))

    @cached_property
    def classes(self) -> tuple[LabelClass, ...]:
        """The class table in its order."""
        return _classes(self.class_table)

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes but for the background, whose value is 0."""
        return tuple(row.name for row in self.classes if row.value != 0)

    # --- assets of the Items --------------------------------------------------------------------

    @cached_property
    def item_assets(self) -> Mapping[str, ItemAsset]:
        """What the assets of each key have in common, in the order of the JSON."""
        found = self.json.get("item_assets", {})
        return {key: _item_asset(key, asset) for key, asset in found.items()}

    @property
    def images(self) -> list[ItemAsset]:
        """Those that are images to learn from."""
        return [asset for asset in self.item_assets.values() if asset.is_image]

    @property
    def masks(self) -> list[ItemAsset]:
        """Those that are label rasters."""
        return [asset for asset in self.item_assets.values() if asset.is_mask]

    @property
    def annotations(self) -> list[ItemAsset]:
        """Those that are files of objects; some may be in degrees, not in pixels of the image."""
        return [
            asset
            for asset in self.item_assets.values()
            if asset.member_type == _OBJECTS_TYPE and "annotation" in asset.roles
        ]

    def summary(self, name: str) -> list[Any]:
        """The values of a property that occur in Items; empty where no list of them is given."""
        found = self.json.get("summaries", {}).get(name, [])
        return found if isinstance(found, list) else []


def _classes(rows: list[Json]) -> tuple[LabelClass, ...]:
    keys = ("value", "title", "description", "color_hint")
    return tuple(LabelClass(row["name"], *(row.get(key) for key in keys)) for row in rows)


def _item_asset(key: str, asset: Json) -> ItemAsset:
    shape = asset.get("proj:shape")
    return ItemAsset(
        key,
        asset.get("title"),
        asset.get("type"),
        asset.get("satimnet:member_type"),
        frozenset(asset.get("roles", ())),
        tuple(_band(band, asset) for band in asset.get("bands", ())),
        _classes(asset["classification:classes"]) if "classification:classes" in asset else None,
        asset.get("gsd"),
        (shape[0], shape[1]) if shape else None,
        asset.get("data_type"),
        asset.get("nodata"),
        asset.get("processing:lineage"),
    )


def _band(band: Json, asset: Json) -> Band:
    return Band(
        band["name"],
        band.get("description"),
        band.get("eo:common_name"),
        band.get("eo:center_wavelength"),
        band.get("eo:full_width_half_max"),
        band.get("gsd", asset.get("gsd")),
        band.get("raster:scale"),
        band.get("data_type", asset.get("data_type")),
        band.get("nodata", asset.get("nodata")),
    )
