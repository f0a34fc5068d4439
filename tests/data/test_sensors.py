"""Images of several sensors in batches: against rasterio, and against resampling by hand."""

import shutil
from functools import partial

import dask
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
import torch
from published import home_of
from torch.utils.data import DataLoader
from two_sensors import (
    CLASSES,
    COARSE,
    FINE,
    NO_RADAR,
    OPTICAL,
    RADAR,
    drawn,
    write_pair,
)

from satimnet.builder import gdal_path
from satimnet.builder import open as open_catalog
from satimnet.builder.errors import SatimnetError
from satimnet.training import open_samples

pytestmark = pytest.mark.usefixtures("one_thread")

BOTH = {"s2": ["B08", "B02"], "s1": ["VH", "VV"]}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """Twelve samples, of which the last two have no VH."""
    patches = drawn(12)
    for patch in patches[-2:]:
        del patch["images"]["vh"]
    return write_pair(tmp_path_factory.mktemp("pair"), patches)


@pytest.fixture(scope="module")
def samples(catalog):
    return open_samples(catalog).search(images=BOTH)


@pytest.fixture(scope="module")
def by_rasterio(catalog, samples):
    """All bands of the samples by their names, (sample, y, x), read out of the shards by GDAL."""
    found = {}
    items = {item.id: item for item in open_catalog(catalog).search().items()}
    for id_ in samples.ids:
        for asset in items[id_].assets.values():
            with rasterio.open(gdal_path(asset)) as image:
                for band, pixels in zip(asset.to_dict()["bands"], image.read(), strict=True):
                    found.setdefault(band["name"], []).append(pixels)
    return {name: np.stack(pixels) for name, pixels in found.items()}


def stacked(pixels, bands):
    return np.stack([pixels[band] for band in bands], axis=1)


def weights(have, want):
    """How much each pixel of one side counts for each of another, by their areas: a triangle around
    the middle of the new pixel, as wide as the larger of the two pixels to each side."""
    step = have / want
    middles = (np.arange(want)[:, None] + 0.5) * step - 0.5
    found = np.maximum(0, 1 - np.abs(middles - np.arange(have)) / max(step, 1))
    return found / found.sum(axis=1, keepdims=True)


def bilinear(images, size, nodata=None):
    """(sample, y, x), as the documentation has it, in float64."""
    rows, columns = (weights(*pair) for pair in zip(images.shape[1:], size, strict=True))
    valid = np.ones_like(images, float) if nodata is None else (images != nodata).astype(float)
    weight = rows @ valid @ columns.T
    with np.errstate(invalid="ignore"):
        mean = (rows @ np.where(valid, images, 0).astype(float) @ columns.T) / weight
    return mean if nodata is None else np.where(weight < 0.5, nodata, mean)


def gathered(batches, name):
    return np.concatenate([batch.images[name].numpy() for batch in batches])


@pytest.mark.parametrize("way", ["direct", "threads", "none", "loader", "workers"])
@pytest.mark.parametrize("dtype", ["float32", "stored"])
def test_each_sensor_is_what_rasterio_reads(samples, by_rasterio, way, dtype):
    if way in ("loader", "workers"):
        dataset = samples.to_dataset(4, images=BOTH, dtype=dtype)
        batches = list(DataLoader(dataset, None, num_workers=2 if way == "workers" else 0))
    else:
        how = {"threads": 0} if way == "none" else {"scheduler": way}
        batches = list(samples.to_batches(4, images=BOTH, dtype=dtype, **how))
    assert [list(batch.images) for batch in batches] == [["s2", "s1"]] * 3
    for name, bands in BOTH.items():
        found, expected = gathered(batches, name), stacked(by_rasterio, bands)
        wanted = np.float32 if dtype == "float32" else expected.dtype
        assert found.dtype == wanted
        np.testing.assert_array_equal(found, expected.astype(wanted))
    assert np.concatenate([batch.indices for batch in batches]).tolist() == list(range(10))


def test_bands_as_one_tensor_stay_as_they_are(samples, by_rasterio):
    (batch,) = samples.to_batches(10, bands=["B03", "B08"], scale=0.5)
    expected = stacked(by_rasterio, ["B03", "B08"]).astype(np.float32) * np.float32(0.5)
    np.testing.assert_array_equal(batch.images.numpy(), expected)


def test_a_name_that_is_the_key_of_an_asset_means_that_asset(samples, by_rasterio):
    (batch,) = samples.to_batches(10, images={"s2": None, "vv": None, "radar": list(RADAR)})
    np.testing.assert_array_equal(batch.images["s2"], stacked(by_rasterio, OPTICAL))
    np.testing.assert_array_equal(batch.images["radar"][:, :1], batch.images["vv"])


