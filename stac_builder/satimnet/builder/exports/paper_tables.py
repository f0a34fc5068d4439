"""Attributes: the three tables of the SatImNet paper, read back from Collections.

Rows and their wording are those of Tables 1 to 3 of https://doi.org/10.3390/rs12203358; which STAC
field carries which attribute is said in ``extensions/README.md``. Values come from the Collection
documents alone, so the tables of a catalog on the web cost a request for each collection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from satimnet.builder.errors import SatimnetError

UNKNOWN = "-"
"""What stands in a cell whose attribute is not known."""

_WIDE = 60  # longer text is written below the table, as the paper does

JsonObject = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cell:
    """The value of an attribute for one collection."""

    text: str
    note: str = ""
    """What belongs to the value and is too long for a table."""
    sources: tuple[str, ...] = ()
    """Where the value comes from, if it was added to the paper's or differs from it."""


@dataclass(frozen=True, slots=True)
class Row:
    """An attribute with a cell for each column of its table."""

    attribute: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One of the paper's tables: attributes down, collections across."""

    title: str
    columns: tuple[str, ...]
    """Titles of the collections."""
    rows: tuple[Row, ...]

    def printed(self) -> tuple[list[tuple[str, ...]], list[str]]:
        """Rows of strings, attribute first, and the lines that belong below the table.

        An asterisk marks values that do not stand in the paper, ``(n)`` refers to a line below.
        """
        rows, sources = [], []
        notes: dict[str, int] = {}
        for row in self.rows:
            line = [row.attribute]
            for column, cell in zip(self.columns, row.cells, strict=True):
                wide = len(cell.text) > _WIDE
                remark = "; ".join(filter(None, (cell.text if wide else "", cell.note)))
                number = f"({notes.setdefault(remark, len(notes) + 1)})" if remark else ""
                mark = "*" if cell.sources else ""
                line.append(f"{number}{mark}" if wide else f"{cell.text}{mark} {number}".strip())
                if cell.sources:
                    sources.append(f"* {column}, {row.attribute}: {'; '.join(cell.sources)}")
            rows.append(tuple(line))
        return rows, [*(f"({number}) {remark}" for remark, number in notes.items()), *sources]


def tables(collections: Sequence[JsonObject]) -> list[Table]:
    """The paper's three tables for Collection documents, in the order given.

    Raises:
        SatimnetError: a document is not what its schemas ask for.
    """
    columns = tuple(_clean(str(c.get("title") or c.get("id"))) for c in collections)
    made = []
    for title, attributes in _TABLES:
        rows = [
            Row(name, tuple(_cell(c, name, fields, value) for c in collections))
            for name, fields, value in attributes
        ]
        made.append(Table(title, columns, tuple(row for row in rows if _is_shown(row))))
    return made


def as_markdown(tables: Iterable[Table]) -> str:
    """The tables in Markdown, each with its notes and sources below."""
    parts = []
    for table in tables:
        rows, remarks = table.printed()
        lines = [("", *table.columns), *rows]
        cells = ["| " + " | ".join(map(_escaped, line)) + " |" for line in lines]
        cells.insert(1, "|" + " --- |" * len(lines[0]))
        notes = [f"{_escaped(remark)}  " for remark in remarks]
        parts.append("\n".join([f"### {table.title}", "", *cells, "", *notes]).rstrip())
    return "\n\n".join(parts) + "\n"


def as_json(tables: Iterable[Table]) -> list[dict[str, Any]]:
    """The tables as JSON values: by attribute and title of the collection ``value``, which is null
    where nothing is known, and ``note`` and ``sources`` where there are any.
    """
    return [
        {
            "title": table.title,
            "collections": list(table.columns),
            "attributes": {
                row.attribute: {
                    column: _json_of(cell)
                    for column, cell in zip(table.columns, row.cells, strict=True)
                }
                for row in table.rows
            },
        }
        for table in tables
    ]


def _json_of(cell: Cell) -> dict[str, Any]:
    content: dict[str, Any] = {"value": None if cell.text == UNKNOWN else cell.text}
    if cell.note:
        content["note"] = cell.note
    if cell.sources:
        content["sources"] = list(cell.sources)
    return content


