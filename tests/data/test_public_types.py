"""What a type checker is told of the public face, and what help() shows of it."""

import doctest
import importlib
import inspect
import subprocess
import sys
import typing

import pytest

import satimnet.training as face
from satimnet.training import Catalog, Samples

MODULES = [
    *("batches", "order", "sample_table", "shown_samples", "single_sample"),
    *("torchgeo_samples", "training_samples"),
]
METHODS = [
    (one.__name__, name)
    for one in (Samples, Catalog)
    for name in dir(one)
    if not name.startswith("_") and inspect.isfunction(inspect.getattr_static(one, name))
]
FUNCTIONS = [name for name in face.__all__ if inspect.isfunction(getattr(face, name))]

pytestmark = pytest.mark.usefixtures("one_thread")


def types_of(function):
    """The annotations as types, with the names that only a type checker imports."""
    import xarray
    from matplotlib.figure import Figure

    from satimnet.training.data.batches import Batch
    from satimnet.training.data.torch_dataset import BatchDataset

    names = {"Batch": Batch, "Figure": Figure, "BatchDataset": BatchDataset, "xarray": xarray}
    plain = inspect.unwrap(function)
    return typing.get_type_hints(plain, plain.__globals__ | names)


def says_any(kind):
    return kind is typing.Any or any(map(says_any, typing.get_args(kind)))


@pytest.mark.parametrize(("home", "name"), METHODS)
def test_methods_say_what_they_return(home, name):
    returned = types_of(getattr(getattr(face, home), name))["return"]
    # arrays of any dtype are typed as such
    assert name in {"targets", "datetimes"} or not says_any(returned)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_say_what_they_return(name):
    hints = inspect.unwrap(getattr(face, name)).__annotations__
    assert hints["return"] != "Any"


def test_arrays_are_known_to_a_type_checker():
    import xarray

    with_masks = [
        overload
        for overload in typing.get_overloads(inspect.unwrap(Samples.to_xarray))
        if types_of(overload)["mask"] is str
    ]
    assert len(with_masks) == 2
    assert {types_of(one)["return"] for one in with_masks} == {xarray.Dataset}
    assert types_of(Samples.to_xarray)["return"] == xarray.DataArray | xarray.Dataset


def test_the_face_imports_neither_torch_nor_xarray():
    code = (
        "import sys, satimnet.training as t; t.Samples; print({'torch', 'xarray'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_help_shows_the_options_of_batches_with_their_defaults():
    shown = inspect.signature(Samples.to_batches).parameters
    defaults = {name: one.default for name, one in shown.items()}
    assert defaults["labels"] == "auto"
    assert defaults["world_size"] == 1
    only_here = shown.keys() - inspect.signature(Samples.to_dataset).parameters
    assert only_here == {"device", "threads", "scheduler"}
    for name in shown.keys() - {"self", "batch_size"}:
        assert f"- `{name}`: " in Samples.to_batches.__doc__


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_docstrings_are_true(name, demo, monkeypatch):
    monkeypatch.chdir(demo)
    module = importlib.import_module(f"satimnet.training.data.{name}")
    tests = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    said = []
    for test in tests:
        runner.run(test, out=said.append)
    assert tests
    assert not runner.failures, "".join(said)
