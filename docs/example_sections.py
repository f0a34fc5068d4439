"""An extension of griffe for the site: docstrings say ``Example:``, griffe knows ``Examples:``."""

from __future__ import annotations

import re
from typing import Any

import griffe

_HEADING = re.compile(r"^Example:$", re.MULTILINE)


class ExampleSections(griffe.Extension):
    """Makes a section of examples of each ``Example:``, so that its brackets are not links."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Renames the headings in the docstring of ``obj``."""
        if obj.docstring:
            obj.docstring.value = _HEADING.sub("Examples:", obj.docstring.value)
