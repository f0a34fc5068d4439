"""Airbus-ship: every ship of the table, counted, drawn and kept, and how little can stop it."""

import csv
import io
import json
import random
import zipfile
from pathlib import Path

import numpy as np
import pystac
import pytest
from PIL import Image
from published import home_of
from rasterio.features import rasterize
from shapely.geometry import shape

from satimnet.builder import build
from satimnet.builder.errors import BadFileError
from satimnet.builder.samples import Problem, Sample
from satimnet.builder.sources import Source
from satimnet.builder.storage.assets import read_bytes
from stactools.airbus_ship import dataset
from stactools.airbus_ship.miniature import SHIPS, TABLE, TEST_SHIPS, write_miniature

REAL = Path(__file__).parents[3] / "shared" / "data" / "airbus-ship"
SIZE = 768
ONE, TWO = "00000000a", "0000000b0"


@pytest.fixture(scope="module")
def miniature(tmp_path_factory) -> list[Path]:
    return write_miniature(tmp_path_factory.mktemp("airbus-ship"))


@pytest.fixture(scope="module")
def catalog(miniature, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("built") / "catalog"
    build(miniature, out, datasets={dataset.id: dataset}, overview=False)
    return out


@pytest.fixture(scope="module")
def real() -> Path:
    if not REAL.is_dir():
        pytest.skip("needs the real samples in ../shared/data/airbus-ship")
    return REAL


@pytest.fixture(scope="module")
def real_catalog(real, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("real") / "catalog"
    build([real], out, datasets={dataset.id: dataset}, overview=False)
    return out


def scan(*paths: Path) -> tuple[dict[str, Sample], list[Problem]]:
    found = list(dataset.scan(Source(paths)))
    samples = {item.id: item for item in found if isinstance(item, Sample)}
    problems = [item for item in found if isinstance(item, Problem)]
    assert len(samples) + len(problems) == len(found)
    return samples, problems


def write(folder: Path, *names: str, **tables: bytes) -> Path:
    """Empty images and a table in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    if tables:
        (folder / TABLE).write_bytes(tables["table"])
    return folder


def table(*rows: str) -> bytes:
    return "".join(f"{row}\n" for row in ("ImageId,EncodedPixels", *rows)).encode()


def scan_code(folder: Path, *codes: str) -> tuple[Sample, list[Problem]]:
    """The one training image whose rows have these codes."""
    rows = table(*(f"{ONE}.jpg,{code}" for code in codes))
    samples, problems = scan(write(folder, f"train_v2/{ONE}.jpg", table=rows))
    return samples[ONE], problems


def decode(codes: list[str]) -> np.ndarray:
    """The mask of some codes, read from the publisher's words and from nothing of ours."""
    flat = np.zeros(SIZE * SIZE, np.uint8)
    for code in codes:
        numbers = np.array(code.split(), int)
        for start, length in zip(numbers[::2], numbers[1::2], strict=True):
            flat[start - 1 : start - 1 + length] = 1
    return flat.reshape(SIZE, SIZE).T


def rows_of(data: bytes) -> dict[str, list[str]]:
    """Ids to the codes of their ships, each code once."""
    rows: dict[str, list[str]] = {}
    for row in csv.DictReader(io.StringIO(data.decode())):
        codes = rows.setdefault(row["ImageId"].removesuffix(".jpg"), [])
        if row["EncodedPixels"] and row["EncodedPixels"] not in codes:
            codes.append(row["EncodedPixels"])
    return rows


def items_of(catalog: Path) -> dict[str, pystac.Item]:
    files = home_of(catalog, "airbus-ship").glob("t*/**/*.json")
    items = [pystac.Item.from_file(str(f)) for f in files if f.name != "catalog.json"]
    return {item.id: item for item in items}


def mask_of(item: pystac.Item) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(read_bytes(item.assets["mask"]))))


# --- the miniature ------------------------------------------------------------------------------


