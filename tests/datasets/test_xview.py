"""xView: one label file for all images, read feature by feature, and how it can be spoilt."""

import io
import json
import random
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import rasterio
from published import home_of

from satimnet.builder import build
from satimnet.builder.errors import BadFileError
from satimnet.builder.samples import Problem, Sample
from satimnet.builder.sources import Source
from stactools.xview import create_collection, create_item, dataset
from stactools.xview.features import read_features
from stactools.xview.miniature import write_miniature

REAL = Path(__file__).parents[3] / "shared" / "data" / "xview"
VALUES = {row["name"]: row["value"] for row in dataset.record["classes"]}


@pytest.fixture(scope="module")
def miniature(tmp_path_factory) -> Path:
    (folder,) = write_miniature(tmp_path_factory.mktemp("xview"))
    return folder


@pytest.fixture(scope="session")
def real_xview() -> Path:
    if not REAL.is_dir():
        pytest.skip("needs the real samples in ../shared/data/xview")
    return REAL


def scan(*paths: Path) -> tuple[dict[str, Sample], list[Problem]]:
    found = list(dataset.scan(Source(paths)))
    samples = {item.id: item for item in found if isinstance(item, Sample)}
    problems = [item for item in found if isinstance(item, Problem)]
    assert len(samples) + len(problems) == len(found)
    return samples, problems


def scan_labels(folder: Path, text: str | bytes) -> tuple[Sample, list[Problem]]:
    """The one training image whose label file has this content."""
    (folder / "train_images").mkdir(exist_ok=True)
    (folder / "train_images" / "5.tif").touch()
    data = text if isinstance(text, bytes) else text.encode()
    (folder / "xView_train.geojson").write_bytes(data)
    samples, problems = scan(folder)
    return samples["5"], problems


def feature(**properties: object) -> dict:
    known = {"bounds_imcoords": "1,2,5,8", "type_id": 73, "image_id": "5.tif", "feature_id": 1}
    return {"type": "Feature", "properties": known | properties, "geometry": None}


def collection(*features: object) -> str:
    return json.dumps({"type": "FeatureCollection", "features": features})


def counts(sample: Sample) -> Counter[str]:
    return Counter(item.name for item in sample.objects or ())


# --- the miniature ------------------------------------------------------------------------------


def test_the_miniature_has_every_image_once(miniature):
    samples, problems = scan(miniature)
    assert list(samples) == ["10", "104", "2355", "27"]
    assert [s.split for s in samples.values()] == ["train", "train", "train", "validation"]
    assert all(sample.level == (sample.split,) for sample in samples.values())
    assert counts(samples["104"])["container-ship"] == 1
    assert counts(samples["2355"])["storage-tank"] == 6
    assert samples["27"].objects is None
    assert [m.asset for m in samples["27"].members] == ["image", "multispectral"]
    assert [m.asset for m in samples["104"].members] == ["image", "labels"]
    assert [(p.kind, p.reason) for p in problems] == [
        ("incomplete", "features whose image is not here: 1 (of '1395.tif')"),
        (
            "incomplete",
            "objects left out: 1 of type_id 75, which has no name, "
            "1 of type_id 82, which has no name, 1 without a box",
        ),
    ]


def test_images_take_their_features_along_in_the_publishers_bytes(miniature):
    samples, _ = scan(miniature)
    text = (miniature / "xView_train.geojson").read_bytes()
    whole = json.loads(text)["features"]
    for name in ("10", "104", "2355"):
        cut = samples[name].members[-1].entry
        assert isinstance(cut, bytes)
        own = [f for f in whole if f["properties"]["image_id"] == f"{name}.tif"]
        assert json.loads(cut) == {"type": "FeatureCollection", "features": own}
        assert all(line.removesuffix(b",") in text for line in cut.splitlines()[1:-1])
    assert len(samples["104"].objects or ()) == len(own_of(samples["104"])) - 2


def own_of(sample: Sample) -> list[dict]:
    return json.loads(sample.members[-1].entry)["features"]


