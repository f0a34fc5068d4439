"""Masks as publishers have them, in values, colours or single bits; scenes too large for memory."""

import io
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from published import shard_of
from rasterio.io import MemoryFile

from satimnet.builder import build, gdal_path, search
from satimnet.builder.catalog.validation import validate
from satimnet.builder.imagery.encoding import COG_TYPE
from satimnet.builder.imagery.masks import draw, histogram
from satimnet.builder.imagery.whole_images import decode
from satimnet.builder.packing import sample_files as contents
from satimnet.builder.packing.sample_files import contents as contents_of
from satimnet.builder.samples import Member, Object, Sample
from satimnet.builder.sources import MAX_FILE_SIZE, Source
from satimnet.training.data.decoding import decode as decode_file
from stactools.dota import dataset as dota

CLASSES = [
    {"value": 0, "name": "nothing", "source_color": "#000000"},
    {"value": 1, "name": "town", "color_hint": "00FFFF"},
    {"value": 2, "name": "field", "source_color": ["#FFFF00", "#FF00FF"], "color_hint": "123456"},
]
BANDS = [{"name": name} for name in ("red", "green", "blue")]
_IMAGE = {"type": "image/png", "data_type": "uint8"}
RECORD = dota.record.changed(
    classes=CLASSES,
    assets={
        "image": {"title": "Image", "roles": ["data"], "bands": BANDS, **_IMAGE},
        "mask": {"title": "Mask", "roles": ["mask"], "bands": [{"name": "class"}], **_IMAGE},
    },
)


def png_of(pixels: np.ndarray, mode: str | None = None) -> bytes:
    image = Image.fromarray(pixels)
    file = io.BytesIO()
    (image.convert(mode) if mode else image).save(file, "PNG")
    return file.getvalue()


def tiff_of(pixels: np.ndarray, **options) -> bytes:
    rows, columns, *bands = pixels.shape
    with MemoryFile() as memory:
        profile = {"height": rows, "width": columns, "count": bands[0] if bands else 1}
        with memory.open(driver="GTiff", dtype="uint8", **profile, **options) as image:
            image.write(np.moveaxis(pixels, -1, 0) if bands else pixels[None])
        return bytes(memory.getbuffer())


def with_mask(mask: bytes, classes=CLASSES):
    """What becomes of a sample with this mask: the mask's content, its pixels, and problems."""
    image = png_of(np.zeros((4, 6, 3), np.uint8))
    members = (Member("image", "a.png", image), Member("mask", "a_mask.png", mask))
    with Source(()).reader() as reader:
        made = contents_of(Sample("a", (), members), reader, RECORD.changed(classes=classes))
    found = {content.asset: content for content in made.files}
    if "mask" not in found:
        return None, None, made
    return found["mask"], np.asarray(Image.open(io.BytesIO(found["mask"].data))), made


VALUES = np.array([[0, 0, 1, 1, 2, 2]] * 4, np.uint8)
COLOURS = np.array([(0, 0, 0), (0, 255, 255), (255, 255, 0)], np.uint8)[VALUES]
COLOURS[0, 4] = 255, 0, 255  # the other colour of fields


@pytest.mark.parametrize("encode", [png_of, tiff_of])
def test_colours_become_class_values(encode):
    content, pixels, made = with_mask(encode(COLOURS))
    np.testing.assert_array_equal(pixels, VALUES)
    assert content.original.path == "a_mask.png"
    assert made.classes == ("town", "field")
    assert made.statistics == ({"class": "town", "pixels": 8}, {"class": "field", "pixels": 8})


def test_transparency_is_no_colour():
    alpha = np.full((4, 6, 1), 7, np.uint8)
    _, pixels, _ = with_mask(png_of(np.concatenate((COLOURS, alpha), axis=2)))
    np.testing.assert_array_equal(pixels, VALUES)


def test_a_colour_that_no_class_has_is_reported():
    colours = COLOURS.copy()
    colours[3, 5] = 0x12, 0x34, 0x56  # the hint of a class that says what its colour really is
    content, _, made = with_mask(png_of(colours))
    assert content is None
    assert [p.reason for p in made.problems] == ["mask colour #123456 is not in the class table"]


@pytest.mark.parametrize(
    "encode",
    [
        lambda mask: png_of(mask * 255, "1"),
        lambda mask: tiff_of(mask, nbits=1),
        lambda mask: tiff_of(mask, nbits=1, compress="CCITTFAX4"),
        lambda mask: tiff_of(mask, nbits=4),
    ],
)
def test_masks_of_single_bits_are_read_and_get_a_byte_a_pixel(encode):
    mask = (VALUES > 0).astype(np.uint8)
    content, pixels, made = with_mask(encode(mask))
    np.testing.assert_array_equal(pixels, mask)
    assert not content.header.packed
    assert content.original is not None
    assert made.statistics == ({"class": "town", "pixels": 16},)


