"""Catalogs of others: no number of theirs reaches native code before it has been looked at."""

import io
import os
import random
import struct
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from mini_catalog import BANDS, jpeg, make_samples, tiff, write_catalog
from PIL import Image

from satimnet.builder import gdal_path, read_bytes
from satimnet.builder.errors import SatimnetError
from satimnet.builder.imagery.headers import read_header
from satimnet.builder.quality.member_contents import Shards, read_content
from satimnet.builder.server.thumbnails import thumbnail
from satimnet.builder.storage.checked_offsets import run_of
from satimnet.training import open_samples
from satimnet.training.data import pixels
from satimnet.training.data.content_digest import digest_of
from satimnet.training.data.decoding import decode
from satimnet.training.data.mapped_shards import MappedShard

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return write_catalog(tmp_path_factory.mktemp("catalog"), make_samples(4))


@pytest.fixture(scope="module")
def samples(catalog):
    return open_samples(catalog).search()


def changed(samples, change):
    """The samples, of whose list of assets `change` has changed what it likes."""
    column = samples.table.column_names.index("assets")
    kind = samples.table["assets"].type
    assets = samples.table["assets"].to_pylist()
    change(assets)
    table = samples.table.set_column(column, "assets", pa.array(assets, kind))
    return replace(samples, table=table)


def with_pixels(samples, **fields):
    """The samples, whose multispectral images lie otherwise."""

    def change(assets):
        for row in assets:
            row["multispectral"]["satimnet:pixels"] |= fields

    return changed(samples, change)


def read_all(samples):
    """All that reads pixels: batches, and arrays over dask."""
    images = np.concatenate([b.images.numpy() for b in samples.to_batches(5, bands=BANDS)])
    np.testing.assert_array_equal(samples.to_xarray(BANDS).values, images)
    return images


# numbers


@pytest.mark.parametrize(
    "dtype",
    [
        *("O", "|O8", "U4", "S2", "V8", "M8[s]", "m8", "c8", "<c16", "?", "|b1", "(2,2)u2"),
        *("u2,u2", "<g", "f16", "u3", "i1,O", "object"),
        *(">u2", "<i2", "|u1", "", "uint16 ", "<u2\n"),
    ],
)
def test_only_the_data_type_of_the_files_is_read(samples, dtype):
    with pytest.raises(SatimnetError, match=r"Field-00000\.zip.*build the catalog again"):
        read_all(with_pixels(samples, dtype=dtype))


@pytest.mark.parametrize("fields", [
    {"shape": [64, 64, 14]}, {"shape": [64, 64, 12]}, {"shape": [2**31, 2**31, 4]}, {"shape": []},
    {"shape": [64, 64, -13]}, {"shape": [64, 64, 0]}, {"shape": [64 * 64 * 13]},
    {"shape": [32, 128, 13]}, {"shape": [2**62, 4, 1]}, {"shape": None}, {"order": None},
    {"order": ["band", "y", "x"]}, {"order": ["y", "x"]}, {"order": ["y", "x", "x"]},
    {"order": ["y", "x", "time"]}, {"order": []}, {"offset": 0}, {"offset": -1}, {"offset": None},
    {"offset": 2**62}, {"offset": 2**63 - 1}, {"offset": -(2**63)}, {"offset": 1_000_000},
])  # fmt: skip
def test_pixels_lie_in_their_file_as_it_says_itself(samples, fields):
    with pytest.raises(SatimnetError, match=r"build the catalog again|differ in"):
        read_all(with_pixels(samples, **fields))


SPANS = [
    [-1, 100], [100, 50], [0, 2**62], [2**63 - 1, 2**63 - 1], [-(2**63), 2**63 - 1],
    [64], [], [64, 65, 66], None,
]  # fmt: skip


