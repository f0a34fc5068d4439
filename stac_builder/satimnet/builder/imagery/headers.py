"""Headers of image files: shape, data type, georeference, and where the pixels lie.

Only headers are read, never pixels. TIFF 6.0, BigTIFF and GeoTIFF 1.1 (OGC 19-008) as far as the
training sets use them, PNG (ISO/IEC 15948), baseline and progressive JPEG (ITU-T T.81).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from mmap import mmap
from operator import add
from typing import Any, NamedTuple

from satimnet.builder.errors import BadFileError
from satimnet.builder.imagery.grids import on_earth
from satimnet.builder.imagery.rasters import opened

MAX_IMAGE_SIZE = 2**29
"""Bytes of pixels that an image may have to be decoded at once. Larger ones are read in parts."""
_MAX_EXCESS = 4  # times that a file may be larger than its pixels; some tags come on top
_MAX_RATIO = 4000  # of pixels to file; deflate ends at 1032, an all-white JPEG comes near 500

Order = tuple[str, ...]
Data = bytes | mmap
"""The content of a file, in memory or mapped there."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """Pixels that lie uncompressed in one run."""

    offset: int
    """Bytes from the start of the file."""
    shape: tuple[int, ...]
    order: Order
    """Names of the axes, outermost first: a permutation of y, x and band."""


@dataclass(frozen=True, slots=True)
class Header:
    """What an image file says of itself."""

    shape: tuple[int, int]
    """Rows, columns."""
    bands: int
    dtype: str
    """NumPy's name of the data type with byte order, as in ``<u2``."""
    pixels: Pixels | None = None
    crs: str | None = None
    """``EPSG:<code>``, WKT2 where there is no code, None without georeference."""
    transform: tuple[float, ...] | None = None
    """Affine coefficients a, b, c, d, e, f: x = a * column + b * row + c, y = d * column + …"""
    packed: bool = False
    """Whether several pixels share a byte, which readers do not unpack alike; palettes apart."""

    size: int = field(init=False, repr=False, compare=False)
    """Bytes of its pixels."""

    def __post_init__(self) -> None:
        rows, columns = self.shape
        object.__setattr__(self, "size", rows * columns * self.bands * int(self.dtype[2:]))


def read_header(
    data: Data, label: str, largest: int = MAX_IMAGE_SIZE, *, place: bool = True
) -> Header:
    """Reads the header of a TIFF, PNG or JPEG file.

    Args:
        data: The whole file.
        label: Its name in errors.
        largest: How many bytes of pixels it may have.
        place: Whether the georeference is read, which may take longer than all else.

    Raises:
        BadFileError: not an image of these formats, damaged or truncated, or at no place on Earth.
    """
    try:
        if data[:2] == b"\xff\xd8":
            header = _jpeg(data, label)
        elif data[:8] == _PNG_START:
            header = _png(data, label)
        elif data[:4] in _TIFF_STARTS:
            header = _tiff(data, label, place)
        else:
            raise BadFileError(label, "neither TIFF, PNG nor JPEG" if data else "empty file")
        size = header.size
    except (struct.error, LookupError, ValueError, TypeError, ArithmeticError) as error:
        raise BadFileError(label, "truncated or damaged header") from error
    require_possible(size, len(data), label, largest)
    if header.crs is not None and not on_earth(header.crs, header.transform, header.shape):
        raise BadFileError(label, f"its georeference ({header.crs:.40}) leads to no place on Earth")
    return header


def require_possible(size: int, length: int, label: str, largest: int = MAX_IMAGE_SIZE) -> None:
    """Refuses a file that cannot hold the pixels that it announces.

    Args:
        size: Bytes of pixels that it announces.
        length: Bytes of the file.
        label: Its name in errors.
        largest: Bytes of pixels that any file may have.

    Raises:
        BadFileError: it cannot hold them, or they are too many.
    """
    if size > largest:
        raise BadFileError(label, f"{size} bytes of pixels, over the limit {largest}")
    if length > _MAX_EXCESS * size + 2**24:
        raise BadFileError(label, f"{length} bytes for {size} bytes of pixels; damaged")
    if not 0 < size <= _MAX_RATIO * length:
        raise BadFileError(label, f"its header announces {size} bytes of pixels; damaged")


