"""Reads iSAID as its publisher hands it out, beside the images of DOTA 1.0.

``<split>/Annotations/iSAID_<split>.json`` is in COCO's form; its category ids are not the same in
training and validation, so classes go by their names. ``<split>/Semantic_masks/images.zip`` has
``P0000_instance_color_RGB.png`` (the colour of the class), ``Instance_masks/images.zip`` has
``P0000_instance_id_RGB.png`` (a colour for each object). The images come from DOTA's archives
(``<split>/images/part1.zip``), or masks and images lie in one folder, as the publisher's tools want
them (https://github.com/CAPTAIN-WHU/iSAID_Devkit). Labels of the test images are kept back.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.layouts.arranged_files import Files, Labelled, split_of, stem_of
from satimnet.builder.layouts.read_coco import CocoFiles
from satimnet.builder.samples import SPLITS, Member, Problem, Sample, second_copy
from satimnet.builder.sources import Entry, Source

_IMAGE = re.compile(r"P[0-9]{4,5}\.png")
_MASK = re.compile(r"(?P<image>P[0-9]{4,5})_instance_(?P<kind>color|id)_RGB\.png")
_LABELS = re.compile(r"iSAID_(train|val)[0-9_]*\.json")
_ASSETS = {"color": "mask", "id": "instances"}

_Masks = dict[str, dict[str, Entry]]
"""Entries by the name of their image, then by kind."""


def scan(source: Source, record: DatasetRecord) -> Iterator[Sample | Problem]:
    """Samples by split and name: those that the labels name with all objects, others without.

    Raises:
        BadFileError: a label file cannot be understood.
    """
    files = Files.of(source)
    masks: _Masks = {}
    images: dict[str, Entry] = {}
    labels: list[Entry] = []
    for entry in files.entries.values():
        name = PurePosixPath(entry.path).name
        if _LABELS.fullmatch(name):
            labels.append(entry)
        elif mask := _MASK.fullmatch(name):
            first = masks.setdefault(mask["image"], {}).setdefault(mask["kind"], entry)
            if first is not entry:
                yield second_copy(entry, first)
        elif _IMAGE.fullmatch(name):
            first = images.setdefault(name.removesuffix(".png"), entry)
            if first is not entry:
                yield second_copy(entry, first)
    first_of_each, problems = _editions(labels)
    yield from problems
    # one image of a name, so that labels find it
    kept = {id(entry) for entry in images.values()}
    files = replace(
        files, entries={path: one for path, one in files.entries.items() if id(one) in kept}
    )
    found, problems = _labelled(files, first_of_each)
    yield from problems
    named = {one.image.path for one in found}
    found += [
        Labelled(entry, split=split_of(entry.path))
        for entry in images.values()
        if entry.path not in named
    ]
    for one in sorted(found, key=_order):
        yield from _sample(one, masks.pop(stem_of(one.image), {}), record)
    for own in masks.values():
        for entry in own.values():
            yield Problem(entry.label, "a mask without its image", "incomplete")


def _editions(labels: list[Entry]) -> tuple[list[Entry], list[Problem]]:
    """One label file of each split, and what there is of others, which may have a date."""
    taken: dict[str, Entry] = {}
    problems = []
    for entry in sorted(labels, key=lambda one: (len(one.path), one.path)):
        split = PurePosixPath(entry.path).name.split("_")[1].removesuffix(".json")
        first = taken.setdefault(split, entry)
        if first is not entry:
            problems.append(second_copy(entry, first))
    return list(taken.values()), problems


def _labelled(files: Files, labels: list[Entry]) -> tuple[list[Labelled], list[Problem]]:
    read = list(CocoFiles(files, tuple(labels)).labelled({}))
    problems = [one for one in read if isinstance(one, Problem)]
    return [one for one in read if isinstance(one, Labelled)], problems


def _order(one: Labelled) -> tuple[int, str]:
    return SPLITS.index(one.split) if one.split else len(SPLITS), stem_of(one.image)


def _sample(
    one: Labelled, masks: dict[str, Entry], record: DatasetRecord
) -> Iterator[Sample | Problem]:
    """The sample of an image, and what is wrong with its label."""
    name, top = stem_of(one.image), one.split or "images"
    objects = one.objects
    if objects is None and one.split != "test":
        yield Problem(one.image.label, "image without a label", "incomplete")
    if objects is not None:
        known = {entry.name for entry in record.classes if entry.value != 0}
        strange = Counter(item.name for item in objects if item.name not in known)
        if strange:
            of = ", ".join(f"{n} of {kind[:40]!r}" for kind, n in sorted(strange.items())[:5])
            what = f"objects left out, of classes that iSAID does not have: {of}"
            yield Problem(one.image.label, what, "incomplete")
        objects = tuple(item for item in objects if item.name in known)
    members = [Member("image", f"{top}/{name}.png", one.image)]
    for kind, entry in sorted(masks.items(), reverse=True):  # the mask of classes last
        members.append(Member(_ASSETS[kind], f"{top}/{name}_{kind}.png", entry))
    yield Sample(name, (top,), tuple(members), split=one.split, objects=objects)
