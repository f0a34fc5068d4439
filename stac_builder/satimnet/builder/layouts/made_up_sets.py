"""Made-up training sets in each of the layouts, for miniatures and tests of dataset packages."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.arguments import checked
from satimnet.builder.errors import ArgumentError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE = 64
"""Rows and columns of the pictures."""
_BOX = (12, 20, 44, 52)
_SPLITS = ("train", "val", "test")


@checked()
def write_set(
    folder: Path, layout: str, classes: Sequence[str], *, per_class: int = 3, seed: int = 0
) -> Path:
    """Writes a made-up set of PNGs; each picture is of one class, or has one object of it.

    Args:
        folder: where to write it; made if it is not there.
        layout: one of `satimnet.builder.layouts.LAYOUTS`.
        classes: names of the classes.
        per_class: pictures of each class: the first for training, then validation, test, training…
        seed: the same seed gives the same pixels.

    Returns:
        The folder.

    Raises:
        ArgumentError: there is no such layout.

    Example:
        >>> import tempfile
        >>> made = write_set(Path(tempfile.mkdtemp()), "yolo", ["forest", "water"])
        >>> sorted(path.name for path in made.iterdir())
        ['data.yaml', 'images', 'labels']
    """
    writers = {
        "image-folder": _image_folder,
        "masks": _masks,
        "coco": _coco,
        "yolo": _yolo,
        "voc": _voc,
        "csv": _csv,
    }
    if layout not in writers:
        raise ArgumentError(f"layout {layout:.40}: there are {', '.join(writers)}", "layout")
    rng = np.random.default_rng(seed)
    pictures = []
    for at, name in enumerate(classes):
        for number in range(per_class):
            pixels = rng.normal(90, 20, (SIZE, SIZE, 3)) + 30 * at
            left, top, right, bottom = _BOX
            pixels[top:bottom, left:right, at % 3] += 70
            picture = np.clip(pixels, 0, 255).astype(np.uint8)
            pictures.append((at, name, f"{at}_{number}", _SPLITS[number % 3], picture))
    folder.mkdir(parents=True, exist_ok=True)
    writers[layout](folder, list(classes), pictures)
    return folder


_Pictures = list[tuple[int, str, str, str, "NDArray[np.uint8]"]]


def _save(path: Path, pixels: NDArray[np.uint8]) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def _image_folder(folder: Path, classes: list[str], pictures: _Pictures) -> None:
    for _, name, stem, split, pixels in pictures:
        _save(folder / split / name / f"{stem}.png", pixels)


def _masks(folder: Path, classes: list[str], pictures: _Pictures) -> None:
    for at, _, stem, split, pixels in pictures:
        _save(folder / "images" / split / f"{stem}.png", pixels)
        mask = np.full((SIZE, SIZE), at + 1, np.uint8)
        _save(folder / "masks" / split / f"{stem}.png", mask)


def _coco(folder: Path, classes: list[str], pictures: _Pictures) -> None:
    left, top, right, bottom = _BOX
    for split in _SPLITS:
        own = [one for one in pictures if one[3] == split]
        content: dict[str, list[Any]] = {
            "categories": [{"id": at + 1, "name": name} for at, name in enumerate(classes)],
            "images": [],
            "annotations": [],
        }
        for number, (at, _, stem, _, pixels) in enumerate(own, 1):
            _save(folder / "images" / split / f"{stem}.png", pixels)
            content["images"].append(
                {"id": number, "file_name": f"{stem}.png", "height": SIZE, "width": SIZE}
            )
            content["annotations"].append(
                {
                    "id": number,
                    "image_id": number,
                    "category_id": at + 1,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": (right - left) * (bottom - top),
                    "iscrowd": 0,
                }
            )
        if own:
            _text(folder / "annotations" / f"instances_{split}.json", json.dumps(content))


def _yolo(folder: Path, classes: list[str], pictures: _Pictures) -> None:
    left, top, right, bottom = (end / SIZE for end in _BOX)
    box = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
    for at, _, stem, split, pixels in pictures:
        _save(folder / "images" / split / f"{stem}.png", pixels)
        line = " ".join([str(at), *(f"{share:.6f}" for share in box)])
        _text(folder / "labels" / split / f"{stem}.txt", line + "\n")
    names = "".join(f"  {at}: {json.dumps(name)}\n" for at, name in enumerate(classes))
    places = "".join(f"{split}: images/{split}\n" for split in _SPLITS)
    _text(folder / "data.yaml", f"{places}names:\n{names}")


def _voc(folder: Path, classes: list[str], pictures: _Pictures) -> None:
    from xml.sax.saxutils import escape

    left, top, right, bottom = _BOX
    for _, name, stem, _, pixels in pictures:
        _save(folder / "JPEGImages" / f"{stem}.png", pixels)
        _text(
            folder / "Annotations" / f"{stem}.xml",
            f"<annotation><filename>{stem}.png</filename><object><name>{escape(name)}</name>"
            f"<bndbox><xmin>{left + 1}</xmin><ymin>{top + 1}</ymin><xmax>{right}</xmax>"
            f"<ymax>{bottom}</ymax></bndbox></object></annotation>\n",
        )
    for split in _SPLITS:
        stems = [stem for _, _, stem, own, _ in pictures if own == split]
        _text(folder / "ImageSets" / "Main" / f"{split}.txt", "".join(f"{s}\n" for s in stems))


def _csv(folder: Path, classes: list[str], pictures: _Pictures) -> None:
    for _, _, stem, _, pixels in pictures:
        _save(folder / "images" / f"{stem}.png", pixels)
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "class", "split"])
        rows.writerows((f"images/{stem}.png", name, split) for _, name, stem, split, _ in pictures)
