"""The shapes that JSON must have, and in words what does not fit.

A shape is a type; a list with the shape of its elements; a map of keys to shapes, where "key?" may
be absent and `...` stands for any other key; or a tuple of shapes, one of which must fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from satimnet.builder.storage.hrefs import is_href
from satimnet.builder.types import Json

Shape = Any
"""A type, a list, a map or a tuple, as above; `Href` is the type of texts that can be followed."""


class Href:
    """The shape of a path or URL that can be followed."""


def misfit(value: Any, shape: Shape, path: str) -> str | None:
    """What is wrong with a value, in words; None if it fits.

    Optional fields that are null are removed from the value. Errors call it ``path``.
    """
    if isinstance(shape, dict) and isinstance(value, dict):
        return _misfit_of_object(value, shape, path)
    if isinstance(shape, list) and isinstance(value, list):
        places = ((f"{path}[{at}]", one) for at, one in enumerate(value))
        problems = (misfit(one, shape[0], place) for place, one in places)
        return next(filter(None, problems), None)
    if _fits(value, shape):
        return None
    return f"{path} is {shown(value)}; it must be {_words(shape)}"


def _misfit_of_object(value: Json, shape: Mapping[Any, Shape], path: str) -> str | None:
    before = f"{path}." if path else ""
    for key, inner in shape.items():
        name = "" if key is ... else key.removesuffix("?")
        if key is ...:
            problems = (misfit(one, inner, f"{before}{own}") for own, one in value.items())
            problem = next(filter(None, problems), None)
        elif name != key and value.get(name) is None:
            value.pop(name, None)
            continue
        elif name not in value:
            return f"{path or 'it'} has no {name}"
        else:
            problem = misfit(value[name], inner, f"{before}{name}")
        if problem:
            return problem
    return None


def _fits(value: Any, shape: Shape) -> bool:
    if isinstance(shape, tuple):
        return any(_fits(value, one) for one in shape)
    if shape is None or shape is object:
        return shape is object or value is None
    if shape is Href:
        return isinstance(value, str) and is_href(value)
    kind = value if isinstance(value, type) else type(value)
    return kind is shape or (kind is int and shape is float)


_WORDS: Mapping[Any, str] = {
    **{str: "a text", int: "a whole number", float: "a number", bool: "true or false"},
    **{
        Href: "a path or a URL",
        bytes: "a binary value",
        datetime: "a time with its zone",
        None: "null",
    },
}


def _words(shape: Shape) -> str:
    if isinstance(shape, tuple):
        return " or ".join(map(_words, shape))
    if isinstance(shape, list):
        return "a list"
    return "an object" if isinstance(shape, dict) else _WORDS.get(shape, "an object")


def shown(value: Any) -> str:
    """The start of a value as its file has it."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, type):
        return _WORDS.get(value, "of another type")
    return orjson.dumps(value).decode()[:80]