def _cell(collection: JsonObject, attribute: str, fields: Sequence[str], value: _Value) -> Cell:
    try:
        found = value(collection)
        text, note = found if isinstance(found, tuple) else (found, "")
        if not text:
            return Cell(UNKNOWN)
        origins = collection.get("satimnet:attribute_sources", {})
        sources = tuple(_clean(str(origins[key])) for key in fields if key in origins)
        return Cell(_clean(text), _clean(note), tuple(dict.fromkeys(sources)))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise SatimnetError(
            f"{collection.get('id')}: {attribute} cannot be read from its Collection "
            f"({error}); validate the catalog"
        ) from error


def _is_shown(row: Row) -> bool:
    # The paper defines it and has no row for it, as no dataset of its time said anything.
    return row.attribute != "Temporal resolution" or any(c.text != UNKNOWN for c in row.cells)


def _clean(text: str) -> str:
    """Text on one line, without what a terminal would take for orders."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _escaped(text: str) -> str:
    return re.sub(r"([\\|*<`\[\]])", r"\\\1", text)


# --- scope of the training data -----------------------------------------------------------------


def _field(name: str) -> _Value:
    """The words of a top-level field as they stand."""
    return lambda collection: str(collection.get(name, ""))


def _yes_no(name: str) -> _Value:
    return lambda collection: _said(collection.get(name), "yes", "no")


def _said(value: Any, if_true: str, if_false: str) -> str:
    return {True: if_true, False: if_false}.get(value, "")


def _problem(collection: JsonObject) -> str:
    """Several in one: ``pixel-based & object detection``."""
    problems = collection.get("satimnet:classification_problem", [])
    ends = {problem.split()[-1] for problem in problems}
    if len(problems) < 2 or len(ends) > 1:
        return " & ".join(problems)
    (end,) = ends
    return " & ".join(problem.removesuffix(f" {end}") for problem in problems) + f" {end}"


def _conversion(collection: JsonObject) -> str:
    conversion = collection.get("satimnet:class_conversion")
    if conversion is None:
        return ""
    return (
        f"{conversion['from']} to {conversion['to']}"
        if conversion["converted"]
        else "no conversion"
    )


def _annotation(collection: JsonObject) -> str:
    """In words if there are any, for they say more than ``derived``."""
    people = {"expert": "experts", "volunteer": "volunteers"}
    methods = collection.get("satimnet:annotation_method", [])
    words = collection.get("satimnet:annotation_description", "")
    return str(words) or "; ".join(people.get(method, method) for method in methods)


def _verification(collection: JsonObject) -> str:
    return "; ".join(collection.get("satimnet:verification_method", []))


def _licence(collection: JsonObject) -> tuple[str, str]:
    """The SPDX identifier, or what the terms are called where there is none; further terms."""
    licence = str(collection.get("license", ""))
    if licence not in ("other", "various", "proprietary"):
        return licence, ""
    titles = [str(link["title"]) for link in _links(collection, "license") if link.get("title")]
    return "".join(titles[:1]), "; ".join(titles[1:])


def _url(collection: JsonObject) -> str:
    return next((str(link["href"]) for link in _links(collection, "via")), "")


def _links(collection: JsonObject, rel: str) -> list[JsonObject]:
    return [link for link in collection.get("links", []) if link["rel"] == rel]


# --- usage and sustainability -------------------------------------------------------------------


def _coverage(collection: JsonObject) -> tuple[str, str]:
    """The list of places, which follows a colon, is a note."""
    text, _, places = str(collection.get("satimnet:geographic_coverage", "")).partition(": ")
    return text, places


def _volume(collection: JsonObject) -> str:
    size = collection.get("satimnet:data_volume")
    if size is None:
        return ""
    units = ["bytes", "kB", "MB", "GB", "TB", "PB"]
    value = float(size)
    while value >= 999.5 and len(units) > 1:  # 999.5 would be printed as 1e+03
        value /= 1000
        del units[0]
    return f"{value:.3g} {units[0]}"


def _processing(collection: JsonObject) -> tuple[str, str]:
    """Software, or else the product and its level; how each edition was made is a note."""
    editions = _editions(collection)
    places = [collection, *(asset for edition in editions for asset in edition.assets)]
    software = [place.get("processing:software", {}) for place in places]
    software += collection.get("summaries", {}).get("processing:software", [])
    names = list(dict.fromkeys(name for programs in software for name in programs))
    product = _product(collection) if _summary(collection, "processing:level") else ""
    lineages = {
        edition.name: lineage
        for edition in editions
        if (lineage := edition.assets[0].get("processing:lineage"))
    }
    general = [collection.get("processing:lineage", "")]
    general += _summary(collection, "processing:lineage")
    parts = [*filter(None, general), *_labelled(lineages, len(editions))]
    lineage = "; ".join(dict.fromkeys(parts))
    text = ", ".join(names) or product
    return (text, lineage) if text else (lineage, "")


def _product(collection: JsonObject) -> str:
    """Satellites and processing level as product names have them: ``Sentinel-2 L1C``."""
    names = _summary(collection, "constellation") or _summary(collection, "platform")
    words = [", ".join(name.title() for name in names)]
    words.append(", ".join(_summary(collection, "processing:level")))
    return " ".join(filter(None, words))


def _classes(collection: JsonObject) -> list[JsonObject]:
    rows = collection.get("summaries", {}).get("classification:classes", [])
    return [row for row in rows if row["name"] != "background"]


def _class_count(collection: JsonObject) -> str:
    return str(len(_classes(collection)) or "")


def _class_names(collection: JsonObject) -> str:
    """``ship/no ship`` of two classes, the positive one first."""
    names = [str(row.get("title") or row["name"]) for row in _classes(collection)]
    if len(names) == 2:
        return "/".join(reversed(names) if _classes(collection)[0]["value"] == 0 else names)
    return ", ".join(names)


def _naming(collection: JsonObject) -> tuple[str, str]:
    naming = collection.get("satimnet:naming_convention", {})
    return naming.get("informative", ""), naming.get("pattern", "")


# --- intrinsic image attributes -----------------------------------------------------------------

_NO_IMAGE = {"mask", "annotation", "overview", "thumbnail", "metadata", "labels"}


@dataclass(frozen=True, slots=True)
class _Edition:
    """The images of a sample: one file with all bands, or one file for each band."""

    assets: tuple[JsonObject, ...]

    @property
    def bands(self) -> list[JsonObject]:
        return [band for asset in self.assets for band in asset["bands"]]

    @property
    def is_rgb(self) -> bool:
        names = {str(band.get("eo:common_name", band.get("name"))).lower() for band in self.bands}
        return names == {"red", "green", "blue"}

    @property
    def name(self) -> str:
        return "RGB" if self.is_rgb else f"{len(self.bands)}-band"


def _editions(collection: JsonObject) -> list[_Edition]:
    images = [
        asset
        for asset in collection.get("item_assets", {}).values()
        if asset.get("bands") and not _NO_IMAGE.intersection(asset.get("roles", ()))
    ]
    single = [asset for asset in images if len(asset["bands"]) == 1]
    editions = [_Edition((asset,)) for asset in images if len(asset["bands"]) > 1]
    return [*editions, _Edition(tuple(single))] if single else editions


def _each(of_edition: Callable[[_Edition], str]) -> Callable[[JsonObject], str]:
    """The value of the only edition, or each with the edition's name before it."""

    def value(collection: JsonObject) -> str:
        editions = _editions(collection)
        found = {e.name: text for e in editions if (text := of_edition(e))}
        return "; ".join(_labelled(found, len(editions)))

    return value


