"""A catalog of unlike collections, as datasets are: some share bands, none share images."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from mini_catalog import make_samples, tiff, write_band_catalog, write_catalog
from mini_masks import make_patches, write_masked_catalog


def write_mixture(folder):
    """Write a catalog of four collections; return its catalog.json.

    mini: 18 patches with one class each, a third of them without the 13 bands. bands: 4 patches
    with a file for each of B02, B03, B04, and several classes. scenes: 6 images in red, green,
    blue, with several classes. tiles: 6 patches with B05, B06, B07 and masks. mini, bands and
    scenes have the classes of mini, and one more each.
    """
    generator = np.random.default_rng(0)
    patches = [
        sample | {"multispectral": sample["multispectral"] if k % 3 != 1 else None}
        for k, sample in enumerate(make_samples(6))
    ]
    write_catalog(folder, patches)
    files = [
        {name: generator.integers(0, 9, (64, 64, 1), np.uint16) for name in ("B02", "B03", "B04")}
        for _ in range(4)
    ]
    mask = np.zeros((64, 64), np.uint8)
    several = ["Field", "Snow"]
    write_band_catalog(
        folder,
        [
            {"id": f"p{k}", "classes": several, "mask": mask, "files": f}
            for k, f in enumerate(files)
        ],
        tiff,
    )
    _edit(folder / "bands", extra="Snow")

    scenes = make_samples(2, multispectral=False)
    (write_catalog(folder / "scenes.part", scenes).parent / "mini").rename(folder / "scenes")
    rows = pq.read_table(folder / "scenes/items.parquet").drop_columns(["collection"])
    colours = rows["assets"].combine_chunks().field("rgb")
    rows = rows.drop_columns(["assets", "satimnet:classes"])
    rows = rows.append_column("assets", pa.StructArray.from_arrays([colours], ["image"]))
    rows = rows.append_column("satimnet:classes", pa.array([["Field", "Ship"]] * len(rows)))
    rows = rows.append_column("collection", pa.array(["scenes"] * len(rows)))
    pq.write_table(rows, folder / "scenes/items.parquet")
    _edit(folder / "scenes", extra="Ship", images={"image": ["red", "green", "blue"]})

    tiles = write_masked_catalog(folder / "tiles.part", make_patches(2)).parent
    (tiles / "fused").rename(folder / "tiles")
    rows = pq.read_table(folder / "tiles/items.parquet").drop_columns(["collection"])
    rows = rows.append_column("collection", pa.array(["tiles"] * len(rows)))
    pq.write_table(rows, folder / "tiles/items.parquet")
    _edit(folder / "tiles", images={"image": ["B05", "B06", "B07"]})

    names = ("mini", "bands", "scenes", "tiles")
    links = [{"rel": "child", "href": f"./{name}/collection.json"} for name in names]
    (folder / "catalog.json").write_text(json.dumps({"type": "Catalog", "links": links}))
    return folder / "catalog.json"


def _edit(home, extra=None, images=None):
    """Change id, class table and bands of the images in the metadata of a collection."""
    path = home / "collection.json"
    document = json.loads(path.read_text()) | {"id": home.name}
    if extra:
        document["summaries"]["classification:classes"].append({"value": 9, "name": extra})
    masks = {k: v for k, v in document["item_assets"].items() if "mask" in v.get("roles", ())}
    if images:
        document["item_assets"] = masks | {
            key: {"roles": ["data"], "bands": [{"name": name} for name in names]}
            for key, names in images.items()
        }
    path.write_text(json.dumps(document))
