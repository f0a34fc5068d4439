"""What ``info`` shows of a catalog, against a loop over all Items."""

from __future__ import annotations

from collections import Counter

import pytest
from trial_catalog import write_catalog

from satimnet.builder.errors import SatimnetError
from satimnet.builder.query.collection_counts import collection_counts
from satimnet.builder.query.index import Index
from satimnet.builder.query.search import search


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    folder = tmp_path_factory.mktemp("counted") / "CAT's"
    write_catalog(folder)
    return folder


def test_counts_are_those_of_a_loop_over_the_items(trial):
    index = Index(trial)
    for counts in collection_counts(trial):
        document = index.collections[counts.id].document.json
        items = list(search(index, collections=counts.id))
        classes = [set(item["properties"].get("satimnet:classes") or ()) for item in items]
        labels = Counter(label for own in classes for label in own)
        splits = Counter(item["properties"].get("satimnet:split") for item in items)
        assert counts.items == len(items)
        assert list(counts.classes.items()) == sorted(labels.items())
        assert list(counts.splits.items()) == list(splits.items())
        assert counts.title == document.get("title", counts.id)
        assert (counts.license, counts.description) == (
            document["license"],
            document["description"],
        )


def test_collections_come_in_the_order_of_the_catalog(trial):
    index = Index(trial)
    assert [counts.id for counts in collection_counts(index)] == list(index.collections)


def test_items_without_a_split_are_counted_apart(trial):
    without = sum(counts.splits.get(None, 0) for counts in collection_counts(trial))
    assert without == sum("satimnet:split" not in item["properties"] for item in search(trial)) > 0


def test_a_catalog_that_is_not_there_is_refused_at_once(tmp_path):
    with pytest.raises(SatimnetError, match="nothing is there"):
        collection_counts(tmp_path / "nowhere")
