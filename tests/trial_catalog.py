"""A catalog of two unlike collections, as files that the builder did not write."""

import json
import random
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

SPLITS = ["train", "validation", "test", None]
CLASSES = ["Forest", "River", "SeaLake", "Höhle", "it's"]
TITLES = ["Forêt %", "foret_", "FORÊT", "Straße", "STRASSE", "a\\b"]
ODD = 'o"dd; name'
STRINGS = pa.list_(pa.string())
INTEGERS = pa.list_(pa.int64())
TIME = pa.timestamp("us", tz="UTC")
LINK = pa.struct([(key, pa.string()) for key in ("href", "rel", "type", "title")])
MEMBER = pa.struct(
    [("href", pa.string()), ("type", pa.string()), ("range", INTEGERS), ("file:size", pa.int64())]
)
ASSET = pa.struct(
    [
        ("href", pa.string()),
        ("type", pa.string()),
        ("roles", STRINGS),
        ("bands", pa.list_(pa.struct([("name", pa.string())]))),
        ("archive", pa.list_(MEMBER)),
        (
            "satimnet:pixels",
            pa.struct([("offset", pa.int64()), ("dtype", pa.string()), ("shape", INTEGERS)]),
        ),
    ]
)
HEAD = {
    "type": pa.string(),
    "stac_version": pa.string(),
    "stac_extensions": STRINGS,
    "id": pa.string(),
    "geometry": pa.binary(),
    "bbox": pa.struct([(key, pa.float64()) for key in ("xmin", "ymin", "xmax", "ymax")]),
    "collection": pa.string(),
    "links": pa.list_(LINK),
}
COMMON = {
    "title": pa.string(),
    "datetime": TIME,
    "start_datetime": TIME,
    "end_datetime": TIME,
    "satimnet:classes": STRINGS,
    "satimnet:split": pa.string(),
}
PROPERTIES = {
    "eurosat": {
        "gsd": pa.float64(),
        "proj:code": pa.string(),
        "proj:shape": INTEGERS,
        "proj:transform": pa.list_(pa.float64()),
        "satimnet:fold": pa.int64(),
        ODD: pa.string(),
    },
    "clouds": {"gsd": pa.int64(), "eo:cloud_cover": pa.float64(), "reviewed": pa.bool_()},
}
ASSETS = {"eurosat": ["rgb", "multispectral"], "clouds": ["scene"]}
SIZES = {"eurosat": 400, "clouds": 250}


def time_text(rng):
    day = datetime(2018, 1, 1, tzinfo=UTC) + timedelta(days=rng.randrange(30))
    if rng.random() < 0.3:
        day += timedelta(seconds=rng.randrange(86400), microseconds=rng.choice([0, 0, 250_000]))
    return day.isoformat().replace("+00:00", "Z")


def shape_of(rng):
    """A box or a diamond on a coarse grid, so that many touch, or two boxes at 180 degrees."""
    x, y, size = rng.randrange(10), rng.randrange(40, 50), rng.choice([1, 1, 2])
    if rng.random() < 0.05:
        return shapely.MultiPolygon(
            [shapely.box(180 - size, y, 180, y + 1), shapely.box(-180, y, size - 180, y + 1)]
        )
    if rng.random() < 0.3:
        return shapely.Polygon([(x, y + 1), (x + 1, y), (x + 2, y + 1), (x + 1, y + 2)])
    return shapely.box(x, y, x + size, y + size)


def make_item(rng, collection, number):
    properties = {
        "title": rng.choice([*TITLES, f"n{number}"]),
        "datetime": None,
    }
    if rng.random() < 0.5:
        properties["datetime"] = time_text(rng)
    if properties["datetime"] is None or rng.random() < 0.2:
        span = sorted([time_text(rng), time_text(rng)], key=datetime.fromisoformat)
        properties["start_datetime"], properties["end_datetime"] = span
    if rng.random() < 0.9:
        properties["satimnet:classes"] = rng.sample(CLASSES, rng.randrange(4))
    if split := rng.choice(SPLITS):
        properties["satimnet:split"] = split
    shape = None if rng.random() < 0.15 else shape_of(rng)
    if collection == "eurosat":
        if rng.random() < 0.8:
            properties["gsd"] = rng.choice([10.0, 20.0, 0.5, 3.0])
        if shape is not None:
            properties["proj:code"] = rng.choice(["EPSG:32632", "EPSG:32633"])
            properties["proj:shape"] = rng.choice([[64, 64], [64, 32], [32, 64]])
            properties["proj:transform"] = [10.0, 0.0, 5e5, 0.0, -10.0, 4e6]
        if rng.random() < 0.7:
            properties["satimnet:fold"] = rng.randrange(5)
        if rng.random() < 0.5:
            properties[ODD] = rng.choice(["a", "b'; --"])
    else:
        properties["gsd"] = rng.choice([10, 30])
        if rng.random() < 0.8:
            properties["eo:cloud_cover"] = round(rng.random() * 100, 1)
        if rng.random() < 0.8:
            properties["reviewed"] = rng.random() < 0.5
    shard = f"./shards/{'AB'[number % 2]}.zip"
    keys = [key for key in ASSETS[collection] if key != "multispectral" or rng.random() < 0.3]
    assets = {
        key: {
            "href": shard,
            "type": "application/zip",
            "roles": ["data"],
            "bands": [{"name": "red"}, {"name": "green"}],
            "archive": [
                {"href": f"x/{number}.tif", "type": "image/tiff", "range": [3, 7], "file:size": 5}
            ],
        }
        for key in keys
    }
    if "multispectral" in assets:
        assets["multispectral"]["satimnet:pixels"] = {
            "offset": 64 * number,
            "dtype": "<u2",
            "shape": [64, 64, 13],
        }
    item = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": ["https://stac-extensions.github.io/archive/v1.0.0/schema.json"],
        "id": f"{collection}_{number % (SIZES[collection] - 3)}",  # three ids stand twice
        "collection": collection,
        "geometry": shape and json.loads(shapely.to_geojson(shape)),
        "properties": properties,
        "links": [
            {"rel": "root", "href": "../catalog.json", "type": "application/json"},
            {"rel": "parent", "href": "./collection.json", "type": "application/json"},
            {"rel": "collection", "href": "./collection.json", "type": "application/json"},
        ],
        "assets": assets,
    }
    if shape is not None:
        west, south, east, north = shape.bounds
        if isinstance(shape, shapely.MultiPolygon):
            west, east = shape.geoms[0].bounds[0], shape.geoms[1].bounds[2]  # RFC 7946, 5.2
        item["bbox"] = [west, south, east, north]
    return item


