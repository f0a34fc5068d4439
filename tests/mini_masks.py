"""A small catalog of patches with masks, in the form of a fused collection, for tests of training.

What a network can learn in it is known: a class is a colour, with noise over it.
"""

import json
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from mini_catalog import COLLECTION, item_table, tiff

CLASSES = ["Field", "Lake", "Town"]
BANDS = ["B02", "B03", "B04"]
MASK = [
    {"value": 0, "name": "no-observation", "color_hint": "000000"},
    {"value": 1, "name": "water", "color_hint": "0000FF"},
    {"value": 2, "name": "built-up", "color_hint": "FF0000"},
    {"value": 3, "name": "other", "color_hint": "C8C8C8"},
]
SIDE = 64

_ASSET = pa.struct(
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


def make_patches(count, seed=0, side=SIDE, dtype=np.uint16):
    """`count` patches a class. The mask has water left of a line, built-up or other right of it.

    Colour tells the pixel's class by the mask (first two bands) and the patch's (the last band).
    Along the top nothing is observed.
    """
    generator = np.random.default_rng(seed)
    patches = []
    for label, name in enumerate(CLASSES):
        for k in range(count):
            mask = np.full((side, side), 2 + (k + label) % 2, np.uint8)
            mask[:, : generator.integers(side // 4, 3 * side // 4)] = 1
            image = generator.normal(0, 300, (side, side, 3))
            image[..., 0] += 2000 + 4000 * (mask == 1)
            image[..., 1] += 2000 + 4000 * (mask == 2)
            image[..., 2] += 2000 + 4000 * label
            mask[: side // 8] = 0
            patches.append(
                {
                    "id": f"{name}_{k}",
                    "classes": [name],
                    "source": "one" if k % 4 else "other",
                    "fold": k % 2,
                    "image": image.round().clip(0).astype(dtype),
                    "mask": mask,
                }
            )
    return patches


def write_masked_catalog(folder, patches, mask_classes=MASK, recipe="0" * 64):
    """Write a catalog of patches as `make_patches` makes them; return its catalog.json."""
    home = folder / "fused"
    (home / "shards").mkdir(parents=True)
    rows = []
    path = home / "shards" / "00000.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for patch in patches:
            assets = {
                key: _member(archive, path, f"{patch['id']}_{key}", patch[key])
                for key in ("image", "mask")
                if patch.get(key) is not None
            }
            row = {"id": patch["id"], "collection": "fused", "assets": assets}
            row |= {"satimnet:classes": patch["classes"], "satimnet:source": patch["source"]}
            rows.append(row | {"satimnet:fold": patch["fold"]})
    kinds = {
        "id": pa.string(),
        "collection": pa.string(),
        "assets": pa.struct({"image": _ASSET, "mask": _ASSET}),
        "satimnet:classes": pa.list_(pa.string()),
        "satimnet:source": pa.string(),
        "satimnet:fold": pa.int64(),
    }
    pq.write_table(item_table(rows, kinds), home / "items.parquet")
    table = [
        {"value": k + 1, "name": name, "color_hint": colour}
        for k, (name, colour) in enumerate(zip(CLASSES, ("E8C468", "08519C", "D7301F")))
    ]
    mask = {"roles": ["mask"], "bands": [{"name": "class"}]}
    collection = COLLECTION | {
        "type": "Collection",
        "id": "fused",
        "satimnet:recipe": {"sha256": recipe},
        "item_assets": {
            "image": {"roles": ["data"], "bands": [{"name": name} for name in BANDS]},
            "mask": mask | {"classification:classes": mask_classes},
        },
        "summaries": {"classification:classes": table},
        "assets": {"items": {"href": "./items.parquet", "roles": ["collection-mirror"]}},
    }
    (home / "collection.json").write_text(json.dumps(collection))
    child = {"rel": "child", "href": "./fused/collection.json"}
    (folder / "catalog.json").write_text(json.dumps({"type": "Catalog", "links": [child]}))
    return folder / "catalog.json"


def _member(archive, path, name, pixels):
    stored = pixels if pixels.ndim == 3 else pixels[..., None]
    data = tiff(stored)
    archive.writestr(name, data)
    first = archive.getinfo(name).header_offset + 30 + len(name)
    return {
        "href": f"./shards/{path.name}",
        "archive": [{"href": name, "type": "image/tiff", "range": [first, first + len(data) - 1]}],
        "satimnet:pixels": {
            "offset": first + len(data) - pixels.nbytes,  # GDAL writes them last
            "dtype": pixels.dtype.str,
            "shape": list(stored.shape),
            "order": ["y", "x", "band"],
        },
    }
