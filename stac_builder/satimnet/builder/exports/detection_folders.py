"""Detection folders: a collection of objects as COCO, YOLO and VOC have it, images included.

- COCO: https://cocodataset.org/#format-data
- YOLO: https://docs.ultralytics.com/datasets/detect/ and, with corners,
  https://docs.ultralytics.com/datasets/obb/
- VOC: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/

Coordinates are those of the annotation, from the outer corner of the first pixel, in pixels (YOLO:
in parts of the image, cut at its edge).
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import orjson

from satimnet.builder.errors import ArgumentError, CatalogWarning
from satimnet.builder.exports.labelled_images import LabelledImage, class_values, labelled_images
from satimnet.builder.imagery.masks import draw
from satimnet.builder.imagery.object_shapes import box_of, corners_of
from satimnet.builder.progress import Progress
from satimnet.builder.query.index import IndexedCollection
from satimnet.builder.samples import Object

_DIGITS = 4  # of pixels
_PARTS = 8  # digits of parts of an image: a hundredth of a pixel of a million


def write_detection_folder(
    form: str, collection: IndexedCollection, folder: Path, progress: Progress
) -> None:
    """Writes a collection into a folder that is not there yet, and is there only as a whole.

    Args:
        form: ``coco``, ``yolo``, ``yolo-obb`` or ``voc``.
        collection: the collection.
        folder: the folder.
        progress: is told how far it is.

    Raises:
        ArgumentError: the folder is there, or the collection has no objects.
        SatimnetError: something cannot be read.
    """
    if os.path.lexists(folder):
        raise ArgumentError(f"{folder}: is there already; choose another folder", "folder")
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
    part.mkdir(parents=True)
    try:
        left_out: list[str] = []
        writer = _WRITERS[form](part, collection)
        done = 0
        for done, image in enumerate(labelled_images(collection, left_out), 1):
            writer.add(image)
            progress(f"Exporting {collection.id}", done, None, "images")
        if not done:
            raise ArgumentError(
                f"{collection.id}: none of its images is annotated; choose another", "collections"
            )
        writer.finish()
        progress(f"Exporting {collection.id}", done, done, "images")
        if left_out:
            warnings.warn(
                CatalogWarning(
                    f"{collection.id}: {len(left_out):,} images that nobody has annotated are left "
                    f"out, {left_out[0]} first"
                ),
                stacklevel=4,
            )
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


class _Coco:
    """``annotations/instances_<split>.json`` and a folder of images for each split."""

    def __init__(self, folder: Path, collection: IndexedCollection) -> None:
        self._folder = folder
        self._values = class_values(collection.document)
        self._title = collection.document.title
        self._images: dict[str, list[bytes]] = {}
        self._objects: dict[str, list[bytes]] = {}
        self._numbers = [0, 0]

    def add(self, image: LabelledImage) -> None:
        self._numbers[0] += 1
        _write(self._folder / image.split / image.name, image.data)
        about = {
            "id": self._numbers[0],
            "file_name": image.name,
            "width": image.columns,
            "height": image.rows,
        }
        self._images.setdefault(image.split, []).append(orjson.dumps(about))
        objects = self._objects.setdefault(image.split, [])
        for item in image.objects:
            self._numbers[1] += 1
            left, top, right, bottom = box_of(item)
            box = [left, top, right - left, bottom - top]
            made: dict[str, Any] = {
                "id": self._numbers[1],
                "image_id": self._numbers[0],
                "category_id": self._values[item.name],
                "bbox": [round(value, _DIGITS) for value in box],
                "area": round(_area(item), _DIGITS),
                "segmentation": _segmentation(item, image),
                "iscrowd": int(item.properties.get("iscrowd") is True),
            }
            if item.properties:
                made["attributes"] = dict(item.properties)
            objects.append(orjson.dumps(made))

    def finish(self) -> None:
        categories = [{"id": value, "name": name} for name, value in self._values.items()]
        head = orjson.dumps({"info": {"description": self._title}, "categories": categories})
        for split, images in self._images.items():
            path = self._folder / "annotations" / f"instances_{split}.json"
            path.parent.mkdir(exist_ok=True)
            with path.open("wb") as file:
                file.write(head[:-1] + b',"images":[' + b",\n".join(images))
                file.write(b'],\n"annotations":[' + b",\n".join(self._objects[split]) + b"]}\n")


class _Yolo:
    """``images/<split>``, ``labels/<split>`` and ``data.yaml``."""

    corners = False

    def __init__(self, folder: Path, collection: IndexedCollection) -> None:
        self._folder = folder
        self._numbers = {name: at for at, name in enumerate(class_values(collection.document))}
        self._splits: set[str] = set()

    def add(self, image: LabelledImage) -> None:
        self._splits.add(image.split)
        _write(self._folder / "images" / image.split / image.name, image.data)
        lines = []
        size = np.array([image.columns, image.rows], np.float64)
        for item in image.objects:
            points = np.array(corners_of(item) if self.corners else box_of(item), np.float64)
            points = np.clip(points.reshape(-1, 2) / size, 0, 1)
            if not self.corners:
                points = np.stack([points.mean(axis=0), points[1] - points[0]])
            if self.corners or points[1].all():  # else nothing of it lies in the image
                numbers = " ".join(f"{value:.{_PARTS}f}" for value in points.ravel())
                lines.append(f"{self._numbers[item.name]} {numbers}\n")
        label = self._folder / "labels" / image.split / f"{Path(image.name).stem}.txt"
        _write(label, "".join(lines).encode())

    def finish(self) -> None:
        import yaml

        content: dict[str, Any] = {"train": "images/train", "val": "images/val"}
        # where there is one split alone, both are that: the tools ask for both
        only = next(iter(sorted(self._splits)))
        content |= {
            split: f"images/{only}" for split in ("train", "val") if split not in self._splits
        }
        content |= {"test": "images/test"} if "test" in self._splits else {}
        content["names"] = {number: name for name, number in self._numbers.items()}
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        _write(self._folder / "data.yaml", text.encode())


class _YoloCorners(_Yolo):
    """As `_Yolo`, with the four corners of oriented boxes."""

    corners = True


class _Voc:
    """``Annotations``, ``JPEGImages`` and ``ImageSets/Main``."""

    def __init__(self, folder: Path, collection: IndexedCollection) -> None:
        self._folder = folder
        self._source = collection.document.title
        self._sets: dict[str, list[str]] = {}

    def add(self, image: LabelledImage) -> None:
        stem = Path(image.name).stem
        self._sets.setdefault(image.split, []).append(stem)
        _write(self._folder / "JPEGImages" / image.name, image.data)
        root = ElementTree.Element("annotation")
        _elements(root, {"folder": "JPEGImages", "filename": image.name})
        _elements(ElementTree.SubElement(root, "source"), {"database": self._source})
        size = {"width": image.columns, "height": image.rows, "depth": image.bands}
        _elements(ElementTree.SubElement(root, "size"), size)
        _elements(root, {"segmented": 0})
        for item in image.objects:
            flags = {key: int(bool(item.properties.get(key))) for key in ("truncated", "difficult")}
            one = ElementTree.SubElement(root, "object")
            _elements(one, {"name": item.name, "pose": "Unspecified", **flags})
            names = ("xmin", "ymin", "xmax", "ymax")
            box = {k: f"{value:.{_DIGITS}f}" for k, value in zip(names, box_of(item), strict=True)}
            _elements(ElementTree.SubElement(one, "bndbox"), box)
        ElementTree.indent(root)
        data = ElementTree.tostring(root, encoding="utf-8")
        _write(self._folder / "Annotations" / f"{stem}.xml", data + b"\n")

    def finish(self) -> None:
        for split, names in self._sets.items():
            text = "".join(f"{name}\n" for name in names)
            _write(self._folder / "ImageSets" / "Main" / f"{split}.txt", text.encode())


_Writer = _Coco | _Yolo | _Voc
_WRITERS: Mapping[str, Callable[[Path, IndexedCollection], _Writer]] = {
    "coco": _Coco,
    "yolo": _Yolo,
    "yolo-obb": _YoloCorners,
    "voc": _Voc,
}


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _elements(parent: ElementTree.Element, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        ElementTree.SubElement(parent, key).text = str(value)


def _area(item: Object) -> float:
    import shapely

    shape = shapely.MultiPolygon(
        [(outer, holes) for outer, *holes in item.parts if len(outer) > 2] or None
    )
    return float(shape.area)


def _segmentation(item: Object, image: LabelledImage) -> Any:
    """Rings of polygons; runs down the columns where there are holes, which rings cannot say."""
    if all(len(part) == 1 and len(part[0]) > 2 for part in item.parts):
        return [
            [round(value, _DIGITS) for point in outer for value in point] for (outer,) in item.parts
        ]
    mask = next(draw([item], {item.name: 1}, (image.rows, image.columns)))
    flat = np.concatenate([[0], mask.ravel(order="F"), [2]])
    counts = np.diff(np.flatnonzero(np.diff(flat)), prepend=0)
    # counts begin with those of 0
    return {"size": [image.rows, image.columns], "counts": counts.tolist()}
