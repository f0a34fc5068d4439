"""Samples, batches and arrays, on a miniature catalog."""

import http.server
import os
import pickle
import re
import threading
from collections import Counter, deque
from dataclasses import replace
from functools import partial
from itertools import chain

import dask
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import simplejpeg
import torch
from faulty_host import hosting
from mini_catalog import (
    BANDS,
    CLASSES,
    SIDE,
    gathered,
    jpeg,
    make_samples,
    tiff,
    write_band_catalog,
    write_catalog,
)
from mini_mixture import write_mixture
from torch.utils.data import DataLoader

from satimnet.builder.errors import SatimnetError
from satimnet.training import open_samples
from satimnet.training.data import spare_memory
from satimnet.training.data.layouts import Layout, locate
from satimnet.training.data.pixels import Reader

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def source():
    return make_samples(10)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory, source):
    return write_catalog(tmp_path_factory.mktemp("catalog"), source)


@pytest.fixture(scope="module")
def samples(catalog):
    return open_samples(catalog).search()


@pytest.fixture(scope="module")
def pixels(source):
    return np.stack([s["multispectral"] for s in source]).transpose(0, 3, 1, 2)


# samples


def test_labels_are_indices_into_the_class_table_without_background(samples, source):
    assert samples.classes == tuple(CLASSES)
    assert samples.ids == [s["id"] for s in source]
    assert [samples.classes[k] for k in samples.labels] == [s["class"] for s in source]


def test_samples_are_shown_in_one_line(samples):
    assert repr(samples) == (
        "<Samples: 30 of mini; classes: 3; bands: red, green, blue, "
        "B01, B02, B03, B04, B05, B06, B07, B08, B09, B10, B11, B12, B8A>"
    )


def test_search_by_class_and_split(catalog, source):
    found = open_samples(catalog.parent).search(classes=["Lake", "Town"], split="train")
    expected = [s["id"] for s in source if s["class"] != "Field" and s["split"] == "train"]
    assert found.ids == expected
    assert set(found.labels) == {1, 2}
    assert set(found.splits) == {"train"}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"classes": ["Sea"]}, "Sea.*Field, Lake, Nothing, Town"),
        ({"collections": ["other"]}, "other.*mini"),
        ({"split": "tset"}, "no split 'tset'; there are train, validation, test"),
        ({"bands": ["B99"]}, "B99.*red, green, blue.*B8A"),
    ],
)
def test_search_for_the_unknown_says_what_there_is(catalog, query, message):
    with pytest.raises(SatimnetError, match=message):
        open_samples(catalog).search(**query)


def test_no_catalog_is_a_user_error(tmp_path):
    with pytest.raises(SatimnetError, match=re.escape(str(tmp_path / "catalog.json"))):
        open_samples(tmp_path)
    (tmp_path / "catalog.json").write_text("{}")
    with pytest.raises(SatimnetError, match=re.escape(str(tmp_path / "catalog.json"))):
        open_samples(tmp_path)


def test_holdout_divides_every_class_alike_by_seed(samples):
    learn, held = samples.holdout(0.2, seed=1)
    assert np.bincount(learn.labels).tolist() == [8, 8, 8]
    assert np.bincount(held.labels).tolist() == [2, 2, 2]
    assert sorted(learn.ids + held.ids) == sorted(samples.ids)
    assert samples.holdout(0.2, seed=1)[1].ids == held.ids
    assert samples.holdout(0.2, seed=2)[1].ids != held.ids
    with pytest.raises(SatimnetError, match="too few"):
        samples.holdout(0.01)


def test_labels_need_one_class_a_sample(tmp_path, source):
    table = pa.Table.from_pylist([{"id": "a", "satimnet:classes": ["Field", "Lake"]}])
    samples = open_samples(write_catalog(tmp_path, source[:2])).search()
    with pytest.raises(SatimnetError, match="1 of 1 samples have no class or several, a first"):
        _ = type(samples)(table, samples.collections, samples.classes).labels


