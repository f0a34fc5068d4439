"""Sample files: what goes into a shard for one sample.

Images are the publisher's bytes, but for large scenes, which become cloud-optimised GeoTIFFs.
Masks and annotations are drawn from the sample's objects, or harmonised from the publisher's mask.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from sys import maxsize
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from satimnet.builder.dataset_record import AssetEntry, ClassEntry, DatasetRecord
from satimnet.builder.errors import BadFileError
from satimnet.builder.imagery.annotations import annotation, annotation_lonlat
from satimnet.builder.imagery.encoding import (
    COG_TYPE,
    STRIP,
    encode_mask,
    read_pixels,
    read_strips,
    recode,
)
from satimnet.builder.imagery.headers import MAX_IMAGE_SIZE, Data, Header, read_header
from satimnet.builder.imagery.masks import draw, filled, harmonise, histogram, statistics
from satimnet.builder.packing.tag_masks import TAG_MASK, value_of_tag
from satimnet.builder.samples import Member, Problem, Sample
from satimnet.builder.sources import MAX_SCENE_SIZE, Entry, Reader

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TYPES = {b"\xff\xd8": "image/jpeg", b"\x89PNG": "image/png"}  # by their first bytes
_ENDINGS = {"image/png": "png", COG_TYPE: "tif", "application/geo+json": "geojson"}


@dataclass(frozen=True, slots=True)
class Original:
    """The publisher's file, where the shard has another one of the same pixels."""

    path: str
    """Path inside the source."""
    type: str
    """Media type."""
    size: int
    sha256: str


class Content(NamedTuple):
    """One file for the shard; a tuple, as one is made of every file."""

    asset: str
    path: str
    data: Data
    header: Header | None = None
    """None of what is no image."""
    original: Original | None = None
    type: str | None = None
    """Media type; None is that of the asset in the record."""
    crc: int | None = None
    """CRC-32 of the data, where it is known from reading them."""


class Contents(NamedTuple):
    """The files of a sample, and what was learnt of it on the way."""

    files: tuple[Content, ...]
    classes: tuple[str, ...] | None
    """Names of the classes present, in the order of the class table; None if not known."""
    statistics: tuple[Mapping[str, Any], ...]
    """Rows of ``satimnet:statistics``."""
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class How:
    """What is the same for all samples of a shard; see `contents`."""

    record: DatasetRecord
    largest: int = MAX_SCENE_SIZE
    scratch: Path | None = None
    as_published: bool = False

    @cached_property
    def fills_masks(self) -> bool:
        """Whether masks are made of tags."""
        made = any(asset.derive == TAG_MASK for asset in self.record.assets.values())
        return made and not self.as_published

    @cached_property
    def masks(self) -> frozenset[str]:
        """Keys of the assets that are the publisher's masks."""
        return frozenset(key for key, asset in self.record.assets.items() if asset.is_mask)

    def header(self, data: Data, label: str) -> Header:
        """The header of an image; raises `BadFileError` for one that is too large."""
        header = read_header(data, label, maxsize)
        if header.size > self.largest:
            raise BadFileError(
                label,
                f"{header.size} bytes of pixels, over the limit {self.largest}; "
                "max_scene_size sets it",
            )
        return header


def contents(
    sample: Sample,
    reader: Reader,
    record: DatasetRecord,
    *,
    largest: int = MAX_SCENE_SIZE,
    scratch: Path | None = None,
    as_published: bool = False,
) -> Contents:
    """The files of a sample, checked; those that are broken are named among the problems.

    Without a whole image there are no files. Images of over ``largest`` bytes of pixels are broken.
    Those of over `MAX_IMAGE_SIZE` become COGs, and so do their masks, in parts and in the folder
    ``scratch``. ``as_published`` draws, recodes and harmonises none.
    """
    return contents_of(sample, reader, How(record, largest, scratch, as_published))


