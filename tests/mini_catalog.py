"""A miniature catalog, written from the spec and not by the builder, for tests of reading it."""

import io
import json
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rasterio
import torch
from PIL import Image

CLASSES = ["Field", "Lake", "Town"]
BANDS = [*(f"B{k:02d}" for k in range(1, 13)), "B8A"]
SIDE = 64


COLLECTION = {
    "stac_version": "1.1.0",
    "description": "Made up",
    "license": "other",
    "extent": {
        "spatial": {"bbox": [[-180, -90, 180, 90]]},
        "temporal": {"interval": [[None, None]]},
    },
    "links": [],
}
"""What a Collection must have besides its id (STAC specification, collection-spec)."""


def item_table(rows, kinds):
    """A table of Items without a place: the columns of `kinds`, and those that all Items have."""
    count = len(rows)
    box = pa.struct(dict.fromkeys(("xmin", "ymin", "xmax", "ymax"), pa.float64()))
    others = {
        "type": pa.array(["Feature"] * count, pa.string()),
        "stac_version": pa.array(["1.1.0"] * count, pa.string()),
        "geometry": pa.nulls(count, pa.binary()),
        "bbox": pa.nulls(count, box),
        "links": pa.nulls(count, pa.list_(pa.struct({"href": pa.string(), "rel": pa.string()}))),
    }
    if "assets" not in kinds:
        others["assets"] = pa.nulls(count, pa.struct({"image": pa.struct({"href": pa.string()})}))
    table = pa.Table.from_pylist(rows, pa.schema(kinds))
    for name, column in others.items():
        table = table.append_column(name, column)
    return table


def tiff(pixels, **options):
    """A GeoTIFF of (y, x, band), uncompressed and in one run unless options say otherwise."""
    height, width, count = pixels.shape
    profile = {"height": height, "width": width, "count": count, "dtype": pixels.dtype}
    profile["transform"] = rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)
    with rasterio.MemoryFile() as file:
        layout = {"interleave": "pixel", "blockysize": height} | options
        with file.open(driver="GTiff", **profile, **layout) as dataset:
            dataset.write(np.moveaxis(pixels, -1, 0))
        return file.read()


