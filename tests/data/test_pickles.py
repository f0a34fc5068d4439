"""Samples and datasets are pickled with a format; what another version wrote is refused."""

import copy
import copyreg
import pickle

import numpy as np
import pyarrow as pa
import pytest
from mini_catalog import BANDS, make_samples, write_catalog

from satimnet.builder.errors import BadCatalogError
from satimnet.training import Samples, open_samples
from satimnet.training.data.batches import Plan
from satimnet.training.data.layouts import Layout, locate
from satimnet.training.data.sample_table import Collection
from satimnet.training.data.torch_dataset import BatchDataset

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return open_samples(write_catalog(tmp_path_factory.mktemp("catalog"), make_samples(4))).search()


def again(thing):
    return pickle.loads(pickle.dumps(thing))


def test_samples_come_back_as_they_were(samples):
    assert samples.ids[0]  # something is cached, and not pickled
    cropped = again(samples.cropped(32, 32))
    assert type(cropped) is Samples
    assert (cropped.ids, cropped.classes, cropped.crop) == (samples.ids, samples.classes, (32, 32))
    assert cropped.table.equals(samples.table)
    assert cropped.collections == samples.collections
    assert copy.copy(samples).ids == samples.ids
    assert "ids" not in samples.__getstate__()


def test_datasets_come_back_as_they_were(samples):
    dataset = samples.to_dataset(5, bands=BANDS, shuffle=True, seed=3)
    dataset.set_epoch(2)
    for one, other in zip(dataset, again(dataset), strict=True):
        assert one.indices.equal(other.indices)
        assert one.images.equal(other.images)
        assert one.labels.equal(other.labels)


class AsBefore:
    """Pickles as version 0.1.0 did: the class, and its attributes as they are."""

    def __init__(self, kind, attributes):
        self.kind, self.attributes = kind, attributes

    def __reduce__(self):
        return copyreg._reconstructor, (self.kind, object, None), self.attributes


def attributes(thing):
    return {name: getattr(thing, name) for name in thing.__dataclass_fields__}


def test_samples_that_another_version_pickled_are_refused_in_one_line(samples):
    collections = {name: dict(vars(one)) for name, one in samples.collections.items()}
    state = {
        "table": samples.table,
        "collections": collections,
        "classes": samples.classes,
        "crop": None,
        "ids": samples.ids,  # what was cached was pickled, too
    }
    with pytest.raises(BadCatalogError) as caught:
        again(AsBefore(Samples, state))
    assert str(caught.value) == (
        "the pickle was written by another version of satimnet; "
        "search the catalog again and pickle what is found"
    )


@pytest.mark.parametrize("change", [{"format": 3}, {"format": 5}, {"format": None}])
def test_other_formats_are_refused(samples, change):
    with pytest.raises(BadCatalogError, match="another version of satimnet"):
        again(AsBefore(Samples, samples.__getstate__() | change))
    with pytest.raises(BadCatalogError, match="another version of satimnet"):
        again(AsBefore(Samples, [change]))


def test_what_samples_and_datasets_are_made_of_is_refused_as_well(samples):
    layout = locate(samples, BANDS)
    dataset = samples.to_dataset(5)
    collection = next(iter(samples.collections.values()))
    plan = Plan((layout,), None, None, None)
    parts = [
        (Layout, attributes(layout)),
        (Collection, attributes(collection)),
        (Plan, attributes(plan)),
        (BatchDataset, {"_plan": plan, "_count": len(samples), "_batch_size": 5, "_epoch": 0}),
    ]
    for kind, state in parts:
        with pytest.raises(BadCatalogError, match="pickle was written by another"):
            again(AsBefore(kind, state))
    assert again(dataset.__getstate__())["format"] == dataset.__getstate__()["format"]


def test_lazy_arrays_pickle_with_their_layouts(samples):
    array = samples.to_xarray(BANDS)
    np.testing.assert_array_equal(again(array).values, array.values)
    assert isinstance(samples.table, pa.Table)
