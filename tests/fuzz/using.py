"""Using: all that reads a catalog is tried on a spoilt one, and judged by what comes of it."""

from __future__ import annotations

import os
import time
import traceback
import warnings
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from random import Random
from tempfile import TemporaryFile

import pystac
from click.testing import CliRunner
from stactools.cli.cli import cli

from satimnet.builder import open as open_client
from satimnet.builder import read_bytes, search, validate
from satimnet.builder.errors import CatalogWarning, SatimnetError
from satimnet.builder.exports import FORMATS, export
from satimnet.builder.quality import assess
from satimnet.builder.query.index import Index
from satimnet.builder.transfer.mirror import copy_catalog
from satimnet.builder.transfer.subset import copy_found as copy
from satimnet.builder.transfer.subset import save_found as save
from satimnet.training import open_samples

from .catalogs import CatalogCase
from .judging import (
    MEMORY,
    Fault,
    Verdict,
    check_line,
    forget_peak,
    peak_memory,
    state_of,
    stderr_to,
)

_USES = 4  # tried on a case, besides info
_SECRET = b"not a part of any source"


def use(case: CatalogCase, sandbox: Path) -> Verdict:
    """Tries some of what reads a catalog, and says what came of it.

    ``error`` is that one of it refused the catalog, ``skips`` that something was warned of.
    """
    out = sandbox / "out"
    out.mkdir()
    rng = Random(case.seed)
    chosen = ["info", *rng.sample(sorted(_WAYS), _USES)]
    before = _around(sandbox)
    forget_peak()
    start = time.perf_counter()
    outcomes, detail = set(), ""
    try:
        for name in chosen:
            outcome, said = _tried(name, case.folder, out / name, rng)
            outcomes.add(outcome)
            detail = detail or said
        if _around(sandbox) != before:
            raise Fault("escape", f"files changed outside of {out}, by one of {chosen}")
        if peak_memory() > MEMORY:
            raise Fault("memory", f"{peak_memory() / 2**20:.0f} MiB")
        for path in out.rglob("*"):
            if path.is_file() and _SECRET in path.read_bytes():
                raise Fault("leak", f"{path} has what lies outside")
    except Fault as fault:
        outcome, detail = fault.args
        return Verdict(outcome, detail, peak_memory(), time.perf_counter() - start)
    worst = next(one for one in ("error", "skips", "whole") if one in outcomes)
    return Verdict(worst, detail, peak_memory(), time.perf_counter() - start)


def _around(sandbox: Path) -> tuple[str, list[str]]:
    """What lies in the sandbox but for ``out``, and beside it; temporary files come and go."""
    return state_of(sandbox), sorted(os.listdir(sandbox.parent))


def _tried(name: str, catalog: Path, out: Path, rng: Random) -> tuple[str, str]:
    """Outcome and message of one way."""
    way = _info if name == "info" else _WAYS[name]
    try:
        with (
            TemporaryFile() as printed,
            stderr_to(printed),
            warnings.catch_warnings(record=True) as warned,
        ):
            warnings.simplefilter("always", CatalogWarning)
            way(catalog, out, rng)
    except SatimnetError as error:
        check_line(str(error))
        return "error", f"{name}: {error}"
    except Fault:
        raise
    except Exception as error:
        where = "".join(traceback.format_exception(error)[-4:])
        raise Fault("traceback", f"{name}: {type(error).__name__}: {error}\n{where}") from error
    told = [str(one.message) for one in warned if one.category is CatalogWarning]
    for message in told:
        check_line(message)
    return ("skips", f"{name}: {told[0]}") if told else ("whole", "")


def _command(*arguments: object) -> None:
    done = CliRunner().invoke(cli, ["satimnet", *map(str, arguments)])
    if done.exit_code not in (0, 1) or "a fault of satimnet" in done.output:
        again = CliRunner().invoke(cli, ["satimnet", *map(str, arguments), "--debug"])
        where = "\n".join(again.output.splitlines()[-12:])
        raise Fault("traceback", f"{arguments[0]}: {done.output[-1000:]}\n{where}")
    if "\x1b" in done.output or "\x07" in done.output:
        raise Fault("orders to the terminal", repr(done.output))
    if done.exit_code:
        raise SatimnetError(done.output.strip().splitlines()[-1])


def _info(catalog: Path, out: Path, rng: Random) -> None:
    _command("info", catalog, *rng.choice(((), ("--attributes",))))


def _search_command(catalog: Path, out: Path, rng: Random) -> None:
    asked: tuple[tuple[str, ...], ...] = (
        (),
        ("--facets",),
        ("--concept", "water"),
        ("--class", "ship"),
        ("--text", "forest"),
        ("--format", "json"),
        ("--bbox", "-10,40,20,60"),
        ("--collection", "eurosat", "--count"),
    )
    for options in rng.sample(asked, 2):
        _command("search", catalog, *options)


def _concepts(catalog: Path, out: Path, rng: Random) -> None:
    _command("concepts", "--catalog", catalog)


def _read(catalog: Path, out: Path, rng: Random) -> None:
    for item in islice(search(catalog, sortby="-id"), 20):
        for asset in item["assets"].values():
            if not asset["href"].startswith("http") and asset.get("archive"):
                read_bytes(asset)


def _client(catalog: Path, out: Path, rng: Random) -> None:
    client = open_client(catalog)
    try:
        list(client.get_collections())
        list(client.search(max_items=5).items())
    except pystac.STACError as error:  # pystac's own word for a link that leads nowhere
        raise SatimnetError(f"{str(error)[:1000]}") from error


def _samples(catalog: Path, out: Path, rng: Random) -> None:
    bands = rng.choice((["red"], ["B04", "B03"], None))
    samples = open_samples(catalog).search(collections=["eurosat"], bands=bands)
    for batch in samples.to_batches(4, bands=bands, threads=1):
        assert len(batch.images)


def _export(catalog: Path, out: Path, rng: Random) -> None:
    export(Index(catalog), rng.choice(FORMATS), out)


_WAYS: dict[str, Callable[[Path, Path, Random], None]] = {
    "search": _search_command,
    "concepts": _concepts,
    "read": _read,
    "client": _client,
    "samples": _samples,
    "export": _export,
    "copy": lambda catalog, out, _: (copy_catalog(catalog, out), None)[1],
    "save": lambda catalog, out, _: (save(search(catalog), out), None)[1],
    "pack": lambda catalog, out, _: (copy(search(catalog), out), None)[1],
    "validate": lambda catalog, out, _: (validate(catalog, checksums=True), None)[1],
    "quality": lambda catalog, out, _: (assess(catalog, out), None)[1],
}