# batches


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("shuffle", [False, True, "shards"])
@pytest.mark.parametrize("size", [1, 7, 30, 100])
def test_batches_are_the_source_pixels(samples, pixels, threads, shuffle, size):
    batches = samples.to_batches(size, bands=BANDS, shuffle=shuffle, threads=threads)
    images, labels = gathered(batches)
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images, pixels)
    np.testing.assert_array_equal(labels, samples.labels)


def test_without_bands_it_is_the_asset_with_most_bands(samples):
    batch = next(samples.to_batches(4))
    assert batch.images.shape == (4, 13, SIDE, SIDE)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.labels.dtype == torch.int64


def test_some_bands_in_the_order_asked_for_and_scaled(samples, pixels):
    images, _ = gathered(samples.to_batches(8, bands=["B8A", "B04", "B02"], scale=0.0001))
    expected = pixels[:, [12, 3, 1]].astype(np.float32) * np.float32(0.0001)
    np.testing.assert_array_equal(images, expected)


def test_jpegs_are_decoded(samples, source):
    images, _ = gathered(samples.to_batches(8, bands=["red", "green", "blue"], shuffle=True))
    for image, sample in zip(images, source, strict=True):
        expected = simplejpeg.decode_jpeg(jpeg(sample["rgb"]))
        np.testing.assert_array_equal(image.transpose(1, 2, 0), expected)
    red = next(samples.to_batches(30, bands=["red"])).images[:, 0].numpy()
    np.testing.assert_array_equal(red, images[:, 0])


def test_compressed_tiffs_are_decoded(tmp_path, source, pixels):
    packed = [s | {"multispectral": tiff(s["multispectral"], compress="deflate")} for s in source]
    samples = open_samples(write_catalog(tmp_path, packed)).search()
    images, _ = gathered(samples.to_batches(8, bands=BANDS))
    np.testing.assert_array_equal(images, pixels)
    np.testing.assert_array_equal(samples.to_xarray(["B05"]).values[:, 0], pixels[:, 4])


def test_same_seed_same_batches_and_every_sample_once(samples):
    orders = {
        seed: torch.cat([b.indices for b in samples.to_batches(4, shuffle=True, seed=seed)])
        for seed in (0, 1)
    }
    again = torch.cat([b.indices for b in samples.to_batches(4, shuffle=True, seed=0)])
    assert again.equal(orders[0])
    assert not orders[1].equal(orders[0])
    assert sorted(orders[0].tolist()) == sorted(orders[1].tolist()) == list(range(30))


def test_shuffling_is_uniform_over_all_orders(samples):
    few = samples.subset(np.array([0, 9, 18, 27]))  # of several shards and classes
    orders = Counter(
        tuple(next(few.to_batches(4, shuffle=True, seed=seed, threads=0)).indices.tolist())
        for seed in range(600)
    )
    expected = 600 / 24
    # chi-squared with 23 degrees of freedom is above 49.7 once in 1000
    assert len(orders) == 24
    assert sum((n - expected) ** 2 / expected for n in orders.values()) < 49.7


def test_drop_last(samples):
    assert [len(b.labels) for b in samples.to_batches(8, drop_last=True)] == [8, 8, 8]
    assert [len(b.labels) for b in samples.to_batches(8)] == [8, 8, 8, 6]


def test_a_batch_that_is_kept_keeps_its_values(samples, pixels):
    kept = [b.images[1:3] for b in samples.to_batches(3, bands=BANDS)]  # only views are kept
    for k, images in enumerate(kept):
        np.testing.assert_array_equal(images.numpy(), pixels[3 * k + 1 : 3 * k + 3])


@pytest.mark.parametrize(("threads", "most"), [(0, 2), (2, 4)])  # with threads one ahead, one late
def test_memory_is_used_again_once_a_batch_is_gone(samples, threads, most):
    places = set()
    for batch in samples.to_batches(3, bands=BANDS, threads=threads):
        places.add(batch.images.data_ptr())
    assert len(places) <= most