def test_boxes_are_half_open(miniature):
    samples, _ = scan(miniature)
    for item, said in zip(samples["10"].objects, own_of(samples["10"]), strict=False):
        left, top, right, bottom = map(int, said["properties"]["bounds_imcoords"].split(","))
        assert item.outline == ((left, top), (right, top), (right, bottom), (left, bottom))
        assert VALUES[item.name] == said["properties"]["type_id"]
        assert item.properties == {"feature_id": said["properties"]["feature_id"]}


def test_the_same_seed_gives_the_same_files(miniature, tmp_path):
    write_miniature(tmp_path)
    files = sorted(p.relative_to(miniature) for p in miniature.rglob("*") if p.is_file())
    assert len(files) == 7
    assert all((miniature / p).read_bytes() == (tmp_path / p).read_bytes() for p in files)


def test_the_class_table_is_the_publishers():
    assert sorted(VALUES.values())[0] == 0
    assert len(VALUES) == 61
    assert VALUES["truck-tractor-with-flatbed-trailer"] == 28
    assert not {75, 82} & set(VALUES.values())


# --- the layout ---------------------------------------------------------------------------------


def test_archives_as_downloaded(miniature, tmp_path):
    for name in ("train_images", "val_images"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            for file in (miniature / name).glob("*.tif"):
                archive.write(file, f"{name}/{file.name}")
                archive.writestr(f"{name}/._{file.name}", b"left by a Mac")
    with zipfile.ZipFile(tmp_path / "train_labels.zip", "w") as archive:
        archive.write(miniature / "xView_train.geojson", "xView_train.geojson")
    samples, problems = scan(tmp_path)
    expected, _ = scan(miniature)
    assert {n: s.objects for n, s in samples.items()} == {n: s.objects for n, s in expected.items()}
    assert len(problems) == 2


def test_second_copies_are_left_out(miniature, tmp_path):
    shutil.copytree(miniature, tmp_path / "a")
    shutil.copytree(miniature, tmp_path / "b")
    samples, problems = scan(tmp_path)
    assert len(samples) == 4
    copies = [p for p in problems if p.kind == "foreign"]
    assert len(copies) == 7
    assert all("a second copy" in p.reason and "/b/" in p.path for p in copies)


def test_images_without_the_label_file(miniature, tmp_path):
    shutil.copytree(miniature, tmp_path / "x")
    (tmp_path / "x" / "xView_train.geojson").unlink()
    samples, problems = scan(tmp_path / "x")
    assert len(samples) == 4
    assert all(sample.objects is None for sample in samples.values())
    assert [(p.kind, p.reason) for p in problems] == [
        ("incomplete", "training images without xView_train.geojson: 3")
    ]


def test_an_image_that_no_feature_names(tmp_path):
    sample, problems = scan_labels(tmp_path, collection(feature(image_id="6.tif")))
    assert sample.objects is None
    assert [p.kind for p in problems] == ["incomplete", "incomplete"]


def test_a_validation_image_takes_no_features(miniature, tmp_path):
    (tmp_path / "val_images").mkdir()
    (tmp_path / "val_images" / "5.tif").touch()
    (tmp_path / "xView_train.geojson").write_text(collection(feature()))
    samples, problems = scan(tmp_path)
    assert samples["5"].objects is None
    assert "not here" in problems[0].reason


def test_recognised_by_its_layout(miniature):
    entries = [entry.path for entry in Source((miniature,)).entries()]
    assert all(map(dataset.recognises, entries))
    assert not dataset.recognises("train/images/austin1.tif")
    assert not dataset.recognises("train_images/notes.tif")


# --- the edition of 8 bands ----------------------------------------------------------------------


def moved(miniature: Path, to: Path, where: str) -> Path:
    """A copy of the source whose 8-band image of scene 10 lies somewhere else."""
    shutil.copytree(miniature, to)
    shutil.rmtree(to / "val_images_8band")
    target = to / where
    target.parent.mkdir(parents=True, exist_ok=True)
    (to / "train_images_8band/10.tif").rename(target)
    return to


@pytest.mark.parametrize(
    "where",
    [
        "train_images_ms/10.tif",
        "train_images-8-band/10.tif",
        "8band/train_images/10.tif",
        "xView_multispectral/train_images/10.tif",
        "train_images_multi_spectral/train_images/10.tif",
        "train_images/10_ms.tif",
        "train_images/10_8band.TIF",
    ],
)
def test_the_8_bands_are_known_by_folder_or_name(miniature, tmp_path, where):
    source = moved(miniature, tmp_path / "x", where)
    samples, problems = scan(source)
    assert [m.asset for m in samples["10"].members] == ["image", "multispectral", "labels"]
    assert samples["10"].objects == scan(miniature)[0]["10"].objects
    assert len(problems) == 2
    entries = [entry.path for entry in Source((source,)).entries()]
    assert all(map(dataset.recognises, entries))


def test_a_folder_around_the_source_marks_nothing(miniature, tmp_path):
    shutil.copytree(miniature / "train_images", tmp_path / "ms" / "train_images")
    samples, _ = scan(tmp_path)
    assert {m.asset for s in samples.values() for m in s.members} == {"image"}
    item = create_item(str(tmp_path / "ms" / "train_images" / "10.tif"))
    assert "image" in item.assets


def test_8_bands_alone_have_no_boxes(miniature, tmp_path):
    source = moved(miniature, tmp_path / "x", "train_images_ms/10.tif")
    (source / "train_images/10.tif").unlink()
    samples, problems = scan(source)
    assert [m.asset for m in samples["10"].members] == ["multispectral", "labels"]
    assert samples["10"].objects is None
    assert "without its RGB image" in problems[-1].reason
    assert problems[-1].kind == "incomplete"


def test_boxes_are_never_drawn_on_the_grid_of_the_8_bands(miniature, tmp_path):
    shutil.copytree(miniature, tmp_path / "x")
    broken = tmp_path / "x/train_images/10.tif"
    broken.write_bytes(broken.read_bytes()[:1000])
    build([tmp_path / "x"], tmp_path / "catalog", overview=False, bad_files="any")
    _, files = items_of(tmp_path / "catalog")["10"]
    assert set(files) == {"multispectral", "labels"}


def test_the_8_bands_are_built_with_their_names_and_values(miniature, built):
    item, files = built["10"]
    assert [band["name"] for band in item["assets"]["multispectral"]["bands"]] == [
        *("C", "B", "G", "Y", "R", "RE", "N", "N2")
    ]
    with (
        rasterio.open(miniature / "train_images_8band/10.tif") as source,
        rasterio.open(io.BytesIO(files["multispectral"])) as image,
    ):
        assert image.dtypes == ("uint16",) * 8
        assert np.array_equal(source.read(), image.read())
    with rasterio.open(io.BytesIO(files["mask"])) as mask:
        assert mask.shape == (400, 440)  # that of the RGB image
    assert "multispectral" not in built["104"][1]


# --- the label file -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"type_id": 75}, "1 of type_id 75"),
        ({"type_id": 0}, "1 of type_id 0"),
        ({"type_id": -(10**400)}, "1 of type_id -1"),
        ({"bounds_imcoords": []}, "1 without a box"),
        ({"bounds_imcoords": None}, "1 without a box"),
        ({"bounds_imcoords": ""}, "1 without a box"),
        ({"bounds_imcoords": "1,2,3"}, "1 without a box"),
        ({"bounds_imcoords": "1,2,1,8"}, "1 without a box"),
        ({"bounds_imcoords": "5,2,1,8"}, "1 without a box"),
        ({"bounds_imcoords": "1,2,5,1e9"}, "1 without a box"),
        ({"bounds_imcoords": "1,2,5,99999999999999"}, "1 without a box"),
        ({"bounds_imcoords": "a,b,c,d"}, "1 without a box"),
    ],
)
def test_a_value_that_says_nothing_leaves_out_its_object(tmp_path, properties, reason):
    sample, problems = scan_labels(tmp_path, collection(feature(), feature(**properties)))
    assert counts(sample) == {"building": 1}
    assert len(own_of(sample)) == 2  # what the publisher says is kept
    (problem,) = problems
    assert problem.kind == "incomplete"
    assert reason in problem.reason
    assert len(problem.reason) < 400


