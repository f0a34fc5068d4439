"""DOTA: what its layout and its label files say, and how little can stop the reader."""

import io
import json
import random
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import shapely
from PIL import Image
from published import home_of

from satimnet.builder import build
from satimnet.builder.samples import Problem, Sample
from satimnet.builder.sources import Source
from stactools.dota import create_collection, create_item, dataset
from stactools.dota.miniature import write_miniature

REAL = Path(__file__).parents[3] / "shared" / "data" / "dota"
SHIP = "10 10 30 10 30 20 10 20 ship 0\n"


@pytest.fixture(scope="module")
def miniature(tmp_path_factory) -> list[Path]:
    return write_miniature(tmp_path_factory.mktemp("dota"))


@pytest.fixture(scope="session")
def real_dota() -> Path:
    if not REAL.is_dir():
        pytest.skip("needs the real samples in ../shared/data/dota")
    return REAL


def scan(*paths: Path) -> tuple[dict[str, Sample], list[Problem]]:
    found = list(dataset.scan(Source(paths)))
    samples = {item.id: item for item in found if isinstance(item, Sample)}
    problems = [item for item in found if isinstance(item, Problem)]
    assert len(samples) + len(problems) == len(found)
    return samples, problems


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def scan_label(folder: Path, text: str | bytes) -> tuple[Sample, list[Problem]]:
    """The one training sample whose label has this content."""
    files = {"train/images/P0000.png": b"", "train/labelTxt/P0000.txt": text}
    samples, problems = scan(write(folder, files))
    return samples["P0000"], problems


def items_of(catalog: Path) -> dict[str, tuple[dict, dict[str, bytes]]]:
    """Ids to Items and the bytes of their assets."""
    found = {}
    for file in home_of(catalog, "dota").glob("*/P*.json"):
        item = json.loads(file.read_bytes())
        files = {}
        for key, asset in item["assets"].items():
            first, last = asset["archive"][0]["range"]
            files[key] = (file.parent / asset["href"]).read_bytes()[first : last + 1]
        found[item["id"]] = item, files
    return found


