"""Times as RFC 3339 writes them: https://www.rfc-editor.org/rfc/rfc3339#section-5.6"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from satimnet.builder.errors import BadQueryError

_INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(?:\.(\d+))?(?:([Zz])|([+-]\d\d:\d\d))", re.ASCII
)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DAY = timedelta(days=1, microseconds=-1)


def period_of(text: str) -> tuple[datetime, datetime]:
    """First and last microsecond (UTC) of a timestamp or of a date.

    Raises:
        BadQueryError: it is neither.
    """
    try:
        if _DATE.fullmatch(text):
            day = datetime.fromisoformat(f"{text}T00:00:00+00:00")
            return day, day + _DAY
        if match := _INSTANT.fullmatch(text):
            date, minute, second, fraction, _, offset = match.groups()
            leap = second == "60"  # a leap second is the first of the next minute
            instant = datetime.fromisoformat(
                f"{date}T{minute}:{59 if leap else second}"
                f".{(fraction or '0')[:6]:0<6}{offset or '+00:00'}"
            )
            instant = (instant + timedelta(seconds=leap)).astimezone(UTC)
            return instant, instant
    except (ValueError, OverflowError):
        pass  # a 30th of February, an hour 25, a year 0
    raise BadQueryError(
        f"time {text!r:.100} is not RFC 3339; write 2018-07-01T12:00:00Z, or 2018-07-01 for the day"
    )