def test_boxes_may_leave_the_image(tmp_path):
    sample, problems = scan_labels(tmp_path, collection(feature(bounds_imcoords="-3,-4,90,70")))
    assert not problems
    assert sample.objects is not None
    assert sample.objects[0].outline[0] == (-3, -4)


WHOLE = collection(feature())
BROKEN = {
    "empty": "",
    "no JSON": "<html>",
    "truncated": WHOLE[:-2],
    "truncated in a feature": WHOLE[:90],
    "truncated in a word": '{"type": "FeatureCollection", "features": [{"a": tr',
    "more after the end": WHOLE + "{}",
    "no object": "[1, 2]",
    "empty object": "{}",
    "no features": '{"type": "FeatureCollection"}',
    "no collection": '{"type": "Topology", "features": []}',
    "features twice": WHOLE[:-1] + ', "features": []}',
    "features as object": '{"type": "FeatureCollection", "features": {}}',
    "features as number": '{"type": "FeatureCollection", "features": 1}',
    "a name that is no text": '{1: 2, "type": "FeatureCollection", "features": []}',
    "a feature as list": collection([1]),
    "no comma": WHOLE.replace('"geometry"', '{} "geometry"'),
    "no properties": collection({"type": "Feature"}),
    "properties as list": collection({"properties": []}),
    "no image": collection({"properties": {"type_id": 1, "bounds_imcoords": "1,2,3,4"}}),
    "image as number": collection(feature(image_id=5)),
    "class as text": collection(feature(type_id="73")),
    "class as truth": collection(feature(type_id=True)),
    "class as fraction": collection(feature(type_id=73.5)),
    "class beyond all numbers": WHOLE.replace("73", "1e999"),
    "class of 5000 digits": WHOLE.replace("73", "7" * 5000),
    "box as numbers": collection(feature(bounds_imcoords=[1, 2, 3, 4])),
    "NaN": WHOLE.replace("73", "NaN"),
    "Infinity": WHOLE.replace("null", "-Infinity"),
    "deep": '{"type": "FeatureCollection", "features": [' + '{"a":' * 100_000,
    "deep lists": '{"a": ' + "[" * 500_000,
    "no UTF-8": WHOLE.replace("5.tif", "5\xff").encode("latin-1"),
    "UTF-16": WHOLE.encode("utf-16"),
    "zeros": bytes(2000),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_a_label_file_that_cannot_be_read_is_an_error(tmp_path, text):
    """It labels every image, so it is not one broken file among many."""
    with pytest.raises(BadFileError, match=r"xView_train\.geojson: .*get it again") as refused:
        scan_labels(tmp_path, text)
    assert "\n" not in str(refused.value)
    assert len(refused.value.reason) < 300


ODD = {
    "an image that is null": feature(image_id=None),
    "an image as number": feature(image_id=5),
    "an image as list": feature(image_id=["5.tif"]),
    "a class as text": feature(type_id="73"),
    "a class as fraction": feature(type_id=73.0),
    "a class as truth": feature(type_id=True),
    "a box as list": feature(bounds_imcoords=[1, 2, 3, 4]),
    "a box as number": feature(bounds_imcoords=7),
    "no properties": {"type": "Feature"},
    "properties as text": {"properties": "none"},
    "null": None,
    "a list": [1],
    "a number": 3,
    "NaN": feature(cat_id=float("nan")),
    "an endless integer": feature(type_id=10**1000),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_an_odd_feature_is_left_out_alone(tmp_path, odd):
    sample, problems = scan_labels(tmp_path, collection(feature(), odd, feature(), odd))
    assert counts(sample) == {"building": 2}
    (problem,) = problems
    assert problem.kind == "incomplete"
    assert "features left out: 2 " in problem.reason


def test_bytes_that_are_no_text_cost_their_feature_only(tmp_path):
    text = collection(feature(edited_by="me"), feature(edited_by="you"), feature(edited_by="é"))
    sample, (problem,) = scan_labels(tmp_path, text.encode().replace(b'"me"', b'"m\xe9"'))
    assert counts(sample) == {"building": 2}
    assert "features left out: 1 " in problem.reason


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_boxes_may_be_written_as_fractions(tmp_path, mark):
    text = collection(feature(bounds_imcoords="1.0, 2.5,5.0,8.25"))
    sample, problems = scan_labels(tmp_path, mark + text.encode())
    assert not problems
    assert sample.objects is not None
    assert sample.objects[0].outline == ((1, 2.5), (5, 2.5), (5, 8.25), (1, 8.25))


def test_an_image_for_training_and_validation_has_no_split(tmp_path):
    for name in ("b/train_images", "a/val_images"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "5.tif").touch()
    (tmp_path / "xView_train.geojson").write_text(collection(feature()))
    samples, problems = scan(tmp_path)
    assert samples["5"].split is None
    assert counts(samples["5"]) == {"building": 1}  # the one for training was taken
    assert any("gets no split" in problem.reason for problem in problems)


def test_spoilt_bytes_are_problems_or_one_error(tmp_path):
    rng = random.Random(0)
    text = collection(*(feature(feature_id=number) for number in range(5))).encode()
    for _ in range(300):
        spoilt = bytearray(text)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(spoilt))
            spoilt[at : at + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 3))
        try:
            sample, problems = scan_labels(tmp_path, bytes(spoilt))
        except BadFileError:
            continue
        assert sample.objects is not None or problems