def test_each_sensor_has_a_scale_of_its_own(samples, by_rasterio):
    (batch,) = samples.to_batches(10, images=BOTH, scale={"s2": 1e-4})
    expected = stacked(by_rasterio, BOTH["s2"]).astype(np.float32) * np.float32(1e-4)
    np.testing.assert_array_equal(batch.images["s2"], expected)
    np.testing.assert_array_equal(batch.images["s1"], stacked(by_rasterio, BOTH["s1"]))


def test_bilinear_is_that_by_hand_and_does_not_mix_no_data(samples, by_rasterio):
    (batch,) = samples.to_batches(10, images=BOTH, resample="bilinear")
    np.testing.assert_array_equal(batch.images["s2"], stacked(by_rasterio, BOTH["s2"]))
    for at, band in enumerate(BOTH["s1"]):
        expected = bilinear(by_rasterio[band], (FINE, FINE), NO_RADAR)
        assert (band == "VV") is bool((expected == NO_RADAR).any())
        np.testing.assert_allclose(batch.images["s1"][:, at], expected, rtol=2e-5)
    missing = (batch.images["s1"][:, 1] == NO_RADAR).sum()
    assert missing == 10 * 4 * 4  # four coarse pixels that are 2 x 2 fine ones each
    assert set(batch.images["s1"][batch.images["s1"] < -100].tolist()) == {NO_RADAR}


def test_without_no_data_bilinear_is_that_of_torch(samples, by_rasterio):
    (batch,) = samples.to_batches(10, images={"s2": ["B02"], "s1": ["VH"]}, resample="bilinear")
    coarse = torch.from_numpy(by_rasterio["VH"])[:, None]
    expected = torch.nn.functional.interpolate(coarse, (FINE, FINE), mode="bilinear")
    assert torch.equal(batch.images["s1"], expected)


def test_nearest_takes_the_pixel_below(samples, by_rasterio):
    (batch,) = samples.to_batches(10, images=BOTH, resample="nearest")
    expected = stacked(by_rasterio, BOTH["s1"]).repeat(2, axis=2).repeat(2, axis=3)
    np.testing.assert_array_equal(batch.images["s1"], expected)


@pytest.mark.parametrize("grid", [None, (COARSE, COARSE), (5, 11), (40, 24)])
def test_images_are_brought_to_the_grid_of_the_first_or_to_a_given_one(samples, by_rasterio, grid):
    images = {"radar": ["VV"], "optical": ["B04"]}
    (batch,) = samples.to_batches(10, images=images, resample="bilinear", grid=grid)
    size = grid or (COARSE, COARSE)
    radar = by_rasterio["VV"]
    if size != (COARSE, COARSE):
        radar = bilinear(radar, size, NO_RADAR)
    np.testing.assert_allclose(batch.images["radar"][:, 0], radar, rtol=2e-5)
    optical = bilinear(by_rasterio["B04"], size, 0)
    np.testing.assert_allclose(batch.images["optical"][:, 0], optical, rtol=2e-5)


def test_no_data_is_known_after_scaling(samples, by_rasterio):
    scale = {"s1": 0.1}
    (batch,) = samples.to_batches(10, images=BOTH, resample="bilinear", scale=scale)
    expected = 0.1 * bilinear(by_rasterio["VV"], (FINE, FINE), NO_RADAR)
    np.testing.assert_allclose(batch.images["s1"][:, 1], expected, rtol=2e-5)


def test_bands_of_several_sizes_become_one_tensor_in_the_order_asked(samples, by_rasterio):
    """As those of BigEarthNet, whose bands are files of three sizes."""
    bands = {"all": ["VV", "VH"]}
    (batch,) = samples.to_batches(10, bands=["VV", "VH"], resample="nearest", grid=(16, 16))
    (named,) = samples.to_batches(10, images=bands, resample="nearest", grid=(16, 16))
    assert torch.equal(batch.images, named.images["all"])


def test_the_bands_of_bigearthnet_on_one_grid(demo):
    bands = ["B01", "B05", "B04", "B8A", "B02"]  # 20, 60, 120, 60 and 120 pixels a side
    found = open_samples(demo / "catalog").search(collections="bigearthnet", bands=bands)
    (single,) = found.to_batches(99, bands=bands, labels=None)
    (batch,) = found.to_batches(99, bands=bands, labels=None, resample="bilinear")
    assert batch.images.shape == (len(found), 5, 120, 120)
    places = dict(zip(found.bands_by_size(bands).values(), single.images, strict=True))
    for own, tensor in places.items():
        for at, band in enumerate(own):
            expected = bilinear(tensor[:, at].numpy(), (120, 120))
            got = batch.images[:, bands.index(band)]
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-2)
    lazy = found.to_xarray(bands, resample="bilinear")
    assert lazy.band.values.tolist() == bands
    np.testing.assert_array_equal(lazy.values, batch.images)