def pixels_of(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def require_mask(mask: np.ndarray, label: str) -> None:
    """The mask is what shapely draws from the label file: every pixel whose centre tells.

    A centre that lies exactly on an outline may fall to either side; with corners in whole pixels
    the middles of many edges do.
    """
    values = {row["name"]: row["value"] for row in dataset.record["classes"]}
    words = [line.split() for line in label.splitlines() if len(line.split()) >= 9]
    corners = np.array([line[:8] for line in words], dtype=float).reshape(-1, 4, 2)
    boxes = shapely.polygons(corners)
    drawn, tied = np.zeros(mask.shape, np.uint8), np.zeros(mask.shape, bool)
    for at in np.argsort(-shapely.area(boxes), kind="stable"):
        if words[at][8] not in values:
            continue
        left, top = np.maximum(np.floor(corners[at].min(0)).astype(int), 0)
        right, bottom = np.maximum(np.ceil(corners[at].max(0)).astype(int), 0)
        window = np.s_[top:bottom, left:right]
        y, x = np.mgrid[window][:, : mask.shape[0] - top, : mask.shape[1] - left] + 0.5
        inside = shapely.contains_xy(boxes[at], x, y)
        drawn[window][inside] = values[words[at][8]]
        tied[window] |= shapely.intersects_xy(boxes[at], x, y) & ~inside
    assert np.array_equal(mask[~tied], drawn[~tied])
    assert tied.mean() < 0.01


def counts(sample: Sample) -> Counter[str]:
    return Counter(item.name for item in sample.objects or ())


# --- the miniature ------------------------------------------------------------------------------


def test_the_miniature_has_every_scene_once(miniature):
    samples, _ = scan(*miniature)
    assert sorted(samples) == [f"P{number:04d}" for number in range(10)]
    by_split = Counter(sample.split for sample in samples.values())
    assert by_split == {"train": 6, "validation": 2, "test": 2}
    for sample in samples.values():
        assert sample.level == (sample.split,)
        labelled = sample.split != "test"
        assert [m.asset for m in sample.members] == ["image", "labels"][: 1 + labelled]
        assert (sample.objects is not None) == labelled
    paths = [m.path for sample in samples.values() for m in sample.members]
    assert len(set(paths)) == len(paths)


def test_the_oddities_of_the_miniature(miniature):
    samples, problems = scan(*miniature)
    assert counts(samples["P0000"]) == {"ship": 6, "harbor": 1}
    assert counts(samples["P0001"]) == {"plane": 5}  # without the wind turbine
    assert counts(samples["P0003"])["container-crane"] == 3
    assert samples["P0009"].objects == ()
    assert samples["P0000"].properties == {
        "dota:image_source": "GoogleEarth",
        "dota:label_version": "1.0",
        "gsd": 0.25,
    }
    assert samples["P0003"].properties["dota:label_version"] == "1.5"
    assert samples["P0004"].properties == {"dota:label_version": "1.0"}
    assert not any(item.properties for item in samples["P0004"].objects or ())
    assert samples["P0005"].properties == {"dota:image_source": "GF", "dota:label_version": "1.0"}
    assert sorted((Path(p.path).name, p.kind) for p in problems) == [
        ("DOTA-v1.5_train.zip", "foreign"),
        ("Train_Task2_gt.zip", "foreign"),
        ("labelTxt.zip!P0001.txt", "incomplete"),
        ("labelTxt.zip!P0999.txt", "incomplete"),
    ]


def test_the_same_seed_gives_the_same_files(miniature, tmp_path):
    again = write_miniature(tmp_path)
    for first, second in zip(miniature, again, strict=True):
        files = sorted(p.relative_to(first) for p in first.rglob("*") if p.is_file())
        assert files == sorted(p.relative_to(second) for p in second.rglob("*") if p.is_file())
        assert all((first / name).read_bytes() == (second / name).read_bytes() for name in files)


# --- the layout ---------------------------------------------------------------------------------


def test_images_and_labels_pair_by_the_folder_of_their_split(tmp_path):
    ship, plane = SHIP, SHIP.replace("ship", "plane")
    samples, problems = scan(
        write(
            tmp_path,
            {
                "a/train/images/P0001.png": b"",
                "a/train/labelTxt/P0002.txt": plane,
                "a/val/labelTxt/P0001.txt": plane,
                "b/train/images/P0002.png": b"",
                "b/train/labelTxt/P0002.txt": ship,
            },
        )
    )
    assert counts(samples["P0002"]) == {"ship": 1}
    assert samples["P0001"].objects is None
    assert {(p.path.removeprefix(str(tmp_path)), p.reason) for p in problems} == {
        ("/a/train/images/P0001.png", "image without a label"),
        ("/a/train/labelTxt/P0002.txt", "label without an image"),
        ("/a/val/labelTxt/P0001.txt", "label without an image"),
    }
    assert {p.kind for p in problems} == {"incomplete"}


def test_the_first_of_two_images_of_one_name_is_taken(tmp_path):
    files = {
        "train/images/1/P0001.png": b"1",
        "train/images/P0001.png": b"2",
        "train/labelTxt/P0001.txt": SHIP,
        "val/images/P0001.png": b"3",
        "val/labelTxt/P0001.txt": SHIP,
    }
    samples, problems = scan(write(tmp_path, files))
    assert list(samples) == ["P0001"]
    assert samples["P0001"].members[0].entry.label == str(tmp_path / "train/images/1/P0001.png")
    assert {(p.path, p.kind) for p in problems} == {
        (str(tmp_path / "train/images/P0001.png"), "foreign"),
        (str(tmp_path / "val/images/P0001.png"), "foreign"),
    }
    assert all("a second copy" in p.reason for p in problems)


@pytest.mark.parametrize(
    ("folders", "version"),
    [
        (["labelTxt", "labelTxt-v1.5"], None),
        (["labelTxt-v1.0/labelTxt", "labelTxt-v1.5/DOTA-v1.5_train"], "1.0"),
        (["labelTxt-v1.5/DOTA-v1.5_train", "labelTxt-v2.0/DOTA-v2.0_train"], "1.5"),
        (["labelTxt-v2.0/DOTA-v2.0_train"], "2.0"),
    ],
)
def test_the_oldest_edition_of_a_label_is_taken(tmp_path, folders, version):
    kinds = ["ship", "plane"]
    files: dict[str, str | bytes] = {"train/images/P0001.png": b""}
    for folder, kind in zip(folders, kinds, strict=False):
        files[f"train/{folder}/P0001.txt"] = SHIP.replace("ship", kind)
    samples, problems = scan(write(tmp_path, files))
    assert counts(samples["P0001"]) == {"ship": 1}
    assert samples["P0001"].properties.get("dota:label_version") == version
    assert [p.kind for p in problems] == ["foreign"] * (len(folders) - 1)


@pytest.mark.parametrize(
    "folder",
    [
        "labelTxt-v1.5/DOTA-v1.5_train_hbb",
        "labelTxt-v2.0_hbb",
        "labelTxt-v1.0/Train_Task2_gt/trainset_reclabelTxt",
        "labelTxt-v1.0/trainset_reclabelTxt",
    ],
)
def test_upright_boxes_are_never_taken(tmp_path, folder):
    files = {"train/images/P0001.png": b"", f"train/{folder}/P0001.txt": SHIP}
    samples, problems = scan(write(tmp_path, files))
    assert samples["P0001"].objects is None
    assert sorted((p.kind, "upright" in p.reason) for p in problems) == [
        ("foreign", True),
        ("incomplete", False),
    ]


def test_what_is_not_of_the_layout_is_no_sample(tmp_path):
    files = {
        "train/images/P0001.jpg": b"",
        "train/images/P 1.png": b"",
        "train/overview.png": b"",
        "train/meta/P0001.txt": "gsd:1",
        "images/P0001.png": b"",
        "README.txt": "read me",
        "labels/P0002.txt": SHIP,
    }
    samples, problems = scan(write(tmp_path, files))
    assert not samples
    assert {(Path(p.path).name, p.kind) for p in problems} == {
        ("meta", "foreign"),
        ("labels", "foreign"),
    }


def test_a_whole_copy_in_one_archive(miniature, tmp_path):
    with zipfile.ZipFile(tmp_path / "copy.zip", "w") as archive:
        for name in ("P0008", "P0009"):
            for folder, ending in (("images", "png"), ("labelTxt", "txt")):
                path = f"val/{folder}/{name}.{ending}"
                archive.write(miniature[0] / path, f"some/where/{path}")
    samples, problems = scan(tmp_path)
    assert sorted(samples) == ["P0008", "P0009"]
    assert not problems


def test_recognised_by_its_layout(miniature):
    entries = [entry.path for path in miniature for entry in Source((path,)).entries()]
    recognised = [path for path in entries if dataset.recognises(path)]
    assert len(recognised) == len(entries)
    assert not dataset.recognises("AerialImageDataset/train/images/austin1.tif")
    assert not dataset.recognises("train/images/0001.png")


# --- label files --------------------------------------------------------------------------------


def test_a_label_with_everything(tmp_path):
    text = (
        "\ufeffimagesource:GF-2\r\ngsd:0.5\r\n\r\n"
        "1.5 2 3.25 2 3.25 4. 1.5 4 ship 1\r\n-3 0 5 0 5 2 -3 2 airport 2\r\n"
    )
    sample, problems = scan_label(tmp_path, text)
    assert not problems
    assert sample.properties == {"dota:image_source": "GF-2", "gsd": 0.5}
    ship, airport = sample.objects or ()
    assert (ship.name, ship.properties) == ("ship", {"difficult": 1})
    assert ship.outline == ((1.5, 2), (3.25, 2), (3.25, 4), (1.5, 4))
    assert airport.outline[0] == (-3, 0)


@pytest.mark.parametrize("text", ["", "\r\n", "imagesource:GoogleEarth\ngsd:0.2\n"])
def test_a_label_without_objects_says_that_there_are_none(tmp_path, text):
    sample, problems = scan_label(tmp_path, text)
    assert sample.objects == ()
    assert not problems


@pytest.mark.parametrize(
    "value", ["", "null", "None", "nan", "-1", "0", "1e400", "0.00000134", "x"]
)
def test_a_gsd_that_is_none_is_left_out(tmp_path, value):
    sample, problems = scan_label(tmp_path, f"imagesource:null\ngsd:{value}\n{SHIP}")
    assert sample.properties == {}
    assert counts(sample) == {"ship": 1}
    assert not problems


@pytest.mark.parametrize(
    "line",
    [
        "1 2 3 4 5 6 7 ship 0",
        "1 2 3 4 5 6 7 8",
        "1 2 3 4 5 6 7 nan ship 0",
        "1 2 3 4 5 6 7 inf ship 0",
        "1 2 3 4 5 6 7 1e9 ship 0",
        "1 2 3 4 5 6 7 99999999999999999999 ship 0",
        "1 2 3 4 5 6 7 x ship 0",
        "<html>not found</html>",
        "\0" * 500,
    ],
)
def test_a_line_that_is_no_object_is_left_out_alone(tmp_path, line):
    sample, problems = scan_label(tmp_path, f"{SHIP}{line}\n{SHIP}")
    assert counts(sample) == {"ship": 2}
    assert [m.asset for m in sample.members] == ["image", "labels"]
    (problem,) = problems
    assert problem.kind == "incomplete"
    assert problem.path.endswith("P0000.txt")
    assert "1, first line 2" in problem.reason


@pytest.mark.parametrize(
    "line",
    [
        "0.0 7.1e-15 30 0 30 30 0 30 ship 0",
        "1 2 3 4 5 6 7 8 ship 0 and more",
        "1 2 3 4 5 6 7 8 ship yes",
        "1 2 3 4 5 6 7 8 ship",
        "  1\t2  3 4 5 6 7 8 ship 1  ",
        "+1. .2 3E0 4 5 6 7 -8 ship 1\r",
    ],
)
def test_lines_that_the_publisher_s_tools_take_are_objects(tmp_path, line):
    sample, problems = scan_label(tmp_path, f"\ufeff{SHIP}{line}\n{SHIP}")
    assert counts(sample) == {"ship": 3}
    assert not problems


@pytest.mark.parametrize("line", ["acquisition dates:2016-05-04", "Comment: a b c d e f g h i j"])
def test_other_header_lines_are_passed_over(tmp_path, line):
    sample, problems = scan_label(tmp_path, f"imagesource:GF\n{line}\ngsd:0.5\n{SHIP}")
    assert counts(sample) == {"ship": 1}
    assert sample.properties == {"dota:image_source": "GF", "gsd": 0.5}
    assert not problems


def test_an_image_of_two_splits_has_none(tmp_path):
    label = {f"{split}/labelTxt/P0000.txt": SHIP for split in ("train", "val")}
    images = {f"{split}/images/P0000.png": b"" for split in ("train", "val")}
    samples, (problem,) = scan(write(tmp_path, label | images))
    assert samples["P0000"].split is None
    assert counts(samples["P0000"]) == {"ship": 1}
    assert "gets no split" in problem.reason


@pytest.mark.parametrize("data", [b"\xff\xfe1 2", b"\x89PNG\r\n", b"x" * (2**24 + 1), b"<p>no</p>"])
def test_a_label_that_is_no_text_breaks_the_label_only(tmp_path, data):
    sample, problems = scan_label(tmp_path, data)
    assert sample.objects is None
    assert [p.kind for p in problems] == ["broken"]


def test_unknown_classes_are_counted_in_one_problem(tmp_path):
    text = SHIP + SHIP.replace("ship", "yacht") * 2 + SHIP.replace("ship", "background")
    sample, problems = scan_label(tmp_path, text)
    assert counts(sample) == {"ship": 1}
    (problem,) = problems
    assert problem.kind == "incomplete"
    assert "2 of 'yacht'" in problem.reason
    assert "1 of 'background'" in problem.reason


def test_spoilt_labels_never_raise(tmp_path):
    rng = random.Random(0)
    text = f"imagesource:GF\r\ngsd:1\r\n{SHIP * 5}".encode()
    for _ in range(200):
        spoilt = bytearray(text)
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(spoilt))
            spoilt[at : at + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 3))
        sample, problems = scan_label(tmp_path, bytes(spoilt))
        assert (sample.objects is None) == any(p.kind == "broken" for p in problems)


