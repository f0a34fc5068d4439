"""Layers: what a mask says is what lies under each pixel's centre, in any coordinate system."""

import pickle
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from rasterio.transform import Affine
from rasterio.warp import Resampling, reproject

from satimnet.builder.errors import BadFileError, SatimnetError
from satimnet.builder.imagery.grids import Grid
from satimnet.training.fusion.mask_layers import mask_on, open_layer
from satimnet.training.fusion.recipes import MaskLayer

GSW = Path(__file__).parents[3] / "shared" / "data" / "gsw"
WATER = MaskLayer("gsw", "Water", ("Sea",), {0: 0, 255: 0, 1: 3, 2: 1, 3: 1})
BUILT = MaskLayer("esm", "Houses", ("Town",), {0: 0, 1: 3, 2: 1, 250: 2, 255: 2})

# A patch of 64 x 64 pixels of 10 m in UTM 32N, and a part of its neighbourhood in other systems.
PATCH = Grid((64, 64), "EPSG:32632", (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_400_000.0))
LON, LAT = Transformer.from_crs(32632, 4326, always_xy=True).transform(500_320, 5_399_680)
EAST, NORTH = Transformer.from_crs(32632, 3035, always_xy=True).transform(500_320, 5_399_680)


def write(path: Path, values, crs, transform, **options) -> Path:
    rows, columns = values.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=rows,
        width=columns,
        count=1,
        dtype=values.dtype,
        crs=crs,
        transform=transform,
        **options,
    ) as file:
        file.write(values, 1)
    return path


def around(crs: str, size: int = 200, step: float | None = None) -> Affine:
    """The georeference of ``size`` x ``size`` pixels around the middle of the patch."""
    x, y, pixel = (LON, LAT, 0.00025) if crs == "EPSG:4326" else (EAST, NORTH, 10.0)
    pixel = step or pixel
    return Affine(pixel, 0, x - size / 2 * pixel, 0, -pixel, y + size / 2 * pixel)


def noise(size: int, values, seed: int = 0):
    return np.random.default_rng(seed).choice(np.array(values, np.uint8), (size, size))


def warped(path: Path, grid: Grid):
    """What GDAL's warper makes of a raster on a grid, by nearest neighbour; 0 outside."""
    result = np.zeros(grid.shape, np.uint8)
    with rasterio.open(path) as file:
        reproject(
            rasterio.band(file, 1),
            result,
            dst_crs=grid.crs,
            dst_transform=Affine(*grid.transform),
            resampling=Resampling.nearest,
        )
    return result


def translated(values, spec: MaskLayer):
    table = np.zeros(256, np.uint8)
    for value, meaning in spec.values.items():
        table[value] = meaning
    return table[values]


LAYERS = [("EPSG:4326", WATER, (0, 1, 2, 3, 255)), ("EPSG:3035", BUILT, (0, 1, 2, 250, 255))]


@pytest.mark.parametrize(("crs", "spec", "values"), LAYERS)
def test_a_mask_is_the_layer_warped_by_gdal(tmp_path, crs, spec, values):
    path = write(tmp_path / "layer.tif", noise(200, values), crs, around(crs))
    mask = mask_on(PATCH, [open_layer(spec, path)], "patch")
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, translated(warped(path, PATCH), spec))
    assert set(np.unique(mask)) == set(spec.values.values())


@pytest.mark.skipif(shutil.which("gdalwarp") is None, reason="needs gdalwarp")
@pytest.mark.parametrize(("crs", "spec", "values"), LAYERS)
def test_a_mask_is_what_gdalwarp_makes(tmp_path, crs, spec, values):
    path = write(tmp_path / "layer.tif", noise(200, values), crs, around(crs))
    a, _, x, _, e, y = PATCH.transform
    corners = map(str, (x, y + 64 * e, x + 64 * a, y))
    command = ["gdalwarp", "-q", "-r", "near", "-t_srs", PATCH.crs, "-ts", "64", "64", "-te"]
    subprocess.run([*command, *corners, str(path), str(tmp_path / "cut.tif")], check=True)
    with rasterio.open(tmp_path / "cut.tif") as file:
        expected = translated(file.read(1), spec)
    np.testing.assert_array_equal(mask_on(PATCH, [open_layer(spec, path)], "patch"), expected)


@pytest.mark.parametrize(("crs", "spec", "values"), LAYERS)
def test_a_pixel_is_what_lies_under_its_centre(tmp_path, crs, spec, values):
    """By pyproj, pixel by pixel; GDAL may be off by an eighth of a pixel of the layer."""
    content, place = noise(200, values), around(crs)
    path = write(tmp_path / "layer.tif", content, crs, place)
    mask = mask_on(PATCH, [open_layer(spec, path)], "patch")
    column, row = np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5)
    a, b, c, d, e, f = PATCH.transform
    to_layer = Transformer.from_crs(PATCH.crs, crs, always_xy=True)
    x, y = to_layer.transform(a * column + b * row + c, d * column + e * row + f)
    u, v = ~place @ (x, y)
    expected = translated(content[v.astype(int), u.astype(int)], spec)
    clear = (np.abs(u - np.round(u)) > 0.125) & (np.abs(v - np.round(v)) > 0.125)
    assert clear.mean() > 0.4
    np.testing.assert_array_equal(mask[clear], expected[clear])


