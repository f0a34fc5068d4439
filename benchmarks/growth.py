"""``python -m benchmarks.growth FOLDER``: how costs grow with the number of Items.

For each size a part of BigEarthNet as `benchmarks.scale` writes it (each 40th, 10th, 4th patch,
then all) is built, searched and removed again, each step in a process of its own. What is known is
kept in FOLDER/growth.json after every step, so a run that was stopped goes on. With ``--searched``
catalogs are searched as well that are there already, such as larger ones without a source.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import scale
from benchmarks.markdown import keep
from benchmarks.table import where
from satimnet.builder import build, search
from satimnet.builder.query.index import Index
from satimnet.builder.query.search import count
from stactools.bigearthnet import dataset

_EVERY = (40, 10, 4, 1)  # 15 thousand to 590 thousand Items
_QUESTIONS: dict[str, dict[str, Any]] = {
    "class, month, bbox": {
        "classes": "sea-and-ocean",
        "datetime": "2017-10-01/2017-10-31",
        "bbox": (-9.5, 38, -8.5, 39),
    },
    "concept": {"concept": "building"},
    "CQL2": {"filter": "\"satimnet:country\" = 'Ireland' AND platform = 'sentinel-2b'"},
    "text": {"q": "forest"},
}
_LIMIT = 100
_WARM = 5

Figures = dict[str, Any]


def main() -> None:
    """Does what is not yet known, prints the figures and how they grow."""
    parser = argparse.ArgumentParser("python -m benchmarks.growth", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, nargs="+", default=_EVERY, metavar="N")
    parser.add_argument("--searched", nargs="*", default=(), metavar="CATALOG")
    parser.add_argument("--publish", action="store_true", help="put the table into the pages")
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step is not None:
        kind, place, *every = arguments.step
        print(json.dumps(_STEPS[kind](Path(place), *map(int, every))))
        return
    arguments.folder.mkdir(parents=True, exist_ok=True)
    kept = _Kept(arguments.folder / "growth.json")
    for every in arguments.every:
        _part(kept, arguments.folder / f"every-{every}", every)
    for catalog in arguments.searched:
        kept.do(f"searched {catalog}", "search", catalog)
    content = {**where(), **_lines(kept.known)}
    for line in content["lines"]:
        values = ", ".join("-" if value is None else f"{value:.4g}" for value in line["values"])
        exponent = line["exponent"]
        print(
            f"{line['what']}: {values}; exponent {'-' if exponent is None else f'{exponent:.2f}'}"
        )
    if arguments.publish:
        keep(content, "growth")


class _Kept:
    """What is known already, in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.known: dict[str, Figures] = json.loads(file.read_bytes()) if file.exists() else {}

    def do(self, name: str, kind: str, place: str | Path) -> None:
        """Does a step in a process of its own, unless its figures are known."""
        if name in self.known:
            return
        print(f"{name} ...", flush=True)
        self.known[name] = _alone(kind, place)
        partial = self._file.with_suffix(".part")
        partial.write_text(json.dumps(self.known, indent=1))
        partial.rename(self._file)


def _alone(kind: str, place: str | Path, *arguments: int) -> Figures:
    """A step in a process of its own.

    A process begins with the peak of memory of the one that starts it, so that one must stay small.
    """
    step = [kind, str(place), *map(str, arguments)]
    command = [sys.executable, "-m", "benchmarks.growth", ".", "--step", *step]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return found


def _part(kept: _Kept, folder: Path, every: int) -> None:
    """Builds and searches a part; its files are there only while they are needed."""
    names = {kind: f"{kind} every {every}" for kind in ("build", "search")}
    if all(name in kept.known for name in names.values()):
        return
    source = folder / "source"
    if not source.exists():
        folder.mkdir(exist_ok=True)
        _alone("write", folder, every)
    if names["build"] not in kept.known:
        shutil.rmtree(folder / "catalog", ignore_errors=True)
    kept.do(names["build"], "build", folder)
    kept.do(names["search"], "search", folder / "catalog")
    shutil.rmtree(folder)


# --- steps, each in a process of its own ----------------------------------------------------------


def _write(folder: Path, every: int) -> Figures:
    scale._write(folder / "source", every, 1)
    return {}


def _build(folder: Path) -> Figures:
    catalog = folder / "catalog"
    started = time.perf_counter()
    packed = started

    def progress(what: str, done: int, total: int | None, unit: str) -> None:
        nonlocal packed
        if what.startswith("Packing"):
            packed = time.perf_counter()

    (report,) = build(
        [],
        catalog,
        assigned={dataset.id: [folder / "source"]},
        datasets=scale._tiny(),
        scheduler="processes",
        progress=progress,
    )
    ended = time.perf_counter()
    own, below = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return {
        "items": report.items,
        "build: seconds": ended - started,
        "build: core-seconds": sum(x.ru_utime + x.ru_stime for x in (own, below)),
        "build: core-seconds of one process alone": own.ru_utime + own.ru_stime,
        "publish (rows, tree, pages): seconds": ended - packed,
        "build: memory, GiB": own.ru_maxrss / 2**20,
        "build: memory of a worker, GiB": below.ru_maxrss / 2**20,
        "files": sum(len(files) for _, _, files in os.walk(catalog)),
        "items.parquet: MiB": _parquet_size(catalog) / 2**20,
    }


def _parquet_size(catalog: Path) -> int:
    """Bytes of the Items' rows, in one file or several."""
    home = Path(Index(catalog).collections[dataset.id].href).parent
    return sum(path.stat().st_size for path in home.rglob("*.parquet"))


def _search(catalog: Path) -> Figures:
    found: Figures = {}
    started = time.perf_counter()
    index = Index(catalog)
    opened = time.perf_counter() - started
    for name, question in _QUESTIONS.items():
        times = []
        for _ in range(1 + _WARM):
            started = time.perf_counter()
            len(search(index, **question, limit=_LIMIT).items())
            times.append(time.perf_counter() - started)
        found[f"search by {name}, first: seconds"] = times[0]
        found[f"search by {name}, then: seconds"] = median(times[1:])
    items = count(index)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "items": items,
        "search: opening, seconds": opened,
        **found,
        "search: memory, GiB": peak,
    }


_STEPS: Mapping[str, Callable[..., Figures]] = {
    "write": _write,
    "build": _build,
    "search": _search,
}


# --- how it grows ---------------------------------------------------------------------------------


def _lines(known: Mapping[str, Figures]) -> dict[str, Any]:
    """For each figure its value at each size, and the exponent of its growth."""
    sizes = sorted({step["items"] for step in known.values()})
    names = dict.fromkeys(name for step in known.values() for name in step if name != "items")
    lines = []
    for name in names:
        found = {step["items"]: step[name] for step in known.values() if name in step}
        values = [found.get(size) for size in sizes]
        lines.append({"what": name, "values": values, "exponent": _exponent(sizes, values)})
    return {"sizes": sizes, "lines": lines}


def _exponent(sizes: Sequence[int], values: Sequence[float | None]) -> float | None:
    """The slope through the logarithms: 1 is as many times as much, 0 the same at all sizes."""
    pairs = [(size, value) for size, value in zip(sizes, values) if value]
    if len(pairs) < 2:
        return None
    x, y = np.log(np.array(pairs, float)).T
    return float(np.polyfit(x, y, 1)[0])


if __name__ == "__main__":
    main()
