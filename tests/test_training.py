"""Samples, batches, arrays, and training, on a miniature catalog written here from the spec."""

import http.server
import io
import json
import os
import pickle
import re
import subprocess
import sys
import threading
import zipfile
from collections import Counter
from functools import partial

import dask
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
import simplejpeg
import torch
from PIL import Image

from satimnet.builder.errors import SatimnetError
from satimnet.training import (
    evaluate,
    load,
    open_samples,
    train,
)

CLASSES = ["Field", "Lake", "Town"]
BANDS = [*(f"B{k:02d}" for k in range(1, 13)), "B8A"]
SIDE = 64


def tiff(pixels, **options):
    """A GeoTIFF of (y, x, band), uncompressed and in one run unless options say otherwise."""
    height, width, count = pixels.shape
    profile = {"height": height, "width": width, "count": count, "dtype": pixels.dtype}
    profile["transform"] = rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)
    with rasterio.MemoryFile() as file:
        layout = {"interleave": "pixel", "blockysize": height} | options
        with file.open(driver="GTiff", **profile, **layout) as dataset:
            dataset.write(np.moveaxis(pixels, -1, 0))
        return file.read()


def jpeg(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


def write_catalog(folder, samples, per_shard=4):
    """Write a catalog. samples: dicts id, class, split or None, rgb and multispectral: arrays.

    Samples of a class lie in shards of `per_shard`. A multispectral array may be file bytes.
    """
    home = folder / "mini"
    (home / "shards").mkdir(parents=True)
    rows = []
    for name in CLASSES:
        members = [s for s in samples if s["class"] == name]
        for k in range(0, len(members), per_shard):
            shard = f"{name}-{k // per_shard:05d}.zip"
            rows += write_shard(home / "shards" / shard, members[k : k + per_shard])
    kinds = {
        "id": pa.string(),
        "collection": pa.string(),
        "assets": pa.struct({"rgb": ASSET, "multispectral": ASSET}),
        "satimnet:classes": pa.list_(pa.string()),
        "satimnet:split": pa.string(),
    }
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(kinds)), home / "items.parquet")
    table = [{"value": 0, "name": "Nothing"}]
    table += [{"value": k + 1, "name": name} for k, name in enumerate(CLASSES)]
    collection = {
        "type": "Collection",
        "id": "mini",
        "item_assets": {
            "rgb": {"bands": [{"name": n} for n in ("red", "green", "blue")]},
            "multispectral": {"bands": [{"name": n} for n in BANDS]},
        },
        "summaries": {"classification:classes": table},
        "assets": {"items": {"href": "./items.parquet", "roles": ["collection-mirror"]}},
    }
    (home / "collection.json").write_text(json.dumps(collection))
    root = {"type": "Catalog", "links": [{"rel": "child", "href": "./mini/collection.json"}]}
    (folder / "catalog.json").write_text(json.dumps(root))
    return folder / "catalog.json"


ASSET = pa.struct(
    {
        "href": pa.string(),
        "archive": pa.list_(
            pa.struct({"href": pa.string(), "type": pa.string(), "range": pa.list_(pa.int64())})
        ),
        "satimnet:pixels": pa.struct(
            {
                "offset": pa.int64(),
                "dtype": pa.string(),
                "shape": pa.list_(pa.int64()),
                "order": pa.list_(pa.string()),
            }
        ),
    }
)


def write_shard(path, samples):
    rows = []
    with zipfile.ZipFile(path, "w") as archive:
        for s in samples:
            assets = {}
            if s["rgb"] is not None:
                data = jpeg(s["rgb"])
                assets["rgb"] = asset(archive, path, f"{s['id']}.jpg", "image/jpeg", data)
            pixels = s["multispectral"]
            if pixels is not None:
                data = pixels if isinstance(pixels, bytes) else tiff(pixels)
                place = asset(archive, path, f"{s['id']}.tif", "image/tiff", data)
                if not isinstance(pixels, bytes):
                    place["satimnet:pixels"] = {
                        "offset": place["archive"][0]["range"][0] + data.index(pixels.tobytes()),
                        "dtype": "<u2",
                        "shape": list(pixels.shape),
                        "order": ["y", "x", "band"],
                    }
                assets["multispectral"] = place
            classes = s["class"] if isinstance(s["class"], list) else [s["class"]]
            rows.append(
                {"id": s["id"], "collection": "mini", "assets": assets}
                | {"satimnet:classes": classes, "satimnet:split": s["split"]}
            )
    return rows