# --- what is built ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(miniature, tmp_path_factory) -> dict[str, tuple[dict, dict[str, bytes]]]:
    out = tmp_path_factory.mktemp("dota-built") / "catalog"
    build(miniature, out, overview=False)
    return items_of(out)


def test_scenes_and_labels_keep_the_publishers_bytes(miniature, built):
    samples, _ = scan(*miniature)
    source = Source(tuple(miniature))
    assert sorted(built) == sorted(samples)
    for name, (item, files) in built.items():
        assert item["geometry"] is None
        for member in samples[name].members:
            assert files[member.asset] == source.read(member.entry)
        drawn = {"mask", "annotation"} if samples[name].objects is not None else set()
        assert set(files) == drawn | {member.asset for member in samples[name].members}


def test_masks_are_what_the_labels_say(built):
    shown = set()
    for item, files in built.values():
        if "mask" in files:
            mask = pixels_of(files["mask"])
            assert mask.shape == pixels_of(files["image"]).shape[:2]
            require_mask(mask, files["labels"].decode())
            shown |= set(np.unique(mask).tolist())
            rows = item["properties"].get("satimnet:statistics", [])
            pixels = {row["class"]: row["pixels"] for row in rows}
            values = {row["name"]: row["value"] for row in dataset.record["classes"]}
            assert pixels == {n: int((mask == values[n]).sum()) for n in pixels}
    assert len(shown) == 12  # background and eleven classes