def test_the_next_epoch_uses_the_memory_of_the_last(samples, pixels, monkeypatch):
    monkeypatch.setattr(spare_memory, "_spare", deque())
    deque(samples.to_batches(4, bands=BANDS, threads=0), maxlen=0)
    spare = {id(buffer): buffer for buffer in spare_memory._spare}
    assert len(spare) == 2  # the last batch is smaller
    deque(samples.to_batches(4, bands=BANDS, threads=0), maxlen=0)
    assert {id(buffer) for buffer in spare_memory._spare} == set(spare)
    third = samples.to_batches(4, bands=BANDS, threads=0)
    kept = next(third).images
    third.close()
    assert len(spare_memory._spare) == 1
    for batch in samples.to_batches(4, shuffle=True, bands=BANDS, threads=0):
        assert batch.images.data_ptr() != kept.data_ptr()
    np.testing.assert_array_equal(kept.numpy(), pixels[:4])
    del kept, batch  # only now
    assert set(spare) < {id(buffer) for buffer in spare_memory._spare}


def test_little_memory_is_kept_and_the_latest(monkeypatch):
    monkeypatch.setattr(spare_memory, "_spare", deque())
    monkeypatch.setattr(spare_memory, "MOST_SPARE", 100)
    arrays = [np.empty(size, np.uint8) for size in (40, 40, 50, 101, 30, 31)]
    for array in arrays[:3]:
        spare_memory.keep(array)
    assert [array.nbytes for array in spare_memory._spare] == [40, 50]
    assert spare_memory.memory((50,), np.dtype(np.uint8)) is arrays[2]
    assert spare_memory.memory((10,), np.dtype(np.float32)) is not arrays[1]  # of another type
    spare_memory.keep(arrays[3])  # too large, which costs the others nothing
    assert list(map(len, spare_memory._spare)) == [40]
    for array in arrays[4:]:
        spare_memory.keep(array)
    assert list(map(len, spare_memory._spare)) == [30, 31]


def test_rows_that_say_no_classes_are_samples_without_labels(tmp_path, source):
    catalog = write_catalog(tmp_path, source[:5])
    index = tmp_path / "mini/items.parquet"
    pq.write_table(pq.read_table(index).drop_columns("satimnet:classes"), index)
    samples = open_samples(catalog).search()
    batches = list(samples.to_batches(5, bands=["red"]))
    assert [len(batch.images) for batch in batches] == [5]
    assert batches[0].labels is None
    with pytest.raises(
        SatimnetError, match="does not say the classes of 5 of 5 samples, Field_0 first"
    ):
        _ = samples.multi_hot


def test_samples_without_the_image_are_not_dropped_silently(tmp_path, source):
    mixed = [s | {"multispectral": None} if k % 2 else s for k, s in enumerate(source)]
    catalog = open_samples(write_catalog(tmp_path, mixed))
    with pytest.raises(SatimnetError, match=r"30 samples.*15 have multi.*bands=\[.B01.\]"):
        catalog.search().to_batches(4, bands=["B01"])
    assert next(catalog.search().to_batches(4)).images.shape[1] == 3  # all have rgb
    found = catalog.search(bands=["B01"])
    assert found.ids == [s["id"] for s in source[::2]]
    images, _ = gathered(found.to_batches(4, bands=["B01"]))
    np.testing.assert_array_equal(images[3, 0], source[6]["multispectral"][..., 0])


def test_bands_find_the_collections_that_have_them(tmp_path):
    catalog = open_samples(write_mixture(tmp_path))
    with pytest.raises(
        SatimnetError, match=r"image images of .*scenes.*tiles have different bands"
    ) as caught:
        catalog.search().to_batches(4)
    assert str(caught.value).endswith('choose one collection, as in collections=["NAME"]')
    assert caught.value.arguments == ("collections",)
    colours = catalog.search(bands=["red", "green"])
    assert list(colours.collections) == ["mini", "scenes"]
    assert colours.classes == (*CLASSES, "Ship")
    reds = [catalog.search(collections=[name], bands=["red"]) for name in colours.collections]
    assert colours.ids == [name for found in reds for name in found.ids]
    with pytest.raises(SatimnetError, match=r"24 sam.*18 have rgb, 6 have image\); choose"):
        colours.to_batches(4, bands=["red", "green"])
    both = catalog.search(collections=["mini", "bands"], bands=["B02", "B03"])
    with pytest.raises(SatimnetError, match=r"12 have multispectral, 4 have B02, 4 have B03"):
        both.to_batches(4, bands=["B02", "B03"])
    assert both.ids[12:] == catalog.search(collections=["bands"]).ids
    with pytest.raises(SatimnetError, match="no image has the bands B77; there are rgb: red"):
        catalog.search(bands=["B77"])


