"""What the client's Items cost: nothing is read for one that another has read already."""

import gc
import os
import resource
import shutil
import weakref

import pyarrow as pa
import pyarrow.parquet as pq
import pystac
import pytest
from published import home_of

from satimnet.builder import open as open_catalog


def test_items_are_found_without_a_look_at_their_parents(catalog, tmp_path):
    copied = shutil.copytree(catalog, tmp_path / "catalog")
    parents = list(home_of(copied).glob("*/catalog.json"))
    assert parents
    for parent in parents:
        parent.unlink()
    client = open_catalog(copied)
    collection = client.get_collection("eurosat")
    for items in (
        client.search(collections=["eurosat"]).items(),
        client.search().item_collection(),
        client.get_items(),
        client.get_all_items(),
        collection.get_items(),
        collection.get_all_items(),
    ):
        assert sum(1 for _ in items) == 40


def test_items_of_one_parent_share_it(catalog):
    client = open_catalog(catalog)
    first, second = client.search(
        filter="a_contains(\"satimnet:classes\", ('River'))", limit=1, max_items=2
    ).items()
    assert first.get_parent() is second.get_parent()
    assert first.get_parent().id == "eurosat-River"
    assert first.get_collection() is second.get_collection()
    assert first.get_collection().id == "eurosat"


def test_items_of_an_older_extension_are_migrated_beside_those_of_the_latest(catalog, tmp_path):
    copied = shutil.copytree(catalog, tmp_path / "catalog")
    path = home_of(copied) / "items.parquet"
    table = pq.read_table(path).drop_columns(["proj:code"])
    declared, old, codes = [], [], []
    for at, uris in enumerate(table["stac_extensions"].to_pylist()):
        old.append(bool(at % 2))
        older = [uri.replace("projection/v2.0.0", "projection/v1.1.0") for uri in uris]
        declared.append(older if old[-1] else uris)
        codes.append(32632 if old[-1] else None)
    column = table.column_names.index("stac_extensions")
    table = table.set_column(column, "stac_extensions", pa.array(declared, pa.list_(pa.string())))
    pq.write_table(table.append_column("proj:epsg", pa.array(codes, pa.int64())), path)
    items = list(open_catalog(copied).search().items())
    assert [item.properties.get("proj:code") == "EPSG:32632" for item in items] == old
    assert all("proj:epsg" not in item.properties for item in items)
    assert len({tuple(sorted(item.stac_extensions)) for item in items}) == 1


def test_the_client_does_not_keep_the_items(catalog):
    client = open_catalog(catalog)
    seen = [weakref.ref(item) for item in client.search().items()]
    gc.collect()
    assert len(seen) == 40
    assert not [one() for one in seen if one() is not None]


@pytest.fixture
def few_files():
    """Sixteen more files can be opened, and no garbage is collected by itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    gc.collect()
    gc.freeze()  # the client looks for garbage whenever there are too few, thirty times
    free = os.dup(0)  # the lowest number that a file can get
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 16, hard))
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_clients_that_nobody_has_any_more_do_not_use_up_the_files(catalog, few_files):
    for _ in range(30):
        assert [one.id for one in open_catalog(catalog).get_collections()] == ["eurosat"]


def test_items_can_be_taken_over_into_a_catalog_of_ones_own(catalog):
    own = pystac.Catalog("own", "Some of the Items")
    own.add_items(open_catalog(catalog).search(max_items=3).items())
    assert [item.get_parent() for item in own.get_items()] == [own] * 3