def test_miniature_is_what_it_says(miniature):
    samples, problems = scan(*miniature)
    train = [s for s in samples.values() if s.split == "train"]
    assert sorted(len(s.objects) for s in train) == sorted(SHIPS)
    assert [len(s.members) for s in train] == [2] * len(SHIPS)
    test = [s for s in samples.values() if s.split == "test"]
    assert len(test) == len(TEST_SHIPS)
    assert all(s.objects is None and len(s.members) == 1 for s in test)
    assert {s.level for s in samples.values()} == {("train",), ("test",)}
    assert {o.name for s in train for o in s.objects} == {"ship"}
    assert [(p.kind, p.reason.partition(",")[0]) for p in problems] == [
        ("incomplete", "rows of images that train_v2 does not have: 1"),
        ("foreign", "repeated rows"),
    ]


def test_miniature_is_the_same_every_time(miniature, tmp_path):
    again = write_miniature(tmp_path)
    assert again[0].read_bytes() == miniature[0].read_bytes()
    assert write_miniature(tmp_path, seed=1)[0].read_bytes() != miniature[0].read_bytes()


def test_masks_and_counts_are_those_of_the_table(miniature, catalog):
    with zipfile.ZipFile(miniature[0]) as archive:
        rows = rows_of(archive.read(TABLE))
    check_against_rows(items_of(catalog), rows, len(SHIPS))


def check_against_rows(
    items: dict[str, pystac.Item], rows: dict[str, list[str]], expected: int
) -> None:
    """Masks, counts, classes and annotations of all training images against the table."""
    train = [i for i in items.values() if i.properties["satimnet:split"] == "train"]
    assert len(train) == expected
    for item in train:
        codes, expected_mask = rows[item.id], decode(rows[item.id])
        np.testing.assert_array_equal(mask_of(item), expected_mask)
        classes = ["ship"] if codes else []
        assert item.properties["satimnet:classes"] == classes
        statistics = {"class": "ship", "count": len(codes), "pixels": int(expected_mask.sum())}
        assert item.properties.get("satimnet:statistics", []) == ([statistics] if codes else [])

        annotation = json.loads(read_bytes(item.assets["annotation"]))
        assert len(annotation["features"]) == len(codes)
        for feature, code in zip(annotation["features"], codes, strict=True):
            assert feature["properties"]["class"] == "ship"
            drawn = rasterize([feature["geometry"]], out_shape=(SIZE, SIZE))
            np.testing.assert_array_equal(drawn, decode([code]))


def test_test_images_have_no_label(catalog):
    test = [i for i in items_of(catalog).values() if i.properties["satimnet:split"] == "test"]
    assert len(test) == len(TEST_SHIPS)
    assert all(set(i.assets) == {"image"} for i in test)
    assert all("satimnet:classes" not in i.properties for i in test)
    assert all(i.geometry is None for i in test)


# --- what the table says ------------------------------------------------------------------------


def test_runs_are_counted_from_zero(tmp_path):
    sample, problems = scan_code(tmp_path, "1 3 770 2", "589824 1")
    assert [o.runs for o in sample.objects] == [(0, 3, 769, 2), (589823, 1)]
    assert problems == []


def test_an_empty_row_is_no_ship(tmp_path):
    sample, problems = scan_code(tmp_path, "")
    assert sample.objects == ()
    assert problems == []


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("1", "pairs"),
        ("1 2 3", "pairs"),
        ("a b", "pairs"),
        ("1 -2", "pairs"),
        ("1.0 2", "pairs"),
        ("٣ 2", "pairs"),
        ("1 9999999999999999999", "pairs"),
        ("0 5", "out of"),
        ("5 0", "empty"),
        ("589824 2", "out of"),
        ("999999 1", "out of"),
        ("10 5 12 5", "order"),
        ("100 5 10 5", "order"),
        ("1 1 " * 300_000, "more runs"),
    ],
)
def test_a_code_that_cannot_be(tmp_path, code, reason):
    sample, problems = scan_code(tmp_path, "1 3", code)
    assert sample.objects is None
    assert [m.asset for m in sample.members] == ["image"]
    assert [p.kind for p in problems] == ["broken"]
    assert f"{ONE}.jpg" in problems[0].path
    assert reason in problems[0].reason


