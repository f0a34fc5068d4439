"""Reads xView as its publisher lays it out: ``train_images/*.tif`` and ``xView_train.geojson``.

One GeoJSON file labels all training images: 600,000 features, each naming its image, its class by
number (``type_id``) and its box in pixels (``bounds_imcoords``). Each image takes the bytes of its
own features along. The images under ``val_images`` have no labels.

The same scenes are published with the 8 bands of WorldView-3, too. How the publisher names the
files of that edition is not public, and none was at hand: a file is taken for one of it if a folder
or an archive that it lies in, or its own name, says so (``train_images_8band/5.tif``,
``5_ms.tif``). The boxes are in pixels of the RGB scenes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.errors import BadFileError
from satimnet.builder.samples import Member, Object, Problem, Sample, second_copy
from satimnet.builder.sources import Entry, Source
from stactools.xview.features import read_features

_LABELS = "xView_train.geojson"
_MAX_FEATURES = 2**20  # of images at hand; the official file has 601,937
_SPLITS = {"train": "train", "val": "validation"}
_MARK = r"[-_ .]?(?:8[-_ ]?bands?|ms|mul|multi[-_ ]?spectral)"
_FOLDER = re.compile(rf"(?P<split>train|val)_images(?P<mark>{_MARK})?", re.IGNORECASE)
_IMAGE = re.compile(rf"(?P<number>[0-9]{{1,9}})(?P<mark>{_MARK})?\.tiff?", re.IGNORECASE)
_PLAIN = re.compile(r"(8|eight)[-_ ]?bands?|multi[-_ ]?spectral", re.IGNORECASE)
"""Words for the 8-band edition that no folder around a source has by chance, as ``ms`` may be."""
_NUMBER = r"(-?[0-9]{1,6}(?:\.[0-9]{0,16})?)"
_BOUNDS = re.compile(rf" *{_NUMBER} *, *{_NUMBER} *, *{_NUMBER} *, *{_NUMBER} *")


@dataclass(frozen=True, slots=True)
class _Files:
    """What a source holds, put in order."""

    rgb: dict[str, tuple[str, Entry]] = field(default_factory=dict)
    """By number: the split and the file."""
    eight_bands: dict[str, tuple[str, Entry]] = field(default_factory=dict)
    """The same of the edition of 8 bands."""
    labels: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    in_both: set[str] = field(default_factory=set)
    """Numbers of images that are both for training and for validation."""

    def scenes(self) -> Iterator[tuple[str, str]]:
        """Split and number of each scene, in order. The RGB image decides on the split."""
        known = {**self.eight_bands, **self.rgb}
        scenes = ((split, number) for number, (split, _) in known.items())
        return iter(sorted(scenes, key=lambda scene: (scene[0], int(scene[1]), scene[1])))

    def members(self, split: str, number: str) -> list[Member]:
        """The images of a scene."""
        found = []
        if number in self.rgb:
            found.append(Member("image", f"{split}/{number}.tif", self.rgb[number][1]))
        if number in self.eight_bands:
            path = f"{split}/{number}_multispectral.tif"
            found.append(Member("multispectral", path, self.eight_bands[number][1]))
        return found


@dataclass(frozen=True, slots=True)
class _Annotation:
    """The labels of one image."""

    objects: list[Object] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    """Where its features stand in the file, also those that give no object."""


@dataclass(frozen=True, slots=True)
class _Labels:
    """What the label file says of the images at hand."""

    data: bytes = b""
    annotations: dict[str, _Annotation] = field(default_factory=dict)
    """By number of the image."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Features that give no object, by reason."""
    odd: Counter[str] = field(default_factory=Counter)
    """Features that are not as the publisher has them, by what is odd."""
    missing: Counter[str] = field(default_factory=Counter)
    """Features of images that are not here, by name of the image."""

    def cut(self, annotation: _Annotation) -> bytes:
        """A FeatureCollection of one image's features, each in the bytes of the publisher."""
        features = b",\n".join(self.data[start:end] for start, end in annotation.spans)
        return b'{"type": "FeatureCollection", "features": [\n' + features + b"\n]}\n"


def scan(source: Source, record: DatasetRecord) -> Iterator[Sample | Problem]:
    """Samples by split and number, those of the training images with their objects.

    Raises:
        BadFileError: the label file cannot be read to its end: it labels all images.
    """
    files = _files(source)
    yield from files.problems
    classes = {entry.value: entry.name for entry in record.classes if entry.value != 0}
    scenes = list(files.scenes())
    training = {number for split, number in scenes if split == "train"}
    labels: _Labels | None = None
    if files.labels:
        path = files.labels[0].label
        labels = _read_labels(source.read(files.labels[0]), path, classes, training)
        yield from _incomplete(labels, path)
    elif training:
        some = {**files.eight_bands, **files.rgb}[min(training)][1]
        folder = some.label.rpartition("/")[0] if some.kind == "file" else some.where
        yield Problem(folder, f"training images without {_LABELS}: {len(training)}", "incomplete")

    for split, number in scenes:
        members = files.members(split, number)
        objects = None
        if labels is not None and split == "train":
            annotation = labels.annotations.get(number)
            label = members[0].label
            if annotation is None:
                yield Problem(label, f"no feature of {_LABELS} names it", "incomplete")
            elif number in files.rgb:
                objects = tuple(annotation.objects)
            else:
                reason = "an 8-band image without its RGB image, in whose pixels its boxes are"
                yield Problem(label, reason, "incomplete")
            if annotation is not None:
                cut = labels.cut(annotation)
                members.append(Member("labels", f"{split}/{number}.geojson", cut))
        own = None if number in files.in_both else split
        yield Sample(number, (split,), tuple(members), split=own, objects=objects)