def asset(archive, path, name, kind, data):
    archive.writestr(name, data)
    first = archive.getinfo(name).header_offset + 30 + len(name)
    return {
        "href": f"./shards/{path.name}",
        "archive": [{"href": name, "type": kind, "range": [first, first + len(data) - 1]}],
    }


def make_samples(count, seed=0, multispectral=True):
    """`count` samples a class: a class-coloured plane under noise, so that they can be told."""
    generator = np.random.default_rng(seed)
    samples = []
    for label, name in enumerate(CLASSES):
        for k in range(count):
            rgb = generator.integers(0, 100, (SIDE, SIDE, 3), np.uint8)
            rgb[..., label] += 100
            many = generator.integers(0, 2**16, (SIDE, SIDE, 13), np.uint16)
            samples.append(
                {
                    "id": f"{name}_{k}",
                    "class": name,
                    "split": "test" if k % 3 == 0 else "train",
                    "rgb": rgb,
                    "multispectral": many if multispectral else None,
                }
            )
    return samples


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Networks this small gain nothing by more, and lose much where the cores are busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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


def gathered(batches):
    """Images and labels of all batches in the order of the samples."""
    batches = list(batches)
    order = torch.cat([b.indices for b in batches]).argsort()
    images = torch.cat([b.images for b in batches])[order]
    return images.numpy(), torch.cat([b.labels for b in batches])[order].numpy()


# samples


def test_labels_are_indices_into_the_class_table_without_background(samples, source):
    assert samples.classes == tuple(CLASSES)
    assert samples.ids == [s["id"] for s in source]
    assert [samples.classes[k] for k in samples.labels] == [s["class"] for s in source]


def test_search_by_class_and_split(catalog, source):
    found = open_samples(catalog.parent).search(classes=["Lake", "Town"], split="train")
    expected = [s["id"] for s in source if s["class"] != "Field" and s["split"] == "train"]
    assert found.ids == expected
    assert set(found.labels) == {1, 2}
    assert set(found.splits) == {"train"}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"classes": ["Sea"]}, "Sea.*Field, Lake, Town"),
        ({"collections": ["other"]}, "other.*mini"),
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
@pytest.mark.parametrize("shuffle", [False, True])
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
        for seed in range(1200)
    )
    expected = 1200 / 24
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


def test_memory_is_used_again_once_a_batch_is_gone(samples):
    places = set()
    for batch in samples.to_batches(3, bands=BANDS):
        places.add(batch.images.data_ptr())
    assert len(places) <= 3  # with the caller, ready, being filled


def test_samples_without_the_image_are_not_dropped_silently(tmp_path, source):
    mixed = [s | {"multispectral": None} if k % 2 else s for k, s in enumerate(source)]
    catalog = open_samples(write_catalog(tmp_path, mixed))
    with pytest.raises(SatimnetError, match=r"30 samples .*15 have multispectral.*bands=B01,B02"):
        catalog.search().to_batches(4, bands=["B01"])
    assert next(catalog.search().to_batches(4)).images.shape[1] == 3  # all have rgb
    found = catalog.search(bands=["B01"])
    assert found.ids == [s["id"] for s in source[::2]]
    images, _ = gathered(found.to_batches(4, bands=["B01"]))
    np.testing.assert_array_equal(images[3, 0], source[6]["multispectral"][..., 0])


def test_unknown_bands_and_empty_searches_are_user_errors(samples, catalog):
    with pytest.raises(SatimnetError, match=r"B99.*rgb: red, green, blue; multispectral: B01"):
        samples.to_batches(4, bands=["B99"])
    with pytest.raises(SatimnetError, match="red, B01"):
        samples.to_batches(4, bands=["red", "B01"])
    with pytest.raises(SatimnetError, match="no samples"):
        open_samples(catalog).search(split="validation").to_batches(4)
    with pytest.raises(SatimnetError, match="batch size 0"):
        samples.to_batches(0)


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
    with pytest.raises(SatimnetError, match=r"Field_5 is uint8 \(32, 64, 3\)"):
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
        type(self).requests += 1
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
        server.ranges = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("bands", [["blue", "red"], ["B03", "B8A"]])
