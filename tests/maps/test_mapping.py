"""Maps of scenes: against the whole scene at once, as files, as STAC, and of bad input."""

import errno
import json
import re
import shutil
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest
import rasterio
import torch
from click.testing import CliRunner
from mini_scene import (
    BANDS,
    LAND_COVER,
    MASK,
    MEAN,
    OUTPUTS,
    SENSED,
    STD,
    texture,
    trained,
    write_scene,
)
from rasterio import Affine
from rasterio.enums import ColorInterp
from referencing import Registry, Resource
from rio_cogeo.cogeo import cog_validate
from torch import nn
from torch.nn import functional as F

from satimnet.builder.catalog.schemas import Schemas
from satimnet.builder.errors import SatimnetError, StorageError
from satimnet.builder.imagery.scenes import open_scene, reading
from satimnet.cli.map_command import map_command
from satimnet.training.maps import cogs
from satimnet.training.maps.legends import legend_of
from satimnet.training.maps.mapping import map_scene
from satimnet.training.networks.checkpoints import load, normalised
from satimnet.training.networks.outputs import Class, Output

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Narrow networks that tell the scene's pixels apart, by kind."""
    folder = tmp_path_factory.mktemp("checkpoints")
    files = {}
    for kind, outputs in OUTPUTS.items():
        files[kind] = folder / f"{kind}.pt"
        trained(kind, outputs).save(files[kind])
    return files


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A scene of awkward size, two strips and a bit high, with a corner that nobody saw."""
    image = texture(531, 205)
    image[:, :70, :90] = 0
    image[0, 300, 100] = 0  # dark in one band only: that is an observation
    return write_scene(tmp_path_factory.mktemp("scene") / "T32TQM.tif", image)


def pixels(path):
    with rasterio.open(path) as image:
        return image.read()


def whole(file, image, valid):
    """What the network says of the whole image at once, two pixels mirrored at its edges."""
    network = load(file)
    filled = np.where(valid, image.astype(np.float32), np.array(MEAN)[:, None, None])
    padded = F.pad(torch.from_numpy(filled[None]).float(), (2, 2, 2, 2), mode="reflect")
    return padded, [logits[0].argmax(0).numpy() for logits in network.logits(padded)]


@pytest.mark.parametrize("kind", ["cnn-segm", "cnn-dual"])
def test_dense_maps_are_those_of_the_whole_scene_at_once(kind, checkpoints, scene, tmp_path):
    maps = map_scene(str(scene), checkpoints[kind], tmp_path, picture=False)
    image = pixels(scene)
    valid = image.any(axis=0)
    padded, expected = whole(checkpoints[kind], image, valid)
    assert [file.name for file in maps.images] == [
        f"T32TQM_{kind}_{output.name}.tif" for output in OUTPUTS[kind]
    ]
    for file, indices in zip(maps.images, expected, strict=True):
        (labels,) = pixels(file)
        assert len(np.unique(labels)) > 2
        assert (labels == np.where(valid, indices + 1, 0)).all()

    model = load(checkpoints[kind]).model.eval()
    for y, x in ((0, 100), (530, 0), (255, 127), (256, 128), (530, 204), (300, 100)):
        window = normalised(padded[:, :, y : y + 5, x : x + 5], MEAN, STD)
        with torch.inference_mode():
            found = model(window)
        found = found if isinstance(found, tuple) else (found,)
        for file, logits in zip(maps.images, found, strict=True):
            assert pixels(file)[0, y, x] == logits[0].argmax().item() + 1


def patch_map(file, image, valid):
    """CNN-class patch by patch; the last ones moved back into the image."""
    network = load(file)
    filled = np.where(valid, image.astype(np.float32), np.array(MEAN)[:, None, None])
    rows, columns = valid.shape
    out = np.zeros(valid.shape, np.uint8)
    for y in range(0, rows, 64):
        for x in range(0, columns, 64):
            top, left = min(y, rows - 64), min(x, columns - 64)
            patch = filled[None, :, top : top + 64, left : left + 64].astype(np.float32)
            (logits,) = network.logits(torch.from_numpy(patch))
            out[y : y + 64, x : x + 64] = logits.argmax().item() + 1
    return np.where(valid, out, 0)


def test_patches_have_one_class_each(checkpoints, scene, tmp_path):
    maps = map_scene(str(scene), checkpoints["cnn-class"], tmp_path, picture=False)
    image = pixels(scene)
    expected = patch_map(checkpoints["cnn-class"], image, image.any(axis=0))
    (labels,) = pixels(maps.images[0])
    assert len(np.unique(labels)) > 3
    assert (labels == expected).all()


def test_segmentation_within_patches_of_water_and_built_up(checkpoints, scene, tmp_path):
    maps = map_scene(
        str(scene),
        checkpoints["cnn-segm"],
        tmp_path,
        within=checkpoints["cnn-class"],
        sensed=SENSED,
    )
    image = pixels(scene)
    valid = image.any(axis=0)
    patches = patch_map(checkpoints["cnn-class"], image, valid)
    inside = np.isin(patches, [5, 8, 9, 10])  # Industrial, Residential, River, SeaLake
    assert inside.any()
    assert (valid & ~inside).any()
    _, (dense,) = whole(checkpoints["cnn-segm"], image, valid)
    (labels,) = pixels(maps.images[0])
    assert (labels == np.where(valid, np.where(inside, dense + 1, 3), 0)).all()
    item = json.loads(maps.item.read_text())
    assert {link["href"] for link in item["links"][:2]} == {f"./{f.name}" for f in maps.models}


def test_maps_are_cogs_with_place_colours_and_names(checkpoints, scene, tmp_path):
    maps = map_scene(str(scene), checkpoints["cnn-dual"], tmp_path)
    for file in maps.images:
        assert cog_validate(file, strict=True) == (True, [], [])
    with rasterio.open(maps.images[0]) as image, rasterio.open(scene) as source:
        assert (image.crs, image.transform, image.shape) == (
            source.crs,
            source.transform,
            (531, 205),
        )
        assert (image.dtypes, image.nodata) == (("uint8",), 0)
        assert image.colorinterp == (ColorInterp.palette,)
        colours = image.colormap(1)
        assert colours[0] == (0, 0, 0, 0)
        assert colours[10] == (0x08, 0x51, 0x9C, 255)
        assert len({colours[value] for value in range(11)}) == 11  # Highway has one too
    names = ElementTree.parse(f"{maps.images[0]}.aux.xml").iter("Category")
    assert [node.text for node in names] == ["No data", *LAND_COVER.names]
    assert maps.picture.read_bytes().startswith(b"\x89PNG")
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


def test_values_are_those_of_the_class_table():
    legend = legend_of(Output("mask", (Class(0, "no building"), Class(200, "building", "102030"))))
    assert legend.values.tolist() == [0, 200]
    assert legend.nodata == 255
    assert [row["name"] for row in legend.classes] == ["no-building", "building", "nodata"]
    assert legend.classes[1]["color_hint"] == "102030"
    twice = legend_of(Output("class", (Class(1, "a"), Class(1, "b"), Class(300, "c"))))
    assert (twice.values.tolist(), twice.nodata) == ([1, 2, 3], 0)
    with pytest.raises(SatimnetError, match="256 classes"):
        legend_of(Output("class", tuple(Class(k, str(k)) for k in range(256))))


# --- STAC ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(OUTPUTS))
def test_items_are_valid(kind, checkpoints, scene, tmp_path, schemas):
    maps = map_scene(str(scene), checkpoints[kind], tmp_path / "out", sensed=SENSED)
    item = json.loads(maps.item.read_text())
    known = Schemas(schemas)
    assert known.problem(item) is None
    assert not known.unavailable
    assert item["properties"]["datetime"] == SENSED
    assert item["properties"]["proj:code"] == "EPSG:32632"
    for asset in item["assets"].values():
        file = maps.item.parent / asset["href"]
        assert file.stat().st_size == asset["file:size"]
    model, source = item["links"]
    assert (maps.item.parent / source["href"]).resolve() == scene
    assert (maps.item.parent / model["href"]).resolve() == maps.models[0]
    card = json.loads(maps.models[0].read_text())
    assert card["id"] == model["mlm:name"]
    assert (maps.item.parent / card["assets"]["model"]["href"]).resolve() == checkpoints[kind]
    validate_card(card, schemas)
    for output, described in zip(OUTPUTS[kind], card["properties"]["mlm:output"], strict=True):
        names = [row["name"] for row in described["classification:classes"]]
        assert names == list(output.names)


def validate_card(card, folder):
    """Hold a model's Item against the MLM schema, which refers to two that are not in the folder.

    Of processing v1.1.0 it takes the expression, which v1.2.0 defines the same; of raster v1.1.0
    the data types, which STAC 1.1 lists.
    """
    index = json.loads((folder / "index.json").read_text())
    contents = {uri: json.loads((folder / name).read_text()) for uri, name in index.items()}
    base = "https://stac-extensions.github.io"
    contents[f"{base}/processing/v1.1.0/schema.json"] = {
        "definitions": contents[f"{base}/processing/v1.2.0/schema.json"]["definitions"]
    }
    data_type = {"enum": ["uint8", "uint16", "int16", "float32", "float64"]}
    items = {"items": {"properties": {"data_type": data_type}}}
    contents[f"{base}/raster/v1.1.0/schema.json"] = {"definitions": {"bands": items}}
    draft7 = "http://json-schema.org/draft-07/schema#"
    registry = Registry().with_resources(
        (uri, Resource.from_contents({"$schema": draft7, **content}))
        for uri, content in contents.items()
    )
    assert Schemas(folder).problem({**card, "stac_extensions": []}) is None  # STAC itself
    for uri in card["stac_extensions"]:
        validator = jsonschema.Draft7Validator(contents[uri], registry=registry)
        assert [error.message for error in validator.iter_errors(card)] == []
        if "mlm" in uri:
            spoilt = json.loads(json.dumps(card))
            spoilt["properties"]["mlm:input"][0]["input"]["data_type"] = "float"
            assert not validator.is_valid(spoilt)
            del spoilt["properties"]["mlm:input"]
            assert not validator.is_valid(spoilt)


def test_without_a_time_there_is_no_item(checkpoints, scene, tmp_path):
    arguments = [str(scene), "--checkpoint", str(checkpoints["cnn-segm"]), "--out", str(tmp_path)]
    result = CliRunner().invoke(map_command, [*arguments, "--quiet", "--no-picture"])
    assert result.exit_code == 0, result.output
    assert "give --datetime" in result.output
    assert not (tmp_path / "T32TQM_cnn-segm.json").exists()
    assert len(list(tmp_path.glob("cnn-segm-*.json"))) == 1
    result = CliRunner().invoke(map_command, [*arguments, "--datetime", SENSED, "--no-picture"])
    assert result.exit_code == 0, result.output
    assert str(tmp_path / "T32TQM_cnn-segm.json") in result.output.splitlines()


def test_footprints_are_cut_at_180_degrees(checkpoints, tmp_path, schemas):
    place = Affine(1000, 0, 200_000, 0, -1000, 3_000_000)  # its left part lies beyond 180 degrees
    path = write_scene(tmp_path / "s.tif", texture(64, 64), crs="EPSG:32601", transform=place)
    maps = map_scene(str(path), checkpoints["cnn-segm"], tmp_path, sensed=SENSED, picture=False)
    item = json.loads(maps.item.read_text())
    west, south, east, north = item["bbox"]
    assert item["geometry"]["type"] == "MultiPolygon"
    assert 179 < west < 180
    assert -180 < east < -179
    assert 26 < south < north < 28
    assert Schemas(schemas).problem(item) is None


# --- scenes -------------------------------------------------------------------------------------


def rows_of(path, bands=BANDS, **options):
    found = open_scene(str(path), bands, **options)
    with reading(found) as rows:
        return found, *rows.read(0, found.shape[0])


def test_bands_are_found_by_their_names(tmp_path):
    image = texture(20, 30)
    names = ("B8, central wavelength 842 nm", "T32TQM_20200717_B04_10m", "b03", "B2")
    _, values, valid = rows_of(write_scene(tmp_path / "s.tif", image, names=names))
    assert (values == image[::-1]).all()
    assert valid.all()
    path = write_scene(tmp_path / "nameless.tif", image, names=())
    _, values, _ = rows_of(path, ("B08", "B02"), order=["B02", "B03", "B04", "B08"])
    assert (values == image[[3, 0]]).all()


def test_values_become_reflectances_times_10000(tmp_path):
    image = texture(20, 30)
    image[:, 0, 0] = 0
    path = write_scene(tmp_path / "shifted.tif", image, nodata=0)
    _, values, valid = rows_of(path, offset=-1000)
    assert (values == np.maximum(image.astype(float) - 1000, 0)).all()
    assert not valid[0, 0]
    assert valid.sum() == valid.size - 1
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = [1e-4] * 4, [-0.1] * 4
    _, values, _ = rows_of(path)
    np.testing.assert_allclose(values, np.maximum(image.astype(float) - 1000, 0), atol=1e-3)
    with pytest.raises(SatimnetError, match="scale and offset of its own"):
        open_scene(str(path), BANDS, offset=-1000)


def test_pixels_that_are_not_numbers_have_no_class(checkpoints, tmp_path):
    image = texture(70, 80).astype(np.float32)
    image[2, 5, 6] = np.nan
    image[0, 50, 60] = np.inf
    path = write_scene(tmp_path / "s.tif", image)
    for kind in ("cnn-segm", "cnn-class"):
        maps = map_scene(str(path), checkpoints[kind], tmp_path, picture=False)
        (labels,) = pixels(maps.images[0])
        assert sorted(map(tuple, np.argwhere(labels == 0))) == [(5, 6), (50, 60)]


METADATA = """<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-{level}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product.xsd">
  <n1:General_Info>
    <Product_Info>
      <PRODUCT_START_TIME>2022-10-05T11:54:11.024Z</PRODUCT_START_TIME>
      <PROCESSING_LEVEL>Level-{level}</PROCESSING_LEVEL>
      <PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
    </Product_Info>
    <Product_Image_Characteristics>
      {characteristics}
    </Product_Image_Characteristics>
  </n1:General_Info>
