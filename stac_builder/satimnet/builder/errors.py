"""The errors that users can cause and mend.

::

    SatimnetError                       the base of all
    ├── NotFoundError                   what was named is not there; also a FileNotFoundError
    ├── BadFileError                    a file of a source is broken
    ├── BadCatalogError                 a catalog, or a file of satimnet's, says what cannot be
    ├── BadQueryError                   a question that cannot be answered; also a ValueError
    │   ├── TooLargeError               it is too long, or asks for too much
    │   └── TooSlowError                its answer takes too long
    ├── ArgumentError                   an argument that cannot be; also a ValueError
    │   └── WrongTypeError              it is of another type; also a TypeError
    └── StorageError                    bytes cannot be read or written; also an OSError

Each message is one line that names the file or the argument and says what to do. The library names
arguments of Python; the command puts its options in their place.
"""

from __future__ import annotations

from typing import Any, Literal

_LONGEST = 1800
"""Characters of a message: a path may have 4,096, and what a catalog says as many as it likes."""


def printable(text: str) -> str:
    """The text with escapes for what would break a line, move a cursor or be no Unicode.

    File names may hold anything: line ends, control characters, bytes that are no UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


_HIDDEN: dict[str, str] = {}
_MOST_HIDDEN = 1000


def hide(secret: str, instead: str) -> None:
    """Keeps a text, such as the query of a signed URL, out of all messages from now on.

    Args:
        secret: what no message may have.
        instead: what stands there then.
    """
    _HIDDEN.setdefault(secret, instead)
    if len(_HIDDEN) > _MOST_HIDDEN:  # each asset of a catalog may have a signature of its own
        _HIDDEN.pop(next(iter(_HIDDEN)), None)


def without_secrets(text: str) -> str:
    """The text without what `hide` was told of."""
    for secret, instead in list(_HIDDEN.items()):
        text = text.replace(secret, instead)
    return text


def _told(message: str) -> str:
    """The message in one line without secrets; the middle of one that is too long is left out."""
    line = printable(without_secrets(message))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]} … {line[-_LONGEST // 3 :]}"


class SatimnetError(Exception):
    """Something the user can mend; the message is one line that names the file and the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(_told(message))


class NotFoundError(SatimnetError, FileNotFoundError):
    """What was named is not there: a file, a collection, an Item."""


class BadFileError(SatimnetError):
    """One file of a source is broken; a build may leave it out and go on.

    ``kind`` is that of the `Problem` it becomes: ``incomplete`` where nothing is wrong, but the
    sample has to do without this file.
    """

    def __init__(
        self, path: str, reason: str, kind: Literal["broken", "incomplete"] = "broken"
    ) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
        self.kind = kind

    def __reduce__(self) -> tuple[type[BadFileError], tuple[str, str, str]]:
        # Exceptions travel between worker processes by their arguments.
        return type(self), (self.path, self.reason, self.kind)


class BadCatalogError(SatimnetError):
    """A catalog, or another file that satimnet writes and reads, says what cannot be."""


class BadQueryError(SatimnetError, ValueError):
    """A question that cannot be answered as it is put."""


class TooLargeError(BadQueryError):
    """A question that is too long, or asks for too much."""


class TooSlowError(BadQueryError):
    """A question whose answer takes too long."""


class ArgumentError(SatimnetError, ValueError):
    """An argument that cannot be.

    The message names the arguments as Python does (``image_size``); they stand in ``arguments`` as
    well, so that a command can name its options instead (``--image-size``).
    """

    def __init__(self, message: str, *arguments: str) -> None:
        super().__init__(message)
        self.arguments = arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), *self.arguments)


class WrongTypeError(ArgumentError, TypeError):
    """An argument of another type than the function takes, or one that it does not know."""


class StorageError(SatimnetError, OSError):
    """Bytes that cannot be read or written where they are asked for."""


def how_to_install(*extras: str) -> str:
    """The command that installs the packages of some of satimnet's extras, one by one.

    satimnet need not be in a package index, so ``satimnet[training]`` may be nothing to pip.

    Example:
        >>> how_to_install("distributed")
        "pip install 'distributed>=2025.1'"
    """
    from importlib.metadata import requires

    from packaging.requirements import Requirement

    wanted = []
    for requirement in map(Requirement, requires("satimnet") or ()):
        marker = requirement.marker  # of what is needed without an extra there is none
        if marker and any(marker.evaluate({"extra": extra}) for extra in extras):
            wanted.append(f"'{requirement.name}{requirement.specifier}'")
    return " ".join(["pip install", *wanted])


class CatalogWarning(UserWarning):
    """Something of a catalog cannot be read, and the rest is; the message is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(_told(message))