def test_unknown_bands_and_empty_searches_are_user_errors(samples, catalog):
    with pytest.raises(SatimnetError, match=r"B99.*rgb: red, green, blue; multispectral: B01"):
        samples.to_batches(4, bands=["B99"])
    with pytest.raises(SatimnetError, match="red, B01"):
        samples.to_batches(4, bands=["red", "B01"])
    bare = {name: replace(one, bands={}) for name, one in samples.collections.items()}
    for bands in (None, ["red"]):
        with pytest.raises(SatimnetError, match="no collection searched names bands"):
            replace(samples, collections=bare).to_batches(4, bands=bands)
    none = open_samples(catalog).search(split="validation")
    for read in (lambda: none.to_batches(4), none.to_xarray, lambda: none.to_dataset(4)):
        with pytest.raises(SatimnetError, match="no samples"):
            read()
    with pytest.raises(SatimnetError, match="batch_size 0"):
        samples.to_batches(0)
    with pytest.raises(SatimnetError, match="rank 2 of 2"):
        samples.to_batches(4, rank=2, world_size=2)
    with pytest.raises(SatimnetError, match="30 samples cannot be shared by 31"):
        samples.to_dataset(4, world_size=31)


@pytest.mark.parametrize("bands", [["red"], ["B01"]])
@pytest.mark.parametrize("threads", [0, 2])
def test_damaged_shards_are_named(tmp_path, source, bands, threads):
    samples = open_samples(write_catalog(tmp_path, source[:8])).search()
    shard = tmp_path / "mini" / "shards" / "Field-00001.zip"
    os.truncate(shard, 1000)
    with pytest.raises(SatimnetError, match=r"Field-00001\.zip: the file ends too early"):
        list(samples.to_batches(3, bands=bands, threads=threads))
    shard.write_bytes(b"\xff\xd8" + bytes(2**21))
    with pytest.raises(SatimnetError, match=r"Field-00001\.zip: sample Field_4 cannot be decoded"):
        list(samples.to_batches(3, bands=["red"], threads=threads))
    shard.unlink()
    with pytest.raises(SatimnetError, match=r"Field-00001\.zip: No such file"):
        list(samples.to_batches(3, bands=bands, threads=threads))


