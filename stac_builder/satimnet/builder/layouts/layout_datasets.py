"""A dataset made of a layout: its record, with the class table and the bands of the files."""

from __future__ import annotations

import os
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from satimnet.builder.arguments import checked, hint
from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.datasets import Dataset
from satimnet.builder.errors import ArgumentError, BadFileError, NotFoundError
from satimnet.builder.layouts.arranged_files import (
    Files,
    Labelled,
    NamedClass,
    Reading,
    collected,
    none_found,
    stem_of,
    tasks_shown,
)
from satimnet.builder.layouts.read_coco import coco_files
from satimnet.builder.layouts.read_folders import class_folders, is_background, mask_pairs
from satimnet.builder.layouts.read_table import table_files
from satimnet.builder.layouts.read_voc import voc_files
from satimnet.builder.layouts.read_yolo import yolo_files
from satimnet.builder.samples import Member, Problem, Sample, Scan
from satimnet.builder.sources import MAX_SCENE_SIZE, Entry, Source, source_place

_READERS: Mapping[str, Callable[[Files], Reading]] = {
    "image-folder": class_folders,
    "masks": mask_pairs,
    "coco": coco_files,
    "yolo": yolo_files,
    "voc": voc_files,
    "csv": table_files,
}
LAYOUTS = tuple(_READERS)
"""The layouts, in the order of the documentation."""

_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_TYPES = {"jpg": "image/jpeg", "png": "image/png", "tif": "image/tiff; application=geotiff"}
_DATA_TYPES = {"u1": "uint8", "u2": "uint16", "u4": "uint32", "i1": "int8", "i2": "int16",
               "i4": "int32", "f4": "float32", "f8": "float64"}  # fmt: skip
_LOOKED_AT = 64  # images of each kind whose headers say what bands there are
_IN_NODE = 1000  # samples in a node of the tree
_MOST_IN_MASKS = 254
_IGNORED = 255
_BEGIN, _END = "1972-07-23T00:00:00Z", "2099-12-31T23:59:59Z"
_OPEN = "not known; it spans all satellite images"


@checked()
def layout_dataset(
    sources: Sequence[str | Path],
    layout: str,
    id: str,
    *,
    record: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    max_scene_size: int = MAX_SCENE_SIZE,
) -> Dataset:
    """The dataset of a training set in a layout that everybody has, to be built as any other.

    The class table, the bands and the splits come from the files. What they do not say stays open,
    unless a record says it.

    Args:
        sources: folders and archives, or URLs of them.
        layout: one of ``image-folder``, ``masks``, ``coco``, ``yolo``, ``voc`` and ``csv``.
        id: of the collection, such as ``city-trees``.
        record: a TOML file with keys of a ``dataset.toml``, all optional, which count more than
            what is found; or the mapping that it is.
        max_scene_size: as in `satimnet.builder.build`.

    Returns:
        The dataset: ``build([], out, assigned={id: sources}, datasets={id: dataset})``.

    Raises:
        ArgumentError: there is no such layout, or the id cannot be one.
        BadFileError: a label file or the record cannot be understood.
        SatimnetError: nothing of the layout is there.

    Example:
        >>> import tempfile
        >>> from satimnet.builder import build
        >>> folder = Path(tempfile.mkdtemp())
        >>> from PIL import Image
        >>> for name in ("forest", "water"):
        ...     (folder / "mine" / name).mkdir(parents=True)
        ...     Image.new("RGB", (8, 8)).save(folder / "mine" / name / "1.png")
        >>> dataset = layout_dataset([folder / "mine"], "image-folder", "my-set")
        >>> dataset.classes
        ['forest', 'water']
        >>> places = {"my-set": [folder / "mine"]}
        >>> (report,) = build([], folder / "out", assigned=places, datasets={"my-set": dataset})
        >>> report.items
        2
    """
    _require_layout(layout)
    if not _ID.fullmatch(id):
        raise ArgumentError(
            f"id {id!r:.60}: take lower-case letters, digits and single hyphens, a letter first, "
            "as in city-trees",
            "id",
        )
    stated = _stated(record)
    files = Files.of(Source(tuple(map(source_place, sources))), max_scene_size)
    reading = _READERS[layout](files)
    found = [one for one in reading if isinstance(one, Labelled)]
    if not found:
        raise none_found("no image with a label is there")
    declared: Sequence[NamedClass] | None = None if "classes" in stated else reading.classes
    if declared is None:
        declared = [NamedClass(name) for name in sorted(collected(found))]
    classes = _class_table(declared, stated, layout)
    made = _record(id, layout, files, found, classes, stated)
    names = _names(made, declared)
    return Dataset(made, partial(_scan, layout, names, files.sizes))


