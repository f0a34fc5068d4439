"""Messages of the library, which name arguments of Python, in the words of the command: options."""

from __future__ import annotations

import re

import click

from satimnet.builder.errors import ArgumentError, SatimnetError, WrongTypeError

_SPELLED = (
    (r"""bad_files=["']any["']""", "--keep-going"),
    (r"""bad_files=["']stop["']""", "--strict"),
    (r"""(?:with )?bad_files=["']few["']""", "without --strict"),
    (r"layers=None", "--without-masks"),
    (r"samples\.of_size\((\d+), (\d+)\)", r"--image-size \1x\2"),
    (r"samples\.cropped\((\d+), (\d+)\)", r"--crop \1x\2"),
    (r"; size=\(\d+, \d+\) of to_batches and to_xarray crops or pads them", ""),
    (r"samples\.cropped\(rows, columns\)", "--crop ROWSxCOLUMNS"),
)
"""What the library says to Python, and the option that stands for it."""

_VALUE = r"""=(True\b|"[^"]*"|\[[^\]]*\]|\(\d+, ?\d+\))"""
_ASKED_FOR = r"(?:^|\b(?:give|choose|set|say|with|without|by|another|other|smaller|larger|and|or) )"


def with_options(error: SatimnetError) -> str:
    """The message of an error, with the options of the command for the arguments of Python.

    ``name=value`` becomes an option, and so does every name with an underscore. Other names are
    everyday words: they become one if an `ArgumentError` carries them, and only where the message
    begins with them or asks for them.
    """
    options = _options_by_argument()
    message = str(error)
    for python, option in _SPELLED if options else ():
        message = re.sub(python, option, message)
    carried = error.arguments if isinstance(error, ArgumentError) else ()
    for name, option in options.items():
        for match in re.finditer(rf"(?<![\w.-]){re.escape(name)}{_VALUE}", message):
            message = message.replace(match[0], option + _as_typed(match[1]))
        if "_" in name or name in carried:
            before = r"(?<![\w./-])" if "_" in name else _ASKED_FOR
            pattern = rf"({before}){re.escape(name)}(?![\w=/-]|\.\w)"
            message = re.sub(pattern, rf"\g<1>{option}", message)
    if options and isinstance(error, WrongTypeError):
        message = message.removesuffix(" or None")  # an option that is not given
    return message


def _options_by_argument() -> dict[str, str]:
    """The options of the command that runs, by the arguments of Python that they stand for."""
    context = click.get_current_context(silent=True)
    found: dict[str, str] = {}
    for option in context.command.params if context is not None else ():
        long = [text for text in option.opts if text.startswith("--")]
        if isinstance(option, click.Option) and option.name and long:
            for name in (option.name, long[0][2:].replace("-", "_")):
                found.setdefault(name, long[0])
    plurals = {f"{name}s": text for name, text in found.items()}  # given again for each of a list
    return plurals | found


def _as_typed(value: str) -> str:
    """A value of Python as it is typed behind an option: nothing for True, else after a space."""
    if value == "True":
        return ""
    if value.startswith("("):
        return re.sub(r"\((\d+), ?(\d+)\)", r" \1x\2", value)
    return " " + re.sub(r"""["'\[\]]""", "", value)