def test_features_across_the_windows_of_the_reader():
    filler = "x" * 700
    features = [feature(feature_id=n, edited_by=filler, grid_file="\u00e9") for n in range(4000)]
    content = {"name": "n", "features": features, "type": "FeatureCollection", "last": 12}
    data = json.dumps(content, indent=1, ensure_ascii=False).encode()
    assert len(data) > 3 * 2**20
    found = list(read_features(data))
    assert [f.content["properties"]["feature_id"] for f in found] == list(range(4000))
    assert [json.loads(data[f.start : f.end]) for f in found] == features
    with pytest.raises(ValueError, match="truncated"):
        list(read_features(data[:-2]))


# --- what is built ------------------------------------------------------------------------------


def items_of(catalog: Path) -> dict[str, tuple[dict, dict[str, bytes]]]:
    """Ids to Items and the bytes of their assets."""
    found = {}
    for file in home_of(catalog, "xview").glob("*/[0-9]*.json"):
        item = json.loads(file.read_bytes())
        files = {}
        for key, asset in item["assets"].items():
            first, last = asset["archive"][0]["range"]
            files[key] = (file.parent / asset["href"]).read_bytes()[first : last + 1]
        found[item["id"]] = item, files
    return found


@pytest.fixture(scope="module")
def built(miniature, tmp_path_factory) -> dict[str, tuple[dict, dict[str, bytes]]]:
    out = tmp_path_factory.mktemp("xview-built") / "catalog"
    build([miniature], out, overview=False)
    return items_of(out)