def _files(source: Source) -> _Files:
    found = _Files()
    for entry in source.entries():
        *folders, name = entry.path.split("/")
        image = _IMAGE.fullmatch(name)
        around = [folder for one in reversed(folders) if (folder := _FOLDER.fullmatch(one))]
        if name == _LABELS:
            found.labels.append(entry)
            first, other_split = found.labels[0], False
        elif image is not None and around:
            split = _SPLITS[around[0]["split"].lower()]
            marked = image["mark"] or any(folder["mark"] for folder in around)
            eight_bands = marked or any(map(_PLAIN.search, folders))
            images = found.eight_bands if eight_bands else found.rgb
            first_split, first = images.setdefault(image["number"], (split, entry))
            other_split = first_split != split
            if other_split:
                found.in_both.add(image["number"])
                if split == "train":  # only these have labels
                    images[image["number"]] = split, entry
                    first, entry = entry, first
        else:
            continue
        if first is not entry:
            found.problems.append(second_copy(entry, first, other_split=other_split))
    return found


def _incomplete(labels: _Labels, path: str) -> Iterator[Problem]:
    if missing := labels.missing:
        names = ", ".join(repr(name[:40]) for name in sorted(missing)[:5])
        some = names if len(missing) <= 5 else f"{names} and {len(missing) - 5} more"
        reason = f"features whose image is not here: {missing.total()} (of {some})"
        yield Problem(path, reason, "incomplete")
    if odd := labels.odd:
        reasons = ", ".join(f"{count} {why}" for why, count in odd.most_common(5))
        yield Problem(path, f"features left out: {reasons}", "incomplete")
    if left_out := labels.left_out:
        reasons = ", ".join(f"{count} {why}" for why, count in left_out.most_common(5))
        yield Problem(path, f"objects left out: {reasons:.300}", "incomplete")


def _read_labels(data: bytes, path: str, classes: Mapping[int, str], training: Set[str]) -> _Labels:
    """The labels of these training images.

    Raises:
        BadFileError: no whole FeatureCollection, or one in which all features are odd.
    """
    labels, count, usable = _Labels(data), 0, 0
    try:
        for feature in read_features(data):
            try:
                name, type_id, bounds, properties = _said(feature.content)
            except ValueError as error:
                labels.odd[str(error)] += 1
                continue
            usable += 1
            image = _IMAGE.fullmatch(name)
            if image is None or image["mark"] or image["number"] not in training:
                labels.missing[name] += 1
                continue
            count += 1
            if count > _MAX_FEATURES:  # each takes almost a kilobyte
                raise ValueError(f"more than {_MAX_FEATURES} features")
            annotation = labels.annotations.setdefault(image["number"], _Annotation())
            annotation.spans.append((feature.start, feature.end))
            outline = _outline(bounds)
            if type_id not in classes:
                labels.left_out[f"of type_id {type_id}, which has no name"] += 1
            elif outline is None:
                labels.left_out["without a box"] += 1
            else:
                item = Object(classes[type_id], outline, properties=properties)
                annotation.objects.append(item)
    except ValueError as error:
        raise BadFileError(path, f"{error}; get it again") from error
    if labels.odd and not usable:
        why, count = labels.odd.most_common(1)[0]
        raise BadFileError(path, f"no usable feature: {count} {why}; get it again")
    return labels


def _said(feature: object) -> tuple[str, int, str, dict[str, Any]]:
    """Image, class number, box and what else to keep of a feature.

    A feature may have an empty list in place of the box, which the publisher's own reader skips
    (https://github.com/DIUx-xView/data_utilities, wv_util.py): it comes as "".

    Raises:
        ValueError: the feature is odd, and why.
    """
    if not isinstance(feature, dict):
        raise ValueError("that is no valid JSON object")
    properties = feature.get("properties")
    if not isinstance(properties, dict):
        raise ValueError("without properties")
    name, type_id = properties.get("image_id"), properties.get("type_id")
    bounds = properties.get("bounds_imcoords") or ""
    if not isinstance(name, str):
        raise ValueError("without the name of an image")
    if type(type_id) is not int:
        raise ValueError("whose type_id is no integer")
    if not isinstance(bounds, str):
        raise ValueError("whose bounds_imcoords is no text")
    identity = properties.get("feature_id")
    kept = type(identity) is int and 0 <= identity < 2**53  # what any JSON reader can hold
    return name, type_id, bounds, {"feature_id": identity} if kept else {}


def _outline(bounds: str) -> tuple[tuple[float, float], ...] | None:
    """Corners of a box "xmin,ymin,xmax,ymax" in pixels; None if it is none or has no area.

    The box covers the columns xmin <= x < xmax and the rows ymin <= y < ymax.
    """
    numbers = _BOUNDS.fullmatch(bounds)
    if numbers is None:
        return None
    left, top, right, bottom = (
        int(value) if value.is_integer() else value for value in map(float, numbers.groups())
    )
    if left >= right or top >= bottom:
        return None
    return ((left, top), (right, top), (right, bottom), (left, bottom))