def write_parquet(items, path, collection):
    types = HEAD | {
        "assets": pa.struct([(key, ASSET) for key in ASSETS[collection]]),
        **COMMON,
        **PROPERTIES[collection],
    }
    columns = {}
    for name, type_ in types.items():
        if name == "geometry":
            shapes = [
                item["geometry"] and shapely.geometry.shape(item["geometry"]) for item in items
            ]
            values = shapely.to_wkb(np.array(shapes, dtype=object)).tolist()
        elif name == "bbox":
            keys = ("xmin", "ymin", "xmax", "ymax")
            values = [item.get("bbox") and dict(zip(keys, item["bbox"])) for item in items]
        elif name in HEAD or name == "assets":
            values = [item[name] for item in items]
        else:
            values = [item["properties"].get(name) for item in items]
        if type_ == TIME:
            values = [value and datetime.fromisoformat(value) for value in values]
        columns[name] = pa.array(values, type_)
    geo = {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {"geometry": {"encoding": "WKB", "geometry_types": []}},
    }
    metadata = {"geo": json.dumps(geo), "stac-geoparquet": json.dumps({"version": "1.0.0"})}
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path, row_group_size=64)


def write_catalog(folder):
    """Writes the catalog, the same every time; returns the Items of each collection."""
    files, items = made()
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return json.loads(items)


@cache
def made():
    """The content of the files by path, and the Items as JSON."""
    with TemporaryDirectory() as folder:
        items = json.dumps(write_anew(Path(folder)))
        paths = [path for path in Path(folder).rglob("*") if path.is_file()]
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}, items


def write_anew(folder):
    rng = random.Random(7)
    everything = {name: [make_item(rng, name, n) for n in range(k)] for name, k in SIZES.items()}
    for name, items in everything.items():
        home = folder / name
        (home / "shards").mkdir(parents=True)
        for shard in "AB":
            (home / f"shards/{shard}.zip").write_bytes(f"{name} {shard} bytes".encode())
        write_parquet(items, home / "items.parquet", name)
        # Two of the Items as files, one level down, for what walks the tree.
        (home / "sub").mkdir()
        for item in items[:2]:
            lower = json.loads(json.dumps(item).replace('"./', '"../').replace('"../c', '"../../c'))
            (home / f"sub/{item['id']}.json").write_text(json.dumps(lower))
        sub = {
            "type": "Catalog",
            "id": "sub",
            "stac_version": "1.1.0",
            "description": "two Items",
            "links": [
                {"rel": "root", "href": "../../catalog.json"},
                {"rel": "parent", "href": "../collection.json"},
                *({"rel": "item", "href": f"./{item['id']}.json"} for item in items[:2]),
            ],
        }
        (home / "sub/catalog.json").write_text(json.dumps(sub))
        collection = {
            "type": "Collection",
            "id": name,
            "stac_version": "1.1.0",
            "description": f"The {name}",
            "license": "other",
            "extent": {
                "spatial": {"bbox": [[-180, 40, 180, 52]]},
                "temporal": {"interval": [["2018-01-01T00:00:00Z", "2018-02-01T00:00:00Z"]]},
            },
            "links": [
                {"rel": "root", "href": "../catalog.json"},
                {"rel": "parent", "href": "../catalog.json"},
                {"rel": "child", "href": "./sub/catalog.json"},
            ],
            "assets": {
                "geoparquet-items": {
                    "href": "./items.parquet",
                    "type": "application/vnd.apache.parquet",
                    "roles": ["collection-mirror"],
                }
            },
        }
        (home / "collection.json").write_text(json.dumps(collection))
    root = {
        "type": "Catalog",
        "id": "trial",
        "stac_version": "1.1.0",
        "description": "Two collections",
        "links": [
            {"rel": "root", "href": "./catalog.json"},
            *({"rel": "child", "href": f"./{name}/collection.json"} for name in everything),
        ],
    }
    (folder / "catalog.json").write_text(json.dumps(root))
    return everything


def absolute(everything, base):
    def href(text, home):
        return f"{base}{text[2:]}" if text.startswith("../") else f"{home}{text[1:]}"

    items = json.loads(json.dumps(everything))
    for name, members in items.items():
        for item in members:
            for thing in [*item["links"], *item["assets"].values()]:
                thing["href"] = href(thing["href"], f"{base}/{name}")
    return [item for members in items.values() for item in members]


def ids_of(items):
    return [(item["collection"], item["id"]) for item in items]