</n1:Level-{level}_User_Product>
"""


def write_product(folder, level, baseline, image, offsets=True):
    """A product in the official layout, its images as lossless JPEG 2000."""
    prefix = {"1C": "", "2A": "BOA_"}[level]
    name = {"1C": "RADIO_ADD_OFFSET", "2A": "BOA_ADD_OFFSET"}[level]
    lines = [f'<{prefix}QUANTIFICATION_VALUE unit="none">10000</{prefix}QUANTIFICATION_VALUE>']
    if offsets:
        # of each band another one, to tell whether they are taken for the right band
        lines += [f'<{name} band_id="{k}">{-1000 - k}</{name}>' for k in range(13)]
    product = folder / f"S2A_MSIL{level}_20221005T115411_N0400_R023_T32TQM_20221005T164454.SAFE"
    images = product / "GRANULE" / f"L{level}_T32TQM_A038058_20221005T115407" / "IMG_DATA"
    for band, values in zip(BANDS, image, strict=True):
        places = {"": values} if level == "1C" else {"_10m": values, "_20m": values[::2, ::2]}
        for suffix, stored in places.items():
            place = images / f"R{suffix[1:]}" if suffix else images
            place.mkdir(parents=True, exist_ok=True)
            scale = 20 if suffix == "_20m" else 10
            with rasterio.open(
                place / f"T32TQM_20221005T115411_{band}{suffix}.jp2",
                "w",
                driver="JP2OpenJPEG",
                width=stored.shape[1],
                height=stored.shape[0],
                count=1,
                dtype="uint16",
                crs="EPSG:32632",
                transform=Affine(scale, 0, 600000, 0, -scale, 5000040),
                QUALITY=100,
                REVERSIBLE="YES",
            ) as file:
                file.write(stored, 1)
    text = METADATA.format(level=level, baseline=baseline, characteristics="\n".join(lines))
    (product / f"MTD_MSIL{level}.xml").write_text(text)
    return product


@pytest.mark.parametrize("level", ["1C", "2A"])
@pytest.mark.parametrize("baseline", ["02.14", "05.09"])
def test_products_are_read_in_their_official_layout(level, baseline, tmp_path):
    image = texture(80, 90)
    image[1, 3, 4] = 0
    shifted = float(baseline) >= 4
    product = write_product(tmp_path, level, baseline, image, offsets=shifted)
    found, values, valid = rows_of(product)
    shifts = np.array([1001, 1002, 1003, 1007]) if shifted else np.zeros(4)  # by band_id
    assert (values == np.maximum(image - shifts[:, None, None], 0)).all()
    assert np.argwhere(~valid).tolist() == [[3, 4]]
    assert (found.sensed, found.level) == ("2022-10-05T11:54:11.024Z", f"L{level}")
    assert (found.shape, found.crs) == ((80, 90), "EPSG:32632")
    assert found.id == product.name.removesuffix(".SAFE")
    metadata = product / f"MTD_MSIL{level}.xml"
    assert open_scene(str(metadata), BANDS) == found  # the file is as good as the folder


def test_maps_of_products_know_their_time(checkpoints, tmp_path, schemas):
    product = write_product(tmp_path, "2A", "05.09", texture(80, 90))
    maps = map_scene(str(product), checkpoints["cnn-segm"], tmp_path / "out", picture=False)
    item = json.loads(maps.item.read_text())
    assert item["properties"]["datetime"] == "2022-10-05T11:54:11.024Z"
    assert "Sentinel-2 L2A" in item["properties"]["processing:lineage"]
    source = maps.item.parent / item["links"][-1]["href"]
    assert source.resolve() == product / "MTD_MSIL2A.xml"
    assert Schemas(schemas).problem(item) is None


# --- killed runs, bad input ---------------------------------------------------------------------


def test_a_killed_run_is_gone_on_with(checkpoints, scene, tmp_path):
    seen = []

    def killed(what, done, total, unit):
        seen.append((what, done))
        if done == 512:
            raise KeyboardInterrupt

    def watched(what, done, total, unit):
        seen.append((what, done))

    call = (str(scene), checkpoints["cnn-dual"])
    undisturbed = map_scene(*call, tmp_path / "once", picture=False)
    with pytest.raises(KeyboardInterrupt):
        map_scene(*call, tmp_path / "twice", picture=False, progress=killed)
    assert [done for _, done in seen] == [0, 256, 512]
    partial = sorted((tmp_path / "twice").glob(".*.partial"))
    assert len(partial) == 2
    with partial[0].open("ab") as file:
        file.write(b"x" * 1000)  # the kill came in the middle of a strip of one map
    seen.clear()
    resumed = map_scene(*call, tmp_path / "twice", picture=False, progress=watched)
    assert [done for what, done in seen if "rows" in what] == [512, 531]
    for one, other in zip(undisturbed.images, resumed.images, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert not list((tmp_path / "twice").glob(".*"))


def test_a_killed_run_of_another_network_is_begun_again(checkpoints, scene, tmp_path):
    def killed(what, done, total, unit):
        if done == 256:
            raise KeyboardInterrupt

    seen = []
    with pytest.raises(KeyboardInterrupt):
        map_scene(str(scene), checkpoints["cnn-segm"], tmp_path, progress=killed)
    other = trained("cnn-segm", (MASK,))
    nn.init.normal_(other.model.layers[0].first.weight)
    other.save(tmp_path / "other.pt")
    map_scene(
        str(scene),
        tmp_path / "other.pt",
        tmp_path,
        picture=False,
        progress=lambda what, done, total, unit: seen.append(done),
    )
    assert seen[0] == 0
    assert not list(tmp_path.glob(".*"))


def test_a_killed_run_of_what_a_virtual_raster_was_is_begun_again(checkpoints, scene, tmp_path):
    shutil.copy(scene, tmp_path / "band.tif")
    described = tmp_path / "scene.vrt"
    with rasterio.open(tmp_path / "band.tif") as image:
        rows, columns, count = *image.shape, image.count
        names = image.descriptions
        place = image.transform.to_gdal()
        crs = image.crs.to_wkt()
    bands = "".join(
        f'<VRTRasterBand dataType="UInt16" band="{k}"><Description>{name}</Description>'
        f'<SimpleSource><SourceFilename relativeToVRT="1">band.tif</SourceFilename>'
        f"<SourceBand>{k}</SourceBand></SimpleSource></VRTRasterBand>"
        for k, name in zip(range(1, count + 1), names, strict=True)
    )
    described.write_text(
        f'<VRTDataset rasterXSize="{columns}" rasterYSize="{rows}"><SRS>{crs}</SRS>'
        f"<GeoTransform>{', '.join(map(str, place))}</GeoTransform>{bands}</VRTDataset>"
    )

    def killed(what, done, total, unit):
        if done == 256:
            raise KeyboardInterrupt

    seen = []
    call = (str(described), checkpoints["cnn-segm"], tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        map_scene(*call, progress=killed)
    with rasterio.open(tmp_path / "band.tif", "r+") as image:
        image.write(image.read()[:, ::-1])
    maps = map_scene(
        *call, picture=False, progress=lambda what, done, total, unit: seen.append(done)
    )
    assert seen[0] == 0
    again = map_scene(str(described), checkpoints["cnn-segm"], tmp_path / "calm", picture=False)
    assert maps.images[0].read_bytes() == again.images[0].read_bytes()


@pytest.fixture
def bad(checkpoints, scene, tmp_path):
    """Run the command and return its one line of error; nothing may be left in the folder."""

    def run(path, *options, checkpoint=checkpoints["cnn-segm"]):
        out = tmp_path / "maps"
        arguments = [str(path), "--checkpoint", str(checkpoint), "--out", str(out), *options]
        result = CliRunner().invoke(map_command, arguments)
        assert result.exit_code == 1, result.output
        lines = [line for line in result.output.splitlines() if line.strip()]
        assert len(lines) == 1, result.output
        assert "fault of satimnet" not in lines[0]
        assert not out.exists() or not list(out.iterdir())
        return lines[0]

    return run


def test_bad_scenes_are_told_in_one_line(bad, checkpoints, scene, tmp_path):
    image = texture(70, 80)
    three = write_scene(tmp_path / "rgb.tif", image[:3], names=("B04", "B03", "B02"))
    assert "rgb.tif: has not the bands B08; it has B04, B03, B02" in bad(three)
    nameless = write_scene(tmp_path / "nameless.tif", image, names=())
    assert re.search(r"nameless\.tif: its 4 bands have no names; give (--)?bands", bad(nameless))
    assert re.search("4 bands, and (--)?bands has 2", bad(nameless, "--bands", "B02,B03"))
    names = (*BANDS, "B04_20m")
    twice = write_scene(tmp_path / "twice.tif", image[[0, 1, 2, 3, 2]], names=names)
    assert "several bands are called B04" in bad(twice)
    nowhere = write_scene(tmp_path / "nowhere.tif", image, crs=None)
    assert "nowhere.tif: no coordinate reference system" in bad(nowhere)
    off = write_scene(tmp_path / "off.tif", image, crs="EPSG:4326")  # metres taken for degrees
    assert "off.tif: its coordinates (EPSG:4326) lie nowhere on Earth" in bad(off)
    small = write_scene(tmp_path / "small.tif", image[:, :70, :40])
    line = bad(small, checkpoint=checkpoints["cnn-class"])
    assert "small.tif: 70 x 40 pixels; 64 x 64 are the least" in line
    assert "no image that GDAL can read" in bad(tmp_path / "missing.tif")
    (tmp_path / "text.tif").write_text("no image")
    assert "text.tif: no image that GDAL can read" in bad(tmp_path / "text.tif")
    assert "no date and time with zone" in bad(scene, "--datetime", "yesterday")
    assert "no date and time with zone" in bad(scene, "--datetime", "2020-01-01T00:00:00")
    assert "its pixels cannot be read" in bad(spoilt(tmp_path / "spoilt.tif"))


def spoilt(path):
    """A scene whose rows cannot be decoded in the middle."""
    data = bytearray(write_scene(path, texture(531, 205), compress="deflate").read_bytes())
    middle = slice(len(data) * 5 // 8, len(data) * 6 // 8)
    data[middle] = b"\xff" * len(data[middle])
    path.write_bytes(data)
    return path


def test_bad_products_are_told_in_one_line(bad, tmp_path):
    assert "no Sentinel-2 product" in bad(tmp_path)
    product = write_product(tmp_path, "2A", "05.09", texture(70, 80))
    metadata = product / "MTD_MSIL2A.xml"
    text = metadata.read_text()
    assert "give neither" in bad(product, "--bands", "B02,B03,B04,B08")
    metadata.write_text(re.sub(r"<BOA_ADD_OFFSET .*?</BOA_ADD_OFFSET>", "", text))
    assert "MTD_MSIL2A.xml: no metadata of Sentinel-2 (processing baseline 05.09 without" in bad(
        product
    )
    metadata.write_text(text.replace("10000", "many"))
    assert "no metadata of Sentinel-2" in bad(product)
    metadata.write_text(text.replace("2022-10-05T11:54:11.024Z", "in autumn"))
    assert "no metadata of Sentinel-2" in bad(product)
    metadata.write_text(text[:200])
    assert "no metadata of Sentinel-2" in bad(product)
    metadata.write_text(text)
    for file in product.rglob("*_B03_10m.jp2"):
        file.unlink()
    assert "B03_20m.jp2: not on the grid of B02" in bad(product)
    for file in product.rglob("*_B03_20m.jp2"):
        file.unlink()
    assert "has not the bands B03; it has B02, B04, B08" in bad(product)
    (product / "GRANULE" / "second").mkdir()
    assert "2 granules" in bad(product)


def test_bad_checkpoints_are_told_in_one_line(bad, checkpoints, scene, tmp_path):
    other = tmp_path / "other.pt"
    trained("cnn-segm", (MASK,), (*BANDS[:3], "B11")).save(other)
    assert "has not the bands B11" in bad(scene, checkpoint=other)
    within = ("--within", str(checkpoints["cnn-class"]))
    assert "other.pt" not in bad(scene, *within, checkpoint=checkpoints["cnn-dual"])
    trained("cnn-class", (LAND_COVER,), BANDS[:3]).save(other)
    assert "3 bands" in bad(scene, "--within", str(other))
    foreign = Output("class", (Class(1, "ship"), Class(2, "no ship")))
    trained("cnn-class", (foreign,)).save(other)
    assert "none of its classes (ship, no ship) is River" in bad(scene, "--within", str(other))
    assert "cannot be read" in bad(scene, checkpoint=tmp_path / "missing.pt")
    data = bytearray(checkpoints["cnn-segm"].read_bytes())
    other.write_bytes(data[: len(data) // 2])
    assert "other.pt" in bad(scene, checkpoint=other)


def test_a_place_that_cannot_be_written_is_told(checkpoints, scene, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SatimnetError, match="cannot be written"):
        map_scene(str(scene), checkpoints["cnn-segm"], tmp_path / "file" / "maps")
    assert (tmp_path / "file").read_text() == ""


def test_what_is_there_stays_when_a_run_fails(checkpoints, scene, tmp_path):
    call = (checkpoints["cnn-segm"], tmp_path / "maps")
    maps = map_scene(str(scene), *call, picture=False)
    before = maps.images[0].read_bytes()
    with pytest.raises(SatimnetError, match="its pixels cannot be read"):
        map_scene(str(spoilt(tmp_path / scene.name)), *call, picture=False)
    assert maps.images[0].read_bytes() == before
    assert not list((tmp_path / "maps").glob(".*"))


def test_a_map_that_cannot_be_finished_is_named_with_the_reason(
    checkpoints, scene, tmp_path, monkeypatch
):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cogs, "write_cog", full)
    with pytest.raises(StorageError, match=r"\.tif: cannot be written .*No space left on device"):
        map_scene(str(scene), checkpoints["cnn-segm"], tmp_path / "maps")


def test_what_a_killed_run_left_of_a_cog_is_removed(checkpoints, scene, tmp_path):
    left = tmp_path / f".{scene.stem}_cnn-segm_mask.tif.0123456789ab.cog"
    left.mkdir()
    (left / "tmp1.tif").write_bytes(b"x")
    maps = map_scene(str(scene), checkpoints["cnn-segm"], tmp_path, picture=False)
    assert maps.images[0].name == left.name[1:].removesuffix(".0123456789ab.cog")
    assert not left.exists()
