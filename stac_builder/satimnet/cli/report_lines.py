"""What builds and checks found, printed in lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from satimnet.builder.errors import BadCatalogError
from satimnet.cli.output import say
from satimnet.cli.wording import counted

if TYPE_CHECKING:
    from satimnet.builder.catalog.validation import Findings
    from satimnet.builder.pipeline import Report

_SHOWN = 10  # problems of a kind that are printed

_KINDS = {
    "broken": "left out",
    "incomplete": "incomplete",
    "foreign": "ignored",
}


def print_reports(reports: Sequence[Report]) -> None:
    """Prints what a build made of each dataset, and the first of its problems."""
    for report in reports:
        if report.dataset is None:  # has been warned of
            continue
        items, members = counted(report.items, "item"), counted(report.members, "file")
        click.echo(f"{report.dataset}: {items} with {members}")
        for kind, what in _KINDS.items():
            problems = report.of(kind)
            for problem in problems[:_SHOWN]:
                click.echo(f"  {what}: {problem.path}: {problem.reason}")
            if len(problems) > _SHOWN:
                more = len(problems) - _SHOWN
                click.echo(f"  {what}: {more:,} more, see build-report.json")


def print_without_masks(reports: Sequence[Report]) -> None:
    """Prints of which datasets no masks were made of their tags, and why."""
    from satimnet.builder.datasets import installed
    from satimnet.builder.packing.tag_masks import why_no_tag_masks

    datasets = installed()
    for report in reports:
        if report.dataset in datasets and report.items:
            reason = why_no_tag_masks(datasets[report.dataset].record)
            if reason is not None:
                click.echo(f"{report.dataset}: no masks were made of tags: {reason}")


def warn_of_nothing(reports: Sequence[Report]) -> None:
    """Names, aside and even where quiet was asked for, the sources of which nothing came."""
    for report in reports:
        if report.dataset is not None and not report.items:
            reason = report.problems[0].reason if report.problems else "it has no image"
            click.echo(f"Warning: {report.dataset}: no item, so no collection: {reason}", err=True)
        elif report.dataset is None:
            for problem in report.problems:
                click.echo(f"Warning: {problem.path}: {problem.reason}; left out", err=True)


def print_findings(findings: Findings) -> None:
    """Prints what was checked and how many problems there are; what was not, on stderr."""
    objects = findings.objects
    items = counted(objects["Feature"], "item")
    collections = counted(objects["Collection"], "collection")
    catalogs = counted(objects["Catalog"], "catalog")
    schemas = counted(len(findings.checked), "schema")
    members = counted(findings.members, "member")
    click.echo(
        f"Checked {items}, {collections} and {catalogs} against {schemas}"
        + (f", {members} against their checksums" if findings.members else "")
        + f": {counted(findings.count, 'problem') if findings.count else 'no problems'}"
    )
    if findings.elsewhere:
        click.echo(
            f"NOT checked, as the catalog leaves them where they are, at URLs: "
            f"{counted(findings.elsewhere, 'member')}",
            err=True,
        )
    for path in findings.leftovers:
        click.echo(
            f"{path}: no part of the catalog, but left by a run that was killed or still works; "
            "give the same command again, or remove it",
            err=True,
        )
    if findings.unavailable:
        say(
            "NOT checked, for want of a schema (give --schemas or a network): "
            + ", ".join("/".join(uri.split("/")[-3:-2]) or uri for uri in findings.unavailable),
            err=True,
        )


def fail_on(findings: Findings) -> None:
    """Ends the command with an error if there is any problem; lists the first twenty."""
    if findings.count:
        for problem in findings.problems[:20]:
            say(problem, err=True)
        raise BadCatalogError(
            f"{counted(findings.count, 'problem')}, the first: {findings.problems[0]}"
        )
