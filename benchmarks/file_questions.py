"""``python -m benchmarks.file_questions FOLDER``: what questions about files cost at full scale.

FOLDER is a catalog as `benchmarks.selecting` writes it, of all 590,326 patches of BigEarthNet. Each
question is asked in Python (how many), by the API that the server and the static client share (a
page of 50 Items), and by the command; and a loop over all rows must find as many.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from satimnet.builder import search
from satimnet.builder.query.index import Index
from satimnet.builder.query.search import count
from satimnet.builder.query.stac_api import Api

Row = dict[str, Any]

_QUESTIONS: dict[str, tuple[dict[str, Any], str, list[str], Callable[[Row], bool]]] = {
    "tif and class": (
        {"file_format": "tif", "classes": "PermanentCrop"},
        "a_contains(\"satimnet:formats\", ('tif')) AND "
        "a_contains(\"satimnet:classes\", ('PermanentCrop'))",
        ["--file-format", "tif", "--class", "PermanentCrop"],
        lambda row: "PermanentCrop" in row["classes"] and "tif" in row["formats"],
    ),
    "13 bands": (
        {"band_count": 13},
        'a_contains("satimnet:band_counts", (13))',
        ["--band-count", "13"],
        lambda row: 13 in row["counts"],
    ),
    "rows and columns": (
        {"rows": (100, 300), "columns": (100, 300)},
        '"satimnet:rows" BETWEEN 100 AND 300 AND "satimnet:columns" BETWEEN 100 AND 300',
        ["--rows", "100:300", "--columns", "100:300"],
        lambda row: all(100 <= length <= 300 for length in row["shape"]),
    ),
    "bytes and bands": (
        {"bytes": (None, 1_000_000), "bands": ["B02", "B10"]},
        "\"satimnet:bytes\" <= 1000000 AND a_contains(\"satimnet:band_names\", ('B02', 'B10'))",
        ["--bytes", ":1MB", "--bands", "B02,B10"],
        lambda row: row["bytes"] <= 1_000_000 and {"B02", "B10"} <= row["bands"],
    ),
}


def main() -> None:
    """Measures, and compares with the loop."""
    parser = argparse.ArgumentParser("python -m benchmarks.file_questions", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--without-loop", action="store_true", help="only measure")
    arguments = parser.parse_args()
    index = Index(arguments.folder)
    api = Api(index, 50)
    search(index, limit=1).items()
    found = {}
    for name, (asked, cql2, options, _) in _QUESTIONS.items():
        command = [sys.executable, "-m", "satimnet.cli", "search", str(arguments.folder), "--count"]
        found[name], seconds = _timed(partial(count, index, **asked))
        page, of_page = _timed(partial(api.search, {"filter": cql2}, "GET", ""))
        ask = partial(subprocess.run, [*command, *options], check=True, capture_output=True)
        said, of_command = _timed(ask)
        assert page["numberMatched"] == int(said.stdout) == found[name]
        print(
            f"{name}: {found[name]:,} Items; counted in {seconds:.2f} s, a page in "
            f"{of_page:.2f} s, the command {of_command:.2f} s",
            flush=True,
        )
    _, seconds = _timed(lambda: search(index).facets())
    print(f"all facets: {seconds:.2f} s", flush=True)
    if not arguments.without_loop:
        counted = Counter(
            n for row in _rows(index) for n, (*_, fits) in _QUESTIONS.items() if fits(row)
        )
        assert counted == Counter({name: n for name, n in found.items() if n}), counted
        print("a loop over all Items finds as many")


def _timed(ask: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    answer = ask()
    return answer, time.perf_counter() - started


def _rows(index: Index) -> Iterator[Row]:
    """What the assets of each Item say."""
    for collection in index.collections.values():
        file = pq.ParquetFile(collection.parquet)
        assets = [field.name for field in file.schema_arrow.field("assets").type]
        parts = ("bands", "roles", "archive", "proj:shape")
        leaves = [f"assets.{key}.{part}" for key in assets for part in parts]
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, ["satimnet:classes", "proj:shape", *leaves])
            for row in table.to_pylist():
                yield _row(row)


def _row(row: Row) -> Row:
    images = [a for a in row["assets"].values() if a and a["bands"] and "mask" not in a["roles"]]
    files = [file for asset in images for file in asset["archive"]]
    counts = [len(asset["bands"]) for asset in images]
    shapes = [asset["proj:shape"] or row["proj:shape"] for asset in images]
    return {
        "classes": row["satimnet:classes"],
        "formats": {"tif" if "tiff" in file["type"] else "other" for file in files},
        "counts": {*counts, counts.count(1)},
        "bands": {band["name"] for asset in images for band in asset["bands"]},
        "shape": max(shapes, key=lambda shape: shape[0] * shape[1]),
        "bytes": sum(file["file:size"] for file in files),
    }


if __name__ == "__main__":
    main()
