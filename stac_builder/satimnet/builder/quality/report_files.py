"""The files of a report: HTML with pictures, Markdown, JSON, and a parquet with a row an Item."""

from __future__ import annotations

import base64
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import orjson

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.catalog.rows_to_items import items_of
from satimnet.builder.quality.comparison_picture import draw_comparison
from satimnet.builder.quality.comparison_rows import comparison_lines, comparison_row
from satimnet.builder.quality.distributions import Band
from satimnet.builder.quality.finding_pictures import draw_item
from satimnet.builder.quality.findings import CHECKS, SEVERITIES, Finding, Severity
from satimnet.builder.quality.item_links import ItemLinks
from satimnet.builder.quality.measuring import Task, read_results, rows_of_task
from satimnet.builder.quality.source_comparison import BandComparison
from satimnet.builder.samples import SPLITS
from satimnet.builder.storage.hrefs import folder_at, is_web
from satimnet.builder.storage.parquet_files import parquet_file
from satimnet.builder.storage.stores import shown
from satimnet.builder.types import Json

if TYPE_CHECKING:
    import pyarrow as pa

    from satimnet.builder.catalog.items import Item

GENERATOR = "satimnet quality"
REPORT_NAME = "report.json"

_SHOWN = 12  # findings of a check with pictures
_PICTURED = 4  # Items of a finding
_LISTED = 5  # findings of a check in Markdown, Items of a finding
_WITH_MASK = {"unknown-class", "label-mismatch", "mask-shape"}


@dataclass(frozen=True, slots=True)
class Summary:
    """A collection in figures."""

    collection: CollectionDocument
    first: int
    """Number of its first row."""
    rows: pa.Table
    counts: Mapping[str, Counter[str]]
    """Items with a class, by split (``""`` is none) and class."""
    bands: tuple[Band, ...]


@dataclass(frozen=True)
class Report:
    """What was found in a catalog."""

    catalog: str
    """Path or URL of ``catalog.json``."""
    tasks: tuple[Task, ...]
    summaries: tuple[Summary, ...]
    findings: tuple[Finding, ...]
    """In the order of `satimnet.builder.quality.findings.CHECKS`."""
    comparisons: tuple[BandComparison, ...] = ()
    """Bands that several collections have, or a scene that was given."""

    def count(self, severity: Severity) -> int:
        """How many findings are of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def of(self, check: str) -> list[Finding]:
        """The findings of one check."""
        return [finding for finding in self.findings if finding.check == check]

    @property
    def items(self) -> int:
        """How many Items were read."""
        return sum(len(summary.rows) for summary in self.summaries)

    def items_of(self, finding: Finding) -> list[Json]:
        """Collection, id and split of the Items of a finding."""
        return [self._names(row) for row in finding.rows]

    def _names(self, row: int) -> Json:
        at = bisect_right(self.summaries, row, key=lambda summary: summary.first) - 1
        summary = self.summaries[at]
        names = summary.rows.slice(row - summary.first, 1)
        return {key: names[key][0].as_py() for key in ("collection", "id", "split")}


def write_report(report: Report, folder: Path, out: Path, future_place: str = "") -> None:
    """Writes ``report.html``, ``.md`` and ``.json``, ``findings.ndjson`` and ``items.parquet``.

    Args:
        report: What is written.
        folder: Where; it must not be there.
        out: Where the folder will be moved, from where links lead to Items.
        future_place: As of `satimnet.builder.exports.links.Links`.
    """
    folder.mkdir(parents=True)
    _write_items(report, folder / "items.parquet")
    with (folder / "findings.ndjson").open("wb") as file:
        for finding in report.findings:
            row = {
                "severity": finding.severity,
                "check": finding.check,
                "message": finding.message,
                "items": report.items_of(finding),
                "collections": finding.collections,
            }
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    content = _content(report)
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    (folder / REPORT_NAME).write_bytes(orjson.dumps(content, option=options))
    (folder / "report.md").write_text(_markdown(report, content), encoding="utf-8")
    (folder / "report.html").write_text(_html(report, content, out, future_place), encoding="utf-8")


def _write_items(report: Report, path: Path) -> None:
    """Writes the results of each Item, and the names of the checks that found something."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    checks: dict[int, list[str]] = {}
    for finding in report.findings:
        for row in finding.rows:
            checks.setdefault(row, []).append(finding.check)
    writer = None
    for task in report.tasks:
        table = read_results(task.part).drop_columns(["geometry", "comparable", "predecessor"])
        named = [sorted(set(checks.get(task.first + at, ()))) for at in range(len(table))]
        table = table.append_column("checks", pa.array(named, pa.list_(pa.string())))
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    if writer is not None:
        writer.close()


def _content(report: Report) -> Json:
    """The report in figures: all that HTML and Markdown say apart from single findings."""
    import pyarrow.compute as pc

    numbers = Counter(finding.check for finding in report.findings)
    collections = []
    for summary in report.summaries:
        rows, counts = summary.rows, summary.counts
        splits = [split for split in (*SPLITS, "") if split in counts]
        names = [row.name for row in summary.collection.classes]
        per_split = Counter(split or "" for split in rows["split"].to_pylist())
        classes = {
            name: {split or "none": counts[split][name] for split in splits}
            for name in names
            if any(counts[split][name] for split in splits)
        }
        collections.append(
            {
                "id": summary.collection.id,
                "title": summary.collection.title,
                "items": len(rows),
                "members": pc.sum(rows["members"]).as_py(),
                "bytes": pc.sum(rows["bytes"]).as_py(),
                "splits": {split or "none": per_split[split] for split in splits},
                "classes": classes,
                "bands": [asdict(band) for band in summary.bands],
            }
        )
    return {
        "generator": GENERATOR,
        "catalog": _name(report.catalog),
        "items": report.items,
        "members": sum(c["members"] for c in collections),
        "bytes": sum(c["bytes"] for c in collections),
        "findings": {severity: report.count(severity) for severity in SEVERITIES},
        "checks": [
            {"name": name, **asdict(check), "findings": numbers[name]}
            for name, check in CHECKS.items()
        ],
        "collections": collections,
        "comparisons": [comparison_row(comparison) for comparison in report.comparisons],
    }