# --- PNG ----------------------------------------------------------------------------------------

_PNG_START = b"\x89PNG\r\n\x1a\n"
# By colour type: bands and bits that it may have (ISO/IEC 15948, 11.2); 3 points into a palette
_PNG_COLOURS = {
    0: (1, (1, 2, 4, 8, 16)),
    2: (3, (8, 16)),
    3: (1, (1, 2, 4, 8)),
    4: (2, (8, 16)),
    6: (4, (8, 16)),
}
_MAX_PARTS = 2**20  # chunks or segments; a PNG of 1 GiB has some 100,000


def _png(data: Data, label: str) -> Header:
    columns, rows, bits, colours, *methods = struct.unpack_from(">II5B", data, 16)
    (checksum,) = struct.unpack_from(">I", data, 29)
    if data[8:16] != b"\0\0\0\x0dIHDR" or zlib.crc32(data[12:29]) != checksum:
        raise BadFileError(label, "damaged PNG (no size)")
    bands, allowed = _PNG_COLOURS[colours]
    if bits not in allowed or methods[:2] != [0, 0] or methods[2] > 1:
        raise BadFileError(label, f"damaged PNG (colours of type {colours} with {bits} bits)")
    position = 8
    has_pixels = False
    for _ in range(_MAX_PARTS):
        kind = data[position + 4 : position + 8]
        if kind == b"IEND":
            break
        has_pixels = has_pixels or kind == b"IDAT"
        position += 12 + int.from_bytes(data[position : position + 4], "big")
        if position + 12 > len(data):
            raise BadFileError(label, "truncated PNG (no end of image)")
    else:
        raise BadFileError(label, f"damaged PNG (over {_MAX_PARTS} chunks)")
    if not has_pixels:
        raise BadFileError(label, "damaged PNG (no pixels)")
    dtype = "<u2" if bits == 16 else "|u1"
    return Header((rows, columns), bands, dtype, packed=bits < 8 and colours != 3)


# --- JPEG ---------------------------------------------------------------------------------------

_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOFn; the three are other tables
_MAX_SCANS = 500  # each is a pass over the image, and a few bytes may be one; 64 * 4 is all of use
_SCAN = re.compile(rb"\xff\xda")  # a map has no count()
_MARKER = re.compile(rb"\xff+([^\xff])", re.DOTALL)  # any number of fill bytes before it
_SEGMENT = struct.Struct(">BBH")  # 255, marker, length
_TABLES = frozenset(range(0x100)) - _SIZES - {0xDA, 0xFF}
"""Markers of what is passed over: tables and notes."""

_MOST_STARTS = 256  # that are kept; files of one encoder begin alike
_LONGEST_START = 2**12  # bytes; those of a camera's notes are of no other file

_starts: dict[bytes, Header] = {}
"""Headers by all that stands before the first scan."""


def _jpeg(data: Data, label: str) -> Header:
    scan = data.find(b"\xff\xda")
    start = bytes(data[:scan]) if 0 <= scan <= _LONGEST_START else b""
    header = _starts.get(start)
    if header is None:
        header, position = _before_scans(data, label)
        if start and position == scan:
            if len(_starts) >= _MOST_STARTS:
                _starts.clear()
            _starts[start] = header
    else:
        position = scan
    if len(_SCAN.findall(data)) > _MAX_SCANS:
        raise BadFileError(label, f"damaged JPEG (over {_MAX_SCANS} scans)")
    if data.rfind(b"\xff\xd9") < position:
        raise BadFileError(label, "truncated JPEG (no end of image)")
    return header


@lru_cache(_MOST_STARTS)
def _of_jpeg(rows: int, columns: int, bands: int, bits: int) -> Header:
    return Header((rows, columns), bands, "|u1" if bits == 8 else "<u2")