@pytest.mark.parametrize("nodata", [None, 0, 255])
def test_outside_and_no_data_are_no_observation(tmp_path, nodata):
    content = np.full((200, 200), 2, np.uint8)
    content[:, 100:104] = 255
    place = around("EPSG:4326") @ Affine.translation(-98, 0)  # its east ends within the patch
    path = write(tmp_path / "layer.tif", content, "EPSG:4326", place, nodata=nodata)
    mask = mask_on(PATCH, [open_layer(WATER, path)], "patch")
    assert mask[:, -1].max() == 0
    assert mask[:, 0].min() == 1
    elsewhere = open_layer(WATER, write(path, content, "EPSG:4326", around("EPSG:4326")
                                        @ Affine.translation(5000, 0)))  # fmt: skip
    assert mask_on(PATCH, [elsewhere], "patch") is None


def test_what_was_never_observed_has_no_mask(tmp_path):
    content = np.zeros((200, 200), np.uint8)
    path = write(tmp_path / "layer.tif", content, "EPSG:4326", around("EPSG:4326"))
    assert mask_on(PATCH, [open_layer(WATER, path)], "patch") is None


def test_a_patch_without_a_place_has_no_mask(tmp_path):
    path = write(tmp_path / "a.tif", noise(200, (1, 2)), "EPSG:4326", around("EPSG:4326"))
    assert mask_on(Grid((64, 64), None, None), [open_layer(WATER, path)], "patch") is None


def tiles(folder: Path, content, crs: str, size: int) -> None:
    place = around(crs, len(content))
    for row in range(0, len(content), size):
        for column in range(0, len(content), size):
            tile = content[row : row + size, column : column + size]
            moved = place @ Affine.translation(column, row)
            write(folder / f"{row}" / f"tile-{column:07d}.tif", tile, crs, moved)


@pytest.mark.parametrize(("crs", "spec", "values"), LAYERS)
def test_tiles_are_the_raster_they_were_cut_from(tmp_path, crs, spec, values):
    """In a folder, and in a VRT over it."""
    content = noise(200, values)
    whole = write(tmp_path / "whole.tif", content, crs, around(crs))
    tiles(tmp_path / "tiles", content, crs, 20)
    expected = mask_on(PATCH, [open_layer(spec, whole)], "patch")
    layer = open_layer(spec, tmp_path / "tiles")
    assert len(layer.files) == 100
    np.testing.assert_array_equal(mask_on(PATCH, [layer], "patch"), expected)

    parts = "".join(
        f'<SimpleSource><SourceFilename relativeToVRT="1">tiles/{row}/tile-{column:07d}.tif'
        f"</SourceFilename><SourceBand>1</SourceBand>"
        f'<SrcRect xOff="0" yOff="0" xSize="20" ySize="20"/><DstRect xOff="{column}" yOff="{row}" '
        'xSize="20" ySize="20"/></SimpleSource>'
        for row in range(0, 200, 20)
        for column in range(0, 200, 20)
    )
    place = ", ".join(map(str, around(crs).to_gdal()))
    (tmp_path / "tiles.vrt").write_text(
        f'<VRTDataset rasterXSize="200" rasterYSize="200"><SRS>{crs}</SRS><GeoTransform>{place}'
        f'</GeoTransform><VRTRasterBand dataType="Byte" band="1">{parts}</VRTRasterBand>'
        "</VRTDataset>"
    )
    layer = open_layer(spec, tmp_path / "tiles.vrt")
    np.testing.assert_array_equal(mask_on(PATCH, [layer], "patch"), expected)


def test_a_layer_of_the_real_size_is_read_where_the_patch_lies(tmp_path):
    """40,000 x 40,000 as GSW's tiles: 1.6 GB of pixels, of which a few blocks are touched."""
    size, step = 40_000, 0.00025
    place = Affine(step, 0, LON - 5, 0, -step, LAT + 5)
    path = tmp_path / "large.tif"
    options = {
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "sparse_ok": "TRUE",
        "bigtiff": "YES",
    }
    with rasterio.open(
        path, "w", driver="GTiff", height=size, width=size, count=1, dtype="uint8",
        crs="EPSG:4326", transform=place, compress="LZW", **options,
    ) as file:  # fmt: skip
        column, row = map(int, ~place @ (LON, LAT))
        window = rasterio.windows.Window(column - 100, row - 100, 200, 200)
        file.write(noise(200, (1, 2, 3)), 1, window=window)
    mask = mask_on(PATCH, [open_layer(WATER, path)], "patch")
    np.testing.assert_array_equal(mask, translated(warped(path, PATCH), WATER))
    assert mask.min() > 0


