"""Contents: the files of one sample as they go into a shard.

Images are the publisher's bytes, but for large scenes, which become cloud-optimised GeoTIFFs.
Masks and annotations are drawn from the sample's objects, or harmonised from the publisher's mask.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from satimnet.builder.annotations import annotation, annotation_lonlat
from satimnet.builder.encodings import COG_TYPE, encode_mask, read_pixels, recode
from satimnet.builder.errors import BadFileError
from satimnet.builder.headers import Header, read_header
from satimnet.builder.masks import draw, harmonise, statistics
from satimnet.builder.samples import Member, Problem, Sample
from satimnet.builder.sources import Entry, Reader

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


@dataclass(frozen=True, slots=True)
class Content:
    """One file for the shard."""

    asset: str
    path: str
    data: bytes
    header: Header | None = None
    """None of what is no image."""
    original: Original | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """The files of a sample, and what was learnt of it on the way."""

    files: tuple[Content, ...]
    classes: tuple[str, ...] | None
    """Names of the classes present, in the order of the class table; None if nobody knows."""
    statistics: tuple[Mapping[str, Any], ...]
    """Rows of ``satimnet:statistics``."""
    problems: tuple[Problem, ...]


def contents(
    sample: Sample, reader: Reader, record: Mapping[str, Any], *, as_published: bool = False
) -> Contents:
    """The files of a sample, checked; those that are broken are named among the problems.

    Without a whole image there are no files. ``as_published`` draws, recodes and harmonises none.
    """
    assets = record["assets"]
    files: list[Content] = []
    problems: list[Problem] = []
    image: Header | None = None
    mask, table = None, record["classes"]
    # masks last, as they must fit their image
    for member in sorted(sample.members, key=lambda m: "mask" in assets[m.asset]["roles"]):
        try:
            data = member.read(reader)
            spec = assets[member.asset]
            if "bands" not in spec:
                files.append(Content(member.asset, member.path, data))
            elif "mask" in spec["roles"]:
                if image is None:
                    break
                table = spec.get("classes", table)  # a mask of something else has its own
                content, mask = _publishers_mask(member, data, spec, table, image, as_published)
                files.append(content)
            else:
                files.append(_image(member, data, spec, as_published))
                image = image or files[-1].header
        except BadFileError as error:
            problems.append(Problem(error.path, error.reason, error.kind))
    if image is None:
        return Contents((), None, (), tuple(problems))
    if sample.objects is None and mask is None:
        return Contents(tuple(files), sample.classes, (), tuple(problems))
    if sample.objects is not None:
        try:
            values = {row["name"]: row["value"] for row in record["classes"]}
            mask = draw(sample.objects, values, image.shape)
            if not as_published:
                files.extend(_derived(sample, mask, image, files[0].path, record))
        except ValueError as error:
            problems.append(Problem(sample.members[0].label, f"its label: {error}"))
            return Contents(tuple(files), sample.classes, (), tuple(problems))
    found = statistics(mask, sample.objects, table)
    classes = tuple(row["class"] for row in found) if sample.classes is None else sample.classes
    return Contents(tuple(files), classes, tuple(found), tuple(problems))


def _image(member: Member, data: bytes, spec: Mapping[str, Any], as_published: bool) -> Content:
    header = read_header(data, member.label)
    _check(header, spec, member.label)
    if as_published or spec.get("store") != "cog":
        return Content(member.asset, member.path, data, header)
    recoded = recode(data, member.label)
    out = read_header(recoded, member.label)
    if (out.shape, out.bands, out.dtype[1:]) != (header.shape, header.bands, header.dtype[1:]):
        raise BadFileError(member.label, "GDAL takes it for another image; damaged")
    return Content(member.asset, member.path, recoded, out, _original(member, data))


def _publishers_mask(
    member: Member,
    data: bytes,
    spec: Mapping[str, Any],
    classes: Sequence[Mapping[str, Any]],
    image: Header,
    as_published: bool,
) -> tuple[Content, Any]:
    """The publisher's mask in values of the class table: his bytes if they say the same."""
    header = read_header(data, member.label)
    if header.shape != image.shape:  # told before it is decoded: it may be enormous
        raise BadFileError(member.label, f"{header.shape} pixels, its image has {image.shape}")
    _check(header, {**spec, "data_type": _DATA_TYPES.get(header.dtype[1:])}, member.label)
    read = read_pixels(data, member.label)[0]
    if read.shape != header.shape:
        raise BadFileError(member.label, "GDAL takes it for another image; damaged")
    mask = harmonise(read, classes, member.label)
    if as_published or (mask is read and spec.get("store") != "cog"):
        return Content(member.asset, member.path, data, header), mask
    data_out = encode_mask(mask, header, classes, spec["type"])
    out = read_header(data_out, member.label)
    return Content(member.asset, member.path, data_out, out, _original(member, data)), mask


def _derived(
    sample: Sample, mask: Any, image: Header, beside: str, record: Mapping[str, Any]
) -> list[Content]:
    """What the builder draws, as far as the record has assets for it and the image a place."""
    made = []
    objects: Sequence[Any] = sample.objects or ()
    for asset, spec in record["assets"].items():
        kind = spec.get("derive")
        if kind is None or (kind == "annotation-lonlat" and image.crs is None):
            continue
        header = None
        if kind == "mask":
            data = encode_mask(mask, image, record["classes"], spec["type"])
            header = read_header(data, sample.id)
        elif kind == "annotation":
            data = annotation(objects, image)
        else:
            data = annotation_lonlat(objects, image)
        name = f"{sample.id}_{asset}.{_ENDINGS[spec['type']]}"
        made.append(Content(asset, str(PurePosixPath(beside).with_name(name)), data, header))
    return made


def _original(member: Member, data: bytes) -> Original:
    path = member.entry.path if isinstance(member.entry, Entry) else member.path
    if path.startswith("/"):  # of a file given alone; where it lay is nobody's business
        path = PurePosixPath(path).name
    kind = next((t for start, t in _TYPES.items() if data.startswith(start)), "image/tiff")
    return Original(path, kind, len(data), hashlib.sha256(data).hexdigest())


def _check(header: Header, asset: Mapping[str, Any], label: str) -> None:
    shape = asset.get("shape")
    if shape is not None and header.shape != tuple(shape):
        raise BadFileError(label, f"{header.shape[0]}x{header.shape[1]} pixels, not {shape}")
    if header.bands != len(asset["bands"]) and all(
        header.bands != len(bands) for bands in asset.get("other_bands", ())
    ):
        raise BadFileError(label, f"{header.bands} bands, not {len(asset['bands'])}")
    if _DATA_TYPES.get(header.dtype[1:]) != asset["data_type"]:
        raise BadFileError(label, f"data type {header.dtype}, not {asset['data_type']}")


# NumPy's codes to the names of STAC 1.1's `data_type`
_DATA_TYPES = {"u1": "uint8", "u2": "uint16", "u4": "uint32", "u8": "uint64"}
_DATA_TYPES |= {"i1": "int8", "i2": "int16", "i4": "int32", "i8": "int64"}
_DATA_TYPES |= {"f4": "float32", "f8": "float64"}
