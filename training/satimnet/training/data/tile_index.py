"""Tile indexes: where the tiles of a TIFF lie and how they are encoded, read from its header once.

A window then costs the reading and decoding of the tiles under it, and nothing else. TIFF 6.0 and
BigTIFF, tiled, of the compressions that GDAL's COG driver and satimnet write: none, LZW, deflate,
zstd and JPEG. Everything that a file says is checked before native code sees it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from satimnet.builder.errors import BadCatalogError
from satimnet.builder.imagery.headers import MAX_IMAGE_SIZE
from satimnet.training.data.array_types import Array, Numbers

ReadPart = Callable[[int, int], bytes]
"""Gives so many bytes (second) of a file from a byte on (first)."""

_HEAD = 64 * 1024  # bytes that are read at first: a COG has its tags there
_TAGS = {1: "B", 2: "s", 3: "H", 4: "I", 7: "s", 16: "Q"}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 7: 1, 16: 8}
_MOST_VALUES = 2**22  # of a tag: tiles of an image of a million pixels a side
_MOST_TAGS = 4096
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_SAMPLES, _PLANAR, _PREDICTOR, _FORMAT, _TABLES = 277, 284, 317, 339, 347
_TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS, _TILE_SIZES = 322, 323, 324, 325
_WANTED = frozenset(
    (
        *(_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR, _PREDICTOR),
        *(_FORMAT, _TABLES, _TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS, _TILE_SIZES),
    )
)
_NONE, _LZW, _JPEG, _DEFLATE, _OLD_DEFLATE, _ZSTD = 1, 5, 7, 8, 32946, 50000
_KINDS = {1: "u", 2: "i", 3: "f"}
_COLOURS = {1: "GRAYSCALE", 2: "RGB", 6: "YCBCR"}
_REMEDY = "cut it with satimnet chip, or build the catalog again"


@dataclass(frozen=True)
class TileIndex:
    """Where the tiles of an image lie, and how they are encoded.

    Attributes:
        shape: Rows, columns and bands of the image.
        dtype: The type of the values, with the byte order of the file.
        tile: Rows and columns of a tile.
        offsets: First byte of each tile in its file, int64; 0 of one that is not there.
        sizes: Bytes of each tile, int64.
        planes: Whether each band has tiles of its own, one after the other.
        compression: TIFF's number of the method.
        predictor: TIFF's number: 1 none, 2 differences, 3 of real numbers.
        colours: What JPEG tiles hold: GRAYSCALE, RGB or YCBCR.
        tables: What JPEG tiles have in common.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    tile: tuple[int, int]
    offsets: Numbers
    sizes: Numbers
    planes: bool
    compression: int
    predictor: int
    colours: str
    tables: bytes | None

    @classmethod
    def read(cls, read: ReadPart, size: int, label: str) -> TileIndex | None:
        """The index of a file of `size` bytes; None if it is no tiled TIFF.

        Raises:
            BadCatalogError: It is one, and damaged or not of those that are read.
        """
        head = read(0, min(size, _HEAD))
        start = _START.get(head[:4])
        if start is None:
            return None

        def part(first: int, count: int) -> bytes:
            if first < 0 or count < 0 or first + count > size:
                raise IndexError
            return head[first : first + count] if first + count <= len(head) else read(first, count)

        try:
            tags = _tags(part, *start)
            return None if _TILE_WIDTH not in tags else cls._of(tags, start[0], size, label)
        except (struct.error, LookupError, ValueError, ArithmeticError) as error:
            raise BadCatalogError(f"{label} is a damaged TIFF; build it again") from error

    @classmethod
    def _of(cls, tags: dict[int, Any], endian: str, size: int, label: str) -> TileIndex:
        rows, columns = int(tags[_LENGTH][0]), int(tags[_WIDTH][0])
        bands = int(tags.get(_SAMPLES, (1,))[0])
        bits, formats = set(tags.get(_BITS, (1,))), set(tags.get(_FORMAT, (1,)))
        if len(bits) > 1 or len(formats) > 1 or not bits <= {8, 16, 32, 64}:
            raise BadCatalogError(f"{label} has values of {sorted(bits)} bits; {_REMEDY}")
        dtype = np.dtype(f"{endian}{_KINDS[formats.pop()]}{bits.pop() // 8}")
        tile = int(tags[_TILE_LENGTH][0]), int(tags[_TILE_WIDTH][0])
        planes = bands > 1 and tags.get(_PLANAR, (1,))[0] == 2
        offsets = np.asarray(tags[_TILE_OFFSETS], np.int64)
        sizes = np.asarray(tags[_TILE_SIZES], np.int64)
        if min(rows, columns, bands, *tile) < 1:
            raise ValueError
        count = -(-rows // tile[0]) * -(-columns // tile[1]) * (bands if planes else 1)
        inside = (offsets >= 0) & (sizes >= 0) & (offsets <= size) & (sizes <= size - offsets)
        if len(offsets) != count or len(sizes) != count or not inside.all():
            raise IndexError
        if prod(tile) * bands * dtype.itemsize > MAX_IMAGE_SIZE:
            raise BadCatalogError(f"{label} has enormous tiles; {_REMEDY}")
        compression = int(tags.get(_COMPRESSION, (1,))[0])
        known = (_NONE, _LZW, _JPEG, _DEFLATE, _OLD_DEFLATE, _ZSTD)
        photometric = int(tags.get(_PHOTOMETRIC, (1,))[0])
        right = compression != _JPEG or (photometric in _COLOURS and dtype.itemsize == 1)
        if compression not in known or not right:
            raise BadCatalogError(
                f"{label} has tiles of compression {compression}, which are not read; {_REMEDY}"
            )
        return cls(
            (rows, columns, bands),
            dtype,
            tile,
            offsets,
            sizes,
            planes,
            compression,
            int(tags.get(_PREDICTOR, (1,))[0]),
            _COLOURS.get(photometric, "GRAYSCALE") if not planes else "GRAYSCALE",
            tags.get(_TABLES),
        )

    @property
    def plain(self) -> bool:
        """Whether the tiles are pixels as they are, so that parts of them can be read."""
        return self.compression == _NONE and self.predictor == 1

    def under(self, top: int, left: int, height: int, width: int) -> list[tuple[int, int, int]]:
        """The tiles under a part of the image: their numbers, and the first row and column."""
        down, across = self.tile
        per_row = -(-self.shape[1] // across)
        each = -(-self.shape[0] // down) * per_row
        return [
            (plane * each + y * per_row + x, y * down, x * across)
            for plane in range(self.shape[2] if self.planes else 1)
            for y in range(top // down, -(-(top + height) // down))
            for x in range(left // across, -(-(left + width) // across))
        ]

    def plane_of(self, number: int) -> int | None:
        """The band that a tile is of; None where it has all."""
        if not self.planes:
            return None
        return number // (len(self.offsets) // self.shape[2])

    def decode(self, data: bytes | memoryview, rows: slice, label: str) -> Array:
        """Some rows of a tile (y, x, band), of the values as they are stored.

        Raises:
            BadCatalogError: It cannot be decoded.
        """
        shape = (*self.tile, 1 if self.planes else self.shape[2])
        try:
            return self._decoded(data, shape, rows)
        except BadCatalogError:
            raise
        except Exception as error:  # every library has errors of its own
            raise BadCatalogError(
                f"{label} has a tile that cannot be decoded ({error}); build it again"
            ) from error

    def _decoded(self, data: bytes | memoryview, shape: tuple[int, int, int], rows: slice) -> Array:
        import imagecodecs

        size = prod(shape) * self.dtype.itemsize
        if self.compression == _JPEG:
            colours = None if self.colours == "GRAYSCALE" else self.colours
            image = imagecodecs.jpeg8_decode(
                bytes(data),
                tables=self.tables,
                colorspace=colours,
                outcolorspace=None if colours is None else "RGB",
            )
            return np.asarray(image).reshape(shape)[rows]
        if self.compression == _NONE:
            values = np.frombuffer(data, self.dtype)
        else:
            name = {_LZW: "lzw", _ZSTD: "zstd"}.get(self.compression, "deflate")
            plain = getattr(imagecodecs, f"{name}_decode")(data, out=size)
            values = np.frombuffer(plain, self.dtype)
        if values.nbytes != size:
            raise ValueError(f"{values.nbytes} bytes, not {size}")
        values = values.reshape(shape)[rows]  # predictors go along rows
        if self.predictor == 2:
            native = values.astype(self.dtype.newbyteorder("="))
            return np.asarray(imagecodecs.delta_decode(native, axis=1))
        if self.predictor == 3:
            return np.asarray(imagecodecs.floatpred_decode(values, axis=1))
        return values


_START = {b"II*\0": ("<", False), b"MM\0*": (">", False)}
_START |= {b"II+\0": ("<", True), b"MM\0+": (">", True)}


def _tags(part: ReadPart, endian: str, big: bool) -> dict[int, Any]:
    """The wanted tags of the first directory, which is the image in full resolution."""
    if big:
        (start,) = struct.unpack(f"{endian}Q", part(8, 8))
        (count,) = struct.unpack(f"{endian}Q", part(start, 8))
        entry, start, inline = struct.Struct(f"{endian}HHQ8s"), start + 8, 8
    else:
        (start,) = struct.unpack(f"{endian}I", part(4, 4))
        (count,) = struct.unpack(f"{endian}H", part(start, 2))
        entry, start, inline = struct.Struct(f"{endian}HHI4s"), start + 2, 4
    if count > _MOST_TAGS:
        raise IndexError
    tags: dict[int, Any] = {}
    for tag, kind, number, value in entry.iter_unpack(part(start, count * entry.size)):
        if tag not in _WANTED or tag in tags or kind not in _TAGS:
            continue
        if number > _MOST_VALUES:
            raise IndexError
        size = number * _SIZES[kind]
        if size > inline:
            (at,) = struct.unpack(f"{endian}{'Q' if big else 'I'}", value)
            value = part(at, size)
        else:
            value = value[:size]
        if _TAGS[kind] == "s":
            tags[tag] = value
        elif tag in (_TILE_OFFSETS, _TILE_SIZES):
            tags[tag] = np.frombuffer(value, f"{endian}u{_SIZES[kind]}").astype(np.int64)
        else:
            tags[tag] = struct.unpack(f"{endian}{number}{_TAGS[kind]}", value)
    return tags