def test_ships_and_none_contradict(tmp_path):
    sample, problems = scan_code(tmp_path, "", "1 3")
    assert sample.objects is None
    assert [p.kind for p in problems] == ["broken"]


def test_repeated_rows_are_taken_once(tmp_path):
    sample, problems = scan_code(tmp_path, "1 3", "5 3", "1 3", "1 3")
    assert [o.runs for o in sample.objects] == [(0, 3), (4, 3)]
    assert [(p.kind, p.reason) for p in problems] == [
        ("foreign", f"repeated rows, taken once: 2, first of {ONE}.jpg")
    ]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_labels_are_the_own_rows_unchanged(tmp_path, mark, end):
    lines = [b"ImageId,EncodedPixels", b"%b.jpg,1 3", b"%b.jpg,", b"%b.jpg,5 3"]
    own = [line % id.encode() for line, id in zip(lines[1:], (ONE, TWO, ONE), strict=True)]
    data = mark + end.join([lines[0], *own])  # and no line end at the end
    images = f"train_v2/{ONE}.jpg", f"train_v2/{TWO}.jpg"
    samples, problems = scan(write(tmp_path, *images, table=data))
    assert problems == []
    assert len(samples[ONE].objects) == 2
    assert samples[ONE].members[1].entry == mark + lines[0] + end + own[0] + end + own[2]
    assert samples[TWO].members[1].entry == mark + lines[0] + end + own[1] + end


def test_what_is_missing_is_told_once(tmp_path):
    images = [f"train_v2/{n:09x}.jpg" for n in range(20)]
    rows = [f"{n:09x}.jpg,1 2" for n in range(10, 5000)]
    rows += ["no comma", "too,many,commas", "../../etc/passwd,1 2", ""]
    samples, problems = scan(write(tmp_path, *images, table=table(*rows)))
    assert sum(s.objects is None for s in samples.values()) == 10
    assert [(p.kind, p.reason) for p in problems] == [
        (
            "incomplete",
            "rows of images that train_v2 does not have: 4980, first 000000014.jpg",
        ),
        ("broken", "rows that are not an image and its code: 3, first in line 4992"),
        ("incomplete", "images of train_v2 without a row: 10, first 000000000.jpg"),
    ]


def test_images_without_a_table(tmp_path):
    samples, problems = scan(write(tmp_path, f"train_v2/{ONE}.jpg", f"test_v2/{TWO}.jpg"))
    assert [s.objects for s in samples.values()] == [None, None]
    assert [p.kind for p in problems] == ["incomplete"]


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 100, b"ImageId;EncodedPixels\n", f"{ONE}.jpg,1 2\n".encode()]
)
def test_a_table_that_cannot_be_read_stops_the_build(tmp_path, data):
    with pytest.raises(BadFileError, match="download it again"):
        scan(write(tmp_path, f"train_v2/{ONE}.jpg", table=data))


@pytest.mark.parametrize("cut", [f"{TWO}.jpg,1", f"{TWO}.jp", f"{ONE}.jpg,9 1"])
def test_a_table_that_ends_within_a_row_is_an_error(tmp_path, cut):
    rows = table(f"{ONE}.jpg,1 2") + cut.encode()
    images = (f"train_v2/{ONE}.jpg", f"train_v2/{TWO}.jpg", "train_v2/00000000c.jpg")
    with pytest.raises(BadFileError, match="ends within a line"):
        scan(write(tmp_path, *images, table=rows))


def test_a_table_without_one_usable_row_is_an_error(tmp_path):
    with pytest.raises(BadFileError, match="no row is an image and its code"):
        scan(write(tmp_path, f"train_v2/{ONE}.jpg", table=table("a;b", "c")))


