"""A source with known faults, in the official layouts of EuroSAT and DOTA, and ways to spoil the
catalog that was built of it. Every fault is in `IN_SOURCE` or `IN_CATALOG` with the check that must
find it and the Item that it must name."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from published import home_of

SIZE = 64
CLASSES = ("AnnualCrop", "Forest", "Highway", "Industrial", "Pasture", "PermanentCrop")
PER_CLASS = 6
SPLITS = ("train", "train", "train", "train", "validation", "test")  # by number

IN_SOURCE = {
    ("duplicate-across-splits", "AnnualCrop_90"),
    ("duplicate", "Forest_90"),
    ("duplicate-with-other-labels", "Highway_90"),
    ("near-duplicate-across-splits", "Industrial_90"),
    ("near-duplicate", "Pasture_90"),
    ("near-duplicate-with-other-labels", "PermanentCrop_90"),
    ("constant", "SeaLake_1"),
    ("saturated", "SeaLake_2"),
    ("no-data", "SeaLake_3"),
    ("outlier", "SeaLake_4"),
    ("constant-band", "Forest_2"),
    ("overlap-across-splits", "Forest_6"),
    ("object-outside", "P0001"),
    ("object-identical", "P0002"),
    ("object-tiny", "P0003"),
    ("object-empty", "P0004"),
    ("odd-image", "P0005"),
    ("no-label", "P0006"),
    ("class-missing-in-split", "eurosat"),
    ("class-unused", "eurosat"),
    ("imbalance", "dota"),
}
IN_CATALOG = {
    ("checksum", "Forest_1"),
    ("unreadable", "Forest_3"),
    ("unreadable", "Pasture_2"),
    ("unreadable", "Industrial_4"),
    ("shape", "AnnualCrop_2"),
    ("shape", "AnnualCrop_3"),
    ("unknown-class", "AnnualCrop_4"),
    ("unknown-class", "P0003"),
    ("label-mismatch", "P0001"),
    ("label-mismatch", "P0002"),
    ("mask-shape", "P0004"),
}


def scene(seed: int, size: int = SIZE) -> np.ndarray:
    """Made-up ground (y, x, band), uint8: coarse and fine patches of all brightnesses."""
    rng = np.random.default_rng(seed)
    values = np.zeros((size, size), np.float32)
    for cells, weight in ((size // 16, 18), (size // 8, 14), (size // 4, 10), (size // 2, 5)):
        coarse = Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
        values += weight * np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))
    bands = [110 + values, 120 + 0.9 * values, 100 + 0.8 * values]
    return np.stack(bands, -1).clip(1, 254).astype(np.uint8)


def jpeg(pixels: np.ndarray, quality: int = 100, comment: bytes = b"") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(
        file, "JPEG", quality=quality, subsampling=0, **({"comment": comment} if comment else {})
    )
    return file.getvalue()


def large_png(side: int = 14_000) -> bytes:
    """A PNG of RGB whose header and chunks are sound; nothing is to decode what is in them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    head = chunk(b"IHDR", side.to_bytes(4) * 2 + bytes((8, 2, 0, 0, 0)))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", bytes(2**18)) + chunk(b"IEND", b"")


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def geotiff(bands: np.ndarray, easting: float) -> bytes:
    from rasterio import Affine
    from rasterio.io import MemoryFile

    place = {"crs": "EPSG:32632", "transform": Affine(10, 0, easting, 0, -10, 5_000_000)}
    shape = {"width": SIZE, "height": SIZE, "count": 13, "dtype": "uint16", "interleave": "pixel"}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", **shape, **place) as image:
            image.write(bands)
        return bytes(memory.getbuffer())


