"""Samples that are made on the spot, as a catalog of EuroSAT would describe them.

A machine with a GPU may have neither the data nor the libraries that a catalog is built with. So
the shards are written here: uncompressed TIFFs of 13 bands and their masks. Classes differ in
colour, so that something can be learned; everything else is noise.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.training import Samples
from satimnet.training.data.sample_table import Collection

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
CLASSES = tuple(f"class-{number}" for number in range(10))
SIDE = 64
_MASK_CLASSES = ("water", "built-up", "other")
_SHARD = 2_000  # samples, as in a real shard of 256 MiB
_ALIGNED = 64
_SPREAD = 1024  # values of noise
_APART = 100  # by which classes differ

_ARCHIVE = {"href": pa.string(), "range": pa.list_(pa.int64()), "file:checksum": pa.string()}
_RUN = {
    "offset": pa.int64(),
    "dtype": pa.string(),
    "shape": pa.list_(pa.int64()),
    "order": pa.list_(pa.string()),
}
_ASSET = pa.struct(
    {
        "href": pa.string(),
        "archive": pa.list_(pa.struct(_ARCHIVE)),
        "satimnet:pixels": pa.struct(_RUN),
    }
)
_SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "collection": pa.string(),
        "parquet": pa.string(),
        "proj:shape": pa.list_(pa.int64()),
        "satimnet:classes": pa.list_(pa.string()),
        "assets": pa.struct({"image": _ASSET, "mask": _ASSET}),
    }
)
_NAME = "generated"


def make(folder: Path, count: int) -> Samples:
    """Writes the shards of so many samples into the folder; the same every time."""
    parquet = str(folder / "items.parquet")  # of which only the name is needed
    parts = [range(at, min(at + _SHARD, count)) for at in range(0, count, _SHARD)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = [row for part in pool.map(partial(_write, folder, parquet), parts) for row in part]
    document = CollectionDocument.of(_collection(), str(folder / "collection.json"))
    home = Collection(CLASSES, {"image": BANDS}, document, parquet)
    return Samples(pa.Table.from_pylist(rows, _SCHEMA), {_NAME: home}, CLASSES)


def _write(folder: Path, parquet: str, numbers: range) -> list[dict[str, Any]]:
    """A shard of these samples; gives their rows."""
    rng = np.random.default_rng(numbers.start)
    shard = f"shard-{numbers.start:06d}.zip"
    rows = []
    with (folder / shard).open("wb") as file:
        for number in numbers:
            label = number % len(CLASSES)
            pixels = np.frombuffer(rng.bytes(2 * SIDE * SIDE * len(BANDS)), np.uint16) % _SPREAD
            pixels = pixels.reshape(SIDE, SIDE, len(BANDS))
            pixels += np.arange(len(BANDS), dtype=np.uint16) % (label + 2) * np.uint16(_APART)
            seen = pixels[..., 0] * len(_MASK_CLASSES) // _SPREAD
            mask = (1 + seen).astype(np.uint8)[..., None]
            assets: dict[str, NDArray[Any]] = {"image": pixels, "mask": mask}
            rows.append(
                {
                    "id": f"sample-{number}",
                    "collection": _NAME,
                    "parquet": parquet,
                    "proj:shape": [SIDE, SIDE],
                    "satimnet:classes": [CLASSES[label]],
                    "assets": {key: _append(file, shard, image) for key, image in assets.items()},
                }
            )
    return rows


def _append(file: Any, shard: str, image: NDArray[Any]) -> dict[str, Any]:
    """Writes the image at the end of the shard; gives its asset."""
    header = _tiff_header(image.shape, image.dtype.itemsize)
    file.write(bytes(-file.tell() % _ALIGNED))
    first = file.tell()
    content = header + image.tobytes()
    file.write(content)
    member = {
        "href": f"{first}.tif",
        "range": [first, first + len(content) - 1],
        "file:checksum": f"1220{hashlib.sha256(content).hexdigest()}",
    }
    run = {
        "offset": first + len(header),
        "dtype": image.dtype.newbyteorder("<").str,
        "shape": list(image.shape),
        "order": ["y", "x", "band"],
    }
    return {"href": f"./{shard}", "archive": [member], "satimnet:pixels": run}


def _tiff_header(shape: Sequence[int], itemsize: int) -> bytes:
    """The TIFF up to its pixels: one strip, the bands of a pixel side by side.

    TIFF 6.0, section 2; 3 and 4 are its types SHORT and LONG.
    """
    rows, columns, bands = shape
    count = 11
    depths = 8 + 2 + 12 * count + 4
    formats = depths + 2 * bands
    start = -(-(formats + 2 * bands) // _ALIGNED) * _ALIGNED
    one = bands == 1
    entries = (
        (256, 3, 1, columns),
        (257, 3, 1, rows),
        (258, 3, bands, 8 * itemsize if one else depths),
        (259, 3, 1, 1),  # not compressed
        (262, 3, 1, 1),
        (273, 4, 1, start),
        (277, 3, 1, bands),
        (278, 3, 1, rows),
        (279, 4, 1, rows * columns * bands * itemsize),
        (284, 3, 1, 1),  # the bands of a pixel together
        (339, 3, bands, 1 if one else formats),
    )
    parts = [struct.pack("<2sHIH", b"II", 42, 8, count)]
    parts += [struct.pack("<HHII", *entry) for entry in entries]
    parts.append(struct.pack("<I", 0))
    parts.append(struct.pack(f"<{bands}H", *[8 * itemsize] * bands))
    parts.append(struct.pack(f"<{bands}H", *[1] * bands))
    return b"".join(parts).ljust(start, b"\0")


def _collection() -> dict[str, Any]:
    classes = [{"name": name, "value": k + 1} for k, name in enumerate(CLASSES)]
    seen = [{"name": name, "value": k + 1} for k, name in enumerate(_MASK_CLASSES)]
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": _NAME,
        "description": "Made up by the benchmark",
        "license": "other",
        "links": [],
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]},
        },
        "summaries": {"classification:classes": classes},
        "item_assets": {
            "image": {"roles": ["data"], "bands": [{"name": name} for name in BANDS]},
            "mask": {"roles": ["mask"], "classification:classes": seen},
        },
    }
