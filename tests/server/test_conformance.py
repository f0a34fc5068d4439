"""What the STAC community's own validator says of the API."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from published import home_of
from serving import served

from satimnet.builder.pipeline import build
from satimnet.builder.query.search import search
from satimnet.builder.transfer.subset import copy_found as copy
from stactools.bigearthnet.miniature import write_miniature

pytest.importorskip("stac_api_validator", reason="needs the extra test")

CLASSES = ["core", "collections", "features", "item-search", "filter"]
CLASSES += [f"item-search#{name}" for name in ("sort", "fields", "query")]
EUROPE = {"type": "Polygon", "coordinates": [[[-20, 30], [60, 30], [60, 72], [-20, 72], [-20, 30]]]}
# what it asks for and cannot guess
ARGUMENTS = {
    "--collection": "bigearthnet",
    "--geometry": json.dumps(EUROPE),
    "--fields-nested-property": "properties.gsd",
    "--query-comparison-field": "gsd",
    **{f"--query-{name}-value": "10" for name in ("eq", "lte", "gte")},
    **{"--query-neq-value": "11", "--query-lt-value": "20", "--query-gt-value": "5"},
    "--query-substring-field": "title",
    "--query-starts-with-value": "S2",
    "--query-ends-with-value": "0",
    "--query-contains-value": "MSIL",
    **{"--query-in-field": "instruments", "--query-in-values": "msi"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """BigEarthNet with times, and with what the validator filters by: clouds and missions."""
    top = tmp_path_factory.mktemp("conformance")
    build(write_miniature(top / "source"), top / "whole", overview=False)
    copy(search(top / "whole", filter="datetime is not null"), top / "catalog")
    path = home_of(top / "catalog", "bigearthnet") / "items.parquet"
    with pq.ParquetFile(path) as file:
        table = file.read()
    clouds = pa.array([float(row) for row in range(len(table))])
    mission = pa.array(["sentinel-2"] * len(table))
    table = table.append_column("eo:cloud_cover", clouds).append_column("mission", mission)
    pq.write_table(table, path)
    return top / "catalog"


@pytest.mark.slow
@pytest.mark.parametrize("below", ["", "plain/"])
def test_the_validator_finds_no_error(folder, schemas, below):
    with served(folder) as (url, _):
        command = [sys.executable, Path(__file__).parents[1] / "api_validator.py", schemas]
        command += ["--root-url", url + below, "--validate-pagination"]
        command += [word for name in CLASSES for word in ("--conformance", name)]
        command += [word for pair in ARGUMENTS.items() for word in pair]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    found = done.stdout.partition("Warnings:")[2]
    assert "Errors: none" in found, found or done.stdout[-3000:] + done.stderr[-3000:]
    for name in ("Core", "Collections", "Features", "Item Search"):
        assert f"Validating STAC API - {name} conformance class" in done.stdout
    for name in ("Filter Extension", "Filter Extension - Basic CQL2"):
        assert f"Validating STAC API - Item Search - {name} conformance class" in done.stdout
    for name in ("Fields", "Sort", "Query"):
        assert f"STAC API - Item Search - {name} extension conformance class found" in done.stdout