def _before_scans(data: Data, label: str) -> tuple[Header, int]:
    """What stands before the first scan, and the offset of that."""
    position, last = 2, len(data) - _SEGMENT.size
    header = None
    for _ in range(_MAX_PARTS):
        if position <= last:
            first, marker, length = _SEGMENT.unpack_from(data, position)
            if first == 0xFF and marker in _TABLES and length >= 2:  # nearly all
                position += 2 + length
                continue
        found = _MARKER.match(data, position)
        if found is None:
            raise BadFileError(label, "damaged JPEG (no marker where one must be)")
        marker, position = found[1][0], found.end()
        if marker == 0xDA:  # start of scan: from here on entropy-coded data
            break
        if marker in _SIZES:
            bits, rows, columns, bands = struct.unpack_from(">BHHB", data, position + 2)
            header = _of_jpeg(rows, columns, bands, bits)
        position += max(length, 2)
    if header is None:
        raise BadFileError(label, "damaged JPEG (no size)")
    return header, position - 2


# --- TIFF ---------------------------------------------------------------------------------------

_TIFF_STARTS = {b"II*\0": ("<", False), b"MM\0*": (">", False)}
_TIFF_STARTS |= {b"II+\0": ("<", True), b"MM\0+": (">", True)}
_TYPES = {1: "B", 3: "H", 4: "I", 11: "f", 12: "d", 16: "Q"}
# By byte order, and whether offsets are long: offset of the directory, number of entries, an entry
_FORMS = {
    (endian, big): tuple(struct.Struct(endian + form) for form in forms)
    for endian in "<>"
    for big, forms in ((False, ("I", "H", "HHII")), (True, ("Q", "Q", "HHQQ")))
}
_REALS = frozenset({11, 12})
_KINDS = {1: "u", 2: "i", 3: "f"}

_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PREDICTOR, _PLANAR = 256, 257, 258, 259, 317, 284
_SAMPLES, _SAMPLE_FORMAT, _STRIP_OFFSETS, _STRIP_SIZES = 277, 339, 273, 279
_ROWS_PER_STRIP = 278
_TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS, _TILE_SIZES = 322, 323, 324, 325
_PIXEL_SCALE, _TIE_POINT, _TRANSFORMATION, _GEO_KEYS = 33550, 33922, 34264, 34735
# Tags to how many values they may have: nobody has more, and more would only fill the memory.
_WANTED = dict.fromkeys((_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PLANAR, _SAMPLES), 2**16)
_WANTED |= dict.fromkeys(
    (_ROWS_PER_STRIP, _PREDICTOR, _TILE_WIDTH, _TILE_LENGTH, _SAMPLE_FORMAT), 2**16
)
_WANTED |= dict.fromkeys((_STRIP_OFFSETS, _STRIP_SIZES, _TILE_OFFSETS, _TILE_SIZES), 2**20)
_WANTED |= dict.fromkeys((_PIXEL_SCALE, _TIE_POINT, _TRANSFORMATION, _GEO_KEYS), 2**16)
_REAL_TAGS = frozenset({_PIXEL_SCALE, _TIE_POINT, _TRANSFORMATION})
_MAX_ENTRIES = 4096  # of a directory; libtiff knows some 300 tags
_MOST_LAYOUTS = 256  # that are kept; a dataset has a few
_MOST_KEPT = 2**14  # bytes of the parts of a layout; compressed images have strips of their own

_Tags = dict[int, tuple[Any, ...]]


class _Value(NamedTuple):
    """Where the values of a tag stand in a file."""

    at: int
    end: int
    number: int
    form: struct.Struct


@dataclass(frozen=True, slots=True)
class _Layout:
    """What files of one layout have in common: all that their headers say but the place.

    Thousands of files differ in their pixels and their place alone. So the directory is understood
    once, and of further files only their place is read.
    """

    header: Header
    """Without a place."""
    least: int
    """Bytes that a file has at least."""
    parts: tuple[tuple[int, int, bytes], ...]
    """Values that stand outside the directory: from, to, and what stands there."""
    places: Mapping[int, _Value]
    """The tags of the place."""

    def is_of(self, data: Data) -> bool:
        """Whether a file with the same directory has the same values outside of it."""
        if self.least > len(data):
            return False
        return all(data[start:end] == content for start, end, content in self.parts)


_layouts: dict[tuple[bytes, int, bytes], _Layout] = {}
"""By the first bytes of a file, the offset of its directory, and that."""


