"""Layouts of folders: a folder for each class, or images beside masks of the same names."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from satimnet.builder.errors import BadFileError
from satimnet.builder.layouts.arranged_files import (
    Files,
    Labelled,
    NamedClass,
    by_split,
    folder_of,
    is_split_folder,
    none_found,
    split_lists,
)
from satimnet.builder.samples import Problem
from satimnet.builder.sources import Entry

_IMAGE_FOLDERS = ("images", "image", "img", "imgs", "img_dir", "jpegimages", "rgb", "sat")
_MASK_FOLDERS = ("masks", "mask", "labels", "label", "gt", "ann_dir", "annotations", "annotation",
                 "segmentationclass")  # fmt: skip
_MASK_SUFFIX = re.compile(r"[_-](mask|label|gt|seg|labelids)$", re.IGNORECASE)
_IMAGE_SUFFIX = re.compile(r"[_-](image|img|sat|rgb)$", re.IGNORECASE)
_TABLES = ("labelmap.txt", "class_dict.csv", "classes.csv", "label_colors.txt", "classes.txt")
_VOID = 255
_BACKGROUND = {"background", "_background_", "unlabeled", "unlabelled", "nothing", "none"}


@dataclass(frozen=True)
class ClassFolders:
    """``[split/]<class>/…/<image>``, as torchvision's ImageFolder reads it."""

    files: Files
    classes = None

    def __iter__(self) -> Iterator[Labelled | Problem]:
        top = _common_folder(self.files)
        lists = split_lists(self.files)
        for entry in self.files.images():
            folders = entry.path.removeprefix(top).split("/")[:-1]
            while folders and is_split_folder(folders[0]):
                folders = folders[1:]
            if not folders:
                yield Problem(entry.label, "in no folder of a class", "foreign")
            else:
                yield Labelled(entry, classes=(folders[0],), split=by_split(lists, entry))


def class_folders(files: Files) -> ClassFolders:
    """The layout ``image-folder``."""
    if not any(True for _ in files.images()):
        raise none_found("no image (.jpg, .png, .tif) is there")
    return ClassFolders(files)


def _common_folder(files: Files) -> str:
    """The folder that all images lie in, above those of splits and classes; with its slash.

    Of a single class the folder above it counts.
    """
    folders = {folder_of(entry.path) for entry in files.images()}
    first, last = min(folders), max(folders)
    common = ""
    for part, other in zip(first.split("/")[:-1], last.split("/")[:-1]):
        if part != other or is_split_folder(part):
            break
        common += f"{part}/"
    if common in folders:  # images lie in it: it is a class itself
        common = common[: common.rstrip("/").rfind("/") + 1]
    return common


@dataclass(frozen=True)
class MaskPairs:
    """Images beside masks: in folders such as ``images`` and ``masks``, or ``1_mask.png``."""

    files: Files
    masks: tuple[Entry, ...]

    @cached_property
    def classes(self) -> Sequence[NamedClass]:
        """The classes of a table beside the masks, else of the values that occur."""
        return _mask_classes(self.files, self.masks)

    def __iter__(self) -> Iterator[Labelled | Problem]:
        lists = split_lists(self.files)
        masks: dict[str, Entry] = {}
        images: dict[str, Entry] = {}
        for entry in self.files.images():
            key, is_mask = _pair(entry.path)
            taken = masks if is_mask else images
            if key in taken:
                first = taken[key].label
                yield Problem(entry.label, f"a second copy; {first} was taken", "foreign")
            else:
                taken[key] = entry
        for key, entry in images.items():
            mask = masks.pop(key, None)
            if mask is None:
                yield Problem(entry.label, "an image without its mask", "incomplete")
            yield Labelled(entry, mask=mask, split=by_split(lists, entry))
        for mask in masks.values():
            yield Problem(mask.label, "a mask without its image", "incomplete")


def mask_pairs(files: Files) -> MaskPairs:
    """The layout ``masks``; raises `SatimnetError` where no mask is there."""
    masks = tuple(entry for entry in files.images() if _pair(entry.path)[1])
    if not masks:
        raise none_found(
            "no mask is there: images lie in a folder images and masks of the same names in masks, "
            "or beside them as NAME_mask.png"
        )
    return MaskPairs(files, masks)


def _pair(path: str) -> tuple[str, bool]:
    """What a mask and its image have in common, and whether the path is that of a mask."""
    parts = path.split("/")
    stem = parts[-1].rpartition(".")[0]
    kinds = [
        (at, part.lower() in _MASK_FOLDERS)
        for at, part in enumerate(parts[:-1])
        if part.lower() in (*_MASK_FOLDERS, *_IMAGE_FOLDERS)
    ]
    is_mask = bool(_MASK_SUFFIX.search(stem))
    if kinds:
        at, in_masks = kinds[-1]
        is_mask = is_mask or in_masks
        parts[at] = "*"
    stem = _IMAGE_SUFFIX.sub("", _MASK_SUFFIX.sub("", stem))
    return "/".join([*parts[:-1], stem]), is_mask


