"""Attributes of a dataset as the paper's Tables 1 and 2 word them: its scope, use and upkeep.

Also the informative features that it names after Table 3.
"""

from __future__ import annotations

from satimnet.builder.catalog.collection_document import CollectionDocument, LabelClass
from satimnet.builder.exports.attributes import Attribute, product, words, yes_or_no
from satimnet.builder.exports.image_attributes import editions_of, labelled
from satimnet.builder.types import Json

# --- scope of the training data -----------------------------------------------------------------


def _problem(collection: CollectionDocument) -> str:
    """Several in one: ``pixel-based & object detection``."""
    problems = collection.json.get("satimnet:classification_problem", [])
    ends = {problem.split()[-1] for problem in problems}
    if len(problems) < 2 or len(ends) > 1:
        return " & ".join(problems)
    (end,) = ends
    return " & ".join(problem.removesuffix(f" {end}") for problem in problems) + f" {end}"


def _conversion(collection: CollectionDocument) -> str:
    conversion = collection.json.get("satimnet:class_conversion")
    if conversion is None:
        return ""
    return (
        f"{conversion['from']} to {conversion['to']}"
        if conversion["converted"]
        else "no conversion"
    )


def _annotation(collection: CollectionDocument) -> str:
    """In words if there are any, for they say more than ``derived``."""
    people = {"expert": "experts", "volunteer": "volunteers"}
    methods = collection.json.get("satimnet:annotation_method", [])
    text = collection.json.get("satimnet:annotation_description", "")
    return str(text) or "; ".join(people.get(method, method) for method in methods)


def _verification(collection: CollectionDocument) -> str:
    return "; ".join(collection.json.get("satimnet:verification_method", []))


def _licence(collection: CollectionDocument) -> tuple[str, str]:
    """The SPDX identifier, or what the terms are called where there is none; further terms.

    The first link is the licence itself.
    """
    titles = [str(link["title"]) for link in collection.links("license") if link.get("title")]
    name = collection.license if collection.has_spdx_license else "".join(titles[:1])
    return name, "; ".join(titles[1:])


def _url(collection: CollectionDocument) -> str:
    return collection.home or ""


SCOPE = (
    Attribute("Classification problem", ("satimnet:classification_problem",), _problem),
    Attribute(
        "Intended application",
        ("satimnet:intended_application",),
        words("satimnet:intended_application"),
    ),
    Attribute(
        "Definition of classes", ("satimnet:class_definition",), words("satimnet:class_definition")
    ),
    Attribute("Conversion of class representation", ("satimnet:class_conversion",), _conversion),
    Attribute(
        "Way of annotation",
        ("satimnet:annotation_method", "satimnet:annotation_description"),
        _annotation,
    ),
    Attribute("Way of verification", ("satimnet:verification_method",), _verification),
    Attribute("Licence", ("license",), _licence),
    Attribute("URL", ("via",), _url),
)
"""The rows of Table 1, the scope of the training data."""


# --- usage and sustainability -------------------------------------------------------------------


def _coverage(collection: CollectionDocument) -> tuple[str, str]:
    """The list of places, which follows a colon, is a note."""
    coverage = str(collection.json.get("satimnet:geographic_coverage", ""))
    text, _, places = coverage.partition(": ")
    return text, places


def _volume(collection: CollectionDocument) -> str:
    size = collection.json.get("satimnet:data_volume")
    if size is None:
        return ""
    units = ["bytes", "kB", "MB", "GB", "TB", "PB"]
    value = float(size)
    while value >= 999.5 and len(units) > 1:  # 999.5 would be printed as 1e+03
        value /= 1000
        del units[0]
    return f"{value:.3g} {units[0]}"


def _processing(collection: CollectionDocument) -> tuple[str, str]:
    """Software, or else the product and its level; how each edition was made is a note."""
    editions = editions_of(collection)
    as_written = collection.json.get("item_assets", {})
    places = [
        collection.json,
        *(as_written[asset.key] for edition in editions for asset in edition.assets),
    ]
    software = [place.get("processing:software", {}) for place in places]
    software += collection.summary("processing:software")
    names = list(dict.fromkeys(name for programs in software for name in programs))
    made_from = product(collection) if collection.summary("processing:level") else ""
    lineages = {
        edition.name: lineage for edition in editions if (lineage := edition.assets[0].lineage)
    }
    general = [collection.json.get("processing:lineage", "")]
    general += collection.summary("processing:lineage")
    parts = [*filter(None, general), *labelled(lineages, len(editions))]
    lineage = "; ".join(dict.fromkeys(parts))
    text = ", ".join(names) or made_from
    return (text, lineage) if text else (lineage, "")


def _classes(collection: CollectionDocument) -> list[LabelClass]:
    return [row for row in collection.classes if row.name != "background"]


def _class_count(collection: CollectionDocument) -> str:
    return str(len(_classes(collection)) or "")


def _class_names(collection: CollectionDocument) -> str:
    """``ship/no ship`` of two classes, the positive one first."""
    rows = _classes(collection)
    names = [row.label for row in rows]
    if len(names) == 2:
        return "/".join(reversed(names) if rows[0].value == 0 else names)
    return ", ".join(names)


def _naming(collection: CollectionDocument) -> tuple[str, str]:
    naming = collection.json.get("satimnet:naming_convention", {})
    return naming.get("informative", ""), naming.get("pattern", "")


USAGE = (
    Attribute("Geographic coverage", ("satimnet:geographic_coverage",), _coverage),
    Attribute("Timestamp", ("satimnet:timestamp",), words("satimnet:timestamp")),
    Attribute("Data volume", ("satimnet:data_volume",), _volume),
    Attribute(
        "Pre-processing",
        ("processing:level", "processing:lineage", "processing:software"),
        _processing,
    ),
    Attribute("Number of classes", ("classification:classes",), _class_count),
    Attribute("Name of classes", ("classification:classes",), _class_names),
    Attribute("Naming convention", ("satimnet:naming_convention",), _naming),
    Attribute(
        "Quality of documentation",
        ("satimnet:documentation_quality",),
        words("satimnet:documentation_quality"),
    ),
    Attribute(
        "Continuous development",
        ("satimnet:continuous_development",),
        yes_or_no("satimnet:continuous_development"),
    ),
)
"""The rows of Table 2, usage and sustainability of the training data."""


# --- additional informative features --------------------------------------------------------------


def _uses(collection: CollectionDocument) -> str:
    """What each publication used the dataset for."""
    return "; ".join(
        f"{use['purpose']} ({use['title']}, {_where(use)})"
        for use in collection.json.get("satimnet:research_usage", ())
    )


def _where(use: Json) -> str:
    return f"https://doi.org/{use['doi']}" if use.get("doi") else str(use["href"])


def _citations(collection: CollectionDocument) -> tuple[str, str]:
    """The count, and who counted and when."""
    found = collection.json.get("satimnet:citation_count")
    return (f"{found['count']:,}", f"{found['source']}, {found['date']}") if found else ("", "")


ADDITIONAL = (
    Attribute("Usage in other research", ("satimnet:research_usage",), _uses),
    Attribute("Number of citations", ("satimnet:citation_count",), _citations),
    Attribute("Impact", ("satimnet:impact",), words("satimnet:impact")),
    Attribute("Release date", ("satimnet:release_date",), words("satimnet:release_date")),
)
"""What the paper names after Table 3. Where the files lie, each Item says."""