def write_source(folder: Path, *, faults: bool) -> dict[str, list[Path]]:
    """Writes the source, with or without its faults; returns what `build` takes as ``assigned``."""
    eurosat, dota = folder / "eurosat", folder / "dota"
    files: dict[str, bytes] = {}
    splits = {split: [] for split in SPLITS}

    def add(name: str, number: int, data: bytes, split: str | None = None) -> None:
        files[f"2750/{name}/{name}_{number}.jpg"] = data
        splits[split or SPLITS[number - 1]].append(f"{name}/{name}_{number}.jpg")

    for at, name in enumerate(CLASSES):
        for number in range(1, PER_CLASS + 1):
            add(name, number, jpeg(scene(100 * at + number)))
    rng = np.random.default_rng(0)
    tif = "ds/images/remote_sensing/otherDatasets/sentinel_2/tif/Forest"
    for number, easting in ((2, 500_000), (6, 500_320 if faults else 600_000)):
        bands = rng.integers(200, 3000, (13, SIZE, SIZE)).astype(np.uint16)
        bands[9] = 12 if faults and number == 2 else bands[9]
        files[f"{tif}/Forest_{number}.tif"] = geotiff(bands, easting)
    if faults:
        _add_faults(add)
    for split, names in splits.items():
        files[f"extras/{split}.csv"] = ("Filename\n" + "\n".join(names)).encode()
    for path, data in files.items():
        (eurosat / path).parent.mkdir(parents=True, exist_ok=True)
        (eurosat / path).write_bytes(data)
    _write_dota(dota, faults=faults)
    return {"eurosat": [eurosat], "dota": [dota]}


