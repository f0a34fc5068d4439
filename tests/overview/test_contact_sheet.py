"""The contact sheet of a collection."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import rasterio
from PIL import Image
from published import home_of

from satimnet.builder.catalog.item_columns import item_schema
from satimnet.builder.catalog.rows_to_items import items_of
from satimnet.builder.overview import previews as views
from satimnet.builder.overview.contact_sheet import OVERVIEW_NAME, write_overview
from satimnet.builder.overview.drawing import WIDTH, Tag, Tile, draw_sheet, layout_of
from satimnet.builder.overview.representatives import ranked
from stactools.eurosat import dataset as eurosat

RGB = [{"name": name, "eo:common_name": name} for name in ("red", "green", "blue")]
SHIP, HARBOR = (255, 59, 48), (0, 160, 220)
COLLECTION = {
    "title": "Ships",
    "license": "other",
    "summaries": {
        "classification:classes": [
            {"value": 0, "name": "background", "title": "Background"},
            {"value": 1, "name": "ship", "title": "Ship", "color_hint": "FF3B30"},
            {"value": 2, "name": "harbor", "title": "Harbor", "color_hint": "00A0DC"},
        ]
    },
    "item_assets": {"image": {"roles": ["data"], "bands": RGB}, "mask": {"roles": ["mask"]}},
}


def save(path: Path, array: np.ndarray) -> dict[str, str]:
    Image.fromarray(array).save(path)
    return {"href": f"./{path.name}"}


def row(name: str, assets: dict, classes: list[str] | None, **properties: object) -> dict:
    """A row as `satimnet.builder.catalog.geoparquet` has them; the fields that matter here."""
    fixed = {"type": "Feature", "stac_version": "1.1.0", "stac_extensions": [], "links": []}
    empty = {"geometry": None, "bbox": None, "satimnet:split": None, "satimnet:statistics": None}
    own = {"id": name, "assets": assets, "collection": "ships", "satimnet:classes": classes}
    return fixed | empty | own | properties


def sample(folder: Path, name: str, mask: np.ndarray, **properties: object) -> dict:
    """A grey image with its mask, beside each other in the folder."""
    image = np.full((*mask.shape, 3), 90, np.uint8)
    statistics = [
        {"class": label, "count": 1, "pixels": int((mask == value).sum())}
        for value, label in ((1, "ship"), (2, "harbor"))
        if (mask == value).any()
    ]
    assets = {
        "image": save(folder / f"{name}.png", image) | {"roles": ["data"], "bands": RGB},
        "mask": save(folder / f"{name}-mask.png", mask) | {"roles": ["mask"], "bands": RGB[:1]},
    }
    classes = [r["class"] for r in statistics]
    return row(name, assets, classes, **{"satimnet:statistics": statistics, **properties})


def table_of(*rows: dict) -> pa.Table:
    table = pa.Table.from_pylist(list(rows))
    for name, kind in (("classes", pa.list_(pa.string())), ("split", pa.string())):
        at = table.column_names.index(f"satimnet:{name}")
        table = table.set_column(at, f"satimnet:{name}", table[at].cast(kind))
    return table


def sheet(folder: Path) -> np.ndarray:
    return np.asarray(Image.open(folder / OVERVIEW_NAME))


def count(page: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((page == colour).all(axis=2).sum())


def drawn(tables: list[pa.Table], folder: Path) -> bool:
    """Whether a sheet of rows was drawn, whose files lie in the folder."""
    return write_overview(COLLECTION, tables, folder, str(folder / "items.parquet"))


def rows_of(catalog: Path) -> tuple[dict, list[pa.Table], Path]:
    """Collection, rows and folder of a built EuroSAT."""
    import pyarrow.parquet as pq

    folder = home_of(catalog)
    file = pq.ParquetFile(folder / "items.parquet")
    tables = [file.read_row_group(at) for at in range(file.num_row_groups)]
    schema = item_schema(eurosat.record)
    whole = []
    for table in tables:  # the file lacks columns without a single value
        for field in schema:
            if field.name not in table.column_names:
                table = table.append_column(field, pa.nulls(len(table), field.type))
        whole.append(table)
    return json.loads((folder / "collection.json").read_bytes()), whole, folder


def test_sheet_of_a_built_collection(catalog, tmp_path):
    collection, tables, folder = rows_of(catalog)
    assert write_overview(collection, tables, tmp_path, str(folder / "items.parquet"))
    first = (tmp_path / OVERVIEW_NAME).read_bytes()
    page = sheet(tmp_path)
    assert page.shape[1:] == (WIDTH, 3)
    assert len(first) < 1_500_000
    for entry in collection["summaries"]["classification:classes"]:
        dot = count(page, tuple(bytes.fromhex(entry["color_hint"])))
        assert dot > 80, entry["name"]  # at least one of 11 pixels across
    assert write_overview(collection, tables, tmp_path, str(folder / "items.parquet"))
    assert (tmp_path / OVERVIEW_NAME).read_bytes() == first


@pytest.mark.real
def test_sheet_of_the_real_samples(real_catalog, tmp_path):
    collection, tables, folder = rows_of(real_catalog)
    assert write_overview(collection, tables, tmp_path, str(folder / "items.parquet"))
    assert (tmp_path / OVERVIEW_NAME).stat().st_size < 1_500_000


def test_choice_shows_every_class_split_and_an_image_without_objects():
    names = [f"class {n}" for n in range(10)]
    tables = []
    for shard in range(3):
        classes = [[names[n % 9]] for n in range(1000)]
        splits = ["train"] * 1000
        if shard == 1:
            classes[617], splits[321], classes[5] = [names[9]], "test", []
        columns = {
            "satimnet:classes": pa.array(classes, pa.list_(pa.string())),
            "satimnet:split": pa.array(splits, pa.string()),
            "id": [f"{shard}-{n}" for n in range(1000)],
        }
        tables.append(pa.table(columns))
    chosen = ranked(tables, 14)
    assert len(set(chosen["id"].to_pylist())) == 14
    assert {name for row in chosen["satimnet:classes"].to_pylist() for name in row} == set(names)
    assert [] in chosen["satimnet:classes"].to_pylist()
    assert "test" in chosen["satimnet:split"].to_pylist()
    assert len({name[0] for name in chosen["id"].to_pylist()}) == 3
    assert ranked(tables, 14).equals(chosen)


def test_choice_without_classes_or_rows():
    columns = {
        "satimnet:classes": pa.nulls(5, pa.list_(pa.string())),
        "satimnet:split": pa.nulls(5, pa.string()),
    }
    table = pa.table(columns)
    assert len(ranked([table], 3)) == 3
    assert len(ranked([table], 9)) == 5
    assert len(ranked([table.slice(0, 0)], 9)) == 0


def test_small_objects_of_large_images_are_seen(tmp_path):
    mask = np.zeros((1500, 2000), np.uint8)
    mask[1200:1212, 300:308] = 1
    table = table_of(sample(tmp_path, "a", mask))
    assert drawn([table], tmp_path)
    # Without a window, 8 x 12 pixels of 1500 would be 2 x 3 pixels here, and no more.
    tinted = np.array([90, 90, 90]) + 0.3 * (np.array(SHIP) - 90)
    page = sheet(tmp_path).astype(int)
    assert (abs(page - tinted).max(axis=2) <= 4).sum() > 40
    item = items_of(table, str(tmp_path / "items.parquet"))[0]
    (view,) = views.read_views([item], COLLECTION, 245, 1)
    assert view.detail
    rows, columns = np.nonzero(view.mask)
    assert abs(rows.mean() - 122) < 10
    assert abs(columns.mean() - 122) < 10


def test_classes_count_the_same_in_the_choice_of_a_window(tmp_path):
    """A large harbor does not push a ship out of sight that could be shown beside it."""
    mask = np.zeros((1000, 1000), np.uint8)
    mask[0:60, 0:1000] = 2
    mask[120:132, 700:708] = 1
    table = table_of(sample(tmp_path, "a", mask))
    item = items_of(table, str(tmp_path / "items.parquet"))[0]
    (view,) = views.read_views([item], COLLECTION, 200, 1)
    assert set(np.unique(view.mask)) == {0, 1, 2}


def test_outlines_of_the_annotation_fall_on_the_mask(tmp_path):
    mask = np.zeros((600, 800), np.uint8)
    mask[400:440, 500:520] = 1
    one = sample(tmp_path, "a", mask)
    ring = [[500, 400], [500, 440], [520, 440], [520, 400], [500, 400]]
    shape = {"type": "MultiPolygon", "coordinates": [[ring]]}
    feature = {"type": "Feature", "properties": {"class": "ship"}, "geometry": shape}
    content = json.dumps({"type": "FeatureCollection", "features": [feature]})
    (tmp_path / "a.geojson").write_text(content)
    one["assets"]["annotation"] = {"href": "./a.geojson", "roles": ["annotation"]}
    item = items_of(table_of(one), str(tmp_path / "items.parquet"))[0]
    (view,) = views.read_views([item], COLLECTION, 245, 1)
    ((name, outline),) = view.outlines
    assert name == "ship"
    rows, columns = np.nonzero(view.mask)
    assert outline.min(axis=0) == pytest.approx([columns.min(), rows.min()], abs=1)
    assert outline.max(axis=0) == pytest.approx([columns.max() + 1, rows.max() + 1], abs=1)
    assert drawn([table_of(one)], tmp_path)
    assert count(sheet(tmp_path)[100:900], SHIP) > 60


def test_bands_of_one_and_of_several_files(tmp_path):
    """Red, green and blue are found by common name, in files of their own too, and stretched."""
    names = {"B02": "blue", "B03": "green", "B04": "red"}
    bands = [{"name": n, "eo:common_name": c} for n, c in names.items()]
    down, across = np.mgrid[0:40, 0:40].astype(np.uint16)
    values = np.stack([0 * down + 500, across * 20 + 300, down * 50 + 1000])  # blue, green, red
    place = rasterio.Affine(10, 0, 0, 0, -10, 0)
    profile = {"driver": "GTiff", "width": 40, "height": 40, "dtype": "uint16", "transform": place}
    with rasterio.open(tmp_path / "all.tif", "w", count=3, **profile) as file:
        file.write(values)
    together = {"href": "./all.tif", "roles": ["data"], "bands": [{"name": n} for n in names]}
    apart = {}
    for at, name in enumerate(names):
        with rasterio.open(tmp_path / f"{name}.tif", "w", count=1, **profile) as file:
            file.write(values[at], 1)
        apart[name] = {"href": f"./{name}.tif", "roles": ["data"], "bands": [{"name": name}]}
    specs = {"all": {"bands": bands}, **{b["name"]: {"bands": [b]} for b in bands}}
    found = []
    for assets in ({"all": together}, apart):
        item = items_of(table_of(row("a", assets, None)), f"{tmp_path}/x")[0]
        (view,) = views.read_views([item], {"item_assets": specs}, 40, 1)
        found.append(view.values)
        assert view.raw
    assert (found[0] == found[1]).all()
    assert (found[0] == values[::-1]).all()


@pytest.mark.parametrize("side", [1, 30, 64, 300])
def test_images_fill_their_tiles_whatever_their_size(tmp_path, side):
    image = np.zeros((side, side, 3), np.uint8)
    image[:, : side // 2] = (200, 40, 90)
    image[:, side // 2 :] = (40, 200, 90)
    assets = {"image": save(tmp_path / "a.png", image) | {"roles": ["data"], "bands": RGB}}
    item = items_of(table_of(row("a", assets, None)), f"{tmp_path}/x")[0]
    (view,) = views.read_views([item], COLLECTION, 245, 1)
    assert view.values.shape == (3, min(side, 245), min(side, 245))
    assert drawn([table_of(row("a", assets, None))], tmp_path)
    size = layout_of(1, 1).size
    page = np.asarray(sheet(tmp_path)).astype(int)
    green = (np.abs(page - (40, 200, 90)) < 8).all(axis=2).sum()
    assert green > 0.9 * size * size * (side - side // 2) / side


def test_what_cannot_be_read_is_passed_over(tmp_path, monkeypatch):
    mask = np.zeros((64, 64), np.uint8)
    mask[20:30, 20:30] = 1
    rows = [sample(tmp_path, name, mask) for name in ("a", "b", "c", "d")]
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "b-mask.png").unlink()
    whole = (tmp_path / "c.png").read_bytes()
    (tmp_path / "c.png").write_bytes(whole[: len(whole) // 2])
    assert drawn([table_of(*rows)], tmp_path)
    (tmp_path / OVERVIEW_NAME).unlink()
    assert not write_overview(
        COLLECTION, [table_of(*rows[:2])], tmp_path, str(tmp_path / "items.parquet")
    )
    monkeypatch.setattr(views, "_LARGEST", 1000)
    assert not write_overview(
        COLLECTION, [table_of(*rows)], tmp_path, str(tmp_path / "items.parquet")
    )
    assert not (tmp_path / OVERVIEW_NAME).exists()


def test_without_a_mask(tmp_path):
    """Of samples with and without masks both are shown; without any mask, images alone."""
    mask = np.full((64, 64), 2, np.uint8)
    rows = [sample(tmp_path, name, mask) for name in ("a", "b")]
    del rows[1]["assets"]["mask"]
    rows[1] |= {"satimnet:classes": None, "satimnet:statistics": None}
    assert drawn([table_of(*rows)], tmp_path)
    assert count(sheet(tmp_path), HARBOR) > 50
    assert write_overview(
        COLLECTION, [table_of(*rows[1:])], tmp_path, str(tmp_path / "items.parquet")
    )
    assert count(sheet(tmp_path), HARBOR) == 0


@pytest.mark.parametrize("pictures", [1, 2])
@pytest.mark.parametrize("tiles", [1, 2, 5, 12, 24])
def test_pages_are_as_wide_as_they_should_be(tiles, pictures):
    grid = layout_of(tiles, pictures)
    picture = np.full((grid.size, grid.size, 3), 77, np.uint8)
    tags = tuple(Tag(f"a class with a rather long title {n}", (n, 0, 200)) for n in range(9))
    tile = Tile((picture,) * pictures, "an id that does not fit " * 9, "validation", tags)
    data = draw_sheet("Title " * 90, "", [tile] * tiles, grid, tags * 9)
    page = np.asarray(Image.open(io.BytesIO(data)))
    assert page.shape[1] == WIDTH
    assert (page[:, :20] == 255).all()
    assert (page[:, -20:] == 255).all()


def test_a_page_of_noise_is_made_smaller():
    grid = layout_of(4, 2)
    noise = np.random.default_rng(0).integers(0, 256, (grid.size, grid.size, 3), np.uint8)
    data = draw_sheet("Noise", "", [Tile((noise, "no mask"), "a", "", ())] * 12, grid, [])
    page = np.asarray(Image.open(io.BytesIO(data)))
    assert len(np.unique(page[200:300, 40:300])) == 32