def _labelled(values: Mapping[str, str], editions: int) -> list[str]:
    return [f"{name}: {text}" if editions > 1 else text for name, text in values.items()]


def _summary(collection: JsonObject, field: str) -> list[Any]:
    """A summary that is a list of values."""
    found = collection.get("summaries", {}).get(field, [])
    return found if isinstance(found, list) else []


def _spatial(collection: JsonObject) -> str:
    bands = {
        band.get("gsd", asset.get("gsd"))
        for edition in _editions(collection)
        for asset in edition.assets
        for band in asset["bands"]
    }
    found = collection.get("summaries", {}).get("gsd", [])
    if bands - {None}:
        found = list(bands - {None})
    elif isinstance(found, Mapping):
        found = [found["minimum"], found["maximum"]]
        return f"variable, {found[0]:g} m to {found[1]:g} m"
    found = sorted(found)
    if len(found) > 4:
        return f"variable, {found[0]:g} m to {found[-1]:g} m"
    return "; ".join(f"{value:g} m" for value in found)


def _spectral(collection: JsonObject) -> tuple[str, str]:
    """From the edition that says it of most bands; its bands are a note."""
    key, width = "eo:center_wavelength", "eo:full_width_half_max"
    known = [[b for b in edition.bands if key in b] for edition in _editions(collection)]
    bands = max(known, key=len, default=[])
    if not bands:
        return "", ""
    centres = [band[key] for band in bands]
    listed = [
        f"{band['name']} {band[key]:g} µm"
        + (f" ({band[width] * 1000:g} nm wide)" if width in band else "")
        for band in bands
    ]
    text = f"{len(bands)} bands, {min(centres):.3g} to {max(centres):.3g} µm"
    return text, ", ".join(listed)


