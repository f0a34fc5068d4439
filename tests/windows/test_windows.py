"""Windows of large images: the pixels that rasterio reads there, from as few tiles as can be."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window
from torch.utils.data import DataLoader

from satimnet.builder.errors import ArgumentError, BadCatalogError, SatimnetError
from satimnet.builder.pipeline import build
from satimnet.builder.query.search import search
from satimnet.builder.storage.assets import gdal_path, read_bytes
from satimnet.builder.transfer.mirror import copy_catalog
from satimnet.training import open_samples
from satimnet.training.data.layouts import Layout
from satimnet.training.data.pixels import Reader
from satimnet.training.data.tile_index import TileIndex

DATA = Path(__file__).parents[3] / "shared" / "data"
KNOWN = "satimnet:classes IS NOT NULL"
PROFILES = [
    ("uint8", 3, {"compress": "none"}),
    ("uint8", 3, {"compress": "deflate", "predictor": 2}),
    ("uint16", 4, {"compress": "deflate", "predictor": 2}),
    ("uint16", 4, {"compress": "lzw", "predictor": 2, "ENDIANNESS": "BIG"}),
    ("int16", 2, {"compress": "lzw"}),
    ("float32", 2, {"compress": "deflate", "predictor": 3}),
    ("float64", 1, {"compress": "zstd"}),
    ("uint8", 1, {"compress": "deflate"}),
    ("uint8", 3, {"compress": "deflate", "interleave": "band"}),
    ("uint8", 3, {"compress": "deflate", "BIGTIFF": "YES"}),
    ("uint8", 3, {"compress": "deflate", "SPARSE_OK": "TRUE"}),
    ("uint8", 3, {"compress": "jpeg", "photometric": "ycbcr", "JPEG_QUALITY": "95"}),
    ("uint8", 3, {"compress": "jpeg", "photometric": "rgb"}),
    ("uint8", 1, {"compress": "jpeg"}),
    ("uint8", 3, {"tiled": False, "compress": "deflate"}),
]


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def written(path: Path, dtype: str, bands: int, options: dict, shape=(201, 333)) -> np.ndarray:
    random = np.random.default_rng(1)
    rows, columns = shape
    smooth = np.add.outer(np.arange(rows), np.arange(columns))
    # builds of GDAL upsample colours by another library than libjpeg-turbo: edges would differ
    smooth = smooth // 4 if options.get("photometric") == "ycbcr" else smooth % 251
    pixels = (smooth[None] + 30 * np.arange(bands)[:, None, None]) % 256
    pixels = (pixels + random.integers(0, 3, pixels.shape)).clip(0, 255).astype(dtype)
    profile = {"tiled": True, "blockxsize": 64, "blockysize": 48, "interleave": "pixel"} | options
    if not profile["tiled"]:
        del profile["blockxsize"]
    if options.get("SPARSE_OK"):
        pixels[:, :96, :128] = 0
    with rasterio.open(
        path, "w", driver="GTiff", width=columns, height=rows, count=bands, dtype=dtype, **profile
    ) as file:
        for top in range(0, rows, 48):  # blocks of zeros are not written where SPARSE_OK
            for left in range(0, columns, 64):
                part = pixels[:, top : top + 48, left : left + 64]
                if part.any():
                    file.write(part, window=Window(left, top, part.shape[2], part.shape[1]))
    with rasterio.open(path) as file:
        return file.read()


@pytest.mark.parametrize(("dtype", "bands", "options"), PROFILES)
def test_windows_are_those_of_rasterio(tmp_path, dtype, bands, options):
    path = tmp_path / "scene.tif"
    scene = written(path, dtype, bands, options)
    corners = [(0, 0), (48, 64), (17, 33), (131, 263), (150, 290), (96, 0), (47, 63)]
    count, size = len(corners), (70, 70)
    columns = tuple(range(bands))
    layouts = [(columns, bands), ((bands - 1, 0), bands)]
    for wanted, number in layouts:
        layout = Layout(
            ids=("scene",) * count,
            shards=(str(path),),
            shard=np.zeros((count, 1), np.int64),
            start=np.zeros((count, 1), np.int64),
            size=np.full((count, 1), path.stat().st_size, np.int64),
            dtype=np.dtype(dtype),
            shape=(*size, number),
            order=("y", "x", "band"),
            bands=tuple(map(str, wanted)),
            columns=wanted,
            encoded=True,
            windows=np.array(corners),
        )
        out = np.full(layout.buffer_shape(count), 77, dtype)
        with Reader(layout) as reader:
            reader.read(np.arange(count), out)
        for (top, left), image in zip(corners, out, strict=True):
            part = scene[list(wanted), top : top + 70, left : left + 70].transpose(1, 2, 0)
            rows, across = part.shape[:2]
            difference = np.abs(image[:rows, :across].astype(float) - part.astype(float))
            # GDAL has another upsampling of colours than libjpeg-turbo by itself, perhaps
            assert difference.max() <= (2 if options.get("photometric") == "ycbcr" else 0)
            assert not image[rows:].any()
            assert not image[:, across:].any()


def scenes_of(catalog, collection, key="image") -> dict[str, np.ndarray]:
    found = {}
    for item in search(catalog, collections=[collection]):
        if key in item["assets"]:
            with rasterio.open(gdal_path(item["assets"][key])) as file:
                found[item["id"]] = file.read()
    return found


def cut(scene, window) -> np.ndarray:
    left, top, width, height = window
    out = np.zeros((len(scene), height, width), scene.dtype)
    part = scene[:, top : top + height, left : left + width]
    out[:, : part.shape[1], : part.shape[2]] = part
    return out if len(out) != 1 else np.repeat(out, 3, 0)


@pytest.mark.parametrize("options", [{"snap": True}, {"snap": False}, {"windows": "grid"}])
@pytest.mark.parametrize("collection", ["inria", "dota"])
def test_batches_hold_windows_with_masks(demo, collection, options):
    catalog = demo / "catalog"
    samples = open_samples(catalog).search(collections=collection, split="train")
    scenes, masks = scenes_of(catalog, collection), scenes_of(catalog, collection, "mask")
    seen = set()
    for batch in samples.to_batches(
        5, window=(96, 130), mask="mask", labels=None, shuffle=True, **options
    ):
        for row, window, image, mask in zip(
            batch.indices.tolist(),
            batch.windows.tolist(),
            batch.images.numpy(),
            batch.masks.numpy(),
            strict=True,
        ):
            id_ = samples.ids[row]
            seen.add(id_)
            assert window[2:] == [130, 96]
            assert (image == cut(scenes[id_], window)).all()
            assert (mask == cut(masks[id_], window)[0]).all()
    assert seen == set(samples.ids)


def test_a_grid_covers_all_pixels_once_but_at_the_edge(demo):
    samples = open_samples(demo / "catalog").search(collections="xview")
    shapes = {id_: scene.shape[1:] for id_, scene in scenes_of(demo / "catalog", "xview").items()}
    covered = {id_: np.zeros(shape, int) for id_, shape in shapes.items()}
    for batch in samples.to_batches(8, window=64, windows="grid", labels=None):
        for row, (left, top, width, height) in zip(
            batch.indices.tolist(), batch.windows.tolist(), strict=True
        ):
            covered[samples.ids[row]][top : top + height, left : left + width] += 1
    for count in covered.values():
        assert count.min() == 1
        rows, columns = (side // 64 * 64 - 64 for side in count.shape)
        assert (count[:rows, :columns] == 1).all()


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """A catalog of two scenes of unequal size in tiles of 512; read-only."""
    folder = tmp_path_factory.mktemp("large")
    for name, shape in (("austin1", (1300, 1700)), ("vienna2", (1100, 2300))):
        for kind, bands in (("images", 3), ("gt", 1)):
            path = folder / "AerialImageDataset" / "train" / kind / f"{name}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(bands).integers(0, 256, (bands, *shape), np.uint8)
            pixels = pixels if bands == 3 else (pixels > 128) * np.uint8(255)
            with rasterio.open(
                path, "w", driver="GTiff", width=shape[1], height=shape[0], count=bands,
                dtype="uint8", crs="EPSG:32614",
                transform=rasterio.Affine(0.3, 0, 600_000, 0, -0.3, 3_400_000),
            ) as file:  # fmt: skip
                file.write(pixels)
    build([folder / "AerialImageDataset"], folder / "catalog", overview=False)
    return folder / "catalog"


@pytest.mark.parametrize(("window", "most"), [(512, 1), (200, 1), (600, 4), (513, 4)])
def test_snapped_windows_lie_on_as_few_tiles_as_can_be(large, window, most):
    samples = open_samples(large).search(collections="inria")
    counts, corners = [], set()
    for batch in samples.to_batches(
        16, window=window, windows_per_image=60, labels=None, shuffle=True
    ):
        for left, top, width, height in batch.windows.tolist():
            across = (left + width - 1) // 512 - left // 512 + 1
            down = (top + height - 1) // 512 - top // 512 + 1
            counts.append(across * down)
            corners.add((left, top))
    assert max(counts) <= most
    assert len(counts) == 120
    if window == 200:  # they move within a tile
        assert len({left % 512 for left, _ in corners}) > 40


def test_the_same_seed_draws_the_same_and_epochs_do_not(large):
    samples = open_samples(large).search(collections="inria")
    options = {"window": 300, "snap": False, "windows_per_image": 6, "labels": None}

    def drawn(batches) -> list:
        return [window for batch in batches for window in batch.windows.tolist()]

    first = drawn(samples.to_batches(4, seed=1, **options))
    assert first == drawn(samples.to_batches(4, seed=1, **options))
    assert first == drawn(samples.to_batches(3, seed=1, scheduler="direct", threads=0, **options))
    assert first != drawn(samples.to_batches(4, seed=2, **options))
    assert len(set(map(tuple, first))) == 12
    dataset = samples.to_dataset(4, seed=1, **options)
    assert first == drawn(DataLoader(dataset, batch_size=None))
    dataset.set_epoch(1)
    assert drawn(dataset) == drawn(samples.to_batches(4, seed=2, **options))
    shares = [
        drawn(samples.to_batches(4, seed=1, rank=rank, world_size=2, **options)) for rank in (0, 1)
    ]
    assert sorted(shares[0] + shares[1]) == sorted(first)


def test_windows_of_a_store_are_those_of_the_disk(large, bucket):
    copy_catalog(large, f"{bucket}/windows")
    options = {"window": 256, "mask": "mask", "labels": None, "shuffle": True, "scale": 0.5}
    near = open_samples(large).search(collections="inria").to_batches(7, **options)
    far = open_samples(f"{bucket}/windows").search(collections="inria").to_batches(7, **options)
    for one, same in zip(near, far, strict=True):
        assert one.windows.tolist() == same.windows.tolist()
        assert (one.images == same.images).all()
        assert (one.masks == same.masks).all()


def test_objects_are_cut_with_their_windows(demo):
    samples = open_samples(demo / "catalog").search(collections="dota", filter=KNOWN)
    items = {i["id"]: i for i in search(demo / "catalog", collections=["dota"])}
    count = 0
    for batch in samples.to_batches(4, window=150, objects="boxes", labels=None):
        for row, window, target in zip(
            batch.indices.tolist(), batch.windows.tolist(), batch.objects, strict=True
        ):
            left, top, width, height = window
            asset = items[samples.ids[row]]["assets"]["annotation"]
            for feature in json.loads(read_bytes(asset))["features"]:
                ring = np.array(feature["geometry"]["coordinates"][0])
                (x0, y0), (x1, y1) = ring.min(axis=0), ring.max(axis=0)
                if x0 >= left and y0 >= top and x1 <= left + width and y1 <= top + height:
                    box = [x0 - left, y0 - top, x1 - left, y1 - top]
                    assert box in target["boxes"].tolist()
                    count += 1
            assert (target["boxes"] >= 0).all()
            assert (target["boxes"][:, 2] <= width).all()
    assert count > 10


@pytest.mark.real
@pytest.mark.parametrize("collection", ["dota", "inria"])
def test_windows_of_real_images_of_unequal_size(tmp_path, collection):
    source = {"dota": DATA / "dota" / "train", "inria": DATA / "inria" / "AerialImageDataset"}
    if not source[collection].is_dir():
        pytest.skip("needs the real samples in ../shared/data")
    home = tmp_path / collection / source[collection].name
    shutil.copytree(source[collection], home)
    build([home.parent], tmp_path / "catalog", overview=False)
    published = {path.stem: path for path in home.rglob("*") if path.suffix in (".png", ".tif")}
    samples = open_samples(tmp_path / "catalog").search(collections=collection)
    for batch in samples.to_batches(4, window=256, snap=False, windows_per_image=5, labels=None):
        for row, window, image in zip(
            batch.indices.tolist(), batch.windows.tolist(), batch.images.numpy(), strict=True
        ):
            with rasterio.open(published[samples.ids[row]]) as file:
                assert (image == file.read(window=Window(*window))).all()


BAD = [
    ({"window": 0}, "window 0 x 0"),
    ({"window": 64, "size": (64, 64)}, "exclude each other"),
    ({"window": 64, "windows": "some"}, "random"),
    ({"window": 64, "windows_per_image": 0}, "1 or more"),
    ({"window": 64, "windows": "grid", "windows_per_image": 3}, "random windows"),
]


@pytest.mark.parametrize(("options", "said"), BAD)
def test_what_cannot_be_is_refused(demo, options, said):
    samples = open_samples(demo / "catalog").search(collections="inria")
    with pytest.raises(ArgumentError, match=said):
        samples.to_batches(2, labels=None, **options)


def test_images_of_one_band_each_have_no_windows(demo):
    samples = open_samples(demo / "catalog").search(collections="bigearthnet")
    with pytest.raises(ArgumentError, match="one image with all bands"):
        samples.to_batches(2, window=16, bands=["B02", "B03"])


@pytest.mark.parametrize("step", [1, 7, 23])
def test_damaged_headers_are_one_line(tmp_path, step):
    path = tmp_path / "scene.tif"
    written(path, "uint8", 3, {"compress": "deflate"})
    good = path.read_bytes()
    (start,) = np.frombuffer(good[4:8], "<u4")
    refused = 0
    for at in range(int(start), int(start) + 200, step):
        for value in (0, 255):
            data = bytearray(good)
            data[at] = value

            def part(first, size, data=data):
                return bytes(data[first : first + size])

            try:
                index = TileIndex.read(part, len(data), "scene")
            except BadCatalogError:
                refused += 1
                continue
            if index is not None:
                assert (index.offsets + index.sizes <= len(data)).all()
    assert refused


def test_damaged_tiles_name_their_sample(large, tmp_path):
    catalog = Path(shutil.copytree(large, tmp_path / "catalog"))
    samples = open_samples(catalog).search(collections="inria")
    batches = samples.to_batches(2, window=512, labels=None)
    for shard in catalog.glob("inria/shards/*.zip"):
        data = bytearray(shard.read_bytes())
        middle = len(data) // 2
        data[middle : middle + 1_000_000] = bytes(1_000_000)
        shard.write_bytes(data)
    with pytest.raises(SatimnetError, match=r"sample .* cannot be decoded") as error:
        list(batches)
    assert "\n" not in str(error.value)