def test_lazy_arrays_have_a_variable_for_each_sensor(samples, by_rasterio):
    lazy = samples.to_xarray(images=BOTH)
    assert lazy["s2"].dims == ("sample", "band_s2", "y_s2", "x_s2")
    assert (lazy["s2"].dtype, lazy["s1"].dtype) == (np.uint16, np.float32)
    with dask.config.set(scheduler="synchronous"):
        for name, bands in BOTH.items():
            np.testing.assert_array_equal(lazy[name], stacked(by_rasterio, bands))
            assert lazy[f"band_{name}"].values.tolist() == bands
        late = lazy["datetime_s1"].values - lazy["datetime_s2"].values
        assert set(late) == {np.timedelta64(31 * 60 + 30, "m")}
        one = samples.to_xarray(images=BOTH, resample="bilinear")
        assert one["s1"].dims == ("sample", "band_s1", "y", "x")
        (batch,) = samples.to_batches(10, images=BOTH, resample="bilinear")
        for name, tensor in batch.images.items():
            np.testing.assert_array_equal(one[name], tensor)


def test_times_are_those_of_the_images(samples):
    assert np.array_equal(samples.datetimes("s2"), samples.datetimes())
    late = samples.datetimes("vv") - samples.datetimes("s2")
    assert set(late) == {np.timedelta64(31 * 60 + 30, "m")}
    with pytest.raises(SatimnetError, match="no asset s3; there are s2, vv, vh"):
        samples.datetimes("s3")


