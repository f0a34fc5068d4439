"""Catalogs in places that are not on disk, for several tests of them."""

from __future__ import annotations

import os
from pathlib import Path

from satimnet.builder.storage import objects

RECIPE = """
id = "fused"
title = "Fused"
description = "Some patches."
seed = 3
folds = 2
bands = ["B04", "B02"]
size = [64, 64]

[[classes]]
value = 1
name = "River"
concept = "water"

[[draws]]
collection = "eurosat"
classes = ["River"]
number = 3
to = "River"
"""


def upload(folder: Path, root: str) -> None:
    """Copies the files of a folder to a place in a store."""
    for file in objects.files_below(str(folder)):
        objects.write(f"{root}/{os.path.relpath(file.place, folder)}", Path(file.place))


def files_of(folder: Path) -> dict[str, bytes]:
    """The files of a folder, as a host has them."""
    return {
        f"/{path.relative_to(folder)}": path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