@pytest.mark.parametrize("key", ["rgb", "multispectral"])
@pytest.mark.parametrize("span", SPANS)
def test_byte_ranges_that_cannot_be_are_refused(samples, key, span):
    def change(assets):
        assets[7][key]["archive"][0]["range"] = span

    bands = BANDS if key == "multispectral" else ["red"]
    with pytest.raises(SatimnetError, match=r"build the catalog again|ends too early"):
        next(changed(samples, change).to_batches(12, bands=bands))


@pytest.mark.parametrize("span", [*SPANS, [0.0, 10.0], ["0", "10"], [True, 10], 7, {"first": 0}])
def test_byte_ranges_of_documents_are_refused_alike(tmp_path, span):
    shard = tmp_path / "a.zip"
    shard.write_bytes(bytes(1000))
    entry = {"href": "a.tif", "type": "image/tiff", "range": span}
    asset = {"href": str(shard), "archive": [entry], "bands": [{"name": "a"}], "roles": []}
    for function in (read_bytes,) if span in (None, [0, 2**62]) else (read_bytes, gdal_path):
        with pytest.raises(SatimnetError, match=r"a\.zip"):
            function(asset)
    with Shards() as shards:
        content = read_content({"assets": {"image": asset}}, shards)
    assert content.members == 0
    assert [check for check, *_ in content.said] == ["unreadable"]


def test_two_members_here_and_none_there_are_not_taken_for_one_each(samples):
    def change(assets):
        assets[3]["rgb"]["archive"] *= 2
        assets[4]["rgb"]["archive"] = []

    with pytest.raises(SatimnetError, match="not every rgb is one member of a shard"):
        next(changed(samples, change).to_batches(4, bands=["red"]))


def test_a_layout_has_whole_numbers_of_its_own():
    good = {"offset": 64, "dtype": "<u2", "shape": [3, 4], "order": ["y", "x"]}
    run = run_of(good, "a")
    assert (run.shape, run.order, run.size) == ((3, 4, 1), ("y", "x", "band"), 24)
    for name, values in {
        "offset": [1.5, "1", True, None, 10**30],
        "shape": ["34", [3.0, 4], [True, 4], [3, "4"], 12, [10**400, 4]],
        "order": ["yx", 5, [["y"], "x"], [None, "x"]],
        "dtype": [None, 2, ["<u2"], np.uint16],
    }.items():
        for value in values:
            with pytest.raises(SatimnetError, match=r"a: .*build the catalog again"):
                run_of(good | {name: value}, "a")


def test_whatever_a_catalog_says_is_right_or_an_error(samples):
    expected = read_all(samples)
    random_ = random.Random(11)
    numbers = [-(2**63), -1, 0, 1, 13, 64, 65, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, None]
    types = ["O", "<u2", ">u2", "<f8", "U9", "|u1", "<f4", "x", "", None]
    refused = 0
    for _ in range(150):

        def change(assets):
            rows = assets if random_.random() < 0.5 else random_.sample(assets, 1)
            number = random_.choice(numbers)
            kind = random_.choice(["offset", "dtype", "shape", "order", "range", "archive", "near"])
            text = random_.choice(types)
            for row in rows:
                pixels, entry = row["multispectral"]["satimnet:pixels"], row["multispectral"]
                if kind == "offset":
                    pixels["offset"] = number
                elif kind == "dtype":
                    pixels["dtype"] = text
                elif kind == "shape":
                    pixels["shape"][random_.randrange(3)] = number
                elif kind == "order":
                    pixels["order"] = random_.sample(["y", "x", "band", text], 3)
                elif kind == "range":
                    entry["archive"][0]["range"][random_.randrange(2)] = number
                elif kind == "near":
                    entry["archive"][0]["range"][1] += random_.choice([-1, 1]) * 10**6
                else:
                    entry["archive"] = random_.choice([None, [], entry["archive"] * 2])

        try:
            found = read_all(changed(samples, change))
        except SatimnetError:
            refused += 1
            continue
        np.testing.assert_array_equal(found, expected)
    assert 75 < refused < 150  # some say what was said before


# shards that are cut short