def _stated(record: str | os.PathLike[str] | Mapping[str, Any] | None) -> dict[str, Any]:
    """What a record of the user's says."""
    if record is None:
        return {}
    if isinstance(record, Mapping):
        return dict(record)
    path = Path(record)
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such file; give the record's") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise BadFileError(str(path), f"no TOML: {error}") from error


@checked()
def scan_layout(layout: str) -> Scan:
    """The reader of a layout, for a dataset package whose ``dataset.toml`` has the class table.

    Args:
        layout: as `layout_dataset`.

    Returns:
        The ``scan`` function. Classes are those whose names, or else titles, the files have.

    Raises:
        ArgumentError: there is no such layout.

    Example:
        >>> scan = scan_layout("coco")
    """
    _require_layout(layout)
    return partial(_scan, layout, None, {})


def _require_layout(layout: str) -> None:
    if layout not in _READERS:
        raise ArgumentError(f"layout {layout:.40}: {hint(layout, LAYOUTS)}", "layout")


# --- the class table ----------------------------------------------------------------------------


def _class_table(
    found: Sequence[NamedClass], stated: Mapping[str, Any], layout: str
) -> list[dict[str, Any]]:
    """Rows of the class table: those of the record, or those that the files name."""
    if "classes" in stated:
        if not isinstance(stated["classes"], list):
            raise BadFileError("record", "classes must be a list")
        return list(stated["classes"])
    if not found:
        raise none_found("no class is named")
    rows: list[dict[str, Any]] = []
    taken: set[str] = set()
    drawn = layout != "image-folder"
    background = next((one for one in found if drawn and is_background(one.name)), None)
    if drawn:
        zero = {"value": 0, "name": "background", "title": "Background"}
        rows.append(zero | _pixels_of(background, () if background is None else background.sources))
        colours = {colour for one in found for colour in one.colours}
        if colours and "#000000" not in colours and background is None:
            rows[0]["source_color"] = ["#000000"]
        taken.add("background")
    for one in found:
        if one is not background and not (drawn and one.name.lower() in ("void", "ignore")):
            value = len(rows) + (0 if drawn else 1)
            row = {"value": value, "name": _slug(one.name, value, taken), "title": one.name.strip()}
            rows.append(row | _pixels_of(one, one.sources))
    if layout == "masks":
        if len(rows) - 1 > _MOST_IN_MASKS:
            raise none_found(f"{len(rows) - 1:,} classes are more than a mask can have")
        void = [one for one in found if one.name.lower() in ("void", "ignore")]
        named = {source for row in rows for source in row.get("source_value", ())}
        if void or _IGNORED not in named:
            row = {"value": _IGNORED, "name": "no-observation", "title": "Not labelled"}
            rows.append(row | _pixels_of(void[0] if void else None, (_IGNORED,)))
    return rows


def _pixels_of(one: NamedClass | None, sources: Sequence[int]) -> dict[str, Any]:
    """What only masks need of a class."""
    found: dict[str, Any] = {"source_value": list(sources)} if sources else {}
    if one is not None and one.colours:
        found["source_color"] = list(one.colours)
    if one is not None and one.hint:
        found["color_hint"] = one.hint
    return found


def _slug(name: str, value: int, taken: set[str]) -> str:
    """The name in letters, digits, hyphens and underscores, unlike the others."""
    plain = _UNSAFE.sub("-", name.strip()).strip("-")[:100] or f"class-{value}"
    found = plain if plain not in taken else f"{plain}-{value}"
    taken.add(found)
    return found


def _names(record: DatasetRecord, declared: Sequence[NamedClass]) -> dict[str, str]:
    """The names of the class table by what the files call them."""
    names: dict[str, str] = {}
    for row in record.classes:
        for text in (row.name, row.title):
            if text is not None:
                names.setdefault(text, row.name)
    for name in (one.name for one in declared):
        names.setdefault(name, names.get(_UNSAFE.sub("-", name.strip()).strip("-"), ""))
    return {text: name for text, name in names.items() if name}


