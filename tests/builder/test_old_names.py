"""The modules of 0.1.0 under their old names."""

import importlib.resources
import importlib.util
import pickle
import subprocess
import sys
from types import ModuleType

import pytest

import satimnet.training  # noqa: F401
import stactools.satimnet  # noqa: F401
from satimnet.builder.old_names import ELSEWHERE, MOVED, find_moved_modules


@pytest.mark.filterwarnings("ignore:.* is now")
def test_every_old_name_leads_to_a_module_that_is_there():
    assert list(MOVED) == sorted(MOVED)
    for old, new in MOVED.items():
        assert importlib.util.find_spec(new) is not None, new
        spec = importlib.util.find_spec(old)
        assert spec is not None, old
        assert spec.origin is None, f"{old} is there, and is shadowed by nothing"


@pytest.mark.parametrize(
    ("statement", "new"),
    [
        ("import satimnet.builder.headers as m", "satimnet.builder.imagery.headers"),
        ("from satimnet.builder import queries as m", "satimnet.builder.query.search"),
        ("from satimnet.training.decoding import decode as m", "satimnet.training.data.decoding"),
        ("from satimnet.training.models import CnnClass as m", "satimnet.training.networks.models"),
        ("from satimnet.training.recipes import read_recipe as m", "satimnet.training.fusion."),
        ("import satimnet.training.recipes.tables as m", "satimnet.training.fusion.recipes.toml"),
        ("from stactools.satimnet.commands import satimnet as m", "satimnet.cli.group"),
    ],
)
def test_an_old_name_works_and_warns_of_the_new_one(statement, new):
    for name in MOVED:
        sys.modules.pop(name, None)
    found: dict[str, object] = {}
    with pytest.warns(DeprecationWarning, match="is now") as warned:
        exec(statement, found)
    assert f"is now {new}" in str(warned[-1].message)
    assert warned[-1].filename == "<string>"  # where the import stands
    if not isinstance(found["m"], ModuleType):
        assert found["m"].__module__.startswith(new) or new == "satimnet.cli.group"


@pytest.mark.filterwarnings("ignore:.* is now")
def test_what_was_moved_out_of_its_module_is_found_under_its_old_name():
    for old, new in ELSEWHERE.items():
        module, _, name = old.rpartition(".")
        found = getattr(importlib.import_module(module), name)
        home, _, own = new.rpartition(".")
        assert found is getattr(importlib.import_module(home), own), old
        assert module in MOVED, old


@pytest.mark.filterwarnings("ignore:.* is now")
def test_a_name_that_never_was_there_is_an_import_error():
    with pytest.raises(ImportError, match="cannot import name 'nonsense'"):
        exec("from satimnet.builder.headers import nonsense")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("satimnet.builder.nonsense")


def test_fusion_hands_on_what_the_module_of_that_name_had():
    script = """
import satimnet.training
assert callable(satimnet.training.fuse)
from satimnet.training.fusion import Fused, fuse
from satimnet.training.fusion.recipes import read_recipe
assert callable(fuse) and fuse is satimnet.training.fuse
"""
    subprocess.run([sys.executable, "-W", "error::DeprecationWarning", "-c", script], check=True)


def test_what_is_there_is_found_as_ever():
    find_moved_modules()
    assert [type(finder).__name__ for finder in sys.meta_path].count("_Finder") == 1
    from satimnet.builder.imagery.headers import Header

    assert b"satimnet.builder.imagery.headers" in pickle.dumps(Header)
    assert importlib.resources.files("satimnet.training.fusion.recipes").joinpath("demo.toml")
    for name in ("samples", "sources", "datasets", "stac", "commands", "errors", "pipeline"):
        assert f"satimnet.builder.{name}" not in MOVED
