"""``python -m tests.fuzz``: malformed sources and catalogs. See the package's docstring."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from .catalogs import CATALOG, small_catalog
from .sources import small_sources
from .workers import Result, run

_WIDTH = 120  # columns, where the tables go to a file
_SCHEMAS = Path(__file__).parents[3] / "shared" / "schemas"


def main() -> int:
    """Runs the cases and prints what came of them; 1 if anything was at fault."""
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, help="the first case's; others follow")
    parser.add_argument(
        "--of", choices=["sources", "catalogs", "both"], default="both", help="what is spoilt"
    )
    parser.add_argument("--only", type=int, metavar="SEED", help="one case, with all that is known")
    parser.add_argument("--workers", type=int, default=2, metavar="N")
    parser.add_argument(
        "--results", type=Path, metavar="FILE", help="append the result of every case, as JSON"
    )
    arguments = parser.parse_args()
    seeds = range(arguments.seed, arguments.seed + arguments.cases)
    if arguments.only is not None:
        seeds = range(arguments.only, arguments.only + 1)
    console = Console(stderr=True)
    schemas = _SCHEMAS if _SCHEMAS.is_dir() else None
    start = time.perf_counter()
    results = []
    with TemporaryDirectory() as work, Progress(console=console, transient=True) as progress:
        task = progress.add_task("Spoiling", total=len(seeds))
        sources = small_sources()
        catalog = {CATALOG: small_catalog(sources)} if arguments.of != "sources" else {}
        sources = catalog if arguments.of == "catalogs" else {**sources, **catalog}
        for result in run(seeds, sources, Path(work), schemas, min(arguments.workers, len(seeds))):
            results.append(result)
            if arguments.results is not None:
                with arguments.results.open("a") as file:
                    file.write(json.dumps(asdict(result)) + "\n")
            progress.advance(task)
            if result.fault or arguments.only is not None:
                progress.print(_told(result), markup=False, soft_wrap=True)
    _print_summary(results, time.perf_counter() - start)
    return int(any(result.fault for result in results))


def _told(result: Result) -> str:
    return (
        f"{result.seed}: {result.dataset}, {'; '.join(result.spoilt)}: {result.outcome}, "
        f"{result.peak / 2**20:.0f} MiB, {result.seconds:.1f} s\n  {result.detail[:3000]}"
    )


def _print_summary(results: Sequence[Result], seconds: float) -> None:
    faults = sorted({r.outcome for r in results if r.fault})
    outcomes = ("error", "skips", "whole", *faults)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    for what, names in (
        ("dataset", [[r.dataset] for r in results]),
        ("what is spoilt", [r.spoilt for r in results]),
    ):
        table = Table(what, *outcomes, "all", box=None)
        counts = Counter((n, r.outcome) for r, own in zip(results, names, strict=True) for n in own)
        for name in sorted({name for name, _ in counts}):
            row = [counts[name, outcome] for outcome in outcomes]
            table.add_row(name, *map(str, row), str(sum(row)))
        console.print(table)
    total = Counter(r.outcome for r in results)
    told = ", ".join(f"{total[outcome]} {outcome}" for outcome in outcomes)
    peak = max((r.peak for r in results), default=0) / 2**20
    slowest = max((r.seconds for r in results), default=0)
    console.print(
        f"{len(results)} cases in {seconds:.0f} s: {told}. At most {peak:.0f} MiB in a process, "
        f"{slowest:.1f} s for a case."
    )


if __name__ == "__main__":
    sys.exit(main())
