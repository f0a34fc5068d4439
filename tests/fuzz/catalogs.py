"""Catalogs of others, spoilt: their JSON, the rows and columns of their index, their files."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from satimnet.builder import build

from .sources import Files
from .texts import BYTES

CATALOG = "catalog"
"""Key of the sound catalog among the sources."""
_DATASETS = ("eurosat", "airbus-ship")


@dataclass(frozen=True)
class CatalogCase:
    """A catalog with something wrong in it."""

    seed: int
    dataset: str
    spoilt: tuple[str, ...]
    folder: Path


def small_catalog(sources: dict[str, Files]) -> Files:
    """The files of a catalog of a few samples, with images, masks and annotations."""
    with TemporaryDirectory() as folder:
        for name in _DATASETS:
            for path, data in sources[name].items():
                target = Path(folder, name, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
        out = Path(folder, "catalog")
        build([], out, assigned={name: [Path(folder, name)] for name in _DATASETS})
        return {
            path.relative_to(out).as_posix(): path.read_bytes()
            for path in sorted(out.rglob("*"))
            if path.is_file() and path.suffix != ".png"
        }


def make_catalog(seed: int, catalog: Files, folder: Path, outside: Path) -> CatalogCase:
    """Writes a spoilt catalog into ``folder``; what leads out of it leads to ``outside``."""
    rng = Random(seed)
    files = dict(catalog)
    spoilt = [_spoil(rng, files, outside) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
    home = folder / "catalog"
    for path, data in files.items():
        target = home / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    if rng.random() < 0.1:
        spoilt.append(_spoil_place(rng, home, outside))
    return CatalogCase(seed, CATALOG, tuple(spoilt), home)


def _spoil(rng: Random, files: Files, outside: Path) -> str:
    kinds: dict[str, list[str]] = {
        "root": ["catalog.json"],
        "concepts": [name for name in files if name.startswith("concepts")],
        "collection": [n for n in files if n.endswith("/collection.json") and n.count("/") > 1],
        "parquet": [name for name in files if name.endswith("items.parquet")],
        "shard": [name for name in files if name.endswith(".zip")],
        "tree": [n for n in files if n.endswith(".json") and n.count("/") > 1],
    }
    kind = rng.choices(list(kinds), (3, 2, 6, 8, 2, 1))[0]
    there = [name for name in kinds[kind] if name in files]
    if not there:
        return f"{kind} gone"
    name = rng.choice(there)
    if kind == "shard" or rng.random() < 0.1:
        what = rng.choice(sorted(BYTES))
        files[name] = BYTES[what](rng, files[name])
        return f"{kind} bytes"
    spoil: Callable[[Random, bytes, Path], tuple[str, bytes]]
    spoil = _spoil_parquet if kind == "parquet" else _spoil_json
    try:
        what, files[name] = spoil(rng, files[name], outside)
    except (ValueError, LookupError, TypeError, OSError, pa.ArrowException):  # it was spoilt before
        del files[name]
        return f"{kind} gone"
    return f"{kind} {what}"


# --- JSON ---------------------------------------------------------------------------------------


def _odd(rng: Random, outside: Path) -> Any:
    deep: Any = []
    for _ in range(rng.choice((3, 150))):
        deep = [deep]
    return rng.choice(
        (
            *(None, True, False, 0, 7, -1, 1.5, 1e308, 2**53, -(2**63), 2**63, ""),
            *([], {}, [None], [[]], [{}], {"a": None}, [1, "x"], deep, "x" * 5000),
            *("..", "../../x", "a/b", "/etc/passwd", f"{outside}/secret.txt"),
            *(f"file://{outside}/secret.txt", "s3://bucket/x", "http://127.0.0.1:9/x"),
            *("\x1b]0;X\x07\x1b[2J", "[/x] [link=file:///x]y[/]", "<script>x</script>", "é\u202e"),
            *("a\nb", "\0", "'; --", "%00", "catalog", "http://[", "[", "*", "~", "con", "="),
        )
    )


def _nodes(value: Any) -> list[tuple[Any, Any]]:
    """Every container with every key of it."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        node = waiting.pop()
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        found += [(node, key) for key in keys]
        waiting += [node[key] for key in keys if isinstance(node[key], dict | list)]
    return found


