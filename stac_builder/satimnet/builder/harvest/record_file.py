"""The record of a harvested dataset: what ``dataset.toml`` says, and what stays open.

The text is that of the skeleton that ``satimnet new-dataset`` writes, filled in: what is stated
takes the place of an example, and what is not stays a comment with an example.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.catalog.collections import collection_of
from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.exports.paper_tables import UNKNOWN, tables
from satimnet.builder.harvest.description import Description
from satimnet.builder.types import Json

_WIDTH = 100
_SOURCES = "satimnet:attribute_sources"
_NOTES = "satimnet:attribute_notes"
_SECTIONS = (  # the lines of the skeleton that begin a part of it
    ("collection", "# Fields of the Collection: "),
    ("providers", "# Who made it, "),
    ("links", "# Links of the Collection: "),
    ("classes", "# The class table: "),
    ("concepts", "# Concepts of your own"),
    ("properties", "# Properties of all Items."),
    ("assets", "# The images, by the key"),
    ("further", "# Label rasters."),
)
_IMAGE = "image"
"""Key of the skeleton's image asset."""
_NEVER_STATED = ("layout", "signature", "the concept of each class")
"""Keys that no description states."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record that was made of a description."""

    text: str
    """What ``dataset.toml`` says."""
    open: tuple[str, ...]
    """What the description does not say: attributes of the paper, and keys of the record."""


def record_of(description: Description, name: str, skeleton: str) -> Record:
    """The record of a dataset.

    Args:
        description: what is said of it.
        name: id of the dataset.
        skeleton: the text of the ``dataset.toml`` that is to be filled in.
    """
    unsaid = _open(description, name, skeleton)
    parts = _parts(skeleton)
    parts["head"] = _head(parts["head"], description, name, unsaid)
    parts["collection"] = _collection(parts["collection"], description)
    for key, rows in (
        ("providers", description.providers),
        ("links", description.links),
        ("classes", description.classes),
    ):
        if rows:
            parts[key] = _introduction(parts[key]) + _rows(key, rows)
    if description.downloads:
        parts["links"] += "# Where the files are.\n" + _rows("downloads", description.downloads)
    if description.properties:
        parts["properties"] = parts["properties"].replace(
            "[properties]\n", "[properties]\n" + _lines(description.properties), 1
        )
    tables_of_assets = "".join(
        f"[assets.{_key(key)}]\n{_lines(asset)}\n" for key, asset in _assets(description).items()
    )
    if _images(description):  # else the image of the skeleton stays
        parts["assets"] = _introduction(parts["assets"])
    parts["assets"] += tables_of_assets
    text = "".join(parts.values())
    DatasetRecord.of(tomllib.loads(text), "dataset.toml")
    return Record(text, unsaid)


def _open(description: Description, name: str, skeleton: str) -> tuple[str, ...]:
    """What is not said; the examples of the skeleton do not count."""
    content = tomllib.loads(skeleton)
    content |= {"license": description.license or "other", "links": description.links}
    content |= {"classes": description.classes, "assets": description.assets}
    content |= {"collection": _attributes(description), "properties": description.properties}
    document = CollectionDocument.of(json.loads(json.dumps(collection_of(content))), name)
    rows = [row for table in tables([document]) for row in table.rows]
    unsaid = [row.attribute for row in rows if row.cells[0].text == UNKNOWN]
    stated = {
        "description": description.description,
        "keywords": description.keywords,
        "providers": description.providers,
        "start_datetime": description.start,
        "end_datetime": description.end,
        "bbox": description.bbox,
        **{f"assets.{key}.data_type": a.get("data_type") for key, a in _images(description)},
    }
    return (*unsaid, *_NEVER_STATED, *(key for key, value in stated.items() if not value))


def _images(description: Description) -> list[tuple[str, Json]]:
    return [(key, asset) for key, asset in description.assets.items() if "bands" in asset]


def _assets(description: Description) -> dict[str, Json]:
    """The assets; an image must have a data type. Without one, the skeleton's stays as it is."""
    without_image = not _images(description)
    return {
        key: {**asset, "data_type": asset.get("data_type", "uint8")} if "bands" in asset else asset
        for key, asset in description.assets.items()
        if not (without_image and key == _IMAGE)
    }


