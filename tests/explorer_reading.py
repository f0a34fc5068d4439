"""Reads what the explorer reads, by its description and without its code."""

import gzip
import json
from pathlib import Path

import numpy as np


def read_columns(folder: Path):
    """Header and columns of the explorer's files in a folder."""
    header = json.loads((folder / "explorer.json").read_bytes())
    data = (folder / "explorer.bin").read_bytes()
    assert len(data) == header["data"]["size"]
    found = {}
    for name, told in header["columns"].items():
        stream = gzip.decompress(data[told["first"] : told["first"] + told["size"]])
        found[name] = DECODERS[told["kind"]](stream, told["count"])
        if "unit" in told:
            found[name] = found[name] * told["unit"]
    return header, found


def _planes(stream, count, width):
    return np.frombuffer(stream, np.uint8).reshape(width, count).T.copy().view(f"<u{width}")[:, 0]


def _delta(stream, count):
    folded = _planes(stream, count, 4) if count else np.zeros(0, np.uint32)
    steps = (folded >> 1).astype(np.int64) ^ -(folded & 1).astype(np.int64)
    return np.cumsum(steps).astype(np.uint32).astype(np.int64)


def _names(stream, count):
    names, before = [], b""
    for shared, rest in zip(stream[:count], stream[count:].split(b"\n")[:count], strict=True):
        before = before[:shared] + rest
        names.append(before.decode())
    return names


DECODERS = {
    "u8": lambda stream, count: np.frombuffer(stream, np.uint8).astype(np.int64),
    "u16": lambda stream, count: _planes(stream, count, 2).astype(np.int64),
    "delta32": _delta,
    "names": _names,
}