def test_scenes_keep_their_pixels_and_their_place(miniature, built):
    assert sorted(built) == ["10", "104", "2355", "27"]
    for name, (item, files) in built.items():
        (file,) = miniature.glob(f"*_images/{name}.tif")
        with rasterio.open(file) as source, rasterio.open(io.BytesIO(files["image"])) as image:
            assert np.array_equal(source.read(), image.read())
            assert (source.crs, source.transform) == (image.crs, image.transform)
            assert image.profile["tiled"]
        assert item["geometry"]["type"] == "Polygon"
        assert item["properties"]["gsd"] == 0.3


def test_masks_are_what_the_boxes_say(built):
    for name, (item, files) in built.items():
        if name == "27":
            assert set(files) == {"image", "multispectral"}
            continue
        with rasterio.open(io.BytesIO(files["mask"])) as mask:
            pixels, grid = mask.read(1), (mask.crs, mask.transform, mask.shape)
        with rasterio.open(io.BytesIO(files["image"])) as image:
            assert grid == (image.crs, image.transform, image.shape)
        boxes = []
        for said in json.loads(files["labels"])["features"]:
            properties = said["properties"]
            if properties["bounds_imcoords"] and properties["type_id"] in VALUES.values():
                box = tuple(map(int, properties["bounds_imcoords"].split(",")))
                boxes.append((properties["type_id"], box))
        drawn = np.zeros(pixels.shape, np.uint8)
        for value, (left, top, right, bottom) in sorted(
            boxes, key=lambda b: -(b[1][2] - b[1][0]) * (b[1][3] - b[1][1])
        ):
            drawn[top:bottom, left:right] = value
        assert np.array_equal(pixels, drawn)
        rows = item["properties"]["satimnet:statistics"]
        assert {VALUES[row["class"]]: row["count"] for row in rows} == Counter(v for v, _ in boxes)
        assert {VALUES[row["class"]]: row["pixels"] for row in rows} == {
            value: int((drawn == value).sum()) for value in np.unique(drawn).tolist() if value
        }


