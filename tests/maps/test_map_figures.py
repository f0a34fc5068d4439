"""One picture of several maps: rows, columns, legends and scale bars, and bad input."""

import json
import shutil

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from pyproj import Geod
from rasterio import Affine

from satimnet.builder.errors import SatimnetError
from satimnet.builder.imagery.scenes import Scene
from satimnet.cli.map_command import map_command
from satimnet.training import map_scene, map_scenes
from satimnet.training.maps import map_figures
from satimnet.training.maps.panels import bar_length, pixel_width
from satimnet.training.networks.checkpoints import Checkpoint, build
from satimnet.training.networks.outputs import Class, Output

BANDS = ("B02", "B03", "B04", "B08")
NAMES = (
    *("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial", "Pasture"),
    *("PermanentCrop", "Residential", "River", "SeaLake"),
)
LAND_COVER = Output("class", tuple(Class(at, name) for at, name in enumerate(NAMES, 1)))
MASK = Output(
    "mask", (Class(1, "water", "0000FF"), Class(2, "built-up", "FF0000"), Class(3, "other"))
)
OUTPUTS = {"cnn-class": (LAND_COVER,), "cnn-segm": (MASK,), "cnn-dual": (LAND_COVER, MASK)}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Narrow untrained networks whose answers vary, by kind."""
    import torch

    folder = tmp_path_factory.mktemp("checkpoints")
    for kind, outputs in OUTPUTS.items():
        torch.manual_seed(7)
        model = build(kind, 4, outputs, 8)
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            if name.endswith(("bias", "mean")):
                torch.nn.init.normal_(value, std=0.1)
            elif name.endswith("var"):
                torch.nn.init.uniform_(value, 0.05, 0.3)
        numbers = (900.0, 1000.0, 1100.0, 2000.0), (400.0, 500.0, 600.0, 900.0)
        Checkpoint(model, kind, 8, BANDS, outputs, *numbers).save(folder / f"{kind}.pt")
    return {kind: folder / f"{kind}.pt" for kind in OUTPUTS}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Two scenes of unlike shapes and places, one of them with a hole."""
    folder = tmp_path_factory.mktemp("scenes")
    rng = np.random.default_rng(3)
    files = []
    for name, shape, crs, place in (
        ("east", (90, 130), "EPSG:32632", Affine(10, 0, 600000, 0, -10, 5000040)),
        ("west", (130, 70), "EPSG:4326", Affine(0.0001, 0, -77, 0, -0.0001, 38.9)),
    ):
        blotches = rng.uniform(1, 3000, (4, shape[0] // 8 + 1, shape[1] // 8 + 1))
        image = blotches.repeat(8, 1).repeat(8, 2)[:, : shape[0], : shape[1]].astype(np.uint16)
        if name == "west":
            image[:, :20, :20] = 0
        profile = {"height": shape[0], "width": shape[1], "count": 4, "dtype": "uint16"}
        files.append(folder / f"{name}.tif")
        with rasterio.open(
            files[-1], "w", driver="GTiff", crs=crs, transform=place, **profile
        ) as file:
            file.write(image)
            for band, text in enumerate(BANDS, 1):
                file.set_band_description(band, text)
    return [str(file) for file in files]


@pytest.fixture
def drawn(monkeypatch):
    """The figures of matplotlib that were saved."""
    from matplotlib.figure import Figure

    figures = []
    save = Figure.savefig

    def kept(self, *args, **kwargs):
        figures.append(self)
        save(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", kept)
    return figures


def texts_of(figure):
    grid, *legends = figure.subfigs
    titles = [axes.get_title() for axes in grid.axes if axes.get_title()]
    named = {}
    for part in legends:
        (legend,) = part.legends
        named[legend.get_title().get_text()] = [text.get_text() for text in legend.get_texts()]
    return grid, titles, named


def run(*arguments):
    return CliRunner().invoke(map_command, list(map(str, arguments)))


def test_figure_4(checkpoints, scenes, drawn, tmp_path):
    networks = [f"--checkpoint={checkpoints[kind]}" for kind in ("cnn-class", "cnn-dual")]
    done = run(*scenes, *networks, "--out", tmp_path, "--device", "cpu", "--quiet")
    assert done.exit_code == 0, done.output
    assert "there are no STAC Items of maps" in done.output
    assert done.output.count("figure.png") == 1
    grid, titles, named = texts_of(drawn[-1])
    assert titles == ["RGB", "CNN-class", "10-class CNN-dual", "3-class CNN-dual"]
    assert [axes.get_ylabel() for axes in grid.axes[::4]] == ["east", "west"]
    assert list(named) == ["CNN-class, 10-class CNN-dual", "3-class CNN-dual"]
    assert all("no observation" in labels for labels in named.values())
    # every class that a map has is named, and no other
    for outputs, labels in zip((("class",), ("mask",)), named.values(), strict=True):
        values = set()
        for file in tmp_path.glob(f"*_{outputs[0]}.tif"):
            with rasterio.open(file) as image:
                values |= set(np.unique(image.read(1)).tolist())
        table = {row.value: row.name for row in (LAND_COVER, MASK)[outputs == ("mask",)].classes}
        assert set(labels) == {table[value] for value in values - {0}} | {"no observation"}
    bars = [text.get_text() for axes in grid.axes for text in axes.texts]
    assert bars == ["200 m", "100 m"]


def test_figure_5(checkpoints, scenes, drawn, tmp_path):
    files = [checkpoints["cnn-segm"], checkpoints["cnn-dual"]]
    figure = map_scenes(scenes[:1], files, tmp_path, outputs=["mask"], device="cpu")
    _, titles, named = texts_of(drawn[-1])
    assert titles == ["RGB", "3-class CNN-segm", "3-class CNN-dual"]
    assert list(named) == ["3-class CNN-segm, 3-class CNN-dual"]
    assert figure.picture == tmp_path / "figure.png"
    assert [len(maps.images) for maps in figure.maps] == [1, 2]  # maps are made of all outputs
    assert not list(tmp_path.glob("*cnn-*.png"))
    none = map_scenes(scenes[:1], files, tmp_path / "bare", device="cpu", picture=False)
    assert none.picture is None
    assert not list((tmp_path / "bare").glob("*.png"))


def test_the_maps_are_those_of_each_network_alone(checkpoints, scenes, tmp_path):
    files = [checkpoints["cnn-segm"], checkpoints["cnn-class"]]
    both = map_scenes(scenes[:1], files, tmp_path / "both", within=files[1], device="cpu")
    alone = map_scene(
        scenes[0], files[0], tmp_path / "alone", within=files[1], device="cpu", picture=False
    )
    assert both.maps[0].images[0].name == alone.images[0].name == "east_cnn-segm-within_mask.tif"
    assert both.maps[0].images[0].read_bytes() == alone.images[0].read_bytes()
    with rasterio.open(both.maps[1].images[0]) as image:
        assert image.colormap(1)


def test_nothing_is_cut_and_the_picture_is_in_true_colours(checkpoints, scenes, tmp_path):
    from PIL import Image

    files = list(checkpoints.values())
    map_scenes(scenes, files, tmp_path, device="cpu")
    picture = np.asarray(Image.open(tmp_path / "figure.png").convert("RGB")).astype(int)
    for edge in (picture[:8], picture[-8:], picture[:, :8], picture[:, -8:]):
        assert (edge > 250).all()  # a white margin: no text runs into it
    assert np.ptp(picture, axis=2).max() > 100


def test_one_time_for_one_scene_only(checkpoints, scenes, tmp_path):
    files = [checkpoints["cnn-segm"], checkpoints["cnn-dual"]]
    when = "2020-07-17T22:19:41Z"
    made = map_scenes(scenes[:1], files, tmp_path, sensed=when, device="cpu")
    for maps in made.maps:
        assert json.loads(maps.item.read_text())["properties"]["datetime"] == when
    with pytest.raises(SatimnetError, match="is one time, and there are 2 scenes"):
        map_scenes(scenes, files, tmp_path / "more", sensed=when, device="cpu")


# --- the scale bar ------------------------------------------------------------------------------


def scene_at(crs, transform, shape=(100, 400)):
    return Scene("x", None, (), shape, crs, transform)


@pytest.mark.parametrize(
    ("crs", "transform", "metres"),
    [
        ("EPSG:32632", (10, 0, 500000, 0, -10, 5000000), 10 / 0.9996),  # true on the ground
        ("EPSG:3857", (10, 0, 0, 0, -10, 8399737.9), 10 * np.cos(np.radians(60)) * 1.0029),
        ("EPSG:2263", (10, 0, 980000, 0, -10, 200000), 10 * 0.3048006),  # feet
        ("EPSG:4326", (1e-4, 0, 10, 0, -1e-4, 45), 7.88),
    ],
)
def test_metres_of_a_pixel(crs, transform, metres):
    assert pixel_width(scene_at(crs, transform)) == pytest.approx(metres, rel=2e-3)


def test_a_turned_grid_has_its_own_direction():
    turned = Affine.translation(500000, 5000000) @ Affine.rotation(30) @ Affine.scale(10, -10)
    assert pixel_width(scene_at("EPSG:32632", tuple(turned)[:6])) == pytest.approx(10.004, rel=1e-4)


@pytest.mark.parametrize("size", [0.3, 1, 10, 10.5, 17, 60, 400])
def test_bars_have_a_round_length_and_fit(size):
    scene = scene_at("EPSG:32632", (size, 0, 500000, 0, -size, 5000000))
    length = bar_length(scene)
    assert f"{length:e}"[0] in "125"
    assert float(f"{length:e}".split("e")[0]) in (1, 2, 5)
    width = pixel_width(scene) * 400
    assert 0.1 * width < length <= 0.3 * width
    assert Geod(ellps="WGS84")  # the ellipsoid of the measure


# --- bad input ----------------------------------------------------------------------------------


def test_bad_input_is_one_line_and_leaves_nothing(checkpoints, scenes, tmp_path):
    class_, segm, dual = (
        f"--checkpoint={checkpoints[f'cnn-{k}']}" for k in ("class", "segm", "dual")
    )
    east, west = scenes
    (tmp_path / "text.tif").write_text("no image")
    (tmp_path / "broken.pt").write_bytes(b"PK nonsense")
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(east, copy)
    out = tmp_path / "maps"
    for arguments, words in (
        ((east, tmp_path / "text.tif", segm, dual), "text.tif: no image that GDAL can read"),
        ((east, segm, f"--checkpoint={tmp_path / 'broken.pt'}"), "broken.pt: not a checkpoint"),
        ((east, segm, segm), "the map would have the name east_cnn-segm, as that of"),
        ((east, copy / "east.tif", segm), "the map would have the name east_cnn-segm"),
        ((east, west, segm, "--datetime", "2020-07-17T22:19:41Z"), "is one time"),
        ((east, segm, dual, "--outputs", "classes"), "--outputs classes: the networks give mask"),
        ((east, class_, dual, "--within", checkpoints["cnn-class"]), "--within is for CNN-segm"),
        ((east, west, segm, "--bands", "B02"), "and --bands has 1 names"),
    ):
        done = run(*arguments, "--out", out, "--device", "cpu", "--quiet")
        assert done.exit_code == 1, (arguments, done.output)
        assert words in done.output, done.output
        assert done.output.count("\n") == 1, done.output
        assert not out.exists() or not list(out.iterdir())


def test_a_picture_that_cannot_be_written_is_told(checkpoints, scenes, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(map_figures, "_draw", full)
    files = [checkpoints["cnn-segm"], checkpoints["cnn-dual"]]
    with pytest.raises(SatimnetError, match=r"figure\.png: cannot be written \(No space left"):
        map_scenes(scenes[:1], files, tmp_path, device="cpu")
    assert not (tmp_path / "figure.png").exists()