def test_cells_may_be_quoted(tmp_path):
    rows = f'"ImageId","EncodedPixels"\n"{ONE}.jpg","1 3"\n"{ONE}.jpg","5 3"\n"{TWO}.jpg",""\n'
    images = f"train_v2/{ONE}.jpg", f"train_v2/{TWO}.jpg"
    samples, problems = scan(write(tmp_path, *images, table=rows.encode()))
    assert not problems
    assert [o.runs for o in samples[ONE].objects] == [(0, 3), (4, 3)]
    assert samples[TWO].objects == ()


def test_an_image_for_training_and_tests_has_no_split(tmp_path):
    images = f"train_v2/{ONE}.jpg", f"test_v2/{ONE}.jpg"
    samples, (problem,) = scan(write(tmp_path, *images, table=table(f"{ONE}.jpg,1 2")))
    assert samples[ONE].split is None
    assert len(samples[ONE].objects) == 1
    assert "gets no split" in problem.reason


# --- where the files lie ------------------------------------------------------------------------


def test_archives_of_one_folder_each(tmp_path):
    rows = table(f"{ONE}.jpg,1 2")
    with zipfile.ZipFile(tmp_path / "train_v2.zip", "w") as archive:
        archive.writestr(f"{ONE}.jpg", b"")
    with zipfile.ZipFile(tmp_path / "test_v2.zip", "w") as archive:
        archive.writestr(f"test_v2/{TWO}.jpg", b"")
    with zipfile.ZipFile(tmp_path / f"{TABLE}.zip", "w") as archive:
        archive.writestr(TABLE, rows)
    samples, problems = scan(tmp_path)
    assert {s.id: s.split for s in samples.values()} == {ONE: "train", TWO: "test"}
    assert len(samples[ONE].objects) == 1
    assert problems == []
    separate, problems = scan(*(p for p in sorted(tmp_path.iterdir())))
    assert [(s.id, s.split, s.objects) for s in separate.values()] == [
        (s.id, s.split, s.objects) for s in samples.values()
    ]
    assert problems == []


def test_only_the_second_version_and_its_own_table_count(tmp_path):
    write(tmp_path / "a", table=table(f"{ONE}.jpg,"))
    images = f"train_v2/{ONE}.jpg", f"train/{TWO}.jpg", f"test/{TWO}.jpg"
    more = f"extras/train_v2_incomplete_labels/{TWO}.jpg", f"train_v2/._{TWO}.jpg"
    write(tmp_path, *images, *more, "train_v2/holiday.jpg", table=table(f"{ONE}.jpg,1 2"))
    (tmp_path / "train_ship_segmentations.csv").write_bytes(table(f"{ONE}.jpg,7 2"))
    (tmp_path / "sample_submission_v2.csv").write_bytes(table(f"{ONE}.jpg,1 2"))
    samples, problems = scan(tmp_path)
    assert list(samples) == [ONE]
    assert [o.runs for o in samples[ONE].objects] == [(0, 2)]
    assert sorted((p.kind, Path(p.path).name) for p in problems) == [
        ("foreign", "holiday.jpg"),
        ("foreign", TABLE),
    ]


def test_a_second_copy_of_an_image(tmp_path):
    write(tmp_path, f"train_v2/{ONE}.jpg", f"more/train_v2/{ONE}.jpg", f"test_v2/{ONE}.jpg")
    samples, problems = scan(tmp_path)
    assert list(samples) == [ONE]
    assert [p.kind for p in problems if "second copy" in p.reason] == ["foreign"] * 2


def test_large_sets_are_divided_by_their_digits(tmp_path):
    ids = [f"{n % 256:02x}{n + 2000:07x}" for n in range(40_000)]
    with zipfile.ZipFile(tmp_path / "airbus.zip", "w") as archive:
        for n in range(1500):
            archive.writestr(f"test_v2/{n:09x}.jpg", b"")
        for id in ids:
            archive.writestr(f"train_v2/{id}.jpg", b"")
        archive.writestr(TABLE, table(*(f"{id}.jpg," for id in ids)))
    samples, problems = scan(tmp_path)
    assert {s.level for s in samples.values() if s.split == "test"} == {("test",)}
    levels = {s.level for s in samples.values() if s.split == "train"}
    assert levels == {("train", f"{n:02x}") for n in range(256)}
    paths = [m.path for s in samples.values() for m in s.members]
    assert len(set(paths)) == len(paths)
    assert problems == []