def _name(catalog: str) -> str:
    """The name of the folder that a catalog is in; its URL may have secrets."""
    name = folder_at(shown(catalog)).rpartition("/")[2]
    return unquote(name) if is_web(catalog) else name


def _markdown(report: Report, content: Json) -> str:
    total = ", ".join(f"{content['findings'][s]:,} {s}" for s in SEVERITIES)
    lines = [
        f"# Quality of {_escaped(content['catalog'])}",
        "",
        f"{content['items']:,} items, {content['members']:,} members, "
        f"{content['bytes'] / 2**20:,.1f} MiB read. Findings: {total}.",
        "",
        "| severity | check | findings |",
        "| --- | --- | ---: |",
        *(f"| {c['severity']} | {c['title']} | {c['findings']:,} |" for c in content["checks"]),
    ]
    for check in content["checks"]:
        if not check["findings"]:
            continue
        lines += ["", f"## {check['title']} ({check['severity']})", "", check["meaning"], ""]
        found = report.of(check["name"])
        for finding in found[:_LISTED]:
            items = report.items_of(finding)
            names = ", ".join(f"`{i['collection']}/{i['id']}`" for i in items[:_LISTED])
            names += f" and {len(items) - _LISTED} more" if len(items) > _LISTED else ""
            where = names or ", ".join(f"`{name}`" for name in finding.collections)
            lines.append(f"- {where}: {_escaped(finding.message)}")
        if len(found) > _LISTED:
            lines.append(f"- and {len(found) - _LISTED:,} more, see `findings.ndjson`")
    for collection in content["collections"]:
        splits = ", ".join(f"{name} {count:,}" for name, count in collection["splits"].items())
        lines += ["", f"## {_escaped(collection['title'])}", ""]
        lines += [f"{collection['items']:,} items; split: {splits}.", ""]
        if collection["bands"]:
            lines += [
                "| asset | band | minimum | 2 % | mean | 98 % | maximum |",
                "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
                *(_band_line(band) for band in collection["bands"]),
            ]
    lines += comparison_lines(content["comparisons"])
    return "\n".join(lines) + "\n"


def _band_line(band: Mapping[str, Any]) -> str:
    keys = ("minimum", "low", "median", "high", "maximum")
    numbers = " | ".join(f"{band[key]:,.5g}" for key in keys)
    return f"| {band['asset']} | {band['name']} | {numbers} |"


def _escaped(text: str) -> str:
    """The text with a backslash before what Markdown would read as markup."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]<>#|" else c for c in text)


def _html(report: Report, content: Json, out: Path, future_place: str) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("satimnet.builder.quality", "."),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["sum_values"] = lambda numbers: sum(numbers.values())
    environment.filters["lower_first"] = lambda title: title[:1].lower() + title[1:]
    item_at = _item_finder(report.tasks)
    links = ItemLinks(report.catalog, out, future_place)
    sections = []
    for check in content["checks"]:
        if not check["findings"]:
            continue
        found = report.of(check["name"])
        cards = [_card(report, finding, item_at, links) for finding in found[:_SHOWN]]
        sections.append({**check, "cards": cards, "more": max(0, len(found) - _SHOWN)})
    picture = draw_comparison(report.comparisons) if report.comparisons else ""
    template = environment.get_template("report.html")
    return template.render(**content, sections=sections, picture=picture)


def _card(
    report: Report, finding: Finding, item_at: Callable[[int], Item], links: ItemLinks
) -> Json:
    items = report.items_of(finding)
    collections = {s.collection.id: s.collection for s in report.summaries}
    shown = []
    for row, names in list(zip(finding.rows, items))[:_PICTURED]:
        item = item_at(row)
        drawn = draw_item(
            item,
            collections[names["collection"]],
            finding.outline,
            with_mask=finding.check in _WITH_MASK,
        )
        pictures = [base64.b64encode(picture).decode() for picture in drawn]
        shown.append({**names, "pictures": pictures, "link": links.to(item)})
    return {
        "message": finding.message,
        "items": shown,
        "more": len(items) - len(shown),
        "collections": finding.collections,
        "width": _width([len(item["pictures"]) for item in shown]),
    }


def _width(pictures: Sequence[int]) -> int:
    """The width of a card in pictures, with room for the words."""
    return sum(max(1, number) for number in pictures) if any(pictures) else 2


def _item_finder(tasks: Sequence[Task]) -> Callable[[int], Item]:
    """A function that reads the Item of a row by its number among all Items."""

    @lru_cache(maxsize=8)
    def rows_of(at: int) -> pa.Table:
        import pyarrow as pa

        with parquet_file(tasks[at].parquet) as file:
            return pa.concat_tables(rows_of_task(file, tasks[at]))

    def item_at(row: int) -> Item:
        at = bisect_right(tasks, row, key=lambda task: task.first) - 1
        task = tasks[at]
        rows = rows_of(at).slice(row - task.first, 1)
        return items_of(rows, task.parquet, task.bounds.resolve)[0]

    return item_at