def test_windows_of_images_on_one_grid(demo):
    found = open_samples(demo / "catalog").search(collections="eurosat").subset(np.arange(6))
    images = {"multispectral": ["B04"], "rgb": None}
    whole = next(found.to_batches(6, images=images))
    read = list(found.to_batches(5, images=images, window=24, snap=False, seed=3))
    assert sum(map(len, (batch.indices for batch in read))) == 6 * 4
    for batch in read:
        for at, (index, window) in enumerate(zip(batch.indices, batch.windows, strict=True)):
            left, top, width, height = window.tolist()
            for name, tensor in batch.images.items():
                own = whole.images[name][index, :, top : top + height, left : left + width]
                assert torch.equal(tensor[at], own)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": {}}, "images: name at least one"),
        ({"images": {"s2": "B02"}}, "the bands of s2 are 'B02'; give a list of names, or None"),
        ({"images": {"s2": []}}, "bands: name at least one"),
        ({"images": {"s3": None}}, "no image asset is called s3; there are s2, vv, vh"),
        ({"images": {"a": ["B02", "VV"]}}, "no image has the bands B02, VV"),
        ({"images": BOTH, "bands": ["B02"]}, "bands and images exclude each other"),
        ({"images": BOTH, "scale": {"s3": 2}}, "scale: no image s3; there are s2, s1"),
        ({"bands": ["B02"], "scale": {"s2": 2}}, "scale: no image s2; there are none; give a num"),
        ({"images": BOTH, "grid": (8, 8)}, "grid is for resample"),
        ({"images": BOTH, "grid": (0, 8), "resample": "nearest"}, "grid 0 x 8: from 1"),
        ({"images": BOTH, "resample": "cubic"}, "resample is the text 'cubic'; give 'nearest'"),
        ({"images": BOTH, "dtype": "uint8"}, "dtype is the text 'uint8'; give 'float32'"),
        ({"images": BOTH, "dtype": "stored", "scale": 2.0}, "leave out scale and resample"),
        ({"images": BOTH, "window": 4}, "windows are read of one image with all bands, not of vh"),
        ({"images": {"s2": None, "vv": None}, "window": 4}, "s2, vv differ in size; leave out win"),
        ({"images": BOTH, "size": (8, 8)}, "differ in size, so that one crop does not fit all"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(samples, options, message):
    with pytest.raises(SatimnetError, match=message) as caught:
        samples.to_batches(4, **options)
    assert "\n" not in str(caught.value)


def test_bands_of_several_sizes_need_resampling(demo):
    images = {"all": ["B02", "B05"]}
    found = open_samples(demo / "catalog").search(collections="bigearthnet")
    for read in (partial(found.to_batches, 4), found.to_xarray):
        with pytest.raises(
            SatimnetError, match=r"the bands of all have several sizes .*; give res"
        ):
            read(images=images)


def test_samples_that_lack_a_sensor_are_counted(catalog):
    found = open_samples(catalog).search()
    with pytest.raises(
        SatimnetError, match=r"only 10 of the 12 samples have s1; search .* images="
    ):
        found.to_batches(4, images=BOTH)
    assert len(open_samples(catalog).search(images={"a": ["VV"], "b": ["B02"]})) == 12
    with pytest.raises(SatimnetError, match="no image has the bands HH"):
        open_samples(catalog).search(images={"a": ["HH"]})


def changed(catalog, folder, change):
    """Samples of a copy of the catalog whose rows are changed."""
    shutil.copytree(catalog.parent, folder / "catalog")
    path = home_of(folder / "catalog", "pair") / "items.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    for row in rows:
        change(row)
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    return open_samples(folder / "catalog").search(images=BOTH)


def test_images_of_other_ground_are_not_resampled(catalog, tmp_path):
    def moved(row):
        if row["id"] == "patch_0003":
            row["assets"]["vv"]["proj:transform"][2] += 15  # pixels are 20 m

    found = changed(catalog, tmp_path, moved)
    next(found.to_batches(4, images=BOTH))
    message = "s2 and vv do not cover the same ground in 1 of the 10 samples, patch_0003 first"
    with pytest.raises(SatimnetError, match=message):
        found.to_batches(4, images=BOTH, resample="nearest")


def test_other_coordinate_systems_are_other_ground(catalog, tmp_path):
    def moved(row):
        row["assets"]["vv"]["proj:code"] = "EPSG:32632"

    found = changed(catalog, tmp_path, moved)
    with pytest.raises(SatimnetError, match="s2 and vv do not cover the same ground in 10 of"):
        found.to_batches(4, images=BOTH, resample="nearest")


def test_a_time_that_is_none_is_refused_in_one_line(catalog, tmp_path):
    def spoilt(row):
        row["assets"]["vv"]["datetime"] = "soon"

    found = changed(catalog, tmp_path, spoilt)
    with pytest.raises(SatimnetError, match="a time of vv is none; build the catalog again"):
        found.datetimes("vv")


# --- learning -------------------------------------------------------------------------------------


def planted(count, seed):
    """Patches with a bright or a dark middle in each sensor; the class says whether they differ."""
    generator = np.random.default_rng(seed)
    patches = drawn(count, seed)
    for patch in patches:
        optical, radar = generator.integers(0, 2, 2)
        patch["images"]["s2"] = generator.integers(900, 1100, (4, FINE, FINE), np.uint16)
        patch["images"]["s2"][:, 4:12, 4:12] += np.uint16(400 * optical)
        noise = generator.normal(-12, 1, (2, COARSE, COARSE)).astype(np.float32)
        noise[:, 2:6, 2:6] += 4 * radar
        patch["images"] |= {"vv": noise[:1], "vh": noise[1:]}
        patch["class"] = CLASSES[optical ^ radar]
    return patches


def accuracy(folder, images):
    """Of a small network that is given some of the sensors, on samples that it has not seen."""
    torch.manual_seed(0)
    samples = open_samples(folder).search(images=images)
    learned, held_out = samples.holdout(0.25, seed=1)
    options = {
        "images": images,
        "resample": "bilinear",
        "scale": {name: 1e-3 if name == "s2" else 0.1 for name in images},
    }
    bands = sum(map(len, images.values()))
    network = torch.nn.Sequential(
        torch.nn.BatchNorm2d(bands),
        torch.nn.Conv2d(bands, 8, 3),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 32),
        torch.nn.ReLU(),
        torch.nn.Linear(32, 2),
    )
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    for epoch in range(30):
        for batch in learned.to_batches(32, shuffle=True, seed=epoch, **options):
            optimiser.zero_grad()
            out = network(torch.cat(list(batch.images.values()), dim=1))
            torch.nn.functional.cross_entropy(out, batch.labels).backward()
            optimiser.step()
    network.eval()
    right = [
        network(torch.cat(list(batch.images.values()), dim=1)).argmax(1) == batch.labels
        for batch in held_out.to_batches(64, **options)
    ]
    return float(torch.cat(right).float().mean())


@pytest.mark.slow
def test_a_class_that_only_both_sensors_tell_is_learned_from_both_alone(tmp_path):
    folder = write_pair(tmp_path, planted(480, seed=5))
    optical, radar = {"s2": ["B02", "B08"]}, {"s1": ["VV", "VH"]}
    assert accuracy(folder, optical | radar) >= 0.95
    for alone in (optical, radar):
        assert 0.35 < accuracy(folder, alone) < 0.65
