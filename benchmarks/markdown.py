"""``python -m benchmarks.markdown``: puts the figures that are kept here into the tables of pages.

Figures are kept as JSON in ``benchmarks/figures``; ``--publish`` of a benchmark writes them there.
A page has a table of them between two comments::

    <!-- figures: comparisons building validating -->
    <!-- end of figures -->

The first names the file, then what of it: groups of rows, or "headlines", one row for each work, or
"summary", those of them that say most to a reader. A test sees to it that the tables are those of
the files.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.table import COLUMNS, Row, figures_of, rows_of

_ROOT = Path(__file__).parents[1]
FIGURES = Path(__file__).parent / "figures"
_BLOCK = re.compile(r"(<!-- figures: ([\w -]+) -->\n)(.*?)(<!-- end of figures -->)", re.DOTALL)
_MEASURES = re.compile(r"<!-- measures: [^>]+ -->\n")
_ASKED = 100  # Items, of each search
_HEADLINES, _SUMMARY = "headlines", "summary"
_SUMMED_UP = (
    "build 13-band GeoTIFF, 2,700 files: patches",
    "build RGB JPEG, 300 files: patches",
    "batches to cpu, no threads: images",
    "12-file batches, no threads: patches",
    "JPEG batches, no threads: images",
    "batches by s3, 20 ms: images",
    "validate: Items",
    "client.search of 22,950: Items",
)
"""Work of each kind, with what is slower than its peer."""

Content = dict[str, Any]


def main() -> None:
    """Writes the tables of all figures that are kept."""
    argparse.ArgumentParser("python -m benchmarks.markdown", description=__doc__).parse_args()
    write()


def pages() -> list[Path]:
    """The pages that have tables."""
    return [_ROOT / "README.md", _ROOT / "benchmarks/README.md", *(_ROOT / "docs").glob("*.md")]


def keep(content: Content, name: str) -> None:
    """Keeps figures under a name, and writes their tables."""
    FIGURES.mkdir(exist_ok=True)
    (FIGURES / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    write()


def write() -> None:
    """Writes all tables into the pages."""
    for page in pages():
        page.write_text(filled(page.read_text()))


def filled(text: str) -> str:
    """The page with the tables as the figures say; those without figures stay as they are."""

    def block(found: re.Match[str]) -> str:
        name, *chosen = found[2].split()
        file = FIGURES / f"{name}.json"
        if not file.exists():
            return found[0]
        # what is measured is for people to say
        measures = _MEASURES.search(found[3])
        content = json.loads(file.read_bytes())
        if not _has(content, chosen):
            return found[0]
        made = _TABLES[name](content, chosen)
        said, table = made
        return f"{found[1]}{said}\n\n{measures[0] if measures else ''}{table}\n\n{found[4]}"

    return _BLOCK.sub(block, text)


def _has(content: Content, chosen: Sequence[str]) -> bool:
    """Whether any of the groups of rows was measured; they may be newer than the figures."""
    groups = {entry.get("group") for entry in content.get("rows", ())}
    wanted = set(chosen) - {_HEADLINES, _SUMMARY}
    return not wanted or not groups or bool(wanted & groups)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], words: int = 2) -> str:
    """A table in Markdown, its first columns of words and the others of numbers."""
    rule = ["---"] * words + ["---:"] * (len(header) - words)
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))


def _comparisons(content: Content, chosen: Sequence[str]) -> tuple[str, str]:
    """Rows of `python -m benchmarks`."""
    rows = rows_of(content)
    if _HEADLINES in chosen or _SUMMARY in chosen:
        first = {row.what: row for row in reversed(rows)}
        shown = [row for row in rows if first[row.what] is row]
        if _SUMMARY in chosen:
            shown = [row for row in shown if row.what in _SUMMED_UP]
        header = (
            "work: what is counted",
            "compared with",
            "per core-second",
            "by clock",
            "promised",
        )
        made = table(header, list(map(_headline, shown)))
    else:
        groups = [entry["group"] for entry in content["rows"]]
        shown = [row for row, group in zip(rows, groups) if not chosen or group in chosen]
        made = table(COLUMNS, [[row.what, row.peer, *figures_of(row)] for row in shown])
    said = f"{_where(content)}; medians of {_rounds(rows)} rounds"
    if _SUMMARY not in chosen:
        libraries = (f"{name} {number}" for name, number in content["versions"].items())
        said += f"; {', '.join(libraries)}"
    return _wrapped(f"{said}."), made


def _headline(row: Row) -> list[str]:
    """How many times as much as the peer does; where there is none, how much."""
    _, ours, ratio, clock, promised = figures_of(row)
    alone = row.least is not None
    return [row.what, row.peer, f"{ours} /s" if alone else ratio, clock, promised]


def _growth(content: Content, chosen: Sequence[str]) -> tuple[str, str]:
    """Figures of `python -m benchmarks.growth`: a row each, a column for each size."""
    sizes = content["sizes"]
    rows = [
        [
            line["what"],
            *("" if value is None else _number(value) for value in line["values"]),
            "" if line["exponent"] is None else f"{line['exponent']:.2f}",
        ]
        for line in content["lines"]
    ]
    header = ["what", *(f"{size:,}" for size in sizes), "exponent"]
    return _wrapped(f"{_where(content)}."), table(header, rows, 1)


def _searches(content: Content, chosen: Sequence[str]) -> tuple[str, str]:
    """Figures of `python -m benchmarks.searches`: a row for each question."""
    catalogs = content["catalogs"]
    names = {"cold_used": "first", "warm_used": "then"}
    header = ["question"]
    header += [f"{one['items']:,}: {word}" for one in catalogs.values() for word in names.values()]
    header += [f"times, {word}" for word in names.values()]
    header += ["ms to make an Item", "with reading it", "GiB"]
    rows = []
    for question, figures in content["questions"].items():
        own = [figures[copies] for copies in catalogs]
        cells = [_number(one[name]) for one in own for name in names]
        cells += [_number(own[-1][name] / own[0][name]) for name in names]
        for parts in (("made",), ("made", "read")):
            # a few Items take as long to read as the pages that they lie in
            each = [sum(map(one.__getitem__, parts)) / one["items"] for one in own]
            many = min(one["items"] for one in own) == _ASKED
            cells.append(_number(1e3 * max(each)) if many else "")
        rows.append([question, *cells, _number(max(one["peak"] for one in own))])
    libraries = (f"{name} {content['versions'][name]}" for name in ("duckdb", "pyarrow"))
    return _wrapped(f"{_where(content)}; {', '.join(libraries)}."), table(header, rows, 1)


def _item_rows(content: Content, chosen: Sequence[str]) -> tuple[str, str]:
    """Figures of `python -m benchmarks.rows`: a row for each dataset."""
    header = [
        "dataset",
        "rows",
        "made /core-s",
        "promised",
        "written /core-s",
        "bytes",
        "footer, MB",
    ]
    header += ["ms for 1 Item", "for 100", "GiB"]
    rows = [
        [
            line["dataset"],
            f"{line['rows']:,}",
            _number(line["made_per_core_second"]),
            f"≥ {line['promised']:,} "
            + ("met" if line["made_per_core_second"] >= line["promised"] else "MISSED"),
            _number(line["written_per_core_second"]),
            _number(line["bytes_of_row"]),
            f"{line['footer'] / 1e6:.2f}",
            *(f"{1e3 * line['core_seconds_to_read'][count]:.1f}" for count in ("1", "100")),
            f"{line['peak']:.2f}",
        ]
        for line in content["lines"]
    ]
    return _wrapped(f"{_where(content)}; pyarrow {content['versions']['pyarrow']}."), table(
        header, rows, 1
    )


def _gpu(content: Content, chosen: Sequence[str]) -> tuple[str, str]:
    """Steps of training, out of the figures of `python -m benchmarks.gpu`."""
    header = ("network", "step", "examples in it", "examples/s", "bf16 TFLOP/s", "of the roofline")
    rows = [
        [
            line["network"],
            line["way"],
            f"{line['batch']:,}",
            *(
                [line["left_out"], "", ""]
                if "left_out" in line
                else [
                    _number(line["examples_per_second"]),
                    f"{line['bf16_flop_per_second'] / 1e12:.3g}",
                    f"{line['share_of_roofline']:.0%}",
                ]
            ),
        ]
        for line in content["steps"]
    ]
    said = f"{_where(content)}; {content['device']}, torch {content['torch']}."
    return _wrapped(said), table(header, rows)


_TABLES: dict[str, Callable[[Content, Sequence[str]], tuple[str, str]]] = {
    "comparisons": _comparisons,
    "growth": _growth,
    "rows": _item_rows,
    "searches": _searches,
    "gpu": _gpu,
}


def _where(content: Content) -> str:
    return f"{content['date'][:10]}, revision {content['revision']}, {content['machine']}"


def _rounds(rows: Sequence[Row]) -> str:
    counts = sorted({len(row.ours) for row in rows})
    return " or ".join(map(str, counts))


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _wrapped(text: str, width: int = 105) -> str:
    import textwrap

    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    main()
