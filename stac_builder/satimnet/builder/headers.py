"""Headers of image files: shape, data type, georeference, and where the pixels lie.

Only headers are read, never pixels. TIFF 6.0, BigTIFF and GeoTIFF 1.1 (OGC 19-008) as far as the
training sets use them, PNG (ISO/IEC 15948), baseline and progressive JPEG (ITU-T T.81).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from operator import add
from typing import Any

from satimnet.builder.errors import BadFileError

MAX_IMAGE_SIZE = 2**30
"""Bytes of pixels that an image may have: masks are drawn and scenes recoded in memory."""
_MAX_RATIO = 4000  # of pixels to file; deflate ends at 1032, an all-white JPEG comes near 500

Order = tuple[str, ...]


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


def read_header(data: bytes, label: str) -> Header:
    """Header of a TIFF, PNG or JPEG file given whole; ``label`` names it in errors.

    Raises:
        BadFileError: not an image of these formats, damaged or truncated.
    """
    try:
        if data[:2] == b"\xff\xd8":
            header = _jpeg(data, label)
        elif data[:8] == _PNG_START:
            header = _png(data, label)
        elif data[:4] in _TIFF_STARTS:
            header = _tiff(data, label)
        else:
            raise BadFileError(label, "neither TIFF, PNG nor JPEG" if data else "empty file")
        size = prod(header.shape) * header.bands * int(header.dtype[2:])
    except (struct.error, LookupError, ValueError, TypeError, OverflowError) as error:
        raise BadFileError(label, "truncated or damaged header") from error
    if not 0 < size <= min(MAX_IMAGE_SIZE, _MAX_RATIO * len(data)):
        raise BadFileError(label, f"its header announces {size} bytes of pixels; damaged")
    return header


# --- PNG ----------------------------------------------------------------------------------------

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_BANDS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type; 3 is an index into a palette


def _png(data: bytes, label: str) -> Header:
    columns, rows, depth, colours = struct.unpack_from(">IIBB", data, 16)
    if data[12:16] != b"IHDR" or depth not in (1, 2, 4, 8, 16):
        raise BadFileError(label, "damaged PNG (no size)")
    position = 8
    while data[position + 4 : position + 8] != b"IEND":
        length = int.from_bytes(data[position : position + 4], "big")
        position += 12 + length
        if position + 12 > len(data):
            raise BadFileError(label, "truncated PNG (no end of image)")
    return Header((rows, columns), _PNG_BANDS[colours], "<u2" if depth == 16 else "|u1")


# --- JPEG ---------------------------------------------------------------------------------------

_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOFn; the three are other tables


def _jpeg(data: bytes, label: str) -> Header:
    position = 2
    header = None
    while True:
        if data[position] != 0xFF:
            raise BadFileError(label, "damaged JPEG (no marker where one must be)")
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker == 0xDA:  # start of scan: from here on entropy-coded data
            break
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if marker in _SIZES:
            precision, rows, columns, bands = struct.unpack_from(">BHHB", data, position + 4)
            header = Header((rows, columns), bands, "|u1" if precision == 8 else "<u2")
        position += 2 + max(length, 2)
    if header is None:
        raise BadFileError(label, "damaged JPEG (no size)")
    if data.rfind(b"\xff\xd9") < position:
        raise BadFileError(label, "truncated JPEG (no end of image)")
    return header


# --- TIFF ---------------------------------------------------------------------------------------

_TIFF_STARTS = {b"II*\0": ("<", False), b"MM\0*": (">", False)}
_TIFF_STARTS |= {b"II+\0": ("<", True), b"MM\0+": (">", True)}
_TYPES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 16: "Q", 17: "q"}
_TYPE_SIZES = {code: struct.calcsize(letter) for code, letter in _TYPES.items()}
_KINDS = {1: "u", 2: "i", 3: "f"}

_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PREDICTOR, _PLANAR = 256, 257, 258, 259, 317, 284
_SAMPLES, _SAMPLE_FORMAT, _STRIP_OFFSETS, _STRIP_SIZES = 277, 339, 273, 279
_TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS, _TILE_SIZES = 322, 323, 324, 325
_PIXEL_SCALE, _TIE_POINT, _TRANSFORMATION, _GEO_KEYS = 33550, 33922, 34264, 34735
_WANTED = frozenset(
    [*range(256, 260), 273, 277, 279, 284, 317, *range(322, 326), 339, 33550, 33922, 34264, 34735]
)


def _tiff(data: bytes, label: str) -> Header:
    endian, big = _TIFF_STARTS[data[:4]]
    tags = _tags(data, endian, big)
    rows, columns = tags[_LENGTH][0], tags[_WIDTH][0]
    bands = tags.get(_SAMPLES, (1,))[0]
    bits, formats = tags.get(_BITS, (1,)), tags.get(_SAMPLE_FORMAT, (1,))
    if len(set(bits)) > 1 or len(set(formats)) > 1:
        raise BadFileError(label, "bands of different data types; split them into files")
    if bits[0] not in (8, 16, 32, 64) or formats[0] not in _KINDS:
        raise BadFileError(label, f"TIFF samples of {bits[0]} bits, format {formats[0]}; not read")
    size = bits[0] // 8
    dtype = f"{'|' if size == 1 else endian}{_KINDS[formats[0]]}{size}"
    offsets = tags.get(_STRIP_OFFSETS) or tags[_TILE_OFFSETS]
    sizes = tags.get(_STRIP_SIZES) or tags[_TILE_SIZES]
    end = max(map(add, offsets, sizes))
    if len(offsets) != len(sizes):
        raise BadFileError(label, "damaged TIFF (strips without sizes)")
    if end > len(data):
        raise BadFileError(label, f"truncated TIFF ({len(data)} bytes of at least {end})")
    crs, transform = _georeference(data, label, tags)
    pixels = _pixels(tags, offsets, sizes, rows, columns, bands, size)
    return Header((rows, columns), bands, dtype, pixels, crs, transform)


def _tags(data: bytes, endian: str, big: bool) -> dict[int, tuple[Any, ...]]:
    """The wanted tags of the first directory, which is the full-resolution image (also in COGs)."""
    if big:
        (start,) = struct.unpack_from(endian + "Q", data, 8)
        (count,) = struct.unpack_from(endian + "Q", data, start)
        entry, start, inline = struct.Struct(endian + "HHQQ"), start + 8, 8
    else:
        (start,) = struct.unpack_from(endian + "I", data, 4)
        (count,) = struct.unpack_from(endian + "H", data, start)
        entry, start, inline = struct.Struct(endian + "HHII"), start + 2, 4
    if start + count * entry.size > len(data):
        raise IndexError
    tags = {}
    entries = entry.iter_unpack(data[start : start + count * entry.size])
    for after, (tag, kind, number, value) in enumerate(entries, 1):
        if tag in _WANTED and kind in _TYPES:
            size = number * _TYPE_SIZES[kind]
            at = value if size > inline else start + after * entry.size - inline
            if at + size > len(data):
                raise IndexError
            tags[tag] = struct.unpack_from(f"{endian}{number}{_TYPES[kind]}", data, at)
    return tags


def _pixels(
    tags: dict[int, tuple[Any, ...]],
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


def _georeference(
    data: bytes, label: str, tags: dict[int, tuple[Any, ...]]
) -> tuple[str | None, tuple[float, ...] | None]:
    if _GEO_KEYS not in tags:
        return None, None
    directory = tags[_GEO_KEYS]
    # key, location, count, value; location 0: the value stands in the directory itself
    keys = {k: v for k, where, _, v in zip(*[iter(directory[4:])] * 4) if where == 0}
    code = keys.get(3072) if keys.get(1024) == 1 else keys.get(2048)
    if code is None or not 1024 <= code < 32767:  # user-defined: only its parameters are given
        return _georeference_by_gdal(data, label)
    if _TRANSFORMATION in tags:
        a, b, _, c, d, e, _, f = tags[_TRANSFORMATION][:8]
    elif _PIXEL_SCALE in tags and len(tags.get(_TIE_POINT, ())) == 6:
        column, row, _, x, y, _ = tags[_TIE_POINT]
        a, e = tags[_PIXEL_SCALE][0], -tags[_PIXEL_SCALE][1]
        b = d = 0.0
        c, f = x - column * a, y - row * e
    else:
        return None, None
    if keys.get(1025) == 2:  # PixelIsPoint: the tie is the pixel's centre (OGC 19-008, 7.1.2.4)
        c, f = c - (a + b) / 2, f - (d + e) / 2
    return f"EPSG:{code}", (a, b, c, d, e, f)


def _georeference_by_gdal(data: bytes, label: str) -> tuple[str | None, tuple[float, ...] | None]:
    from rasterio.errors import RasterioError
    from rasterio.io import MemoryFile

    try:
        with MemoryFile(data) as memory, memory.open() as image:
            if image.crs is None:
                return None, None
            code = image.crs.to_epsg()
            crs = image.crs.to_wkt(version="WKT2_2019") if code is None else f"EPSG:{code}"
            return crs, tuple(image.transform)[:6]
    except RasterioError as error:
        raise BadFileError(label, f"GDAL cannot read it ({error})") from error