def _imagery(collection: JsonObject) -> str:
    parts = [
        str(collection.get("satimnet:original_imagery", "")),
        _said(collection.get("satimnet:georeferenced"), "geo-referenced", "non geo-referenced"),
    ]
    return "; ".join(filter(None, parts))


_FORMATS = {"image/png": "png", "image/jpeg": "jpg", "image/tiff": "TIFF", "image/jp2": "jp2"}


def _format(edition: _Edition) -> str:
    """The format of the images, which are members of an archive."""
    return ", ".join(dict.fromkeys(filter(None, map(_format_of, edition.assets))))


def _format_of(asset: JsonObject) -> str:
    media_type = asset.get("satimnet:member_type", asset.get("type", ""))
    if media_type == "application/zip":
        return ""
    if "application=geotiff" in media_type:
        return "GeoTIFF (COG)" if "cloud-optimized" in media_type else "GeoTIFF"
    return _FORMATS.get(media_type, str(media_type))


def _dimensions(collection: JsonObject) -> str:
    """Of the files, else the smallest and the largest of those that occur."""
    fixed = _each(_dimensions_of)(collection)
    if fixed:
        return fixed
    shapes = sorted({tuple(shape) for shape in _summary(collection, "proj:shape")}, key=_area)
    if len(shapes) < 2:
        return "".join(map(_times, shapes))
    return f"from {_times(shapes[0])} to {_times(shapes[-1])}"


def _dimensions_of(edition: _Edition) -> str:
    shapes = {
        (tuple(asset["proj:shape"]), band.get("gsd"))
        for asset in edition.assets
        if "proj:shape" in asset
        for band in asset["bands"]
    }
    ordered = sorted(shapes, key=lambda pair: (-_area(pair[0]), pair[1] or 0))
    grouped = [(s, [gsd for _, gsd in g]) for s, g in groupby(ordered, lambda pair: pair[0])]
    if len(grouped) == 1:
        return _times(grouped[0][0])
    return "; ".join(
        f"{_times(shape)} pixels for {', '.join(f'{gsd:g} m' for gsd in gsds)} bands"
        for shape, gsds in grouped
    )


def _times(shape: Sequence[int]) -> str:
    rows, columns = shape
    return f"{rows} × {columns}"  # noqa: RUF001


def _area(shape: Sequence[int]) -> int:
    rows, columns = shape
    return int(rows) * int(columns)


def _band_count(collection: JsonObject) -> str:
    editions = sorted(_editions(collection), key=lambda e: len(e.bands), reverse=True)
    if len(editions) == 1:
        return str(len(editions[0].bands))
    return " & ".join(edition.name for edition in editions)


def _band_names(collection: JsonObject) -> tuple[str, str]:
    """``RGB``, and the bands of another instrument by its name; their own names are a note."""
    texts, notes = [], []
    product = _product(collection)
    for edition in _editions(collection):
        names = ", ".join(str(band["name"]) for band in edition.bands)
        if edition.is_rgb:
            texts.append("RGB")
        elif product:
            texts.append(f"{product} bands")
            notes.append(names)
        else:
            texts.append(names)
    return "; ".join(texts), "; ".join(notes)


