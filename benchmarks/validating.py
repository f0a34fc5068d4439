"""Validating Items against core and all extensions they declare: satimnet and pystac."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyproj
import pystac
from pystac.validation import JsonSchemaSTACValidator, set_validator, validate_dict

from benchmarks.building import catalog_of
from benchmarks.data import Data
from benchmarks.table import Row
from benchmarks.timing import Contender, race
from satimnet.builder.catalog.schemas import Schemas
from satimnet.builder.query.index import Index
from satimnet.extension import schema

SCHEMAS = Path(__file__).parents[2] / "shared" / "schemas"
"""Stored schemas of the extensions; without them both fetch these once from the network."""

_CONTRACT = 300
_ITEMS = 60
_PASSES = 100  # ours needs that many to be long enough to be timed


def validating_rows(data: Data, rounds: int) -> Iterator[Row]:
    """One row; the Items lie parsed in memory."""
    catalog = data.folder / "catalog"
    if not catalog.exists():
        catalog_of(data.tiff_source, catalog)
    home = Path(Index(catalog).collections["eurosat"].href).parent
    files = sorted(home.glob("*/*_*.json"))
    items = [json.loads(path.read_bytes()) for path in files[:: -(-len(files) // _ITEMS)]]
    folder = SCHEMAS if SCHEMAS.is_dir() else None
    schemas = Schemas(folder)
    set_validator(_pystac_validator(folder))
    _require_same(schemas, items[0])

    def ours() -> int:
        problems = [schemas.problem(item) for _ in range(_PASSES) for item in items]
        if any(problems):
            raise AssertionError(next(filter(None, problems)))
        return len(problems)

    def theirs() -> int:
        for item in items:
            validate_dict(item)
        return len(items)

    laps = race({"satimnet": Contender(ours), "pystac": Contender(theirs)}, rounds)
    yield Row("validate: Items", "pystac", laps["satimnet"], laps["pystac"], _CONTRACT)


def _pystac_validator(folder: Path | None) -> JsonSchemaSTACValidator:
    """pystac's validator with the schemas that it would else fetch from the network."""
    validator = JsonSchemaSTACValidator()
    projjson = Path(pyproj.datadir.get_data_dir(), "projjson.schema.json")
    known = [schema(), json.loads(projjson.read_bytes())]
    validator.schema_cache |= {s["$id"].rstrip("#"): s for s in known}
    if folder is not None:
        index = json.loads((folder / "index.json").read_bytes())
        validator.schema_cache |= {
            uri: json.loads((folder / name).read_bytes()) for uri, name in index.items()
        }
    return validator


def _require_same(schemas: Schemas, item: dict[str, Any]) -> None:
    """Both must accept the Item, by the same schemas, and refuse what is wrong with its copies."""
    uris = validate_dict(item)
    if schemas.problem(item) is not None or schemas.checked() != sorted(uris):
        raise AssertionError(f"{schemas.problem(item)}; {schemas.checked()}; {uris}")
    wrong: list[dict[str, Any]] = [
        {"id": 1},
        {"bbox": [0]},
        {"properties": item["properties"] | {"proj:code": 32632}},
        {"properties": item["properties"] | {"satimnet:classes": "Forest"}},
    ]
    for change in wrong:
        if schemas.problem(item | change) is None:
            raise AssertionError(f"satimnet accepts {change}")
        try:
            validate_dict(item | change)
        except pystac.STACValidationError:
            continue
        raise AssertionError(f"pystac accepts {change}")
