"""Previews show what the images show, alike in a collection, and are drawn once."""

import io
import json
import shutil

import numpy as np
import pytest
import rasterio
from explorer_reading import read_columns
from PIL import Image
from published import home_of

from satimnet.builder import build
from satimnet.builder.explorer.common_stretch import Stretch, stretch_of
from satimnet.builder.explorer.preview_shards import draw_previews
from satimnet.builder.query.index import Index
from satimnet.builder.query.search import search
from satimnet.builder.storage.assets import gdal_path
from stactools.eurosat.miniature import write_miniature


@pytest.fixture(scope="module")
def drawn(demo, tmp_path_factory):
    """A copy of the demo's catalog with previews."""
    copy = tmp_path_factory.mktemp("drawn") / "catalog"
    shutil.copytree(demo / "catalog", copy)
    draw_previews(copy)
    return copy


def previews_of(catalog, name):
    """The previews of a collection's Items, by id."""
    home = home_of(catalog, name)
    header, columns = read_columns(home)
    found, ends = {}, {}
    for row, id_ in enumerate(columns["ids"]):
        size = columns.get("preview_sizes", np.zeros(len(columns["ids"]), int))[row]
        if size:
            file = home / header["previews"]["files"][columns["preview_files"][row]]
            first = ends.get(file, 0)
            ends[file] = first + size
            with Image.open(io.BytesIO(file.read_bytes()[first : first + size])) as picture:
                found[id_] = np.asarray(picture.convert("RGB")).astype(int)
    return header, columns, found


def items_of(catalog, name):
    return {item["id"]: item for item in search(catalog, collections=[name])}


def test_what_a_browser_cannot_show_has_a_preview(drawn):
    seen = 0
    for name in Index(drawn).collections:
        header, columns, found = previews_of(drawn, name)
        shown = columns["picture_sizes"] > 0
        assert set(found) == {
            id_ for id_, own in zip(columns["ids"], shown, strict=True) if not own
        }
        assert header.get("previews", {"items": 0})["items"] == len(found)
        for picture in found.values():
            seen += 1
            assert max(picture.shape) <= header["previews"]["side"]
    assert seen > 50


@pytest.mark.parametrize(("name", "asset"), [("dota", "image"), ("inria", "image")])
def test_previews_look_like_their_images(drawn, name, asset):
    _, _, found = previews_of(drawn, name)
    for id_, item in items_of(drawn, name).items():
        preview = found[id_]
        with rasterio.open(gdal_path(item["assets"][asset])) as image:
            shape = (3, *preview.shape[:2])
            numbers = [1, 2, 3] if image.count == 3 else [1, 1, 1]
            wanted = image.read(
                numbers, out_shape=shape, resampling=rasterio.enums.Resampling.average
            ).astype(int)
        assert np.abs(np.moveaxis(wanted, 0, 2) - preview).mean() < 6


def test_measured_values_are_stretched_alike(drawn):
    header, _, found = previews_of(drawn, "bigearthnet")
    told = header["previews"]["stretch"]
    stretch = Stretch(tuple(told["black"]), tuple(told["white"]))
    for id_, item in items_of(drawn, "bigearthnet").items():
        bands = []
        for key in ("B04", "B03", "B02"):
            with rasterio.open(gdal_path(item["assets"][key])) as image:
                bands.append(image.read(1))
        whole = Image.fromarray(stretch.applied(np.stack(bands)))
        small = whole.resize((64, 64), Image.Resampling.BOX)
        assert np.abs(np.asarray(small).astype(int) - found[id_]).mean() < 5


def test_a_second_run_draws_nothing_and_a_killed_one_goes_on(drawn, tmp_path):
    copy = shutil.copytree(drawn, tmp_path / "catalog")
    home = home_of(copy, "uc-merced")
    (file,) = (home / "previews").iterdir()
    wanted = {path: path.read_bytes() for path in (file, *home.glob("explorer.*"))}
    stamps = {path: path.stat().st_mtime_ns for path in wanted}
    draw_previews(copy, collections=["uc-merced"])
    assert {path: path.stat().st_mtime_ns for path in wanted} == stamps
    file.write_bytes(wanted[file][: len(wanted[file]) // 2])
    (home / "explorer.json").unlink()
    draw_previews(copy, collections=["uc-merced"], scheduler="processes")
    assert {path: path.read_bytes() for path in wanted} == wanted


def test_an_image_that_cannot_be_read_has_none(drawn, tmp_path):
    copy = shutil.copytree(drawn, tmp_path / "catalog")
    home = home_of(copy, "dota")
    shutil.rmtree(home / "previews")
    item = items_of(copy, "dota")["P0000"]
    first, last = item["assets"]["image"]["archive"][0]["range"]
    with open(item["assets"]["image"]["href"], "r+b") as file:
        file.seek(first)
        file.write(bytes(last - first + 1))
    (told,) = draw_previews(copy, collections=["dota"])
    assert told.previews == told.items - 1
    assert "P0000" not in previews_of(copy, "dota")[2]


def test_a_store_gets_previews(bucket, tmp_path):
    sources = write_miniature(tmp_path / "source", 1, rgb=False)
    build(sources, f"{bucket}/previews", overview=False)
    build(sources, tmp_path / "catalog", overview=False)
    (far,), (near,) = (draw_previews(x) for x in (f"{bucket}/previews", tmp_path / "catalog"))
    assert far == near
    assert far.previews == far.items
    header, _, found = previews_of(tmp_path / "catalog", "eurosat")
    from satimnet.builder.storage import objects

    index = Index(f"{bucket}/previews").collections["eurosat"]
    place = index.parquet.replace("items.parquet", "explorer.json")
    assert json.loads(objects.read(place)) == header
    assert len(found) == far.items


def test_a_stretch_is_that_of_dark_and_bright_pixels():
    dark, bright = np.full((3, 8, 8), 100), np.full((3, 8, 8), 3000)
    stretch = stretch_of([dark, bright])
    assert stretch.applied(dark).max() == 0
    assert stretch.applied(bright).min() > 200
    assert stretch_of([np.full((1, 4, 4), np.nan)]) is None
    flat = stretch_of([np.full((1, 4, 4), 7)])
    assert flat.applied(np.full((1, 4, 4), 7)).max() == 0
