"""Images of one sample with data types, no-data values and times of their own, in its Item."""

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from two_sensors import FINE, NO_RADAR, OPTICAL, drawn, record, samples_of, write_pair

from satimnet.builder import build, gdal_path, search, validate
from satimnet.builder import open as open_catalog
from satimnet.builder.chipping import chip
from satimnet.builder.datasets import Dataset
from satimnet.builder.errors import SatimnetError


@pytest.fixture(scope="module")
def patches():
    return drawn(3)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory, patches):
    return write_pair(tmp_path_factory.mktemp("pair"), patches).parent


def test_rows_and_files_of_items_say_what_each_image_is(catalog):
    assert validate(catalog).count == 0
    for item in search(catalog):
        optical, radar = item["assets"]["s2"], item["assets"]["vv"]
        assert (optical["data_type"], radar["data_type"]) == ("uint16", "float32")
        assert [band["name"] for band in optical["bands"]] == list(OPTICAL)
        assert (optical["nodata"], "nodata" in radar) == (0, False)  # its band says it
        assert "data_type" not in item["properties"]  # there are two
        assert "datetime" not in optical
        time = item["properties"]["datetime"]
        assert time < radar["datetime"] == item["assets"]["vh"]["datetime"]
        assert radar["proj:shape"] == [8, 8]
    document = json.loads((catalog / "pair/collection.json").read_bytes())
    assert document["item_assets"]["vv"]["bands"] == [{"name": "VV", "nodata": NO_RADAR}]
    assert "own_datetime" not in document["item_assets"]["vv"]


def test_pystac_and_gdal_see_the_same(catalog, patches):
    items = {item.id: item for item in open_catalog(catalog).search().items()}
    for number, patch in enumerate(patches):
        item = items[f"patch_{number:04d}"]
        assert item.assets["vv"].extra_fields["datetime"] == f"2020-05-{2 + number:02d}T17:30:00Z"
        for key, pixels in patch["images"].items():
            with rasterio.open(gdal_path(item.assets[key])) as image:
                assert np.array_equal(image.read(), pixels)
                assert image.dtypes[0] == item.assets[key].to_dict()["data_type"]


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ({"s2": "2020-05-02T00:00:00Z"}, r"says a time of s2: give assets.s2.own_datetime"),
        ({"vv": "yesterday"}, r".yesterday. of vv is no time as RFC 3339 has it"),
        ({"vv": "2020-05-02"}, r"'2020-05-02' of vv is no time"),
    ],
)
def test_times_that_cannot_be_are_refused(tmp_path, patches, times, message):
    (sample,) = (replace(one, datetimes=times) for one in samples_of(patches[:1]))
    dataset = Dataset(record(), lambda *_: iter([sample]))
    with pytest.raises(SatimnetError, match=message):
        build([], tmp_path / "out", assigned={"pair": ()}, datasets={"pair": dataset})
    assert not (tmp_path / "out" / "catalog.json").exists()


def test_chips_keep_the_times_of_a_second_sensor(tmp_path):
    folder = write_pair(tmp_path, drawn(2, radar=FINE)).parent
    chip(folder, "pair", (8, 8))
    times = {
        item["id"]: item["assets"]["vv"]["datetime"] for item in search(folder, collections="pair")
    }
    chips = list(search(folder, collections="pair-chips"))
    assert len(chips) == 8
    for item in chips:
        assert item["assets"]["vv"]["datetime"] == times[item["properties"]["chip:item"]]
        assert (item["assets"]["s2"]["nodata"], "datetime" in item["assets"]["s2"]) == (0, False)
    assert validate(folder).count == 0