def test_several_layers_make_one_mask(tmp_path):
    def layer(spec: MaskLayer, value: int):
        content = np.full((200, 200), value, np.uint8)
        path = tmp_path / f"{spec.name}{value}.tif"
        return open_layer(spec, write(path, content, "EPSG:3035", around("EPSG:3035")))

    def seen(*layers) -> int | None:
        mask = mask_on(PATCH, layers, "patch")
        return None if mask is None else int(mask[32, 32])

    unknown, land, water = (layer(WATER, value) for value in (0, 1, 3))
    nothing, ground, houses = (layer(BUILT, value) for value in (0, 1, 250))
    assert seen(water, houses) == 1  # the first has the last word
    assert seen(houses, water) == 2
    assert seen(land, houses) == seen(unknown, houses) == seen(houses, unknown) == 2
    assert seen(land, ground) == 3
    assert seen(unknown, ground) is seen(land, nothing) is seen(unknown, nothing) is None


def test_values_that_the_recipe_leaves_open_are_an_error(tmp_path):
    path = write(tmp_path / "a.tif", noise(200, (1, 7)), "EPSG:4326", around("EPSG:4326"))
    with pytest.raises(BadFileError, match="eurosat/Sea_1: the layer gsw has the value 7 there"):
        mask_on(PATCH, [open_layer(WATER, path)], "eurosat/Sea_1")


def test_layers_pickle_and_know_when_their_files_change(tmp_path):
    path = write(tmp_path / "a.tif", noise(200, (1, 2)), "EPSG:4326", around("EPSG:4326"))
    layer = open_layer(WATER, path)
    assert pickle.loads(pickle.dumps(layer)) == layer == open_layer(WATER, path)
    write(path, noise(200, (1, 2), 1), "EPSG:4326", around("EPSG:4326"))
    assert open_layer(WATER, path).stamp != layer.stamp


def test_resized_grids_cover_the_same_place():
    grid = Grid((120, 120), "EPSG:32632", (10.0, 0.0, 300.0, 0.0, -10.0, 900.0)).resized((64, 32))
    assert grid.transform == (37.5, 0.0, 300.0, 0.0, -18.75, 900.0)
    assert Grid((9, 9), None, None).resized((3, 3)) == Grid((3, 3), None, None)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "nothing is there"),
        (lambda p: p.mkdir(), r"no \.tif in it"),
        (lambda p: p.write_text("no raster"), "cannot be read"),
        (
            lambda p: write(p, noise(9, (1,)), None, around("EPSG:4326")),
            "no coordinate system, so it is not known where gsw lies",
        ),
        (
            lambda p: write(p, noise(9, (1,)).astype("float32"), "EPSG:4326", around("EPSG:4326")),
            "1 bands of float32; gsw must be one band of whole numbers",
        ),
        (
            lambda p: [
                write(p / "a.tif", noise(9, (1,)), "EPSG:4326", around("EPSG:4326")),
                write(p / "b.tif", noise(9, (1,)), "EPSG:3035", around("EPSG:3035")),
            ],
            "b.tif: another coordinate system than .*a.tif",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_what_is_no_layer(tmp_path, make, message):
    path = tmp_path / "layer.tif"
    make(path)
    with pytest.raises(SatimnetError, match=message) as error:
        open_layer(WATER, path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_layer_that_breaks_off_is_an_error(tmp_path):
    path = write(tmp_path / "a.tif", noise(200, (1, 2)), "EPSG:4326", around("EPSG:4326"))
    layer = open_layer(WATER, path)
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(SatimnetError, match=r"a\.tif: cannot be read") as error:
        mask_on(PATCH, [layer], "patch")
    assert "\n" not in str(error.value)


# --- the real windows


@pytest.mark.real
@pytest.mark.skipif(not GSW.is_dir(), reason="needs the real samples in ../shared/data/gsw")
@pytest.mark.parametrize("name", ["v5_2001-*.tif", "yearlyClassification1984-*.tif"])
def test_real_windows_of_gsw_moved_over_a_patch(tmp_path, name):
    (source,) = GSW.rglob(name)
    with rasterio.open(source) as file:
        content = file.read(1)
        assert file.crs == "EPSG:4326"
        step = file.transform.a
    rows, columns = content.shape
    place = Affine(step, 0, LON - columns / 2 * step, 0, -step, LAT + rows / 2 * step)
    path = write(tmp_path / "moved.tif", content, "EPSG:4326", place)
    mask = mask_on(PATCH, [open_layer(WATER, path)], "patch")
    np.testing.assert_array_equal(mask, translated(warped(path, PATCH), WATER))
    assert len(np.unique(mask)) > 1
