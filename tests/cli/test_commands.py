"""The commands as a user meets them."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pystac
import pytest
from click.testing import CliRunner, Result
from packaging.version import Version
from published import shard_of
from stactools.cli.cli import cli

from satimnet.builder.query.search import count
from satimnet.builder.storage.staging import lock
from satimnet.cli.group import satimnet

PER_CLASS = 4  # of the miniature in conftest.py
PAPER = {"dota", "xview", "airbus-ship", "clouds-s2-taiwan", "inria", "bigearthnet", "eurosat"}


def stac(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has after running the code."""
    report = "import sys; print('\\n'.join(m.partition('.')[0] for m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import satimnet.builder",
        "import satimnet.training",
        "import sys; sys.argv = ['stac', '--help']\n"
        "from stactools.cli.cli import cli\ncli(['--help'], standalone_mode=False)",
    ],
)
def test_start_up_loads_nothing_heavy(code):
    heavy = {"torch", "dask", "xarray", "duckdb", "pyarrow", "matplotlib", "distributed"}
    assert not loaded_by(code) & heavy


# duckdb and pyarrow answer a search; pandas is imported by pyarrow where it makes arrays and times.
UNUSED_BY_SEARCH = {"pandas", "pystac", "urllib3", "stactools", "rasterio", "torch", "pyproj"}
UNUSED_BY_SEARCH |= {"dask", "xarray", "jsonschema", "matplotlib", "distributed", "PIL"}


def loaded_by_command(*arguments: object) -> set[str]:
    return loaded_by(
        f"from satimnet.cli.group import satimnet\n"
        f"satimnet({[str(argument) for argument in arguments]!r}, standalone_mode=False)"
    )


def test_help_loads_nothing_that_it_does_not_use():
    unused = UNUSED_BY_SEARCH | {"numpy", "pyarrow", "duckdb", "shapely", "rich", "obstore"}
    loaded = loaded_by_command("--help")
    assert "satimnet" in loaded
    assert not loaded & unused


@pytest.mark.parametrize("how", [(), ("--format", "json"), ("--format", "paths"), ("--count",)])
def test_a_search_loads_nothing_that_it_does_not_use(how, catalog):
    loaded = loaded_by_command("search", catalog, "--concept", "water", "--limit", 3, *how)
    assert {"duckdb", "pyarrow"} <= loaded
    assert not loaded & UNUSED_BY_SEARCH