def test_items_say_what_annotators_found(built):
    def said(name: str) -> dict:
        return built[name][0]["properties"]

    assert said("P0000")["satimnet:classes"] == ["ship", "harbor"]
    assert said("P0000")["gsd"] == 0.25
    assert said("P0009")["satimnet:classes"] == []  # looked, and found none
    assert "satimnet:classes" not in said("P0006")  # nobody knows
    assert said("P0003")["dota:label_version"] == "1.5"
    bands = [len(built[name][0]["assets"]["image"]["bands"]) for name in ("P0000", "P0005")]
    assert bands == [3, 1]


def test_the_annotation_has_every_object(miniature, built):
    samples, _ = scan(*miniature)
    for name, (_, files) in built.items():
        if "annotation" not in files:
            continue
        features = json.loads(files["annotation"])["features"]
        assert len(features) == len(samples[name].objects)
        for feature, item in zip(features, samples[name].objects, strict=True):
            assert feature["properties"] == {"class": item.name, **item.properties}
            ring = feature["geometry"]["coordinates"][0]
            assert {tuple(point) for point in ring} == set(item.outline)


def test_the_functions_of_stactools(miniature):
    assert create_collection().id == "dota"
    val = miniature[0] / "val"
    item = create_item(str(val / "images" / "P0008.png"), str(val / "labelTxt" / "P0008.txt"))
    assert item.id == "P0008"
    assert item.properties["satimnet:classes"] == ["ship", "bridge"]


