"""Files that a scan passed over: what the dataset has no place for, and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator

from satimnet.builder.scanning.entries import Entry, is_about, is_archive, unread_archive
from satimnet.builder.scanning.tallies import Tally

_MOST_NAMED = 1000  # further ones are counted


def passed_over(
    tally: Tally,
    entries: Callable[[], Iterable[Entry]],
    accompanying: re.Pattern[str] | None,
    named: Container[str],
) -> Iterator[tuple[str, str]]:
    """Path and reason of each file that no sample uses.

    Args:
        tally: what the scan listed and used.
        entries: lists the files of the source; called only if many are left.
        accompanying: paths of files that look like data and are no loss.
        named: labels of the files that the scan named as problems.
    """
    yield from tally.passed.items()
    left = tally.left()
    if not left:
        return
    number, last = 0, ""
    for entry in tally.found(left) or entries():
        if hash(entry.path) not in left or entry.label in named:
            continue
        if is_about(entry.path) or (accompanying and accompanying.search(entry.path)):
            continue
        number, last = number + 1, entry.label
        if number <= _MOST_NAMED:
            yield last, _reason(entry)
    if number > _MOST_NAMED:
        yield last, f"not in the dataset's layout, nor are {number - _MOST_NAMED - 1} more files"


def _reason(entry: Entry) -> str:
    """Why no sample uses a file, as far as its name tells."""
    if is_archive(entry.path):
        return "an archive inside too many others; unpack it and give the folder"
    return unread_archive(entry.path) or "not in the dataset's layout"