def _spoil_json(rng: Random, data: bytes, outside: Path) -> tuple[str, bytes]:
    document = orjson.loads(data)
    nodes = _nodes(document)
    # The fields at the top have the same chance as all below them.
    top = [pair for pair in nodes if pair[0] is document]
    node, key = rng.choice(rng.choice((top, nodes)))
    what = rng.choice(("value", "value", "value", "gone", "twice", "moved", "top"))
    if what == "top":
        document = _odd(rng, outside)
    elif what == "gone":
        del node[key]
    elif what == "twice" and isinstance(node, list):
        node.append(node[key])
    elif what == "moved":
        other, place = rng.choice(nodes)
        node[key], other[place] = other[place], node[key]
        node[key] = None if node[key] is node else node[key]
    else:
        node[key] = _odd(rng, outside)
    try:
        return what, orjson.dumps(document)
    except (TypeError, orjson.JSONEncodeError):  # in a circle, or no Unicode
        return what, b"{}"


# --- parquet ------------------------------------------------------------------------------------


def _spoil_parquet(rng: Random, data: bytes, outside: Path) -> tuple[str, bytes]:
    table = pq.read_table(io.BytesIO(data))
    name = rng.choice(table.column_names)
    place = table.column_names.index(name)
    what = rng.choice(("cell", "cell", "cell", "cell", "column", "type", "name", "rows", "groups"))
    groups = len(table) or 1
    match what:
        case "cell":
            return what, _spoil_cell(rng, table, outside)
        case "column":
            table = table.drop_columns([name])
        case "type":
            odd = rng.choice(
                (
                    pa.nulls(len(table), rng.choice((pa.null(), table.schema.field(name).type))),
                    pa.array(range(len(table)), pa.int64()),
                    pa.array([str(at) for at in range(len(table))]),
                    pa.array([[at] for at in range(len(table))]),
                    pa.array([{"href": at} for at in range(len(table))]),
                    pa.array([b"\xff\xfe"] * len(table), pa.binary()),
                    pa.array([1.5] * len(table)).cast(pa.float32()),
                    pa.array([2**62] * len(table), pa.timestamp("us", tz="UTC")),
                )
            )
            table = table.set_column(place, name, odd)
        case "name":
            names = list(table.column_names)
            names[place] = rng.choice((name.upper(), names[0], "", "a.b", "x'\"; --", "\x1b[2J"))
            table = table.rename_columns(names)
        case "rows":
            table = rng.choice((table.slice(0, 0), pa.concat_tables([table, table])))
        case "groups":
            groups = 1
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=groups)
    return what, out.getvalue()


def _spoil_cell(rng: Random, table: pa.Table, outside: Path) -> bytes:
    """Values in a row are others, of the type that their column has."""
    try:
        rows = table.to_pylist()
    except OverflowError:  # a time is odd already
        rows = []
    for _ in range(rng.choice((1, 1, 4)) if rows else 0):
        row = rng.choice(rows)
        node, key = rng.choice(rng.choice((_nodes(row["assets"]) or _nodes(row), _nodes(row))))
        for _ in range(20):
            before, node[key] = node[key], _odd_of(rng, node[key], outside)
            try:
                pa.Table.from_pylist([row], table.schema)
                break
            except (pa.ArrowException, ValueError, TypeError, OverflowError):
                node[key] = before
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, table.schema) if rows else table, out)
    return out.getvalue()


def _odd_of(rng: Random, value: Any, outside: Path) -> Any:
    if isinstance(value, int) and rng.random() < 0.8:
        return rng.choice((0, 1, -1, value + 1, value - 1, 2**31, 2**62, -(2**62)))
    if isinstance(value, str) and rng.random() < 0.2:
        return rng.choice(("O", "<f8", ">u2", "|S9", "uint8", "x", "band", "image/png"))
    return _odd(rng, outside)


# --- places -------------------------------------------------------------------------------------


def _spoil_place(rng: Random, home: Path, outside: Path) -> str:
    """A file is a link to somewhere else, a pipe or a folder."""
    files = sorted(path for path in home.rglob("*") if path.is_file())
    weights = [4 if path.suffix in (".parquet", ".zip") else 1 for path in files]
    path = rng.choices(files, weights)[0]
    path.unlink()
    what = rng.choice(("link", "pipe", "folder", "missing"))
    if what == "link":
        path.symlink_to(rng.choice((outside / "secret.txt", outside, Path("/dev/zero"), path)))
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    return f"file is {what}"
