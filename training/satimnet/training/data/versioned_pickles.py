"""Pickles that say which format they are of, so that no version misreads what another wrote.

Version 0.1.0 wrote no format. Whatever is not of this format is refused in one line.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from satimnet.builder.errors import BadCatalogError

FORMAT = 4
"""To be raised whenever something that is pickled gets, loses or changes an attribute."""


class VersionedPickle:
    """A base of classes whose pickles carry `FORMAT`.

    Of a dataclass the fields are pickled, of other classes all attributes.
    """

    def __getstate__(self) -> dict[str, Any]:
        names = [field.name for field in fields(self)] if is_dataclass(self) else list(vars(self))
        return {"format": FORMAT} | {name: getattr(self, name) for name in names}

    def __setstate__(self, state: Any) -> None:
        """Takes over what was pickled.

        Raises:
            BadCatalogError: Another version of satimnet pickled it, in another format.
        """
        if not isinstance(state, dict) or state.get("format") != FORMAT:
            raise BadCatalogError(
                "the pickle was written by another version of satimnet; "
                "search the catalog again and pickle what is found"
            )
        for name, value in state.items():
            if name != "format":
                object.__setattr__(self, name, value)  # dataclasses may be frozen
