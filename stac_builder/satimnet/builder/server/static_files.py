"""Files of a folder by HTTP, except hidden ones."""

from __future__ import annotations

import os
from pathlib import Path

from starlette.staticfiles import StaticFiles


class VisibleFiles(StaticFiles):
    """The files below a folder, except those with a name, or in a folder, that begins with a dot.

    These are ``.git``, ``.env`` and what a build has not finished. They are found neither by their
    own names nor by links to them.
    """

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """The path of a file and its state; no path and no state if it is not to be shown."""
        found, state = super().lookup_path(path)
        if state is None or self.directory is None:
            return "", None
        parts = [*Path(path).parts, *Path(os.path.relpath(found, self._home())).parts]
        hidden = any(part.startswith(".") and part != "." for part in parts)
        return ("", None) if hidden else (found, state)

    def _home(self) -> str:
        return os.path.realpath(str(self.directory))