@pytest.mark.parametrize("shuffle", [False, True])
def test_over_http_as_from_disk(samples, server, bands, shuffle):
    remote = open_samples(f"http://127.0.0.1:{server.server_port}/catalog.json").search()
    local = samples.to_batches(8, bands=bands, shuffle=shuffle)
    for here, there in zip(local, remote.to_batches(8, bands=bands, shuffle=shuffle), strict=True):
        assert all(a.equal(b) for a, b in zip(here, there, strict=True))


def test_neighbours_are_one_request_over_http(server):
    remote = open_samples(f"http://127.0.0.1:{server.server_port}").search()
    RangeHandler.requests = 0
    batches = list(remote.to_batches(4, bands=["B01"], threads=1))
    shards = 9  # 10 samples a class, 4 a shard
    assert len(batches) == 8
    assert RangeHandler.requests <= len(batches) + shards


def test_a_server_without_ranges_is_a_user_error(server):
    remote = open_samples(f"http://127.0.0.1:{server.server_port}").search()
    server.ranges = False
    with pytest.raises(SatimnetError, match="range requests"):
        list(remote.to_batches(4, bands=["B01"]))


# arrays


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_xarray_is_lazy_and_equals_the_batches(samples, pixels, scheduler):
    array = samples.to_xarray(["B04", "B01"])
    assert array.dims == ("sample", "band", "y", "x")
    assert array.dtype == np.uint16
    assert array.chunks[0] == (4, 4, 2) * 3  # one per shard
    assert array["band"].values.tolist() == ["B04", "B01"]
    assert array["id"].values.tolist() == samples.ids
    assert array["split"].values.tolist() == samples.splits
    with dask.config.set(scheduler=scheduler):
        np.testing.assert_array_equal(array.values, pixels[:, [3, 0]])
    lakes = array.isel(sample=array["class"] == "Lake")
    assert lakes.shape == (10, 2, SIDE, SIDE)


def test_xarray_groups_by_shard_and_pickles(samples, pixels):
    order = np.random.default_rng(0).permutation(30)
    array = pickle.loads(pickle.dumps(samples.subset(order).to_xarray()))
    assert len(array.chunks[0]) == 9
    where = [samples.ids.index(name) for name in array["id"].values]
    assert sorted(where) == list(range(30))
    np.testing.assert_array_equal(array.values, pixels[where])
    assert array["class"].values.tolist() == [samples.classes[samples.labels[k]] for k in where]


