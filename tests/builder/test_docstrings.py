"""The examples in the docstrings of what a dataset package imports run."""

import doctest
import importlib

import pytest

MODULES = [
    *("dataset_record", "datasets", "pipeline", "samples", "sources", "splits", "stac"),
    *("chipping.chips", "chipping.chip_grid", "chipping.chip_options", "chipping.clipping"),
    *("imagery.annotations", "imagery.object_shapes"),
    *("arguments", "storage.assets", "comparison.comparing", "comparison.document_changes"),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name):
    module = importlib.import_module(f"satimnet.builder.{name}")
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0, "there is no example"
    assert result.failed == 0