def _mask_classes(files: Files, masks: Sequence[Entry]) -> list[NamedClass]:
    """The classes of masks: those of a table beside them, else the values that occur."""
    for name in _TABLES:
        for entry in files.with_ending(f"/{name}", name):
            if entry.path.lower().rpartition("/")[2] == name:
                try:
                    rows = _table(name, files.text(entry))
                except ValueError as error:
                    raise BadFileError(entry.label, f"no table of classes: {error}") from error
                if rows:  # in one band they are numbered in the order of the table
                    return [
                        replace(row, sources=row.sources or (at,)) for at, row in enumerate(rows)
                    ]
    return _values(files, masks)


def _table(name: str, text: str) -> list[NamedClass]:
    """The classes of a table; raises `ValueError` for a line that is none."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if name == "labelmap.txt":  # CVAT: name:r,g,b:parts:actions
        rows = [line.split(":") for line in lines if not line.startswith("#")]
        return [_coloured(row[0], row[1].split(",")) for row in rows if len(row) > 1]
    if name == "label_colors.txt":  # CamVid: r g b name
        rows = [line.split(None, 3) for line in lines]
        return [_coloured(" ".join(row[3:]), row[:3]) for row in rows]
    if name.endswith(".csv"):  # name,r,g,b or name,value
        rows = list(csv.reader(io.StringIO(text)))
        rows = [row for row in rows if row and any(cell.strip() for cell in row)]
        heads = {"r", "g", "b", "red", "value", "color", "colour", "label", "id"}
        if rows and {cell.strip().lower() for cell in rows[0]} & heads:
            rows = rows[1:]
        return [
            _coloured(row[0], row[1:4]) if len(row) >= 4 else _valued(row[0], row[1:])
            for row in rows
        ]
    return [NamedClass(line, sources=(at,)) for at, line in enumerate(lines)]


def _coloured(name: str, parts: Sequence[str]) -> NamedClass:
    numbers = [int(part) for part in parts]
    if len(numbers) != 3 or not all(0 <= one <= 255 for one in numbers):
        raise ValueError(f"{','.join(parts)!r:.40} is no colour")
    if not name.strip():
        raise ValueError("a class without a name")
    text = bytes(numbers).hex().upper()
    return NamedClass(name.strip(), colours=(f"#{text}",), hint=text)


def _valued(name: str, parts: Sequence[str]) -> NamedClass:
    if len(parts) == 1 and parts[0].strip().startswith("#"):
        text = bytes.fromhex(parts[0].strip()[1:]).hex().upper()
        return NamedClass(name.strip(), colours=(f"#{text}",), hint=text)
    if len(parts) != 1 or not 0 <= int(parts[0]) <= 255 or not name.strip():
        raise ValueError(f"{name!r:.40}: give a name and a value from 0 to 255, or r,g,b")
    return NamedClass(name.strip(), sources=(int(parts[0]),))


def _values(files: Files, masks: Sequence[Entry]) -> list[NamedClass]:
    """The values that occur in masks; raises `BadFileError` for masks of colours."""
    import numpy as np

    from satimnet.builder.imagery.encoding import read_pixels
    from satimnet.builder.imagery.headers import MAX_IMAGE_SIZE, read_header
    from satimnet.builder.imagery.masks import histogram

    counts = np.zeros(256, np.int64)
    read = 0
    for entry in masks:
        data = files.read(entry)
        try:
            header = read_header(data, entry.label, MAX_IMAGE_SIZE, place=False)
            if header.bands > 1:
                raise none_found(
                    f"{entry.label}: a mask of colours; put a table of them beside the masks "
                    "(class_dict.csv with the columns name,r,g,b), or name them in record"
                )
            pixels = read_pixels(data, entry.label)
        except BadFileError:
            continue  # the build says so
        if pixels.dtype.kind in "iu" and pixels.size and 0 <= pixels.min() <= pixels.max() <= 255:
            counts += histogram(pixels.astype(np.uint8, copy=False))
            read += 1
    if not read:
        raise none_found("no mask with whole values from 0 to 255 is there")
    values = [value for value in np.flatnonzero(counts).tolist() if value]
    if len(values) > 1 and values[-1] == _VOID:  # beside others it marks what nobody labelled
        values.pop()
    return [NamedClass(f"class-{value}", sources=(value,)) for value in values]


def is_background(name: str) -> bool:
    """Whether a class is what is nothing in particular."""
    return name.strip().lower() in _BACKGROUND