def contents_of(sample: Sample, reader: Reader, how: How) -> Contents:
    """As `contents`."""
    record, assets = how.record, how.record.assets
    if sample.datetimes:
        _require_times(sample, record)
    files: list[Content] = []
    problems: list[Problem] = []
    image: Header | None = None
    pixels, table = None, record.classes
    members: Sequence[Member] = sample.members
    if how.masks:  # they come last, as they must fit their image
        members = sorted(members, key=lambda member: member.asset in how.masks)
    for member in members:
        try:
            data = member.read(reader)
            spec = assets[member.asset]
            if spec.bands is None:
                files.append(Content(member.asset, member.path, data, crc=_crc(member)))
            elif member.asset in how.masks:
                if image is None:
                    break
                table = spec.classes or table  # a mask of something else has its own
                content, pixels = _publishers_mask(member, data, spec, table, image, how)
                files.append(content)
            else:
                files.append(_image(member, data, spec, how))
                image = image or files[-1].header
        except BadFileError as error:
            problems.append(Problem(error.path, error.reason, error.kind))
    if image is None:
        return Contents((), None, (), tuple(problems))
    tag = None
    if sample.objects is None and pixels is None:
        stated = value_of_tag(sample, record) if how.fills_masks else None
        if isinstance(stated, Problem):
            problems.append(stated)
        else:
            tag = stated
        if tag is None:
            return Contents(tuple(files), sample.classes, (), tuple(problems))
    if sample.objects is not None and files[0].asset != sample.members[0].asset:
        # outlines are in pixels of the sample's first image, which is broken
        return Contents(tuple(files), sample.classes, (), tuple(problems))
    if sample.objects is not None or tag is not None:
        try:
            derived, drawn = _derived(sample, image, files[0].path, record, how, tag)
            pixels = drawn if pixels is None else pixels  # a mask that is there says more
            files.extend(derived)
        except ValueError as error:
            problems.append(Problem(sample.members[0].label, f"its label: {error}"))
            return Contents(tuple(files), sample.classes, (), tuple(problems))
    found = statistics(pixels, sample.objects, [entry.row for entry in table])
    classes = sample.classes
    if classes is None and table is record.classes:  # others say nothing of the dataset's classes
        classes = tuple(row["class"] for row in found)
    return Contents(tuple(files), classes, tuple(found), tuple(problems))


def _require_times(sample: Sample, record: DatasetRecord) -> None:
    """Refuses times of assets that the record does not know of, or that are none."""
    for key, time in sample.datetimes.items():
        asset = record.assets.get(key)
        if asset is None or not asset.own_datetime:
            raise BadFileError(
                record.file, f"{sample.id} says a time of {key}: give assets.{key}.own_datetime"
            )
        try:
            aware = datetime.fromisoformat(time).tzinfo is not None
        except ValueError:
            aware = False
        if not aware:
            raise BadFileError(
                sample.members[0].label, f"{time!r:.60} of {key} is no time as RFC 3339 has it"
            )


def _image(member: Member, data: bytes, spec: AssetEntry, how: How) -> Content:
    """An image as it goes into the shard: the publisher's bytes, or a COG."""
    try:
        header = how.header(data, "")
        _check(header, spec, "")
    except BadFileError as error:  # only then is it said how the file is called
        raise BadFileError(member.label, error.reason, error.kind) from error
    if how.as_published or not (spec.store == "cog" or header.size > MAX_IMAGE_SIZE):
        return Content(member.asset, member.path, data, header, None, None, _crc(member))
    label, large = member.label, header.size > MAX_IMAGE_SIZE
    recoded = recode(data, header, label, how.scratch)
    out = how.header(recoded, label)
    if (out.shape, out.bands, out.dtype[1:]) != (header.shape, header.bands, header.dtype[1:]):
        raise BadFileError(label, "GDAL takes it for another image; damaged")
    path, type_ = _as_stored(member.path, spec.type, large)
    return Content(member.asset, path, recoded, out, _original(member, data), type_)


def _crc(member: Member) -> int | None:
    """CRC-32 of the bytes that were read of a zip: its reader has compared them."""
    entry = member.entry
    return entry.stamp if isinstance(entry, Entry) and entry.kind == "zip" else None


def _as_stored(path: str, type_: str, large: bool) -> tuple[str, str]:
    """Path and media type of an image in its shard: a large one is a COG in any dataset."""
    if large and type_ != COG_TYPE:
        return str(PurePosixPath(path).with_suffix(".tif")), COG_TYPE
    return path, type_