# --- the record ---------------------------------------------------------------------------------


def _record(
    id_: str,
    layout: str,
    files: Files,
    labelled: Sequence[Labelled],
    classes: list[dict[str, Any]],
    stated: Mapping[str, Any],
) -> DatasetRecord:
    found: dict[str, Any] = {
        "id": id_,
        "title": id_,
        "description": f"A training set in the layout {layout}.",
        "license": "other",
        "keywords": ["training data"],
        "providers": [],
        "links": [],
        "layout": layout,
        "accompanying": r"\.(txt|json|xml|csv|yaml|yml|names)$",
        "start_datetime": _BEGIN,
        "end_datetime": _END,
        "bbox": [-180.0, -90.0, 180.0, 90.0],
        "collection": {},
        "classes": classes,
        "properties": {},
        "assets": _assets(files, labelled, classes),
    }
    open_ = {key: _OPEN for key in ("start_datetime", "end_datetime") if key not in stated}
    merged = {
        **found,
        **{key: value for key, value in stated.items() if key != "assets"},
        "id": id_,
    }
    if isinstance(merged["collection"], Mapping) and (tasks := tasks_shown(labelled)):
        merged["collection"] = {"satimnet:tasks": tasks, **merged["collection"]}
    for key, table in (stated.get("assets") or {}).items() if _is_table(stated, "assets") else ():
        if not isinstance(table, Mapping):
            raise BadFileError("record", f"assets.{key} must be a table")
        merged["assets"][key] = {**merged["assets"].get(key, {}), **table}
    if open_ and isinstance(merged["collection"], Mapping):
        notes = merged["collection"].get("satimnet:attribute_notes", {})
        merged["collection"] = {
            **merged["collection"],
            "satimnet:attribute_notes": {**open_, **notes},
        }
    return DatasetRecord.of(merged, "record")


def _is_table(stated: Mapping[str, Any], key: str) -> bool:
    if key in stated and not isinstance(stated[key], Mapping):
        raise BadFileError("record", f"{key} must be a table")
    return key in stated


