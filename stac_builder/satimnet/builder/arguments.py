"""Arguments: checks those of public functions, so that a wrong one gives a sentence, no traceback.

`checked` compares what a function is given with its annotations, so that nothing is written twice.
"""

from __future__ import annotations

import difflib
import inspect
import math
import numbers
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import (
    Any,
    Literal,
    ParamSpec,
    TypeVar,
    Union,
    Unpack,
    get_args,
    get_origin,
    get_type_hints,
)

from satimnet.builder.errors import ArgumentError, WrongTypeError

P = ParamSpec("P")
R = TypeVar("R")

_WORDS: Mapping[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    os.PathLike: "a path",
    NoneType: "None",
    Mapping: "a mapping",
    Path: "a pathlib.Path",
}


def checked(
    rest: Callable[..., Any] | None = None, *, defaults: Mapping[str, Any] = MappingProxyType({})
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator that makes a function refuse arguments that do not fit its annotations.

    The function then raises `WrongTypeError`, which names the argument: for an unknown or a missing
    keyword, a text where it wants a list, any other wrong type, and NaN for a number. Annotations
    whose names are imported for type checkers only are not checked.

    Args:
        rest: the function that gets further keywords. Those of ``**options: Unpack[Options]`` are
            checked one by one.
        defaults: what help() shows as theirs.

    Example:
        >>> @checked()
        ... def area(side: int) -> int:
        ...     return side * side
        >>> area("2")
        Traceback (most recent call last):
        ...
        satimnet.builder.errors.WrongTypeError: side is the text '2'; give a whole number
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = _signature(function, defaults)
        own = signature.parameters
        others = {} if rest is None else inspect.signature(rest).parameters
        named = [name for name, one in (own | dict(others)).items() if _can_be_named(one)]
        hints: dict[str, Any] = {}

        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            if not hints:  # at the first call: the module that the function is in is whole then
                hints.update({name: _hint(own[name].annotation, function) for name in own})
            open_ended = rest is None and any(p.kind is p.VAR_KEYWORD for p in own.values())
            for name in kwargs:
                if name not in named and not open_ended:
                    raise WrongTypeError(
                        f"{function.__name__}() has no {name}; {hint(name, named)}"
                    )
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError as error:
                raise WrongTypeError(f"{function.__name__}(): {error}") from None
            for name, value in bound.arguments.items():
                if _can_be_named(own[name]) and not _fits(value, hints[name]):
                    raise WrongTypeError(
                        f"{name} is {_shown(value)}; give {_wanted(hints[name], value)}", name
                    )
            return function(*args, **kwargs)

        run.__signature__ = signature  # type: ignore[attr-defined]  # what help() shows
        return run

    return decorate


def at_least(least: int, **values: int | None) -> None:
    """Raises `ArgumentError` for the first of the numbers that is smaller; None is left out."""
    for name, value in values.items():
        if value is not None and value < least:
            raise ArgumentError(f"{name} {value}: must be {least} or more", name)


def require_fraction(fraction: float, seed: int) -> None:
    """Raises `ArgumentError` unless ``fraction`` is between 0 and 1, and ``seed`` not negative."""
    at_least(0, seed=seed)
    if not 0 < fraction < 1:
        raise ArgumentError(f"fraction {fraction:g}: must be between 0 and 1", "fraction")


def hint(name: str, known: Collection[str]) -> str:
    """Which of the known names is meant, or which there are."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"


def _signature(function: Callable[..., Any], defaults: Mapping[str, Any]) -> inspect.Signature:
    """The signature, with the keywords of ``**options: Unpack[Options]`` one by one."""
    signature = inspect.signature(function)
    parameters: list[inspect.Parameter] = []
    for one in signature.parameters.values():
        packed = _hint(one.annotation, function) if one.kind is one.VAR_KEYWORD else None
        if get_origin(packed) is not Unpack:
            parameters.append(one)
            continue
        for name, kind in get_type_hints(*get_args(packed)).items():
            default = defaults.get(name, one.empty)
            keyword = inspect.Parameter(name, one.KEYWORD_ONLY, default=default, annotation=kind)
            parameters.append(keyword)
    return signature.replace(parameters=parameters)


def _can_be_named(parameter: inspect.Parameter) -> bool:
    """Whether a keyword may name the parameter."""
    kinds = (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY)
    return parameter.kind not in kinds and parameter.name != "self"


def _hint(annotation: Any, function: Callable[..., Any]) -> Any:
    """The annotation as a type; Any where its names are there for type checkers only."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, function.__globals__)  # as typing.get_type_hints does
    except (NameError, AttributeError, TypeError):
        return Any


def _alternatives(wanted: Any) -> tuple[Any, ...]:
    """The members of a union; else the type itself."""
    return get_args(wanted) if get_origin(wanted) in (Union, UnionType) else (wanted,)


def _fits(value: Any, wanted: Any) -> bool:
    """Whether a value is of one of the alternatives."""
    return any(_is(value, one) for one in _alternatives(wanted))


def _is(value: Any, wanted: Any) -> bool:
    """Whether a value is of a type that is no union."""
    kind = get_origin(wanted) or wanted
    if kind is Any:
        return True
    if kind is Literal:
        return value in get_args(wanted)
    if kind is None or kind is NoneType:
        return value is None
    if kind is bool:
        return isinstance(value, bool) or type(value).__name__ == "bool"  # NumPy's own
    if kind is int:
        return isinstance(value, numbers.Integral)
    if kind is float:
        return isinstance(value, numbers.Real) and not math.isnan(value)
    if kind in (Sequence, Iterable):
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
            return False
        items = value if isinstance(value, list | tuple) else ()
        return all(_fits(item, part) for item in items for part in get_args(wanted)[:1])
    known = isinstance(kind, type) and not getattr(kind, "_is_protocol", False)
    return not known or isinstance(value, kind)


def _wanted(wanted: Any, given: Any) -> str:
    """What fits, in words; of one text instead of a list, that list."""
    words = []
    for one in _alternatives(wanted):
        kind = get_origin(one) or one
        kind = NoneType if kind is None else kind
        if kind in (Sequence, Iterable):
            parts = [part for argument in get_args(one) for part in _alternatives(argument)]
            kinds: dict[Any, str] = {str: " of names", Path: " of pathlib.Path"}
            such = f", such as [{given!r:.60}]" if str in parts and isinstance(given, str) else ""
            words.append("a list" + kinds.get(parts[0] if parts else None, "") + such)
        elif kind is Literal:
            words += map(repr, get_args(one))
        else:
            words.append(_WORDS.get(kind, f"{getattr(kind, '__name__', kind)}"))
    return " or ".join(dict.fromkeys(words))


def _shown(value: Any) -> str:
    """How a message shows a value."""
    if value is None or isinstance(value, bool | numbers.Number):
        return repr(value)
    if isinstance(value, str):
        return f"the text {value!r:.60}"
    if isinstance(value, list | tuple):
        return f"{value!r:.60}"
    return f"of type {type(value).__name__}"
