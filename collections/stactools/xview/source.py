"""Reads xView as its publisher lays it out: ``train_images/*.tif`` and ``xView_train.geojson``.

One GeoJSON file labels all training images: 600,000 features, each naming its image, its class by
number (``type_id``) and its box in pixels (``bounds_imcoords``). Each image takes the bytes of its
own features along. The images under ``val_images`` have no labels.
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
_SPLITS = {"train_images": "train", "val_images": "validation"}
_IMAGE = re.compile(r"([0-9]{1,9})\.(?i:tiff?)")
_NUMBER = r"(-?[0-9]{1,6}(?:\.[0-9]{0,16})?)"
_BOUNDS = re.compile(rf" *{_NUMBER} *, *{_NUMBER} *, *{_NUMBER} *, *{_NUMBER} *")


@dataclass(frozen=True, slots=True)
class _Files:
    """What a source holds, put in order."""

    images: dict[str, tuple[str, Entry]] = field(default_factory=dict)
    """By number: the split and the file."""
    labels: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    in_both: set[str] = field(default_factory=set)
    """Numbers of images that are both for training and for validation."""


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
    training = {number for number, (split, _) in files.images.items() if split == "train"}
    labels: _Labels | None = None
    if files.labels:
        path = files.labels[0].label
        labels = _read_labels(source.read(files.labels[0]), path, classes, training)
        yield from _incomplete(labels, path)
    elif training:
        some = files.images[min(training)][1]
        folder = some.label.rpartition("/")[0] if some.kind == "file" else some.where
        yield Problem(folder, f"training images without {_LABELS}: {len(training)}", "incomplete")

    for number, (split, image) in sorted(files.images.items(), key=_by_split_and_number):
        members = [Member("image", f"{split}/{number}.tif", image)]
        annotation = None
        if labels is not None and split == "train":
            annotation = labels.annotations.get(number)
            if annotation is None:
                yield Problem(image.label, f"no feature of {_LABELS} names it", "incomplete")
            else:
                cut = labels.cut(annotation)
                members.append(Member("labels", f"{split}/{number}.geojson", cut))
        objects = None if annotation is None else tuple(annotation.objects)
        own = None if number in files.in_both else split
        yield Sample(number, (split,), tuple(members), split=own, objects=objects)


def _by_split_and_number(item: tuple[str, tuple[str, Entry]]) -> tuple[str, int, str]:
    number, (split, _) = item
    return split, int(number), number


def _files(source: Source) -> _Files:
    found = _Files()
    for entry in source.entries():
        *folders, name = entry.path.split("/")
        split = next((_SPLITS[folder] for folder in reversed(folders) if folder in _SPLITS), None)
        image = _IMAGE.fullmatch(name)
        if name == _LABELS:
            found.labels.append(entry)
            first, other_split = found.labels[0], False
        elif image is not None and split is not None:
            first_split, first = found.images.setdefault(image[1], (split, entry))
            other_split = first_split != split
            if other_split:
                found.in_both.add(image[1])
                if split == "train":  # only these have labels
                    found.images[image[1]] = split, entry
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
            if image is None or image[1] not in training:
                labels.missing[name] += 1
                continue
            count += 1
            if count > _MAX_FEATURES:  # each takes almost a kilobyte
                raise ValueError(f"more than {_MAX_FEATURES} features")
            annotation = labels.annotations.setdefault(image[1], _Annotation())
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