def _tiff(data: Data, label: str, place: bool) -> Header:
    directory = _Directory.of(data)
    key = data[:4], directory.start, directory.entries
    layout = _layouts.get(key)
    if layout is None or not layout.is_of(data):
        layout = _layout(data, label, directory)
        if sum(len(content) for _, _, content in layout.parts) <= _MOST_KEPT:
            if len(_layouts) >= _MOST_LAYOUTS:
                _layouts.clear()
            _layouts[key] = layout
    said = layout.header
    if not place or not layout.places:
        return said
    crs, transform = _georeference(data, label, layout.places)
    return Header(said.shape, said.bands, said.dtype, said.pixels, crs, transform, said.packed)


def _layout(data: Data, label: str, directory: _Directory) -> _Layout:
    """The layout of a file whose directory was not met before."""
    tags, parts, places = directory.tags(data)
    rows, columns = tags[_LENGTH][0], tags[_WIDTH][0]
    bands = tags.get(_SAMPLES, (1,))[0]
    bits, formats = tags.get(_BITS, (1,)), tags.get(_SAMPLE_FORMAT, (1,))
    if len(set(bits)) > 1 or len(set(formats)) > 1:
        raise BadFileError(label, "bands of different data types; split them into files")
    packed = bits[0] in (1, 2, 4) and formats[0] == 1
    if (bits[0] not in (8, 16, 32, 64) and not packed) or formats[0] not in _KINDS:
        raise BadFileError(label, f"TIFF samples of {bits[0]} bits, format {formats[0]}; not read")
    size = 1 if packed else bits[0] // 8
    if _TILE_WIDTH in tags:
        block = tags[_TILE_LENGTH][0] * tags[_TILE_WIDTH][0]
    else:
        block = min(tags.get(_ROWS_PER_STRIP, (rows,))[0], rows) * columns
    if block * bands * size > MAX_IMAGE_SIZE:  # GDAL makes room for a whole one
        raise BadFileError(label, "TIFF of enormous tiles or strips; damaged, or to be tiled anew")
    dtype = f"{'|' if size == 1 else directory.endian}{_KINDS[formats[0]]}{size}"
    offsets = tags.get(_STRIP_OFFSETS) or tags[_TILE_OFFSETS]
    sizes = tags.get(_STRIP_SIZES) or tags[_TILE_SIZES]
    end = max(map(add, offsets, sizes))
    if len(offsets) != len(sizes):
        raise BadFileError(label, "damaged TIFF (strips without sizes)")
    if end > len(data):
        raise BadFileError(label, f"truncated TIFF ({len(data)} bytes of at least {end})")
    pixels = None if packed else _pixels(tags, offsets, sizes, rows, columns, bands, size)
    header = Header((rows, columns), bands, dtype, pixels, packed=packed)
    least = max([end, *(value.end for value in places.values())])
    return _Layout(header, least, tuple(parts), places)


@dataclass(frozen=True, slots=True)
class _Directory:
    """The first directory, which is that of the full-resolution image (also in COGs)."""

    endian: str
    big: bool
    start: int
    """Offset of its first entry."""
    entries: bytes

    @classmethod
    def of(cls, data: Data) -> _Directory:
        """That of a file."""
        endian, big = _TIFF_STARTS[bytes(data[:4])]
        first, counted, entry = _FORMS[endian, big]
        (start,) = first.unpack_from(data, first.size)
        (count,) = counted.unpack_from(data, start)
        start += counted.size
        end = start + count * entry.size
        if count > _MAX_ENTRIES or end > len(data):
            raise IndexError
        return cls(endian, big, start, bytes(data[start:end]))

    def tags(self, data: Data) -> tuple[_Tags, list[tuple[int, int, bytes]], dict[int, _Value]]:
        """The values of the wanted tags; parts and places as `_Layout` has them."""
        entry, inline = _FORMS[self.endian, self.big][2], 8 if self.big else 4
        tags: _Tags = {}
        parts: list[tuple[int, int, bytes]] = []
        places: dict[int, _Value] = {}
        for after, (tag, kind, number, value) in enumerate(entry.iter_unpack(self.entries), 1):
            if tag not in _WANTED or tag in tags or kind not in _TYPES:
                continue  # of repeated tags libtiff takes the first, too
            if number > _WANTED[tag] or (kind in _REALS) != (tag in _REAL_TAGS):
                raise IndexError
            form = struct.Struct(f"{self.endian}{number}{_TYPES[kind]}")
            outside = form.size > inline
            at = value if outside else self.start + after * entry.size - inline
            end = at + form.size
            if end > len(data):
                raise IndexError
            tags[tag] = form.unpack_from(data, at)
            if tag in _REAL_TAGS or tag == _GEO_KEYS:
                places[tag] = _Value(at, end, number, form)
            elif outside:
                parts.append((at, end, bytes(data[at:end])))
        return tags, parts, places