@pytest.mark.parametrize("program", [["satimnet"], [sys.executable, "-m", "satimnet.cli"]])
def test_the_command_stands_alone(program, catalog):
    """`satimnet …` is `stac satimnet …`, and says so of itself."""
    folder = Path(sys.executable).parent
    done = subprocess.run(
        [*program, "search", catalog, "--class", "River", "--count"],
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{PER_CLASS}\n", "")


def test_usage_names_the_program_that_was_called():
    alone = CliRunner().invoke(satimnet, ["build", "--help"], prog_name="satimnet")
    assert alone.output.startswith("Usage: satimnet build [OPTIONS] [SOURCES]...")
    assert stac("satimnet", "build", "--help").output.startswith("Usage: cli satimnet build")
    script = "from stactools.cli.cli import run_cli; run_cli()"
    done = subprocess.run(
        [sys.executable, "-c", script, "satimnet", "download", "eurosat", "--bad"],
        capture_output=True,
        text=True,
    )
    assert "Usage: stac satimnet download" in done.stderr
    told = CliRunner().invoke(satimnet, ["download", "x"], prog_name="satimnet")
    assert "Error: no dataset 'x'" in told.output


def test_the_command_runs_no_code_of_stactools():
    code = """
import sys
from importlib.metadata import version
from satimnet.cli.group import satimnet
assert "stactools" not in sys.modules
satimnet(["concepts", "water"], standalone_mode=False)
assert "stactools.eurosat" in sys.modules
ours = [name for name in sys.modules if name.startswith(("stactools.cli", "stactools.core"))]
assert ours == [], ours
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_source_root_is_a_package():
    """With an __init__.py, collections/ would shadow the standard library."""
    root = Path(__file__).parents[2]
    for folder in ("collections", "stac_builder", "extensions", "training"):
        assert (root / folder).is_dir()
        assert not (root / folder / "__init__.py").exists()
    assert not (root / "collections" / "stactools" / "__init__.py").exists()
    assert not list(root.glob("*/satimnet/__init__.py"))


def test_demo(made_demo):
    demo, said = made_demo
    assert len(said.splitlines()) <= 10
    assert "eurosat 300, " in said
    assert "no problems" in said
    reports = [
        json.loads(path.read_text()) for path in (demo / "catalog").glob("*/*/build-report.json")
    ]
    listed = re.search(r"(\d+) faults, put into .*build-report.json", said)
    assert listed
    assert (
        int(listed[1])
        == sum(
            len(report[kind])
            for report in reports
            for kind in ("left_out", "incomplete", "ignored")
        )
        > 10
    )
    found = re.search(r"--concept water --split train  # finds (\d+) items", said)
    assert found
    assert int(found[1]) == count(demo / "catalog", concept="water", split="train") > 30
    sheet = next(line for line in said.splitlines() if "a contact sheet" in line)
    assert Path(sheet.partition("#")[0].strip()).read_bytes().startswith(b"\x89PNG")
    collections = [
        json.loads(path.read_text()) for path in (demo / "catalog").glob("*/collection.json")
    ]
    assert {collection["id"] for collection in collections} >= PAPER
    for collection in collections:
        assert collection["satimnet:synthetic"] is True
        assert "synthetic" in collection["title"]
        assert count(demo / "catalog", collections=[collection["id"]]) > 0


def test_demo_writes_over_nothing_but_a_demo(tmp_path):
    demo = tmp_path / "demo"
    demo.mkdir()
    (demo / "thesis.tex").write_text("x")
    done = stac("satimnet", "demo", demo)
    assert done.exit_code == 1
    assert "is not empty and no earlier demo" in done.output
    assert [path.name for path in demo.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("missing", "command", "packages"),
    [
        ("uvicorn", "serve CATALOG", ["starlette", "uvicorn"]),
        ("torch", "train CATALOG --collection eurosat --out out", ["torch", "xarray"]),
    ],
)
def test_what_is_missing_is_named_as_pip_can_install_it(
    missing, command, packages, catalog, tmp_path
):
    """``pip install satimnet[serve]`` would look for satimnet in an index."""
    words = command.replace("CATALOG", str(catalog)).split()
    code = f"import sys; sys.modules[{missing!r}] = None; from satimnet.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: {missing} is not installed; pip install '")
    named = dict(re.findall(r"'([\w-]+)>=([\d.]+)'", line))
    assert named.keys() >= set(packages)
    assert all(Version(version(name)) >= Version(least) for name, least in named.items())


def test_a_pipe_into_head_is_no_error(catalog):
    stac = f"{sys.executable} -c 'from stactools.cli.cli import run_cli; run_cli()' satimnet"
    command = f"{stac} search {catalog} --format ndjson | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert json.loads(done.stdout)["id"] == "AnnualCrop_1"
    assert done.stderr == ""


def test_an_unknown_class_is_named(catalog):
    done = stac("satimnet", "search", catalog, "--class", "forest")
    assert done.exit_code == 1
    assert "no class 'forest'; did you mean Forest?" in done.output


def test_build_validate_info_search(miniature, schemas, tmp_path):
    out = tmp_path / "catalog"
    done = stac("satimnet", "build", miniature, "--out", out, "--shard-size", "1MB")
    assert done.exit_code == 0, done.output
    assert "eurosat: 40 items with 80 files" in done.output
    done = stac("satimnet", "validate", out, "--schemas", schemas, "--checksums")
    assert (done.exit_code, "80 members" in done.output) == (0, True), done.output
    done = stac("satimnet", "info", out)
    assert done.exit_code == 0, done.output
    assert "Highway" in done.output
    done = stac("satimnet", "search", out, "--class", "River", "--count")
    assert done.output.strip() == str(PER_CLASS)
    done = stac("satimnet", "search", out, "--class", "River", "--format", "ndjson")
    items = [json.loads(line) for line in done.output.splitlines()]
    assert [item["id"] for item in items] == [f"River_{n}" for n in range(1, PER_CLASS + 1)]
    assert pystac.Item.from_dict(items[0]).assets["rgb"].href == str(shard_of(out, "River-00000"))
    done = stac(
        "satimnet", "search", out, "--filter", "\"proj:code\" = 'EPSG:1'", "--format", "json"
    )
    assert json.loads(done.output)["features"] == []
    done = stac("satimnet", "search", out, "--sortby", "-id", "--limit", 2)
    assert "SeaLake_4" in done.output
    assert "2 items" in done.output


def test_named_dataset(miniature, tmp_path):
    done = stac(
        *("satimnet", "build", "--dataset", f"eurosat={miniature}", "--out", tmp_path / "catalog"),
        *("--scheduler", "threads", "--quiet"),
    )
    assert (done.exit_code, done.output) == (0, "")
    assert (tmp_path / "catalog" / "catalog.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "nowhere", "--out", "x"], "nowhere: no such file or folder"),
        (["build", "--out", "x"], "give a source"),
        (["build", "--dataset", "eurosat", "--out", "x"], "give NAME=PATH"),
        (["build", "--dataset", "x=y", "--out", "x"], "x: no such dataset; there are airbus-ship"),
        (["build", "y", "--out", "x", "--shard-size", "9 GiB"], "--shard-size 9663676416"),
        (["build", "y", "--out", "x", "--shard-size", "big"], "size 'big'"),
        (["build", "y", "--out", "x", "--strict", "--keep-going"], "exclude each other"),
        (["build", "y", "--out", "x", "--scheduler", "slurm"], "threads, processes"),
        (["validate", "nowhere"], "nowhere: no such file"),
        (["validate", "ftp://host/catalog"], "cannot be used here"),
        (["quality", "s3://bucket/catalog"], "give --out FOLDER"),
        (["info", "nowhere"], "nowhere"),
        (["search", "nowhere"], "nowhere"),
    ],
)
def test_errors_are_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = stac("satimnet", *arguments)
    assert done.exit_code != 0
    assert message in done.output
    assert "Traceback" not in done.output
    assert done.output.strip().splitlines()[-1].startswith("Error: ")
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_where(tmp_path):
    done = stac("satimnet", "build", tmp_path / "nowhere", "--out", tmp_path / "x", "--debug")
    assert done.exit_code == 1
    assert "Traceback" in done.output
    assert "NotFoundError" in done.output.strip().splitlines()[-1]


def test_strict_and_keep_going(miniature, tmp_path):
    import zipfile

    with zipfile.ZipFile(miniature / "EuroSAT.zip") as archive:
        archive.extractall(tmp_path / "source")
    bad = tmp_path / "source/2750/Forest/Forest_1.jpg"
    bad.write_bytes(bad.read_bytes()[:900])
    build = ("satimnet", "build", tmp_path / "source", "--out", tmp_path / "catalog")
    build += ("--scheduler", "threads")
    for options in ((), ("--strict",)):
        done = stac(*build, *options)
        assert done.exit_code == 1
        assert f"{bad}: truncated JPEG" in done.output
        assert not (tmp_path / "catalog").exists()
    done = stac(*build, "--keep-going")
    assert done.exit_code == 0
    assert f"left out: {bad}: truncated JPEG" in done.output


def test_dataset_commands(miniature, schemas, tmp_path):
    import zipfile

    with zipfile.ZipFile(miniature / "EuroSATallBands.zip") as archive:
        name = next(n for n in archive.namelist() if n.endswith("/Forest_1.tif"))
        archive.extract(name, tmp_path)
    done = stac("eurosat", "create-item", tmp_path / name, tmp_path / "item.json")
    assert done.exit_code == 0, done.output
    done = stac("eurosat", "create-collection", tmp_path / "collection.json")
    assert done.exit_code == 0, done.output
    from satimnet.builder.catalog.schemas import Schemas

    known = Schemas(schemas)
    item = json.loads((tmp_path / "item.json").read_text())
    assert known.problem(item) is None
    assert known.problem(json.loads((tmp_path / "collection.json").read_text())) is None
    assert known.unavailable == set()
    assert item["assets"]["multispectral"]["href"] == str(tmp_path / name)
    assert item["properties"]["satimnet:classes"] == ["Forest"]
    with lock(tmp_path / "item.json"):
        done = stac("eurosat", "create-item", tmp_path / name, tmp_path / "item.json")
    assert "item.json: another run is writing it" in done.output
    done = stac("eurosat", "create-item", tmp_path / "item.json", tmp_path / "other.json")
    assert done.exit_code == 1
    assert "not the files of one sample" in done.output


@pytest.mark.slow
def test_train_and_evaluate(demo, tmp_path):
    catalog, run = demo / "catalog", tmp_path / "run"
    options = ("--collection", "eurosat", "--bands", "B04,B03,B02,B08", "--width", 16)
    options += ("--epochs", 20, "--batch-size", 16, "--quiet")
    done = stac("satimnet", "train", catalog, *options, "--out", run)
    assert done.exit_code == 0, done.output
    assert "trained on 210, held out 30 samples; 60 samples of other splits left out" in done.output
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["class"]["accuracy"] > 0.8
    assert (run / "confusion.png").read_bytes()[:4] == b"\x89PNG"
    assert (run / "curves.png").read_bytes()[:4] == b"\x89PNG"
    done = stac(
        *("satimnet", "evaluate", catalog, "--checkpoint", run / "checkpoint.pt"),
        *("--collection", "eurosat", "--out", tmp_path / "again"),
    )
    assert done.exit_code == 0, done.output
    assert "on 300 samples" in done.output


def every_command(group: click.Group, path: tuple[str, ...] = ()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from every_command(command, (*path, name))
        else:
            yield (*path, name), command


def test_an_option_that_counts_once_is_refused_the_second_time():
    """Of every command; click would let the last one win."""
    tried = 0
    ours = {"satimnet", "eurosat"}
    for path, command in every_command(cli):
        if path[0] not in ours:
            continue
        for option in command.params:
            if not isinstance(option, click.Option) or option.multiple:
                continue
            value = [] if option.is_flag else ["1"]
            done = stac(*path, option.opts[0], *value, option.opts[0], *value)
            assert done.exit_code == 2, (path, option.opts)
            assert f"{'/'.join(option.opts)} is given 2 times" in done.output
            tried += 1
    assert tried > 60
    done = stac("satimnet", "map", "x.tif", "--within=a.pt", "--out", "o", "--within", "b.pt")
    assert "Error: --within is given 2 times, and counts once" in done.output
    done = stac("satimnet", "train", "x", "-q", "--quiet", "--out", "o")
    assert "--quiet/-q is given 2 times" in done.output


def test_an_option_that_may_be_repeated_still_may(tmp_path):
    done = stac("satimnet", "picture", tmp_path, "--checkpoint", "a", "--checkpoint", "b")
    assert "given 2 times" not in done.output
    assert stac("satimnet", "train", "--help", "--help").exit_code == 0
