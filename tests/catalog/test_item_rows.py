"""Rows that are made column by column, and texts that fill forms, say what Items say."""

from dataclasses import replace

import pytest
from pyproj import CRS
from two_sensors import RADAR, record

from satimnet.builder.catalog.geoparquet import table_of
from satimnet.builder.catalog.item_rows import rows_of, rows_of_all
from satimnet.builder.catalog.item_texts import item_texts
from satimnet.builder.catalog.items import describe, texts_of
from satimnet.builder.datasets import Dataset
from satimnet.builder.imagery.headers import Header, Pixels
from satimnet.builder.packing.shards import Original, PackedMember, PackedSample, Shard
from satimnet.builder.samples import Sample
from stactools.airbus_ship import dataset as airbus_ship
from stactools.bigearthnet import dataset as bigearthnet
from stactools.eurosat import dataset as eurosat
from stactools.inria import dataset as inria

WKT = CRS.from_epsg(32631).to_wkt()


def header(side=64, crs="EPSG:32631", corner=(500_000.0, 5_000_000.0), bands=13, pixels=True):
    lie = Pixels(384, (side, side, bands), ("y", "x", "band")) if pixels else None
    step = 640 / side
    transform = (step, 0.0, corner[0], 0.0, -step, corner[1])
    return Header((side, side), bands, "<u2", lie, crs, None if crs is None else transform)


def member(asset, number, head, **more):
    given = {"first": 64 + 1000 * number, "size": 900 + number, "sha256": f"{number:064x}"}
    return PackedMember(asset, f"{number}/{asset}.tif", **given, header=head, **more)


def sample(number, members, classes=("Forest",), **more):
    given = {"level": ("Forest",), **more}
    statistics = given.pop("statistics", ())
    own = Sample(f"Sample_{number}", given.pop("level"), (), classes, **given)
    return PackedSample(own, tuple(members), classes, statistics)


def shard_of(samples):
    return Shard("Forest-00000", 2**20, tuple(samples), (), "Forest-00000-abc.zip")


def require_same(samples, dataset):
    shard = shard_of(samples)
    rows = rows_of(shard, dataset.record)
    expected = table_of(describe(shard, dataset.record), dataset.record)
    assert rows.schema.equals(expected.schema)
    for name in expected.column_names:
        assert rows[name].to_pylist() == expected[name].to_pylist(), name
    assert rows.equals(expected)
    rows.validate(full=True)
    texts = list(item_texts(shard, dataset.record))
    assert texts == list(texts_of(describe(shard, dataset.record)))


def eurosat_sample(number, **more):
    head = header(corner=(500_000.0 + 640 * number, 5_000_000.0))
    return sample(number, [member("multispectral", number, head)], **more)


def test_samples_like_each_other():
    require_same([eurosat_sample(number) for number in range(20)], eurosat)


def test_names_that_json_escapes_and_signs_of_formats():
    """Ids and paths may have any letters; a percent sign must not be taken for a hole."""
    names = ['Forest "1"', "Fôret 100 %b", "back\\slash %", "plain"]
    samples = [eurosat_sample(number) for number in range(24)]
    for at, (one, name) in enumerate(zip(samples, 6 * names, strict=True)):
        (own,) = one.members
        sample = replace(one.sample, id=f"{name} {at}", level=("100 % %b",))
        samples[at] = one._replace(sample=sample, members=(own._replace(path=f"{name}.tif"),))
    require_same(samples, eurosat)


@pytest.mark.parametrize("name", ["\2id\3", "\2what\3", "\2", '"\\u0002id\\u0003"', "\0 %b"])
def test_classes_with_names_like_holes(name):
    """Labels are a publisher's, and nothing keeps control characters out of them."""
    named = {**eurosat.record["classes"][0], "name": name, "concept": None}
    record = {**eurosat.record, "classes": [{k: v for k, v in named.items() if v is not None}]}
    samples = [eurosat_sample(number, classes=(name,)) for number in range(20)]
    texts = list(item_texts(shard_of(samples), record))
    assert texts == list(texts_of(describe(shard_of(samples), record)))


def test_samples_of_several_kinds_by_turns():
    """With a place and without, of two editions, and of both at once."""
    samples = []
    for number in range(36):
        head = header(corner=(500_000.0 + 640 * number, 5_000_000.0))
        tiff = member("multispectral", 2 * number, head if number % 2 else header(crs=None))
        jpeg = member("rgb", 2 * number + 1, Header((64, 64), 3, "|u1"))
        members = ([tiff], [jpeg], [tiff, jpeg])[number % 3]
        split = (None, "train")[number % 4 == 0]
        samples.append(sample(number, members, (("Forest",), ("River",))[number > 17], split=split))
    require_same(samples, eurosat)


