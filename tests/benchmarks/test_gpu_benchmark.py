"""The samples that the benchmark of a GPU makes up, and what it counts; .ci/run runs all of it."""

import numpy as np
import rasterio
import torch
from benchmarks.gpu.clock import Setting
from benchmarks.gpu.generated import BANDS, CLASSES, make
from benchmarks.gpu.roofline import Ceilings, needed_by


def test_generated_samples_are_read_as_gdal_reads_them(tmp_path):
    samples = make(tmp_path, 30)
    batch = next(samples.to_batches(30, mask="mask"))
    assert batch.images.shape == (30, len(BANDS), 64, 64)
    assert batch.labels.tolist() == [k % len(CLASSES) for k in range(30)]
    for row, asset in enumerate(samples.table["assets"].to_pylist()[:3]):
        for key, ours in (("image", batch.images), ("mask", batch.masks[:, None])):
            first, last = asset[key]["archive"][0]["range"]
            shard = tmp_path / asset[key]["href"]
            with rasterio.open(f"/vsisubfile/{first}_{last - first + 1},{shard}") as file:
                assert np.array_equal(file.read(), ours[row].numpy())


def test_generated_samples_are_the_same_every_time(tmp_path):
    shards = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        make(tmp_path / name, 20)
        shards.append((tmp_path / name / "shard-000000.zip").read_bytes())
    assert shards[0] == shards[1]


def test_what_a_step_needs_grows_with_its_batch():
    layer = torch.nn.Conv2d(3, 5, 2, bias=False)

    def step(size):
        images = torch.randn(size, 3, 9, 9)
        return lambda: layer(images)

    needed = needed_by(step)(100)
    assert needed.products == 2 * 100 * 5 * 8 * 8 * 3 * 2 * 2
    assert needed.moved == 4 * (100 * 3 * 9 * 9 + 100 * 5 * 8 * 8 + 5 * 3 * 2 * 2)
    assert needed.seconds(Ceilings(needed.products / 2, needed.moved)) == 2
    assert needed.seconds(Ceilings(needed.products, needed.moved / 3)) == 3


def test_a_setting_says_what_time_is_left(tmp_path):
    setting = Setting(torch.device("cpu"), True, tmp_path, 0.0)
    assert setting.left < 0
    assert not setting.on_gpu