CUT = """
import pathlib, os, sys, threading, time
import numpy as np
from satimnet.builder.errors import SatimnetError
from satimnet.training import open_samples
for k, folder in enumerate(sorted(pathlib.Path(sys.argv[1]).iterdir())):
    samples = open_samples(folder).search()
    samples = samples.subset(np.arange(600) % len(samples))
    bands = (["B02", "B03"], None, ["red"])[k % 3]
    def cut():
        for shard in folder.glob("mini/shards/*"):
            os.truncate(shard, 100 if k % 2 else 300_000)
    threading.Timer(0.01 * (1 + k), cut).start()
    end = time.monotonic() + 60
    try:
        while time.monotonic() < end:
            for batch in samples.to_batches(300, bands=bands, labels=None, threads=k % 4):
                pass
    except SatimnetError as error:
        print(error)
"""


def test_a_shard_cut_short_while_it_is_read_is_named(tmp_path):
    folders = [tmp_path / f"{k:02d}" for k in range(12)]
    for folder in folders:
        write_catalog(folder, make_samples(4))
    code = [sys.executable, "-c", CUT, str(tmp_path)]
    done = subprocess.run(code, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == len(folders)
    for line, folder in zip(lines, folders, strict=True):
        assert line.startswith(str(folder / "mini" / "shards"))


def test_a_shard_emptied_right_before_it_is_mapped_is_named(tmp_path, monkeypatch):
    samples = open_samples(write_catalog(tmp_path, make_samples(1))).search()

    def mapped(path, *_):
        os.truncate(path, 0)
        return MappedShard(path)

    monkeypatch.setattr(pixels, "_mapped", mapped)
    with pytest.raises(SatimnetError, match=r"\.zip: the file ends too early"):
        next(samples.to_batches(3, bands=BANDS))


@pytest.mark.parametrize("end", [10**7, 2**61])
def test_a_range_behind_the_end_of_a_shard_is_not_hashed_at_once(samples, end):
    def change(assets):
        assets[3]["rgb"]["archive"][0]["range"] = [0, end]

    with pytest.raises(SatimnetError, match=rf"\.zip: ends before byte {end:,}"):
        digest_of([changed(samples, change)], ["red"], None)


LOST = """
import os, sys
import numpy as np
from satimnet.training.data.mapped_shards import MappedShard, catch_bus_errors
with open(sys.argv[1], "wb") as file:
    file.write(b"x" * 100_000)
for _ in range(2):
    catch_bus_errors()
shard = MappedShard(sys.argv[1])
seen = np.frombuffer(shard.data, np.uint8)
assert shard.whole
os.truncate(sys.argv[1], 10_000)
assert seen.sum() == 10_000 * ord("x") and not shard.whole
os.truncate(sys.argv[1], 100_000)
assert not shard.whole
other = np.memmap(sys.argv[1], np.uint8, "r")
os.truncate(sys.argv[1], 0)
print("alive", flush=True)
other.sum()
"""


def test_only_the_maps_of_shards_survive_a_bus_error(tmp_path):
    code = [sys.executable, "-c", LOST, str(tmp_path / "a.zip")]
    done = subprocess.run(code, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("alive\n", -7), done.stderr


# headers of images


def bombs():
    data = bytearray(jpeg(np.zeros((64, 64, 3), np.uint8)))
    at = next(k for k in range(len(data)) if data[k] == 0xFF and data[k + 1] in (0xC0, 0xC2))
    struct.pack_into(">HH", data, at + 5, 30_000, 30_000)
    yield "JPEG", bytes(data)
    struct.pack_into(">HH", data, at + 5, 3_000, 3_000)
    yield "JPEG of a small side", bytes(data)
    entries = [(256, 4, 1, 2**20), (257, 4, 1, 2**20), (258, 3, 1, 8), (259, 3, 1, 5)]
    entries += [(277, 3, 1, 3), (273, 4, 1, 8), (278, 4, 1, 2**20), (279, 4, 1, 8)]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    yield "TIFF", b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(20)
    file = io.BytesIO()
    Image.new("L", (20_000, 20_000)).save(file, "PNG")
    png = bytearray(file.getvalue()[:60_000])
    yield "PNG", bytes(png)


@pytest.mark.parametrize(("name", "data"), [*bombs()])
def test_what_a_header_announces_is_not_decoded_if_the_file_cannot_hold_it(name, data):
    for bands in (None, 1, 3):
        with pytest.raises(SatimnetError, match="cannot be decoded"):
            decode(data, bands)
    with pytest.raises(SatimnetError):
        read_header(data, name)


def test_a_jpeg_of_a_thousand_scans_is_refused():
    file = io.BytesIO()
    Image.fromarray(np.zeros((600, 600), np.uint8)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    assert read_header(data, "a").shape == (600, 600)
    scan = data.rindex(b"\xff\xda")
    with pytest.raises(SatimnetError, match="scans"):
        decode(data[:scan] + 1000 * data[scan:-2] + data[-2:])


def test_an_image_of_another_size_than_the_first_is_refused_before_it_is_decoded():
    data = jpeg(np.zeros((300, 200, 3), np.uint8))
    assert decode(data, 3, (300, 200)).shape == (300, 200, 3)
    with pytest.raises(SatimnetError, match="has 300 x 200 pixels, the first sample 64 x 64"):
        decode(data[:-500], 3, (64, 64))  # truncated, which only a decoder would notice


def test_thumbnails_follow_no_member_to_other_files(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 2**8, (40, 30, 1), np.uint8)
    (tmp_path / "secret.tif").write_bytes(tiff(pixels))
    vrt = f"""<VRTDataset rasterXSize="30" rasterYSize="40"><VRTRasterBand dataType="Byte" band="1">
    <SimpleSource><SourceFilename>{tmp_path}/secret.tif</SourceFilename></SimpleSource>
    </VRTRasterBand></VRTDataset>""".encode()
    for data, drawn in ((tiff(pixels), True), (vrt, False), (tiff(pixels)[:800], False)):
        (tmp_path / "a.zip").write_bytes(bytes(64) + data)
        entry = {"href": "a.tif", "type": "image/tiff", "range": [64, 63 + len(data)]}
        asset = {"href": str(tmp_path / "a.zip"), "archive": [entry], "roles": ["data"]}
        asset["bands"] = [{"name": "a"}]
        item = {"assets": {"image": asset}}
        assert (thumbnail(item, {"item_assets": {"image": {}}}) is not None) == drawn
        entry["range"] = [64, -5]
        assert thumbnail(item, {"item_assets": {"image": {}}}) is None


def test_a_batch_that_no_memory_holds_is_an_error(samples, monkeypatch):
    memory = {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 1_000_000}
    monkeypatch.setattr(os, "sysconf", memory.__getitem__)
    with pytest.raises(SatimnetError, match="choose a smaller batch_size"):
        next(samples.to_batches(12, bands=BANDS))
    assert len(next(samples.to_batches(2, bands=BANDS)).images) == 2


def test_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.zip")
    entry = {"href": "a.tif", "range": [0, 9]}
    for asset in ({"archive": [entry]}, {}):
        with pytest.raises(SatimnetError, match="no regular file"):
            read_bytes({"href": str(tmp_path / "a.zip")} | asset)
    with Shards() as shards, pytest.raises(SatimnetError, match="cannot be read"):
        shards.read(str(tmp_path / "a.zip"), (0, 10), "a")
    with pytest.raises(OSError, match="no regular file"):
        MappedShard(str(tmp_path / "a.zip"))
    samples = open_samples(write_catalog(tmp_path / "catalog", make_samples(1))).search()
    shard = next((tmp_path / "catalog").glob("mini/shards/*"))
    shard.unlink()
    os.mkfifo(shard)
    with pytest.raises(SatimnetError, match="no regular file; the catalog needs this shard"):
        digest_of([samples], BANDS, None)
