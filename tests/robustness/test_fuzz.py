"""Malformed sources and catalogs: a cut of ``python -m tests.fuzz``; its judge sees faults."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fuzz import judging, using, workers
from fuzz.cases import Case, make
from fuzz.catalogs import CatalogCase, make_catalog
from fuzz.judging import judge

from satimnet.builder import build
from satimnet.builder.errors import SatimnetError
from stactools.xview.miniature import write_miniature

CASES = 48
SOURCES = {"dota": {f"{at}.txt": b"1 2 3\n" * 9 for at in range(9)}, "inria": {"a.tif": b"II*\0"}}


@pytest.mark.slow
def test_malformed_sources_and_catalogs_end_in_errors_or_reports(tmp_path):
    command = [sys.executable, "-m", "tests.fuzz", "--cases", str(CASES), "--results"]
    file, root = tmp_path / "results.ndjson", Path(__file__).parents[2]
    run = subprocess.run([*command, str(file)], cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    results = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted(result["seed"] for result in results) == list(range(CASES))
    assert {result["outcome"] for result in results} == {"error", "skips", "whole"}


def files_of(folder: Path) -> dict[str, object]:
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() and not p.is_symlink() else None
        for p in folder.rglob("*")
    }


def test_a_seed_gives_the_same_source_every_time(tmp_path):
    outside = tmp_path / "outside"
    for seed in range(30):
        one = make(seed, SOURCES, tmp_path / "one" / str(seed), outside)
        two = make(seed, SOURCES, tmp_path / "two" / str(seed), outside)
        assert (one.dataset, one.spoilt) == (two.dataset, two.spoilt)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


@pytest.fixture
def case(tmp_path, monkeypatch) -> Case:
    """A sound source; schemas that are not here are not fetched either."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    (tmp_path / "worker" / "sandbox").mkdir(parents=True)
    (source,) = write_miniature(tmp_path / "worker" / "sandbox" / "xview")
    return Case(0, "xview", (), source, True, "any", False)


def test_a_sound_source_is_judged_sound(case, tmp_path):
    verdict = judge(case, tmp_path / "worker" / "sandbox", None)
    assert not verdict.fault, verdict
    assert 0 < verdict.peak < judging.MEMORY


def leave_file_outside(sources, out, **_):
    (out.parent.parent.parent / "escaped").touch()
    raise SatimnetError("no")


def change_source(sources, out, assigned, **_):
    os.utime(next(assigned["xview"][0].rglob("*.tif")), (1, 1))
    raise SatimnetError("no")


def leave_folder(sources, out, **_):
    (out.parent / ".catalog.building").mkdir()
    raise SatimnetError("no")


def fail(sources, out, **_):
    raise KeyError("x")


def hoard(sources, out, **_):
    bytearray(b"x") * judging.MEMORY
    raise SatimnetError("no")


def spoil_member(sources, out, **options):
    reports = build(sources, out, **options)
    shard = next(out.glob("xview/shards/train-*.zip"))
    shard.write_bytes(shard.read_bytes()[:100] + b"\0" * (shard.stat().st_size - 100))
    return reports


def speak_in_lines(sources, out, **_):
    error = SatimnetError("")
    error.args = ("a\nb",)
    raise error


@pytest.mark.parametrize(
    ("built", "outcome"),
    [
        (leave_file_outside, "escape"),
        (change_source, "escape"),
        (leave_folder, "leftover"),
        (fail, "traceback"),
        (hoard, "memory"),
        (spoil_member, "invalid catalog"),
        (speak_in_lines, "not one line"),
    ],
)
def test_faults_are_seen(case, built, outcome, tmp_path, monkeypatch):
    monkeypatch.setattr(judging, "build", built)
    if outcome == "memory":
        monkeypatch.setattr(judging, "MEMORY", judging.peak_memory() + 2**26)
    verdict = judge(case, tmp_path / "worker" / "sandbox", None)
    assert verdict.outcome == outcome
    assert verdict.fault


@pytest.mark.parametrize(
    ("sent", "outcome", "detail"),
    [
        (signal.SIGSEGV, "crash", "SIGSEGV"),
        (signal.SIGXCPU, "hang", "SIGXCPU"),
        (signal.SIGSTOP, "hang", "not done in 0 s"),
    ],
)
def test_a_worker_that_dies_or_hangs_is_named_with_its_case(
    sent, outcome, detail, tmp_path, monkeypatch
):
    worker = workers._Worker(SOURCES, tmp_path / "worker", None)
    try:
        assert worker.next(iter([7]))
        os.kill(worker._process.pid, sent)
        if sent == signal.SIGSTOP:
            monkeypatch.setattr(workers, "_WALL_SECONDS", 0)
        while (result := worker.result()) is None:
            time.sleep(0.05)
        assert (result.seed, result.outcome, result.detail) == (7, outcome, detail)
        assert result.fault
    finally:
        worker.stop()


def raise_key_error(catalog, out, rng):
    raise KeyError("x")


def write_elsewhere(catalog, out, rng):
    (catalog / "note.json").touch()


def take_the_secret(catalog, out, rng):
    out.mkdir()
    shutil.copy(catalog.parents[1] / "outside" / "secret.txt", out)


def say_two_lines(catalog, out, rng):
    error = SatimnetError("")
    error.args = ("a\nb",)
    raise error


@pytest.mark.parametrize(
    ("way", "outcome"),
    [
        (lambda catalog, out, rng: None, "whole"),
        (raise_key_error, "traceback"),
        (write_elsewhere, "escape"),
        (take_the_secret, "leak"),
        (say_two_lines, "not one line"),
    ],
)
def test_faults_of_what_reads_a_catalog_are_seen(catalog, tmp_path, monkeypatch, way, outcome):
    sandbox = tmp_path / "worker" / "sandbox"
    shutil.copytree(catalog, sandbox / "sources" / "catalog")
    (sandbox / "outside").mkdir()
    (sandbox / "outside" / "secret.txt").write_text("not a part of any source")
    monkeypatch.setattr(using, "_WAYS", dict.fromkeys(("a", "b", "c", "d"), way))
    verdict = using.use(CatalogCase(0, "catalog", (), sandbox / "sources" / "catalog"), sandbox)
    assert verdict.outcome == outcome, verdict
    assert verdict.fault == (outcome != "whole")


def test_a_seed_gives_the_same_catalog_every_time(catalog, tmp_path):
    files = {p: data for p, data in files_of(catalog).items() if isinstance(data, bytes)}
    for seed in range(20):
        one, two = (
            make_catalog(seed, files, tmp_path / way / str(seed), tmp_path / "outside")
            for way in ("one", "two")
        )
        assert one.spoilt == two.spoilt
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
