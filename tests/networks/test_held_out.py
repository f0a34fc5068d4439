"""Which samples are held out when nothing is said, and when something is."""

import numpy as np
import pyarrow as pa
import pytest
from mini_masks import make_patches, write_masked_catalog

from satimnet.builder.errors import ArgumentError
from satimnet.training import open_samples
from satimnet.training.data.folds import hold_out
from satimnet.training.networks.held_out import divide


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    catalog = write_masked_catalog(tmp_path_factory.mktemp("catalog"), make_patches(10, side=8))
    return open_samples(catalog).search()


def with_splits(samples, splits):
    table = samples.table.append_column("satimnet:split", pa.array(splits, pa.string()))
    return type(samples)(table, samples.collections, samples.classes)


def test_the_split_of_the_catalog_is_taken(samples):
    split = with_splits(samples, ["train", "test", "validation"] * 10)
    found = divide(split)
    assert found.learned.ids == samples.ids[::3]
    assert found.held_out.ids == samples.ids[1::3]
    assert found.pictured is found.held_out


@pytest.mark.parametrize("splits", [[None] * 30, ["train"] * 30, ["test"] * 30])
def test_without_a_split_a_tenth_of_each_class_is_drawn(samples, splits):
    found = divide(with_splits(samples, splits), seed=3)
    assert np.bincount(found.held_out.labels).tolist() == [1, 1, 1]
    assert found.held_out.ids == hold_out(samples, 0.1, 3)[1].ids
    assert sorted(found.learned.ids + found.held_out.ids) == sorted(samples.ids)


def test_a_fraction_goes_before_the_split(samples):
    found = divide(with_splits(samples, ["train", "test"] * 15), 0.2)
    assert found.held_out.ids == hold_out(samples, 0.2, 0)[1].ids


def test_windows_are_held_out_as_a_fraction(samples):
    for holdout, fraction in ((None, 0.1), (0.25, 0.25)):
        found = divide(samples, holdout, model="dual", split_by="window")
        assert (found.learned, found.held_out) == (samples, fraction)
        assert found.pictured is samples


def test_what_cannot_be_held_out(samples):
    with pytest.raises(ArgumentError, match="class has whole patches") as caught:
        divide(samples, split_by="window")
    assert caught.value.arguments == ("split_by", "model")
    for split_by in ("patch", "window"):
        with pytest.raises(ArgumentError, match="must be between 0 and 1"):
            divide(samples, 0.0, model="segm", split_by=split_by)
    with pytest.raises(ArgumentError, match="give 'patch' or 'window'"):
        divide(samples, split_by="pixel")
