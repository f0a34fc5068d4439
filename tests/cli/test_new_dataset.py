"""The skeleton of an eighth dataset: it installs, builds and passes its test as it stands."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from killed import killed_at_its_end
from stactools.cli.cli import cli

ROOT = Path(__file__).parents[2]


def new_dataset(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["satimnet", "new-dataset", *map(str, arguments)])


def run(*command: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command in an interpreter that finds the new package, as if it were installed."""
    paths = [str(folder / "src"), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("new")
    done = new_dataset("city-trees", folder)
    assert done.exit_code == 0, done.output
    assert f'pip install -e "{folder / "city-trees"}[test]"' in done.output
    return folder / "city-trees"


SMALL_DEMO = """
from satimnet.builder import demo
from stactools.cli.cli import run_cli

all_of_them = demo.miniatures
demo.miniatures = lambda: {
    name: write for name, write in all_of_them().items() if name in ("city-trees", "eurosat")
}
run_cli()
"""
"""Of two datasets instead of eleven; test_commands.py makes the whole one."""


@pytest.mark.slow
def test_the_skeleton_passes_its_own_test(package):
    done = run("-m", "pytest", "-q", "-p", "no:schemathesis", folder=package)
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


@pytest.mark.slow
def test_the_skeleton_joins_the_commands(package, tmp_path):
    stac = ("-c", "from stactools.cli.cli import run_cli; run_cli()")
    done = run(*stac, "city-trees", "create-collection", tmp_path / "c.json", folder=package)
    assert done.returncode == 0, done.stderr
    done = run("-c", SMALL_DEMO, "satimnet", "demo", tmp_path / "demo", folder=package)
    assert done.returncode == 0, done.stderr
    assert "city-trees 6" in done.stdout
    assert "no problems" in done.stdout


def test_the_skeleton_is_clean_python(package):
    assert not [path for path in package.rglob("*") if "{{" in _text(path)]
    for check in (("check",), ("format", "--check")):
        done = run("-m", "ruff", *check, "--config", ROOT / "pyproject.toml", ".", folder=package)
        assert done.returncode == 0, done.stdout


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() and path.suffix != ".pyc" else ""


def test_in_a_checkout_it_lies_where_the_others_lie(tmp_path):
    (tmp_path / "collections/stactools/satimnet").mkdir(parents=True)
    assert new_dataset("city-trees", tmp_path).exit_code == 0
    package = tmp_path / "collections/stactools/city_trees"
    assert {path.name for path in package.iterdir()} == {
        *("__init__.py", "dataset.toml", "source.py", "miniature.py", "py.typed")
    }
    assert (tmp_path / "tests/datasets/test_city_trees.py").is_file()
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("City", "no name for a dataset"),
        ("a--b", "no name for a dataset"),
        ("../x", "no name for a dataset"),
        ("class", "no name for a dataset"),
        ("eurosat", "is taken"),
        ("airbus-ship", "is taken"),
        ("satimnet", "is taken"),
        ("merge", "is taken"),
    ],
)
def test_names_that_cannot_be(name, message, tmp_path):
    done = new_dataset(name, tmp_path)
    assert done.exit_code == 1
    assert message in done.output
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(tmp_path):
    (tmp_path / "city-trees").mkdir()
    done = new_dataset("city-trees", tmp_path)
    assert done.exit_code == 1
    assert "is there already" in done.output
    assert not list((tmp_path / "city-trees").iterdir())


def test_what_was_changed_after_a_kill_is_not_written_over(tmp_path):
    killed_at_its_end("new-dataset", "city-trees", tmp_path)
    note = tmp_path / ".city-trees.lock"
    shutil.copyfile(note, kept := tmp_path / "kept")
    assert new_dataset("city-trees", tmp_path).exit_code == 0
    kept.rename(note)
    (tmp_path / "city-trees" / "notes.txt").write_text("mine")
    done = new_dataset("city-trees", tmp_path)
    assert done.exit_code == 1
    assert "is there already" in done.output
    assert os.listdir(tmp_path) == ["city-trees"]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    done = new_dataset("city-trees", tmp_path / "file" / "folder")
    assert done.exit_code == 1
    assert done.output.strip().splitlines() == [
        f"Error: {tmp_path / 'file' / 'folder' / 'city-trees'}: cannot be written there "
        "(Not a directory); choose another place"
    ]