def _pixels(
    tags: _Tags,
    offsets: tuple[int, ...],
    sizes: tuple[int, ...],
    rows: int,
    columns: int,
    bands: int,
    itemsize: int,
) -> Pixels | None:
    """Where the pixels lie if they are one uncompressed run, else None."""
    if tags.get(_COMPRESSION, (1,))[0] != 1 or tags.get(_PREDICTOR, (1,))[0] != 1:
        return None
    if _TILE_WIDTH in tags and (tags[_TILE_WIDTH][0], tags[_TILE_LENGTH][0]) != (columns, rows):
        return None
    if tuple(map(add, offsets[:-1], sizes[:-1])) != offsets[1:]:
        return None
    interleaved = bands == 1 or tags.get(_PLANAR, (1,))[0] == 1
    shape = (rows, columns, bands) if interleaved else (bands, rows, columns)
    if sum(sizes) != prod(shape) * itemsize:
        return None
    return Pixels(offsets[0], shape, ("y", "x", "band") if interleaved else ("band", "y", "x"))


class _System(NamedTuple):
    """The coordinate reference system of a file, and what its coordinates are those of."""

    crs: str | None
    """None: only GDAL can tell."""
    at_centre: bool
    """Of a pixel's centre (OGC 19-008, 7.1.2.4, PixelIsPoint)."""


@lru_cache(_MOST_LAYOUTS)
def _system(keys: bytes, form: struct.Struct) -> _System:
    """What the directory of keys of GeoTIFF says."""
    directory = form.unpack(keys)
    # key, location, count, value; location 0: the value stands in the directory itself
    found = {k: v for k, where, _, v in zip(*[iter(directory[4:])] * 4) if where == 0}
    code = found.get(3072) if found.get(1024) == 1 else found.get(2048)
    if code is None or not 1024 <= code < 32767:  # user-defined: only its parameters are given
        return _System(None, False)
    return _System(f"EPSG:{code}", found.get(1025) == 2)


def _georeference(
    data: Data, label: str, places: Mapping[int, _Value]
) -> tuple[str | None, tuple[float, ...] | None]:
    """The coordinate reference system and the affine coefficients of a file; None without them."""
    keys = places.get(_GEO_KEYS)
    if keys is None:
        return None, None
    crs, at_centre = _system(bytes(data[keys.at : keys.end]), keys.form)
    if crs is None:
        return _georeference_by_gdal(data, label)
    whole, tie = places.get(_TRANSFORMATION), places.get(_TIE_POINT)
    scale = places.get(_PIXEL_SCALE)
    if whole is not None:
        a, b, _, c, d, e, _, f = whole.form.unpack_from(data, whole.at)[:8]
    elif scale is not None and tie is not None and tie.number == 6:
        column, row, _, x, y, _ = tie.form.unpack_from(data, tie.at)
        a, e, *_ = scale.form.unpack_from(data, scale.at)
        b = d = 0.0
        e = -e
        c, f = x - column * a, y - row * e
    else:
        return None, None
    if at_centre:
        c, f = c - (a + b) / 2, f - (d + e) / 2
    return crs, (a, b, c, d, e, f)


def _georeference_by_gdal(data: Data, label: str) -> tuple[str | None, tuple[float, ...] | None]:
    with opened(data, label) as image:
        if image.crs is None or image.transform.is_identity:  # no place without both
            return None, None
        code = image.crs.to_epsg()
        crs = image.crs.to_wkt(version="WKT2_2019") if code is None else f"EPSG:{code}"
        return crs, tuple(image.transform)[:6]