def test_annotations_lie_where_the_publisher_says(built):
    for name in ("10", "104", "2355"):
        files = built[name][1]
        said = {f["properties"]["feature_id"]: f for f in json.loads(files["labels"])["features"]}
        placed = json.loads(files["annotation-lonlat"])["features"]
        for item in placed:
            known = said[item["properties"]["feature_id"]]["geometry"]["coordinates"][0]
            ring = item["geometry"]["coordinates"][0]
            for pick in (min, max):
                expected = [pick(point[axis] for point in known) for axis in (0, 1)]
                found = [pick(point[axis] for point in ring) for axis in (0, 1)]
                assert found == pytest.approx(expected, abs=1e-6)
        assert len(placed) == len(json.loads(files["annotation"])["features"])


def test_the_functions_of_stactools(miniature, tmp_path):
    assert create_collection().id == "xview"
    item = create_item(str(miniature / "val_images" / "27.tif"))
    assert (item.id, item.properties["satimnet:split"]) == ("27", "validation")


# --- the real samples ---------------------------------------------------------------------------


@pytest.mark.real
def test_without_images_there_are_only_problems(real_xview):
    samples, problems = scan(real_xview)
    assert not samples
    assert [(p.kind, p.reason) for p in problems] == [
        ("incomplete", "features whose image is not here: 4 (of '2355.tif')")
    ]


@pytest.mark.real
def test_the_real_features_with_an_image_in_their_place(real_xview, tmp_path):
    text = (real_xview / "xView_train.geojson").read_bytes().replace(b"2355.tif", b"5.tif")
    sample, problems = scan_labels(tmp_path, text)
    assert not problems
    assert counts(sample) == {"building": 4}
    assert sample.objects is not None
    assert sample.objects[0].outline == ((2712, 1145), (2746, 1145), (2746, 1177), (2712, 1177))
    assert sample.objects[0].properties == {"feature_id": 374410}


@pytest.mark.real
def test_the_real_class_list_is_the_class_table(real_xview):
    lines = (real_xview / "xview_class_labels.txt").read_text().splitlines()
    listed = {
        int(number): title for number, title in (line.split(":", 1) for line in lines if line)
    }
    table = {row["value"]: row["title"] for row in dataset.record["classes"] if row["value"]}
    assert table == listed


def test_a_heap_of_boxes_over_the_whole_image_is_not_drawn(miniature, tmp_path):
    """A million boxes that each cover the image would be drawn for hours."""
    folder = shutil.copytree(miniature, tmp_path / "xview")
    heap = [feature(bounds_imcoords="-99999,-99999,99999,99999", image_id="10.tif")] * 1000
    (folder / "xView_train.geojson").write_text(collection(*heap))
    (report,) = build([folder], tmp_path / "out", bad_files="any", overview=False)
    (problem,) = report.of("broken")
    assert "objects that cover the image 10" in problem.reason
    assert report.items == 4


def test_more_features_than_anybody_has(tmp_path, monkeypatch):
    monkeypatch.setattr("stactools.xview.source._MAX_FEATURES", 3)
    others = [feature(image_id="6.tif")] * 5
    sample, _ = scan_labels(tmp_path, collection(*others, *[feature()] * 3))
    assert counts(sample) == {"building": 3}
    with pytest.raises(BadFileError, match="more than 3 features"):
        scan_labels(tmp_path, collection(*[feature()] * 4))