# --- the real samples ---------------------------------------------------------------------------


@pytest.mark.real
def test_real_objects_are_those_of_the_label_files(real_dota):
    samples, problems = scan(real_dota)
    assert sorted(samples) == ["P0706", "P0770", "P1088", "P1234", "P1888", "P2598"]
    for name, sample in samples.items():
        (file,) = real_dota.glob(f"**/train/labelTxt-v1.0/labelTxt/{name}.txt")
        lines = [line.split() for line in file.read_text().splitlines()[2:]]
        assert counts(sample) == Counter(words[8] for words in lines)
        assert [item.properties["difficult"] for item in sample.objects or ()] == [
            int(words[9]) for words in lines
        ]
    assert counts(samples["P0706"]) == {"ship": 531, "harbor": 5}
    assert samples["P1234"].properties["dota:image_source"] == "GF"
    (problem,) = problems
    assert Path(problem.path).name == "labels_without_image"
    assert problem.reason.endswith(": 5")


@pytest.mark.real
def test_a_real_label_without_header_lines(real_dota, tmp_path):
    text = (real_dota / "labels_without_image" / "P0032.txt").read_bytes()
    sample, problems = scan_label(tmp_path, text)
    assert not problems
    assert len(sample.objects or ()) == 56
    assert sum(item.properties["difficult"] for item in sample.objects or ()) == 37
    assert sample.properties == {}


@pytest.mark.real
def test_real_masks_equal_an_independent_drawing(real_dota, tmp_path):
    build([real_dota], tmp_path / "catalog")
    built = items_of(tmp_path / "catalog")
    assert len(built) == 6
    for name, (item, files) in built.items():
        (file,) = real_dota.glob(f"**/train/labelTxt-v1.0/labelTxt/{name}.txt")
        assert files["labels"] == file.read_bytes()
        mask = pixels_of(files["mask"])
        assert mask.shape == pixels_of(files["image"]).shape[:2]
        require_mask(mask, file.read_text())
        said = {row["class"]: row["count"] for row in item["properties"]["satimnet:statistics"]}
        assert said == Counter(line.split()[8] for line in file.read_text().splitlines()[2:])
