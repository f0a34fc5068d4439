"""``satimnet info``: what a catalog holds."""

from __future__ import annotations

import click

from satimnet.builder.commands import one_line_errors
from satimnet.cli.options import allow_outside, at, at_option, outside_option
from satimnet.cli.output import cell, count_table, say


@click.command(short_help="Show the collections, classes and splits of a catalog.")
@click.argument("catalog")
@click.option(
    "--attributes",
    is_flag=True,
    help="Show the attributes of all collections side by side, as the tables of the paper do.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "json"]),
    default="table",
    show_default=True,
    help="How to print the attributes.",
)
@outside_option
@at_option
@one_line_errors
def info(catalog: str, attributes: bool, form: str) -> None:
    """Show what CATALOG (path or URL) holds: collections, items, classes, splits."""
    from rich.console import Console

    from satimnet.builder.exports.paper_tables import open_attributes
    from satimnet.builder.publishing.split_tables import split_links
    from satimnet.builder.query.collection_counts import collection_counts
    from satimnet.builder.query.index import Index
    from satimnet.cli.attribute_lines import print_attributes

    if form != "table" and not attributes:
        raise click.UsageError(f"--format {form} is for --attributes")
    index = Index(catalog, allow_outside=allow_outside(), version=at())
    if attributes:
        print_attributes(index, form)
        return
    console = Console()
    open_ones = open_attributes([one.document for one in index.collections.values()])
    for counts in collection_counts(index):
        say("")
        title = cell(counts.title, "bold")
        console.print(title, cell(f"({counts.id}), licence {counts.license}"))
        for line in counts.description.strip().split("\n"):
            console.print(cell(line))
        table = count_table("class", counts.classes)
        table.add_row("all", f"{counts.items:,}")
        console.print(table)
        if tasks := index.collections[counts.id].document.tasks:
            say("for: " + ", ".join(task.name for task in tasks))
        say("split: " + ", ".join(f"{k or 'none'} {v:,}" for k, v in counts.splits.items()))
        if open_ones.get(counts.id):
            say("not stated: " + ", ".join(open_ones[counts.id]))
    if made := split_links(index.document):
        say("")
        say("splits that were made: " + ", ".join(link.cited for link in made))
