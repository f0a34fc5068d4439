"""The examples in docstrings of searches run as they stand there."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["client", "search"])
def test_the_examples_of_docstrings_are_true(name, demo, monkeypatch):
    monkeypatch.chdir(demo)
    module = importlib.import_module(f"satimnet.builder.query.{name}")
    tests = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    said = []
    for test in tests:
        runner.run(test, out=said.append)
    assert tests
    assert not runner.failures, "".join(said)