def _add_faults(add: Callable[..., None]) -> None:
    # the pixels are the same, the files are not
    add("AnnualCrop", 90, jpeg(scene(1), comment=b"a copy"), "test")
    add("Forest", 90, jpeg(scene(101), comment=b"a copy"), "train")
    add("Highway", 90, jpeg(scene(1 + 100 * CLASSES.index("Pasture")), comment=b"a copy"), "train")
    darker = (scene(1 + 100 * CLASSES.index("Industrial")) * 0.8).astype(np.uint8)
    add("Industrial", 90, jpeg(darker, quality=60), "test")
    large = scene(777, 2 * SIZE)
    add("Pasture", 89, jpeg(large[20:84, 20:84]), "train")
    add("Pasture", 90, jpeg(large[29:93, 34:98]), "train")
    add("PermanentCrop", 90, jpeg(scene(2 + 100 * CLASSES.index("Highway")), quality=70), "train")
    add("SeaLake", 1, jpeg(np.full((SIZE, SIZE, 3), (20, 40, 60), np.uint8)), "train")
    white, holes = scene(901), scene(902)
    white[:32], holes[:16] = 255, 0
    add("SeaLake", 2, jpeg(white), "train")
    add("SeaLake", 3, jpeg(holes), "train")
    add("SeaLake", 4, jpeg(scene(903) // 12), "train")


def _write_dota(folder: Path, *, faults: bool) -> None:
    boxes = {
        "P0001": [(10, 10, 40, 30, "ship"), (60, 60, 90, 90, "plane")],
        "P0002": [(10, 10, 40, 30, "ship"), (100, 60, 140, 90, "ship")],
        "P0003": [(30, 30, 60, 50, "ship"), (100, 60, 140, 90, "plane")],
        "P0004": [(30, 30, 60, 50, "ship")],
        "P0005": [(30, 30, 60, 50, "ship")],
        "P0006": [(30, 30, 60, 50, "ship")],
    }
    images = {name: scene(2000 + at, 192) for at, name in enumerate(boxes)}
    images["P0004"] = images["P0004"][:160]
    if faults:
        boxes["P0001"].append((170, 100, 230, 120, "ship"))
        boxes["P0002"].append((10, 10, 40, 30, "plane"))
        boxes["P0003"].append((150, 150, 151, 151, "plane"))
        boxes["P0004"].append((90, 40, 90, 80, "ship"))
        images["P0005"] = images["P0005"][..., 0]
        boxes["P0005"] += [(8 * k, 100, 8 * k + 6, 110, "ship") for k in range(3)]
        del boxes["P0006"]
        for number in range(7, 20):  # ships everywhere
            boxes[f"P{number:04d}"] = [(30, 30, 60, 50, "ship")]
            images[f"P{number:04d}"] = scene(2000 + number, 192)
            if number == 19:
                boxes["P0019"].append((80, 80, 100, 100, "harbor"))
    train = folder / "train"
    (train / "images").mkdir(parents=True)
    (train / "labelTxt-v1.0/labelTxt").mkdir(parents=True)
    for name, pixels in images.items():
        Image.fromarray(pixels).save(train / f"images/{name}.png")
    for name, own in boxes.items():
        lines = ["imagesource:GoogleEarth", "gsd:0.5"]
        lines += [f"{a} {b} {c} {b} {c} {d} {a} {d} {what} 0" for a, b, c, d, what in own]
        (train / f"labelTxt-v1.0/labelTxt/{name}.txt").write_text("\n".join(lines))


# --- the built catalog --------------------------------------------------------------------------


def spoil(catalog: Path) -> None:
    """Plants the faults of `IN_CATALOG`."""

    def classes(row: dict[str, Any]) -> None:
        row["satimnet:classes"] = ["<b>Atlantis</b>"]

    def shape(row: dict[str, Any]) -> None:
        row["assets"]["rgb"]["proj:shape"] = [32, 32]

    def bands(row: dict[str, Any]) -> None:
        row["assets"]["rgb"]["bands"] = [{"name": "red"}]

    edit(home_of(catalog), {"AnnualCrop_2": shape, "AnnualCrop_3": bands})
    edit(home_of(catalog), {"AnnualCrop_4": classes})
    _overwrite(catalog, "Forest_1", -200, b"\x55")  # in the pixels
    _overwrite(catalog, "Forest_3", 0, b"nothing!")
    first, _, shard = _place(catalog, "Pasture_2")
    with shard.open("r+b") as file:
        file.truncate(first + 100)
    _place(catalog, "Industrial_4")[2].unlink()

    def counts(row: dict[str, Any]) -> None:
        row["satimnet:statistics"][0]["count"] += 1

    def tags(row: dict[str, Any]) -> None:
        row["satimnet:classes"] = ["ship", "harbor"]

    other = row_of(home_of(catalog, "dota"), "P0005")["assets"]["mask"]

    def mask(row: dict[str, Any]) -> None:
        row["assets"]["mask"] = other

    edit(home_of(catalog, "dota"), {"P0001": counts, "P0002": tags, "P0004": mask})
    path = home_of(catalog, "dota") / "collection.json"
    collection = json.loads(path.read_bytes())
    table = collection["summaries"]["classification:classes"]
    table[:] = [row for row in table if row["name"] != "plane"]
    path.write_text(json.dumps(collection))


def row_of(folder: Path, item: str) -> dict[str, Any]:
    rows = pq.read_table(folder / "items.parquet").to_pylist()
    return next(row for row in rows if row["id"] == item)


def edit(folder: Path, changes: dict[str, Callable[[dict[str, Any]], None]]) -> None:
    """Rewrites the parquet of a collection, row group by row group."""
    path = folder / "items.parquet"
    with pq.ParquetFile(path) as file:
        groups = [file.read_row_group(at) for at in range(file.num_row_groups)]
    with pq.ParquetWriter(path, groups[0].schema) as writer:
        for group in groups:
            rows = group.to_pylist()
            for row in rows:
                changes.get(row["id"], lambda _: None)(row)
            writer.write_table(pa.Table.from_pylist(rows, group.schema))


def _place(catalog: Path, item: str) -> tuple[int, int, Path]:
    """First byte, last byte and shard of the JPEG of an Item."""
    home = home_of(catalog)
    asset = row_of(home, item)["assets"]["rgb"]
    return (*asset["archive"][0]["range"], home / asset["href"])


def _overwrite(catalog: Path, item: str, at: int, data: bytes) -> None:
    first, last, shard = _place(catalog, item)
    with shard.open("r+b") as file:
        file.seek(first + at if at >= 0 else last + at)
        file.write(data)
