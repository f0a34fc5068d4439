"""The option ``--at``: commands that read a version of a collection that is not the current one."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from stactools.cli.cli import cli

from satimnet.builder import build, versions
from stactools.eurosat.miniature import write_miniature


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A catalog with an earlier version of 10 Items and a current one of 20; the former's name."""
    folder = tmp_path_factory.mktemp("changed")
    for count in (1, 2):
        write_miniature(folder / str(count), count)
        build([folder / str(count)], folder / "catalog", overview=False)
    first, _ = versions(folder / "catalog")
    return str(folder / "catalog"), first.name


def said(*arguments: str) -> str:
    done = CliRunner().invoke(cli, ["satimnet", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_commands_read_the_version_that_is_asked_for(changed, tmp_path):
    catalog, first = changed
    for number, (at, count) in enumerate(
        (((), 20), (("--at", first), 10), (("--at", f"eurosat@{first}"), 10))
    ):
        assert len(said("search", catalog, "--format", "ndjson", *at).splitlines()) == count
        assert f" {count} " in said("info", catalog, *at)
        out = tmp_path / str(number)
        said("export", catalog, "--format", "croissant", "--out", str(out), "--quiet", *at)
        (exported,) = out.glob("eurosat*.json")
        assert (first in exported.read_text()) == bool(at)


@pytest.mark.parametrize("command", ["search", "info", "export"])
def test_a_version_that_is_not_there_is_named_with_those_that_are(command, changed, tmp_path):
    catalog, first = changed
    more = ["--format", "croissant", "--out", str(tmp_path / "out")] if command == "export" else []
    done = CliRunner().invoke(cli, ["satimnet", command, catalog, "--at", "nothing", *more])
    assert done.exit_code == 1
    assert f"no version nothing; there are: eurosat@{first}" in done.output