def _attributes(description: Description) -> Json:
    """The table ``[collection]``, each value with its source."""
    stated: dict[str, str] = dict.fromkeys(description.attributes, description.place)
    if description.license:
        stated["license"] = description.place
    if any(link["rel"] == "via" for link in description.links):
        stated["via"] = description.place
    if description.classes:
        stated["classification:classes"] = description.place
    for key in ("bands", "data_type", "nodata", "processing:lineage"):
        if any(key in asset for asset in description.assets.values()):
            stated[key] = description.place
    stated |= dict.fromkeys(description.properties, description.place)
    return {
        **description.attributes,
        **({_NOTES: description.notes} if description.notes else {}),
        _SOURCES: stated | description.sources,
    }


# --- the text -------------------------------------------------------------------------------------


def _parts(skeleton: str) -> dict[str, str]:
    """The parts of the skeleton by name; together they are the whole of it."""
    starts = [0, *(skeleton.index(f"\n{first}") + 1 for _, first in _SECTIONS), len(skeleton)]
    names = ["head", *(name for name, _ in _SECTIONS)]
    return {name: skeleton[a:b] for name, a, b in zip(names, starts, starts[1:])}


def _introduction(part: str) -> str:
    """The comments before the first table of a part."""
    return part[: part.index("\n[") + 1]


def _head(part: str, description: Description, name: str, unsaid: Sequence[str]) -> str:
    stated: Json = {
        "title": description.title,
        "license": description.license,
        "keywords": description.keywords,
        "start_datetime": description.start,
        "end_datetime": description.end,
        "bbox": description.bbox,
    }
    for key, value in stated.items():
        if value:
            part = _replaced(part, rf"^{key} = .*$", f"{key} = {_toml(value)}")
    if description.description:
        text = f"description = {_toml(description.description)}"
        part = _replaced(part, r'^description = """$.*?"""$', text, re.MULTILINE | re.DOTALL)
    made = [
        f"# Harvested from {description.form}: {description.place}",
        "# Open, because nothing is said of it there (what stands below instead is an example):",
        *(f"#   {one}" for one in unsaid),
    ]
    if description.left_out:
        made += [
            "# Said there, but left out:",
            *(f"#   {one}" for one in description.left_out[:50]),
        ]
    return "\n".join([*made, "", part])


def _collection(part: str, description: Description) -> str:
    """Fills the lines of the skeleton that have an example; what has no line comes first."""
    attributes = _attributes(description)
    without_line = {}
    for key, value in attributes.items():
        if key in (_SOURCES, _NOTES):
            continue
        pattern = re.compile(rf"^# {re.escape(_toml(key))} = .*$", re.MULTILINE)
        if pattern.search(part):
            part = _replaced(part, pattern.pattern, f"{_toml(key)} = {_toml(value)}")
        else:
            without_line[key] = value
            part = _without_example(part, key)
    part = part.replace("[collection]\n", "[collection]\n" + _lines(without_line), 1)
    for key in (_SOURCES, _NOTES):
        if key in attributes:
            table = f"[collection.{_toml(key)}]\n{_lines(attributes[key])}\n"
            part = _without_example(part, key).rstrip("\n") + f"\n\n{table}"
    return part


def _without_example(part: str, key: str) -> str:
    """The part without the commented table that shows how a key would be written."""
    return re.sub(
        rf"^# \[+collection\.{re.escape(_toml(key))}\]+\n(?:#.*\n)*", "", part, flags=re.M
    )


def _replaced(part: str, pattern: str, text: str, flags: int = re.MULTILINE) -> str:
    return re.sub(pattern, lambda _: text, part, count=1, flags=flags)


def _rows(key: str, rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(f"[[{key}]]\n{_lines(row)}\n" for row in rows)


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{_key(key)} = {_toml(value)}\n" for key, value in table.items())


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml(key)


def _toml(value: Any) -> str:
    """A value as TOML writes it on one line, or a list of tables on several.

    The strings of JSON are those of TOML, as no value has control characters.
    """
    if isinstance(value, dict):
        pairs = ", ".join(f"{_key(key)} = {_toml(one)}" for key, one in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list):
        parts = [_toml(one) for one in value]
        text = f"[{', '.join(parts)}]"
        if len(text) <= _WIDTH - 20 and not any(isinstance(one, dict) for one in value):
            return text
        return "[\n" + "".join(f"    {part},\n" for part in parts) + "]"
    return json.dumps(value, ensure_ascii=False)