# training


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A narrow network trained on colours, as file and object; and the samples held out."""
    folder = tmp_path_factory.mktemp("trained")
    catalog = write_catalog(folder, make_samples(40, multispectral=False), per_shard=20)
    learn, held = open_samples(catalog).search().holdout(0.25)
    path = folder / "runs" / "net.pt"
    options = {"width": 8, "epochs": 16, "batch_size": 15, "device": "cpu", "quiet": True}
    return path, train(learn, held, path, **options), learn, held, options


def test_training_learns_what_can_be_learned(trained, tmp_path):
    path, checkpoint, _, held, _ = trained
    assert checkpoint.recipe.history[-1]["accuracy"] > 0.95
    result = evaluate(path, held, tmp_path / "out", device="cpu")
    assert result.accuracy > 0.95
    assert result.accuracy == checkpoint.recipe.history[-1]["accuracy"]
    assert result.confusion.sum(axis=1).tolist() == [10, 10, 10]
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["accuracy"] == result.accuracy
    assert metrics["confusion"] == result.confusion.tolist()
    for picture in ("confusion.png", "curves.png"):
        with Image.open(tmp_path / "out" / picture) as image:
            assert min(image.size) > 300
            assert image.convert("L").getextrema()[0] < 100  # something dark is drawn on it


def test_nothing_is_learned_from_shuffled_labels(trained, tmp_path):
    _, _, learn, held, options = trained
    learn, held = (shuffle_labels(part, seed) for seed, part in enumerate((learn, held)))
    checkpoint = train(learn, held, tmp_path / "net.pt", **options)
    # chance is 1/3, with a standard deviation of 0.09 for 30 samples
    assert 0.05 < checkpoint.recipe.history[-1]["accuracy"] < 0.6
    assert checkpoint.recipe.history[-1]["loss"] > 0.9  # chance is log(3) = 1.1


def shuffle_labels(samples, seed):
    names = np.array(samples.classes)[np.random.default_rng(seed).permutation(samples.labels)]
    place = samples.table.column_names.index("satimnet:classes")
    column = pa.array([[name] for name in names])
    table = samples.table.set_column(place, "satimnet:classes", column)
    return type(samples)(table, samples.collections, samples.classes)


def test_same_seed_same_network_and_the_global_seed_is_left_alone(trained, tmp_path):
    _, checkpoint, learn, held, options = trained
    torch.manual_seed(5)
    state = torch.get_rng_state()
    again = train(learn, held, tmp_path / "net.pt", **options)
    assert torch.get_rng_state().equal(state)
    for a, b in zip(
        checkpoint.model.state_dict().values(), again.model.state_dict().values(), strict=True
    ):
        assert a.equal(b)
    other = train(learn, held, tmp_path / "net.pt", **options | {"seed": 1, "epochs": 1})
    assert not other.model.dense[1].weight.equal(checkpoint.model.dense[1].weight)


def test_streaming_from_the_shards_trains_the_same_network(trained, tmp_path, monkeypatch):
    _, checkpoint, learn, held, options = trained
    monkeypatch.setattr("satimnet.training.learning._RESIDENT", 0)
    streamed = train(learn, held, tmp_path / "net.pt", **options)
    assert streamed.recipe.history[-1]["loss"] == checkpoint.recipe.history[-1]["loss"]


def test_a_checkpoint_holds_all_that_is_needed(trained):
    path, checkpoint, learn, _, _ = trained
    assert [p.name for p in path.parent.iterdir()] == ["net.pt"]  # no partial file beside it
    content = torch.load(path, weights_only=True)
    assert content["recipe"]["bands"] == ("red", "green", "blue")
    loaded = load(path)
    assert loaded.recipe == checkpoint.recipe
    images, _ = gathered(learn.to_batches(30))
    images = torch.from_numpy(images)
    assert loaded.logits(images).equal(checkpoint.logits(images))
    pixels = images.double().transpose(0, 1).flatten(1)
    np.testing.assert_allclose(loaded.recipe.mean, pixels.mean(1), rtol=1e-6)
    np.testing.assert_allclose(loaded.recipe.std, pixels.std(1, correction=0), rtol=1e-5)


def test_what_is_no_checkpoint_is_a_user_error(tmp_path, samples):
    with pytest.raises(SatimnetError, match=r"none\.pt: cannot be read"):
        load(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("hello")
    torch.save({"format": "another"}, tmp_path / "other.pt")
    for name in ("text.pt", "other.pt"):
        with pytest.raises(SatimnetError, match=rf"{name}: not a checkpoint"):
            load(tmp_path / name)


def test_training_refuses_what_it_cannot_train_on(tmp_path, source):
    small = [s | {"rgb": s["rgb"][:32, :32], "multispectral": None} for s in source]
    samples = open_samples(write_catalog(tmp_path, small)).search()
    with pytest.raises(SatimnetError, match="32 x 32"):
        train(samples, samples, tmp_path / "net.pt", quiet=True)
    with pytest.raises(SatimnetError, match="two samples"):
        train(samples, samples, tmp_path / "net.pt", epochs=0, quiet=True)
    (tmp_path / "file").touch()
    with pytest.raises(SatimnetError, match=r"net\.pt: the checkpoint cannot be written there"):
        train(samples, samples, tmp_path / "file" / "net.pt", quiet=True)
    assert not (tmp_path / "net.pt").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_asking_for_one_is_a_user_error(trained, tmp_path):
    path, _, learn, held, _ = trained
    with pytest.raises(SatimnetError, match="device cuda: torch cannot"):
        train(learn, held, tmp_path / "net.pt", device="cuda", quiet=True)
    with pytest.raises(SatimnetError, match="device cuda: torch cannot"):
        evaluate(path, held, device="cuda")
    with pytest.raises(SatimnetError, match="device gpu: torch cannot"):
        learn.to_batches(4, device="gpu")


def test_evaluation_refuses_other_classes(trained, samples):
    path, _, _, held, _ = trained
    other = type(held)(held.table, held.collections, ("Field", "Lake"))
    with pytest.raises(SatimnetError, match="Field, Lake, Town; the samples have Field, Lake"):
        evaluate(path, other)


def test_importing_the_package_is_light():
    code = "import satimnet.training, sys; print([m for m in sys.modules if m in {%s}])"
    heavy = "'torch', 'dask', 'xarray', 'pyarrow', 'matplotlib'"
    run = [sys.executable, "-c", code % heavy]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "[]\n"
