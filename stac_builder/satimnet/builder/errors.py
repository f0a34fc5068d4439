"""The one error that users can cause."""

from __future__ import annotations


class SatimnetError(Exception):
    """Something the user can mend; the message is one line that names the file and the remedy."""