def test_images_of_other_sizes_are_named(tmp_path, source):
    small = source[5] | {"rgb": source[5]["rgb"][:32], "multispectral": None}
    samples = open_samples(write_catalog(tmp_path, [*source[:5], small])).search()
    with pytest.raises(SatimnetError, match="Field_5 has 32 x 64 pixels"):
        list(samples.to_batches(3))


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """Static files, ranges answered; counts the requests."""

    requests = 0

    def log_message(self, *_):
        pass

    def do_GET(self):
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if wanted is None or not self.server.ranges:
            super().do_GET()
            return
        if self.server.failures > 0:
            self.server.failures -= 1
            self.send_error(503)
            return
        type(self).requests += 1
        if self.server.together is not None:
            self.server.together.wait(60)
        first, last = map(int, wanted.groups())
        with open(self.translate_path(self.path), "rb") as file:
            file.seek(first)
            data = file.read(last - first + 1)
        self.send_response(206)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Range", f"bytes {first}-{first + len(data) - 1}/*")
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def server(catalog):
    handler = partial(RangeHandler, directory=str(catalog.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.ranges, server.failures, server.together = True, 0, None
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("bands", [["blue", "red"], ["B03", "B8A"]])
@pytest.mark.parametrize("shuffle", [False, True, "shards"])
def test_over_http_as_from_disk(samples, server, bands, shuffle):
    remote = open_samples(f"http://127.0.0.1:{server.server_port}/catalog.json").search()
    local = samples.to_batches(8, bands=bands, shuffle=shuffle)
    for here, there in zip(local, remote.to_batches(8, bands=bands, shuffle=shuffle), strict=True):
        assert here.images.equal(there.images)
        assert here.labels.equal(there.labels)
        assert here.indices.equal(there.indices)


@pytest.mark.parametrize("scheduler", ["threads", "direct"])
def test_small_batches_are_asked_for_side_by_side_over_http(server, scheduler):
    remote = open_samples(f"http://127.0.0.1:{server.server_port}").search()
    batches = remote.subset(np.arange(8)).to_batches(1, bands=["B01"], scheduler=scheduler)
    server.together = threading.Barrier(8)  # no answer before there are so many requests
    assert [batch.indices.tolist() for batch in batches] == [[row] for row in range(8)]


def test_neighbours_are_one_request_over_http(server):
    remote = open_samples(f"http://127.0.0.1:{server.server_port}").search()
    RangeHandler.requests = 0
    batches = list(remote.to_batches(4, bands=["B01"], threads=1))
    shards = 9  # 10 samples a class, 4 a shard
    assert len(batches) == 8
    assert RangeHandler.requests <= len(batches) + shards


def test_how_many_requests_a_batch_of_64_takes_over_http(tmp_path):
    """Images of 107 kB: neighbours are one request, far ones one each."""
    pixels = np.arange(SIDE * SIDE * 13, dtype=np.uint16).reshape(SIDE, SIDE, 13)
    source = [
        {"id": f"{name}_{k}", "class": name, "split": None, "rgb": pixels[..., :3] // 256}
        | {"multispectral": pixels + k}
        for name in CLASSES
        for k in range(96)
    ]
    source = [one | {"rgb": one["rgb"].astype(np.uint8)} for one in source]
    write_catalog(tmp_path, source, per_shard=64)
    files = {f"/{path.relative_to(tmp_path)}": path.read_bytes() for path in tmp_path.rglob("*.*")}
    with hosting(files) as host:
        remote = open_samples(host.url).search()
        most = {}
        for shuffle in (False, "shards", True):
            batches = remote.to_batches(64, bands=["B01"], shuffle=shuffle, threads=0)
            most[shuffle] = 0
            first = next(batches)  # which also has what opening takes
            host.requests.clear()
            count = 1
            for batch in batches:
                count += 1
                most[shuffle] = max(most[shuffle], len(host.requests))
                host.requests.clear()
                numbers = [int(remote.ids[row].partition("_")[2]) for row in batch.indices]
                assert batch.images[:, 0, 0, 0].tolist() == numbers
            assert len(first.indices) == 64
            assert count == 5
    assert most[False] <= 8
    assert most["shards"] <= 8 + 4  # runs that are cut, and the first ones of shards, are shorter
    assert most[True] > 30


def test_a_server_without_ranges_is_a_user_error(server):
    remote = open_samples(f"http://127.0.0.1:{server.server_port}").search()
    server.ranges = False
    with pytest.raises(SatimnetError, match="must answer byte ranges"):
        list(remote.to_batches(4, bands=["B01"]))


def test_requests_that_fail_are_repeated(samples, server, monkeypatch):
    monkeypatch.setattr("satimnet.builder.storage.objects.PAUSE", 0)
    remote = open_samples(f"http://127.0.0.1:{server.server_port}").search()
    server.failures = 2
    images, _ = gathered(remote.to_batches(8, bands=["B01"], threads=1))
    np.testing.assert_array_equal(images, gathered(samples.to_batches(8, bands=["B01"]))[0])
    server.failures = 1000
    with pytest.raises(SatimnetError, match=r"Field-00000\.zip: cannot be read .*503"):
        list(remote.to_batches(8, bands=["B01"]))


# shares


@pytest.mark.parametrize("shuffle", [False, True, "shards"])
def test_ranks_have_disjoint_equal_shares(samples, pixels, shuffle):
    options = {"bands": BANDS, "shuffle": shuffle, "seed": 3}
    whole = torch.cat([b.indices for b in samples.to_batches(30, **options)]).tolist()
    shares = []
    for rank in range(4):
        batches = list(samples.to_batches(3, rank=rank, world_size=4, **options))
        assert [len(b.indices) for b in batches] == [3, 3, 1]
        for batch in batches:
            np.testing.assert_array_equal(batch.images.numpy(), pixels[batch.indices.numpy()])
        shares.append(torch.cat([b.indices for b in batches]).tolist())
    assert sorted(chain(*shares)) == sorted(whole[:28])


@pytest.mark.parametrize(("workers", "shuffle"), [(0, True), (2, True), (2, "shards")])
def test_a_dataloader_gives_the_same_batches(samples, workers, shuffle):
    options = {"bands": ["B01"], "shuffle": shuffle, "scale": 0.5}
    dataset = samples.to_dataset(4, seed=1, **options)
    loader = DataLoader(dataset, batch_size=None, num_workers=workers)
    assert len(loader) == 8
    for epoch in (0, 1):
        dataset.set_epoch(epoch)
        ours = list(samples.to_batches(4, seed=1 + epoch, **options))
        theirs = list(loader)
        assert [b.indices.tolist() for b in theirs] == [b.indices.tolist() for b in ours]
        for a, b in zip(ours, theirs, strict=True):
            assert a.images.equal(b.images)
            assert a.labels.equal(b.labels)


# several images a sample, masks, several classes


def band_files(count, seed=0):
    """Samples of six one-band images of three sizes, and a mask, as BigEarthNet's are."""
    generator = np.random.default_rng(seed)
    samples = []
    for k in range(count):
        files = {
            name: generator.integers(0, 2**16, (side, side, 1), np.uint16)
            for name, side in SIZES.items()
        }
        mask = generator.integers(0, 4, (48, 48), np.uint8)
        classes = [CLASSES[k % 3], CLASSES[(k + 1) % 3]][: k % 3]
        samples.append({"id": f"P{k}", "classes": classes, "files": files, "mask": mask})
    return samples


SIZES = {"B01": 8, "B02": 48, "B03": 48, "B05": 24, "B08": 48, "B8A": 24}


@pytest.fixture(scope="module")
def patches():
    return band_files(10)


@pytest.fixture(scope="module", params=["uncompressed", "deflated"])
def many(request, tmp_path_factory, patches):
    folder = tmp_path_factory.mktemp(request.param)
    encode = partial(tiff, compress="deflate") if request.param == "deflated" else tiff
    return open_samples(write_band_catalog(folder, patches, encode)).search()


def stacked(patches, *names):
    return np.stack([[p["files"][n][..., 0] for n in names] for p in patches]).astype(np.float32)


@pytest.mark.parametrize("scheduler", ["threads", "direct"])
def test_files_of_all_sizes_and_masks_of_a_sample_come_together(tmp_path, patches, scheduler):
    folder = tmp_path / "catalog"
    write_band_catalog(folder, patches, partial(tiff, compress="deflate"))
    files = {f"/{path.relative_to(folder)}": path.read_bytes() for path in folder.rglob("*.*")}
    options = {"mask": "mask", "shuffle": True, "scale": 0.5}
    here = open_samples(folder).search().to_batches(1, **options)
    with hosting(files) as host:
        samples = open_samples(host.url).search()
        there = samples.to_batches(1, threads=0, scheduler=scheduler, **options)
        for one in here:
            host.requests.clear()
            other = next(there)
            assert len(host.requests) == 1
            assert len(one.images) == 3
            for mine, theirs in zip(one.images, other.images, strict=True):
                assert mine.equal(theirs)
            assert one.masks.equal(other.masks)


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("bands", [["B08", "B02"], ["B03"], ["B8A", "B05"], ["B01"]])
def test_bands_of_one_size_are_one_tensor(many, patches, bands, threads):
    images, _ = gathered(many.to_batches(4, bands=bands, shuffle=True, threads=threads))
    np.testing.assert_array_equal(images, stacked(patches, *bands))


def test_bands_of_several_sizes_are_a_tensor_each(many, patches):
    sizes = {(48, 48): ("B02", "B03", "B08"), (24, 24): ("B05", "B8A"), (8, 8): ("B01",)}
    assert many.bands_by_size() == sizes
    for batch in many.to_batches(4, shuffle=True, scale=0.5):
        some = [patches[k] for k in batch.indices.tolist()]
        assert isinstance(batch.images, tuple)
        for images, names in zip(batch.images, sizes.values(), strict=True):
            np.testing.assert_array_equal(images.numpy(), stacked(some, *names) * np.float32(0.5))
    with pytest.raises(SatimnetError, match=r"several sizes.*B02: uint16 48 x 48; B05: uint16 24"):
        locate(many, ["B05", "B02"])


def test_patches_that_lack_a_band_are_not_dropped_silently(tmp_path, patches):
    lacking = [p | {"files": {n: f for n, f in p["files"].items() if n != "B01" or k}}
               for k, p in enumerate(patches)]  # fmt: skip
    catalog = open_samples(write_band_catalog(tmp_path, lacking, tiff))
    with pytest.raises(SatimnetError, match=r"10 have B02.*9 have B01.*bands=\[.B02., .B03."):
        catalog.search().to_batches(4)
    assert next(catalog.search().to_batches(4, bands=["B02", "B03"])).images.shape == (4, 2, 48, 48)
    found = catalog.search(bands=list(SIZES))
    assert found.ids == [p["id"] for p in patches[1:]]
    assert len(next(found.to_batches(4)).images) == 3


def test_masks_are_class_values(many, patches):
    for batch in many.to_batches(4, bands=["B02"], mask="mask", shuffle=True, scale=2):
        assert batch.masks.dtype == torch.uint8
        expected = np.stack([patches[k]["mask"] for k in batch.indices.tolist()])
        np.testing.assert_array_equal(batch.masks.numpy(), expected)
    with pytest.raises(SatimnetError, match="10 of the 10 samples have no asset gsw"):
        many.to_batches(4, mask="gsw")
    with pytest.raises(SatimnetError, match="B02 of P0 is uint16; masks are uint8"):
        many.to_batches(4, mask="B02")


def test_several_classes_are_multi_hot(many, patches):
    expected = [[float(name in p["classes"]) for name in CLASSES] for p in patches]
    _, labels = gathered(many.to_batches(4, bands=["B02"], shuffle=True))
    assert labels.dtype == np.float32
    assert labels.tolist() == expected
    _, labels = gathered(many.to_batches(4, bands=["B02"], labels="classes"))
    assert labels.tolist() == expected
    with pytest.raises(SatimnetError, match="7 of 10 samples have no class or several, P0 first"):
        many.to_batches(4, bands=["B02"], labels="class")
    assert next(many.to_batches(4, bands=["B02"], labels=None)).labels is None
    with pytest.raises(SatimnetError, match="labels is the text 'hot'; give 'auto' or 'class'"):
        many.to_batches(4, bands=["B02"], labels="hot")


def test_samples_of_which_nobody_says_the_class(tmp_path, patches):
    some = [p | {"classes": None if k < 3 else p["classes"]} for k, p in enumerate(patches)]
    samples = open_samples(write_band_catalog(tmp_path, some, tiff)).search()
    with pytest.raises(
        SatimnetError, match="does not say the classes of 3 of 10 samples, P0 first"
    ):
        samples.to_batches(4, bands=["B02"])
    unknown = samples.subset(np.arange(3))
    assert next(unknown.to_batches(4, bands=["B02"])).labels is None
    assert "classes" not in unknown.to_xarray(["B02"]).coords


def test_one_class_is_multi_hot_if_wanted(samples):
    _, labels = gathered(samples.to_batches(8, labels="classes"))
    assert labels.argmax(1).tolist() == samples.labels.tolist()
    assert labels.sum(1).tolist() == [1] * 30


def test_xarray_of_several_sizes_and_masks(many, patches):
    data = many.to_xarray(mask="mask")
    assert set(data) == {"images_48x48", "images_24x24", "images_8x8", "masks"}
    assert data["images_24x24"].dims == ("sample", "band_24x24", "y_24x24", "x_24x24")
    assert data["masks"].dims == ("sample", "y_48x48", "x_48x48")
    fine = data["images_48x48"].sel({"band_48x48": ["B08", "B02"]})
    np.testing.assert_array_equal(fine.values, stacked(patches, "B08", "B02"))
    np.testing.assert_array_equal(data["images_8x8"].values, stacked(patches, "B01"))
    np.testing.assert_array_equal(data["masks"].values, [p["mask"] for p in patches])
    assert data["classes"].values.tolist() == [
        ", ".join(n for n in CLASSES if n in p["classes"]) for p in patches
    ]
    pair = many.to_xarray(["B05"], mask="mask")
    assert pair["images"].dims == ("sample", "band", "y", "x")
    assert pair["masks"].dims == ("sample", "y_masks", "x_masks")


# what lies in the shards in unusual ways


@pytest.mark.parametrize("order", [("band", "y", "x"), ("y", "band", "x"), ("y", "x", "band")])
@pytest.mark.parametrize("dtype", ["<u2", ">i2", ">f4", "|u1"])
@pytest.mark.parametrize("columns", [(0, 1, 2), (2, 0), (1,)])
def test_orders_types_and_odd_places(tmp_path, order, dtype, columns):
    generator = np.random.default_rng(0)
    sizes = {"band": 3, "y": 5, "x": 7}
    shape = tuple(sizes[axis] for axis in order)
    stored = generator.integers(0, 100, (6, *shape)).astype(dtype)
    size, data = stored[0].nbytes, b"#"  # the first at byte 1, none where its type would lie
    starts = []
    for image in stored:
        starts.append(len(data))
        data += image.tobytes() + b"#" * (1 + size % 2)
    (tmp_path / "shard").write_bytes(data)
    numbers = np.array(starts)[:, None]
    layout = Layout(
        ids=tuple("abcdef"),
        shards=(str(tmp_path / "shard"),),
        shard=np.zeros((6, 1), np.int64),
        start=numbers,
        size=np.full((6, 1), size),
        dtype=np.dtype(dtype),
        shape=shape,
        order=order,
        bands=tuple(f"B{k}" for k in columns),
        columns=columns,
        encoded=False,
    )
    rows = np.array([4, 0, 5])
    out = np.empty(layout.buffer_shape(3), np.float32)
    with Reader(layout) as reader:
        reader.read(rows, out, 0.5)
    axis = order.index("band") + 1
    np.testing.assert_array_equal(out, np.take(stored[rows], columns, axis) * np.float32(0.5))


# arrays


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_xarray_is_lazy_and_equals_the_batches(samples, pixels, scheduler):
    array = samples.to_xarray(["B04", "B01"])
    assert array.dims == ("sample", "band", "y", "x")
    assert array.dtype == np.uint16
    assert array.chunks[0] == (30,)  # shards with few samples share one
    assert array["band"].values.tolist() == ["B04", "B01"]
    assert array["id"].values.tolist() == samples.ids
    assert array["split"].values.tolist() == samples.splits
    with dask.config.set(scheduler=scheduler):
        np.testing.assert_array_equal(array.values, pixels[:, [3, 0]])
    lakes = array.isel(sample=array["class"] == "Lake")
    assert lakes.shape == (10, 2, SIDE, SIDE)


def test_xarray_has_a_chunk_a_shard_and_pickles(tmp_path):
    source = make_samples(70, multispectral=False)
    samples = open_samples(write_catalog(tmp_path, source, per_shard=65)).search()
    order = np.random.default_rng(0).permutation(len(samples))
    array = pickle.loads(pickle.dumps(samples.subset(order).to_xarray()))
    assert len(array.chunks[0]) == 3  # of six shards, three of which have 5 samples
    assert min(array.chunks[0]) >= 65
    where = [samples.ids.index(name) for name in array["id"].values]
    assert sorted(where) == list(range(len(samples)))
    images, _ = gathered(samples.to_batches(64))
    np.testing.assert_array_equal(array.values, images[where])
    assert array["class"].values.tolist() == [samples.classes[samples.labels[k]] for k in where]