def jpeg(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


def write_catalog(folder, samples, per_shard=4):
    """Write a catalog. samples: dicts id, class, split or None, rgb and multispectral: arrays.

    Samples of a class lie in shards of `per_shard`. A multispectral array may be file bytes.
    """
    home = folder / "mini"
    (home / "shards").mkdir(parents=True)
    rows = []
    for name in CLASSES:
        members = [s for s in samples if s["class"] == name]
        for k in range(0, len(members), per_shard):
            shard = f"{name}-{k // per_shard:05d}.zip"
            rows += write_shard(home / "shards" / shard, members[k : k + per_shard])
    kinds = {
        "id": pa.string(),
        "collection": pa.string(),
        "assets": pa.struct({"rgb": ASSET, "multispectral": ASSET}),
        "satimnet:classes": pa.list_(pa.string()),
        "satimnet:split": pa.string(),
    }
    item_assets = {
        "rgb": {"roles": ["visual"], "bands": [{"name": n} for n in ("red", "green", "blue")]},
        "multispectral": {"bands": [{"name": n} for n in BANDS]},
    }
    return write_metadata(folder, home, item_table(rows, kinds), item_assets)


def write_metadata(folder, home, rows, item_assets):
    """Write the item table, the collection in `home` and the catalog over it."""
    pq.write_table(rows, home / "items.parquet")
    table = [{"value": 0, "name": "Nothing"}]
    table += [{"value": k + 1, "name": name} for k, name in enumerate(CLASSES)]
    collection = COLLECTION | {
        "type": "Collection",
        "id": home.name,
        "item_assets": item_assets,
        "summaries": {"classification:classes": table},
        "assets": {"items": {"href": "./items.parquet", "roles": ["collection-mirror"]}},
    }
    (home / "collection.json").write_text(json.dumps(collection))
    child = {"rel": "child", "href": f"./{home.name}/collection.json"}
    (folder / "catalog.json").write_text(json.dumps({"type": "Catalog", "links": [child]}))
    return folder / "catalog.json"


def write_band_catalog(folder, samples, encode):
    """Write a catalog of samples with a file for each band, 4 in a shard.

    samples: dicts id, classes, mask, files: band names to uint16 (y, x, 1), which `encode` makes
    files of.
    """
    home = folder / "bands"
    (home / "shards").mkdir(parents=True)
    bands = list(dict.fromkeys(name for s in samples for name in s["files"]))
    rows = []
    for k in range(0, len(samples), 4):
        path = home / "shards" / f"{k // 4:05d}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for s in samples[k : k + 4]:
                assets = dict.fromkeys([*bands, "mask"])
                for name, pixels in s["files"].items():
                    data = encode(pixels)
                    place = asset(archive, path, f"{s['id']}_{name}.tif", "image/tiff", data)
                    assets[name] = place | pixels_of(place, data, pixels)
                data = palette_png(s["mask"])
                assets["mask"] = asset(archive, path, f"{s['id']}.png", "image/png", data)
                rows.append(
                    {"id": s["id"], "collection": "bands", "assets": assets}
                    | {"satimnet:classes": s["classes"]}
                )
    kinds = {
        "id": pa.string(),
        "collection": pa.string(),
        "assets": pa.struct(dict.fromkeys([*bands, "mask"], ASSET)),
        "satimnet:classes": pa.list_(pa.string()),
    }
    item_assets = {name: {"roles": ["data"], "bands": [{"name": name}]} for name in bands}
    item_assets["mask"] = {"roles": ["mask"], "bands": [{"name": "class"}]}
    return write_metadata(folder, home, item_table(rows, kinds), item_assets)


def pixels_of(place, data, pixels):
    """Where the pixels lie, if they lie uncompressed."""
    with rasterio.MemoryFile(data) as file, file.open() as image:
        if image.compression is not None:
            return {}
    at = data.find(pixels.tobytes())
    return {
        "satimnet:pixels": {
            "offset": place["archive"][0]["range"][0] + at,
            "dtype": "<u2",
            "shape": list(pixels.shape),
            "order": ["y", "x", "band"],
        }
    }


def palette_png(values):
    image = Image.fromarray(values, "P")
    image.putpalette([0, 0, 0, 250, 0, 0, 0, 250, 0, 0, 0, 250])
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


ASSET = pa.struct(
    {
        "href": pa.string(),
        "archive": pa.list_(
            pa.struct({"href": pa.string(), "type": pa.string(), "range": pa.list_(pa.int64())})
        ),
        "satimnet:pixels": pa.struct(
            {
                "offset": pa.int64(),
                "dtype": pa.string(),
                "shape": pa.list_(pa.int64()),
                "order": pa.list_(pa.string()),
            }
        ),
    }
)


def write_shard(path, samples):
    rows = []
    with zipfile.ZipFile(path, "w") as archive:
        for s in samples:
            assets = {}
            if s["rgb"] is not None:
                data = jpeg(s["rgb"])
                assets["rgb"] = asset(archive, path, f"{s['id']}.jpg", "image/jpeg", data)
            pixels = s["multispectral"]
            if pixels is not None:
                data = pixels if isinstance(pixels, bytes) else tiff(pixels)
                place = asset(archive, path, f"{s['id']}.tif", "image/tiff", data)
                if not isinstance(pixels, bytes):
                    place |= pixels_of(place, data, pixels)
                assets["multispectral"] = place
            classes = s["class"] if isinstance(s["class"], list) else [s["class"]]
            rows.append(
                {"id": s["id"], "collection": "mini", "assets": assets}
                | {"satimnet:classes": classes, "satimnet:split": s["split"]}
            )
    return rows


def asset(archive, path, name, kind, data):
    archive.writestr(name, data)
    first = archive.getinfo(name).header_offset + 30 + len(name)
    return {
        "href": f"./shards/{path.name}",
        "archive": [{"href": name, "type": kind, "range": [first, first + len(data) - 1]}],
    }


def make_samples(count, seed=0, multispectral=True):
    """`count` samples a class: a class-coloured plane under noise, so that they can be told."""
    generator = np.random.default_rng(seed)
    samples = []
    for label, name in enumerate(CLASSES):
        for k in range(count):
            rgb = generator.integers(0, 100, (SIDE, SIDE, 3), np.uint8)
            rgb[..., label] += 100
            many = generator.integers(0, 2**16, (SIDE, SIDE, 13), np.uint16)
            samples.append(
                {
                    "id": f"{name}_{k}",
                    "class": name,
                    "split": "test" if k % 3 == 0 else "train",
                    "rgb": rgb,
                    "multispectral": many if multispectral else None,
                }
            )
    return samples


def gathered(batches):
    """Images and labels of all batches in the order of the samples."""
    batches = list(batches)
    order = torch.cat([b.indices for b in batches]).argsort()
    images = torch.cat([b.images for b in batches])[order]
    return images.numpy(), torch.cat([b.labels for b in batches])[order].numpy()