def _assets(
    files: Files, labelled: Sequence[Labelled], classes: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The kinds of images that are there, and what the builder draws."""
    kinds: dict[str, list[Entry]] = {}
    for one in labelled:
        kinds.setdefault(one.image.path.rpartition(".")[2], []).append(one.image)
    found = {
        _asset_key(ending, len(kinds)): _image_asset(files, ending, entries)
        for ending, entries in sorted(kinds.items())
    }
    classes_band = [{"name": "class", "description": "value of the class table"}]
    mask = {
        "title": "Mask",
        "description": "Class of each pixel",
        "roles": ["mask"],
        "type": "image/png",
        "data_type": "uint8",
        "bands": classes_band,
    }
    masks = Counter(one.mask.path.rpartition(".")[2] for one in labelled if one.mask is not None)
    if masks:
        ending = masks.most_common(1)[0][0]
        found["mask"] = mask | {"type": _TYPES[ending]}
    if any(one.objects is not None for one in labelled):
        if len(classes) <= _MOST_IN_MASKS:
            found["mask"] = mask | {"derive": "mask"}
        found["annotation"] = {
            "title": "Objects",
            "description": "Every object in image coordinates",
            "roles": ["annotation"],
            "type": "application/geo+json",
            "derive": "annotation",
        }
    return found


def _asset_key(ending: str, kinds: int) -> str:
    return "image" if kinds == 1 else f"image-{ending}"


def _image_asset(files: Files, ending: str, entries: Sequence[Entry]) -> dict[str, Any]:
    """What the images of an ending are, by the headers of some of them."""
    bands: Counter[int] = Counter()
    types: Counter[str] = Counter()
    shapes: set[tuple[int, int]] = set()
    reason = ""
    step = max(1, len(entries) // _LOOKED_AT)
    for entry in entries[::step]:
        try:
            header = files.header(entry)
        except BadFileError as error:  # the build says so
            reason = str(error)
            continue
        bands[header.bands] += 1
        types[_DATA_TYPES.get(header.dtype[1:], "uint8")] += 1
        shapes.add(header.shape)
    if not bands:
        raise none_found(f"no {ending} image can be read ({reason})")
    data_type = types.most_common(1)[0][0]
    lists = [_bands(count, data_type) for count, _ in bands.most_common()]
    usual = [_bands(count, data_type) for count in ((3, 1) if ending == "jpg" else (3, 1, 4, 2))]
    others = [one for one in (*lists[1:], *usual) if one != lists[0] and ending != "tif"]
    others = lists[1:] if ending == "tif" else [one for k, one in enumerate(others)
                                                if one not in others[:k]]  # fmt: skip
    return {
        "title": "Image",
        "description": "The image, as it was",
        "roles": ["data"],
        "type": _TYPES[ending],
        "data_type": data_type,
        "bands": lists[0],
        **({"other_bands": others} if others else {}),
    }


def _bands(count: int, data_type: str) -> list[dict[str, Any]]:
    names = ["red", "green", "blue"]
    if count in (3, 4) and data_type == "uint8":
        colours = [{"name": name, "eo:common_name": name} for name in names]
        return [*colours, *([{"name": "alpha"}] if count == 4 else [])]
    if count in (1, 2) and data_type == "uint8":
        return [{"name": name} for name in ("gray", "alpha")[:count]]
    return [{"name": f"band-{at}"} for at in range(1, count + 1)]


# --- scanning -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Known:
    """What was named before: ids by which samples are told apart."""

    ids: dict[str, str]
    counts: Counter[str]


def _scan(
    layout: str,
    names: Mapping[str, str] | None,
    sizes: dict[str, tuple[int, int]],
    source: Source,
    record: DatasetRecord,
) -> Iterator[Sample | Problem]:
    """The samples of a source in a layout."""
    names = _names(record, ()) if names is None else names
    files = Files.of(source)
    files.sizes.update(sizes)
    found = list(_READERS[layout](files))
    images = [one.image for one in found if isinstance(one, Labelled)]
    kinds = {image.path.rpartition(".")[2] for image in images}
    stems = Counter(map(stem_of, images))
    known = _Known({}, Counter())
    for one in found:
        if isinstance(one, Problem):
            yield one
            continue
        yield from _sample(one, layout, names, record, len(kinds), stems, known)


def _sample(
    one: Labelled,
    layout: str,
    names: Mapping[str, str],
    record: DatasetRecord,
    kinds: int,
    stems: Counter[str],
    known: _Known,
) -> Iterator[Sample | Problem]:
    said = [*(one.classes or ()), *(item.name for item in one.objects or ())]
    unknown = sorted({name for name in said if name not in names})
    if unknown:
        what = f"class {unknown[0]!r:.60} is not in the class table"
        yield Problem(one.image.label, what, "incomplete")
    classes = None
    if one.classes is not None:
        classes = tuple(dict.fromkeys(names[name] for name in one.classes if name in names))
    if layout == "image-folder" and not classes:
        return
    objects = None
    if one.objects is not None:
        objects = tuple(
            replace(item, name=names[item.name]) for item in one.objects if item.name in names
        )
    id_ = _id(one, classes, layout, stems, known)
    top = classes[0] if layout == "image-folder" and classes else one.split or "images"
    known.counts[top] += 1
    node = f"{(known.counts[top] - 1) // _IN_NODE:04d}"
    ending = one.image.path.rpartition(".")[2]
    key = "image" if "image" in record.assets else _asset_key(ending, max(kinds, 2))
    members = [Member(key, f"{top}/{id_}.{ending}", one.image)]
    if one.mask is not None:
        members.append(
            Member("mask", f"{top}/{id_}_mask.{one.mask.path.rpartition('.')[2]}", one.mask)
        )
    yield Sample(
        id_,
        (top, node),
        tuple(members),
        classes,
        split=one.split,
        objects=objects,
        datetime=one.datetime,
    )


def _id(
    one: Labelled,
    classes: tuple[str, ...] | None,
    layout: str,
    stems: Counter[str],
    known: _Known,
) -> str:
    """The id of a sample: the name of its image, with its folders where that is not enough."""
    stem = stem_of(one.image)
    text = stem if stems[stem] == 1 else one.image.path.rpartition(".")[0]
    if layout == "image-folder" and classes and stems[stem] > 1:
        text = f"{classes[0]}-{stem}"
    plain = _UNSAFE.sub("-", text).strip("-")[-150:] or "image"
    found, number = plain, 2
    while known.ids.setdefault(found.casefold(), one.image.path) != one.image.path:
        found, number = f"{plain}-{number}", number + 1
    return found