def test_rows_of_several_shards():
    """Made together they are those of each, one after another, wherever their samples lie."""
    heads = (header(), header(crs=None), header(crs="EPSG:3031", corner=(-320.0, 320.0)), None)
    shards = [
        replace(
            shard_of(
                [sample(n, [member("multispectral", n, head)]) for n, head in enumerate(heads[at:])]
            ),
            size=1000 + at,
            file=f"Forest-{at}.zip",
        )
        for at in range(5)  # the last one is empty
    ]
    together = rows_of_all(shards, eurosat.record)
    start = 0
    for shard in shards:
        alone = rows_of(shard, eurosat.record)
        assert together.slice(start, len(alone)).equals(alone)
        start += len(alone)
    assert start == len(together)


def test_an_empty_shard():
    require_same([], eurosat)


def test_places_of_all_kinds():
    """None, across 180 degrees, at a pole, of several zones and of a system without a code."""
    places = [
        header(crs=None),
        header(crs="EPSG:32601", corner=(499_900.0, 5_000_000.0)),
        header(crs="EPSG:32660", corner=(833_000.0, 100_000.0)),
        header(crs="EPSG:3031", corner=(-320.0, 320.0)),
        header(crs="EPSG:32735"),
        header(pixels=False),
        header(crs=WKT),
        None,
    ]
    require_same(
        [sample(n, [member("multispectral", n, head)]) for n, head in enumerate(4 * places)],
        eurosat,
    )


def test_what_samples_say_of_themselves():
    times = ["2018-07-04T10:00:00Z", None, "2018-07-04T10:00:00.5+02:00"]
    samples = [
        eurosat_sample(0, datetime=times[0], split="train", level=()),
        eurosat_sample(1, classes=None, split="test"),
        eurosat_sample(2, classes=(), datetime=times[2]),
        eurosat_sample(3, classes=("River", "Forest"), level=("River",)),
        eurosat_sample(4, properties={"title": "Another", "gsd": 3.0, "satimnet:split": "train"}),
        eurosat_sample(5, properties={"proj:code": "EPSG:4326", "data_type": "int8"}),
        eurosat_sample(6, links=({"rel": "via", "href": "https://example.org/6"},)),
        eurosat_sample(7, links=({"rel": "via", "href": "./7.txt", "type": "text/plain"},)),
        eurosat_sample(8, statistics=({"class": "Forest", "count": 2, "pixels": 7},)),
        eurosat_sample(9, properties={"processing:level": "L2A"}),
    ]
    require_same(samples, eurosat)
    for one in samples:
        require_same([one], eurosat)


def patch(number, left_out=()):
    members = []
    for asset, spec in bigearthnet.record["assets"].items():
        if asset in left_out:
            continue
        side = spec["shape"][0] if "shape" in spec else None
        head = None if side is None else header(side, bands=1, corner=(600_000.0, 5e6 + number))
        members.append(member(asset, 20 * number + len(members), head))
    return sample(number, members, ("pastures",), properties={"platform": "sentinel-2a"})


def test_several_files_some_of_which_are_missing():
    samples = [patch(0), patch(1, ("B01", "labels")), patch(2), patch(3, ("B02", "B03"))]
    require_same(samples, bigearthnet)
    require_same(samples[1:2], bigearthnet)


def test_files_that_were_converted_and_types_of_their_own():
    original = Original("AerialImageDataset/train/images/austin1.tif", "image/tiff", 75_000, "ab")
    image = header(5000, bands=3, pixels=False)
    mask = replace(header(5000, bands=1, pixels=False), crs=None, transform=None)
    samples = [
        sample(0, [member("image", 0, image, original=original), member("mask", 1, mask)], None),
        sample(1, [member("image", 2, image, type="image/png")], None),
    ]
    keys = list(inria.record["assets"])
    assert {"image", "mask"} <= set(keys)
    require_same(samples, inria)


@pytest.mark.parametrize("dataset", [airbus_ship, inria])
def test_assets_without_a_grid_have_a_shape(dataset):
    asset, spec = next((k, v) for k, v in dataset.record["assets"].items() if "bands" in v)
    head = Header((768, 768), len(spec["bands"]), "|u1")
    samples = [sample(n, [member(asset, n, head)], None) for n in range(3)]
    require_same(samples, dataset)


def test_no_data_values_and_times_of_their_own():
    content = record()
    content["assets"]["vv"]["nodata"] = -1.5
    content["assets"]["vh"]["nodata"] = "nan"
    pair = Dataset(content, lambda *_: iter(()))
    samples = []
    for number in range(3):
        members = [member("s2", 3 * number, header(16, bands=4))]
        members += [
            member(name.lower(), 3 * number + at, header(8, bands=1))
            for at, name in enumerate(RADAR[: 1 + number % 2], 1)
        ]
        times = {"vh": f"2020-01-0{number + 1}T00:00:00Z"} if number else {}
        samples.append(sample(number, members, ("calm",), datetimes=times))
    require_same(samples, pair)
    rows = rows_of(shard_of(samples), pair.record)["assets"].to_pylist()
    assert [row["s2"]["nodata"] for row in rows] == [0, 0, 0]
    assert rows[0]["vv"]["nodata"] == -1.5
    assert "nodata" not in rows[1]["vh"]  # the collection says it
    assert rows[1]["vh"]["datetime"] == "2020-01-02T00:00:00Z"
    assert rows[1]["vv"]["datetime"] is None
