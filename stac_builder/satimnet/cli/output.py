"""What catalogs and sources say, printed: as text, never as orders to a terminal or as markup."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any

import click

from satimnet.builder.errors import printable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text


# JSON quotes the other ones itself.
_UNPRINTABLE = re.compile(r"[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def program() -> str:
    """The words that the user called the command with: ``satimnet`` or ``stac satimnet``."""
    context = click.get_current_context()
    while context.parent is not None and context.command.name != "satimnet":
        context = context.parent
    return context.command_path


def print_nothing_more() -> None:
    """Leaves out all results of this command: it runs in several processes, and one prints."""
    click.get_current_context().with_resource(redirect_stdout(StringIO()))


def say(text: object, *, err: bool = False) -> None:
    """Prints lines of text, with escapes for what a terminal would not print."""
    click.echo("\n".join(map(printable, str(text).split("\n"))), err=err)


def say_json(content: Any, *, indent: int | None = 2) -> None:
    """Prints JSON, with escapes for what a terminal would not print."""
    text = json.dumps(content, indent=indent, ensure_ascii=False)
    click.echo(_UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


def cell(text: object, style: str = "") -> Text:
    """The text for a table or a tree of rich's."""
    from rich.text import Text

    return Text(printable(str(text)), style)


def count_table(heading: str, counts: Mapping[str, int]) -> Table:
    """A table of how many items have each value, with bars."""
    from rich.table import Table

    table = Table(heading, "items", "", box=None)
    most = max(counts.values(), default=1)
    for value, number in counts.items():
        table.add_row(cell(value), f"{number:,}", "█" * max(1, round(30 * number / most)))
    return table