def _publishers_mask(
    member: Member,
    data: bytes,
    spec: AssetEntry,
    classes: Sequence[ClassEntry],
    image: Header,
    how: How,
) -> tuple[Content, NDArray[np.int64]]:
    """The publisher's mask in values of the class table, and its histogram.

    Its bytes stay as they are if they have these values already.
    """
    header = how.header(data, member.label)
    if header.shape != image.shape:  # checked before it is decoded: it may be enormous
        raise BadFileError(member.label, f"{header.shape} pixels, its image has {image.shape}")
    coloured = header.bands in (3, 4) and len(spec.bands or ()) == 1
    type_ = DATA_TYPES.get(header.dtype[1:])
    shown = replace(header, bands=1) if coloured else header
    _check(shown, replace(spec, data_type=type_), member.label)
    large = header.size > MAX_IMAGE_SIZE or image.size > MAX_IMAGE_SIZE
    pixels = np.zeros(256, np.int64)
    rows = [entry.row for entry in classes]

    def harmonised(strips: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.uint8]]:
        for read in strips:
            mask = harmonise(read, rows, member.label)
            pixels[:] += histogram(mask)
            yield mask

    if large:
        strips = harmonised(read_strips(data, header, member.label))
        if how.as_published:
            for _ in strips:
                pass
    else:
        read = read_pixels(data, member.label)
        if read.shape[1:] != header.shape:
            raise BadFileError(member.label, "GDAL takes it for another image; damaged")
        mask = next(harmonised([read]))
        strips = iter([mask])
        same = np.shares_memory(mask, read) and not header.packed
        if same and spec.store != "cog":
            return Content(member.asset, member.path, data, header, crc=_crc(member)), pixels
    if how.as_published:
        return Content(member.asset, member.path, data, header, crc=_crc(member)), pixels
    path, type_ = _as_stored(member.path, spec.type, large)
    made = encode_mask(strips, header, rows, type_, how.scratch)
    out = how.header(made, member.label)
    return Content(member.asset, path, made, out, _original(member, data), type_), pixels


def _derived(
    sample: Sample, image: Header, beside: str, record: DatasetRecord, how: How, tag: int | None
) -> tuple[list[Content], NDArray[np.int64]]:
    """What the builder draws for a sample, and the histogram of its mask.

    It draws what the record has assets for; files in degrees need an image with a place. ``tag``
    is the class value of the whole image, where that is all that is known. Raises `ValueError` as
    `draw` does.
    """
    objects: Sequence[Any] = sample.objects or ()
    values = {entry.name: entry.value for entry in record.classes}
    large = image.size > MAX_IMAGE_SIZE
    height = STRIP if large else None
    masks = draw(objects, values, image.shape, height)
    if tag is not None:
        masks = filled(tag, image.shape, height)
    pixels = np.zeros(256, np.int64)

    def counted() -> Iterator[NDArray[np.uint8]]:
        for mask in masks:
            pixels[:] += histogram(mask)
            yield mask

    made = []
    for asset, spec in record.assets.items():
        kind = spec.derive
        if kind is None or how.as_published or (kind == "annotation-lonlat" and image.crs is None):
            continue
        if (kind == TAG_MASK) is (tag is None):
            continue
        header = None
        path, type_ = f"{sample.id}_{asset}.{_ENDINGS[spec.type]}", spec.type
        data: Data
        if kind in ("mask", TAG_MASK):
            path, type_ = _as_stored(path, type_, large)
            data = encode_mask(counted(), image, record.class_rows, type_, how.scratch)
            header = how.header(data, sample.id)
        elif kind == "annotation":
            data = annotation(objects, image)
        else:
            data = annotation_lonlat(objects, image)
        path = str(PurePosixPath(beside).with_name(path))
        made.append(Content(asset, path, data, header, None, type_))
    for _ in counted():  # where no mask is made of it
        pass
    return made, pixels


def _original(member: Member, data: bytes) -> Original:
    """What is kept of a file that is replaced by another."""
    path = member.entry.path if isinstance(member.entry, Entry) else member.path
    if path.startswith("/"):  # of a file given alone; its folders are private
        path = PurePosixPath(path).name
    kind = next((t for start, t in _TYPES.items() if data.startswith(start)), "image/tiff")
    return Original(path, kind, len(data), hashlib.sha256(data).hexdigest())


def _check(header: Header, asset: AssetEntry, label: str) -> None:
    """Raises `BadFileError` for an image that is not as its asset says."""
    shape = asset.shape
    if shape is not None and header.shape != shape:
        raise BadFileError(label, f"{header.shape[0]}x{header.shape[1]} pixels, not {list(shape)}")
    expected = asset.bands or ()
    others = asset.other_bands
    if header.bands != len(expected) and all(header.bands != len(bands) for bands in others):
        raise BadFileError(label, f"{header.bands} bands, not {len(expected)}")
    if DATA_TYPES.get(header.dtype[1:]) != asset.data_type:
        raise BadFileError(label, f"data type {header.dtype}, not {asset.data_type}")


DATA_TYPES = {"u1": "uint8", "u2": "uint16", "u4": "uint32", "u8": "uint64"}
DATA_TYPES |= {"i1": "int8", "i2": "int16", "i4": "int32", "i8": "int64"}
DATA_TYPES |= {"f4": "float32", "f8": "float64"}
"""NumPy's codes to the names of STAC 1.1's ``data_type``."""
