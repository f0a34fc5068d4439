"""Types that all wings share."""

from __future__ import annotations

import os
from typing import Any

Json = dict[str, Any]
"""An object of JSON as Python has it: texts, numbers, lists and dicts alone."""

PathLike = str | os.PathLike[str]
"""A path of this machine, or where a function says so, a URL."""
