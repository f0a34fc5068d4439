"""Samples that people look at: one by one, as HTML in a notebook, in the explorer."""

import re
import urllib.request
from dataclasses import replace

import numpy as np
import pytest
from mini_catalog import BANDS, SIDE, make_samples, write_catalog

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.errors import ArgumentError, CatalogWarning, WrongTypeError
from satimnet.builder.imagery.object_shapes import box_of
from satimnet.training import SizeWarning, open_samples

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def source():
    return {one["id"]: one for one in make_samples(4)}


@pytest.fixture(scope="module")
def samples(tmp_path_factory, source):
    folder = tmp_path_factory.mktemp("catalog")
    return open_samples(write_catalog(folder, list(source.values()))).search()


@pytest.fixture(scope="module")
def dota(demo):
    return open_samples(demo / "catalog").search(
        collections="dota", filter="satimnet:classes IS NOT NULL"
    )


def test_one_sample_has_the_pixels_of_its_file(samples, source):
    for at in (0, 5, -1):
        one = samples[at]
        made = source[one.id]
        assert one.id == samples.ids[at]
        assert one.classes == (made["class"],)
        assert one.split == made["split"]
        assert one.bands == tuple(BANDS)
        np.testing.assert_array_equal(one.image, made["multispectral"].transpose(2, 0, 1))
        (red,) = one.read(["B04"])
        np.testing.assert_array_equal(red, made["multispectral"][:, :, BANDS.index("B04")])
        assert one.mask is None
        assert one.objects is None


def test_numbers_slices_and_loops(samples):
    ids = samples.ids
    assert [one.id for one in samples] == ids
    for part in (slice(2, 5), slice(None, None, -3), slice(5, 2), slice(-2, None), slice(0, 99)):
        assert samples[part].ids == ids[part]
        assert type(samples[part]) is type(samples)
    assert samples[np.int64(3)].id == ids[3]
    for wrong in (len(ids), -len(ids) - 1):
        with pytest.raises(IndexError, match=f"no sample {wrong}; there are {len(ids)}"):
            samples[wrong]
    with pytest.raises(WrongTypeError, match="subset"):
        samples[[1, 2]]


def test_of_cropped_samples_only_the_middle_is_read(samples):
    whole, middle = samples[1].image, samples.cropped(32, 16)[1].image
    np.testing.assert_array_equal(middle, whole[:, SIDE // 4 : -SIDE // 4, 24:-24])


def test_mask_and_objects_are_those_of_batches(dota):
    with pytest.warns(SizeWarning):
        batches = dota.to_batches(
            1, mask="mask", objects="boxes", size=(200, 200), scheduler="direct"
        )
    for one, batch in zip(dota.fitted((200, 200)), batches, strict=True):
        np.testing.assert_array_equal(one.mask, batch.masks[0])
        kept = np.array([box_of(thing) for thing in one.objects], np.float32).reshape(-1, 4)
        np.testing.assert_allclose(kept, batch.objects[0]["boxes"])
    whole = dota[0]
    counts = {row["class"]: row["count"] for row in whole.properties["satimnet:statistics"]}
    assert sum(counts.values()) == len(whole.objects)
    assert whole.item["id"] == whole.id
    assert whole.footprint == whole.item["geometry"]


def test_a_sample_among_several_collections_is_of_its_own(demo):
    everything = open_samples(demo / "catalog").search()
    names = everything.table["collection"].to_pylist()
    for name in ("bigearthnet", "xview"):
        one = everything[names.index(name)]
        assert one.collection == name
        assert len(one.image) == len(one.bands)


def test_html_counts_and_shows(demo):
    samples = open_samples(demo / "catalog").search(collections=["eurosat", "dota"])
    html = samples._repr_html_()
    assert f"<b>{len(samples):,} samples</b>" in html
    assert "eurosat 300, dota 10" in html
    assert "Forest 30" in html
    assert "multispectral: B01, B02" in html
    assert html.count("data:image/jpeg;base64,") == 12
    assert len(html) < 100_000
    assert samples[:0]._repr_html_().startswith("<div><b>0 samples</b>")


def test_html_escapes_what_a_catalog_says(demo):
    samples = open_samples(demo / "catalog").search(collections="eurosat")
    home = samples.collections["eurosat"]
    evil = "<script>alert(1)</script>\x1b[2J"
    said = dict(home.document.json)
    rows = [row | {"title": evil + row["name"]} for row in home.document.class_table]
    said |= {"title": evil, "summaries": {"classification:classes": rows}}
    told = replace(home, document=CollectionDocument.of(said, "here"), bands={evil: (evil, "B1")})
    html = replace(samples, collections={"eurosat": told})._repr_html_()
    assert "alert(1)" in html
    assert "<script" not in html
    assert "\x1b" not in html


def test_html_leaves_out_what_cannot_be_read(tmp_path, source):
    place = write_catalog(tmp_path, list(source.values()))
    samples = open_samples(place).search()
    for shard in (tmp_path / "mini" / "shards").iterdir():
        shard.write_bytes(b"")
    html = samples._repr_html_()
    assert "<img" not in html
    assert "Field 4" in html


def test_explore_serves_the_page_with_the_filters_of_the_search(demo):
    catalog = open_samples(demo / "catalog")
    samples = catalog.search(
        collections="eurosat", classes=["Forest", "River"], bbox=[0, 40, 9, 50]
    )
    address = samples.explore(open_browser=False)
    page, _, words = address.partition("#")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/explore/", page)
    assert words == "collection=eurosat&class=Forest&class=River&box=0%2C40%2C9%2C50"
    with urllib.request.urlopen(page) as answer:
        assert b'content="../catalog/catalog.json"' in answer.read()
    with urllib.request.urlopen(page.replace("explore/", "catalog/catalog.json")) as answer:
        assert answer.read() == (demo / "catalog" / "catalog.json").read_bytes()
    learned, _ = catalog.search(collections="eurosat").holdout(0.5)
    assert learned.explore(open_browser=False) == f"{page}#collection=eurosat"  # the same server
    with pytest.warns(CatalogWarning, match="no filter for concept, limit"):
        catalog.search(concept="water", limit=3).explore(open_browser=False)


def test_explore_opens_a_catalog_elsewhere(demo, serve):
    with serve(demo) as url:
        samples = open_samples(f"{url}/catalog/catalog.json").search(collections="dota")
        address = samples.explore(open_browser=False)
        with urllib.request.urlopen(address.partition("#")[0]) as answer:
            assert f'content="{url}/catalog/catalog.json"'.encode() in answer.read()


def test_explore_says_what_it_cannot_open(samples, tmp_path):
    with pytest.raises(ArgumentError, match="several searches"):
        replace(samples, asked=None).explore(open_browser=False)
    gone = replace(samples, asked=replace(samples.asked, href=str(tmp_path / "catalog.json")))
    with pytest.raises(FileNotFoundError, match="catalog"):
        gone.explore(open_browser=False)
