"""Values of a description, checked for their kind; None or empty where they are of another.

Texts come out on one line, without what a terminal takes for orders. Addresses are of the web.
"""

from __future__ import annotations

import math
import re
from datetime import date, datetime
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

MOST = 1000
"""Values of a list that are read."""
_LONGEST = 2000  # characters of a text on one line
_LONGEST_PROSE = 20_000
_WHOLE = 2**63 - 1
_DOI = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|doi:)?(10\.[0-9]{4,9}/[^\s\"<>]+)", re.I)
_LICENCE_PAGE = re.compile(
    r"https?://(?:spdx\.org|choosealicense\.com|opensource\.org)/licen[cs]es?/"
    r"([A-Za-z0-9.+-]+?)(?:\.html|\.json)?/?"
)
_SPDX = re.compile(r"[A-Za-z0-9.+-]{1,60}")
_CREATIVE_COMMONS = re.compile(
    r"https?://creativecommons\.org/(?:licenses/(by(?:-nc)?(?:-nd|-sa)?)|publicdomain/(zero))/"
    r"([0-9.]+)(?:/.*)?"
)
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,18}(?:Z|[+-][0-9]{2}:[0-9]{2})")


def line(value: Any, most: int = _LONGEST) -> str | None:
    """A text, on one line.

    Example:
        >>> line("two  lines\\n and a bell\\x07")
        'two lines and a bell'
        >>> line(7) is None
        True
    """
    if not isinstance(value, str):
        return None
    kept = "".join(c if c.isprintable() else " " for c in value[: 4 * most])
    return " ".join(kept.split())[:most].strip() or None


def prose(value: Any) -> str | None:
    """A text with its paragraphs."""
    if not isinstance(value, str):
        return None
    parts = re.split(r"\n\s*\n", value[:_LONGEST_PROSE].replace("\r\n", "\n"))
    return "\n\n".join(filter(None, (line(part, _LONGEST_PROSE) for part in parts))) or None


def prose_of_html(value: Any) -> str | None:
    """A text that is written in HTML."""
    if not isinstance(value, str):
        return None
    reader = _Text()
    reader.feed(value[:_LONGEST_PROSE])
    reader.close()
    return prose("".join(reader.parts))


class _Text(HTMLParser):
    """The text between the tags."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        """Blocks begin a paragraph."""
        if tag in ("p", "div", "li", "ul", "ol", "h1", "h2", "h3", "br", "tr"):
            self.parts.append("\n\n" if tag != "br" else " ")

    def handle_data(self, data: str) -> None:
        """Text between tags."""
        self.parts.append(data)


def lines(value: Any) -> list[str]:
    """The texts of a list, each once; a single text is a list of one."""
    values = value[:MOST] if isinstance(value, list) else [value]
    return list(dict.fromkeys(filter(None, map(line, values))))


def listed(value: Any) -> list[Any]:
    """The values of a list, as far as they are read; anything else is a list of one."""
    if value is None:
        return []
    return value[:MOST] if isinstance(value, list) else [value]


def mapped(value: Any) -> dict[str, Any]:
    """An object; empty if the value is none."""
    return value if isinstance(value, dict) else {}


def whole(value: Any) -> int | None:
    """A whole number that is not negative."""
    return value if type(value) is int and 0 <= value <= _WHOLE else None


def number(value: Any) -> float | None:
    """A number."""
    if type(value) is int:
        return value if abs(value) <= _WHOLE else None
    return value if type(value) is float and math.isfinite(value) else None


def address(value: Any) -> str | None:
    """A URL of the web, without a name or password in it.

    Example:
        >>> address("https://example.org/a"), address("file:///etc/passwd"), address("../a")
        ('https://example.org/a', None, None)
    """
    if not isinstance(value, str) or len(value) > _LONGEST:
        return None
    text = value.strip()
    try:
        parts = urlsplit(text)
        fits = (
            parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
        )
    except ValueError:
        return None
    return text if fits and text.isprintable() and not re.search(r"[\s\"<>\\]", text) else None


def doi(value: Any) -> str | None:
    """A DOI, without the address of the resolver."""
    found = _DOI.fullmatch(value.strip()) if isinstance(value, str) else None
    return found[1] if found and len(found[1]) < 200 and found[1].isprintable() else None


def day(value: Any) -> str | None:
    """A day as ISO 8601 writes it, of a day or a time."""
    if isinstance(value, datetime):
        value = value.date()
    text = value.isoformat() if isinstance(value, date) else value
    if not isinstance(text, str):
        return None
    try:
        return date.fromisoformat(text.strip()[:10]).isoformat()
    except ValueError:
        return None


def moment(value: Any) -> str | None:
    """A time as RFC 3339 writes it."""
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            return None
        return value
    return None


def spdx(value: Any) -> str | None:
    """The SPDX identifier that a text or the address of a licence names.

    Example:
        >>> spdx("cc-by-4.0"), spdx("https://creativecommons.org/licenses/by-sa/4.0/")
        ('CC-BY-4.0', 'CC-BY-SA-4.0')
        >>> spdx("https://spdx.org/licenses/MIT.html"), spdx("CC BY 4.0"), spdx("ask us")
        ('MIT', 'CC-BY-4.0', None)
    """
    if not isinstance(value, str) or len(value) > 200:
        return None
    text = value.strip()
    if page := _LICENCE_PAGE.fullmatch(text):
        text = page[1]
    elif found := _CREATIVE_COMMONS.fullmatch(text):
        text = f"CC0-{found[3]}" if found[2] else f"CC-{found[1].upper()}-{found[3]}"
    text = text.replace(" ", "-")
    if _SPDX.fullmatch(text) is None:  # no expression of several: a record has one
        return None
    try:
        return str(canonicalize_license_expression(text))
    except InvalidLicenseExpression:
        return None


def box(value: Any) -> list[float] | None:
    """West, south, east and north in degrees."""
    values = [number(one) for one in value] if isinstance(value, list) else []
    if len(values) == 6:
        values = [*values[:2], *values[3:5]]
    if len(values) != 4 or any(one is None for one in values):
        return None
    west, south, east, north = (float(one) for one in values if one is not None)
    fits = -180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90
    return [west, south, east, north] if fits else None


def cleaned(value: Any, depth: int = 6) -> Any:
    """A value of JSON with all its texts on one line; None for what has too many levels."""
    if isinstance(value, str):
        return line(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return number(value)
    if depth and isinstance(value, list):
        kept = [cleaned(one, depth - 1) for one in value[:MOST]]
        return [one for one in kept if one is not None]
    if depth and isinstance(value, dict):
        pairs = [(line(key), cleaned(one, depth - 1)) for key, one in list(value.items())[:MOST]]
        return {key: one for key, one in pairs if key is not None and one is not None}
    return None
