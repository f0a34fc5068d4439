"""Words that follow numbers."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """The number with its noun: ``1 item``, ``27,000 items``; for nouns with a plain ``s``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
