"""Leftovers: files of a source that look like data and that the dataset's scan did not use."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from satimnet.builder.samples import Problem
from satimnet.builder.scanning.entries import Entry, is_about, is_archive, unread_archive
from satimnet.builder.scanning.tallies import Tally
from satimnet.builder.sources import Source

_MOST_NAMED = 1000  # further ones are counted


def passed_over(
    source: Source, tally: Tally, record: Mapping[str, Any], problems: Collection[Problem]
) -> Iterator[Problem]:
    """A problem for each file that was not used, is not in ``problems`` and does not accompany
    the data (``accompanying`` of the dataset's record)."""
    for path, reason in tally.passed.items():
        yield Problem(path, reason, "foreign")
    left = tally.left()
    if not left:
        return
    told = {problem.path for problem in problems}
    beside = re.compile(record.get("accompanying", r"(?!)"))
    number, last = 0, ""
    for entry in source.entries():
        if hash(entry.path) not in left or entry.label in told:
            continue
        if is_about(entry.path) or beside.search(entry.path):
            continue
        number, last = number + 1, entry.label
        if number <= _MOST_NAMED:
            yield Problem(last, _reason(entry), "foreign")
    if number > _MOST_NAMED:
        reason = f"not in the dataset's layout, nor are {number - _MOST_NAMED - 1} more files"
        yield Problem(last, reason, "foreign")


def _reason(entry: Entry) -> str:
    if is_archive(entry.path):
        return "an archive inside too many others; unpack it and give the folder"
    return unread_archive(entry.path) or "not in the dataset's layout"