def _bits(edition: _Edition) -> str:
    types = [
        band.get("data_type", asset.get("data_type"))
        for asset in edition.assets
        for band in asset["bands"]
    ]
    return ", ".join(dict.fromkeys(_bits_of(str(t)) for t in types if t))


def _bits_of(data_type: str) -> str:
    found = re.fullmatch(r"(u?int|c?float|c?int)(\d+)", data_type)
    if found is None:
        return data_type
    kind = {"uint": "", "int": " signed", "float": " float"}.get(found[1], f" {found[1]}")
    return f"{found[2]}-bits{kind}"


def _nodata(edition: _Edition) -> str:
    values = [
        band.get("nodata", asset.get("nodata"))
        for asset in edition.assets
        for band in asset["bands"]
    ]
    return ", ".join(dict.fromkeys(f"{v:g}" if v != str(v) else v for v in values if v is not None))


_Value = Callable[[JsonObject], str | tuple[str, str]]
_Attribute = tuple[str, Sequence[str], _Value]

_SCOPE: tuple[_Attribute, ...] = (
    ("Classification problem", ["satimnet:classification_problem"], _problem),
    (
        "Intended application",
        ["satimnet:intended_application"],
        _field("satimnet:intended_application"),
    ),
    ("Definition of classes", ["satimnet:class_definition"], _field("satimnet:class_definition")),
    ("Conversion of class representation", ["satimnet:class_conversion"], _conversion),
    (
        "Way of annotation",
        ["satimnet:annotation_method", "satimnet:annotation_description"],
        _annotation,
    ),
    ("Way of verification", ["satimnet:verification_method"], _verification),
    ("Licence", ["license"], _licence),
    ("URL", ["via"], _url),
)
_USAGE: tuple[_Attribute, ...] = (
    ("Geographic coverage", ["satimnet:geographic_coverage"], _coverage),
    ("Timestamp", ["satimnet:timestamp"], _field("satimnet:timestamp")),
    ("Data volume", ["satimnet:data_volume"], _volume),
    (
        "Pre-processing",
        ["processing:level", "processing:lineage", "processing:software"],
        _processing,
    ),
    ("Number of classes", ["classification:classes"], _class_count),
    ("Name of classes", ["classification:classes"], _class_names),
    ("Naming convention", ["satimnet:naming_convention"], _naming),
    (
        "Quality of documentation",
        ["satimnet:documentation_quality"],
        _field("satimnet:documentation_quality"),
    ),
    (
        "Continuous development",
        ["satimnet:continuous_development"],
        _yes_no("satimnet:continuous_development"),
    ),
)
_INTRINSIC: tuple[_Attribute, ...] = (
    ("Spatial resolution", ["gsd"], _spatial),
    ("Spectral resolution", ["bands", "eo:center_wavelength"], _spectral),
    (
        "Temporal resolution",
        ["satimnet:temporal_resolution"],
        _field("satimnet:temporal_resolution"),
    ),
    (
        "Type of original imagery",
        [
            "satimnet:original_imagery",
            "satimnet:georeferenced",
            "platform",
            "constellation",
            "instruments",
        ],
        _imagery,
    ),
    ("Orientation", ["satimnet:orientation"], _field("satimnet:orientation")),
    ("File format", ["type"], _each(_format)),
    ("Image dimensions (rows × cols)", ["proj:shape"], _dimensions),  # noqa: RUF001
    ("Number of bands", [], _band_count),
    ("Name of bands", ["bands"], _band_names),
    ("Data type per band", ["data_type"], _each(_bits)),
    ("No data value", ["nodata"], _each(_nodata)),
    ("Metadata", ["satimnet:embedded_metadata"], _yes_no("satimnet:embedded_metadata")),
)
_TABLES = (
    ("Attributes related to the scope of the training data", _SCOPE),
    ("Attributes related to the usage and sustainability of the training data", _USAGE),
    ("Intrinsic image attributes", _INTRINSIC),
)
