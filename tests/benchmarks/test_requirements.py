"""The list that the benchmarks are installed from, without a resolver: is it complete?"""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = ("bench", "distributed", "serve", "training")


def requirements(lines):
    stripped = (line.partition("#")[0].strip() for line in lines)
    return {
        canonicalize_name(found.name): found for found in map(Requirement, filter(None, stripped))
    }


LISTED = requirements((ROOT / "benchmarks/requirements.txt").read_text().splitlines())
WANTED = requirements(
    [*PROJECT["dependencies"], *(x for e in EXTRAS for x in PROJECT["optional-dependencies"][e])]
)


@pytest.mark.parametrize("name", sorted(WANTED.keys() - {"satimnet"}))
def test_all_that_is_wanted_is_listed(name):
    assert name in LISTED, "resolve again: the head of benchmarks/requirements.txt says how"
    (pin,) = LISTED[name].specifier
    assert pin.operator == "=="
    assert WANTED[name].specifier.contains(pin.version)


def test_what_is_carried_to_a_gpu_is_of_the_same_versions():
    carried = requirements((ROOT / "benchmarks/gpu/requirements.txt").read_text().splitlines())
    assert {name: str(found) for name, found in carried.items()} == {
        name: str(LISTED[name]) for name in carried
    }