def test_it_is_recognised():
    for path in (
        "train_v2/000155de5.jpg",
        "airbus-ship-detection/test_v2/000155de5.jpg",
        "train_v2/train_v2/000155de5.jpg",
        f"/data/{TABLE}",
    ):
        assert dataset.recognises(path), path
    for path in (
        "train/000155de5.jpg",
        "train_v2/P0001.jpg",
        "extras/train_v2_incomplete_labels/000155de5.jpg",
        "sample_submission_v2.csv",
    ):
        assert not dataset.recognises(path), path


def test_damaged_tables_are_problems_or_errors(tmp_path):
    rng = random.Random(7)
    rows = table(f"{ONE}.jpg,1 3 770 2", f"{ONE}.jpg,2000 9", f"{TWO}.jpg,", "0123456aa.jpg,5 5")
    write(tmp_path, f"train_v2/{ONE}.jpg", f"train_v2/{TWO}.jpg")
    for _ in range(300):
        data = bytearray(rows)
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(data) or 1)
            if rng.random() < 0.5:
                data[at : at + rng.randint(0, 12)] = rng.randbytes(rng.randint(0, 4))
            else:
                data[at : at + 1] = rng.choice([b",", b"\n", b"\r", b" ", b"-", b"9" * 30, b'"'])
        (tmp_path / TABLE).write_bytes(data)
        try:
            samples, _ = scan(tmp_path)
        except BadFileError:
            continue
        assert set(samples) == {ONE, TWO}


# --- real samples -------------------------------------------------------------------------------


@pytest.mark.real
def test_real_samples(real):
    samples, problems = scan(real)
    assert problems == []
    rows = rows_of((real / TABLE).read_bytes())
    train = {s.id: s for s in samples.values() if s.split == "train"}
    assert len(train) == len(rows) == 22
    assert len(samples) - len(train) == len(list((real / "test_v2").glob("*.jpg")))
    assert {id: len(s.objects) for id, s in train.items()} == {k: len(v) for k, v in rows.items()}
    assert sum(not s.objects for s in train.values()) == 8


@pytest.mark.real
def test_real_masks_and_counts_are_those_of_the_table(real, real_catalog):
    check_against_rows(items_of(real_catalog), rows_of((real / TABLE).read_bytes()), 22)


@pytest.mark.real
def test_real_images_are_the_publishers_bytes(real, real_catalog):
    for item in items_of(real_catalog).values():
        folder = f"{item.properties['satimnet:split']}_v2"
        published = (real / folder / f"{item.id}.jpg").read_bytes()
        assert read_bytes(item.assets["image"]) == published


@pytest.mark.real
def test_real_ships_lie_in_the_boxes_of_another_decoding(real, real_catalog):
    """``extras/boxes_yolo``: class, centre and size of each ship as fractions of the image."""
    compared = 0
    for item in items_of(real_catalog).values():
        file = real / "extras" / "boxes_yolo" / f"{item.id}.txt"
        if item.properties["satimnet:split"] != "train":
            continue
        features = json.loads(read_bytes(item.assets["annotation"]))["features"]
        if not file.is_file():
            assert features == []
            continue
        ours = np.array([shape(f["geometry"]).bounds for f in features])
        x, y, w, h = SIZE * np.loadtxt(file, ndmin=2).T[1:]
        theirs = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1)
        apart = abs(ours[:, None] - theirs[None]).max(2)  # in pixels, each of ours from each other
        assert ours.shape == theirs.shape
        assert (apart.min(0) <= 1).all()
        assert (apart.min(1) <= 1).all()
        compared += len(ours)
    assert compared > 20
