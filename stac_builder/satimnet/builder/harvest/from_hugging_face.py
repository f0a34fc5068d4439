"""Dataset cards of Hugging Face: the YAML head of a ``README.md``.

The fields are those of https://github.com/huggingface/hub-docs/blob/main/datasetcard.md.
"""

from __future__ import annotations

import re
from typing import Any

from satimnet.builder.errors import BadFileError
from satimnet.builder.harvest.description import Description
from satimnet.builder.harvest.stated_classes import class_rows
from satimnet.builder.harvest.stated_values import (
    address,
    line,
    lines,
    listed,
    mapped,
    spdx,
    whole,
)
from satimnet.builder.types import Json

_HEAD = re.compile(r"\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_CARD = re.compile(r"(https://huggingface\.co/datasets/[\w.-]+/([\w.-]+))(?:/.*)?", re.ASCII)
_DEEPEST = 20  # levels of a head
_LONGEST = 2**19  # characters of a head, as YAML is read slowly
_PROBLEMS = {
    "object-detection": "object detection",
    "image-segmentation": "pixel-based classification",
    "image-classification": "patch-based classification",
}
_METHODS = {
    "crowdsourced": "crowdsourced",
    "expert-generated": "expert",
    "machine-generated": "automated",
    "found": "derived",
}


def is_card(text: str) -> bool:
    """Whether a text has the head of a card."""
    return _HEAD.match(text) is not None


def read_card(text: str, place: str) -> Description:
    """What the head of a dataset card says.

    Raises:
        BadFileError: it is no YAML, or one that is made to take up the machine.
    """
    match = _HEAD.match(text)
    text = match[1] if match else ""
    if len(text) > _LONGEST:
        raise BadFileError(place, f"its head has more than {_LONGEST} characters")
    head = _parsed(text, place)
    found = Description("a dataset card of Hugging Face", place)
    found.title = line(head.get("pretty_name"), 300)
    if page := _CARD.fullmatch(place):
        found.name = page[2]
        found.link("via", page[1], "The dataset at Hugging Face")
        found.provide("Hugging Face", "host", page[1])
    found.keywords = lines([*listed(head.get("tags")), *listed(head.get("task_categories"))])
    _licence(head, found)
    tasks = lines(head.get("task_categories"))
    found.say("satimnet:classification_problem", _those(_PROBLEMS, tasks))
    found.say(
        "satimnet:annotation_method", _those(_METHODS, lines(head.get("annotations_creators")))
    )
    for info in map(mapped, listed(head.get("dataset_info"))):
        found.say("satimnet:data_volume", whole(info.get("download_size")))
        found.classes = found.classes or _classes(info)
    return found


def _those(words: dict[str, str], given: list[str]) -> list[str]:
    return list(dict.fromkeys(words[one] for one in given if one in words))


def _licence(head: Json, found: Description) -> None:
    names = lines(head.get("license"))
    found.license = next(filter(None, map(spdx, names)), None)
    words = line(head.get("license_name"), 300) or line(head.get("license_details"), 300)
    found.link("license", address(head.get("license_link")), words)
    unnamed = [name for name in names if name not in ("unknown", "other") and not spdx(name)]
    if found.license is None and (words or unnamed):
        found.notes["license"] = words or "; ".join(unnamed)


def _classes(info: Json) -> list[Json]:
    """The class labels of the first feature that has some."""
    for feature in map(mapped, listed(info.get("features"))):
        for kind in (feature.get("dtype"), feature.get("sequence"), feature.get("list")):
            names = mapped(mapped(kind).get("class_label")).get("names")
            if isinstance(names, list):
                names = dict(enumerate(names))
            if rows := [{"name": line(str(one))} for one in _in_order(names)]:
                return class_rows(rows)
    return []


def _in_order(names: Any) -> list[Any]:
    """The values of ``{"0": "forest", "1": "river"}`` by their numbers."""
    numbered = {str(key): name for key, name in names.items()} if isinstance(names, dict) else {}
    keys = [key for key in numbered if key.isdecimal() and len(key) < 10]
    return [numbered[key] for key in sorted(keys, key=int) if isinstance(numbered[key], str | int)]


def _parsed(head: str, place: str) -> Json:
    import yaml

    try:
        depth = 0
        for event in yaml.parse(head, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise BadFileError(place, "its head has a YAML alias, which no card needs")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise BadFileError(place, f"its head has more than {_DEEPEST} levels")
        loaded = yaml.safe_load(head)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise BadFileError(place, f"its head is no YAML: {line(str(error), 200)}") from error
    if not isinstance(loaded, dict):
        raise BadFileError(place, "its head has no fields")
    return {str(key): value for key, value in loaded.items()}
