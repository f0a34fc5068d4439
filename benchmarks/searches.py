"""``python -m benchmarks.searches FOLDER``: how long searches of BigEarthNet take.

Writes, once, a catalog of 590,326 Items into FOLDER (see `benchmarks.generated`); ``--copies 10``
has ten times as many. With ``--copies 1 10`` there are both, in folders of these names, and take
turns. Each question is asked for 100 Items in processes of its own: the first answer of a process,
from its start on, is cold, and the median of those after it is warm. ``--json FILE`` writes the
figures, ``--publish`` puts those of several catalogs into the pages.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.markdown import keep
from benchmarks.table import versions, where

NAME = "searches"
"""Of the figures that are kept."""
_ROUNDS = 3
_AGAIN = 7
QUESTIONS: dict[str, dict[str, Any]] = {
    "class, month and bbox": {
        "classes": "sea-and-ocean",
        "datetime": "2017-10-01/2017-10-31",
        "bbox": (-9.5, 38, -8.5, 39),
    },
    "concept": {"concept": "building"},
    "CQL2": {"filter": "\"satimnet:country\" = 'Ireland' AND platform = 'sentinel-2b'"},
    "id": {"ids": ["S2A_MSIL2A_20170617T113321_21_30"]},
    "text": {"q": "peatbog"},
}


def main() -> None:
    """Writes the catalogs that are not there, and measures."""
    parser = argparse.ArgumentParser("python -m benchmarks.searches", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--copies", type=int, nargs="+", default=[1], metavar="N", help="N times as many Items"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--publish", action="store_true", help="put the table into the pages")
    parser.add_argument("--ask", choices=QUESTIONS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask is not None:
        print(json.dumps(_ask(arguments.folder, QUESTIONS[arguments.ask])))
        return
    folder, several = arguments.folder, len(arguments.copies) > 1
    catalogs = {copies: folder / str(copies) if several else folder for copies in arguments.copies}
    for copies, catalog in catalogs.items():
        _write(catalog, copies)
    figures = {question: _measured(question, catalogs) for question in QUESTIONS}
    known = json.dumps(figures, indent=2)
    if arguments.json is not None:
        arguments.json.write_text(known)
    if arguments.publish:
        content = {**where(), "versions": versions(), "questions": json.loads(known)}
        keep(content | {"catalogs": {copies: _size(one) for copies, one in catalogs.items()}}, NAME)


def _write(catalog: Path, copies: int) -> None:
    """Writes a catalog, unless it is there."""
    if not (catalog / "catalog.json").exists():
        from benchmarks.generated import write_catalog

        catalog.parent.mkdir(parents=True, exist_ok=True)
        started, used = time.perf_counter(), time.process_time()
        rows = write_catalog(catalog, copies)
        used = time.process_time() - used
        seconds = time.perf_counter() - started
        print(f"{rows:,} rows, {seconds:,.0f} s ({used:,.0f} of a core), peak {_peak():.2f} GiB")
    size = _size(catalog)
    print(
        f"{catalog}: {size['items']:,} rows, {size['bytes'] / 2**20:,.0f} MiB in {size['files']} "
        f"files, the largest footer {size['footer'] / 1e6:.2f} MB"
    )


def _size(catalog: Path) -> dict[str, int]:
    """How many Items there are in how many files and bytes, and bytes of the largest footer."""
    import pyarrow.parquet as pq

    from satimnet.builder.query.search import count

    paths = list(catalog.rglob("*.parquet"))
    footers = list(map(pq.read_metadata, paths))
    items = sum(footer.num_rows for footer in footers)
    searched = count(catalog)
    if searched != items:
        raise SystemExit(f"{catalog}: {items:,} Items are there, {searched:,} are searched")
    return {
        "items": items,
        "files": len(paths),
        "bytes": sum(path.stat().st_size for path in paths),
        "footer": max(footer.serialized_size for footer in footers),
    }


def _measured(question: str, catalogs: Mapping[int, Path]) -> dict[int, dict[str, float]]:
    """The figures of a question for each catalog; they take turns."""
    laps: dict[int, list[dict[str, float]]] = {copies: [] for copies in catalogs}
    for _ in range(_ROUNDS):
        for copies, catalog in catalogs.items():
            command = [sys.executable, "-m", "benchmarks.searches", str(catalog)]
            command += ["--ask", question]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
            laps[copies].append(json.loads(done.stdout))
    figures = {}
    for copies, own in laps.items():
        figures[copies] = {key: statistics.median(lap[key] for lap in own) for key in own[0]}
        print(
            "{question} of {copies} x: {items:.0f} Items, cold {cold:.2f} s ({cold_used:.2f} of a "
            "core), warm {warm:.3f} s ({warm_used:.3f}), of these to read the Items {read:.3f} and "
            "to make them {made:.3f} of a core, peak {peak:.2f} GiB".format(
                question=question, copies=copies, **figures[copies]
            )
        )
    return figures


def _ask(catalog: Path, question: dict[str, Any]) -> dict[str, float]:
    """Seconds for one question in this process, by the clock and of the processor."""
    from satimnet.builder import search
    from satimnet.builder.catalog.rows_to_items import items_of
    from satimnet.builder.query.index import Index

    index = Index(catalog)
    figures: dict[str, float] = {}
    laps = []
    for _ in range(1 + _AGAIN):
        clock, used = time.perf_counter(), time.process_time()
        found = search(index, **question, limit=100)
        items = len(found.items())
        ended = time.process_time()
        lap = [time.perf_counter() - clock, ended - used]
        if not figures:
            figures = {"items": items, "cold": _age(), "cold_used": time.process_time()}
        # the last step again, of which a search has no clock
        started = time.process_time()
        rows = {name: index.rows(name, own) for name, own in found.numbers().items() if len(own)}
        read = time.process_time()
        for name, own in rows.items():
            items_of(own, index.collections[name].parquet)
        laps.append([*lap, read - started, time.process_time() - read])
    medians = map(statistics.median, zip(*laps[1:], strict=True))
    names = ("warm", "warm_used", "read", "made")
    return {**figures, **dict(zip(names, medians, strict=True)), "peak": _peak()}


def _peak() -> float:
    """GiB of memory that this process had at most (proc(5), VmHWM).

    That of ``getrusage`` is at least what the process that started this one had.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**20


def _age() -> float:
    """Seconds since this process began, to a hundredth (proc(5), starttime)."""
    began = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(began) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