def test_a_mask_of_class_values_stays_as_it_is():
    data = png_of(VALUES)
    content, _, _ = with_mask(data)
    assert content.data == data
    assert content.original is None


# --- large scenes -------------------------------------------------------------------------------

LABEL = """imagesource:GoogleEarth
gsd:0.3
100 100 300 100 300 200 100 200 ship 0
200 20 620.5 200 610 690 203 600 harbor 0
-20 400 90 400 90 1100 -20 1100 plane 1
"""


def large_source(folder: Path, rows: int, columns: int) -> Path:
    y, x = np.mgrid[:rows, :columns]
    pixels = np.stack((x * y // 64, x // 3, y // 2), axis=-1).astype(np.uint8)
    for name, data in (("images/P0000.png", png_of(pixels)), ("labelTxt/P0000.txt", LABEL)):
        path = folder / "train" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder


def built(source: Path, out: Path, **options) -> tuple[dict, dict[str, np.ndarray]]:
    """The only Item of a catalog, and the pixels of its images."""
    build([source], out, datasets={"dota": dota}, **options)
    (item,) = search(out)
    pixels = {}
    for key in ("image", "mask"):
        with rasterio.open(gdal_path(item["assets"][key])) as image:
            pixels[key] = image.read()
    return item, pixels


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_large_scene_becomes_a_cog_with_the_same_pixels(tmp_path, monkeypatch, schemas):
    source = large_source(tmp_path / "source", 1300, 700)
    usual, expected = built(source, tmp_path / "usual")
    monkeypatch.setattr(contents, "MAX_IMAGE_SIZE", 2**20)
    monkeypatch.setattr(contents, "STRIP", 512)
    item, pixels = built(source, tmp_path / "large")
    built(source, tmp_path / "again")
    for key in ("image", "mask"):
        np.testing.assert_array_equal(pixels[key], expected[key])
        (entry,) = item["assets"][key]["archive"]
        assert (entry["type"], entry["href"][-4:]) == (COG_TYPE, ".tif")
        assert usual["assets"][key]["archive"][0]["type"] == "image/png"
    of_files = {"satimnet:formats", "satimnet:bytes"}
    said = [
        {key: value for key, value in one["properties"].items() if key not in of_files}
        for one in (item, usual)
    ]
    assert said[0] == said[1]
    assert item["properties"]["satimnet:formats"] == ["tif"]
    assert item["assets"]["image"]["satimnet:original"]["path"] == "train/images/P0000.png"
    shards = [shard_of(tmp_path / name, "train-00000", "dota") for name in ("large", "again")]
    assert shards[0].read_bytes() == shards[1].read_bytes()
    assert not validate(tmp_path / "large", schemas=schemas, checksums=True).count
    assert not list((tmp_path / "large/dota/shards").glob("tmp*"))


def test_scenes_over_the_limit_are_left_out_and_named(tmp_path):
    source = large_source(tmp_path / "source", 60, 700)
    (report,) = build(
        [source, *_small(tmp_path)],
        tmp_path / "out",
        datasets={"dota": dota},
        max_scene_size=100_000,
        bad_files="any",
    )
    assert report.items == 1
    (problem,) = report.of("broken")
    assert problem.path.endswith("P0000.png")
    limit = "126000 bytes of pixels, over the limit 100000"
    assert problem.reason == f"{limit}; max_scene_size sets it"


@pytest.mark.slow
def test_files_larger_than_usual_are_read_if_their_scene_may_be(tmp_path):
    path = tmp_path / "source/val_images/9.tif"
    path.parent.mkdir(parents=True)
    side = 13_400
    grid = {"crs": "EPSG:32631", "transform": rasterio.Affine(1, 0, 5e5, 0, -1, 5e6)}
    shape = {"width": side, "height": side, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", tiled=True, **shape, **grid):
        pass  # uncompressed: all of it is zeros
    assert path.stat().st_size > MAX_FILE_SIZE
    items, problems, peak = build_apart(path.parent.parent, tmp_path / "out")
    assert (items, problems) == (1, 0)
    assert peak < path.stat().st_size / 2**20 + 350  # MiB


def _small(folder: Path) -> list[Path]:
    path = folder / "small/val/images/P0001.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(png_of(np.zeros((9, 9, 3), np.uint8)))
    return [folder / "small"]


def test_strips_are_the_whole_mask():
    outlines = [((3, 3), (90.25, 10), (80, 95.5), (7, 60)), ((0, 50), (99, 40), (50, 45))]
    objects = [Object("ship", outline=o) for o in outlines]
    objects += [Object("plane", runs=(60, 30, 4200, 100))]
    values = {"ship": 2, "plane": 1}
    (whole,) = draw(objects, values, (100, 100))
    for height in (1, 7, 64, 100, 300):
        strips = list(draw(objects, values, (100, 100), height))
        np.testing.assert_array_equal(np.concatenate(strips), whole)
    assert histogram(whole)[1] == 130


@given(st.data())
def test_strips_of_runs_are_the_pixels_that_the_runs_count(data):
    rows, columns = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    place = st.integers(0, rows * columns - 1)
    ends = data.draw(st.lists(st.tuples(place, place), min_size=1, max_size=5))
    objects, expected = [], np.zeros(rows * columns, np.uint8)
    for first, last in sorted(map(sorted, ends), key=lambda end: end[0] - end[1]):
        objects.append(Object("a" if first % 2 else "b", runs=(first, last - first + 1)))
        expected[first : last + 1] = 1 if first % 2 else 2
    strips = draw(objects, {"a": 1, "b": 2}, (rows, columns), data.draw(st.integers(1, 10)))
    np.testing.assert_array_equal(np.concatenate(list(strips)), expected.reshape(columns, rows).T)


def test_memory_stays_below_the_image_when_runs_are_drawn_in_strips():
    objects = [Object("a", runs=(0, 4000 * 4000))]
    tracemalloc.start()
    try:
        total = sum(int(strip.sum()) for strip in draw(objects, {"a": 1}, (4000, 4000), 100))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 4000 * 4000
    assert peak < 4000 * 4000 / 4


_BUILD = """
import sys
from pathlib import Path
from satimnet.builder import build
(report,) = build([Path(sys.argv[1])], Path(sys.argv[2]))
status = Path("/proc/self/status").read_text()  # ru_maxrss has the parent's memory in it
peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
print(report.items, len(report.problems), peak)
"""


def build_apart(source: Path, out: Path) -> tuple[int, int, float]:
    """Build in a process of its own: how many Items and problems, and the most memory in MiB."""
    command = [sys.executable, "-c", _BUILD, source, out]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    items, problems, peak = done.stdout.split()
    return int(items), int(problems), float(peak)


def write_striped_png(path: Path, side: int) -> None:
    """A PNG of RGB, `side` pixels a side, that compresses well, written row by row."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        size, checksum = len(data).to_bytes(4), zlib.crc32(kind + data).to_bytes(4)
        return size + kind + data + checksum

    packer = zlib.compressobj(1)
    x = np.arange(side) // 64
    with path.open("wb") as file:
        head = side.to_bytes(4) * 2 + bytes((8, 2, 0, 0, 0))
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head))
        for y in range(side):
            row = np.stack((x + y // 64, x, x * 0 + y // 128), axis=-1).astype(np.uint8)
            file.write(chunk(b"IDAT", packer.compress(b"\0" + row.tobytes())))
        file.write(chunk(b"IDAT", packer.flush()) + chunk(b"IEND", b""))


@pytest.mark.slow
@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")
def test_images_that_pillow_takes_for_bombs_are_decoded():
    side = 13_500  # Pillow refuses from 179 million pixels on
    image = Image.new("P", (side, side), 1)
    image.putpalette([0, 0, 0, 9, 9, 9])
    file = io.BytesIO()
    image.save(file, "PNG")
    assert decode(file.getvalue(), "mask.png").shape == (1, side, side)
    indices = decode_file(file.getvalue())
    assert indices.shape == (side, side, 1)
    assert (indices[::1000, ::1000] == 1).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_memory_stays_below_the_pixels_of_a_large_scene(tmp_path):
    side = 14_000  # 588 MB of pixels
    folder = tmp_path / "source/train"
    (folder / "images").mkdir(parents=True)
    (folder / "labelTxt").mkdir()
    write_striped_png(folder / "images/P0000.png", side)
    label = f"imagesource:x\ngsd:1\n5 5 {side - 5} 5 {side - 5} {side - 5} 5 {side - 5} ship 0\n"
    (folder / "labelTxt/P0000.txt").write_text(label)
    items, problems, peak = build_apart(tmp_path / "source", tmp_path / "out")
    assert (items, problems) == (1, 0)
    assert peak < 500  # MiB
    (item,) = search(tmp_path / "out")
    assert item["properties"]["satimnet:statistics"] == [
        {"class": "ship", "count": 1, "pixels": (side - 10) ** 2}
    ]
    with rasterio.open(gdal_path(item["assets"]["image"])) as image:
        part = image.read(window=((9_000, 9_001), (0, side)))
    x = np.arange(side) // 64
    np.testing.assert_array_equal(part[0, 0], (x + 9_000 // 64).astype(np.uint8))
