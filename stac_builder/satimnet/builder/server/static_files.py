"""Files of a folder by HTTP, but none that is hidden."""

from __future__ import annotations

import os
from pathlib import Path

from starlette.staticfiles import StaticFiles


class VisibleFiles(StaticFiles):
    """What lies below a folder, without files and folders whose names begin with a dot.

    Such are ``.git``, ``.env`` and what a build has not finished; neither by its own name nor by a
    link is one found.
    """

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Where a file lies, and its state; no state if there is none to be shown."""
        found, state = super().lookup_path(path)
        if state is None or self.directory is None:
            return "", None
        parts = [*Path(path).parts, *Path(os.path.relpath(found, self._home())).parts]
        hidden = any(part.startswith(".") and part != "." for part in parts)
        return ("", None) if hidden else (found, state)

    def _home(self) -> str:
        return os.path.realpath(str(self.directory))
